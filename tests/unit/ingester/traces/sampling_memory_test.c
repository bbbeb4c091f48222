#include "common/base/hash.h"
#include "ingester/traces/sampling_memory.h"
#include "tests/unit/ingester/traces/sampling_fixture.h"

static struct sampling_judged judged(uint64_t n, bool is_kept)
{
    struct sampling_judged j = {
        .rules = 7, .tenant = (uint32_t)(n % 3), .is_kept = is_kept, .e = {1, 10, 20, 1}};

    sf_id(j.id, n);
    return j;
}

static bool has(const struct sampling_memory *m, uint64_t n)
{
    struct sampling_judged j = judged(n, true), got;

    return sampling_memory_get(m, j.tenant, j.id, &got);
}

TEST(sampling_memory_forgets_the_oldest)
{
    struct sampling_memory m;

    sampling_memory_init(&m, 5000);
    CHECK(!has(&m, 1));
    for (uint64_t n = 0; n < 17000; n++) {
        struct sampling_judged j = judged(n, true);

        sampling_memory_put(&m, &j);
        CHECK(has(&m, n));
        if (n >= 5000)
            CHECK(!has(&m, n - 5000) && has(&m, n - 4999));
    }
    CHECK_INT(m.all.len, 5000);
    sampling_memory_done(&m);
}

TEST(sampling_memory_unites_verdicts)
{
    struct sampling_memory m;
    struct sampling_judged no = judged(1, false), yes = judged(1, true), got;

    sampling_memory_init(&m, 10);
    no.policy = 3;
    sampling_memory_put(&m, &no);
    CHECK(sampling_memory_get(&m, no.tenant, no.id, &got) && !got.is_kept && got.policy == 3);
    CHECK(!sampling_memory_get(&m, no.tenant + 1, no.id, &got)); /* another tenant's */
    yes.e = (struct sampling_evidence){2, 5, 15, 4};
    sampling_memory_put(&m, &yes);
    CHECK(sampling_memory_get(&m, no.tenant, no.id, &got) && got.is_kept && got.policy == 0);
    CHECK(got.e.leaves == 3 && got.e.start_ns == 5 && got.e.end_ns == 20 && got.e.spans == 4);
    no.e.end_ns = 50;
    sampling_memory_put(&m, &no); /* kept stands */
    CHECK(sampling_memory_get(&m, no.tenant, no.id, &got) && got.is_kept && got.e.end_ns == 50);
    no = judged(2, false);
    sampling_memory_put(&m, &no);
    no.rules = 8; /* evidence of other rules says nothing of these */
    no.e = (struct sampling_evidence){4, 12, 13, 1};
    sampling_memory_put(&m, &no);
    CHECK(sampling_memory_get(&m, no.tenant, no.id, &got) && got.rules == 8 && got.e.leaves == 4);
    sampling_memory_done(&m);
}
