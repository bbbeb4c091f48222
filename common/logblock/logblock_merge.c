#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logmerge.h"

#define STOP_EVERY 1024 /* entries */
#define MAX_OPEN 4096   /* sources of one go, of which few are read at a time */
#define MAX_LABELS_BYTES (64u << 20)

/* A source, and the stream it has come to. */
struct head {
    struct logblock_source source;
    size_t place; /* among the sources: of equal streams the first comes first */
    bool has_begun;
    struct logblock_stream stream;
    /* of a source that has parts */
    uint32_t n_parts; /* its next pages that are of the cluster */
    int64_t from_ns;  /* of the first of them */
    bool has_next;    /* a page behind those */
    struct logblock_part next;
};

/* One go. */
struct merging {
    struct head *heads;
    VEC(struct head *) heap;  /* by stream and place; those that are at their end have left it */
    VEC(struct head *) equal; /* those that have the stream, out of the heap */
    struct logmerge_source *inputs; /* room for all heads */
    struct arena *arena;            /* of the stream */
    struct labels labels;
    logblock_keep_fn *keep;
    void *arg;
    const atomic_bool *stop;
    struct logblock_writer *writer;
    uint64_t duplicates;
};

static struct err *check_stopped(const struct merging *m)
{
    if (m->stop && atomic_load(m->stop))
        return err_new(ERR_CANCELED, "the merge of log lines was stopped");
    return NULL;
}

/* ---- the heap ---- */

static bool is_before(const struct head *a, const struct head *b)
{
    int c = hash128_cmp(a->stream.fp, b->stream.fp);

    return c ? c < 0 : a->place < b->place;
}

static void push(struct merging *m, struct head *h)
{
    size_t i = m->heap.len;

    vec_push(&m->heap, h);
    for (; i && is_before(h, m->heap.ptr[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap.ptr[i] = m->heap.ptr[(i - 1) / 2];
    m->heap.ptr[i] = h;
}

static struct head *pop(struct merging *m)
{
    struct head **h = m->heap.ptr, *top = h[0], *last = vec_pop(&m->heap);
    size_t n = m->heap.len, i = 0, k;

    for (; (k = 2 * i + 1) < n; i = k) {
        k += k + 1 < n && is_before(h[k + 1], h[k]);
        if (is_before(last, h[k]))
            break;
        h[i] = h[k];
    }
    if (n)
        h[i] = last;
    return top;
}

/* The head goes on to its next stream, and into the heap if it has one. */
static struct err *advance(struct merging *m, struct head *h)
{
    struct hash128 before = h->stream.fp;
    bool is_end;
    struct err *e = h->source.stream(h->source.arg, &h->stream, &is_end);

    if (e || is_end)
        return e;
    if (h->has_begun && hash128_cmp(before, h->stream.fp) >= 0)
        return err_new(ERR_CORRUPT, "log merge: streams of a source are out of order");
    h->has_begun = true;
    push(m, h);
    return NULL;
}

/* ---- one stream ---- */

/* Ordinals are the source's own: all are of one stream here. */
static struct err *next_entry(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct head *h = arg;
    struct err *e = h->source.entry(h->source.arg, ret, ret_is_end);

    ret->stream = 0;
    return e;
}

/* All heads that have the least stream. */
static struct err *take_equal(struct merging *m)
{
    const struct head *first;

    vec_clear(&m->equal);
    do
        vec_push(&m->equal, pop(m));
    while (m->heap.len && hash128_eq(m->heap.ptr[0]->stream.fp, m->equal.ptr[0]->stream.fp));
    first = m->equal.ptr[0];
    VEC_FOREACH (h, &m->equal)
        if (!labels_eq((*h)->stream.labels, first->stream.labels))
            return err_new(ERR_CORRUPT, "log merge: two label sets of one fingerprint");
    arena_reset(m->arena);
    m->labels = labels_dup(m->arena, first->stream.labels);
    return logblock_writer_stream(m->writer, first->stream.fp, m->labels);
}

static struct err *merge_entries(struct merging *m, struct logmerge *lm)
{
    struct logpage_entry en;
    struct err *e;
    bool is_end;

    for (uint64_t n = 0;; n++) {
        if (n % STOP_EVERY == 0 && (e = check_stopped(m)))
            return e;
        if ((e = logmerge_next(lm, &en, &is_end)) || is_end)
            return e;
        if ((!m->keep || m->keep(m->arg, m->labels, &en)) &&
            (e = logblock_writer_entry(m->writer, &en)))
            return e;
    }
}

static struct err *merge_inputs(struct merging *m, size_t n)
{
    struct logmerge *lm = logmerge_new(m->inputs, n);
    struct err *e = merge_entries(m, lm);

    m->duplicates += logmerge_duplicates(lm);
    logmerge_free(lm);
    return e;
}

/* What its first page is that is of no cluster yet. */
static void look_on(struct head *h)
{
    h->has_next = h->source.part(h->source.arg, h->n_parts, &h->next);
}

/* Its next page is of the cluster, which ends at *io_end. */
static void join(struct head *h, int64_t *io_end)
{
    if (!h->n_parts++)
        h->from_ns = h->next.min_ns;
    *io_end = ORR_MAX(*io_end, h->next.max_ns);
    look_on(h);
}

/*
 * A cluster: of the pages that the stream has in any source, the one that begins first, and all that have times which
 * any other of the cluster has, too. So no line of another cluster is equal to one of it, and clusters come one after
 * the other. Pages of one source have no line twice: two of them that touch are not of one cluster for that alone.
 */
static size_t find_cluster(struct merging *m, struct head **ret_first, struct logblock_part *ret)
{
    struct head *first = NULL;
    size_t n_heads = 1;
    int64_t end = INT64_MIN;
    bool grows = true;

    VEC_FOREACH (at, &m->equal) {
        struct head *h = *at;

        h->n_parts = 0; /* those of the cluster before are done with */
        if (h->has_next && (!first || h->next.min_ns < first->next.min_ns))
            first = h;
    }
    if (!first)
        return 0;
    *ret = first->next;
    join(first, &end);
    while (grows) {
        grows = false;
        VEC_FOREACH (at, &m->equal) {
            struct head *h = *at;

            while ((h != first || n_heads > 1) && h->has_next && h->next.min_ns <= end) {
                n_heads += h->n_parts == 0;
                join(h, &end);
                grows = true;
            }
        }
    }
    *ret_first = first;
    return n_heads;
}

/* The page p, which alone is of the cluster, is taken over if it can be. */
static struct err *take_part(struct merging *m, struct head *h, const struct logblock_part *p,
                             bool *ret_taken)
{
    struct err *e;

    if (!p->page.len)
        return NULL;
    e = logblock_writer_page(m->writer, p, ret_taken);
    if (!e && *ret_taken)
        h->source.pass(h->source.arg);
    return e;
}

/* Cluster by cluster: what only one source has at a time need not be read. */
static struct err *merge_parts(struct merging *m)
{
    struct logblock_part p;
    struct head *first;
    size_t n_heads;
    struct err *e;

    VEC_FOREACH (at, &m->equal) {
        (*at)->n_parts = 0;
        look_on(*at);
    }
    while ((n_heads = find_cluster(m, &first, &p))) {
        bool is_taken = false;
        size_t n = 0;

        if ((e = check_stopped(m)) || (n_heads == 1 && (e = take_part(m, first, &p, &is_taken))))
            return e;
        if (is_taken)
            continue;
        VEC_FOREACH (at, &m->equal) {
            struct head *h = *at;

            if (!h->n_parts)
                continue;
            h->source.limit(h->source.arg, h->n_parts);
            m->inputs[n++] = (struct logmerge_source){next_entry, h, .from_ns = h->from_ns};
        }
        if ((e = merge_inputs(m, n)))
            return e;
    }
    return NULL;
}

static struct err *merge_stream(struct merging *m)
{
    bool has_parts = !m->keep;
    struct err *e = take_equal(m);

    if (e)
        return e;
    for (size_t i = 0; i < m->equal.len; i++) {
        struct head *h = m->equal.ptr[i];

        has_parts &= h->source.part != NULL;
        m->inputs[i] = (struct logmerge_source){next_entry, h, .from_ns = INT64_MIN};
    }
    e = has_parts ? merge_parts(m) : merge_inputs(m, m->equal.len);
    for (size_t i = 0; !e && i < m->equal.len; i++)
        e = advance(m, m->equal.ptr[i]);
    return e;
}

/* Closes them. */
static struct err *merge_few(struct merging *m, const struct logblock_source *sources, size_t n)
{
    struct err *e = NULL;

    m->heads = mem_new_array(struct head, n + 1);
    m->inputs = mem_new_array(struct logmerge_source, n + 1);
    m->arena = arena_new(0);
    for (size_t i = 0; i < n; i++)
        m->heads[i] = (struct head){.source = sources[i], .place = i};
    for (size_t i = 0; !e && i < n; i++)
        e = advance(m, &m->heads[i]);
    while (!e && m->heap.len)
        e = merge_stream(m);
    for (size_t i = 0; i < n; i++)
        sources[i].close(sources[i].arg);
    vec_done(&m->heap);
    vec_done(&m->equal);
    arena_free(m->arena);
    mem_free(m->heads);
    mem_free(m->inputs);
    return e;
}

/* ---- several goes ---- */

/* A block in work_dir, until it is closed. */
struct between {
    char *path;
    struct block_reader *streams;
    struct logblock *block;
    struct logblock_source inner;
};

static struct err *between_stream(void *arg, struct logblock_stream *ret, bool *ret_is_end)
{
    struct between *b = arg;

    return b->inner.stream(b->inner.arg, ret, ret_is_end);
}

static struct err *between_entry(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct between *b = arg;

    return b->inner.entry(b->inner.arg, ret, ret_is_end);
}

static void between_close(void *arg)
{
    struct between *b = arg;

    if (b->inner.close)
        b->inner.close(b->inner.arg);
    logblock_close(b->block);
    block_reader_close(b->streams);
    err_free(fsx_remove_tree(b->path)); /* work_dir is the caller's, who removes it at the end */
    mem_free(b->path);
    mem_free(b);
}

/* Merges a group into the block of that number. */
static struct err *write_between(struct merging *m, const struct logblock_source *sources, size_t n,
                                 const char *dir, struct ulid ulid)
{
    struct arena *a = arena_new(0);
    struct block_meta meta;
    struct err *e = logblock_writer_open(
        &(struct logblock_writer_opts){.dir = dir, .meta.ulid = ulid, .level = 1, .no_sync = true},
        &m->writer);

    if (e) {
        for (size_t i = 0; i < n; i++)
            sources[i].close(sources[i].arg);
    } else if (!(e = merge_few(m, sources, n))) {
        e = logblock_writer_finish(m->writer, a, &meta);
    }
    logblock_writer_close(m->writer);
    m->writer = NULL;
    arena_free(a);
    return e;
}

static struct err *open_between(const char *dir, struct ulid ulid, struct logblock_source *ret)
{
    struct between *b = mem_new(struct between);
    struct err *e;

    b->path = mem_printf("%s/%s", dir, ulid_print(ulid).s);
    if ((e = block_reader_open_dir(b->path, &b->streams)) ||
        (e = logblock_open(b->streams, &b->block)) ||
        (e = logblock_source_block(b->block, &b->inner))) {
        between_close(b);
        return e;
    }
    *ret = (struct logblock_source){
        .stream = between_stream, .entry = between_entry, .close = between_close, .arg = b};
    return NULL;
}

static struct ulid ulid_of_number(uint32_t n)
{
    uint8_t entropy[10] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    return ulid_make(0, entropy);
}

/* Neighbours become one each: io_sources has *io_n of them then. After an error those that are left are open yet. */
static struct err *merge_groups(const struct merging *how, struct logblock_source *io_sources,
                                size_t *io_n, const char *dir, uint32_t *number,
                                uint64_t *duplicates)
{
    size_t n = *io_n, kept = 0, at = 0;
    struct err *e = NULL;

    while (!e && at < n) {
        size_t k = ORR_MIN(n - at, (size_t)LOGBLOCK_MERGE_SOURCES);
        struct merging m = *how;
        struct ulid ulid = ulid_of_number((*number)++);

        e = write_between(&m, io_sources + at, k, dir, ulid);
        at += k;
        *duplicates += m.duplicates;
        if (!e && !(e = open_between(dir, ulid, &io_sources[kept])))
            kept++;
    }
    for (; at < n; at++)
        io_sources[kept++] = io_sources[at];
    *io_n = kept;
    return e;
}

struct ordered {
    struct logblock_source source;
    size_t given;
};

static int by_order(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    int c = hash128_cmp(x->source.order, y->source.order);

    return c ? c : (x->given > y->given) - (x->given < y->given);
}

static struct logblock_source *in_order(const struct logblock_source *sources, size_t n)
{
    struct logblock_source *out = mem_new_array(struct logblock_source, n + 1);
    struct ordered *all = mem_new_array(struct ordered, n + 1);

    for (size_t i = 0; i < n; i++)
        all[i] = (struct ordered){sources[i], i};
    qsort(all, n, sizeof(*all), by_order);
    for (size_t i = 0; i < n; i++)
        out[i] = all[i].source;
    mem_free(all);
    return out;
}

static int cmp_ns(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Of how many sources times are at the same moment, at most. */
static size_t depth_of(const struct logblock_source *s, size_t n)
{
    int64_t *begins = mem_new_array(int64_t, n + 1), *ends = mem_new_array(int64_t, n + 1);
    size_t depth = 0;

    for (size_t i = 0; i < n; i++) {
        begins[i] = s[i].min_ns;
        ends[i] = s[i].max_ns;
    }
    qsort(begins, n, sizeof(*begins), cmp_ns);
    qsort(ends, n, sizeof(*ends), cmp_ns);
    for (size_t i = 0, k = 0; i < n; i++) {
        while (k < i && ends[k] < begins[i]) /* of sound times no more than i have ended */
            k++;
        depth = ORR_MAX(depth, i + 1 - k);
    }
    mem_free(begins);
    mem_free(ends);
    return depth;
}

/* Whether all can be open at once: each that is read at a time has a page in memory, as has one between streams that share pages. */
static bool is_one_go(const struct logblock_source *s, size_t n, bool keeps_all)
{
    uint64_t labels = 0;
    size_t n_mixed = 0;
    bool has_parts = keeps_all && n <= MAX_OPEN;

    if (n <= LOGBLOCK_MERGE_SOURCES)
        return true;
    for (size_t i = 0; i < n && has_parts; i++) {
        has_parts = s[i].part != NULL;
        labels += s[i].labels_bytes;
        n_mixed += s[i].has_mixed;
    }
    return has_parts && labels <= MAX_LABELS_BYTES && n_mixed < LOGBLOCK_MERGE_SOURCES &&
           n_mixed + depth_of(s, n) <= LOGBLOCK_MERGE_SOURCES;
}

struct err *logblock_merge(const struct logblock_source *sources, size_t n, logblock_keep_fn *keep,
                           void *arg, const char *work_dir, const atomic_bool *stop,
                           struct logblock_writer *w, uint64_t *ret_duplicates)
{
    struct logblock_source *all = in_order(sources, n);
    struct merging m = {.keep = keep, .arg = arg, .stop = stop};
    uint64_t duplicates = 0;
    uint32_t number = 0;
    struct err *e = NULL;

    ORR_ASSERT(work_dir || n <= LOGBLOCK_MERGE_SOURCES);
    while (!e && !is_one_go(all, n, !m.keep)) {
        e = merge_groups(&m, all, &n, work_dir, &number, &duplicates);
        m.keep = NULL; /* what is left has been asked about */
    }
    if (e) {
        for (size_t i = 0; i < n; i++)
            all[i].close(all[i].arg);
    } else {
        m.writer = w;
        e = merge_few(&m, all, n);
        duplicates += m.duplicates;
    }
    mem_free(all);
    if (!e && ret_duplicates)
        *ret_duplicates = duplicates;
    return e;
}
