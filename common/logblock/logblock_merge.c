#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logmerge.h"

#define STOP_EVERY 1024 /* entries */

/* A source, and the stream it has come to. */
struct head {
    struct logblock_source source;
    size_t place; /* among the sources: of equal streams the first comes first */
    bool has_begun;
    struct logblock_stream stream;
};

/* One go. */
struct merging {
    struct head *heads;
    VEC(struct head *) heap;  /* by stream and place; those that are at their end have left it */
    VEC(struct head *) equal; /* those that have the stream, out of the heap */
    struct logmerge_source inputs[LOGBLOCK_MERGE_SOURCES];
    struct arena *arena; /* of the stream */
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
    for (size_t i = 0; i < m->equal.len; i++) {
        struct head *h = m->equal.ptr[i];

        if (!labels_eq(h->stream.labels, first->stream.labels))
            return err_new(ERR_CORRUPT, "log merge: two label sets of one fingerprint");
        m->inputs[i] = (struct logmerge_source){next_entry, h};
    }
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

static struct err *merge_stream(struct merging *m)
{
    struct logmerge *lm;
    struct err *e = take_equal(m);

    if (e)
        return e;
    lm = logmerge_new(m->inputs, m->equal.len);
    e = merge_entries(m, lm);
    m->duplicates += logmerge_duplicates(lm);
    logmerge_free(lm);
    for (size_t i = 0; !e && i < m->equal.len; i++)
        e = advance(m, m->equal.ptr[i]);
    return e;
}

/* At most LOGBLOCK_MERGE_SOURCES; closes them. */
static struct err *merge_few(struct merging *m, const struct logblock_source *sources, size_t n)
{
    struct err *e = NULL;

    m->heads = mem_new_array(struct head, n + 1);
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
    *ret = (struct logblock_source){between_stream, between_entry, between_close, b, {0}};
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
    while (!e && n > LOGBLOCK_MERGE_SOURCES) {
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
