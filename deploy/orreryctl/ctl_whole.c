#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/fsx.h"
#include "common/block/block_summary.h"
#include "common/block/sidecar.h"
#include "common/logblock/logblock.h"
#include "common/traceblock/traceblock.h"
#include "deploy/orreryctl/ctl_block.h"

/* ---- files ---- */

struct files {
    struct arena *arena;
    const char *root;
    struct block_file *ptr;
    size_t n, cap;
};

static void add_file(struct files *f, struct slice path, uint64_t bytes)
{
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;

        f->ptr = arena_grow(f->arena, f->ptr, f->cap * sizeof(*f->ptr), cap * sizeof(*f->ptr));
        f->cap = cap;
    }
    f->ptr[f->n++] = (struct block_file){path, bytes};
}

/* Below root/sub; one level of directories, as blocks have. */
static struct err *walk(struct files *f, const char *sub, bool is_top)
{
    const char *dir = arena_printf(f->arena, "%s%s%s", f->root, sub[0] ? "/" : "", sub);
    struct err *e;
    char **names;
    size_t n;

    if ((e = fsx_list(dir, &names, &n)))
        return e;
    for (size_t i = 0; i < n && !e; i++) {
        const char *name = arena_printf(f->arena, "%s%s%s", sub, sub[0] ? "/" : "", names[i]);
        const char *path = arena_printf(f->arena, "%s/%s", f->root, name);
        struct stat st;

        if (stat(path, &st) != 0)
            e = err_errno(ERR_IO, "stat %s", path);
        else if (S_ISREG(st.st_mode) && !slice_eq_cstr(slice_cstr(name), BLOCK_META_FILE))
            add_file(f, slice_cstr(name), (uint64_t)st.st_size);
        else if (S_ISDIR(st.st_mode) && is_top)
            e = walk(f, name, false);
    }
    fsx_names_free(names, n);
    return e;
}

struct err *ctl_whole_files(struct arena *a, const char *path, struct block_file **ret,
                            size_t *ret_n)
{
    struct files f = {.arena = a, .root = path};
    struct err *e = walk(&f, "", true);

    *ret = f.ptr;
    *ret_n = f.n;
    return e;
}

struct err *ctl_whole_meta(struct arena *a, const char *path, struct block_meta *ret)
{
    struct buf b = {0};
    struct err *e =
        fsx_read(arena_printf(a, "%s/" BLOCK_META_FILE, path), BLOCK_META_MAX_BYTES, &b);

    if (!e)
        e = block_meta_parse(a, buf_slice(&b), ret);
    buf_done(&b);
    return e;
}

/* ---- contents ---- */

struct whole {
    const struct block_reader *r;
    struct arena *kept, *one; /* labels of the series before; the current series */
    struct labels last;
    uint64_t series, chunks, samples;
    struct buf summary_bytes;
    struct block_summary summary; /* cells NULL: the block has none */
    struct labels external;
    bool
        are_counted; /* false: downsampled chunks of another system are in it, who counts them its own way */
};

static struct err *chunk_is_wrong(const struct block_chunk_meta *m, struct err *e)
{
    return err_wrap(e, "chunks/%06u: chunk at %u", (unsigned)(m->ref >> 32) + 1, (unsigned)m->ref);
}

static struct err *check_chunk(struct whole *w, const struct block_chunk_meta *m,
                               const struct chunk *c)
{
    struct chunk_extent in;
    struct err *e = chunk_check(w->one, c->encoding, c->data, &in);

    if (c->encoding == CHUNK_AGGR && !block_reader_meta(w->r)->tenant.len)
        w->are_counted = false;
    if (err_is(e, ERR_UNSUPPORTED) && block_reader_meta(w->r)->resolution_ms) {
        err_free(e); /* not all aggregates are in it */
        w->are_counted = false;
        return NULL;
    }
    if (!e &&
        (m->min_t < block_reader_meta(w->r)->min_t || m->max_t >= block_reader_meta(w->r)->max_t))
        e = err_new(ERR_CORRUPT, "it lies outside the times of meta.json");
    if (!e && (in.n == 0 || in.min_t != m->min_t || in.max_t != m->max_t))
        e = err_new(ERR_CORRUPT, "it does not hold the times that the index says");
    if (!e)
        w->samples += in.n;
    return e;
}

static struct err *open_summary(struct whole *w, const char *path)
{
    struct err *e;

    if (!block_meta_has_sidecar(block_reader_meta(w->r), BLOCK_SUMMARY_FILE))
        return NULL;
    if (!(e = fsx_read(arena_printf(w->kept, "%s/" BLOCK_SUMMARY_FILE, path),
                       BLOCK_SUMMARY_MAX_BYTES, &w->summary_bytes)))
        e = block_summary_open(buf_slice(&w->summary_bytes), block_reader_meta(w->r)->ulid,
                               &w->summary);
    if (!err_is(e, ERR_UNSUPPORTED))
        return err_wrap(e, BLOCK_SUMMARY_FILE);
    err_free(e); /* of an older version: queries do not go by it */
    return NULL;
}

/* Queries would not find the series. */
static struct err *check_summed(const struct whole *w, struct labels ls, uint32_t ref)
{
    for (size_t i = 0; i < ls.n && w->summary.cells; i++)
        if (!labels_has(w->external, ls.ptr[i].name) &&
            !block_summary_has_pair(&w->summary, ls.ptr[i].name, ls.ptr[i].value))
            return err_new(ERR_CORRUPT, BLOCK_SUMMARY_FILE ": it says there is no series %u", ref);
    return NULL;
}

static struct err *check_series(struct whole *w, uint32_t ref)
{
    struct block_reader_series s;
    struct chunk *c;
    struct err *e;

    arena_reset(w->one);
    if ((e = block_reader_series(w->r, w->one, ref, &s)))
        return e;
    if (w->last.n && labels_cmp(w->last, s.labels) >= 0)
        return err_new(ERR_CORRUPT, "index: series %u: it is out of order", ref);
    arena_reset(w->kept);
    w->last = labels_dup(w->kept, s.labels);
    if ((e = check_summed(w, s.labels, ref)))
        return e;
    c = arena_array(w->one, struct chunk, s.n_chunks);
    if ((e = block_reader_chunks(w->r, w->one, s.chunks, s.n_chunks, c)))
        return e;
    for (size_t i = 0; i < s.n_chunks && !e; i++)
        e = chunk_is_wrong(&s.chunks[i], check_chunk(w, &s.chunks[i], &c[i]));
    w->series++;
    w->chunks += s.n_chunks;
    return e;
}

static struct err *check_series_all(struct whole *w)
{
    struct arena *a = arena_new(0);
    struct block_refs refs;
    struct err *e = block_reader_select(w->r, a, (struct matchers){.n = 0}, &refs);

    for (size_t i = 0; !e && i < refs.n; i++)
        e = check_series(w, refs.ptr[i]);
    arena_free(a);
    return e;
}

static struct err *check_number(const char *what, uint64_t said, uint64_t found)
{
    if (said == found || said == 0) /* other systems leave some out */
        return NULL;
    return err_new(ERR_CORRUPT, BLOCK_META_FILE ": it says %llu %s, and there are %llu",
                   (unsigned long long)said, what, (unsigned long long)found);
}

static struct err *check_contents(const struct block_reader *r, const char *path,
                                  struct labels external)
{
    const struct block_stats *s = &block_reader_meta(r)->stats;
    struct whole w = {.r = r,
                      .kept = arena_new(0),
                      .one = arena_new(0),
                      .external = external,
                      .are_counted = true};
    struct err *e;

    if (!(e = open_summary(&w, path)) && !(e = block_reader_verify_postings(r)) &&
        !(e = block_reader_verify_chunk_heads(r)) && !(e = check_series_all(&w)) &&
        !(e = check_number("series", s->series, w.series)) &&
        !(e = check_number("chunks", s->chunks, w.chunks)) && w.are_counted)
        e = check_number("samples", s->samples, w.samples);
    if (!e && block_reader_has_bad_starts(r))
        e = err_new(ERR_CORRUPT, BLOCK_STARTS_FILE ": it is damaged");
    arena_free(w.kept);
    arena_free(w.one);
    buf_done(&w.summary_bytes);
    return e;
}

static struct err *check_sidecar(struct arena *a, const char *path, enum sidecar_kind kind)
{
    const char *file = arena_printf(a, "%s/%s", path, sidecar_file(kind));
    struct buf b = {0};
    struct err *e = fsx_exists(file) ? fsx_read(file, SIDECAR_MAX_BYTES, &b) : NULL;

    if (!e && fsx_exists(file))
        e = sidecar_check(kind, buf_slice(&b));
    buf_done(&b);
    return e;
}

struct err *ctl_whole_check(const char *path, const struct block_meta *meta, struct labels labels)
{
    const struct block_reader_opts opts = {.external = labels};
    struct arena *a = arena_new(0);
    struct ctl_block b = {.meta = *meta};
    struct block_reader *r = NULL;
    struct block_source *src;
    struct err *e;

    if (!(e = ctl_whole_files(a, path, &b.files, &b.n_files)) && !(e = ctl_block_check(&b)) &&
        !(e = block_source_dir(path, &src)) && !(e = block_reader_open(src, &opts, &r)))
        e = check_contents(r, path, labels);
    for (int k = 0; k < SIDECAR_KINDS && !e; k++)
        e = check_sidecar(a, path, (enum sidecar_kind)k);
    block_reader_close(r);
    arena_free(a);
    return e;
}

static struct err *verify_lines(struct block_reader *streams)
{
    struct logblock *b;
    struct err *e = logblock_open(streams, &b);

    if (e)
        return e;
    e = logblock_verify(b);
    logblock_close(b);
    return e;
}

static struct err *verify_traces(struct block_reader *services)
{
    struct traceblock *b;
    struct err *e = traceblock_open(services, &b);

    if (e)
        return e;
    e = traceblock_verify(b);
    traceblock_close(b);
    return e;
}

struct err *ctl_whole_check_of(const char *path, struct slice signal)
{
    struct block_reader *r;
    struct err *e = block_reader_open_dir(path, &r);

    if (e)
        return e;
    e = slice_eq_cstr(signal, "logs") ? verify_lines(r) : verify_traces(r);
    block_reader_close(r);
    return e;
}
