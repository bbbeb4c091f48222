/*
 * Blocks that are not opened: the same answers as when all are, for fewer requests. Two tenants have the same blocks; the
 * catalogue of one says nothing of summaries.
 */
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/block/block_summary.h"
#include "tests/unit/querier/store/far_fixture.h"

#define MANY 30
#ifdef ORR_SANITIZED
#define QUERIES 60
#else
#define QUERIES 400
#endif
#define MANY_END_MS (MANY * BLOCK_MS)
#define WITHOUT SLICE("without")

struct street {
    struct counting_store bucket;
    struct store *far;
    struct arena *a;
    struct ulid ids[MANY];
};

static bool is_rare(unsigned k)
{
    return k == 7 || k == 19;
}

static void add_series(struct block_writer *w, struct arena *a, unsigned k, const char *metric,
                       const char *pod)
{
    struct label *ls = arena_array(a, struct label, 3);
    struct chunk c = floats(a, (int64_t)k * BLOCK_MS, 50, k + 1);

    ls[0] = (struct label){SLICE("__name__"), slice_cstr(metric)};
    ls[1] = (struct label){SLICE("job"), SLICE("j")};
    ls[2] = (struct label){SLICE("pod"), slice_cstr(pod)};
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = {ls, 3}, .chunks = &c, .n_chunks = 1}));
}

struct adding {
    struct block_meta meta;
    bool has_summary;
    struct labels external;
};

static struct err *add_entry(void *arg, struct catalogue *c, bool *ret_changed)
{
    const struct adding *x = arg;
    struct catalogue_block b = catalogue_block_of_meta(&x->meta);

    CHECK(b.summary_bytes > 0);
    b.summary_bytes = x->has_summary ? b.summary_bytes : 0;
    b.labels = x->external;
    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

/* Every third of the blocks comes from another system, which says of it where it was. */
static void put_for(struct street *s, unsigned k, struct adding *x, struct slice tenant)
{
    struct label zone = {SLICE("zone"), slice_cstr(arena_printf(s->a, "z%u", k))};

    x->external = (struct labels){&zone, k % 3 == 0};
    CHECK_OK(block_store_upload(&s->bucket.base, SLICE("metrics"), tenant,
                                tmp_path(ulid_print(x->meta.ulid).s), &x->meta));
    CHECK_OK(catalogue_update(&s->bucket.base, SLICE("metrics"), tenant, add_entry, x, NULL));
}

static void put_one(struct street *s, unsigned k)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true, .has_summary = true};
    struct arena *a = arena_new(0);
    struct adding x = {.has_summary = true};
    struct block_writer *w;

    s->ids[k] = o.meta.ulid = ulid_make(k + 1, (const uint8_t[10]){0});
    o.meta.level = 1;
    CHECK_OK(block_writer_open(&o, &w));
    for (unsigned i = 0; i < 4; i++)
        add_series(w, a, k, "common", arena_printf(a, "pod-%u-%u", k, i));
    if (is_rare(k))
        add_series(w, a, k, "rare", "pod");
    CHECK_OK(block_writer_finish(w, a, &x.meta));
    block_writer_close(w);
    put_for(s, k, &x, TENANT);
    x.has_summary = false;
    put_for(s, k, &x, WITHOUT);
    arena_free(a);
}

static struct store *store_over(struct street *s, const char *disk)
{
    return store_new(&(struct store_opts){.objstore = &s->bucket.base,
                                          .block_cache_bytes = 16u << 20,
                                          .block_disk_dir = disk,
                                          .block_disk_bytes = disk ? 64u << 20 : 0,
                                          .block_heads_bytes = disk ? 64u << 20 : 0,
                                          .catalogue_max_age_ms = 3600000,
                                          .tombstone_max_age_ms = 3600000});
}

static void street_up(struct street *s)
{
    s->a = arena_new(0);
    counting_store_open(&s->bucket);
    for (unsigned k = 0; k < MANY; k++)
        put_one(s, k);
    s->far = store_over(s, NULL);
    s->bucket.gets = 0;
}

static void street_down(struct street *s)
{
    store_free(s->far);
    counting_store_close(&s->bucket);
    arena_free(s->a);
}

struct asked {
    enum matcher_op op;
    const char *name, *value;
};

struct answer {
    uint64_t series, digest, skipped[BLOCK_SKIP_REASONS];
};

static struct matchers compile(struct arena *a, const struct asked *q, size_t n)
{
    struct matcher *m = arena_array(a, struct matcher, n);

    for (size_t i = 0; i < n; i++)
        CHECK_OK(matcher_init(a, q[i].op, slice_cstr(q[i].name), slice_cstr(q[i].value), &m[i]));
    return (struct matchers){m, n};
}

static struct answer ask_all(struct store *s, struct slice tenant, bool labels_only,
                             const struct asked *q, size_t n)
{
    struct arena *a = arena_new(0);
    struct matchers ms = compile(a, q, n);
    struct storage_request req = {.matchers = ms, .start_ms = 0, .end_ms = MANY_END_MS};
    struct answer ret = {0};
    struct store_query sq;
    struct storage_series x;
    struct series_set *set;
    struct buf text = {0};

    store_query_init(&sq, s, &(struct store_query_opts){.tenant = tenant, .arena = a});
    CHECK_OK(labels_only ? store_series(&sq, ms, 0, MANY_END_MS, &set)
                         : storage_select(&sq.storage, a, &req, &set));
    while (series_set_next(set, &x)) {
        buf_reset(&text);
        labels_text(&text, x.labels);
        ret.digest = ret.digest * 31 + hash_xxh64(buf_slice(&text), 0);
        ret.digest = ret.digest * 31 + hash_xxh64(slice_of(x.v, x.n * sizeof(*x.v)), 0);
        ret.series++;
    }
    CHECK_OK(series_set_close(set));
    memcpy(ret.skipped, sq.budget.skipped, sizeof(ret.skipped));
    store_query_done(&sq);
    matchers_done(ms);
    buf_done(&text);
    arena_free(a);
    return ret;
}

static struct answer ask_one(struct store *s, enum matcher_op op, const char *name,
                             const char *value)
{
    return ask_all(s, TENANT, false, &(struct asked){op, name, value}, 1);
}

/* As Swift does while it replaces an object: a moment's answer must not lack the blocks. */
TEST(store_skip_believes_a_catalogue_gone_only_if_it_stays_so)
{
    /* how often, and when, it is not there */
    static const unsigned masks[] = {1, 3, 13};
    struct store *always;
    struct street s;
    struct answer want;

    street_up(&s);
    always =
        store_new(&(struct store_opts){.objstore = &s.bucket.base, .block_cache_bytes = 16u << 20});
    want = ask_one(always, MATCHER_EQ, "__name__", "rare");
    CHECK_INT(want.series, 1);
    s.bucket.hides = "catalogue";
    for (size_t i = 0; i < ORR_COUNT(masks); i++) {
        s.bucket.hide_mask = masks[i];
        CHECK_INT(ask_one(always, MATCHER_EQ, "__name__", "rare").series, 1);
        CHECK(s.bucket.hide_mask < 2); /* of the last a look remains that is not made */
        s.bucket.hide_mask = 0;
    }
    store_free(always);
    street_down(&s);
}

TEST(store_skip_reads_of_most_blocks_one_small_file_and_that_once)
{
    struct store_stats st;
    struct answer got;
    struct street s;
    uint64_t cold;

    street_up(&s);
    got = ask_one(s.far, MATCHER_EQ, "__name__", "rare");
    cold = s.bucket.gets;
    printf("   %d blocks, 2 of them match: %llu gets, %llu skipped\n", MANY,
           (unsigned long long)cold, (unsigned long long)got.skipped[BLOCK_SKIP_SUMMARY]);
    CHECK_INT(got.series, 1); /* the same in both */
    CHECK_INT(got.skipped[BLOCK_SKIP_SUMMARY], MANY - 2);
    /* a summary each, two blocks of up to six, the catalogue and deletions */
    CHECK(cold <= MANY + 2 * 6 + 2);
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.opened, 2);
    CHECK_INT(st.skipped[BLOCK_SKIP_SUMMARY], MANY - 2);
    s.bucket.gets = 0;
    got = ask_one(s.far, MATCHER_EQ, "__name__", "none");
    CHECK_INT(got.series, 0);
    got = ask_one(s.far, MATCHER_EQ, "pod", "pod-11-3");
    CHECK_INT(got.series, 1);
    CHECK(s.bucket.gets <= 6); /* that of the one block */
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.opened, 3);
    CHECK_INT(st.blocks.bad_summaries, 0);
    street_down(&s);
}

TEST(store_skip_outlives_a_restart_with_a_disk)
{
    struct street s;
    struct store *again;

    street_up(&s);
    again = store_over(&s, tmp_path("cache"));
    CHECK_INT(ask_one(again, MATCHER_EQ, "__name__", "rare").series, 1);
    store_free(again);
    again = store_over(&s, tmp_path("cache"));
    s.bucket.gets = 0;
    CHECK_INT(ask_one(again, MATCHER_EQ, "__name__", "none").series, 0);
    CHECK(s.bucket.gets <= 2); /* the catalogue and deletions */
    store_free(again);
    street_down(&s);
}

TEST(store_skip_by_external_labels_reads_nothing_of_a_block)
{
    struct answer got;
    struct street s;

    street_up(&s);
    got = ask_one(s.far, MATCHER_RE, "zone", "z3|z6");
    CHECK_INT(got.series, 8);
    CHECK_INT(got.skipped[BLOCK_SKIP_LABELS], 8);   /* of ten that have a zone */
    CHECK_INT(got.skipped[BLOCK_SKIP_SUMMARY], 20); /* no series of the others has one */
    CHECK(s.bucket.gets <= 20 + 2 * 7 + 2);
    got = ask_one(s.far, MATCHER_EQ, "zone", ""); /* that is of the others */
    CHECK_INT(got.series, 20 * 4 + 1);
    CHECK_INT(got.skipped[BLOCK_SKIP_LABELS], 10);
    CHECK_INT(got.skipped[BLOCK_SKIP_SUMMARY], 0);
    street_down(&s);
}

TEST(store_skip_never_changes_an_answer)
{
    static const char *const names[] = {"__name__", "job", "pod", "zone", "none"};
    static const char *const values[] = {
        "",         "common",  "rare", "j",    "pod",       "pod-3-1",
        "pod-12-0", "z3",      "z9",   "none", "rare|none", "pod-1-1|pod-19-2|pod",
        "z3|z4|",   "pod-1.*", ".*",   ".+",   "(rare|j)?"};
    uint64_t skipped = 0, found = 0;
    struct street s;
    struct rng rng;

    street_up(&s);
    rng_seed(&rng, 7);
    for (int i = 0; i < QUERIES; i++) {
        size_t n = 1 + rng_below(&rng, 3);
        bool labels_only = rng_chance(&rng, 0.3);
        struct asked q[3];
        struct answer want, got;

        for (size_t k = 0; k < n; k++)
            q[k] = (struct asked){(enum matcher_op)rng_below(&rng, 4),
                                  names[rng_below(&rng, ORR_COUNT(names))],
                                  values[rng_below(&rng, ORR_COUNT(values))]};
        got = ask_all(s.far, TENANT, labels_only, q, n);
        want = ask_all(s.far, WITHOUT, labels_only, q, n);
        CHECK(got.series == want.series && got.digest == want.digest);
        CHECK_INT(want.skipped[BLOCK_SKIP_SUMMARY], 0);
        skipped += got.skipped[BLOCK_SKIP_SUMMARY];
        found += got.series;
        if (i % 20 == 0) { /* what is open is not skipped, so that not all is */
            store_free(s.far);
            s.far = store_over(&s, NULL);
        }
    }
    CHECK(skipped > 100 && found > 100);
    street_down(&s);
}

static size_t count_names(struct street *s, struct slice tenant, struct slice label,
                          const struct matchers *sets, size_t n)
{
    struct store_names names;
    struct store_query sq;

    store_query_init(&sq, s->far, &(struct store_query_opts){.tenant = tenant, .arena = s->a});
    CHECK_OK(store_names(&sq, sets, n, label, 0, MANY_END_MS, &names));
    store_query_done(&sq);
    return names.n;
}

TEST(store_skip_serves_names_and_values)
{
    const struct asked rare = {MATCHER_EQ, "__name__", "rare"},
                       pod = {MATCHER_EQ, "pod", "pod-5-2"};
    struct store_stats st;
    struct matchers sets[2];
    struct street s;

    street_up(&s);
    sets[0] = compile(s.a, &rare, 1);
    sets[1] = compile(s.a, &pod, 1);
    CHECK_INT(count_names(&s, TENANT, SLICE("none"), NULL, 0), 0);
    CHECK_INT(count_names(&s, TENANT, SLICE("none"), sets, 1), 0);
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.opened, 0); /* they say that nobody has the label */
    CHECK_INT(count_names(&s, TENANT, SLICE("pod"), sets, 2), 2);
    CHECK_INT(count_names(&s, TENANT, SLICE_EMPTY, sets, 2), 0);
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.opened, 3);
    CHECK_INT(count_names(&s, TENANT, (struct slice){0}, sets, 2), 3);
    CHECK_INT(count_names(&s, TENANT, SLICE("zone"), NULL, 0), 10);
    CHECK_INT(count_names(&s, TENANT, (struct slice){0}, NULL, 0), 4);
    matchers_done(sets[0]);
    matchers_done(sets[1]);
    street_down(&s);
}

static struct slice summary_key(struct street *s, unsigned k)
{
    return slice_cstr(arena_printf(s->a, "metrics/%.*s/%s/" BLOCK_SUMMARY_FILE, SLICE_ARG(TENANT),
                                   ulid_print(s->ids[k]).s));
}

static void spoil(struct street *s, unsigned k, bool is_gone)
{
    struct slice key = summary_key(s, k);

    if (is_gone)
        CHECK_OK(objstore_delete(&s->bucket.base, key));
    else
        CHECK_OK(
            objstore_put(&s->bucket.base, key, SLICE("ORRSUM\0\2 and nothing else"), NULL, NULL));
}

/* Copied to the wrong place: each byte of it is right, and the metric that is looked for is not in it. */
TEST(store_skip_does_not_go_by_the_summary_of_another_block)
{
    unsigned other = is_rare(0) ? 1 : 0, rare = 0;
    struct buf b = {0};
    struct store_stats st;
    struct street s;

    street_up(&s);
    while (!is_rare(rare))
        rare++;
    CHECK_OK(objstore_get(&s.bucket.base, summary_key(&s, other), NULL, &b, NULL));
    CHECK_OK(objstore_put(&s.bucket.base, summary_key(&s, rare), buf_slice(&b), NULL, NULL));
    CHECK_INT(ask_one(s.far, MATCHER_EQ, "__name__", "rare").series, 1);
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.bad_summaries, 1);
    buf_done(&b);
    street_down(&s);
}

TEST(store_skip_opens_a_block_whose_summary_is_broken_or_gone)
{
    struct store_stats st;
    struct street s;

    street_up(&s);
    for (unsigned k = 0; k < MANY; k++)
        spoil(&s, k, k % 2);
    CHECK_INT(ask_one(s.far, MATCHER_EQ, "__name__", "rare").series, 1);
    store_stats_get(s.far, &st);
    CHECK_INT(st.blocks.bad_summaries, MANY);
    CHECK_INT(st.blocks.opened, MANY);
    CHECK_INT(st.skipped[BLOCK_SKIP_SUMMARY], 0);
    street_down(&s);
}
