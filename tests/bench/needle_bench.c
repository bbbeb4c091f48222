/*
 * What a needle costs in a block of log lines, and why: how many pages the filter leaves, by kind of line (loggen.h).
 *
 *     needle_bench [MB [KIND]]        400 MB of each kind
 *
 * Needles are what in each kind comes nearest to an id, as those of `tests/bench/run --only logs` are, each present once; then parts
 * of them, as who searches by hand copies them: two bytes are missing at each end. A block is opened anew for each: nothing is
 * remembered of the last one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logfilter_internal.h"
#include "tests/bench/loggen.h"

#define NEEDLES 20

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
    fprintf(stderr, "needle_bench: %s\n", err_msg(e));
    exit(1);
}

/* ---- needles ---- */

static struct slice between(struct slice line, const char *from, const char *to, size_t len)
{
    ptrdiff_t at = slice_find(line, slice_cstr(from), 0);
    struct slice rest = at < 0 ? SLICE_EMPTY : slice_from(line, (size_t)at + strlen(from));

    if (to) {
        at = slice_find(rest, slice_cstr(to), 0);
        return at < 0 ? SLICE_EMPTY : slice_sub(rest, 0, (size_t)at);
    }
    return rest.len < len ? SLICE_EMPTY : slice_sub(rest, 0, len);
}

static struct slice id_of(enum loggen_kind kind, struct slice line)
{
    switch (kind) {
    case LOGGEN_JSON:
        return between(line, "\"trace_id\":\"", NULL, 32);
    case LOGGEN_LOGFMT:
        return between(line, "trace_id=", NULL, 16);
    case LOGGEN_NGINX:
        return between(line, "", " \"", 0);
    case LOGGEN_JAVA:
        return between(line, "Payment ", NULL, 18);
    default:
        return between(line, "TTL=", " WINDOW", 0);
    }
}

static bool is_once(const struct loggen_text *t, struct slice needle)
{
    ptrdiff_t at = slice_find(buf_slice(&t->bytes), needle, 0);

    return at >= 0 && slice_find(buf_slice(&t->bytes), needle, (size_t)at + 1) < 0;
}

/* From all over the text. Of syslog's what is before the ID is not of it. */
static size_t pick(const struct loggen_text *t, enum loggen_kind kind, struct slice *ret)
{
    size_t n = 0;

    for (size_t k = 0; k < NEEDLES; k++)
        for (size_t i = t->ends.len * (2 * k + 1) / (2 * NEEDLES); i < t->ends.len; i++) {
            struct slice id = id_of(kind, loggen_text_line(t, i));

            if (kind == LOGGEN_SYSLOG && id.len)
                id = slice_from(id, (size_t)slice_find(id, SLICE("ID="), 0));
            if (!id.len || !is_once(t, id))
                continue;
            ret[n++] = id;
            break;
        }
    return n;
}

/* ---- the block ---- */

static char *dir;

static struct ulid ulid(void)
{
    uint8_t entropy[10] = {1};

    return ulid_make(0, entropy);
}

static uint64_t write_block(const struct loggen_text *t)
{
    struct logblock_writer *w;
    struct arena *a = arena_new(0);
    struct block_meta m;
    uint64_t bytes;

    must(logblock_writer_open(
        &(struct logblock_writer_opts){.dir = dir, .meta.ulid = ulid(), .no_sync = true}, &w));
    for (uint32_t s = 0; s < 8; s++) {
        char *name = mem_printf("app-%u", s);
        struct label l = {SLICE("app"), slice_cstr(name)};

        must(logblock_writer_stream(w, (struct hash128){s, 0}, (struct labels){&l, 1}));
        for (size_t i = 0; i < t->ends.len; i++)
            if (t->streams.ptr[i] == s)
                must(logblock_writer_entry(
                    w, &(struct logpage_entry){.ts_ns = t->times.ptr[i],
                                               .line = loggen_text_line(t, i)}));
        mem_free(name);
    }
    must(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    bytes = block_meta_bytes(&m);
    arena_free(a);
    return bytes;
}

static uint64_t bytes_of_filter(struct block_reader *streams)
{
    const struct block_meta *m = block_reader_meta(streams);

    for (size_t i = 0; i < m->n_files; i++)
        if (slice_eq_cstr(m->files[i].path, LOGBLOCK_FILTER_FILE))
            return m->files[i].bytes;
    return 0;
}

struct sums {
    size_t n, grams, left;
    uint64_t filter_bytes, page_bytes, lines;
    int64_t ns;
};

/* As many pages as the filter alone leaves. */
static size_t left_by_filter(struct logblock *b, struct slice needle)
{
    const struct logblock_directory *d;
    uint64_t *set, touched = 0;
    size_t n = 0;

    must(logblock_directory_get(b, &d));
    set = mem_new_array(uint64_t, LOGPAGE_WORDS(d->n_pages));
    for (uint32_t i = 0; i < d->n_pages; i++)
        set[i >> 6] |= 1ull << (i & 63);
    must(logblock_narrow(b, &needle, 1, set, &touched));
    for (uint32_t i = 0; i < LOGPAGE_WORDS(d->n_pages); i++)
        n += (size_t)__builtin_popcountll(set[i]);
    mem_free(set);
    return n;
}

static void search(struct logblock *b, struct slice needle, struct sums *s)
{
    struct logblock_query q = {
        .from_ns = INT64_MIN, .to_ns = INT64_MAX, .needles = &needle, .n_needles = 1};
    struct arena *a = arena_new(0);
    struct logblock_stats stats;
    struct logblock_set *set;
    struct logblock_stream st;
    struct logpage_entry en;
    int64_t t0 = cpu_ns();

    must(logblock_select(b, a, &q, &set));
    while (logblock_set_stream(set, &st))
        while (logblock_set_entry(set, &en))
            ;
    logblock_set_stats(set, &stats);
    must(logblock_set_close(set));
    s->ns += cpu_ns() - t0;
    s->filter_bytes += stats.filter_bytes;
    s->page_bytes += stats.page_bytes;
    s->lines += stats.lines;
    s->n++;
    arena_free(a);
}

static void report(const char *what, struct block_reader *streams, const struct slice *needles,
                   size_t n, uint64_t block_bytes, double gib)
{
    static struct logfilter_grams grams; /* too large for a stack */
    struct sums s = {0};
    double each;

    for (size_t i = 0; i < n; i++) {
        struct logblock *b; /* a new one each time: nothing is remembered of a needle */

        must(logblock_open(streams, &b));
        logfilter_grams_clear(&grams);
        logfilter_grams_add(&grams, needles[i]);
        s.grams += grams.hashes.len;
        search(b, needles[i], &s);
        s.left += left_by_filter(b, needles[i]);
        logblock_close(b);
    }
    logfilter_grams_done(&grams);
    each = 1 / (double)s.n;
    printf("  %-8s e.g. %.*s: %.1f grams, the filter leaves %.1f pages; bytes of filters %.0f, of "
           "pages %.0f: %.3f%% touched; %.2f lines; %.2f ms, %.2f ms/GiB\n",
           what, SLICE_ARG(needles[0]), (double)s.grams * each, (double)s.left * each,
           (double)s.filter_bytes * each, (double)s.page_bytes * each,
           100 * (double)(s.filter_bytes + s.page_bytes) * each / (double)block_bytes,
           (double)s.lines * each, (double)s.ns * each / 1e6, (double)s.ns * each / 1e6 / gib);
}

static void run(enum loggen_kind kind, size_t bytes)
{
    char template[] = "/tmp/needle-bench-XXXXXX";
    struct loggen_text t = {0};
    struct slice needles[NEEDLES];
    struct block_reader *streams;
    uint64_t block_bytes;
    int64_t t0;
    size_t n;
    char *path;
    double gib;

    if (!(dir = mkdtemp(template)))
        exit(1);
    loggen_text_make(&t, kind, bytes);
    gib = (double)t.bytes.len / 1073741824;
    n = pick(&t, kind, needles);
    t0 = cpu_ns();
    block_bytes = write_block(&t);
    t0 = cpu_ns() - t0;
    path = mem_printf("%s/%s", dir, ulid_print(ulid()).s);
    must(block_reader_open_dir(path, &streams));
    printf("%-7s %.1f MB in %llu pages, %.1f of them, the filter %.1f MB; written with %.0f MB/s\n",
           loggen_name(kind), (double)t.bytes.len / 1e6,
           (unsigned long long)block_reader_meta(streams)->stats.chunks, (double)block_bytes / 1e6,
           (double)bytes_of_filter(streams) / 1e6, (double)t.bytes.len / (double)t0 * 1000);
    report("whole", streams, needles, n, block_bytes, gib);
    for (size_t i = 0; i < n; i++)
        needles[i] = slice_sub(needles[i], 2, needles[i].len - 4);
    report("a part", streams, needles, n, block_bytes, gib);
    block_reader_close(streams);
    must(fsx_remove_tree(dir));
    mem_free(path);
    loggen_text_done(&t);
}

int main(int argc, char **argv)
{
    size_t mb = argc > 1 ? strtoul(argv[1], NULL, 10) : 400;

    for (int k = 0; k < LOGGEN_ALL; k++)
        if (argc < 3 || strcmp(argv[2], loggen_name((enum loggen_kind)k)) == 0)
            run((enum loggen_kind)k, mb * 1000000);
    return 0;
}
