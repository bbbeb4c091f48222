#include "compactor/tracecheck.h"

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/traces/tracepiece.h"
#include "common/traces/tracesegment.h"

struct file {
    struct slice bytes; /* mapped */
    struct tracesegment seg;
};
struct tracecheck {
    VEC(struct file) files;
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

static struct err *open_file(struct tracecheck *c, const char *dir, const char *name,
                             struct segcheck *found)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct file f = {.bytes = SLICE_EMPTY};
    struct err *e = fsx_map(path, &f.bytes);

    mem_free(path);
    if (e)
        return e;
    if ((e = tracesegment_open(f.bytes, &f.seg)) || (e = check_file(&f.seg, found))) {
        fsx_unmap(f.bytes);
        return err_wrap(e, "%s/%s", TRACECHECK_DIR, name);
    }
    vec_push(&c->files, f);
    return NULL;
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
    VEC_FOREACH (f, &c->files)
        fsx_unmap(f->bytes);
    vec_done(&c->files);
    mem_free(c);
}

/* ---- reading ---- */

size_t tracecheck_n_sources(const struct tracecheck *c)
{
    return c->block ? 1 : c->files.len;
}

struct err *tracecheck_source(const struct tracecheck *c, size_t i, struct traceblock_source *ret)
{
    if (c->block)
        return traceblock_source_block(c->block, ret);
    *ret = traceblock_source_segment(&c->files.ptr[i].seg);
    return NULL;
}
