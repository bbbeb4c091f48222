/* Attributes of a row group as columns of TraceQL's engine. */
#include "common/traceblock/tracegroup_cols.h"
#include "common/traces/tracepiece_parts.h"

struct column_at {
    struct tracegroup_read *col;
    uint32_t *numbers; /* of its texts; NULL: not asked for */
    uint64_t at;       /* the next value */
    bool is_wanted;
};
struct growing {
    uint32_t *rows;
    uint8_t *types;
    uint64_t *values;
    uint32_t n;
};

static bool cell_of(struct tracegroup_making_cols *c, const struct otlp_value *v, uint8_t *type,
                    uint64_t *cell)
{
    switch (v->kind) {
    case OTLP_VALUE_TEXT:
        *type = TRACECELL_STRING;
        *cell = tracegroup_number_of(c, v->text);
        return true;
    case OTLP_VALUE_BOOL:
        *type = TRACECELL_BOOL;
        *cell = v->b;
        return true;
    case OTLP_VALUE_INT:
        *type = TRACECELL_INT;
        *cell = (uint64_t)v->i;
        return true;
    case OTLP_VALUE_DOUBLE:
        *type = TRACECELL_FLOAT;
        memcpy(cell, &v->d, sizeof(*cell));
        return true;
    default:
        return false;
    }
}

static bool array_of(struct tracegroup_making_cols *c, const struct otlp_value *v, uint8_t *type,
                     uint64_t *cell)
{
    uint8_t *types = arena_array(c->a, uint8_t, v->n);
    uint64_t *values = arena_array(c->a, uint64_t, v->n);
    uint32_t n = 0;

    for (size_t i = 0; i < v->n; i++)
        n += cell_of(c, &v->members[i].value, &types[n], &values[n]);
    if (!n)
        return false;
    c->arrays = arena_more(c->a, c->arrays, c->n_arrays);
    *type = TRACECELL_ARRAY;
    *cell = c->n_arrays;
    c->arrays[c->n_arrays++] = (struct tracearray){n, types, values};
    return true;
}

/* The i-th value of a column, if it is of the key and of a type that TraceQL has. */
static struct err *get_cell(struct tracegroup_making_cols *c, struct column_at *at, uint64_t i,
                            struct slice key, uint8_t *type, uint64_t *cell, bool *ret_has)
{
    struct tracegroup_read *col = at->col;
    struct otlp_member m;
    struct err *e;

    if (col->kind == OTLP_VALUE_TEXT) {
        *type = TRACECELL_STRING;
        *cell = at->numbers[col->codes ? (uint64_t)col->codes[i] : i];
        *ret_has = true;
        return NULL;
    }
    arena_reset(c->scratch);
    if ((e = tracegroup_value(c->g, col, i, c->scratch, &m)))
        return e;
    *ret_has = slice_eq(m.key, key) &&
               (m.value.kind == OTLP_VALUE_LIST ? array_of(c, &m.value, type, cell)
                                                : cell_of(c, &m.value, type, cell));
    return NULL;
}

/* Columns of a table that have values of the key. */
static struct err *find_wanted(struct tracegroup_making_cols *c, enum tracetable table,
                               struct slice key, struct column_at *at, uint64_t *ret_values)
{
    const struct tracegroup_shapes *s = &c->g->shapes[table];
    enum tracegroup_part part = tracegroup_part_of(table);
    struct err *e;

    *ret_values = 0;
    for (uint32_t i = 0; i < s->n_columns; i++) {
        struct tracegroup_read *col = s->columns[i];

        at[i] = (struct column_at){.col = col};
        if (col->kind == OTLP_VALUE_EMPTY || col->kind == OTLP_VALUE_BYTES ||
            col->kind == OTLP_VALUE_MAP ||
            (col->kind != TRACEGROUP_ANY_KEY && !slice_eq(c->g->keys[part][col->key], key)))
            continue;
        if ((e = tracegroup_load(c->g, col)))
            return e;
        at[i].is_wanted = true;
        if (col->kind == OTLP_VALUE_TEXT)
            at[i].numbers = tracegroup_numbers_of(c, col);
        *ret_values += col->n;
    }
    return NULL;
}

/* Which columns of a shape are wanted: most shapes have none. */
static uint32_t *shapes_of(struct tracegroup_making_cols *c, const struct tracegroup_shapes *s,
                           const struct column_at *at, uint32_t *list)
{
    uint32_t *first = arena_array(c->a, uint32_t, (size_t)s->n_shapes + 1), n = 0;

    for (uint32_t i = 0; i < s->n_shapes; i++) {
        first[i] = n;
        for (uint32_t k = s->first[i]; k < s->first[i + 1]; k++)
            if (at[s->list[k]].is_wanted)
                list[n++] = s->list[k];
    }
    first[s->n_shapes] = n;
    return first;
}

/* Of each row the first value of the key. */
static struct err *gather(struct tracegroup_making_cols *c, const struct tracegroup_shapes *s,
                          struct slice key, struct column_at *at, struct growing *to)
{
    uint32_t *list = arena_array(c->a, uint32_t, s->first[s->n_shapes]);
    const uint32_t *first = shapes_of(c, s, at, list);

    for (uint32_t row = 0; row < s->n_rows; row++) {
        uint32_t shape = s->shape ? (uint32_t)s->shape[row] : 0;
        bool has = false;

        for (uint32_t k = first[shape]; k < first[shape + 1]; k++) {
            struct column_at *from = &at[list[k]];
            uint64_t i = from->at++;
            struct err *e;

            if (!has &&
                (e = get_cell(c, from, i, key, &to->types[to->n], &to->values[to->n], &has)))
                return e;
        }
        if (has)
            to->rows[to->n++] = row;
    }
    return NULL;
}

struct err *tracegroup_attribute_column(struct tracegroup_making_cols *c,
                                        const struct tracegroup_key *key, struct tracecol *ret)
{
    const struct tracegroup_shapes *s = &c->g->shapes[key->table];
    struct growing to = {0};
    struct column_at *at;
    uint64_t values;
    struct err *e;

    if ((e = tracegroup_need_shapes(c->g, key->table)))
        return e;
    *ret = (struct tracecol){.key = key->key};
    if (!s->n_shapes)
        return NULL;
    at = arena_array(c->a, struct column_at, s->n_columns);
    if ((e = find_wanted(c, key->table, key->key, at, &values)))
        return e;
    values = ORR_MIN(values, s->n_rows) + 1; /* one more, where a value that is none may be put */
    to.rows = arena_array(c->a, uint32_t, values);
    to.types = arena_array(c->a, uint8_t, values);
    to.values = arena_array(c->a, uint64_t, values);
    if ((e = gather(c, s, key->key, at, &to)))
        return e;
    *ret = (struct tracecol){key->key, to.n, to.rows, to.types, to.values};
    return NULL;
}

struct err *tracegroup_keys(struct tracegroup *g, enum tracetable table, tracegroup_key_fn *give,
                            void *arg)
{
    struct tracegroup_shapes *s = &g->shapes[table];
    struct arena *scratch;
    struct err *e = tracegroup_need_shapes(g, table);
    struct otlp_member m;
    bool is_enough = false;

    scratch = arena_new(0);
    for (uint32_t i = 0; i < s->n_columns && !e && !is_enough; i++) {
        struct tracegroup_read *col = s->columns[i];

        if (col->kind != TRACEGROUP_ANY_KEY) {
            is_enough = !give(arg, g->keys[col->part][col->key]);
            continue;
        }
        e = tracegroup_load(g, col);
        for (uint64_t k = 0; k < col->n_dict && !e && !is_enough; k++) {
            arena_reset(scratch);
            if (!(e = tracepiece_member_of(scratch, col->dict[k], &m)))
                is_enough = !give(arg, m.key);
        }
    }
    arena_free(scratch);
    return e;
}
