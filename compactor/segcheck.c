#include "compactor/segcheck.h"

#include "common/block/block_merge.h"

static struct err *wrong(const char *what)
{
    return err_new(ERR_CORRUPT, "%s", what);
}

static struct err *check_labels(struct labels ls)
{
    for (size_t i = 0; i < ls.n; i++)
        if (ls.ptr[i].name.len == 0 || (i && slice_cmp(ls.ptr[i - 1].name, ls.ptr[i].name) >= 0))
            return wrong("labels are not in order, or a name is empty");
    return ls.n ? NULL : wrong("a series has no labels");
}

static struct err *check_chunk(struct arena *a, const struct chunk *c, struct segcheck *found)
{
    struct chunk_extent in;
    struct err *e;

    arena_reset(a);
    if ((e = chunk_check(a, c->encoding, c->data, &in)))
        return e;
    if (in.n == 0 || in.min_t != c->min_t || in.max_t != c->max_t)
        return wrong("a chunk does not hold the times that the index says");
    found->samples += in.n;
    found->min_t = ORR_MIN(found->min_t, c->min_t);
    found->max_t = ORR_MAX(found->max_t, c->max_t + 1);
    return NULL;
}

static struct err *check_series(struct arena *a, const struct block_series *s,
                                struct segcheck *found)
{
    struct err *e = check_labels(s->labels);

    for (size_t i = 0; i < s->n_chunks && !e; i++) {
        const struct chunk *c = &s->chunks[i];

        if (c->max_t == INT64_MAX)
            e = wrong("a sample lies at the end of time");
        else if (i && c->min_t <= s->chunks[i - 1].max_t)
            e = wrong("chunks of a series overlap");
        else
            e = check_chunk(a, c, found);
    }
    return e;
}

static struct err *check_all(const struct block_reader *r, struct segcheck *found)
{
    struct arena *decoded = arena_new(0), *kept = arena_new(0);
    struct block_stream *s = block_stream_of_reader(r);
    struct labels last = {0};
    struct block_series series;
    struct err *e;
    bool more;

    while (!(e = s->ops->next(s, &series, &more)) && more) {
        if (last.n && labels_cmp(last, series.labels) >= 0)
            e = wrong("series are not in order");
        else
            e = check_series(decoded, &series, found);
        if (e)
            break;
        arena_reset(kept);
        last = labels_dup(kept, series.labels);
    }
    block_stream_close(s);
    arena_free(decoded);
    arena_free(kept);
    return e;
}

struct err *segcheck_identity(const struct block_meta *m, struct slice tenant, struct ulid segment)
{
    if (!ulid_eq(m->ulid, segment))
        return err_new(ERR_CORRUPT, "it says it is %s", ulid_print(m->ulid).s);
    if (m->tenant.len && !slice_eq(m->tenant, tenant))
        return wrong("it says it is another tenant's");
    return m->min_t < m->max_t ? NULL : wrong("its time range is empty");
}

struct err *segcheck_as_corrupt(struct err *e)
{
    struct err *c;

    if (!err_is(e, ERR_NOT_FOUND) && !err_is(e, ERR_UNSUPPORTED) && !err_is(e, ERR_INVALID))
        return e;
    c = err_new(ERR_CORRUPT, "%s", err_msg(e));
    err_free(e);
    return c;
}

struct err *segcheck_open(const char *dir, struct slice tenant, struct ulid segment,
                          struct labels external, struct block_reader **ret,
                          struct segcheck *ret_found)
{
    const struct block_reader_opts opts = {.external = external};
    struct block_reader *r = NULL;
    struct block_source *src;
    struct segcheck found = {0};
    struct err *e = block_source_dir(dir, &src);

    if (!e)
        e = block_reader_open(src, &opts, &r);
    if (!e && !(e = segcheck_identity(block_reader_meta(r), tenant, segment))) {
        found.min_t = block_reader_meta(r)->min_t;
        found.max_t = block_reader_meta(r)->max_t;
        if (!(e = block_reader_verify_postings(r)))
            e = check_all(r, &found);
    }
    if (e) {
        block_reader_close(r);
        return err_wrap(segcheck_as_corrupt(e), "segment %s", ulid_print(segment).s);
    }
    *ret = r;
    *ret_found = found;
    return NULL;
}
