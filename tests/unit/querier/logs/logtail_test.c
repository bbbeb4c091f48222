#include "common/base/clock.h"
#include "querier/logs/logtable.h"
#include "querier/logs/logtail.h"
#include "tests/unit/test.h"

#define S NS_PER_S
#define T0 (1000 * S)

struct rig {
    struct logtable *table;
    struct engine *eng;
    struct logtail *tail;
    int64_t now_ns;
};

static struct rig rig_new(const struct logtail_opts *opts)
{
    return (struct rig){logtable_new(), logquery_engine(), logtail_new(opts), T0};
}

static void rig_done(struct rig *r)
{
    logtail_free(r->tail);
    engine_free(r->eng);
    logtable_free(r->table);
}

static void add(struct rig *r, const char *app, int64_t ts_ns, const char *line)
{
    struct label stream = {SLICE("app"), slice_cstr(app)};

    logtable_add(r->table, (struct labels){&stream, 1},
                 &(struct logsource_entry){.ts_ns = ts_ns, .line = slice_cstr(line)});
}

static struct logtail_batch poll(struct rig *r)
{
    struct arena *a = arena_new(0);
    struct logtail_batch b = {0};

    CHECK_OK(logtail_poll(r->tail, r->eng, logtable_source(r->table), a,
                          &(struct logtail_poll){.now_ns = r->now_ns}, &b));
    arena_free(a);
    return b;
}

/* The messages, a line each. */
static void check_poll(struct rig *r, const char *want)
{
    struct logtail_batch b = poll(r);
    struct buf got = {0};

    VEC_FOREACH (m, &b.messages) {
        buf_slice_append(&got, buf_slice(m));
        buf_byte(&got, '\n');
    }
    CHECK_SLICE(buf_slice(&got), want);
    CHECK(!b.has_more);
    buf_done(&got);
    logtail_batch_done(&b);
}

TEST(logtail_gives_each_line_once)
{
    struct rig r = rig_new(&(struct logtail_opts){
        .expr = SLICE("{app=~\".+\"} != \"not\""), .start_ns = T0 - 100 * S, .limit = 3});

    add(&r, "a", T0 - 200 * S, "before the start");
    for (int i = 0; i < 3; i++) {
        add(&r, "a", T0 - (5 - i) * S, i == 0 ? "old" : i == 1 ? "x" : "y");
        add(&r, "a", T0 - (5 - i) * S, "not this");
    }
    add(&r, "b", T0 - S, "z");
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"996000000000\",\"x\"],"
                   "[\"997000000000\",\"y\"]]},"
                   "{\"stream\":{\"app\":\"b\"},\"values\":[[\"999000000000\",\"z\"]]}]}\n");
    check_poll(&r, ""); /* nothing is new; old was beyond the limit */
    r.now_ns += S;
    add(&r, "a", T0, "new");
    add(&r, "a", T0 - 2 * S, "late");
    add(&r, "a", T0 + 5 * S, "of the future");
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"998000000000\","
                   "\"late\"],[\"1000000000000\",\"new\"]]}]}\n");
    check_poll(&r, "");
    r.now_ns += 5 * S;
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1005000000000\",\"of "
                   "the future\"]]}]}\n");
    r.now_ns += 60 * S;
    check_poll(&r, "");
    add(&r, "a", T0 + 57 * S, "nine seconds late");
    add(&r, "a", T0 + 50 * S, "too late");
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"1057000000000\","
                   "\"nine seconds late\"]]}]}\n");
    rig_done(&r);
}

TEST(logtail_waits_for_late_lines_where_asked_to)
{
    struct rig r = rig_new(&(struct logtail_opts){
        .expr = SLICE("{app=\"a\"}"), .start_ns = T0 - 100 * S, .limit = 3, .delay_ns = 5 * S});

    add(&r, "a", T0 - 4 * S, "x");
    check_poll(&r, "");
    add(&r, "a", T0 - 5 * S, "w");
    r.now_ns += 2 * S;
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"995000000000\",\"w\"],"
                   "[\"996000000000\",\"x\"]]}]}\n");
    rig_done(&r);
}

TEST(logtail_tells_labels_apart_where_asked_to)
{
    struct rig r = rig_new(&(struct logtail_opts){.expr = SLICE("{app=\"a\"} | logfmt"),
                                                  .start_ns = T0 - 100 * S,
                                                  .limit = 9,
                                                  .categorizes = true});

    add(&r, "a", T0 - 4 * S, "n=1");
    add(&r, "a", T0 - 3 * S, "n=2");
    check_poll(&r, "{\"streams\":[{\"stream\":{\"app\":\"a\"},\"values\":[[\"996000000000\",\"n="
                   "1\",{\"parsed\":{\"n\":\"1\"}}],"
                   "[\"997000000000\",\"n=2\",{\"parsed\":{\"n\":\"2\"}}]]}],\"encodingFlags\":["
                   "\"categorize-labels\"]}\n");
    rig_done(&r);
}

/* Polls until there is no more; what came. */
static uint64_t drain(struct rig *r, int *ret_polls)
{
    uint64_t lines = 0;
    bool has_more = true;

    for (*ret_polls = 0; has_more && *ret_polls < 200; ++*ret_polls) {
        struct logtail_batch b = poll(r);
        size_t bytes = 0;

        VEC_FOREACH (m, &b.messages)
            bytes += m->len;
        CHECK(bytes < 3 * LOGTAIL_BYTES);
        lines += b.lines;
        has_more = b.has_more;
        logtail_batch_done(&b);
    }
    CHECK(!has_more);
    return lines;
}

TEST(logtail_comes_after_when_there_is_much)
{
    struct rig r = rig_new(
        &(struct logtail_opts){.expr = SLICE("{app=\"a\"}"), .start_ns = T0 - S, .limit = 100});
    char line[64];
    int polls;

    CHECK_INT(drain(&r, &polls), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12000; i++) { /* in a second */
            snprintf(line, sizeof(line), "%d %d", round, i);
            add(&r, "a", r.now_ns + i * 80000, line);
        }
        r.now_ns += S;
        CHECK_INT(drain(&r, &polls), 12000);
        CHECK(polls < 40);
    }
    for (int i = 0; i < 30; i++) { /* it looks back again when there is less */
        r.now_ns += S;
        CHECK_INT(drain(&r, &polls), 0);
    }
    add(&r, "a", r.now_ns - 9 * S, "late");
    CHECK_INT(drain(&r, &polls), 1);
    rig_done(&r);
}

TEST(logtail_cuts_large_batches)
{
    static char big[200001];
    struct rig r = rig_new(
        &(struct logtail_opts){.expr = SLICE("{app=\"a\"}"), .start_ns = T0 - S, .limit = 100});
    int polls;

    memset(big, 'x', sizeof(big) - 1);
    CHECK_INT(drain(&r, &polls), 0);
    for (int i = 0; i < 50; i++) { /* all of one moment */
        big[0] = (char)('A' + i);
        add(&r, "a", r.now_ns, big);
    }
    r.now_ns += S;
    CHECK_INT(drain(&r, &polls), 50);
    CHECK(polls >= 9);
    rig_done(&r);
}

TEST(logtail_is_over_with_a_moment_of_too_many)
{
    struct rig r = rig_new(
        &(struct logtail_opts){.expr = SLICE("{app=\"a\"}"), .start_ns = T0 - S, .limit = 100});
    char line[64];
    int polls;

    CHECK_INT(drain(&r, &polls), 0);
    for (int i = 0; i < LOGTAIL_LINES + 1000; i++) {
        snprintf(line, sizeof(line), "%d", i);
        add(&r, "a", r.now_ns, line);
    }
    add(&r, "a", r.now_ns + 1, "after it");
    r.now_ns += S;
    CHECK_INT(drain(&r, &polls), LOGTAIL_LINES + 1);
    rig_done(&r);
}

TEST(logtail_goes_on_after_an_error)
{
    struct rig r = rig_new(
        &(struct logtail_opts){.expr = SLICE("{app=\"a\"}"), .start_ns = T0 - S, .limit = 100});
    struct arena *a = arena_new(0);
    struct logtail_batch b = {0};
    atomic_bool cancel = true;

    for (int i = 0; i < 300; i++) {
        char line[32];

        snprintf(line, sizeof(line), "%d", i);
        add(&r, "a", T0 - S / 2 + i, line);
    }
    CHECK_ERR(logtail_poll(r.tail, r.eng, logtable_source(r.table), a,
                           &(struct logtail_poll){.now_ns = T0, .cancel = &cancel}, &b),
              ERR_CANCELED, "");
    CHECK(b.messages.len == 0);
    arena_free(a);
    b = poll(&r);
    CHECK(b.lines == 100 && b.messages.len == 1);
    logtail_batch_done(&b);
    rig_done(&r);
}
