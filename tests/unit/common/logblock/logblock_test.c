/* A block of log lines: what goes in comes back, all of it or what a query asks for. */
#include <pthread.h>

#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/block/block_summary.h"
#include "common/logblock/logblock_internal.h"
#include "common/objstore/objpages.h"
#include "tests/unit/common/logblock/logblock_fixture.h"
#include "tests/unit/common/objstore/counting_store.h"

static struct buf read_file(uint8_t id, const char *name)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};

    CHECK_OK(fsx_read(arena_printf(a, "%s/%s", fixture_path(id), name), 1u << 30, &b));
    arena_free(a);
    return b;
}

static bool holds_all(struct slice line, const struct logblock_query *q)
{
    for (size_t i = 0; i < q->n_needles; i++)
        if (q->needles[i].len && slice_find(line, q->needles[i], 0) < 0)
            return false;
    return true;
}

static bool is_wanted(const struct logpage_entry *e, const struct logblock_query *q)
{
    return e->ts_ns >= q->from_ns && e->ts_ns < q->to_ns && holds_all(e->line, q);
}

/* The entries of a stream that the query wants, in its order. */
static struct logpage_entry **wanted(struct arena *a, const struct fixture_stream *s,
                                     const struct logblock_query *q, size_t *ret_n)
{
    struct logpage_entry **out = arena_array(a, struct logpage_entry *, s->n);
    size_t n = 0;

    for (size_t k = 0; k < s->n; k++) {
        struct logpage_entry *e = &s->e[q->is_backward ? s->n - 1 - k : k];

        if (is_wanted(e, q))
            out[n++] = e;
    }
    *ret_n = n;
    return out;
}

/* The query's answer is what the fixture has. */
static struct logblock_stats check_query(const struct fixture *f, struct logblock *b,
                                         const struct logblock_query *q)
{
    struct arena *a = arena_new(0);
    struct logblock_set *set;
    struct logblock_stream st;
    struct logblock_stats stats;
    size_t i = 0, n;

    CHECK_OK(logblock_select(b, a, q, &set));
    while (logblock_set_stream(set, &st)) {
        struct logpage_entry **want, got;

        while (i < f->n && hash128_cmp(f->s[i].fp, st.fp) < 0) {
            if (matchers_match(q->matchers, f->s[i].labels)) {
                (void)wanted(a, &f->s[i], q, &n);
                CHECK_INT(n, 0);
            }
            i++;
        }
        CHECK(i < f->n && hash128_eq(f->s[i].fp, st.fp) && labels_eq(st.labels, f->s[i].labels));
        CHECK(matchers_match(q->matchers, st.labels));
        CHECK_INT(st.entries, f->s[i].n);
        want = wanted(a, &f->s[i], q, &n);
        for (size_t k = 0; k < n; k++) {
            CHECK(logblock_set_entry(set, &got));
            fixture_check_entry(&got, want[k]);
        }
        CHECK(!logblock_set_entry(set, &got));
        i++;
    }
    for (; i < f->n; i++)
        if (matchers_match(q->matchers, f->s[i].labels)) {
            (void)wanted(a, &f->s[i], q, &n);
            CHECK_INT(n, 0);
        }
    logblock_set_stats(set, &stats);
    CHECK_OK(logblock_set_close(set));
    arena_free(a);
    return stats;
}

static struct logblock_query everything(void)
{
    return (struct logblock_query){.from_ns = INT64_MIN, .to_ns = INT64_MAX};
}

TEST(logblock_all_comes_back_forward_and_backward)
{
    for (int kind = 0; kind <= LOGTEXT_KINDS; kind++) {
        struct logblock_query q = everything();
        struct fixture_block x;
        struct fixture f;

        fixture_make(&f, 100 + (uint64_t)kind, 40, 6000, kind);
        fixture_write(&f, 1, 0, 1);
        x = fixture_open(1);
        CHECK_INT(block_reader_meta(x.streams)->stats.samples, f.entries);
        CHECK_INT(block_reader_meta(x.streams)->stats.series, f.n);
        CHECK_INT(check_query(&f, x.b, &q).lines, f.entries);
        q.is_backward = true;
        CHECK_INT(check_query(&f, x.b, &q).lines, f.entries);
        fixture_close(x);
        fixture_done(&f);
    }
}

TEST(logblock_ranges_matchers_and_needles_give_what_is_there)
{
    struct arena *a = arena_new(0);
    struct fixture_block x;
    struct fixture f;
    struct rng r;

    fixture_make(&f, 7, 60, 10000, LOGTEXT_KINDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    rng_seed(&r, 8);
    for (int round = 0; round < 60; round++) {
        struct logblock_query q = everything();
        struct slice needles[2];
        struct matcher ms[1];

        q.is_backward = rng_chance(&r, 0.5);
        q.needles = needles;
        if (rng_chance(&r, 0.7)) {
            const struct fixture_stream *s = &f.s[rng_below(&r, f.n)];

            q.from_ns = s->e[rng_below(&r, s->n)].ts_ns;
            q.to_ns = q.from_ns + (int64_t)rng_below(&r, 20000000000);
        }
        if (rng_chance(&r, 0.6)) {
            CHECK_OK(matcher_init(a, rng_chance(&r, 0.5) ? MATCHER_EQ : MATCHER_NE, SLICE("app"),
                                  SLICE("app-3"), &ms[0]));
            q.matchers = (struct matchers){ms, 1};
        }
        q.n_needles = rng_below(&r, 3);
        for (size_t i = 0; i < q.n_needles; i++) {
            const struct fixture_stream *s = &f.s[rng_below(&r, f.n)];
            struct slice line = s->e[rng_below(&r, s->n)].line;

            needles[i] = slice_sub(line, rng_below(&r, line.len + 1), rng_below(&r, 30));
        }
        (void)check_query(&f, x.b, &q);
    }
    fixture_close(x);
    fixture_done(&f);
    arena_free(a);
}

/* Pages that cannot have the needle are not read. */
/* How many lines come of the streams of one share; no other stream does. */
static uint64_t lines_of_share(const struct fixture *f, struct logblock *b,
                               const struct logblock_query *q)
{
    struct arena *a = arena_new(0);
    struct logblock_stream st;
    struct logpage_entry en;
    struct logblock_set *set;
    uint64_t lines = 0;
    size_t i = 0;

    CHECK_OK(logblock_select(b, a, q, &set));
    while (logblock_set_stream(set, &st)) {
        CHECK(st.fp.hi >= q->fp_first && st.fp.hi <= q->fp_last);
        for (; !hash128_eq(f->s[i].fp, st.fp); i++)
            CHECK(f->s[i].fp.hi < q->fp_first || f->s[i].fp.hi > q->fp_last ||
                  !matchers_match(q->matchers, f->s[i].labels));
        i++;
        while (logblock_set_entry(set, &en))
            lines++;
    }
    CHECK_OK(logblock_set_close(set));
    arena_free(a);
    return lines;
}

/* Few streams are looked at one by one, of many the share is looked up: the shares together have all. */
TEST(logblock_shares_of_fingerprints_have_each_stream_once)
{
    static const size_t streams[] = {20, 400};
    struct arena *a = arena_new(0);
    struct matcher m;

    CHECK_OK(matcher_init(a, MATCHER_NE, SLICE("app"), SLICE("app-1"), &m));
    for (size_t i = 0; i < ORR_COUNT(streams); i++) {
        struct fixture_block x;
        struct logblock_set *set;
        struct fixture f;

        fixture_make(&f, 12, streams[i], 60, LOGTEXT_WORDS);
        fixture_write(&f, 1, 0, 1);
        x = fixture_open(1);
        for (int is_some = 0; is_some < 2; is_some++) {
            struct logblock_query q = everything();
            uint64_t want = 0, got = 0, at[6] = {0};

            if (is_some)
                q.matchers = (struct matchers){&m, 1};
            for (size_t k = 0; k < f.n; k++)
                want += matchers_match(q.matchers, f.s[k].labels) ? f.s[k].n : 0;
            /* bounds that are fingerprints of streams, and ones that are not */
            at[1] = f.s[3].fp.hi;
            at[2] = f.s[f.n / 2].fp.hi + 1;
            at[3] = f.s[f.n / 2 + 1].fp.hi;
            at[4] = f.s[f.n - 1].fp.hi + 1;
            for (int k = 0; k < 5; k++) {
                q.fp_first = at[k];
                q.fp_last = at[k + 1] - 1;
                q.max_streams = k % 2 ? f.n : 0;
                got += lines_of_share(&f, x.b, &q);
            }
            CHECK_INT(got, want);
            q.fp_first = q.fp_last = f.s[3].fp.hi; /* too many are too many, whatever the share */
            q.max_streams = 7;
            CHECK_ERR(logblock_select(x.b, a, &q, &set), ERR_LIMIT, "more than 7 streams");
        }
        fixture_close(x);
        fixture_done(&f);
    }
    arena_free(a);
}

TEST(logblock_a_needle_reads_little)
{
    struct logblock_query q = everything();
    struct slice needle = SLICE("id=f00dfacecafe4242");
    struct logblock_stats all, one;
    struct fixture_block x;
    struct fixture f;
    size_t at;

    fixture_make(&f, 9, 30, 40000, LOGTEXT_LOGFMT);
    at = f.s[11].n / 2;
    f.s[11].e[at].line = SLICE("level=info id=f00dfacecafe4242 took=5ms");
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    all = check_query(&f, x.b, &q);
    CHECK_INT(all.pages, block_reader_meta(x.streams)->stats.chunks);
    CHECK_INT(all.pages_skipped, 0);
    CHECK(all.pages > 3);
    q.needles = &needle;
    q.n_needles = 1;
    one = check_query(&f, x.b, &q);
    CHECK_INT(one.lines, 1);
    CHECK_INT(one.pages + one.pages_skipped, all.pages);
    CHECK(one.pages <= 2);
    CHECK(one.page_bytes < all.page_bytes / 2);
    fixture_close(x);
    fixture_done(&f);
}

/* An id of which the filter knows little: the pages that it leaves are told apart by what would stand around the id. */
TEST(logblock_a_short_id_reads_the_beginnings_of_other_pages)
{
    enum { LINES = 60000, ASKED = 97 };
    struct arena *a = arena_new(0);
    struct label label = {SLICE("app"), SLICE("x")};
    struct labels labels = {&label, 1};
    struct logblock_writer *w = fixture_writer(77);
    struct slice *ids = arena_array(a, struct slice, LINES);
    struct block_reader *streams;
    uint64_t page_bytes = 0, n_asked = 0;
    struct block_meta m;
    struct logblock *b;
    struct rng r;

    rng_seed(&r, 4);
    CHECK_OK(logblock_writer_stream(w, labels_fingerprint(labels), labels));
    for (int i = 0; i < LINES; i++) {
        ids[i] = slice_cstr(arena_printf(a, "%08x%08x", rng_u32(&r), rng_u32(&r)));
        CHECK_OK(logblock_writer_entry(
            w, &(struct logpage_entry){
                   .ts_ns = FIXTURE_T0 + i,
                   .line = slice_cstr(arena_printf(
                       a,
                       "level=%s caller=cache.go:%u component=store trace_id=%s msg=\"looked it up "
                       "in the cache of the store\" tenant=team-%u shard=%u took=%u.%03ums "
                       "size=%u user=user-%u",
                       i % 7 ? "info" : "warn", rng_u32(&r) % 90, (const char *)ids[i].ptr,
                       rng_u32(&r) % 40, rng_u32(&r) % 64, rng_u32(&r) % 90, rng_u32(&r) % 1000,
                       rng_u32(&r) % 100000, rng_u32(&r) % 5000))}));
    }
    CHECK_OK(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    CHECK_OK(block_reader_open_dir(fixture_path(77), &streams));
    CHECK_OK(logblock_open(streams, &b));
    for (int i = 5; i < LINES; i += LINES / ASKED, n_asked++) {
        struct logblock_query q = {
            .from_ns = FIXTURE_T0, .to_ns = FIXTURE_T0 + LINES, .needles = &ids[i], .n_needles = 1};
        struct logblock_stats stats;
        struct logblock_stream st;
        struct logblock_set *set;
        struct logpage_entry en;
        int found = 0;

        CHECK_OK(logblock_select(b, a, &q, &set));
        while (logblock_set_stream(set, &st))
            while (logblock_set_entry(set, &en)) {
                CHECK_INT(en.ts_ns - FIXTURE_T0, i);
                found++;
            }
        CHECK_INT(found, 1);
        logblock_set_stats(set, &stats);
        page_bytes += stats.page_bytes;
        CHECK_OK(logblock_set_close(set));
    }
    /* of 11 pages; 141,179 when the columns of all that the filter leaves are searched */
    CHECK(m.stats.chunks > 8 && page_bytes / n_asked < 130000);
    logblock_close(b);
    block_reader_close(streams);
    arena_free(a);
}

TEST(logblock_times_and_limits_narrow)
{
    struct logblock_query q = everything();
    struct arena *a = arena_new(0);
    atomic_bool cancel = true;
    struct logblock_set *set;
    struct fixture_block x;
    struct fixture f;

    fixture_make(&f, 10, 20, 4000, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    q.max_streams = 19;
    CHECK_ERR(logblock_select(x.b, a, &q, &set), ERR_LIMIT, "more than 19 streams");
    q.max_streams = 20;
    (void)check_query(&f, x.b, &q);
    q.cancel = &cancel;
    CHECK_ERR(logblock_select(x.b, a, &q, &set), ERR_CANCELED, "canceled");
    q.cancel = NULL;
    q.deadline_mono_ms = 1;
    CHECK_ERR(logblock_select(x.b, a, &q, &set), ERR_TIMEOUT, "timed out");
    q = everything();
    q.to_ns = FIXTURE_T0 - 1;
    CHECK_INT(check_query(&f, x.b, &q).pages, 0);
    q = (struct logblock_query){.from_ns = 5, .to_ns = 5};
    (void)check_query(&f, x.b, &(struct logblock_query){.from_ns = 5, .to_ns = 5});
    CHECK_OK(logblock_select(x.b, a, &q, &set));
    CHECK_OK(logblock_set_close(set));
    fixture_close(x);
    fixture_done(&f);
    arena_free(a);
}

TEST(logblock_memory_is_bounded_by_the_arena)
{
    struct logblock_query q = everything();
    struct arena *a = arena_new(300000);
    struct logblock_stream st;
    struct logpage_entry en;
    struct logblock_set *set;
    struct fixture_block x;
    struct fixture f;

    fixture_make(&f, 11, 3, 40000, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    CHECK_OK(logblock_select(x.b, a, &q, &set));
    while (logblock_set_stream(set, &st))
        while (logblock_set_entry(set, &en))
            ;
    CHECK_ERR(logblock_set_close(set), ERR_LIMIT, "");
    fixture_close(x);
    fixture_done(&f);
    arena_free(a);
}

/* Pages of hundreds of streams: those are not decoded one by one, nor does memory grow with their number. */
TEST(logblock_of_many_small_streams)
{
    struct logblock_query q = everything();
    struct fixture_block x;
    struct fixture f;

    fixture_make(&f, 30, 6000, 16, LOGTEXT_KINDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    CHECK(block_reader_meta(x.streams)->stats.chunks < 20);
    for (int round = 0; round < 4; round++) {
        struct slice needle = SLICE("connection");

        q.is_backward = round % 2;
        q.needles = &needle;
        q.n_needles = (size_t)round / 2;
        (void)check_query(&f, x.b, &q);
    }
    fixture_close(x);
    fixture_done(&f);
}

/* ---- threads: an open block is asked by many at once ---- */

struct asker {
    const struct fixture *f;
    struct logblock *b;
    int i;
};

static void *ask(void *arg)
{
    struct asker *k = arg;

    for (int round = 0; round < 6; round++) {
        struct slice needle = SLICE("connection from");
        struct logblock_query q = everything();

        q.is_backward = (round + k->i) % 2;
        q.needles = &needle;
        q.n_needles = (size_t)(round % 3 == 0);
        (void)check_query(k->f, k->b, &q);
    }
    return NULL;
}

TEST(logblock_is_asked_by_many_threads)
{
    struct asker askers[4];
    pthread_t threads[4];
    struct fixture_block x;
    struct fixture f;

    fixture_make(&f, 31, 30, 1000, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    for (int i = 0; i < 4; i++) {
        askers[i] = (struct asker){&f, x.b, i};
        CHECK_INT(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    fixture_close(x);
    fixture_done(&f);
}

/* ---- what lines can be ---- */

TEST(logblock_empty_huge_and_equal_lines_and_times_far_off)
{
    struct logblock_query q = everything();
    struct fixture f = {.a = arena_new(0), .n = 4};
    struct fixture_block x;
    struct buf huge = {0};
    static const int64_t times[] = {INT64_MIN, -1000001, -1, 0, 999999, 1000000, INT64_MAX - 1};

    buf_fill(&huge, 'x', 10 << 20);
    f.s = arena_array(f.a, struct fixture_stream, f.n);
    for (size_t i = 0; i < f.n; i++) {
        f.s[i].labels = fixture_labels(&f, i);
        f.s[i].fp = (struct hash128){5 - i, i / 2};
        f.s[i].e = arena_array(f.a, struct logpage_entry, 4000);
    }
    f.s[1].fp = (struct hash128){9, 0};
    f.s[3].labels = (struct labels){0}; /* a stream of no labels is one */
    f.s[3].fp = (struct hash128){0, 3};
    for (size_t k = 0; k < ORR_COUNT(times); k++)
        f.s[0].e[f.s[0].n++] = (struct logpage_entry){.ts_ns = times[k], .line = SLICE_EMPTY};
    for (size_t k = 0; k < 4000; k++) /* of one time, in no order */
        f.s[1].e[f.s[1].n++] = (struct logpage_entry){
            .ts_ns = 7, .line = slice_cstr(arena_printf(f.a, "%zu", k * 7919 % 4000))};
    for (size_t k = 0; k < 3; k++)
        f.s[2].e[f.s[2].n++] = (struct logpage_entry){
            .ts_ns = 5, .line = slice_sub(buf_slice(&huge), 0, huge.len - k)};
    f.s[3].e[f.s[3].n++] = (struct logpage_entry){.ts_ns = 5, .line = SLICE("one")};
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    (void)check_query(&f, x.b, &q);
    q.is_backward = true;
    (void)check_query(&f, x.b, &q);
    for (size_t i = 0; i < ORR_COUNT(times); i++) {
        q.from_ns = times[i];
        q.to_ns = times[i] + 1;
        (void)check_query(&f, x.b, &q);
    }
    fixture_close(x);
    buf_done(&huge);
    fixture_done(&f);
}

TEST(logblock_empty_is_valid_and_names_its_segments)
{
    struct slice segments[] = {SLICE("seg-a"), SLICE("seg-b")};
    struct logblock_query q = everything();
    struct arena *a = arena_new(0);
    struct logblock_writer *w;
    struct block_meta m;
    struct fixture_block x;
    struct fixture f = {.a = a};

    CHECK_OK(logblock_writer_open(&(struct logblock_writer_opts){.dir = tmp_path(""),
                                                                 .meta = {.ulid = fixture_ulid(1),
                                                                          .min_t = 5,
                                                                          .max_t = 9,
                                                                          .segments = segments,
                                                                          .n_segments = 2}},
                                  &w));
    CHECK_OK(logblock_writer_stream(w, (struct hash128){1, 1}, fixture_labels(&f, 1)));
    CHECK_OK(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    CHECK_INT(m.n_segments, 2);
    CHECK_INT(m.min_t, 5);
    CHECK_INT(m.stats.series, 0);
    x = fixture_open(1);
    (void)check_query(&f, x.b, &q);
    fixture_close(x);
    arena_free(a);
}

TEST(logblock_with_a_summary_need_not_be_opened)
{
    struct arena *a = arena_new(0);
    struct fixture f = {.a = a};
    struct block_summary s;
    struct logblock_writer *w;
    struct matcher ms[1];
    struct block_meta m;
    struct buf b;

    CHECK_OK(logblock_writer_open(&(struct logblock_writer_opts){.dir = tmp_path(""),
                                                                 .meta.ulid = fixture_ulid(1),
                                                                 .has_summary = true},
                                  &w));
    for (size_t i = 0; i < 100; i++) {
        CHECK_OK(logblock_writer_stream(w, (struct hash128){i, 1}, fixture_labels(&f, i)));
        for (int k = 0; k < 40; k++)
            CHECK_OK(logblock_writer_entry(
                w, &(struct logpage_entry){
                       .ts_ns = k, .line = slice_cstr(arena_printf(a, "%zu of %d", i, k))}));
    }
    CHECK_OK(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    CHECK(block_meta_has_sidecar(&m, BLOCK_SUMMARY_FILE));
    b = read_file(1, BLOCK_SUMMARY_FILE);
    CHECK_OK(block_summary_open(buf_slice(&b), fixture_ulid(1), &s));
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("pod"), SLICE("pod-00099"), &ms[0]));
    CHECK(block_summary_may_match(&s, (struct labels){0}, (struct matchers){ms, 1}));
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("pod"), SLICE("pod-00100"), &ms[0]));
    CHECK(!block_summary_may_match(&s, (struct labels){0}, (struct matchers){ms, 1}));
    buf_done(&b);
    arena_free(a);
}

TEST(logblock_writer_refuses_what_is_out_of_order)
{
    struct fixture f = {.a = arena_new(0)};
    struct logblock_writer *w = fixture_writer(1);
    struct label bad[2] = {{SLICE("b"), SLICE("x")}, {SLICE("a"), SLICE("x")}};
    struct logpage_entry e = {.ts_ns = 5, .line = SLICE("x")};

    CHECK_ERR(logblock_writer_entry(w, &e), ERR_INVALID, "before its stream");
    CHECK_OK(logblock_writer_stream(w, (struct hash128){1, 1}, fixture_labels(&f, 1)));
    CHECK_OK(logblock_writer_entry(w, &e));
    e.ts_ns = 4;
    CHECK_ERR(logblock_writer_entry(w, &e), ERR_INVALID, "times descend");
    CHECK_ERR(logblock_writer_stream(w, (struct hash128){1, 1}, fixture_labels(&f, 2)), ERR_INVALID,
              "not behind");
    CHECK_ERR(logblock_writer_stream(w, (struct hash128){2, 1}, (struct labels){bad, 2}),
              ERR_INVALID, "not sorted");
    logblock_writer_close(w);
    CHECK(!fsx_exists(fixture_path(1)));
    CHECK(!fsx_exists(tmp_path(arena_printf(f.a, "%s.tmp", ulid_print(fixture_ulid(1)).s))));
    fixture_done(&f);
}

TEST(logblock_writer_leaves_nothing_half_whichever_call_fails)
{
    struct fixture f;

    fixture_make(&f, 12, 3, 50, LOGTEXT_JSON);
    FAULT_SWEEP (n) {
        struct arena *a = arena_new(0);
        struct logblock_writer *w = NULL;
        struct block_meta m;
        struct err *e = logblock_writer_open(
            &(struct logblock_writer_opts){.dir = tmp_path("d"), .meta.ulid = fixture_ulid(1)}, &w);

        for (size_t i = 0; !e && i < f.n; i++) {
            e = logblock_writer_stream(w, f.s[i].fp, f.s[i].labels);
            for (size_t k = 0; !e && k < f.s[i].n; k++)
                e = logblock_writer_entry(w, &f.s[i].e[k]);
        }
        if (!e)
            e = logblock_writer_finish(w, a, &m);
        logblock_writer_close(w);
        CHECK(e || fsx_exists(
                       tmp_path(arena_printf(a, "d/%s/meta.json", ulid_print(fixture_ulid(1)).s))));
        err_free(e);
        arena_free(a);
    }
    fixture_done(&f);
}

/* ---- bytes ---- */

static const char *const files[] = {BLOCK_META_FILE, "index", LOGBLOCK_PAGES_FILE,
                                    LOGBLOCK_DIRECTORY_FILE, LOGBLOCK_FILTER_FILE};

static void write_file(uint8_t id, const char *name, struct slice bytes)
{
    struct arena *a = arena_new(0);
    FILE *f = fopen(arena_printf(a, "%s/%s", fixture_path(id), name), "wb"); /* no fsync */

    CHECK(f && fwrite(bytes.ptr, 1, bytes.len, f) == bytes.len && fclose(f) == 0);
    arena_free(a);
}

TEST(logblock_the_same_lines_give_the_same_bytes)
{
    struct fixture f;

    fixture_make(&f, 13, 20, 3000, LOGTEXT_KINDS);
    fixture_write(&f, 1, 0, 1);
    fixture_write(&f, 2, 0, 1);
    for (size_t i = 1; i < ORR_COUNT(files); i++) {
        struct buf x = read_file(1, files[i]), y = read_file(2, files[i]);

        CHECK(slice_eq(buf_slice(&x), buf_slice(&y)));
        buf_done(&x);
        buf_done(&y);
    }
    fixture_done(&f);
}

/* Reads all that there is, with a needle, with a bound, and without. */
static struct err *read_all(uint8_t id)
{
    struct logblock_query q = everything();
    struct arena *a = arena_new(64u << 20);
    struct slice needle = SLICE("connection from ");
    struct logblock_bound bound = {LOGPAGE_LOGFMT, SLICE("n"), 200, 1e9};
    struct block_reader *streams = NULL;
    struct logblock *b = NULL;
    struct err *e = block_reader_open_dir(fixture_path(id), &streams);

    if (!e)
        e = logblock_open(streams, &b);
    for (int pass = 0; !e && pass < 3; pass++) {
        struct logblock_set *set;
        struct logblock_stream st;
        struct logpage_entry en;

        q.needles = &needle;
        q.n_needles = (size_t)(pass == 1);
        q.bound = pass == 2 ? &bound : NULL;
        q.is_backward = pass == 1;
        if ((e = logblock_select(b, a, &q, &set)))
            break;
        while (logblock_set_stream(set, &st))
            while (logblock_set_entry(set, &en))
                ;
        e = logblock_set_close(set);
    }
    logblock_close(b);
    block_reader_close(streams);
    arena_free(a);
    return e;
}

TEST(logblock_broken_bytes_are_corrupt_and_never_more)
{
    struct fixture f;
    struct rng r;

    fixture_make(&f, 14, 12, 400, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    CHECK_OK(read_all(1));
    rng_seed(&r, 15);
    for (size_t i = 1; i < ORR_COUNT(files); i++) {
        struct buf good = read_file(1, files[i]);
        size_t n_found = 0;

        for (int round = 0; round < 150; round++) {
            size_t at = rng_below(&r, good.len);
            uint8_t bit = (uint8_t)(1 << rng_below(&r, 8));
            struct err *e;

            good.ptr[at] ^= bit;
            write_file(1, files[i], slice_sub(buf_slice(&good), 0, round % 10 ? good.len : at));
            good.ptr[at] ^= bit;
            e = read_all(1);
            n_found += e != NULL;
            if (e && !err_is(e, ERR_CORRUPT) && !err_is(e, ERR_LIMIT))
                test_fail(__FILE__, __LINE__, "%s: %s", files[i], err_msg(e));
            CHECK(!e || strstr(err_msg(e), ulid_print(fixture_ulid(1)).s));
            err_free(e);
        }
        write_file(1, files[i], buf_slice(&good));
        CHECK(n_found > 20);
        buf_done(&good);
    }
    fixture_done(&f);
}

TEST(logblock_directory_is_checked)
{
    struct logblock_page_at p = {.bytes = 200, .entries = 3, .raw = 30, .min_ns = 1, .max_ns = 2};
    struct logblock_stream_at s = {.fp = {1, 1}, .entries = 3, .bytes = 30};
    struct buf pages = {0}, streams = {0}, out = {0};
    struct logblock_directory d;

    logblock_directory_put_page(&pages, &p);
    logblock_directory_put_stream(&streams, &s);
    logblock_directory_write(buf_slice(&pages), buf_slice(&streams), &out);
    CHECK_OK(logblock_directory_parse(buf_slice(&out), &d));
    CHECK_INT(d.n_pages, 1);
    CHECK_INT(logblock_directory_page(&d, 0).raw, 30);
    CHECK_INT(logblock_directory_stream(&d, 0).bytes, 30);
    for (size_t n = 0; n < out.len; n++)
        CHECK_ERR(logblock_directory_parse(slice_of(out.ptr, n), &d), ERR_CORRUPT, "directory");
    s.fp.hi = 0;
    logblock_directory_put_stream(&streams, &s);
    logblock_directory_write(buf_slice(&pages), buf_slice(&streams), &out);
    CHECK_ERR(logblock_directory_parse(buf_slice(&out), &d), ERR_CORRUPT, "out of order");
    p.offset = 201;
    logblock_directory_put_page(&pages, &p);
    logblock_directory_write(buf_slice(&pages), buf_slice(&streams), &out);
    CHECK_ERR(logblock_directory_parse(buf_slice(&out), &d), ERR_CORRUPT, "where it cannot");
    buf_done(&pages);
    buf_done(&streams);
    buf_done(&out);
}

/* ---- from a bucket ---- */

struct rig {
    struct counting_store store;
    struct objpages *pages;
    struct arena *arena;
    struct slice prefix;
    struct fixture f;
};

static void rig_up(struct rig *g, int kind)
{
    struct fixture_block x;

    *g = (struct rig){.arena = arena_new(0)};
    counting_store_open(&g->store);
    fixture_make(&g->f, 16, 300, 8000, kind);
    fixture_write(&g->f, 1, 0, 1);
    x = fixture_open(1);
    CHECK_OK(block_store_upload(&g->store.base, SLICE("logs"), SLICE("t"), fixture_path(1),
                                block_reader_meta(x.streams)));
    fixture_close(x);
    g->prefix = block_store_prefix(g->arena, SLICE("logs"), SLICE("t"), fixture_ulid(1));
    g->pages =
        objpages_new(&(struct objpages_opts){.store = &g->store.base, .max_bytes = 64u << 20});
    g->store.gets = g->store.bytes = 0;
}

static void rig_down(struct rig *g)
{
    objpages_free(g->pages);
    counting_store_close(&g->store);
    fixture_done(&g->f);
    arena_free(g->arena);
}

/* With an empty cache: meta.json, index, directory, the filter's end and its stripes, and then the page in two. */
static void check_far_needle(struct rig *g)
{
    struct logblock_query q = everything();
    struct logpage_entry *e = &g->f.s[100].e[0];
    struct fixture_block x;
    uint64_t gets;

    for (size_t i = 0; i < g->f.n; i++) /* a long one */
        for (size_t k = 0; k < g->f.s[i].n; k++)
            if (g->f.s[i].e[k].line.len > e->line.len)
                e = &g->f.s[i].e[k];
    objpages_free(g->pages);
    g->pages =
        objpages_new(&(struct objpages_opts){.store = &g->store.base, .max_bytes = 64u << 20});
    CHECK_OK(block_reader_open(block_source_pages(g->pages, NULL, g->prefix), NULL, &x.streams));
    CHECK_OK(logblock_open(x.streams, &x.b));
    gets = g->store.gets;
    q.needles = &e->line;
    q.n_needles = 1;
    CHECK(check_query(&g->f, x.b, &q).lines >= 1);
    CHECK(g->store.gets - gets <= 20);
    fixture_close(x);
}

TEST(logblock_far_is_read_with_few_requests)
{
    struct logblock_query q = everything();
    struct slice needle = SLICE("id=f00dfacecafe4242");
    struct objpages_stats stats;
    struct fixture_block x;
    struct rig g;

    rig_up(&g, LOGTEXT_KINDS);
    CHECK_OK(block_reader_open(block_source_pages(g.pages, NULL, g.prefix), NULL, &x.streams));
    CHECK_OK(logblock_open(x.streams, &x.b));
    CHECK(block_reader_meta(x.streams)->stats.chunks >= 8);
    (void)check_query(&g.f, x.b, &q);
    CHECK(g.store.gets < 25);
    CHECK(logblock_memory(x.b) > 16);
    q.is_backward = true;
    (void)check_query(&g.f, x.b, &q);
    q.needles = &needle;
    q.n_needles = 1;
    CHECK_INT(check_query(&g.f, x.b, &q).lines, 0);
    fixture_close(x);
    check_far_needle(&g);
    objpages_stats_get(g.pages, &stats);
    CHECK_INT(stats.held_bytes, 0);
    rig_down(&g);
}

TEST(logblock_from_an_object_store_without_a_cache)
{
    struct logblock_query q = everything();
    struct fixture_block x;
    struct rig g;

    rig_up(&g, LOGTEXT_KINDS);
    CHECK_OK(block_reader_open(block_source_objstore(&g.store.base, g.prefix), NULL, &x.streams));
    CHECK_OK(logblock_open(x.streams, &x.b));
    (void)check_query(&g.f, x.b, &q);
    CHECK(g.store.gets < 15);
    q.is_backward = true;
    (void)check_query(&g.f, x.b, &q);
    fixture_close(x);
    rig_down(&g);
}

/* ---- verify ---- */

static struct err *verify(uint8_t id)
{
    struct block_reader *streams = NULL;
    struct logblock *b = NULL;
    struct err *e = block_reader_open_dir(fixture_path(id), &streams);

    if (!e && !(e = logblock_open(streams, &b)))
        e = logblock_verify(b);
    logblock_close(b);
    block_reader_close(streams);
    return e;
}

TEST(logblock_verify_finds_every_bit_that_is_wrong)
{
    struct fixture f;
    struct rng r;

    fixture_make(&f, 17, 12, 400, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    CHECK_OK(verify(1));
    rng_seed(&r, 18);
    for (size_t i = 2; i < ORR_COUNT(files);
         i++) { /* the index has bytes between series that mean nothing */
        struct buf good = read_file(1, files[i]);

        for (int round = 0; round < 150; round++) {
            size_t at = rng_below(&r, good.len);
            uint8_t bit = (uint8_t)(1 << rng_below(&r, 8));

            good.ptr[at] ^= bit;
            write_file(1, files[i], buf_slice(&good));
            good.ptr[at] ^= bit;
            CHECK_ERR(verify(1), ERR_CORRUPT, ulid_print(fixture_ulid(1)).s);
        }
        write_file(1, files[i], buf_slice(&good));
        buf_done(&good);
    }
    CHECK_OK(verify(1));
    fixture_done(&f);
}

/* Each file is sound by itself, but it is another block's. */
TEST(logblock_verify_finds_files_of_another_block)
{
    struct fixture f;

    fixture_make(&f, 19, 12, 400, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    f.s[3].e[0].line = SLICE("another line than the one before");
    f.s[5].e[0].ts_ns -= 1000000;
    fixture_write(&f, 2, 0, 1);
    CHECK_OK(verify(2));
    for (size_t i = 0; i < ORR_COUNT(files); i++) {
        struct buf other = read_file(2, files[i]), own = read_file(1, files[i]);
        struct err *e;

        write_file(1, files[i], buf_slice(&other));
        e = verify(1);
        CHECK(i == 0 || err_is(e, ERR_CORRUPT)); /* of meta.json only times and sizes could tell */
        err_free(e);
        write_file(1, files[i], buf_slice(&own));
        buf_done(&other);
        buf_done(&own);
    }
    CHECK_OK(verify(1));
    fixture_done(&f);
}

/* Merged with the stream whose name it has it would be an error that looking again does not mend. */
TEST(logblock_verify_finds_labels_under_another_fingerprint)
{
    struct logblock_writer *w = fixture_writer(1);
    struct fixture f;

    fixture_make(&f, 20, 2, 10, LOGTEXT_WORDS);
    CHECK_OK(logblock_writer_stream(w, f.s[0].fp, f.s[1].labels));
    CHECK_OK(logblock_writer_entry(w, &f.s[0].e[0]));
    fixture_finish(w);
    CHECK_ERR(verify(1), ERR_CORRUPT, "fingerprint");
    fixture_done(&f);
}

TEST(logblock_verify_of_an_empty_block)
{
    fixture_finish(fixture_writer(1));
    CHECK_OK(verify(1));
}
