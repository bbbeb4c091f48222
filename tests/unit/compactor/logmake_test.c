/* Log lines on their way into the bucket: flushes, and compaction of what they made. */
#include "common/base/yaml.h"
#include "compactor/logmake.h"
#include "tests/unit/compactor/flush_fixture.h"
#include "tests/unit/compactor/logseg_fixture.h"

#define SIGNAL SLICE("logs")

/* Of the test. */
static struct fixture lines;

static struct err *fetch(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes)
{
    char *from = mem_printf("%s/" LOGCHECK_FRAMES_FILE, tmp_path(ulid_print(in->ulid).s));
    char *to = mem_printf("%s/" LOGCHECK_FRAMES_FILE, dir);
    struct err *e = fsx_mkdirs(dir);

    (void)arg;
    CHECK_SLICE(tenant, "t");
    if (!e)
        e = flushing_copy(from, to);
    *ret_bytes = 1;
    mem_free(from);
    mem_free(to);
    return e;
}

/* n replicas, each with the gaps that the next does not have (one alone: all), in so many frames. */
static void setup_lines(struct flushing *x, size_t n, size_t n_frames)
{
    *x = (struct flushing){.a = NULL};
    for (size_t i = 0; i < n; i++) {
        struct ulid u = fixture_ulid((uint8_t)(i + 1));

        x->inputs[i] = (struct plan_input){.ulid = u, .position = (unsigned)i};
        logseg_write(&lines, tmp_path(ulid_print(u).s), u, n == 1 ? 3 : i, n_frames);
    }
    flushing_open(x, lines.a, SIGNAL_LOGS, fetch, n);
}

static void setup(struct flushing *x, uint64_t seed, size_t n, size_t n_frames)
{
    fixture_make(&lines, seed, 25, 1500, LOGTEXT_KINDS);
    setup_lines(x, n, n_frames);
}

static void teardown(struct flushing *x)
{
    objstore_close(x->store);
    fixture_done(&lines);
}

/* ---- what a block has ---- */

static int cmp_entry(const void *a, const void *b)
{
    const struct logpage_entry *x = a, *y = b;
    int c = (x->ts_ns > y->ts_ns) - (x->ts_ns < y->ts_ns);

    if (!c)
        c = slice_cmp(x->line, y->line);
    return c ? c : labels_cmp(x->meta, y->meta);
}

/* Of the stream, ordered: which replica was first is no matter where times are equal. */
static void check_stream(struct logblock_set *set, const struct fixture_stream *s, int64_t max_ns)
{
    struct arena *a = lines.a;
    struct logpage_entry *got = arena_array(a, struct logpage_entry, s->n + 1),
                         *want = arena_copy(a, s->e, s->n), e;
    size_t n = 0, n_want = 0;

    while (logblock_set_entry(set, &e)) {
        CHECK(n < s->n);
        CHECK(n == 0 || got[n - 1].ts_ns <= e.ts_ns);
        got[n++] = (struct logpage_entry){0, e.ts_ns, arena_dup(a, e.line), labels_dup(a, e.meta)};
    }
    while (n_want < s->n && s->e[n_want].ts_ns < max_ns)
        n_want++;
    CHECK_INT(n, n_want);
    qsort(got, n, sizeof(*got), cmp_entry);
    qsort(want, n_want, sizeof(*want), cmp_entry);
    for (size_t i = 0; i < n; i++)
        fixture_check_entry(&got[i], &want[i]);
}

/* All lines of all streams that are older than max_ns, each once, but for streams with skip (a value of app). */
static void check_block(struct flushing *x, struct ulid block, const char *skip, int64_t max_ns)
{
    const struct logblock_query q = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
    struct logblock_stream st;
    struct logblock_set *set;
    struct block_reader *r;
    struct logblock *b;
    size_t i = 0;

    CHECK_OK(block_reader_open_dir(download(x, block), &r));
    CHECK_OK(logblock_open(r, &b));
    CHECK_OK(logblock_select(b, lines.a, &q, &set));
    for (; i < lines.n; i++) {
        const struct fixture_stream *s = &lines.s[i];

        if ((skip && slice_eq_cstr(s->labels.ptr[0].value, skip)) || s->e[0].ts_ns >= max_ns)
            continue;
        CHECK(logblock_set_stream(set, &st));
        CHECK(hash128_eq(st.fp, s->fp) && labels_eq(st.labels, s->labels));
        check_stream(set, s, max_ns);
    }
    CHECK(!logblock_set_stream(set, &st));
    CHECK_OK(logblock_set_close(set));
    logblock_close(b);
    block_reader_close(r);
}

static const char *const files[] = {LOGBLOCK_PAGES_FILE, LOGBLOCK_DIRECTORY_FILE,
                                    LOGBLOCK_FILTER_FILE};

/* ---- flushes ---- */

TEST(logmake_one_block_of_three_replicas_with_gaps)
{
    struct flushing x;
    struct catalogue *c;
    const struct catalogue_block *b;
    size_t n;

    setup(&x, 1, 3, 4);
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.version, 1);
    CHECK_INT(x.res.n_bad, 0);
    CHECK_INT(x.res.samples, lines.entries);
    CHECK_INT(x.res.series, lines.n);
    CHECK(x.m.make.duplicate_lines > 0);
    for (uint8_t i = 1; i <= 3; i++)
        CHECK(has_segment(&x, i));
    check_block(&x, x.res.block, NULL, INT64_MAX);
    c = load(&x);
    CHECK_SLICE(catalogue_signal(c), "logs");
    b = catalogue_blocks(c, &n);
    CHECK_INT(n, 1);
    CHECK_INT(b->samples, lines.entries);
    CHECK(b->summary_bytes > 0);
    CHECK_INT(b->min_t / HOUR_MS, FIXTURE_T0 / 1000000 / HOUR_MS);
    CHECK(!fsx_exists(tmp_path(arena_printf(lines.a, "work/%s", ulid_print(x.res.block).s))));
    catalogue_free(c);
    teardown(&x);
}

TEST(logmake_repeated_is_the_same_block_of_the_same_bytes)
{
    struct flushing x;
    struct ulid first;
    uint64_t h;

    setup(&x, 2, 3, 3);
    CHECK_OK(flush(&x));
    first = x.res.block;
    h = bytes_hash(&x, first, files, ORR_COUNT(files));
    CHECK_OK(flush(&x));
    CHECK(ulid_is_zero(x.res.block));
    CHECK_INT(x.m.repeated, 1);
    CHECK_INT(blocks_of(&x), 1);
    objstore_close(x.store);
    open_bucket(&x); /* elsewhere, which plans in another order */
    x.inputs[3] = x.inputs[0];
    x.inputs[0] = x.inputs[2];
    x.inputs[2] = x.inputs[3];
    CHECK_OK(flush(&x));
    CHECK(ulid_eq(first, x.res.block));
    CHECK(bytes_hash(&x, first, files, ORR_COUNT(files)) == h);
    teardown(&x);
}

TEST(logmake_more_frames_than_are_merged_at_once)
{
    struct flushing x;

    setup(&x, 3, 3, LOGBLOCK_MERGE_SOURCES);
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.samples, lines.entries);
    check_block(&x, x.res.block, NULL, INT64_MAX);
    teardown(&x);
}

TEST(logmake_leaves_a_corrupt_frame_out_and_the_others_go_on)
{
    struct flushing x;
    char *path;

    setup(&x, 4, 3, 2);
    path = mem_printf("%s/" LOGCHECK_FRAMES_FILE, tmp_path(ulid_print(fixture_ulid(2)).s));
    damage(path, 4);
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.n_bad, 1);
    CHECK(ulid_eq(x.res.bad[0], fixture_ulid(2)));
    CHECK_INT(x.m.bad_segments, 1);
    CHECK(has_segment(&x, 1) && !has_segment(&x, 2) && has_segment(&x, 3));
    check_block(&x, x.res.block, NULL, INT64_MAX); /* two have all three thirds */
    mem_free(path);
    teardown(&x);
}

TEST(logmake_survives_a_failure_at_every_step)
{
    FAULT_SWEEP (n) {
        struct flushing x;
        struct err *e;

        fault_disarm();
        fixture_make(&lines, 5, 3, 40, 1);
        setup_lines(&x, 2, 1);
        fault_arm_nth(n);
        e = flush(&x);
        fault_disarm();
        CHECK(e || blocks_of(&x) == 1);
        err_free(e);
        CHECK_OK(flush(&x));
        CHECK_INT(x.res.n_bad, 0);
        CHECK_INT(blocks_of(&x), 1);
        check_block(&x, first_block(&x), NULL, INT64_MAX);
        teardown(&x);
    }
}

/* ---- what is left out ---- */

struct tomb_edit {
    const char *app;
    int64_t min_ms, max_ms;
    const char *query;     /* NULL: all lines */
    bool is_only_received; /* else it is begun */
};

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct tomb_edit *edit = arg;
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.ulid = fixture_ulid(77),
                          .min_ms = edit->min_ms,
                          .max_ms = edit->max_ms,
                          .matchers = {&m, 1},
                          .query = slice_cstr(edit->query ? edit->query : ""),
                          .state = edit->is_only_received ? TOMBSTONE_RECEIVED : TOMBSTONE_BEGUN};
    struct err *e;

    CHECK_OK(matcher_init(a, edit->app ? MATCHER_EQ : MATCHER_NE, SLICE("app"),
                          slice_cstr(edit->app ? edit->app : "x"), &m));
    e = tombstone_list_add(l, &t);
    *ret_changed = true;
    arena_free(a);
    return e;
}

TEST(logmake_leaves_out_lines_that_a_tombstone_deletes)
{
    int64_t from_ms = FIXTURE_T0 / 1000000 + 700;
    struct tomb_edit some = {"app-1", INT64_MIN, INT64_MAX, NULL, false},
                     late = {NULL, from_ms, INT64_MAX, NULL, false},
                     other = {"none", INT64_MIN, INT64_MAX, NULL, false},
                     early = {"app-1", INT64_MIN, INT64_MAX, NULL, true};
    struct flushing x;
    struct ulid plain;

    setup(&x, 6, 3, 2);
    CHECK_OK(flush(&x));
    plain = x.res.block;
    objstore_close(x.store);

    open_bucket(&x);
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &some, NULL));
    CHECK_OK(flush(&x));
    CHECK(!ulid_eq(x.res.block, plain));
    CHECK(x.m.make.deleted_samples > 0);
    check_block(&x, x.res.block, "app-1", INT64_MAX);
    objstore_close(x.store);

    open_bucket(&x);
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &late, NULL));
    CHECK_OK(flush(&x));
    CHECK(x.res.samples < lines.entries && x.res.samples > 0);
    check_block(&x, x.res.block, NULL, from_ms * 1000000);
    objstore_close(x.store);

    open_bucket(&x);
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &other, NULL));
    CHECK_OK(flush(&x));
    check_block(&x, x.res.block, NULL, INT64_MAX);
    objstore_close(x.store);

    open_bucket(&x); /* one that may still be taken back */
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &early, NULL));
    CHECK_OK(flush(&x));
    CHECK(ulid_eq(x.res.block, plain));
    check_block(&x, x.res.block, NULL, INT64_MAX);
    teardown(&x);
}

static struct err *look(struct flushing *x, struct ulid block, const struct tomb_edit *edit,
                        const atomic_bool *stop, bool *ret)
{
    struct tombstone_list *l = tombstone_list_new(TENANT);
    struct block_reader *r;
    struct err *e;
    bool changed;
    size_t n;

    CHECK_OK(add_tombstone((void *)edit, l, &changed));
    CHECK_OK(block_reader_open_dir(download(x, block), &r));
    e = logcheck_holds(r, tombstone_list_all(l, &n), stop, ret);
    block_reader_close(r);
    tombstone_list_unref(l);
    return e;
}

/* Whether a block has lines that such a deletion takes. */
static bool holds(struct flushing *x, struct ulid block, const struct tomb_edit *edit)
{
    bool is_held;

    CHECK_OK(look(x, block, edit, NULL, &is_held));
    return is_held;
}

TEST(logmake_leaves_out_what_a_query_lets_through)
{
    const struct fixture_stream *s;
    struct tomb_edit some = {"app-1", INT64_MIN, INT64_MAX, NULL, false};
    struct tomb_edit none = {"app-1", INT64_MIN, INT64_MAX,
                             "{app=\"app-1\"} |= \"no line has this text\"", false};
    struct tomb_edit odd = {"app-1", INT64_MIN, INT64_MAX, "{app=\"app-1\"} | of_some_day", false};
    const atomic_bool yes = true;
    bool any;
    size_t i = 0;
    struct flushing x;
    struct ulid plain;

    setup(&x, 6, 3, 2);
    while (!slice_eq_cstr(lines.s[i].labels.ptr[0].value, "app-1"))
        i++;
    s = &lines.s[i];
    CHECK(s->n > 3);
    some.query = arena_printf(lines.a, "{app=\"app-1\"} |= `%.*s`", SLICE_ARG(s->e[2].line));
    CHECK_OK(flush(&x));
    plain = x.res.block;
    CHECK(holds(&x, plain, &some) && !holds(&x, plain, &none));
    CHECK_ERR(look(&x, plain, &some, &yes, &any), ERR_CANCELED, "");
    CHECK_ERR(look(&x, plain, &odd, NULL, &any), ERR_INTERNAL, "query of deletion");
    some.max_ms = s->e[0].ts_ns / 1000000 - 1; /* before all lines of the stream */
    CHECK(!holds(&x, plain, &some));
    some.max_ms = INT64_MAX;
    objstore_close(x.store);

    open_bucket(&x);
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &some, NULL));
    CHECK_OK(flush(&x));
    CHECK(!ulid_eq(x.res.block, plain));
    CHECK(x.res.samples < lines.entries && x.res.samples > 0);
    CHECK_INT(x.res.samples + x.m.make.deleted_samples, lines.entries);
    CHECK(!holds(&x, x.res.block, &some));
    teardown(&x);
}

TEST(logmake_a_block_without_lines_names_its_segments)
{
    struct tomb_edit all = {NULL, INT64_MIN, INT64_MAX, NULL, false};
    struct flushing x;
    struct catalogue *c;
    const struct catalogue_block *b;
    size_t n;

    setup(&x, 7, 2, 2);
    CHECK_OK(tombstone_list_update(x.store, SIGNAL, TENANT, add_tombstone, &all, NULL));
    CHECK_OK(flush(&x));
    CHECK(has_segment(&x, 1) && has_segment(&x, 2));
    c = load(&x);
    b = catalogue_blocks(c, &n);
    CHECK(b->samples == 0 && b->min_t < b->max_t);
    CHECK_INT(b->min_t / HOUR_MS, FIXTURE_T0 / 1000000 / HOUR_MS);
    catalogue_free(c);
    check_block(&x, x.res.block, NULL, INT64_MIN);
    teardown(&x);
}

/* ---- compaction ---- */

static void setup_blocks(struct compacting *k, uint64_t seed)
{
    *k = (struct compacting){.n_jobs = 0};
    setup(&k->x, seed, 3, 2);
    compacting_open(k, FIXTURE_T0 / 1000000 + 10 * 24 * HOUR_MS);
}

static void teardown_blocks(struct compacting *k)
{
    catalogue_free(k->c);
    teardown(&k->x);
}

TEST(logmake_compaction_makes_one_block_with_each_line_once)
{
    struct compacting k;

    setup_blocks(&k, 8);
    CHECK_OK(compact(&k));
    CHECK_INT(k.m.done, 1);
    CHECK_INT(k.res.samples, lines.entries);
    CHECK(k.m.make.duplicate_lines > 0);
    check_compacted(&k);
    check_block(&k.x, k.res.block, NULL, INT64_MAX);
    CHECK_OK(compact(&k)); /* again: it is done */
    CHECK_INT(k.m.outdated, 1);
    teardown_blocks(&k);
}

TEST(logmake_compaction_leaves_a_corrupt_block_alone)
{
    for (size_t i = 0; i <= ORR_COUNT(files); i++) {
        struct compacting k;

        setup_blocks(&k, 9);
        check_leaves_alone(&k, i < ORR_COUNT(files) ? files[i] : "index");
        teardown_blocks(&k);
    }
}

TEST(logmake_compaction_leaves_out_streams_whose_retention_is_over)
{
    struct retention_rules rules;
    struct retention retention = {.rules = &rules,
                                  .now_ms = FIXTURE_T0 / 1000000 + 10 * 24 * HOUR_MS};
    struct yaml_node *root = NULL;
    struct compacting k;

    setup_blocks(&k, 10);
    CHECK_OK(yaml_load("t", SLICE("[{selector: '{app=\"app-2\"}', period: 1d}]"), lines.a, &root));
    CHECK_OK(retention_rules_parse("t", "logs_retention_stream", root, lines.a, &rules));
    k.opts.retention = &retention;
    CHECK_OK(compact(&k));
    CHECK(k.m.make.expired_series > 0);
    check_block(&k.x, k.res.block, "app-2", INT64_MAX);
    retention_rules_done(&rules);
    teardown_blocks(&k);
}
