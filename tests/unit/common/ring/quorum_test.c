#include "common/ring/quorum.h"
#include "tests/unit/test.h"

static const uint16_t abc[] = {0, 1, 2};
static const uint16_t bcd[] = {1, 2, 3};

static struct quorum one_group(unsigned n, unsigned need)
{
    struct ring_set set = {abc, n};
    struct quorum q;

    quorum_init(&q, &set, 1, 4, need);
    return q;
}

TEST(quorum_needs_the_majority_of_rf)
{
    static const struct {
        unsigned n, need, acks;
    } cases[] = {{1, 1, 1}, {2, 2, 2}, {3, 2, 2}, {2, 2, 2} /* RF 3, a zone down */};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct quorum q = one_group(cases[i].n, cases[i].need);

        for (unsigned k = 0; k + 1 < cases[i].acks; k++)
            CHECK_INT(quorum_ack(&q, k), QUORUM_PENDING);
        CHECK_INT(quorum_ack(&q, cases[i].acks - 1), QUORUM_OK);
        quorum_done(&q);
    }
}

TEST(quorum_counts_an_instance_once)
{
    struct quorum q = one_group(3, 2);

    CHECK_INT(quorum_ack(&q, 0), QUORUM_PENDING);
    CHECK_INT(quorum_ack(&q, 0), QUORUM_PENDING);
    CHECK_INT(quorum_ack(&q, 3), QUORUM_PENDING); /* in no group */
    CHECK_INT(quorum_ack(&q, 77), QUORUM_PENDING);
    CHECK_INT(quorum_outstanding(&q), 2);
    CHECK_INT(quorum_fail(&q, 1, ERR_NET), QUORUM_PENDING);
    CHECK_INT(quorum_ack(&q, 2), QUORUM_OK);
    quorum_done(&q);
}

TEST(quorum_fails_at_once_without_enough_replicas)
{
    struct quorum q = one_group(1, 2);

    CHECK_INT(q.verdict, QUORUM_FAILED);
    CHECK_INT(q.code, ERR_UNAVAILABLE);
    quorum_done(&q);
    quorum_init(&q, NULL, 0, 3, 2); /* nothing to write */
    CHECK_INT(q.verdict, QUORUM_OK);
    quorum_done(&q);
}

TEST(quorum_blames_the_client_only_by_majority)
{
    struct quorum q = one_group(3, 2);

    CHECK_INT(quorum_fail(&q, 0, ERR_INVALID), QUORUM_PENDING);
    CHECK_INT(quorum_fail(&q, 1, ERR_IO), QUORUM_PENDING); /* the third decides */
    CHECK_INT(quorum_fail(&q, 2, ERR_LIMIT), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_INVALID);
    quorum_done(&q);

    q = one_group(3, 2);
    quorum_fail(&q, 0, ERR_INVALID);
    quorum_fail(&q, 1, ERR_IO);
    CHECK_INT(quorum_ack(&q, 2), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_UNAVAILABLE);
    quorum_done(&q);

    q = one_group(3, 2);
    quorum_fail(&q, 0, ERR_IO);
    CHECK_INT(quorum_fail(&q, 1, ERR_TIMEOUT), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_UNAVAILABLE);
    CHECK_INT(quorum_ack(&q, 2), QUORUM_FAILED); /* a verdict does not change */
    quorum_done(&q);

    q = one_group(3, 2);
    quorum_fail(&q, 0, ERR_RATE);
    quorum_ack(&q, 1);
    CHECK_INT(quorum_ack(&q, 2), QUORUM_OK);
    quorum_done(&q);
}

TEST(quorum_of_a_batch_is_that_of_all_its_groups)
{
    struct ring_set sets[] = {{abc, 3}, {bcd, 3}};
    struct quorum q;

    quorum_init(&q, sets, 2, 4, 2);
    CHECK_INT(quorum_ack(&q, 0), QUORUM_PENDING);
    CHECK_INT(quorum_ack(&q, 1), QUORUM_PENDING); /* the first group is done */
    CHECK_INT(q.groups[0].verdict, QUORUM_OK);
    CHECK_INT(quorum_ack(&q, 3), QUORUM_OK);
    quorum_done(&q);

    /* Our failure in one group ends it; the client's waits for the others. */
    quorum_init(&q, sets, 2, 4, 2);
    quorum_fail(&q, 0, ERR_LIMIT);
    CHECK_INT(quorum_fail(&q, 1, ERR_LIMIT), QUORUM_PENDING);
    CHECK_INT(q.groups[0].verdict, QUORUM_FAILED);
    CHECK_INT(quorum_ack(&q, 2), QUORUM_PENDING);
    CHECK_INT(quorum_ack(&q, 3), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_LIMIT);
    quorum_done(&q);

    quorum_init(&q, sets, 2, 4, 2);
    quorum_fail(&q, 2, ERR_NET);
    CHECK_INT(quorum_fail(&q, 3, ERR_NET), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_UNAVAILABLE);
    quorum_done(&q);
}

TEST(quorum_read_by_zone_tolerates_one_zone)
{
    uint16_t instances[] = {0, 1, 2, 3, 4, 5}, zones[] = {0, 0, 1, 1, 2, 2};
    struct ring_read_set set = {instances, zones, 6, 3, true, 1, 1};
    struct quorum_read q;

    quorum_read_init(&q, &set);
    CHECK_INT(quorum_read_fail(&q, 0, ERR_NET), QUORUM_PENDING);
    CHECK_INT(quorum_read_fail(&q, 1, ERR_NET), QUORUM_PENDING);
    quorum_read_ok(&q, 2), quorum_read_ok(&q, 3), quorum_read_ok(&q, 4);
    CHECK_INT(quorum_read_ok(&q, 4), QUORUM_PENDING);
    CHECK_INT(quorum_read_ok(&q, 5), QUORUM_OK);
    CHECK(!quorum_read_is_whole(&q));
    quorum_read_done(&q);

    quorum_read_init(&q, &set);
    quorum_read_fail(&q, 0, ERR_NET);
    CHECK_INT(quorum_read_fail(&q, 2, ERR_IO), QUORUM_FAILED);
    CHECK_INT(q.code, ERR_IO);
    quorum_read_done(&q);
}

TEST(quorum_read_by_instance_tolerates_one_instance)
{
    uint16_t instances[] = {0, 1, 2}, zones[] = {0, 0, 0};
    struct ring_read_set set = {instances, zones, 3, 1, false, 1, 1};
    struct quorum_read q;

    quorum_read_init(&q, &set);
    quorum_read_fail(&q, 1, ERR_NET);
    CHECK_INT(quorum_read_ok(&q, 0), QUORUM_PENDING);
    CHECK_INT(quorum_read_ok(&q, 2), QUORUM_OK);
    quorum_read_done(&q);

    set.max_fail = 0, set.n = 1; /* RF 1 */
    quorum_read_init(&q, &set);
    CHECK_INT(quorum_read_fail(&q, 0, ERR_NET), QUORUM_FAILED);
    quorum_read_done(&q);

    set.max_fail = 1; /* nobody answered at all: not an answer */
    quorum_read_init(&q, &set);
    CHECK_INT(quorum_read_fail(&q, 0, ERR_NET), QUORUM_FAILED);
    quorum_read_done(&q);

    set.n = 0;
    quorum_read_init(&q, &set);
    CHECK_INT(q.verdict, QUORUM_OK);
    quorum_read_done(&q);

    /* Zones are required, and only one is known: no answer can be complete. */
    set = (struct ring_read_set){instances, zones, 3, 1, true, 1, 2};
    quorum_read_init(&q, &set);
    CHECK_INT(q.verdict, QUORUM_FAILED);
    CHECK_INT(q.code, ERR_UNAVAILABLE);
    quorum_read_done(&q);
}
