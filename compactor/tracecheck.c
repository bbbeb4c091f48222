#include "compactor/tracecheck.h"

#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/traces/tracepiece.h"
#include "common/traces/tracesegment.h"

#define AT_ONCE 16 /* files that become one */

/* A file that is mapped. */
struct file {
    struct slice bytes;
    struct tracesegment seg;
};
struct tracecheck {
    VEC(char *) paths; /* files, that were checked */
    unsigned n_merged;
    struct traceblock *block;
};

static struct err *wrong(const char *what)
{
    return err_new(ERR_CORRUPT, "%s", what);
}

/* ---- a file ---- */

/* What its pieces have, and what they should have. */
static struct err *check_trace(struct arena *a, const struct tracesegment_trace *t)
{
    int64_t start_ns = INT64_MAX, end_ns = INT64_MIN;
    struct reader r = reader_new(t->bytes);
    uint64_t pieces = 0, spans = 0;
    struct slice bytes;
    struct err *e;

    while (!(e = tracesegment_piece(&r, t->id, &bytes)) && bytes.len) {
        int64_t first_ns, last_ns;
        uint32_t n;

        arena_reset(a);
        if ((e = tracesegment_extent(a, bytes, &n, &first_ns, &last_ns)))
            return e;
        start_ns = ORR_MIN(start_ns, first_ns);
        end_ns = ORR_MAX(end_ns, last_ns);
        spans += n;
        pieces++;
    }
    if (e)
        return e;
    if (pieces != t->n_pieces || spans != t->n_spans)
        return wrong("a trace has another number of pieces or spans than the file says");
    if (spans && (start_ns != t->start_ns || end_ns != t->end_ns))
        return wrong("a trace has other times than the file says");
    return NULL;
}

/* found: times in ns, of the spans there are. */
static struct err *check_file(const struct tracesegment *s, struct segcheck *found)
{
    struct arena *a = arena_new(0);
    uint64_t spans = 0;
    struct err *e = NULL;

    for (uint64_t i = 0; i < s->totals.traces && !e; i++) {
        struct tracesegment_trace t;

        tracesegment_at(s, i, &t);
        if ((e = check_trace(a, &t)) || !t.n_spans)
            continue;
        found->min_t = ORR_MIN(found->min_t, t.start_ns);
        found->max_t = ORR_MAX(found->max_t, t.end_ns);
        spans += t.n_spans;
    }
    if (!e && spans != s->totals.spans)
        e = wrong("it has another number of spans than it says");
    found->samples += spans;
    arena_free(a);
    return e;
}

static struct err *map_file(const char *path, struct file *ret)
{
    struct err *e = fsx_map(path, &ret->bytes);

    if (!e && (e = tracesegment_open(ret->bytes, &ret->seg)))
        fsx_unmap(ret->bytes);
    return e;
}

static struct err *open_file(struct tracecheck *c, const char *dir, const char *name,
                             struct segcheck *found)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct file f;
    struct err *e = map_file(path, &f);

    if (!e) {
        e = check_file(&f.seg, found);
        fsx_unmap(f.bytes);
    }
    vec_push(&c->paths, path);
    return err_wrap(e, "%s/%s", TRACECHECK_DIR, name);
}

/* ---- several files become one ---- */

struct cursor {
    struct file file;
    uint64_t next;
    struct tracesegment_trace trace;
    bool is_at_end;
};

static void advance(struct cursor *c)
{
    c->is_at_end = c->next == c->file.seg.totals.traces;
    if (!c->is_at_end)
        tracesegment_at(&c->file.seg, c->next++, &c->trace);
}

/* The least id that a cursor is at; NULL: all are at their ends. */
static const uint8_t *least(const struct cursor *cs, size_t n)
{
    const uint8_t *ret = NULL;

    for (size_t i = 0; i < n; i++)
        if (!cs[i].is_at_end && (!ret || memcmp(cs[i].trace.id, ret, 16) < 0))
            ret = cs[i].trace.id;
    return ret;
}

static struct err *copy_trace(const struct tracesegment_trace *t, struct tracesegment_writer *w)
{
    struct reader r = reader_new(t->bytes);
    struct slice piece;
    struct err *e;

    while (!(e = tracesegment_piece(&r, t->id, &piece)) && piece.len)
        if ((e = tracesegment_add(w, piece)))
            return e;
    return e;
}

/* Pieces of a trace stay in the order of the files. */
static struct err *copy_all(struct cursor *cs, size_t n, struct tracesegment_writer *w)
{
    const uint8_t *id;

    while ((id = least(cs, n)))
        for (size_t i = 0; i < n; i++) {
            struct err *e;

            if (cs[i].is_at_end || memcmp(cs[i].trace.id, id, 16) != 0)
                continue;
            if ((e = copy_trace(&cs[i].trace, w)))
                return e;
            advance(&cs[i]);
        }
    return NULL;
}

/* At most AT_ONCE. */
static struct err *merge_files(char *const *paths, size_t n, const char *to)
{
    struct cursor cs[AT_ONCE] = {0};
    struct tracesegment_writer *w = NULL;
    struct tracesegment_totals totals;
    struct err *e = tracesegment_create(to, &w);
    size_t open = 0;

    for (; !e && open < n; open += !e)
        if (!(e = map_file(paths[open], &cs[open].file)))
            advance(&cs[open]);
    if (!e && !(e = copy_all(cs, n, w)))
        e = tracesegment_finish(w, &totals);
    tracesegment_writer_free(w);
    while (open-- > 0)
        fsx_unmap(cs[open].file.bytes);
    return e;
}

/* Of paths[from] and those behind it; they are gone then. */
static struct err *unite(struct tracecheck *c, size_t from, size_t n)
{
    const char *slash = strrchr(c->paths.ptr[from], '/');
    char *to = mem_printf("%.*s/m%06u", (int)(slash - c->paths.ptr[from]), c->paths.ptr[from],
                          ++c->n_merged);
    struct err *e = merge_files(c->paths.ptr + from, n, to);

    if (e) {
        mem_free(to);
        return e;
    }
    for (size_t i = from; i < from + n; i++) {
        (void)unlink(c->paths.ptr[i]);
        mem_free(c->paths.ptr[i]);
        c->paths.ptr[i] = NULL;
    }
    c->paths.ptr[from] = to;
    return NULL;
}

static void close_gaps(struct tracecheck *c)
{
    size_t n = 0;

    VEC_FOREACH (path, &c->paths)
        if (*path)
            c->paths.ptr[n++] = *path;
    c->paths.len = n;
}

struct err *tracecheck_reduce(struct tracecheck *c, size_t max, const atomic_bool *stop)
{
    struct err *e = NULL;

    while (!e && c->paths.len > ORR_MAX(max, (size_t)1)) {
        for (size_t i = 0; i < c->paths.len && !e; i += AT_ONCE) {
            if (stop && atomic_load_explicit(stop, memory_order_relaxed))
                e = err_new(ERR_CANCELED, "stopped while it merged files of traces");
            else if (c->paths.len - i > 1)
                e = unite(c, i, ORR_MIN(c->paths.len - i, (size_t)AT_ONCE));
        }
        close_gaps(c);
    }
    return e;
}

/* ---- a segment ---- */

static struct err *open_files(struct tracecheck *c, const char *dir, struct segcheck *found)
{
    char **names;
    size_t n;
    struct err *e = fsx_list(dir, &names, &n);

    if (e)
        return e;
    for (size_t i = 0; i < n && !e; i++)
        e = open_file(c, dir, names[i], found);
    fsx_names_free(names, n);
    /* It would be named, and dropped, with nothing to show for it. */
    return !e && !found->samples ? wrong("it has no spans") : e;
}

struct err *tracecheck_open_segment(const char *dir, struct ulid segment, struct tracecheck **ret,
                                    struct segcheck *ret_found)
{
    struct segcheck found = {INT64_MAX, INT64_MIN, 0};
    struct tracecheck *c = mem_new(struct tracecheck);
    char *pieces = mem_printf("%s/" TRACECHECK_DIR, dir);
    struct err *e = open_files(c, pieces, &found);

    mem_free(pieces);
    if (e) {
        tracecheck_close(c);
        return err_wrap(segcheck_as_corrupt(e), "segment %s", ulid_print(segment).s);
    }
    *ret = c;
    /* none is negative: tracesegment_extent() */
    *ret_found =
        (struct segcheck){found.min_t / NS_PER_MS, found.max_t / NS_PER_MS + 1, found.samples};
    return NULL;
}

/* ---- a block ---- */

struct err *tracecheck_open_block(struct block_reader *services, struct slice tenant,
                                  struct ulid block, struct tracecheck **ret,
                                  struct segcheck *ret_found)
{
    const struct block_meta *m = block_reader_meta(services);
    struct tracecheck *c = mem_new(struct tracecheck);
    struct err *e;

    if (!(e = segcheck_identity(m, tenant, block)) && !(e = traceblock_open(services, &c->block)))
        e = traceblock_verify(c->block);
    if (e) {
        tracecheck_close(c);
        return err_wrap(segcheck_as_corrupt(e), "block %s", ulid_print(block).s);
    }
    *ret = c;
    *ret_found = (struct segcheck){m->min_t, m->max_t, m->stats.samples};
    return NULL;
}

void tracecheck_close(struct tracecheck *c)
{
    if (!c)
        return;
    traceblock_close(c->block);
    VEC_FOREACH (path, &c->paths)
        mem_free(*path);
    vec_done(&c->paths);
    mem_free(c);
}

/* ---- reading ---- */

size_t tracecheck_n_sources(const struct tracecheck *c)
{
    return c->block ? 1 : c->paths.len;
}

/* A source of its own file. */
struct of_file {
    struct file file;
    struct traceblock_source of; /* the file, mapped */
};

static struct err *file_trace(void *arg, const uint8_t **ret_id, uint32_t *ret_pieces)
{
    const struct of_file *f = arg;

    return f->of.trace(f->of.arg, ret_id, ret_pieces);
}

static struct err *file_piece(void *arg, struct arena *a, struct tracepiece *ret)
{
    const struct of_file *f = arg;

    return f->of.piece(f->of.arg, a, ret);
}

static void file_close(void *arg)
{
    struct of_file *f = arg;

    f->of.close(f->of.arg);
    fsx_unmap(f->file.bytes);
    mem_free(f);
}

static struct err *source_file(const char *path, struct traceblock_source *ret)
{
    struct of_file *f = mem_new(struct of_file);
    struct err *e = map_file(path, &f->file);

    if (e) {
        mem_free(f);
        return e;
    }
    f->of = traceblock_source_segment(&f->file.seg);
    *ret = (struct traceblock_source){file_trace, file_piece, file_close, f};
    return NULL;
}

struct err *tracecheck_source(const struct tracecheck *c, size_t i, struct traceblock_source *ret)
{
    if (c->block)
        return traceblock_source_block(c->block, ret);
    return source_file(c->paths.ptr[i], ret);
}
