/*
 * What log pages, and blocks of them, cost and save, by kind of line (loggen.h), beside zstd -3 of the same text, memcpy and
 * memmem() in the same run.
 *
 *     logblock_bench [MB [KIND]]        64 MB of each kind
 *     logblock_bench build [MB [KIND]]  what building pages costs alone, phase by phase, 16 MB of each kind
 *
 * All speeds are MB of raw lines a second of this thread's CPU. Of `build` a page's phase is the least of its rounds:
 * a machine that others use, too, makes a round slower, but none faster.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zstd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/logblock/logblock.h"
#include "common/logblock/logskel_internal.h"
#include "tests/bench/loggen.h"

struct pages {
    struct buf bytes;
    VEC(size_t) ends;
    struct buf filters;
};

static struct logfilter_grams grams; /* too large for a stack */

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "logblock_bench: %s\n", err_msg(e));
    exit(1);
}

static double speed(size_t bytes, int64_t ns)
{
    return (double)bytes / (double)ORR_MAX(ns, (int64_t)1) * 1000;
}

/* As a flush does it: streams one after the other, pages of about 1 MiB. */
static struct logpage_entry *by_stream(const struct loggen_text *t, size_t *ret_n)
{
    struct logpage_entry *e = mem_new_array(struct logpage_entry, t->ends.len);
    size_t n = 0;

    for (uint32_t s = 0; s < 8; s++)
        for (size_t i = 0; i < t->ends.len; i++)
            if (t->streams.ptr[i] == s)
                e[n++] = (struct logpage_entry){
                    .stream = s, .ts_ns = t->times.ptr[i], .line = loggen_text_line(t, i)};
    *ret_n = n;
    return e;
}

static void encode(const struct logpage_entry *e, size_t n, struct pages *ret, int64_t *page_ns,
                   int64_t *filter_ns)
{
    struct logpage_builder *b = logpage_builder_new();
    struct logfilter_out *o = logfilter_out_new();
    struct logfilter_bits bits;
    int64_t t2;

    *page_ns = *filter_ns = 0;
    for (size_t start = 0, i = 0; start < n; start = i) {
        size_t bytes = 0;
        int64_t t0 = cpu_ns(), t1;

        for (i = start; i < n && bytes < LOGPAGE_AIM_BYTES; i++)
            bytes += e[i].line.len;
        must(logpage_build(b, e + start, i - start, LOGPAGE_LEVEL, &ret->bytes, NULL));
        t1 = cpu_ns();
        *page_ns += t1 - t0;
        logfilter_grams_clear(&grams);
        for (size_t k = start; k < i; k++)
            logfilter_grams_add(&grams, e[k].line);
        bits = logfilter_bits_of(&grams);
        logfilter_out_add(o, &bits, &ret->filters);
        *filter_ns += cpu_ns() - t1;
        vec_push(&ret->ends, ret->bytes.len);
    }
    t2 = cpu_ns();
    logfilter_out_end(o, &ret->filters);
    *filter_ns += cpu_ns() - t2;
    logfilter_out_free(o);
    logpage_builder_free(b);
}

static struct slice page_at(const struct pages *p, size_t i)
{
    size_t start = i ? p->ends.ptr[i - 1] : 0;

    return slice_of(p->bytes.ptr + start, p->ends.ptr[i] - start);
}

static int64_t decode(const struct pages *p, const struct logpage_entry *e)
{
    struct arena *a = arena_new(0);
    struct slice *lines = mem_new_array(struct slice, LOGPAGE_MAX_ENTRIES);
    int64_t ns = 0;

    for (size_t i = 0; i < p->ends.len; i++) {
        struct logpage *page;
        int64_t t0 = cpu_ns();

        must(logpage_open(a, page_at(p, i), &page));
        must(logpage_lines(page, NULL, 0, logpage_n_entries(page), lines));
        ns += cpu_ns() - t0;
        for (uint32_t k = 0; k < logpage_n_entries(page); k++, e++)
            if (!slice_eq(lines[k], e->line)) {
                fprintf(stderr, "logblock_bench: another line came back\n");
                exit(1);
            }
        arena_reset(a);
    }
    mem_free(lines);
    arena_free(a);
    return ns;
}

static size_t count_bits(const uint64_t *set, uint32_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < LOGPAGE_WORDS(n); i++)
        sum += (size_t)__builtin_popcountll(set[i]);
    return sum;
}

/* Every page is searched, as for a text that no filter knows. */
static int64_t match(const struct pages *p, struct slice needle, size_t *ret_n)
{
    struct arena *a = arena_new(0);
    int64_t t0 = cpu_ns();

    *ret_n = 0;
    for (size_t i = 0; i < p->ends.len; i++) {
        struct logpage *page;
        uint64_t *set;

        must(logpage_open(a, page_at(p, i), &page));
        set = arena_array(a, uint64_t, LOGPAGE_WORDS(logpage_n_entries(page)));
        must(logpage_match(page, needle, set));
        *ret_n += count_bits(set, logpage_n_entries(page));
        arena_reset(a);
    }
    arena_free(a);
    return cpu_ns() - t0;
}

static size_t count_lines(const struct loggen_text *t, struct slice needle, int64_t *ns)
{
    int64_t t0 = cpu_ns();
    size_t n = 0;

    for (size_t i = 0; i < t->ends.len; i++) {
        struct slice l = loggen_text_line(t, i);

        n += memmem(l.ptr, l.len, needle.ptr, needle.len) != NULL;
    }
    *ns = cpu_ns() - t0;
    return n;
}

static size_t zstd_bytes(struct slice raw, int64_t *ns)
{
    size_t cap = ZSTD_compressBound(raw.len), n;
    void *to = mem_alloc(cap);
    int64_t t0 = cpu_ns();

    n = ZSTD_compress(to, cap, raw.ptr, raw.len, 3);
    *ns = cpu_ns() - t0;
    mem_free(to);
    return n;
}

static int64_t copy_ns(struct slice raw)
{
    void *to = mem_alloc(raw.len);
    int64_t t0;

    memset(to, 1, raw.len);
    t0 = cpu_ns();
    memcpy(to, raw.ptr, raw.len);
    t0 = cpu_ns() - t0;
    __asm__ volatile("" : : "r"(to) : "memory");
    mem_free(to);
    return t0;
}

/* How long `| json | latency_ms > 1000` takes, over all pages. */
static int64_t field(const struct pages *p, size_t *ret_n)
{
    struct arena *a = arena_new(0);
    int64_t t0 = cpu_ns();

    *ret_n = 0;
    for (size_t i = 0; i < p->ends.len; i++) {
        struct logpage_column c;
        struct logpage *page;

        must(logpage_open(a, page_at(p, i), &page));
        must(logpage_column(page, LOGPAGE_JSON, SLICE("latency_ms"), &c));
        for (uint32_t k = 0; c.num && k < logpage_n_entries(page); k++)
            *ret_n += c.num[k] > 1000;
        arena_reset(a);
    }
    arena_free(a);
    return cpu_ns() - t0;
}

static struct err *from_buf(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    const struct buf *b = arg;

    *ret = slice_sub(buf_slice(b), (size_t)off, len);
    return NULL;
}

static struct err *from_slice(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    const struct slice *s = arg;

    *ret = slice_sub(*s, (size_t)off, len);
    return NULL;
}

static void needle_search(struct pages *p, struct slice needle, size_t raw_bytes)
{
    struct arena *a = arena_new(0), *kept = arena_new(0);
    size_t n_found = 0, n_pages = 0;
    uint64_t touched = 0, *candidates = arena_array(kept, uint64_t, LOGPAGE_WORDS(p->ends.len));
    struct logfilter_io io = {.fetch = from_buf, .arg = &p->filters};
    uint64_t of_filters;
    struct logfilter *f;
    int64_t t0 = cpu_ns();

    logfilter_grams_clear(&grams);
    logfilter_grams_add(&grams, needle);
    must(logfilter_open(kept, p->filters.len, (uint32_t)p->ends.len, &io, &f));
    memset(candidates, 255, LOGPAGE_WORDS(p->ends.len) * sizeof(*candidates));
    must(logfilter_narrow(f, &io, &grams, NULL, candidates, &touched));
    of_filters = touched;
    for (uint32_t i = 0; i < p->ends.len; i++) {
        struct slice bytes = page_at(p, i);
        struct logpage *page;
        uint64_t *set;

        if (!logpage_has(candidates, i))
            continue;
        n_pages++;
        must(logpage_open_ranged(a, bytes.len, from_slice, &bytes, &page));
        set = arena_array(a, uint64_t, LOGPAGE_WORDS(logpage_n_entries(page)));
        must(logpage_match(page, needle, set));
        n_found += count_bits(set, logpage_n_entries(page));
        touched += logpage_touched_bytes(page);
        arena_reset(a);
    }
    t0 = cpu_ns() - t0;
    printf("  needle %-32.*s %2zu grams: %zu found in %zu of %zu pages, %.3f%% touched (filter "
           "%.3f%%), %.1f ms/GiB\n",
           SLICE_ARG(needle), grams.hashes.len, n_found, n_pages, p->ends.len,
           100 * (double)touched / (double)(p->bytes.len + p->filters.len),
           100 * (double)of_filters / (double)(p->bytes.len + p->filters.len),
           (double)t0 / 1e6 * 1073741824 / (double)raw_bytes);
    arena_free(a);
    arena_free(kept);
}

/* Of a line in the middle an id, if such lines have one. */
static struct slice pick_id(const struct loggen_text *t, size_t len)
{
    for (size_t i = t->ends.len / 2; i < t->ends.len; i++) {
        struct slice l = loggen_text_line(t, i);
        ptrdiff_t at = slice_find(l, SLICE("trace_id"), 0);
        size_t skip = 8;

        if (at < 0) {
            at = slice_find(l, SLICE("Payment "), 0);
            skip = 7;
        }
        if (at < 0 && t->streams.ptr[i] == 3 && i > t->ends.len / 2 + 50)
            return slice_sub(l, l.len / 3, len);
        if (at < 0)
            continue;
        while (skip < 11 &&
               !((l.ptr[(size_t)at + skip] >= '0' && l.ptr[(size_t)at + skip] <= '9') ||
                 (l.ptr[(size_t)at + skip] >= 'a' && l.ptr[(size_t)at + skip] <= 'f')))
            skip++;
        return slice_sub(l, (size_t)at + skip, len);
    }
    return SLICE("no line at all");
}

/* ---- blocks ---- */

static char *dir; /* of blocks */

static struct ulid ulid_of(uint8_t id)
{
    uint8_t entropy[10] = {id};

    return ulid_make(0, entropy);
}

static struct logblock_writer *writer(uint8_t id)
{
    struct logblock_writer *w;

    must(logblock_writer_open(
        &(struct logblock_writer_opts){.dir = dir, .meta.ulid = ulid_of(id), .no_sync = true}, &w));
    return w;
}

/* Returns the bytes of the block. */
static uint64_t finish(struct logblock_writer *w)
{
    struct arena *a = arena_new(0);
    struct block_meta m;
    uint64_t bytes;

    must(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    bytes = block_meta_bytes(&m);
    arena_free(a);
    return bytes;
}

/* Every hundredth entry is missing, another one in each replica. */
static uint64_t write_block(uint8_t id, const struct logpage_entry *e, size_t n, size_t gap)
{
    struct logblock_writer *w = writer(id);
    uint32_t stream = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        char name[16];
        struct label l = {SLICE("app"), SLICE_EMPTY};

        if (e[i].stream != stream) {
            stream = e[i].stream;
            snprintf(name, sizeof(name), "app-%u", stream);
            l.value = slice_cstr(name);
            must(logblock_writer_stream(w, (struct hash128){stream, 0}, (struct labels){&l, 1}));
        }
        if (i % 100 != gap)
            must(logblock_writer_entry(w, &e[i]));
    }
    return finish(w);
}

struct opened {
    struct block_reader *streams;
    struct logblock *b;
};

static struct opened open_block(uint8_t id)
{
    char *path = mem_printf("%s/%s", dir, ulid_print(ulid_of(id)).s);
    struct opened x;

    must(block_reader_open_dir(path, &x.streams));
    must(logblock_open(x.streams, &x.b));
    mem_free(path);
    return x;
}

static void close_block(struct opened x)
{
    logblock_close(x.b);
    block_reader_close(x.streams);
}

static void merge_blocks(size_t raw_bytes, size_t n)
{
    struct logblock_source s[3];
    struct logblock_writer *w = writer(4);
    struct opened x[3];
    uint64_t duplicates;
    int64_t t0 = cpu_ns();

    for (uint8_t i = 0; i < 3; i++) {
        x[i] = open_block((uint8_t)(i + 1));
        must(logblock_source_block(x[i].b, &s[i]));
    }
    must(logblock_merge(s, 3, NULL, NULL, NULL, NULL, w, &duplicates));
    if (logblock_writer_lines(w) > n || logblock_writer_lines(w) + n / 50 < n)
        printf("  WRONG: %llu lines\n", (unsigned long long)logblock_writer_lines(w));
    (void)finish(w);
    for (int i = 0; i < 3; i++)
        close_block(x[i]);
    printf(", merge of 3 replicas %.0f MB/s", speed(raw_bytes, cpu_ns() - t0));
}

static void select_from(const char *what, const struct logblock_query *q, size_t raw_bytes,
                        uint64_t block_bytes)
{
    struct opened x = open_block(4);
    struct arena *a = arena_new(0);
    struct logblock_set *set;
    struct logblock_stream st;
    struct logpage_entry en;
    struct logblock_stats stats;
    int64_t t0 = cpu_ns();

    must(logblock_select(x.b, a, q, &set));
    while (logblock_set_stream(set, &st))
        while (logblock_set_entry(set, &en))
            ;
    logblock_set_stats(set, &stats);
    must(logblock_set_close(set));
    t0 = cpu_ns() - t0;
    printf("  block: %s: %llu lines, %llu of %llu pages, %.3f%% touched, %.0f MB/s\n", what,
           (unsigned long long)stats.lines, (unsigned long long)stats.pages,
           (unsigned long long)(stats.pages + stats.pages_skipped),
           100 * (double)(stats.filter_bytes + stats.page_bytes) / (double)block_bytes,
           speed(raw_bytes, t0));
    close_block(x);
    arena_free(a);
}

static void blocks(const struct logpage_entry *e, size_t n, size_t raw_bytes, size_t packed,
                   struct slice needle)
{
    char template[] = "/tmp/logblock-bench-XXXXXX";
    struct logblock_query q = {.from_ns = INT64_MIN, .to_ns = INT64_MAX};
    int64_t t0 = cpu_ns();
    uint64_t bytes;

    if (!(dir = mkdtemp(template)))
        exit(1);
    bytes = write_block(1, e, n, 100);
    t0 = cpu_ns() - t0;
    (void)write_block(2, e, n, 7);
    (void)write_block(3, e, n, 63);
    printf("  block: %llu bytes, %.3f of zstd -3; write %.0f MB/s", (unsigned long long)bytes,
           (double)bytes / (double)packed, speed(raw_bytes, t0));
    merge_blocks(raw_bytes, n);
    printf("\n");
    select_from("all", &q, raw_bytes, bytes);
    q.needles = &needle;
    q.n_needles = 1;
    select_from("needle", &q, raw_bytes, bytes);
    must(fsx_remove_tree(dir));
}

static void run(enum loggen_kind kind, size_t bytes)
{
    struct loggen_text t = {0};
    struct pages p = {0};
    struct logpage_entry *e;
    size_t n, packed, n_lines, n_matched;
    int64_t zstd_ns, page_ns, filter_ns, decode_ns, match_ns, grep_ns, field_ns;

    loggen_text_make(&t, kind, bytes);
    e = by_stream(&t, &n);
    packed = zstd_bytes(buf_slice(&t.bytes), &zstd_ns);
    encode(e, n, &p, &page_ns, &filter_ns);
    decode_ns = decode(&p, e);
    match_ns = match(&p, SLICE("error"), &n_matched);
    n_lines = count_lines(&t, SLICE("error"), &grep_ns);
    printf("%-7s %.1f MB, %zu lines, %.0f bytes each; memcpy %.0f MB/s\n", loggen_name(kind),
           (double)t.bytes.len / 1e6, n, (double)t.bytes.len / (double)n,
           speed(t.bytes.len, copy_ns(buf_slice(&t.bytes))));
    printf("  zstd -3 %zu (%.1f B/line); pages %zu (%.1f), filter %zu (%.1f): together %.3f of "
           "zstd -3\n",
           packed, (double)packed / (double)n, p.bytes.len, (double)p.bytes.len / (double)n,
           p.filters.len, (double)p.filters.len / (double)n,
           (double)(p.bytes.len + p.filters.len) / (double)packed);
    printf("  encode %.0f MB/s (page %.0f, filter %.0f; zstd -3 %.0f), decode %.0f MB/s\n",
           speed(t.bytes.len, page_ns + filter_ns), speed(t.bytes.len, page_ns),
           speed(t.bytes.len, filter_ns), speed(t.bytes.len, zstd_ns),
           speed(t.bytes.len, decode_ns));
    printf("  |= \"error\" %.0f MB/s (memmem on raw lines %.0f), %zu of %zu%s\n",
           speed(t.bytes.len, match_ns), speed(t.bytes.len, grep_ns), n_matched, n_lines,
           n_matched == n_lines ? "" : "  WRONG");
    field_ns = field(&p, &n_matched);
    printf("  | json | latency_ms > 1000: %.0f MB/s, %zu lines\n", speed(t.bytes.len, field_ns),
           n_matched);
    needle_search(&p, pick_id(&t, 32), t.bytes.len);
    needle_search(&p, pick_id(&t, 16), t.bytes.len);
    blocks(e, n, t.bytes.len, packed, pick_id(&t, 16));
    buf_done(&p.filters);
    vec_done(&p.ends);
    buf_done(&p.bytes);
    loggen_text_done(&t);
    mem_free(e);
}

/* ---- building alone ---- */

#define PHASES(X)                                                                                  \
    X(SKELETONS, "skeletons (part of pages)")                                                      \
    X(PAGES, "pages")                                                                              \
    X(GRAMS, "grams")                                                                              \
    X(BITS, "bits of filters")
enum phase {
#define X(sym, name) PHASE_##sym,
    PHASES(X)
#undef X
        N_PHASES
};
static const char *const phase_names[] = {
#define X(sym, name) name,
    PHASES(X)
#undef X
};
#define ROUNDS 15

struct cost {
    int64_t ns[N_PHASES];
    size_t page_bytes, filter_bytes;
};

static void build_page(const struct logpage_entry *e, size_t n, struct logpage_builder *b,
                       struct logskel *skel, struct buf *page, struct cost *c)
{
    struct logfilter_bits bits;
    int64_t t[N_PHASES + 1];

    buf_reset(page);
    vec_clear(&skel->spans);
    t[PHASE_SKELETONS] = cpu_ns();
    for (size_t i = 0; i < n; i++)
        (void)logskel_line(skel, e[i].line);
    t[PHASE_PAGES] = cpu_ns();
    must(logpage_build(b, e, n, LOGPAGE_LEVEL, page, NULL));
    t[PHASE_GRAMS] = cpu_ns();
    logfilter_grams_clear(&grams);
    for (size_t i = 0; i < n; i++)
        logfilter_grams_add(&grams, e[i].line);
    t[PHASE_BITS] = cpu_ns();
    bits = logfilter_bits_of(&grams);
    t[N_PHASES] = cpu_ns();
    for (int k = 0; k < N_PHASES; k++)
        c->ns[k] += t[k + 1] - t[k];
    c->page_bytes += page->len;
    c->filter_bytes += logfilter_bits_bytes(&bits);
    logfilter_bits_done(&bits);
}

static void build_alone(enum loggen_kind kind, size_t bytes)
{
    struct logpage_builder *b = logpage_builder_new();
    struct logskel skel = {0};
    struct loggen_text t = {0};
    VEC(struct cost) least = {0}; /* of each page */
    struct cost all = {0};
    struct buf page = {0};
    struct logpage_entry *e;
    double sum = 0, mb;
    size_t n;

    loggen_text_make(&t, kind, bytes);
    mb = (double)t.bytes.len / 1e6;
    e = by_stream(&t, &n);
    for (int round = 0; round < ROUNDS; round++) {
        size_t page_no = 0;

        for (size_t start = 0, i = 0; start < n; start = i, page_no++) {
            struct cost c = {0};
            size_t raw = 0;

            for (i = start; i < n && raw < LOGPAGE_AIM_BYTES; i++)
                raw += e[i].line.len;
            build_page(e + start, i - start, b, &skel, &page, &c);
            if (round == 0)
                vec_push(&least, c);
            for (int k = 0; k < N_PHASES; k++)
                least.ptr[page_no].ns[k] = ORR_MIN(least.ptr[page_no].ns[k], c.ns[k]);
        }
    }
    VEC_FOREACH (c, &least) {
        for (int k = 0; k < N_PHASES; k++)
            all.ns[k] += c->ns[k];
        all.page_bytes += c->page_bytes;
        all.filter_bytes += c->filter_bytes;
    }
    printf("%-7s", loggen_name(kind));
    for (int k = 0; k < N_PHASES; k++) {
        double ms = (double)all.ns[k] / 1e6 / mb;

        sum += k == PHASE_SKELETONS ? 0 : ms;
        printf(" %s %.3f,", phase_names[k], ms);
    }
    printf(" all %.3f ms a MB; bytes a line: pages %.3f, filters %.3f\n", sum,
           (double)all.page_bytes / (double)n, (double)all.filter_bytes / (double)n);
    vec_done(&least);
    logskel_done(&skel);
    buf_done(&page);
    loggen_text_done(&t);
    mem_free(e);
    logpage_builder_free(b);
}

int main(int argc, char **argv)
{
    bool is_build = argc > 1 && strcmp(argv[1], "build") == 0;
    char **args = argv + 1 + is_build;
    int n_args = argc - 1 - is_build;
    size_t mb = n_args > 0 ? strtoul(args[0], NULL, 10) : is_build ? 16 : 64;

    for (int k = 0; k < LOGGEN_ALL; k++)
        if (n_args < 2 || strcmp(args[1], loggen_name((enum loggen_kind)k)) == 0)
            (is_build ? build_alone : run)((enum loggen_kind)k, mb << 20);
    logfilter_grams_done(&grams);
    return 0;
}
