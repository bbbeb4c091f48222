/* Attributes, resources and scopes of a row group that is built. */
#include "common/base/mem.h"
#include "common/traceblock/tracegroup_build.h"
#include "common/traces/tracepiece_parts.h"

/* ---- attributes ---- */

static uint32_t key_number(struct tracegroup_builder *b, enum tracegroup_part part,
                           struct slice key)
{
    void **slot = map_slot(&b->keys[part], key);

    if (!*slot) {
        buf_lstr(&b->key_list[part], key);
        *slot = (void *)(uintptr_t)b->keys[part].len;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static uint32_t add_column(struct tracegroup_builder *b, enum tracetable table, uint8_t kind,
                           struct slice key)
{
    struct tracegroup_table *t = &b->tables[table];
    struct tracegroup_making *m = mem_new(struct tracegroup_making);

    m->column = TG_ATTRIBUTE;
    m->table = table;
    m->kind = kind;
    m->key = key_number(b, tracegroup_part_of(table), key);
    vec_push(&t->columns, m);
    vec_push(&t->names, arena_dup(b->keys_arena, key));
    return (uint32_t)t->columns.len - 1;
}

/* That of the attributes whose keys are too many. */
static uint32_t any_key_column(struct tracegroup_builder *b, enum tracetable table)
{
    struct tracegroup_table *t = &b->tables[table];

    if (!t->any_key)
        t->any_key = add_column(b, table, TRACEGROUP_ANY_KEY, SLICE_EMPTY) + 1;
    return t->any_key - 1;
}

/* i: where it is in its row. */
static uint32_t column_number(struct tracegroup_builder *b, enum tracetable table,
                              const struct otlp_member *m, uint32_t i)
{
    struct tracegroup_table *t = &b->tables[table];
    void **slot;
    void *known;

    if (i < t->last.len) { /* rows are like those before them, mostly */
        uint32_t guess = t->last.ptr[i];

        if (t->columns.ptr[guess]->kind == (uint8_t)m->value.kind &&
            slice_eq(t->names.ptr[guess], m->key))
            return guess;
    }
    buf_reset(&b->scratch);
    buf_byte(&b->scratch, (uint8_t)m->value.kind);
    buf_slice_append(&b->scratch, m->key);
    known = map_get(&t->numbers, buf_slice(&b->scratch));
    if (known)
        return (uint32_t)((uintptr_t)known - 1);
    if (t->columns.len >= TRACEGROUP_MAX_COLUMNS)
        return any_key_column(b, table);
    slot = map_slot(&t->numbers, buf_slice(&b->scratch));
    *slot = (void *)(uintptr_t)(t->columns.len + 1);
    return add_column(b, table, (uint8_t)m->value.kind, m->key);
}

static void put_value(struct tracegroup_builder *b, struct tracegroup_making *c,
                      const struct otlp_member *m)
{
    const struct otlp_value *v = &m->value;
    uint64_t bits;

    b->bytes += 8;
    switch (c->kind) {
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        tracegroup_texts_add(&c->texts, v->text);
        b->bytes += v->text.len;
        break;
    case OTLP_VALUE_EMPTY:
        vec_push(&c->ints, 0);
        break;
    case OTLP_VALUE_BOOL:
        vec_push(&c->ints, v->b);
        break;
    case OTLP_VALUE_INT:
        vec_push(&c->ints, v->i);
        break;
    case OTLP_VALUE_DOUBLE:
        memcpy(&bits, &v->d, sizeof(bits));
        vec_push(&c->ints, (int64_t)bits);
        break;
    default:
        buf_reset(&b->scratch);
        tracepiece_member_bytes(b->encoder, m, &b->scratch);
        tracegroup_texts_add(&c->texts, buf_slice(&b->scratch));
        b->bytes += b->scratch.len;
    }
}

static uint32_t shape_number(struct tracegroup_table *t)
{
    struct slice key =
        slice_of(t->row.ptr ? (void *)t->row.ptr : (void *)"", t->row.len * sizeof(*t->row.ptr));
    void **slot;

    if (t->n_shapes && t->row.len == t->last.len &&
        (!t->row.len || memcmp(t->row.ptr, t->last.ptr, key.len) == 0))
        return t->last_shape;
    slot = map_slot(&t->shapes, key);
    if (!*slot) {
        buf_uvarint(&t->list, t->row.len);
        VEC_FOREACH (c, &t->row)
            buf_uvarint(&t->list, *c);
        *slot = (void *)(uintptr_t)++t->n_shapes;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

void tracegroup_put_attributes(struct tracegroup_builder *b, enum tracetable table,
                               const struct tracepiece_attributes *a)
{
    struct tracegroup_table *t = &b->tables[table];

    vec_clear(&t->row);
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t number = column_number(b, table, &a->ptr[i], i);

        vec_push(&t->row, number);
        put_value(b, t->columns.ptr[number], &a->ptr[i]);
    }
    t->last_shape = shape_number(t);
    vec_clear(&t->last);
    VEC_FOREACH (c, &t->row)
        vec_push(&t->last, *c);
    vec_push(&t->shape.ints, t->last_shape);
    vec_push(&t->dropped.ints, a->dropped);
    b->n_rows[table]++;
}

/* ---- resources and scopes: equal ones are one row ---- */

uint32_t tracegroup_resource_row(struct tracegroup_builder *b, const struct tracepiece_resource *r)
{
    bool is_new;
    uint32_t row = tracepiece_known_resource(&b->known, r, &is_new);

    if (is_new) {
        tracegroup_put_text(b, TG_RESOURCE_SCHEMA, r->schema_url);
        tracegroup_put_attributes(b, TRACE_RESOURCES, &r->attributes);
    }
    return row;
}

uint32_t tracegroup_scope_row(struct tracegroup_builder *b, const struct tracepiece_scope *s)
{
    bool is_new;
    uint32_t row = tracepiece_known_scope(&b->known, s, &is_new);

    if (is_new) {
        tracegroup_put_text(b, TG_SCOPE_NAME, s->name);
        tracegroup_put_text(b, TG_SCOPE_VERSION, s->version);
        tracegroup_put_text(b, TG_SCOPE_SCHEMA, s->schema_url);
        tracegroup_put_attributes(b, TRACE_LIBRARIES, &s->attributes);
    }
    return row;
}
