#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/traces/tracesegment.h"
#include "tests/unit/common/traceblock/traceblock_fixture.h"

#ifdef ORR_SANITIZED
#define MANY 6500 /* traces: a few groups */
#define FLIPS 40
#else
#define MANY 9000
#define FLIPS 199
#endif

struct open_block {
    struct block_reader *reader;
    struct traceblock *block;
    struct block_meta meta;
    char *path;
};

static struct ulid id_of(unsigned n)
{
    struct ulid id = {{0}};

    id.bytes[15] = (uint8_t)n;
    return id;
}

static struct traceblock_writer *new_writer(struct ulid id)
{
    struct traceblock_writer_opts o = {.dir = tmp_path(""),
                                       .meta = {.ulid = id, .level = 1, .tenant = SLICE("t")},
                                       .has_summary = true,
                                       .no_sync = true};
    struct traceblock_writer *w;

    CHECK_OK(traceblock_writer_open(&o, &w));
    return w;
}

static void open_block(struct ulid id, struct open_block *ret)
{
    ret->path = mem_printf("%s/%s", tmp_path(""), ulid_print(id).s);
    CHECK_OK(block_reader_open_dir(ret->path, &ret->reader));
    CHECK_OK(traceblock_open(ret->reader, &ret->block));
}

static void close_block(struct open_block *b)
{
    traceblock_close(b->block);
    block_reader_close(b->reader);
    mem_free(b->path);
}

static void write_block(const struct fixture *f, unsigned n, struct open_block *ret)
{
    struct traceblock_writer *w = new_writer(id_of(n));

    for (size_t i = 0; i < f->n; i++)
        CHECK_OK(traceblock_writer_trace(w, &f->t[i]));
    CHECK_INT(traceblock_writer_spans(w), f->spans);
    CHECK_OK(traceblock_writer_finish(w, f->a, &ret->meta));
    traceblock_writer_close(w);
    open_block(id_of(n), ret);
}

static struct traceblock_query all_of(void)
{
    struct traceblock_query q = {.start_ns = 0, .end_ns = INT64_MAX};

    memset(q.last, 0xff, sizeof(q.last));
    return q;
}

/* Some traces, in order, and no others. */
static void check_select(struct open_block *b, const struct fixture *f,
                         const struct traceblock_query *q, const bool *want,
                         struct traceblock_stats *stats)
{
    struct arena *a = arena_new(256 << 20);
    struct traceblock_set *set;
    struct traceblock_trace t;
    size_t at = 0;

    CHECK_OK(traceblock_select(b->block, a, q, &set));
    while (traceblock_set_next(set, &t)) {
        while (at < f->n && want && !want[at])
            at++;
        CHECK(at < f->n && !memcmp(t.id, f->t[at].trace_id, 16));
        CHECK(q->ids_only ? !t.piece : fixture_eq(t.piece, &f->t[at]));
        at++;
    }
    while (at < f->n && want && !want[at])
        at++;
    CHECK_INT(at, f->n);
    if (stats)
        traceblock_set_stats(set, stats);
    CHECK_OK(traceblock_set_close(set));
    arena_free(a);
}

TEST(traceblock_gives_back_what_was_written)
{
    struct fixture f = fixture_make(1, MANY, 12);
    struct traceblock_query q = all_of();
    struct open_block b = {0};
    struct traceblock_stats stats;

    write_block(&f, 1, &b);
    CHECK_INT(b.meta.stats.samples, f.spans);
    CHECK(b.meta.stats.chunks > 2);
    CHECK_INT(b.meta.stats.series, 9); /* eight with names, one without */
    check_select(&b, &f, &q, NULL, &stats);
    CHECK_INT(stats.groups, b.meta.stats.chunks);
    q.ids_only = true;
    check_select(&b, &f, &q, NULL, NULL);
    CHECK_OK(traceblock_verify(b.block));
    close_block(&b);
    arena_free(f.a);
}

TEST(traceblock_finds_ids_and_opens_few_groups)
{
    struct fixture f = fixture_make(2, MANY, 6);
    struct traceblock_query q = all_of();
    bool *want = mem_calloc(f.n, 1);
    uint8_t ids[5][16], none[64][16];
    struct open_block b = {0};
    struct traceblock_stats stats;

    write_block(&f, 1, &b);
    for (size_t i = 0; i < 5; i++) {
        memcpy(ids[i], f.t[i * (MANY / 5)].trace_id, 16);
        want[i * (MANY / 5)] = true;
    }
    q.ids = (const uint8_t(*)[16])ids;
    q.n_ids = 5;
    check_select(&b, &f, &q, want, &stats);
    CHECK(stats.groups <= 5 && stats.groups + stats.groups_skipped == b.meta.stats.chunks);
    memset(want, 0, f.n);
    for (size_t i = 0; i < 64; i++) { /* not there */
        memcpy(none[i], f.t[i * (MANY / 64)].trace_id, 16);
        none[i][15] ^= 1;
    }
    q.ids = (const uint8_t(*)[16])none;
    q.n_ids = 64;
    check_select(&b, &f, &q, want, &stats);
    q = all_of();
    memcpy(q.first, f.t[10].trace_id, 16);
    memcpy(q.last, f.t[MANY / 2].trace_id, 16);
    for (size_t i = 10; i <= MANY / 2; i++)
        want[i] = true;
    check_select(&b, &f, &q, want, NULL);
    mem_free(want);
    close_block(&b);
    arena_free(f.a);
}

static bool overlaps(const struct tracepiece *p, int64_t start, int64_t end)
{
    int64_t first = INT64_MAX, last = INT64_MIN;

    for (uint32_t i = 0; i < p->n_spans; i++) {
        int64_t s = (int64_t)p->spans[i].start_ns, t = (int64_t)p->spans[i].end_ns;

        first = ORR_MIN(first, s);
        last = ORR_MAX(last, ORR_MAX(s, t));
    }
    return first < end && last >= start;
}

TEST(traceblock_selects_by_time)
{
    struct fixture f = fixture_make(3, 3000, 6);
    struct traceblock_query q = all_of();
    bool *want = mem_calloc(f.n, 1);
    struct open_block b = {0};

    write_block(&f, 1, &b);
    q.start_ns = FIXTURE_T0 + (1ll << 34);
    q.end_ns = q.start_ns + (1ll << 33);
    for (size_t i = 0; i < f.n; i++)
        want[i] = overlaps(&f.t[i], q.start_ns, q.end_ns);
    check_select(&b, &f, &q, want, NULL);
    memset(want, 0, f.n);
    q.end_ns = FIXTURE_T0 - 3600000000000;
    q.start_ns = q.end_ns - 1;
    check_select(&b, &f, &q, want, NULL);
    mem_free(want);
    close_block(&b);
    arena_free(f.a);
}

/* Spans of service-3 that take more than 40 ms. */
static struct err *match(void *arg, struct arena *scratch, const struct tracecols *c, uint8_t *want)
{
    (void)scratch;
    ++*(unsigned *)arg;
    for (uint32_t i = 0; i < c->n_spans; i++)
        if (slice_eq_cstr(c->dict[c->service[i]], "service-3") &&
            c->end_ns[i] - c->start_ns[i] > 40000000)
            want[c->trace[i]] = 1;
    return NULL;
}

static bool is_match(const struct tracepiece *p)
{
    for (uint32_t i = 0; i < p->n_spans; i++) {
        const struct tracepiece_resource *r = &p->resources[p->spans[i].resource];

        if (r->attributes.n && slice_eq_cstr(r->attributes.ptr->value.text, "service-3") &&
            (int64_t)(p->spans[i].end_ns - p->spans[i].start_ns) > 40000000)
            return true;
    }
    return false;
}

TEST(traceblock_selects_what_matches)
{
    struct fixture f = fixture_make(4, 5000, 6);
    struct traceblock_query q = all_of();
    struct slice services[] = {SLICE("nobody"), SLICE("service-3")};
    bool *want = mem_calloc(f.n, 1);
    struct open_block b = {0};
    unsigned asked = 0;

    write_block(&f, 1, &b);
    for (size_t i = 0; i < f.n; i++)
        want[i] = is_match(&f.t[i]);
    q.match = match;
    q.arg = &asked;
    q.services = services;
    q.n_services = 2;
    check_select(&b, &f, &q, want, NULL);
    CHECK_INT(asked, b.meta.stats.chunks);
    /* one that it has not; but it has spans without a name, so all the same */
    mem_free(want);
    close_block(&b);
    arena_free(f.a);
}

struct walk {
    const struct fixture *f;
    const bool *want;
    size_t at;
};

static struct err *walk_group(void *arg, struct tracegroup *g, const struct tracecols *cols,
                              bool *ret_stop)
{
    struct walk *w = arg;

    (void)g;
    *ret_stop = false;
    for (uint32_t i = 0; i < cols->n_traces; i++) {
        while (w->at < w->f->n && !w->want[w->at])
            w->at++;
        CHECK(w->at < w->f->n && !memcmp(cols->traces[i].id, w->f->t[w->at].trace_id, 16));
        CHECK_INT(cols->traces[i].n, w->f->t[w->at].n_spans);
        CHECK(slice_eq(cols->dict[cols->name[cols->traces[i].first]], w->f->t[w->at].spans->name));
        w->at++;
    }
    return NULL;
}

/* Those that match, but some; in columns. */
TEST(traceblock_gives_groups_in_columns)
{
    struct fixture f = fixture_make(8, 5000, 6);
    struct traceblock_query q = all_of();
    struct tracegroup_want want = {.fields = TRACEGROUP_NAME};
    bool *wanted = mem_calloc(f.n, 1);
    uint8_t(*but)[16] = mem_calloc(f.n, 16);
    struct arena *a = arena_new(0);
    struct open_block b = {0};
    unsigned asked = 0;
    struct walk w = {&f, wanted, 0};

    write_block(&f, 1, &b);
    for (size_t i = 0; i < f.n; i++) {
        wanted[i] = is_match(&f.t[i]) && i % 4;
        if (i % 4 == 0)
            memcpy(but[q.n_but++], f.t[i].trace_id, 16);
    }
    q.but = (const uint8_t(*)[16])but;
    q.match = match;
    q.arg = &asked;
    CHECK_OK(traceblock_groups(b.block, a, &q, &want, walk_group, &w, NULL));
    while (w.at < f.n && !wanted[w.at])
        w.at++;
    CHECK_INT(w.at, f.n);
    arena_free(a);
    mem_free(but);
    mem_free(wanted);
    close_block(&b);
    arena_free(f.a);
}

TEST(traceblock_ends_a_question_that_is_canceled_or_out_of_memory)
{
    struct fixture f = fixture_make(5, 3000, 6);
    struct traceblock_query q = all_of();
    struct arena *a = arena_new(10000);
    struct traceblock_trace t;
    struct traceblock_set *set;
    struct open_block b = {0};
    atomic_bool cancel = true;

    write_block(&f, 1, &b);
    CHECK_OK(traceblock_select(b.block, a, &q, &set));
    while (traceblock_set_next(set, &t))
        ;
    CHECK_ERR(traceblock_set_close(set), ERR_LIMIT, "memory");
    arena_free(a);
    a = arena_new(0);
    q.cancel = &cancel;
    CHECK_OK(traceblock_select(b.block, a, &q, &set));
    CHECK(!traceblock_set_next(set, &t));
    CHECK_ERR(traceblock_set_close(set), ERR_CANCELED, "block");
    q.cancel = NULL;
    q.deadline_mono_ms = 1;
    CHECK_OK(traceblock_select(b.block, a, &q, &set));
    CHECK(!traceblock_set_next(set, &t));
    CHECK_ERR(traceblock_set_close(set), ERR_TIMEOUT, "block");
    arena_free(a);
    close_block(&b);
    arena_free(f.a);
}

/* A service is what TraceQL takes for one: the first value of service.name that it has a type for. */
TEST(traceblock_services_are_the_first_values_of_their_key)
{
    static const struct otlp_value text = {.kind = OTLP_VALUE_TEXT, .text = SLICE_INIT("shop")};
    struct otlp_member item = {.value = {.kind = OTLP_VALUE_INT}};
    const struct otlp_value firsts[] = {
        {.kind = OTLP_VALUE_TEXT},
        {.kind = OTLP_VALUE_INT, .i = 5},
        {.kind = OTLP_VALUE_BYTES, .text = SLICE_INIT("x")},
        {.kind = OTLP_VALUE_LIST},
        {.kind = OTLP_VALUE_LIST, .members = &item, .n = 1},
    };
    struct fixture f = fixture_make(19, ORR_COUNT(firsts), 3);
    struct open_block b = {0};

    for (size_t i = 0; i < f.n; i++)
        for (uint32_t k = 0; k < f.t[i].n_resources; k++) {
            struct tracepiece_attributes *at = &f.t[i].resources[k].attributes;

            *at = (struct tracepiece_attributes){2, 0, arena_array(f.a, struct otlp_member, 2)};
            at->ptr[0] = (struct otlp_member){SLICE(TRACEBLOCK_SERVICE), firsts[i]};
            at->ptr[1] = (struct otlp_member){SLICE(TRACEBLOCK_SERVICE), text};
        }
    write_block(&f, 1, &b);
    CHECK_OK(traceblock_verify(b.block));
    CHECK_INT(b.meta.stats.series, 2);
    close_block(&b);
    arena_free(f.a);
}

TEST(traceblock_without_traces_is_a_block)
{
    struct arena *a = arena_new(0);
    struct fixture f = {.a = a};
    struct traceblock_query q = all_of();
    struct open_block b = {0};

    write_block(&f, 1, &b);
    check_select(&b, &f, &q, NULL, NULL);
    CHECK_OK(traceblock_verify(b.block));
    close_block(&b);
    arena_free(a);
}

/* ---- merging ---- */

static bool same_file(const char *l, const char *r, const char *name)
{
    char *lp = mem_printf("%s/%s", l, name), *rp = mem_printf("%s/%s", r, name);
    struct slice lb, rb;
    bool is_same;

    CHECK_OK(fsx_map(lp, &lb));
    CHECK_OK(fsx_map(rp, &rb));
    is_same = slice_eq(lb, rb);
    fsx_unmap(lb);
    fsx_unmap(rb);
    mem_free(lp);
    mem_free(rp);
    return is_same;
}

/* Spans [from, to) of a trace, as a replica that missed the others has them. */
static struct tracepiece part_of(const struct tracepiece *p, uint32_t from, uint32_t to)
{
    struct tracepiece part = *p;

    part.spans += from;
    part.n_spans = to - from;
    return part;
}

static void write_segment(struct fixture *f, const char *path, unsigned replica)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct tracesegment_writer *w;
    struct tracesegment_totals totals;
    struct buf out = {0};

    CHECK_OK(tracesegment_create(path, &w));
    for (size_t i = 0; i < f->n; i++) {
        uint32_t n = f->t[i].n_spans, third = n / 3;
        struct tracepiece parts[2];

        if (i % 5 == replica) /* not heard of */
            continue;
        /* one lacks the first spans, one the last; one has them in two pieces that overlap */
        parts[0] = part_of(&f->t[i], replica == 0 ? third : 0, replica == 1 ? n - third : n);
        parts[1] = part_of(&f->t[i], 0, replica == 2 ? third : 0);
        for (size_t k = 0; k < 2; k++) {
            buf_reset(&out);
            tracepiece_encode(enc, &parts[k], &out);
            CHECK_OK(tracesegment_add(w, buf_slice(&out)));
        }
    }
    CHECK_OK(tracesegment_finish(w, &totals));
    tracesegment_writer_free(w);
    tracepiece_encoder_free(enc);
    buf_done(&out);
}

TEST(traceblock_merge_of_replicas_is_the_whole)
{
    struct fixture f = fixture_make(6, MANY / 3, 12);
    struct open_block whole = {0}, merged = {0};
    struct traceblock_source sources[4];
    struct tracesegment segments[3];
    struct slice files[3];
    struct traceblock_writer *w;
    struct traceblock_query q = all_of();
    struct traceblock_merged done;

    write_block(&f, 1, &whole);
    for (unsigned i = 0; i < 3; i++) {
        const char *path = tmp_path(i == 0 ? "a" : i == 1 ? "b" : "c");

        write_segment(&f, path, i);
        CHECK_OK(fsx_map(path, &files[i]));
        CHECK_OK(tracesegment_open(files[i], &segments[i]));
        sources[2 - i] = traceblock_source_segment(&segments[i]);
    }
    w = new_writer(id_of(2));
    CHECK_OK(traceblock_merge(sources, 3, 0, NULL, w, &done));
    CHECK(done.duplicates > f.spans / 2 && done.cut == 0);
    CHECK_OK(traceblock_writer_finish(w, f.a, &merged.meta));
    traceblock_writer_close(w);
    open_block(id_of(2), &merged);
    check_select(&merged, &f, &q, NULL, NULL);
    CHECK_OK(traceblock_verify(merged.block));
    close_block(&merged);

    /* with the whole block as one more source: the same, and the same bytes however it was come by */
    CHECK_OK(traceblock_source_block(whole.block, &sources[0]));
    for (unsigned i = 0; i < 3; i++)
        sources[1 + i] = traceblock_source_segment(&segments[i]);
    w = new_writer(id_of(3));
    CHECK_OK(traceblock_merge(sources, 4, 0, NULL, w, &done));
    CHECK_OK(traceblock_writer_finish(w, f.a, &merged.meta));
    traceblock_writer_close(w);
    open_block(id_of(3), &merged);
    CHECK(same_file(whole.path, merged.path, TRACEBLOCK_FRONT_FILE));
    CHECK(same_file(whole.path, merged.path, TRACEBLOCK_BACK_FILE));
    CHECK(same_file(whole.path, merged.path, TRACEBLOCK_IDS_FILE));
    CHECK(same_file(whole.path, merged.path, TRACEBLOCK_DIRECTORY_FILE));
    close_block(&merged);

    /* a trace may take no memory behind its first piece */
    for (unsigned i = 0; i < 3; i++)
        sources[i] = traceblock_source_segment(&segments[i]);
    w = new_writer(id_of(4));
    CHECK_OK(traceblock_merge(sources, 3, 1, NULL, w, &done));
    CHECK(done.cut > f.n / 2);
    CHECK_OK(traceblock_writer_finish(w, f.a, &merged.meta));
    traceblock_writer_close(w);
    CHECK(merged.meta.stats.samples < f.spans && merged.meta.stats.samples > f.n / 2);
    open_block(id_of(4), &merged);
    CHECK_OK(traceblock_verify(merged.block));
    close_block(&merged);
    close_block(&whole);
    for (unsigned i = 0; i < 3; i++)
        fsx_unmap(files[i]);
    arena_free(f.a);
}

/* ---- broken bytes ---- */

static struct err *verify_dir(const char *path)
{
    struct block_reader *r;
    struct traceblock *b;
    struct err *e = block_reader_open_dir(path, &r);

    if (e)
        return e;
    if (!(e = traceblock_open(r, &b))) {
        e = traceblock_verify(b);
        traceblock_close(b);
    }
    block_reader_close(r);
    return e;
}

/* What the byte was. */
static uint8_t flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x55;
    CHECK(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
    return byte ^ 0x55;
}

TEST(traceblock_broken_bytes_are_found_in_each_file)
{
    static const char *const names[] = {"front", "back", "directory", "ids", "index"};
    struct fixture f = fixture_make(7, 60, 6);
    struct open_block b = {0};

    write_block(&f, 1, &b);
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        char *path = mem_printf("%s/%s", b.path, names[i]);
        struct stat st;

        CHECK(stat(path, &st) == 0);
        for (off_t at = 0; at < st.st_size; at += 1 + st.st_size / FLIPS) {
            uint8_t was = flip(path, at);
            struct err *e;

            e = verify_dir(b.path);
            /* between series of an index there are zeros that nobody reads */
            if (!err_is(e, ERR_CORRUPT) && (e || was || strcmp(names[i], "index") != 0))
                test_fail(__FILE__, __LINE__, "%s, byte %lld of %lld", names[i], (long long)at,
                          (long long)st.st_size);
            err_free(e);
            (void)flip(path, at);
        }
        mem_free(path);
    }
    CHECK_OK(verify_dir(b.path));
    close_block(&b);
    arena_free(f.a);
}
