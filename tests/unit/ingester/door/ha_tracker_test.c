#include "ingester/door/ha_tracker.h"
#include "tests/unit/test.h"

#define S 1000
#define T0 1767225600000

static const struct tenant_limits limits = {.ha_max_clusters = 3,
                                            .ha_tracker_failover_timeout_ns = 30 * NS_PER_S,
                                            .ha_tracker_update_timeout_ns = 15 * NS_PER_S};

/* Ingesters that hear each other when deliver() is called. */
struct wire {
    struct {
        char key[300], value[300];
        size_t key_len, value_len;
        uint64_t version;
    } told[64];
    size_t n;
};

static void on_tell(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct wire *w = arg;

    CHECK(w->n < ORR_COUNT(w->told));
    memcpy(w->told[w->n].key, key.ptr, w->told[w->n].key_len = key.len);
    memcpy(w->told[w->n].value, value.ptr, w->told[w->n].value_len = value.len);
    w->told[w->n++].version = version;
}

static struct ha_tracker *tracker(struct wire *w)
{
    return ha_tracker_new(&(struct ha_tracker_opts){.tell = on_tell, .arg = w, .seed = 7});
}

static void deliver(struct wire *w, struct ha_tracker *to, int64_t now_ms)
{
    size_t n = w->n;

    for (size_t i = 0; i < n; i++)
        ha_tracker_learn(to, slice_of(w->told[i].key, w->told[i].key_len), w->told[i].version,
                         slice_of(w->told[i].value, w->told[i].value_len), now_ms);
    w->n = 0;
}

static enum ha_verdict ask(struct ha_tracker *t, const char *cluster, const char *replica,
                           int64_t now_ms)
{
    return ha_tracker_check(t, SLICE("t"), &limits, slice_cstr(cluster), slice_cstr(replica),
                            now_ms);
}

static const char *replica_of(struct ha_tracker *t, const char *cluster)
{
    static char found[200];
    struct ha_tracker_row *rows;
    size_t n;

    found[0] = 0;
    ha_tracker_list(t, &rows, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].cluster, cluster) == 0)
            (void)snprintf(found, sizeof(found), "%s", rows[i].replica);
    ha_tracker_list_free(rows, n);
    return found;
}

TEST(ha_tracker_fails_over_after_silence)
{
    struct wire w = {0};
    struct ha_tracker *t = tracker(&w);

    CHECK_INT(ask(t, "c", "a", T0), HA_ELECTED);
    CHECK_INT(ask(t, "c", "b", T0 + 1), HA_OTHER_REPLICA);
    CHECK_INT(ask(t, "c", "a", T0 + 20 * S), HA_ELECTED);
    CHECK_INT(ask(t, "c", "b", T0 + 45 * S), HA_OTHER_REPLICA); /* 25 s of silence */
    CHECK_INT(ask(t, "c", "b", T0 + 50 * S), HA_ELECTED);
    CHECK_INT(ask(t, "c", "a", T0 + 51 * S), HA_OTHER_REPLICA);
    CHECK_STR(replica_of(t, "c"), "b");
    ha_tracker_free(t);
}

TEST(ha_tracker_tells_now_and_then)
{
    struct wire w = {0};
    struct ha_tracker *t = tracker(&w);
    size_t told;

    for (int64_t now = T0; now < T0 + 120 * S; now += S)
        CHECK_INT(ask(t, "c", "a", now), HA_ELECTED);
    told = w.n;
    CHECK(told >= 6 && told <= 13); /* every 15 s ± 5 s, and the election */
    ha_tracker_free(t);
}

TEST(ha_tracker_bounds_clusters_and_names)
{
    struct wire w = {0};
    struct ha_tracker *t = tracker(&w);
    char wide[HA_TRACKER_MAX_NAME + 2];

    memset(wide, 'w', sizeof(wide));
    wide[sizeof(wide) - 1] = 0;
    CHECK_INT(ask(t, wide, "a", T0), HA_NAME_TOO_LONG);
    CHECK_INT(ask(t, "c", wide, T0), HA_NAME_TOO_LONG);
    CHECK_INT(ask(t, "c1", "a", T0), HA_ELECTED);
    CHECK_INT(ask(t, "c2", "a", T0), HA_ELECTED);
    CHECK_INT(ask(t, "c3", "a", T0 + 1000 * S), HA_ELECTED);
    CHECK_INT(ask(t, "c4", "a", T0 + 1000 * S), HA_TOO_MANY_CLUSTERS);
    CHECK_INT(ask(t, "c1", "a", T0 + 1000 * S), HA_ELECTED);
    /* c2 has not been heard of for half an hour */
    CHECK_INT(ask(t, "c4", "a", T0 + 1801 * S), HA_ELECTED);
    CHECK_INT(ask(t, "c2", "a", T0 + 1801 * S), HA_TOO_MANY_CLUSTERS);
    ha_tracker_free(t);
}

/* The elected replica writes to one ingester, the other one to another. */
TEST(ha_tracker_shares_what_it_knows)
{
    struct wire wa = {0}, wb = {0};
    struct ha_tracker *a = tracker(&wa), *b = tracker(&wb);

    CHECK_INT(ask(a, "c", "r1", T0), HA_ELECTED);
    deliver(&wa, b, T0 + 100);
    for (int64_t now = T0 + S; now < T0 + 100 * S; now += S) {
        CHECK_INT(ask(a, "c", "r1", now), HA_ELECTED);
        deliver(&wa, b, now);
        CHECK_INT(ask(b, "c", "r2", now), HA_OTHER_REPLICA);
    }
    /* r1 ends: r2 is elected at b, and a hears of it. */
    CHECK_INT(ask(b, "c", "r2", T0 + 140 * S), HA_ELECTED);
    deliver(&wb, a, T0 + 140 * S);
    CHECK_INT(ask(a, "c", "r1", T0 + 141 * S), HA_OTHER_REPLICA);
    ha_tracker_free(a);
    ha_tracker_free(b);
}

/* Both elect before they hear of each other: all settle on the earlier one, whatever came since. */
TEST(ha_tracker_settles_on_the_first_of_two_elections)
{
    for (int order = 0; order < 2; order++) {
        struct wire wa = {0}, wb = {0};
        struct ha_tracker *a = tracker(&wa), *b = tracker(&wb);

        CHECK_INT(ask(a, "c", "r2", T0), HA_ELECTED);
        CHECK_INT(ask(b, "c", "r1", T0 + 2 * S), HA_ELECTED);
        for (int i = 0; i < 3; i++) {
            deliver(order ? &wa : &wb, order ? b : a, T0 + 3 * S);
            deliver(order ? &wb : &wa, order ? a : b, T0 + 3 * S);
        }
        CHECK_STR(replica_of(a, "c"), "r2");
        CHECK_STR(replica_of(b, "c"), "r2");
        CHECK_INT(ask(b, "c", "r1", T0 + 4 * S), HA_OTHER_REPLICA);
        CHECK(wa.n == 0 && wb.n == 0); /* nobody contradicts for ever */
        ha_tracker_free(a);
        ha_tracker_free(b);
    }
}

TEST(ha_tracker_survives_a_clock_that_is_set_back)
{
    struct wire w = {0};
    struct ha_tracker *t = tracker(&w);

    CHECK_INT(ask(t, "c", "a", T0 + 100000 * S), HA_ELECTED);
    CHECK_INT(ask(t, "c", "b", T0), HA_OTHER_REPLICA);
    CHECK_INT(ask(t, "c", "b", T0 + 31 * S), HA_ELECTED);
    ha_tracker_free(t);
}

TEST(ha_tracker_drops_what_it_cannot_read)
{
    static const struct {
        struct slice key, value;
    } cases[] = {
        {SLICE_INIT("ha/t/c"), SLICE_INIT("")},
        {SLICE_INIT("ha/t/c"), SLICE_INIT("\x01"
                                          "a\x01\x01")},
        {SLICE_INIT("ha/t/c"), SLICE_INIT("\x01"
                                          "a\x01\x01\x00")},
        {SLICE_INIT("ha/t/c"), SLICE_INIT("\x01"
                                          "a\x01\x01\x01"
                                          "more")},
        {SLICE_INIT("ha/t/"), SLICE_INIT("\x01"
                                         "a\x01\x01\x01")},
        {SLICE_INIT("ha//c"), SLICE_INIT("\x01"
                                         "a\x01\x01\x01")},
        {SLICE_INIT("ha/t"), SLICE_INIT("\x01"
                                        "a\x01\x01\x01")},
        {SLICE_INIT("other/t/c"), SLICE_INIT("\x01"
                                             "a\x01\x01\x01")},
    };
    struct wire w = {0};
    struct ha_tracker *t = tracker(&w);

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        ha_tracker_learn(t, cases[i].key, 1, cases[i].value, T0);
    CHECK_STR(replica_of(t, "c"), "");
    ha_tracker_learn(t, SLICE("ha/t/c"), 1,
                     SLICE("\x01"
                           "a\x01\x01\x01"),
                     T0);
    CHECK_STR(replica_of(t, "c"), "a");
    ha_tracker_free(t);
}
