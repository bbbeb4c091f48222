/* Traces on their way into the bucket: flushes, and compaction of what they made. */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/traces/tracesegment.h"
#include "compactor/tracecheck.h"
#include "compactor/tracemake.h"
#include "tests/unit/compactor/flush_fixture.h"

#define T0 (1764000000ll / 7200 * 7200 * NS_PER_S) /* where a window of two hours begins */
#define SPANS_MAX 6

/* Traces of up to SPANS_MAX spans; of each, a replica has all but those that its gaps say. */
struct fixture {
    struct arena *a;
    struct tracepiece *traces; /* by id */
    size_t n, spans;
};

static struct tracepiece make_trace(struct arena *a, struct rng *r, size_t number)
{
    static const char *const services[] = {"web", "db", "cache"};
    uint32_t n = 1 + (uint32_t)rng_below(r, SPANS_MAX);
    struct tracepiece p = {.n_resources = 1, .n_scopes = 1, .n_spans = n};
    struct otlp_member *m = arena_new_of(a, struct otlp_member);

    p.trace_id[0] = (uint8_t)(number >> 8);
    p.trace_id[1] = (uint8_t)number;
    *m = (struct otlp_member){
        SLICE("service.name"),
        {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(services[number % ORR_COUNT(services)])}};
    p.resources = arena_new_of(a, struct tracepiece_resource);
    p.resources->attributes = (struct tracepiece_attributes){.n = 1, .ptr = m};
    p.scopes = arena_new_of(a, struct tracepiece_scope);
    p.spans = arena_array(a, struct tracepiece_span, n);
    for (uint32_t i = 0; i < n; i++) {
        struct otlp_member *at = arena_new_of(a, struct otlp_member);

        *at = (struct otlp_member){SLICE("n"), {.kind = OTLP_VALUE_INT, .i = (int64_t)number}};
        p.spans[i] = (struct tracepiece_span){.span_id = i + 1,
                                              .parent_id = i,
                                              .kind = 2,
                                              .name = SLICE("GET /"),
                                              .start_ns = (uint64_t)T0 + number * 1000000 + i,
                                              .end_ns = (uint64_t)T0 + number * 1000000 + i + 500,
                                              .attributes = {.n = 1, .ptr = at}};
    }
    return p;
}

static void fixture_make(struct fixture *f, uint64_t seed, size_t n)
{
    struct rng r;

    rng_seed(&r, seed);
    *f = (struct fixture){.a = arena_new(0), .n = n};
    f->traces = arena_array(f->a, struct tracepiece, n);
    for (size_t i = 0; i < n; i++) {
        f->traces[i] = make_trace(f->a, &r, i);
        f->spans += f->traces[i].n_spans;
    }
}

static struct ulid fixture_ulid(uint8_t id)
{
    return ulid_make(T0 / NS_PER_MS + id, (const uint8_t[10]){id});
}

/* ---- segments: in tmp_path("<ULID>/pieces") ---- */

/* Of trace i the spans that replica has; gap 3: all. Two files may have the same. */
static bool has_span(size_t i, uint32_t span, size_t gap)
{
    return gap == 3 || (i + span) % 3 != gap;
}

static void write_file(const struct fixture *f, const char *path, size_t file, size_t n_files,
                       size_t gap)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct tracesegment_totals totals;
    struct tracesegment_writer *w;
    struct buf b = {0};

    (void)unlink(path);
    CHECK_OK(tracesegment_create(path, &w));
    for (size_t i = 0; i < f->n; i++) {
        struct tracepiece p = f->traces[i];

        p.spans = arena_array(f->a, struct tracepiece_span, p.n_spans);
        p.n_spans = 0;
        for (uint32_t s = 0; s < f->traces[i].n_spans; s++)
            if ((i + s) % n_files == file && has_span(i, s, gap))
                p.spans[p.n_spans++] = f->traces[i].spans[s];
        if (!p.n_spans)
            continue;
        buf_reset(&b);
        tracepiece_encode(enc, &p, &b);
        CHECK_OK(tracesegment_add(w, buf_slice(&b)));
    }
    CHECK_OK(tracesegment_finish(w, &totals));
    tracesegment_writer_free(w);
    buf_done(&b);
    tracepiece_encoder_free(enc);
}

static const char *file_path(const struct fixture *f, uint8_t id, size_t file)
{
    return arena_printf(f->a, "%s/" TRACECHECK_DIR "/%06zu",
                        tmp_path(ulid_print(fixture_ulid(id)).s), file + 1);
}

static void write_segment(const struct fixture *f, uint8_t id, size_t gap, size_t n_files)
{
    char *dir = mem_printf("%s/" TRACECHECK_DIR, tmp_path(ulid_print(fixture_ulid(id)).s));

    CHECK_OK(fsx_remove_tree(dir));
    CHECK_OK(fsx_mkdirs(dir));
    for (size_t i = 0; i < n_files; i++)
        write_file(f, file_path(f, id, i), i, n_files, gap);
    mem_free(dir);
}

/* ---- a flush ---- */

/* Of the test. */
static struct fixture data;

static struct err *fetch(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes)
{
    char *from = mem_printf("%s/" TRACECHECK_DIR, tmp_path(ulid_print(in->ulid).s));
    char *to = mem_printf("%s/" TRACECHECK_DIR, dir);
    struct err *e = fsx_mkdirs(to);
    char **names = NULL;
    size_t n = 0;

    (void)arg;
    CHECK_SLICE(tenant, "t");
    if (!e)
        e = fsx_list(from, &names, &n);
    for (size_t i = 0; i < n && !e; i++) {
        char *a = mem_printf("%s/%s", from, names[i]), *b = mem_printf("%s/%s", to, names[i]);

        e = flushing_copy(a, b);
        mem_free(a);
        mem_free(b);
    }
    *ret_bytes = 1;
    if (names)
        fsx_names_free(names, n);
    mem_free(from);
    mem_free(to);
    return e;
}

/* n replicas, each with the gaps that the next does not have (one alone: all), in so many files. */
static void setup(struct flushing *x, uint64_t seed, size_t n_traces, size_t n, size_t n_files)
{
    *x = (struct flushing){.a = NULL};
    fixture_make(&data, seed, n_traces);
    for (size_t i = 0; i < n; i++) {
        x->inputs[i] =
            (struct plan_input){.ulid = fixture_ulid((uint8_t)(i + 1)), .position = (unsigned)i};
        write_segment(&data, (uint8_t)(i + 1), n == 1 ? 3 : i, n_files);
    }
    flushing_open(x, data.a, SIGNAL_TRACES, fetch, n);
}

static void teardown(struct flushing *x)
{
    objstore_close(x->store);
    arena_free(data.a);
}

/* ---- what a block has ---- */

static void check_trace(const struct tracepiece *got, const struct tracepiece *want)
{
    CHECK_INT(got->n_spans, want->n_spans);
    for (uint32_t i = 0; i < got->n_spans; i++) {
        const struct tracepiece_span *g = &got->spans[i], *w = &want->spans[i];
        const struct tracepiece_resource *res = &got->resources[g->resource];

        CHECK_INT(g->span_id, w->span_id);
        CHECK_INT(g->parent_id, w->parent_id);
        CHECK_INT(g->start_ns, w->start_ns);
        CHECK_INT(g->end_ns, w->end_ns);
        CHECK_INT(g->attributes.ptr[0].value.i, w->attributes.ptr[0].value.i);
        CHECK(slice_eq(res->attributes.ptr[0].value.text,
                       want->resources->attributes.ptr[0].value.text));
    }
}

/* All spans of all traces, each once. */
static void check_block(struct flushing *x, struct ulid block)
{
    struct traceblock_query q = {.end_ns = INT64_MAX};
    struct traceblock_trace t;
    struct traceblock_set *set;
    struct block_reader *r;
    struct traceblock *b;

    memset(q.last, 0xff, sizeof(q.last));
    CHECK_OK(block_reader_open_dir(download(x, block), &r));
    CHECK_OK(traceblock_open(r, &b));
    CHECK_OK(traceblock_verify(b));
    CHECK_OK(traceblock_select(b, x->a, &q, &set));
    for (size_t i = 0; i < data.n; i++) {
        CHECK(traceblock_set_next(set, &t));
        CHECK(memcmp(t.id, data.traces[i].trace_id, 16) == 0);
        check_trace(t.piece, &data.traces[i]);
    }
    CHECK(!traceblock_set_next(set, &t));
    CHECK_OK(traceblock_set_close(set));
    traceblock_close(b);
    block_reader_close(r);
}

static const char *const files[] = {TRACEBLOCK_FRONT_FILE, TRACEBLOCK_BACK_FILE,
                                    TRACEBLOCK_DIRECTORY_FILE, TRACEBLOCK_IDS_FILE};

/* ---- flushes ---- */

TEST(tracemake_one_block_of_three_replicas_with_gaps)
{
    const struct catalogue_block *b;
    struct flushing x;
    struct catalogue *c;
    size_t n;

    setup(&x, 1, 700, 3, 4);
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.version, 1);
    CHECK_INT(x.res.n_bad, 0);
    CHECK_INT(x.res.samples, data.spans);
    CHECK_INT(x.res.series, 3); /* services */
    CHECK(x.m.make.duplicate_spans > 0);
    for (uint8_t i = 1; i <= 3; i++)
        CHECK(has_segment(&x, i));
    check_block(&x, x.res.block);
    c = load(&x);
    CHECK_SLICE(catalogue_signal(c), "traces");
    b = catalogue_blocks(c, &n);
    CHECK_INT(n, 1);
    CHECK_INT(b->samples, data.spans);
    CHECK(b->summary_bytes > 0);
    CHECK_INT(b->min_t, T0 / NS_PER_MS);
    CHECK_INT(b->max_t, T0 / NS_PER_MS + 700);
    CHECK(!fsx_exists(tmp_path(arena_printf(x.a, "work/%s", ulid_print(x.res.block).s))));
    catalogue_free(c);
    teardown(&x);
}

TEST(tracemake_repeated_is_the_same_block_of_the_same_bytes)
{
    struct plan_input first_input;
    struct flushing x;
    struct ulid first;
    uint64_t h;

    setup(&x, 2, 300, 3, 3);
    CHECK_OK(flush(&x));
    first = x.res.block;
    h = bytes_hash(&x, first, files, ORR_COUNT(files));
    CHECK_OK(flush(&x));
    CHECK(ulid_is_zero(x.res.block));
    CHECK_INT(x.m.repeated, 1);
    CHECK_INT(blocks_of(&x), 1);
    objstore_close(x.store);
    open_bucket(&x); /* elsewhere, which plans in another order */
    first_input = x.inputs[0];
    x.inputs[0] = x.inputs[2];
    x.inputs[2] = first_input;
    CHECK_OK(flush(&x));
    CHECK(ulid_eq(first, x.res.block));
    CHECK(bytes_hash(&x, first, files, ORR_COUNT(files)) == h);
    teardown(&x);
}

TEST(tracemake_merges_hundreds_of_files)
{
    struct flushing x;

    setup(&x, 3, 500, 2, 400);
    write_segment(&data, 1, 3, 400); /* the gap of a third would be in neither */
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.samples, data.spans);
    check_block(&x, x.res.block);
    teardown(&x);
}

static struct err *bury(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = true;
    return tombstone_list_add(l, arg);
}

/* All spans that began up to T0 + ms. */
static void delete_until(struct flushing *x, int64_t ms)
{
    struct tombstone t = {.ulid = fixture_ulid(99),
                          .created_ms = T0 / NS_PER_MS + ms,
                          .min_ms = INT64_MIN,
                          .max_ms = T0 / NS_PER_MS + ms};
    struct matcher every;

    CHECK_OK(matcher_init(x->a, MATCHER_RE, SLICE(LABEL_NAME), SLICE(".*"), &every));
    t.matchers = (struct matchers){&every, 1};
    CHECK_OK(tombstone_list_update(x->store, SLICE("traces"), SLICE("t"), bury, &t, NULL));
    matcher_done(&every);
}

/* What an ingester held when its tenant was deleted gets into no block. */
TEST(tracemake_leaves_out_what_is_deleted)
{
    struct tombstone t = {.max_ms = T0 / NS_PER_MS + 299};
    uint64_t spans = 0;
    struct block_reader *r;
    struct flushing x;
    bool holds;

    setup(&x, 6, 700, 3, 4);
    delete_until(&x, 299);
    CHECK_OK(flush(&x));
    data.traces += 300; /* one a millisecond */
    data.n -= 300;
    for (size_t i = 0; i < data.n; i++)
        spans += data.traces[i].n_spans;
    CHECK_INT(x.res.samples, spans);
    CHECK(x.m.make.deleted_samples > 0);
    check_block(&x, x.res.block);
    CHECK_OK(block_reader_open_dir(download(&x, x.res.block), &r));
    CHECK_OK(signal_of(SIGNAL_TRACES)->holds(r, &t, NULL, &holds));
    CHECK(!holds);
    t.max_ms++;
    CHECK_OK(signal_of(SIGNAL_TRACES)->holds(r, &t, NULL, &holds));
    CHECK(holds);
    block_reader_close(r);
    teardown(&x);

    setup(&x, 7, 100, 2, 1); /* all of it: the block goes on naming the segments */
    delete_until(&x, 100);
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.samples, 0);
    CHECK(has_segment(&x, 1) && has_segment(&x, 2));
    data.n = 0;
    check_block(&x, x.res.block);
    teardown(&x);
}

/* In a block it appears before 1970: what it kept of it would be deleted there again and again. */
TEST(tracemake_leaves_out_what_starts_after_2262_when_all_is_deleted)
{
    struct tombstone t = {.max_ms = T0 / NS_PER_MS + 99};
    struct block_reader *r;
    struct flushing x;
    bool holds;

    setup(&x, 8, 200, 1, 1);
    data.traces[150].spans[0].start_ns = (1ull << 63) + 5;
    data.traces[150].spans[0].end_ns = (1ull << 63) + 9;
    write_segment(&data, 1, 3, 1);
    delete_until(&x, 99);
    CHECK_OK(flush(&x));
    CHECK_OK(block_reader_open_dir(download(&x, x.res.block), &r));
    CHECK_OK(signal_of(SIGNAL_TRACES)->holds(r, &t, NULL, &holds));
    CHECK(!holds);
    block_reader_close(r);
    teardown(&x);
}

/* Files of segments that this process has mapped. */
static size_t mapped(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[4096];
    size_t n = 0;

    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f))
        n += strstr(line, "/" TRACECHECK_DIR "/") != NULL;
    CHECK(fclose(f) == 0);
    return n;
}

/* All spans that come of the sources, of each trace in turn. */
static void check_sources(const struct tracecheck *c)
{
    VEC(struct traceblock_source) all = {0};
    struct arena *a = arena_new(0);
    uint32_t *found = mem_new_array(uint32_t, data.n);

    for (size_t i = 0; i < tracecheck_n_sources(c); i++)
        CHECK_OK(tracecheck_source(c, i, vec_add(&all)));
    CHECK_INT(mapped(), all.len);
    VEC_FOREACH (s, &all) {
        const uint8_t *id;
        uint8_t last[16] = {0};
        uint32_t n;

        for (bool is_first = true;; is_first = false) {
            CHECK_OK(s->trace(s->arg, &id, &n));
            if (!id)
                break;
            CHECK(is_first || memcmp(last, id, sizeof(last)) < 0);
            memcpy(last, id, sizeof(last));
            for (uint32_t k = 0; k < n; k++) {
                struct tracepiece p;

                CHECK_OK(s->piece(s->arg, a, &p));
                found[(size_t)id[0] << 8 | id[1]] += p.n_spans;
            }
        }
        s->close(s->arg);
    }
    for (size_t i = 0; i < data.n; i++)
        CHECK_INT(found[i], data.traces[i].n_spans);
    CHECK_INT(mapped(), 0);
    vec_done(&all);
    mem_free(found);
    arena_free(a);
}

/* A segment may have more files than a process may map. */
TEST(tracecheck_reduces_the_files_of_a_segment)
{
    static const size_t max[] = {400, 40, 3, 1};
    struct segcheck found;
    struct tracecheck *c;

    fixture_make(&data, 5, 500);
    write_segment(&data, 1, 3, 400);
    CHECK_OK(tracecheck_open_segment(tmp_path(ulid_print(fixture_ulid(1)).s), fixture_ulid(1), &c,
                                     &found));
    CHECK_INT(found.samples, data.spans);
    CHECK_INT(mapped(), 0);
    for (size_t i = 0; i < ORR_COUNT(max); i++) {
        CHECK_OK(tracecheck_reduce(c, max[i], NULL));
        CHECK(tracecheck_n_sources(c) <= max[i]);
        CHECK(i || tracecheck_n_sources(c) == 400);
        check_sources(c);
    }
    tracecheck_close(c);
    arena_free(data.a);
}

TEST(tracemake_leaves_a_corrupt_file_out_and_the_others_go_on)
{
    for (size_t sixths = 2; sixths <= 6; sixths += 2) { /* a piece, the index, the trailer */
        struct flushing x;

        setup(&x, 4, 200, 3, 2);
        damage(file_path(&data, 2, 1), sixths);
        CHECK_OK(flush(&x));
        CHECK_INT(x.res.n_bad, 1);
        CHECK(ulid_eq(x.res.bad[0], fixture_ulid(2)));
        CHECK_INT(x.m.bad_segments, 1);
        CHECK(has_segment(&x, 1) && !has_segment(&x, 2) && has_segment(&x, 3));
        check_block(&x, x.res.block); /* two have all three thirds */
        teardown(&x);
    }
}

TEST(tracemake_does_not_name_a_segment_without_spans)
{
    struct flushing x;

    setup(&x, 5, 10, 2, 1);
    write_segment(&data, 1, 3, 1);
    CHECK_OK(fsx_remove_tree(file_path(&data, 2, 0)));
    CHECK_OK(flush(&x));
    CHECK_INT(x.res.n_bad, 1);
    CHECK(has_segment(&x, 1) && !has_segment(&x, 2));
    check_block(&x, x.res.block);
    teardown(&x);
}

TEST(tracemake_survives_a_failure_at_every_step)
{
    FAULT_SWEEP (n) {
        struct flushing x;
        struct err *e;

        fault_disarm();
        setup(&x, 6, 12, 2, 1);
        write_segment(&data, 1, 3, 1);
        fault_arm_nth(n);
        e = flush(&x);
        fault_disarm();
        CHECK(e || blocks_of(&x) == 1);
        err_free(e);
        CHECK_OK(flush(&x));
        CHECK_INT(x.res.n_bad, 0);
        CHECK_INT(blocks_of(&x), 1);
        check_block(&x, first_block(&x));
        teardown(&x);
    }
}

/* ---- compaction ---- */

static void setup_blocks(struct compacting *k, uint64_t seed)
{
    *k = (struct compacting){.n_jobs = 0};
    setup(&k->x, seed, 250, 3, 2);
    compacting_open(k, T0 / NS_PER_MS + 10 * 24 * HOUR_MS);
}

static void teardown_blocks(struct compacting *k)
{
    catalogue_free(k->c);
    teardown(&k->x);
}

TEST(tracemake_compaction_makes_one_block_with_each_span_once)
{
    struct compacting k;

    setup_blocks(&k, 8);
    CHECK_OK(compact(&k));
    CHECK_INT(k.m.done, 1);
    CHECK_INT(k.res.samples, data.spans);
    CHECK(k.m.make.duplicate_spans > 0);
    check_compacted(&k);
    check_block(&k.x, k.res.block);
    CHECK_OK(compact(&k)); /* again: it is done */
    CHECK_INT(k.m.outdated, 1);
    teardown_blocks(&k);
}

TEST(tracemake_compaction_leaves_a_corrupt_block_alone)
{
    for (size_t i = 0; i <= ORR_COUNT(files); i++) {
        struct compacting k;

        setup_blocks(&k, 9);
        check_leaves_alone(&k, i < ORR_COUNT(files) ? files[i] : "index");
        teardown_blocks(&k);
    }
}
