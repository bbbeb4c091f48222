/* All of a block is read, group by group, and held against its index, its directory, its filters and its meta.json. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/traceblock/traceblock_internal.h"
#include "common/traceblock/traceblock_services.h"
#include "common/traceblock/traceids.h"

struct verifying {
    struct traceblock *block;
    const struct traceblock_directory *dir;
    struct traceblock_in in;
    struct buf made;
    struct traceblock_services services;
    int64_t start_ns, end_ns;
};

static struct err *wrong(const char *what)
{
    return err_new(ERR_CORRUPT, "%s", what);
}

static void count_services(struct verifying *v, const struct tracecols *cols)
{
    for (uint32_t i = 0; i < cols->n_spans; i++) {
        struct slice name = cols->dict[cols->service[i]];

        traceblock_service_add(traceblock_services_at(&v->services, name), cols->start_ns[i],
                               ORR_MAX(cols->start_ns[i], cols->end_ns[i]));
    }
}

/* The filter follows from the ids. */
static struct err *check_ids(struct verifying *v, struct tracegroup *g)
{
    const struct traceblock_group_at *at = &v->in.group;
    const uint8_t(*ids)[16];
    struct slice filter;
    struct err *e;

    if ((e = tracegroup_ids(g, &ids)) ||
        (e = traceblock_in_read(&v->in, TRACEBLOCK_IDS_FILE, at->ids_offset,
                                TRACEIDS_BYTES(at->about.traces), &filter)))
        return e;
    buf_reset(&v->made);
    traceids_build(ids, at->about.traces, &v->made);
    return slice_eq(filter, buf_slice(&v->made))
               ? NULL
               : wrong(TRACEBLOCK_IDS_FILE ": it is not the filter of the ids");
}

static struct err *check_group(struct verifying *v, uint32_t number)
{
    struct tracegroup_io io = traceblock_in_io(&v->in);
    struct tracegroup_want want = {0};
    struct arena *a = arena_new(TRACEBLOCK_GROUP_BYTES);
    const struct tracecols *cols;
    struct tracegroup *g;
    struct err *e;

    v->in.group = traceblock_directory_at(v->dir, number);
    v->start_ns = ORR_MIN(v->start_ns, v->in.group.about.start_ns);
    v->end_ns = ORR_MAX(v->end_ns, v->in.group.about.end_ns);
    if (!(e = tracegroup_open(a, &io, &v->in.group.place, &v->in.group.about, &g)) &&
        !(e = tracegroup_verify(g)) && !(e = tracegroup_cols(g, a, &want, &cols))) {
        count_services(v, cols);
        e = check_ids(v, g);
    }
    arena_free(a);
    return err_wrap(e, "group %u", number);
}

/* ---- the index ---- */

/* last: the name of the one before; this one's then. */
static struct err *check_series(struct verifying *v, const struct block_reader_series *s,
                                struct slice *last)
{
    const struct traceblock_service *found;

    if (s->labels.n != 1 || !slice_eq_cstr(s->labels.ptr[0].name, TRACEBLOCK_SERVICE) ||
        s->n_chunks != 1)
        return wrong("index: a series that is no service");
    if (slice_cmp(*last, s->labels.ptr[0].value) >= 0)
        return wrong("index: services are not in the order of their names");
    *last = s->labels.ptr[0].value;
    found = map_get(&v->services.by_name, s->labels.ptr[0].value);
    if (!found)
        return wrong("index: a service that has no spans");
    if (s->chunks[0].ref != found->spans || s->chunks[0].min_t != clock_ms_of_ns(found->start_ns) ||
        s->chunks[0].max_t != clock_ms_of_ns(found->end_ns))
        return wrong("index: a service has other spans, or times, than it says");
    return NULL;
}

static struct err *check_index(struct verifying *v)
{
    struct block_reader *r = v->block->services;
    struct arena *a = arena_new(0);
    struct block_reader_series series;
    struct slice last = SLICE_EMPTY;
    struct block_refs refs;
    struct err *e = block_reader_verify_postings(r);

    if (!e)
        e = block_reader_select(r, a, (struct matchers){0}, &refs);
    for (size_t i = 0; !e && i < refs.n; i++)
        if (!(e = block_reader_series(r, a, refs.ptr[i], &series)))
            e = check_series(v, &series, &last);
    if (!e && (refs.n != v->services.by_name.len || refs.n != block_reader_meta(r)->stats.series))
        e = wrong("index: its services are not those of the spans");
    arena_free(a);
    return e;
}

/* ---- files ---- */

static struct err *check_length(struct verifying *v, const char *file, uint64_t bytes)
{
    const struct block_meta *m = block_reader_meta(v->block->services);

    for (size_t i = 0; i < m->n_files; i++)
        if (slice_eq_cstr(m->files[i].path, file))
            return m->files[i].bytes == bytes
                       ? NULL
                       : err_new(ERR_CORRUPT, "%s: it has another length than the directory says",
                                 file);
    return err_new(ERR_CORRUPT, BLOCK_META_FILE ": it names no file %s", file);
}

static struct err *check_meta(struct verifying *v)
{
    const struct block_meta *m = block_reader_meta(v->block->services);

    if (v->dir->spans &&
        (m->min_t != clock_ms_of_ns(v->start_ns) || m->max_t != clock_ms_of_ns(v->end_ns) + 1))
        return wrong(BLOCK_META_FILE ": it has other times than the spans");
    return NULL;
}

static struct err *verify(struct verifying *v)
{
    struct err *e = traceblock_directory_get(v->block, &v->dir);

    if (e || (e = check_length(v, TRACEBLOCK_FRONT_FILE, v->dir->bytes[TRACEGROUP_FRONT])) ||
        (e = check_length(v, TRACEBLOCK_BACK_FILE, v->dir->bytes[TRACEGROUP_BACK])) ||
        (e = check_length(v, TRACEBLOCK_IDS_FILE, v->dir->ids_bytes)))
        return e;
    for (uint32_t i = 0; i < v->dir->n; i++)
        if ((e = check_group(v, i)))
            return e;
    return (e = check_index(v)) ? e : check_meta(v);
}

struct err *traceblock_verify(struct traceblock *b)
{
    struct verifying v = {
        .block = b, .in = {.block = b}, .start_ns = INT64_MAX, .end_ns = INT64_MIN};
    struct err *e = verify(&v);

    traceblock_in_done(&v.in);
    traceblock_services_done(&v.services);
    buf_done(&v.made);
    return traceblock_error(b, e);
}
