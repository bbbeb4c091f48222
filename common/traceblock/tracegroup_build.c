#include "common/traceblock/tracegroup_build.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/block/block_zstd.h"
#include "common/traces/tracetree.h"

struct tracegroup_builder *tracegroup_builder_new(int level)
{
    struct tracegroup_builder *b = mem_new(struct tracegroup_builder);

    b->pack.zstd = block_zstd_new(level ? level : TRACEGROUP_LEVEL);
    b->encoder = tracepiece_encoder_new();
    b->arena = arena_new(0);
    b->keys_arena = arena_new(0);
    for (unsigned i = 0; i < TG_SHAPES; i++)
        b->columns[i].column = (enum tracegroup_column)i;
    for (unsigned i = 0; i < TRACE_TABLES; i++) {
        b->tables[i].shape.column = TG_SHAPE;
        b->tables[i].dropped.column = TG_DROPPED;
        b->tables[i].shape.table = b->tables[i].dropped.table = (enum tracetable)i;
    }
    return b;
}

static void making_done(struct tracegroup_making *m)
{
    vec_done(&m->ints);
    tracegroup_texts_done(&m->texts);
    buf_done(&m->fixed);
}

static void making_clear(struct tracegroup_making *m)
{
    vec_clear(&m->ints);
    tracegroup_texts_clear(&m->texts);
    buf_reset(&m->fixed);
}

static void forget(struct map *m)
{
    map_done(m);
    *m = (struct map){0};
}

static void table_clear(struct tracegroup_table *t)
{
    VEC_FOREACH (c, &t->columns) {
        making_done(*c);
        mem_free(*c);
    }
    vec_clear(&t->columns);
    vec_clear(&t->names);
    forget(&t->numbers);
    forget(&t->shapes);
    t->any_key = t->n_shapes = t->last_shape = 0;
    buf_reset(&t->list);
    making_clear(&t->shape);
    making_clear(&t->dropped);
    vec_clear(&t->last);
}

/* Nothing is in it then. */
static void clear(struct tracegroup_builder *b)
{
    for (unsigned i = 0; i < TG_SHAPES; i++)
        making_clear(&b->columns[i]);
    for (unsigned i = 0; i < TRACE_TABLES; i++)
        table_clear(&b->tables[i]);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++) {
        forget(&b->keys[i]);
        buf_reset(&b->key_list[i]);
    }
    tracepiece_known_clear(&b->known);
    arena_reset(b->keys_arena);
    memset(b->n_rows, 0, sizeof(b->n_rows));
    b->about = (struct tracegroup_about){0};
    b->bytes = 0;
}

void tracegroup_builder_free(struct tracegroup_builder *b)
{
    if (!b)
        return;
    clear(b);
    for (unsigned i = 0; i < TG_SHAPES; i++)
        making_done(&b->columns[i]);
    for (unsigned i = 0; i < TRACE_TABLES; i++) {
        struct tracegroup_table *t = &b->tables[i];

        vec_done(&t->columns);
        vec_done(&t->names);
        vec_done(&t->row);
        vec_done(&t->last);
        buf_done(&t->list);
        making_done(&t->shape);
        making_done(&t->dropped);
    }
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_done(&b->key_list[i]);
    tracepiece_known_done(&b->known);
    tracepiece_encoder_free(b->encoder);
    buf_done(&b->scratch);
    arena_free(b->arena);
    arena_free(b->keys_arena);
    block_zstd_free(b->pack.zstd);
    buf_done(&b->pack.columns);
    buf_done(&b->pack.payloads);
    buf_done(&b->pack.raw);
    mem_free(b);
}

/* ---- a trace ---- */

/* What is found once for a trace. */
struct trace {
    const struct tracepiece *p;
    struct tracetree_id *ids;     /* of its spans, by id and row */
    uint32_t *resources, *scopes; /* row + 1 of the piece's; 0: not asked for yet */
    int64_t start_ns;
};

/* The number of a parent: 0, 1 + its row in the trace, or -1. */
static int64_t parent_of(const struct trace *t, uint64_t id)
{
    uint32_t row = id ? tracetree_ids_find(t->ids, t->p->n_spans, id) : UINT32_MAX;

    return !id ? 0 : row == UINT32_MAX ? -1 : (int64_t)row + 1;
}

static void put_events(struct tracegroup_builder *b, const struct tracepiece_span *s)
{
    tracegroup_put_int(b, TG_SPAN_EVENTS, s->n_events);
    tracegroup_put_int(b, TG_SPAN_DROPPED_EVENTS, s->dropped_events);
    for (uint32_t i = 0; i < s->n_events; i++) {
        const struct tracepiece_event *ev = &s->events[i];

        tracegroup_put_int(b, TG_EVENT_TIME, ev->t_ns - s->start_ns);
        tracegroup_put_text(b, TG_EVENT_NAME, ev->name);
        tracegroup_put_attributes(b, TRACE_EVENTS, &ev->attributes);
        b->bytes += 8;
    }
}

static void put_links(struct tracegroup_builder *b, const struct tracepiece_span *s)
{
    tracegroup_put_int(b, TG_SPAN_LINKS, s->n_links);
    tracegroup_put_int(b, TG_SPAN_DROPPED_LINKS, s->dropped_links);
    for (uint32_t i = 0; i < s->n_links; i++) {
        const struct tracepiece_link *l = &s->links[i];

        buf_append(&b->columns[TG_LINK_TRACE].fixed, l->trace_id, sizeof(l->trace_id));
        tracegroup_put_id(b, TG_LINK_SPAN, l->span_id);
        tracegroup_put_text(b, TG_LINK_STATE, l->state);
        tracegroup_put_int(b, TG_LINK_FLAGS, l->flags);
        tracegroup_put_attributes(b, TRACE_LINKS, &l->attributes);
        b->bytes += 24;
    }
}

static void put_parent(struct tracegroup_builder *b, const struct trace *t,
                       const struct tracepiece_span *s)
{
    int64_t parent = parent_of(t, s->parent_id);

    tracegroup_put_int(b, TG_SPAN_PARENT, (uint64_t)parent);
    if (parent < 0)
        tracegroup_put_id(b, TG_PARENT_ID, s->parent_id);
}

static void put_span(struct tracegroup_builder *b, struct trace *t, const struct tracepiece_span *s)
{
    uint32_t *resource = &t->resources[s->resource], *scope = &t->scopes[s->scope];

    if (!*resource)
        *resource = tracegroup_resource_row(b, &t->p->resources[s->resource]) + 1;
    if (!*scope)
        *scope = tracegroup_scope_row(b, &t->p->scopes[s->scope]) + 1;
    tracegroup_put_int(b, TG_SPAN_RESOURCE, *resource - 1);
    tracegroup_put_int(b, TG_SPAN_SCOPE, *scope - 1);
    tracegroup_put_int(b, TG_SPAN_KIND, (uint64_t)(s->kind & 15) | (uint64_t)s->status << 4);
    tracegroup_put_text(b, TG_SPAN_NAME, s->name);
    tracegroup_put_int(b, TG_SPAN_START, s->start_ns - (uint64_t)t->start_ns);
    tracegroup_put_int(b, TG_SPAN_DURATION, s->end_ns - s->start_ns);
    tracegroup_put_id(b, TG_SPAN_ID, s->span_id);
    put_parent(b, t, s);
    tracegroup_put_text(b, TG_SPAN_MESSAGE, s->message);
    tracegroup_put_text(b, TG_SPAN_STATE, s->state);
    tracegroup_put_int(b, TG_SPAN_FLAGS, s->flags);
    tracegroup_put_attributes(b, TRACE_SPANS, &s->attributes);
    put_events(b, s);
    put_links(b, s);
    b->bytes += 48;
}

static struct err *refusal(const struct tracegroup_builder *b, const struct tracepiece *p)
{
    if (!p->n_spans)
        return err_new(ERR_INVALID, "a trace without spans in a row group");
    if (b->about.traces && memcmp(b->about.last, p->trace_id, sizeof(p->trace_id)) >= 0)
        return err_new(ERR_INVALID, "traces are not in the order of their ids");
    if (p->n_spans > TRACEGROUP_MAX_SPANS - b->about.spans)
        return err_new(ERR_TOO_LARGE, "a row group of traces with more than %u spans",
                       TRACEGROUP_MAX_SPANS);
    return NULL;
}

static void note_extent(struct tracegroup_builder *b, const struct tracepiece *p, struct trace *t)
{
    struct tracegroup_about *a = &b->about;

    t->start_ns = INT64_MAX;
    for (uint32_t i = 0; i < p->n_spans; i++) {
        int64_t start = (int64_t)p->spans[i].start_ns;
        int64_t end = ORR_MAX(start, (int64_t)p->spans[i].end_ns);

        t->ids[i] = (struct tracetree_id){p->spans[i].span_id, i};
        t->start_ns = ORR_MIN(t->start_ns, start);
        a->start_ns = a->spans + i ? ORR_MIN(a->start_ns, start) : start;
        a->end_ns = a->spans + i ? ORR_MAX(a->end_ns, end) : end;
    }
    if (!a->traces)
        memcpy(a->first, p->trace_id, sizeof(a->first));
    memcpy(a->last, p->trace_id, sizeof(a->last));
    a->traces++;
    a->spans += p->n_spans;
}

struct err *tracegroup_builder_add(struct tracegroup_builder *b, const struct tracepiece *p)
{
    struct trace t = {.p = p};
    struct err *e = refusal(b, p);

    if (e)
        return e;
    arena_reset(b->arena);
    t.ids = arena_array(b->arena, struct tracetree_id, p->n_spans);
    t.resources = arena_array(b->arena, uint32_t, p->n_resources);
    t.scopes = arena_array(b->arena, uint32_t, p->n_scopes);
    note_extent(b, p, &t);
    tracetree_ids_sort(t.ids, p->n_spans);
    buf_append(&b->columns[TG_TRACE_ID].fixed, p->trace_id, sizeof(p->trace_id));
    tracegroup_put_int(b, TG_TRACE_SPANS, p->n_spans);
    tracegroup_put_int(b, TG_TRACE_START, (uint64_t)t.start_ns);
    for (uint32_t i = 0; i < p->n_spans; i++)
        put_span(b, &t, &p->spans[i]);
    return NULL;
}

bool tracegroup_builder_is_full(const struct tracegroup_builder *b)
{
    return b->about.spans >= TRACEGROUP_AIM_SPANS || b->bytes >= TRACEGROUP_AIM_BYTES;
}

/* ---- the end ---- */

static struct err *pack_table(struct tracegroup_builder *b, enum tracetable table)
{
    struct tracegroup_table *t = &b->tables[table];
    struct err *e;

    if (!b->n_rows[table])
        return NULL;
    if ((e = tracegroup_pack_shapes(&b->pack, table, t->n_shapes, buf_slice(&t->list))) ||
        (e = tracegroup_pack_column(&b->pack, &t->shape)) ||
        (e = tracegroup_pack_column(&b->pack, &t->dropped)))
        return e;
    VEC_FOREACH (c, &t->columns)
        if ((e = tracegroup_pack_column(&b->pack, *c)))
            return e;
    return NULL;
}

static void put_header(const struct tracegroup_builder *b, enum tracegroup_part part,
                       struct buf *out)
{
    size_t before = out->len;

    buf_byte(out, TRACEGROUP_VERSION);
    buf_uvarint(out, b->about.traces);
    buf_uvarint(out, b->n_rows[TRACE_SPANS]);
    buf_uvarint(out, b->n_rows[TRACE_RESOURCES]);
    buf_uvarint(out, b->n_rows[TRACE_LIBRARIES]);
    buf_uvarint(out, b->n_rows[TRACE_EVENTS]);
    buf_uvarint(out, b->n_rows[TRACE_LINKS]);
    buf_uvarint(out, b->keys[part].len);
    buf_slice_append(out, buf_slice(&b->key_list[part]));
    buf_uvarint(out, b->pack.n_columns);
    buf_slice_append(out, buf_slice(&b->pack.columns));
    buf_u32le(out, hash_crc32c(slice_of(out->ptr + before, out->len - before)));
}

static struct err *check_rows(const struct tracegroup_builder *b)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < TRACE_TABLES; i++) {
        if (b->n_rows[i] > TRACEGROUP_MAX_SPANS)
            return err_new(ERR_TOO_LARGE,
                           "a row group of traces with %u events or links; the most is %u",
                           b->n_rows[i], TRACEGROUP_MAX_SPANS);
        VEC_FOREACH (c, &b->tables[i].columns)
            most = ORR_MAX(most, ORR_MAX((*c)->ints.len, (*c)->texts.codes.len));
    }
    return most > TRACEGROUP_MAX_VALUES
               ? err_new(ERR_TOO_LARGE,
                         "a row group of traces with %llu values of an attribute; the most is %u",
                         (unsigned long long)most, TRACEGROUP_MAX_VALUES)
               : NULL;
}

static struct err *put_part(struct tracegroup_builder *b, enum tracegroup_part part,
                            struct buf *out, struct tracegroup_place *place)
{
    size_t before = out->len;
    struct err *e = check_rows(b);

    buf_reset(&b->pack.columns);
    buf_reset(&b->pack.payloads);
    b->pack.n_columns = 0;
    for (unsigned i = 0; i < TG_SHAPES && !e; i++)
        if (tracegroup_part_of_column((enum tracegroup_column)i, TRACE_SPANS) == part)
            e = tracegroup_pack_column(&b->pack, &b->columns[i]);
    for (unsigned i = 0; i < TRACE_TABLES && !e; i++)
        if (tracegroup_part_of((enum tracetable)i) == part)
            e = pack_table(b, (enum tracetable)i);
    if (e)
        return e;
    put_header(b, part, out);
    place->header_bytes[part] = (uint32_t)(out->len - before);
    buf_slice_append(out, buf_slice(&b->pack.payloads));
    if (out->len - before > UINT32_MAX)
        return err_new(ERR_TOO_LARGE, "a row group of traces of %zu bytes", out->len - before);
    place->bytes[part] = (uint32_t)(out->len - before);
    return NULL;
}

struct err *tracegroup_builder_end(struct tracegroup_builder *b, struct buf out[TRACEGROUP_PARTS],
                                   struct tracegroup_place *ret_place,
                                   struct tracegroup_about *ret_about)
{
    struct err *e;

    *ret_place = (struct tracegroup_place){0};
    *ret_about = b->about;
    e = put_part(b, TRACEGROUP_FRONT, &out[TRACEGROUP_FRONT], ret_place);
    if (!e)
        e = put_part(b, TRACEGROUP_BACK, &out[TRACEGROUP_BACK], ret_place);
    clear(b);
    return e;
}
