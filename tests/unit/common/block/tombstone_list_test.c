#include "common/block/aggr_build.h"
#include "common/block/sidecar.h"
#include "common/block/tombstone_list.h"
#include "common/block/tombstone_stream.h"
#include "common/objstore/objstore_fs.h"
#include "tests/unit/test.h"

static struct ulid id(uint8_t i)
{
    uint8_t entropy[10] = {[9] = i};

    return ulid_make(1700000000000, entropy);
}

static void add(struct tombstone_list *l, uint8_t i, const char *value, int64_t min, int64_t max)
{
    struct arena *a = arena_new(0);
    struct matcher m[2];
    struct tombstone t = {.ulid = id(i), .created_ms = 7, .min_ms = min, .max_ms = max};

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("__name__"), SLICE("up"), &m[0]));
    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("job"), slice_cstr(value), &m[1]));
    t.matchers = (struct matchers){m, 2};
    CHECK_OK(tombstone_list_add(l, &t));
    matchers_done(t.matchers);
    arena_free(a);
}

static const struct label up_a[] = {{SLICE_INIT("__name__"), SLICE_INIT("up")},
                                    {SLICE_INIT("job"), SLICE_INIT("a")}};
static const struct label up_b[] = {{SLICE_INIT("__name__"), SLICE_INIT("up")},
                                    {SLICE_INIT("job"), SLICE_INIT("b")}};

TEST(tombstone_list_reads_back_what_it_wrote)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t")), *back;
    const struct tombstone *all;
    struct buf b = {0};
    size_t n;

    add(l, 1, "a|c", -5, 100);
    add(l, 1, "x", 0, 1); /* the same id: stays as it was */
    add(l, 2, "b.*", 7, 7);
    tombstone_list_write(&b, l);
    CHECK_OK(tombstone_list_parse(buf_slice(&b), &back));
    all = tombstone_list_all(back, &n);
    CHECK_INT(n, 2);
    CHECK(ulid_eq(all[0].ulid, id(1)));
    CHECK_INT(all[0].created_ms, 7);
    CHECK_INT(all[0].min_ms, -5);
    CHECK_INT(all[0].max_ms, 100);
    CHECK(matchers_match(all[0].matchers, (struct labels){up_a, 2}));
    CHECK(!matchers_match(all[0].matchers, (struct labels){up_b, 2}));
    CHECK_SLICE(tombstone_list_tenant(back), "t");
    CHECK(tombstone_list_remove(back, id(1)) && !tombstone_list_remove(back, id(1)));
    tombstone_list_unref(back);
    for (size_t i = 0; i < b.len; i++) {
        b.ptr[i] ^= 1;
        CHECK_ERR(tombstone_list_parse(buf_slice(&b), &back), ERR_CORRUPT, "tombstones");
        b.ptr[i] ^= 1;
        CHECK_ERR(tombstone_list_parse(slice_sub(buf_slice(&b), 0, i), &back), ERR_CORRUPT, "");
    }
    buf_done(&b);
    tombstone_list_unref(l);
}

static void add_lines(struct tombstone_list *l, uint8_t i, const char *query)
{
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.ulid = id(i), .created_ms = 7, .max_ms = 100, .matchers = {&m, 1}};

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("app"), SLICE("x"), &m));
    t.query = slice_cstr(query);
    CHECK_OK(tombstone_list_add(l, &t));
    matcher_done(&m);
    arena_free(a);
}

TEST(tombstone_list_keeps_queries_and_states)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t")), *back, *begun;
    const struct tombstone *all;
    struct buf b = {0};
    size_t n;

    add_lines(l, 1, "{app=\"x\"} |= \"y\"");
    add_lines(l, 2, "");
    add_lines(l, 3, "{app=\"x\"}");
    CHECK(tombstone_list_advance(l, id(2), TOMBSTONE_BEGUN, 5));
    CHECK(!tombstone_list_advance(l, id(2), TOMBSTONE_BEGUN, 5));
    CHECK(tombstone_list_advance(l, id(3), TOMBSTONE_PROCESSED, 1234));
    CHECK(!tombstone_list_advance(l, id(3), TOMBSTONE_BEGUN, 5));
    CHECK(!tombstone_list_advance(l, id(4), TOMBSTONE_BEGUN, 5));
    tombstone_list_write(&b, l);
    CHECK_OK(tombstone_list_parse(buf_slice(&b), &back));
    all = tombstone_list_all(back, &n);
    CHECK_INT(n, 3);
    CHECK_SLICE(all[0].query, "{app=\"x\"} |= \"y\"");
    CHECK_INT(all[0].state, TOMBSTONE_RECEIVED);
    CHECK_INT(all[1].query.len, 0);
    CHECK_INT(all[1].state, TOMBSTONE_BEGUN);
    CHECK_INT(all[2].state, TOMBSTONE_PROCESSED);
    CHECK_INT(all[2].processed_ms, 1234);
    CHECK_INT(tombstone_list_open(back), 2);
    CHECK(tombstone_list_reaches(back, 0, 1));
    CHECK_OK(tombstone_list_parse(buf_slice(&b), &begun));
    tombstone_list_keep_begun(begun);
    CHECK_INT(tombstone_list_version(begun), tombstone_list_version(l));
    all = tombstone_list_all(begun, &n);
    CHECK(n == 1 && ulid_eq(all[0].ulid, id(2)));
    tombstone_list_unref(begun);
    CHECK(tombstone_list_find(back, id(2)) && !tombstone_list_find(back, id(4)));
    CHECK(tombstone_list_remove(back, id(1)) && tombstone_list_remove(back, id(2)));
    CHECK(!tombstone_list_reaches(back, 0, 1)); /* it is over */
    tombstone_list_unref(back);
    for (size_t i = 0; i < b.len; i++) {
        b.ptr[i] ^= 1;
        CHECK_ERR(tombstone_list_parse(buf_slice(&b), &back), ERR_CORRUPT, "tombstones");
        b.ptr[i] ^= 1;
        CHECK_ERR(tombstone_list_parse(slice_sub(buf_slice(&b), 0, i), &back), ERR_CORRUPT, "");
    }
    buf_done(&b);
    tombstone_list_unref(l);
}

static struct err *change(struct tombstone_list *l, uint8_t gone, bool is_forced, bool *ret_changed)
{
    const struct ulid ids[] = {id(gone)};
    struct tombstone_list *more = tombstone_list_new(SLICE("t"));
    struct buf b = {0};
    struct err *e;

    add_lines(more, 9, "{app=\"x\"}");
    tombstone_change_encode(
        &b, &(struct tombstone_change){
                .gone = ids, .n_gone = 1, .is_forced = is_forced, .add = is_forced ? more : NULL});
    *ret_changed = false;
    e = tombstone_change_apply(buf_slice(&b), l, ret_changed);
    buf_done(&b);
    tombstone_list_unref(more);
    return e;
}

TEST(tombstone_list_does_not_give_back_what_is_begun)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    bool changed;
    size_t n;

    for (uint8_t i = 1; i <= 4; i++)
        add_lines(l, i, "{app=\"x\"}");
    CHECK(tombstone_list_advance(l, id(2), TOMBSTONE_BEGUN, 0));
    CHECK(tombstone_list_advance(l, id(3), TOMBSTONE_PROCESSED, 0));
    CHECK_OK(change(l, 1, false, &changed));
    CHECK(changed);
    CHECK_OK(change(l, 1, false, &changed)); /* again */
    CHECK(!changed);
    CHECK_ERR(change(l, 2, false, &changed), ERR_INVALID, "in process");
    CHECK_OK(change(l, 2, true, &changed));
    CHECK(changed);
    CHECK_ERR(change(l, 3, true, &changed), ERR_INVALID, "already processed");
    (void)tombstone_list_all(l, &n);
    CHECK_INT(n, 3); /* 3, 4 and the 9 that came with a change */
    tombstone_list_unref(l);
}

/* n of them, each processed at its number in ms but the first. */
static struct tombstone_list *processed(size_t n, struct slice query)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));

    for (size_t i = 0; i < n; i++) {
        uint8_t entropy[10] = {[8] = (uint8_t)(i >> 8), [9] = (uint8_t)i};
        struct ulid ulid = ulid_make(1700000000000, entropy);

        CHECK_OK(tombstone_list_add(l, &(struct tombstone){.ulid = ulid, .query = query}));
        CHECK(!i || tombstone_list_advance(l, ulid, TOMBSTONE_PROCESSED, (int64_t)i));
    }
    return l;
}

/* However it is filled, what is processed leaves room for what will be asked for. */
TEST(tombstone_list_forgets_what_is_processed)
{
    static uint8_t text[64 << 10];
    struct {
        size_t n;
        struct slice query;
        int64_t before_ms;
        size_t least, most; /* that are left */
    } cases[] = {
        {10, SLICE("{app=\"x\"}"), 0, 10, 10},
        {10, SLICE("{app=\"x\"}"), 4, 7, 7},
        {6000, SLICE("{app=\"x\"}"), 0, TOMBSTONE_LIST_MAX / 2, TOMBSTONE_LIST_MAX / 2},
        {250, slice_of(text, sizeof(text)), 0, 50, TOMBSTONE_LIST_MAX_BYTES / 2 / sizeof(text)},
    };

    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct tombstone_list *l = processed(cases[i].n, cases[i].query);
        const struct tombstone *all;
        size_t n;

        CHECK(tombstone_list_forget(l, cases[i].before_ms) == (cases[i].least < cases[i].n));
        CHECK(!tombstone_list_forget(l, cases[i].before_ms));
        all = tombstone_list_all(l, &n);
        CHECK(n >= cases[i].least && n <= cases[i].most);
        CHECK_INT(all[0].state, TOMBSTONE_RECEIVED);
        CHECK_INT(all[1].processed_ms, cases[i].n - n + 1); /* the first ones have gone */
        tombstone_list_unref(l);
    }
}

TEST(tombstone_list_joins_spans_that_touch)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    struct arena *a = arena_new(0);
    struct tombstone_span *s;
    size_t n;

    add(l, 1, "a", 50, 100);
    add(l, 2, "a", 10, 20);
    add(l, 3, "a|b", 21, 30);
    add(l, 4, "b", 0, INT64_MAX);
    s = tombstone_list_spans(l, a, (struct labels){up_a, 2}, INT64_MIN, INT64_MAX, &n);
    CHECK_INT(n, 2);
    CHECK_INT(s[0].min_ms, 10);
    CHECK_INT(s[0].max_ms, 30);
    CHECK(tombstone_spans_have(s, n, 10) && tombstone_spans_have(s, n, 100));
    CHECK(!tombstone_spans_have(s, n, 31) && !tombstone_spans_have(s, n, 101));
    s = tombstone_list_spans(l, a, (struct labels){up_b, 2}, 5, 6, &n);
    CHECK_INT(n, 1);
    CHECK_INT(s[0].max_ms, INT64_MAX);
    (void)tombstone_list_spans(l, a, (struct labels){up_a, 2}, 101, 200, &n);
    CHECK_INT(n, 0);
    CHECK(tombstone_list_reaches(l, 101, 200));
    CHECK(tombstone_list_remove(l, id(4)));
    CHECK(!tombstone_list_reaches(l, 101, 200));
    arena_free(a);
    tombstone_list_unref(l);
}

static void check_edges(const struct tombstone_list *l, const struct matcher *m, int64_t min_ms,
                        int64_t max_ms, const char *want)
{
    struct arena *a = arena_new(0);
    struct matchers ms = {m, 1};
    struct buf out = {0};
    size_t n;
    int64_t *edges = tombstone_list_edges(l, a, m ? &ms : NULL, min_ms, max_ms, &n);

    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%lld", i ? " " : "", (long long)edges[i]);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    arena_free(a);
}

TEST(tombstone_list_says_where_deletions_begin_and_end)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    struct arena *a = arena_new(0);
    struct matcher m[3];

    add(l, 1, "a", 50, 99);
    add(l, 2, "b", 10, 49);
    add(l, 3, "c", INT64_MIN, INT64_MAX);
    check_edges(l, NULL, 0, 1000, "10 50 100");
    check_edges(l, NULL, INT64_MIN, INT64_MAX, "-9223372036854775808 10 50 100");
    check_edges(l, NULL, 11, 99, "50");
    check_edges(l, NULL, 100, 200, "");
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("__name__"), SLICE("up"), &m[0]));
    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("__name__"), SLICE("down|off"), &m[1]));
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("job"), SLICE("b"), &m[2]));
    check_edges(l, &m[0], 0, 1000, "10 50 100");
    check_edges(l, &m[1], 0, 1000, "");      /* up is none of these */
    check_edges(l, &m[2], 0, 1000, "10 50"); /* what is of a and c alone is not of b */
    for (int i = 0; i < 3; i++)
        matcher_done(&m[i]);
    arena_free(a);
    tombstone_list_unref(l);
}

static struct err *add_third(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    (void)arg;
    add(l, 3, "a", 1, 2);
    *ret_changed = true;
    return NULL;
}

TEST(tombstone_list_lives_in_the_bucket)
{
    struct tombstone_list *l;
    struct objstore *store;
    char etag[OBJSTORE_ETAG_BYTES];
    size_t n;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), NULL, &store));
    CHECK_OK(tombstone_list_load(store, SLICE("metrics"), SLICE("t"), &l, etag));
    CHECK_INT(tombstone_list_version(l), 0);
    CHECK_STR(etag, "");
    tombstone_list_unref(l);
    CHECK_OK(tombstone_list_update(store, SLICE("metrics"), SLICE("t"), add_third, NULL, NULL));
    CHECK_OK(tombstone_list_update(store, SLICE("metrics"), SLICE("t"), add_third, NULL, &l));
    CHECK_INT(tombstone_list_version(l), 2);
    tombstone_list_unref(l);
    CHECK_OK(tombstone_list_load(store, SLICE("metrics"), SLICE("t"), &l, etag));
    (void)tombstone_list_all(l, &n);
    CHECK_INT(n, 1);
    CHECK(etag[0]);
    tombstone_list_unref(l);
    objstore_close(store);
}

/* ---- streams ---- */

struct two {
    struct block_stream base;
    struct chunk chunks[2];
    int at;
};

static struct err *two_next(struct block_stream *s, struct block_series *ret, bool *ret_more)
{
    struct two *t = (struct two *)s;

    *ret_more = t->at < 2;
    *ret = (struct block_series){
        .labels = {t->at ? up_b : up_a, 2}, .chunks = t->chunks, .n_chunks = 2};
    t->at++;
    return NULL;
}

static void two_close(struct block_stream *s)
{
    (void)s;
}

TEST(tombstone_stream_leaves_out_what_is_deleted)
{
    static const struct block_stream_ops ops = {two_next, two_close};
    const int64_t t1[] = {10, 20, 30}, t2[] = {40, 50};
    const double v[] = {1, 2, 3};
    struct two src = {.base = {&ops}};
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    struct buf b1 = {0}, b2 = {0};
    struct block_stream *s;
    struct block_series one;
    struct chunk_columns cols;
    struct arena *a = arena_new(0);
    uint64_t dropped = 0;
    bool more;

    chunk_xor_encode(&b1, t1, v, 3);
    chunk_xor_encode(&b2, t2, v, 2);
    src.chunks[0] = (struct chunk){CHUNK_XOR, 10, 30, buf_slice(&b1)};
    src.chunks[1] = (struct chunk){CHUNK_XOR, 40, 50, buf_slice(&b2)};
    add(l, 1, "a", 20, 25);
    add(l, 2, "b", 0, 60);
    s = tombstone_stream_new(&src.base, l, 0, false, &dropped);
    CHECK_OK(s->ops->next(s, &one, &more));
    CHECK(more);
    CHECK_INT(one.n_chunks, 2);
    CHECK(slice_eq(one.chunks[1].data, buf_slice(&b2))); /* not touched: not decoded */
    CHECK_OK(chunk_decode(a, one.chunks[0].encoding, one.chunks[0].data, &cols));
    CHECK_INT(cols.n, 2);
    CHECK_INT(cols.t[1], 30);
    CHECK_INT(one.chunks[0].max_t, 30);
    CHECK_OK(s->ops->next(s, &one, &more)); /* b is gone as a whole */
    CHECK(!more);
    CHECK_INT(dropped, 6);
    block_stream_close(s);
    tombstone_list_unref(l);
    arena_free(a);
    buf_done(&b1);
    buf_done(&b2);
}

struct one {
    struct block_stream base;
    struct chunk chunk;
    bool is_over;
};

static struct err *one_next(struct block_stream *s, struct block_series *ret, bool *ret_more)
{
    struct one *o = (struct one *)s;

    *ret_more = !o->is_over;
    o->is_over = true;
    *ret = (struct block_series){.labels = {up_a, 2}, .chunks = &o->chunk, .n_chunks = 1};
    return NULL;
}

/* Points that are left of an hour of 5m, of a sample a minute from time 0. */
static size_t points_left(const struct tombstone_list *l, bool keeps_cut)
{
    static const struct block_stream_ops ops = {one_next, two_close};
    struct arena *a = arena_new(0);
    struct one src = {.base = {&ops}};
    struct aggr_columns cols = {.n = 0};
    struct block_series series;
    struct chunk_build raw;
    struct block_stream *s;
    struct aggr_build b;
    uint64_t dropped = 0;
    bool more;

    chunk_build_init(&raw);
    chunk_build_begin(&raw, a);
    for (int64_t t = 0; t < 3600000; t += 60000)
        chunk_build_float(&raw, t, 1);
    chunk_build_end(&raw);
    aggr_build_init(&b);
    aggr_build_begin(&b, a, AGGR_5M_MS);
    CHECK_INT(raw.chunks.len, 1);
    CHECK_OK(aggr_build_chunk(&b, &raw.chunks.ptr[0]));
    aggr_build_end(&b);
    src.chunk = b.out.chunks.ptr[0];
    s = tombstone_stream_new(&src.base, l, AGGR_5M_MS, keeps_cut, &dropped);
    CHECK_OK(s->ops->next(s, &series, &more));
    if (more)
        CHECK_OK(aggr_chunk_decode(a, series.chunks[0].data, AGGR_ALL, &cols));
    CHECK_INT(dropped, 12 - cols.n);
    block_stream_close(s);
    aggr_build_done(&b);
    chunk_build_done(&raw);
    arena_free(a);
    return cols.n;
}

TEST(tombstone_stream_takes_points_by_their_windows)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));

    add(l, 1, "a", 300001, 899999); /* all of one window, and nearly all of the one before */
    CHECK_INT(points_left(l, true), 11);
    CHECK_INT(points_left(l, false), 10);
    add(l, 2, "a", 300000, 300000); /* two deletions that make it whole */
    CHECK_INT(points_left(l, true), 10);
    add(l, 3, "b", 0, 3600000);
    add(l, 4, "a", 3599999, 3599999); /* behind the last sample, in its window */
    CHECK_INT(points_left(l, true), 10);
    CHECK_INT(points_left(l, false), 9);
    add(l, 5, "a", 0, 3600000);
    CHECK_INT(points_left(l, true), 0);
    tombstone_list_unref(l);
}

static bool is_not_deleted(void *arg, struct arena *tmp, struct labels series,
                           const struct sidecar_exemplar *x)
{
    size_t n;

    (void)tombstone_list_spans(arg, tmp, series, x->t_ms, x->t_ms, &n);
    return n == 0;
}

TEST(tombstones_sift_exemplars)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    struct sidecar_exemplar x = {.t_ms = 15, .value = 1, .labels = SLICE("")};
    struct buf in = {0}, out = {0}, series = {0};
    struct reader r;

    labels_canonical(&series, (struct labels){up_a, 2});
    x.series = buf_slice(&series);
    sidecar_begin(&in, SIDECAR_EXEMPLARS);
    sidecar_put_exemplar(&in, &x);
    x.t_ms = 25;
    sidecar_put_exemplar(&in, &x);
    sidecar_end(&in);
    add(l, 1, "a", 10, 20);
    CHECK_OK(sidecar_sift_exemplars(buf_slice(&in), is_not_deleted, l, &out));
    CHECK_OK(sidecar_open(SIDECAR_EXEMPLARS, buf_slice(&out), &r));
    CHECK(sidecar_next_exemplar(&r, &x));
    CHECK_INT(x.t_ms, 25);
    CHECK(!sidecar_next_exemplar(&r, &x) && reader_ok(&r));
    add(l, 2, "a", 21, 30);
    CHECK_OK(sidecar_sift_exemplars(buf_slice(&in), is_not_deleted, l, &out));
    CHECK_INT(out.len, 0);
    CHECK_ERR(sidecar_sift_exemplars(SLICE("nonsense"), is_not_deleted, l, &out), ERR_CORRUPT, "");
    buf_done(&in);
    buf_done(&out);
    buf_done(&series);
    tombstone_list_unref(l);
}
