#include <stdlib.h>

#include "common/base/vec.h"
#include "common/block/block_format.h"
#include "common/block/block_spool.h"
#include "common/block/block_summary.h"
#include "common/traceblock/traceblock_internal.h"
#include "common/traceblock/traceblock_services.h"
#include "common/traceblock/traceids.h"

struct traceblock_writer {
    struct block_meta meta;
    bool has_summary;
    struct block_dir dir;
    struct block_spool spool;
    struct block_out parts[TRACEGROUP_PARTS], ids;
    struct tracegroup_builder *builder;
    VEC(uint8_t) group_ids; /* of the traces in the builder */
    struct buf out[TRACEGROUP_PARTS], scratch;
    struct buf groups; /* of the directory */
    uint64_t traces, spans;
    uint32_t n_groups;
    int64_t start_ns, end_ns;
    uint8_t last[16];
    struct traceblock_services services;
};

static const char *const part_files[] = {TRACEBLOCK_FRONT_FILE, TRACEBLOCK_BACK_FILE};

static struct err *name_block(const struct traceblock_writer *w, struct err *e)
{
    return err_wrap(e, "write block %s", ulid_print(w->meta.ulid).s);
}

struct err *traceblock_writer_open(const struct traceblock_writer_opts *opts,
                                   struct traceblock_writer **ret)
{
    struct traceblock_writer *w = mem_new(struct traceblock_writer);
    struct err *e;

    w->meta = opts->meta;
    w->has_summary = opts->has_summary;
    w->parts[0].fd = w->parts[1].fd = w->ids.fd = w->spool.out.fd = -1;
    w->builder = tracegroup_builder_new(opts->level);
    w->start_ns = INT64_MAX;
    w->end_ns = INT64_MIN;
    if ((e = block_dir_open(&w->dir, opts->dir, opts->meta.ulid, opts->no_sync)) ||
        (e = block_spool_open(&w->spool, &w->dir)) ||
        (e = block_dir_create(&w->dir, TRACEBLOCK_FRONT_FILE, &w->parts[TRACEGROUP_FRONT])) ||
        (e = block_dir_create(&w->dir, TRACEBLOCK_BACK_FILE, &w->parts[TRACEGROUP_BACK])) ||
        (e = block_dir_create(&w->dir, TRACEBLOCK_IDS_FILE, &w->ids))) {
        e = name_block(w, e);
        traceblock_writer_close(w);
        return e;
    }
    *ret = w;
    return NULL;
}

uint64_t traceblock_writer_spans(const struct traceblock_writer *w)
{
    return w->spans;
}

/* ---- groups ---- */

static struct err *end_group(struct traceblock_writer *w)
{
    struct traceblock_group_at g;
    struct err *e;

    if (!w->group_ids.len)
        return NULL;
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_reset(&w->out[i]);
    if ((e = tracegroup_builder_end(w->builder, w->out, &g.place, &g.about)))
        return e;
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++) {
        g.place.offset[i] = w->parts[i].pos;
        block_out_put(&w->parts[i], buf_slice(&w->out[i]));
    }
    g.ids_offset = w->ids.pos;
    buf_reset(&w->scratch);
    traceids_build((const uint8_t(*)[16])w->group_ids.ptr, g.about.traces, &w->scratch);
    block_out_put(&w->ids, buf_slice(&w->scratch));
    traceblock_directory_put(&w->groups, &g);
    vec_clear(&w->group_ids);
    if (++w->n_groups == TRACEBLOCK_MAX_GROUPS)
        return err_new(ERR_LIMIT, "%u row groups of traces in one block", TRACEBLOCK_MAX_GROUPS);
    return err_first(block_out_check(&w->parts[0]),
                     err_first(block_out_check(&w->parts[1]), block_out_check(&w->ids)));
}

/* ---- services ---- */

static bool is_scalar(const struct otlp_value *v)
{
    return v->kind == OTLP_VALUE_TEXT || v->kind == OTLP_VALUE_BOOL || v->kind == OTLP_VALUE_INT ||
           v->kind == OTLP_VALUE_DOUBLE;
}

/* Whether it is of a type that TraceQL has. */
static bool has_type(const struct otlp_value *v)
{
    for (size_t i = 0; v->kind == OTLP_VALUE_LIST && i < v->n; i++)
        if (is_scalar(&v->members[i].value))
            return true;
    return is_scalar(v);
}

/* What columns have (tracegroup_cols.c): of a key that comes more than once, the first value that has a type. */
static struct slice service_of(const struct tracepiece_resource *r)
{
    for (uint32_t i = 0; i < r->attributes.n; i++) {
        const struct otlp_member *m = &r->attributes.ptr[i];

        if (slice_eq_cstr(m->key, TRACEBLOCK_SERVICE) && has_type(&m->value))
            return m->value.kind == OTLP_VALUE_TEXT ? m->value.text : SLICE_EMPTY;
    }
    return SLICE_EMPTY;
}

static void note_spans(struct traceblock_writer *w, const struct tracepiece *p)
{
    uint32_t resource = UINT32_MAX;
    struct traceblock_service *s = NULL;

    for (uint32_t i = 0; i < p->n_spans; i++) {
        int64_t start = (int64_t)p->spans[i].start_ns;
        int64_t end = ORR_MAX(start, (int64_t)p->spans[i].end_ns);

        if (p->spans[i].resource != resource) {
            resource = p->spans[i].resource;
            s = traceblock_services_at(&w->services, service_of(&p->resources[resource]));
        }
        traceblock_service_add(s, start, end);
        w->start_ns = ORR_MIN(w->start_ns, start);
        w->end_ns = ORR_MAX(w->end_ns, end);
    }
    w->spans += p->n_spans;
}

struct err *traceblock_writer_trace(struct traceblock_writer *w, const struct tracepiece *p)
{
    struct err *e;

    if (!p->n_spans)
        return NULL;
    if (w->traces && memcmp(w->last, p->trace_id, sizeof(w->last)) >= 0)
        return name_block(w, err_new(ERR_INVALID, "traces are not in the order of their ids"));
    if (tracegroup_builder_is_full(w->builder) && (e = end_group(w)))
        return name_block(w, e);
    if ((e = tracegroup_builder_add(w->builder, p)))
        return name_block(w, e);
    vec_reserve(&w->group_ids, sizeof(p->trace_id));
    memcpy(w->group_ids.ptr + w->group_ids.len, p->trace_id, sizeof(p->trace_id));
    w->group_ids.len += sizeof(p->trace_id);
    memcpy(w->last, p->trace_id, sizeof(w->last));
    w->traces++;
    note_spans(w, p);
    return NULL;
}

/* ---- the end ---- */

static int cmp_entries(const void *a, const void *b)
{
    const struct map_entry *const *l = a, *const *r = b;

    return slice_cmp((*l)->key, (*r)->key);
}

static struct err *put_service(struct traceblock_writer *w, const struct map_entry *entry)
{
    static const struct slice name = SLICE_INIT(TRACEBLOCK_SERVICE);
    const struct traceblock_service *s = entry->value;
    struct label label = {name, entry->key};
    int64_t start = clock_ms_of_ns(s->start_ns), end = clock_ms_of_ns(s->end_ns);

    buf_reset(&w->scratch);
    buf_uvarint(&w->scratch, 1);
    buf_varint(&w->scratch, start);
    buf_uvarint(&w->scratch, (uint64_t)(end - start));
    buf_uvarint(&w->scratch, s->spans);
    return block_spool_add(&w->spool, (struct labels){&label, 1}, buf_slice(&w->scratch));
}

static struct err *put_services(struct traceblock_writer *w)
{
    const struct map_entry **all =
        mem_new_array(const struct map_entry *, w->services.by_name.len + 1);
    struct err *e = NULL;
    size_t n = 0;

    MAP_FOREACH (entry, &w->services.by_name)
        all[n++] = entry;
    qsort(all, n, sizeof(*all), cmp_entries);
    for (size_t i = 0; i < n && !e; i++)
        e = put_service(w, all[i]);
    mem_free(all);
    return e;
}

static struct err *put_directory(struct traceblock_writer *w)
{
    struct err *e;

    traceblock_directory_write(buf_slice(&w->groups), w->traces, w->spans, &w->scratch);
    e = block_dir_put(&w->dir, TRACEBLOCK_DIRECTORY_FILE, buf_slice(&w->scratch));
    if (!e)
        block_dir_note(&w->dir, TRACEBLOCK_DIRECTORY_FILE, w->scratch.len);
    return e;
}

static struct err *finish(struct traceblock_writer *w)
{
    static const struct slice summary = SLICE_INIT(BLOCK_SUMMARY_FILE);
    bool has_summary = false;
    struct err *e;

    if ((e = end_group(w)) || (e = put_services(w)))
        return e;
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        if ((e = block_dir_keep(&w->dir, part_files[i], &w->parts[i])))
            return e;
    if ((e = block_dir_keep(&w->dir, TRACEBLOCK_IDS_FILE, &w->ids)) || (e = put_directory(w)) ||
        (e = block_spool_finish(&w->spool, &w->dir, NULL)) ||
        (w->has_summary && (e = block_spool_summary(&w->spool, &w->dir, &has_summary))))
        return e;
    if (w->spans) {
        w->meta.min_t = clock_ms_of_ns(w->start_ns);
        w->meta.max_t = clock_ms_of_ns(w->end_ns) + 1;
    }
    w->meta.stats = (struct block_stats){
        .samples = w->spans, .series = w->services.by_name.len, .chunks = w->n_groups};
    w->meta.sidecars = &summary;
    w->meta.n_sidecars = has_summary;
    return block_dir_commit(&w->dir, &w->meta);
}

struct err *traceblock_writer_finish(struct traceblock_writer *w, struct arena *a,
                                     struct block_meta *ret_meta)
{
    struct err *e = finish(w);

    if (e)
        return name_block(w, e);
    *ret_meta = block_meta_dup(a, &w->meta);
    return NULL;
}

void traceblock_writer_close(struct traceblock_writer *w)
{
    if (!w)
        return;
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++) {
        block_out_abort(&w->parts[i]);
        buf_done(&w->out[i]);
    }
    block_out_abort(&w->ids);
    block_spool_done(&w->spool);
    block_dir_done(&w->dir);
    tracegroup_builder_free(w->builder);
    traceblock_services_done(&w->services);
    vec_done(&w->group_ids);
    buf_done(&w->scratch);
    buf_done(&w->groups);
    mem_free(w);
}
