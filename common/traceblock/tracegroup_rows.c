/* Rows of a row group that is read: which spans are a trace's, and which columns a row's attributes are in. */
#include "common/base/reader.h"
#include "common/traceblock/tracegroup_internal.h"
#include "common/traces/tracepiece_parts.h"

struct err *tracegroup_check_below(const struct tracegroup_read *c, uint64_t below,
                                   const char *what)
{
    for (uint64_t i = 0; c && i < c->n; i++)
        if ((uint64_t)c->ints[i] >= below)
            return tracegroup_corrupt(what);
    return NULL;
}

/* ---- what stands where ---- */

struct err *tracegroup_need_spans(struct tracegroup *g)
{
    struct tracegroup_read *c;
    struct err *e;
    uint32_t *first;
    uint64_t at = 0;

    if (g->first_span)
        return NULL;
    if ((e = tracegroup_need(g, TG_TRACE_SPANS, g->about.traces, &c)))
        return e;
    first = arena_array(g->arena, uint32_t, (size_t)g->about.traces + 1);
    for (uint32_t i = 0; i < g->about.traces; i++) {
        first[i] = (uint32_t)at;
        if (!c || c->ints[i] < 1 || (uint64_t)c->ints[i] > g->about.spans - at)
            return tracegroup_corrupt("traces have other spans than it has");
        at += (uint64_t)c->ints[i];
    }
    if (at != g->about.spans)
        return tracegroup_corrupt("it has spans of no trace");
    first[g->about.traces] = (uint32_t)at;
    g->first_span = first;
    return NULL;
}

struct err *tracegroup_firsts(struct tracegroup *g, enum tracegroup_column counts,
                              enum tracetable table, struct arena *a, const uint32_t **ret)
{
    uint32_t n = g->about.spans, *first = arena_array(a, uint32_t, (size_t)n + 1);
    struct tracegroup_read *col;
    struct err *e = tracegroup_need(g, counts, n, &col);
    uint64_t at = 0;

    if (e)
        return e;
    for (uint32_t i = 0; i < n; i++) {
        first[i] = (uint32_t)at;
        if (col && (uint64_t)col->ints[i] > g->n_rows[table] - at)
            return tracegroup_corrupt("spans have more events or links than there are");
        at += col ? (uint64_t)col->ints[i] : 0;
    }
    first[n] = (uint32_t)at;
    *ret = first;
    return at == g->n_rows[table] ? NULL : tracegroup_corrupt("events or links of no span");
}

struct err *tracegroup_ids(struct tracegroup *g, const uint8_t (**ret)[16])
{
    struct tracegroup_read *c;
    struct err *e = tracegroup_need(g, TG_TRACE_ID, g->about.traces, &c);
    const uint8_t(*ids)[16];

    if (e)
        return e;
    if (!c)
        return tracegroup_corrupt("it has no ids");
    ids = (const uint8_t(*)[16])c->fixed;
    for (uint32_t i = 1; i < g->about.traces; i++)
        if (memcmp(ids[i - 1], ids[i], 16) >= 0)
            return tracegroup_corrupt("ids are not in order");
    if (memcmp(ids[0], g->about.first, 16) != 0 ||
        memcmp(ids[g->about.traces - 1], g->about.last, 16) != 0)
        return tracegroup_corrupt("it has other ids than the directory says");
    *ret = ids;
    return NULL;
}

struct err *tracegroup_find(struct tracegroup *g, const uint8_t id[16], uint32_t *ret)
{
    const uint8_t(*ids)[16];
    struct err *e = tracegroup_ids(g, &ids);
    uint32_t lo = 0, hi = g->about.traces;

    while (!e && lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (memcmp(ids[mid], id, 16) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret = lo;
    return e;
}

/* ---- attributes ---- */

static void find_columns(struct tracegroup *g, enum tracetable table, struct tracegroup_shapes *s)
{
    enum tracegroup_part part = tracegroup_part_of(table);

    s->columns = arena_array(g->arena, struct tracegroup_read *, g->n_reads[part]);
    for (size_t i = 0; i < g->n_reads[part]; i++) {
        struct tracegroup_read *c = &g->reads[part][i];

        if (c->column == TG_ATTRIBUTE && c->table == table)
            s->columns[s->n_columns++] = c;
    }
}

static struct err *parse_shapes(struct tracegroup *g, const struct tracegroup_read *c,
                                struct tracegroup_shapes *s)
{
    struct reader r = reader_new(slice_of(c->fixed, c->bytes));
    size_t n = reader_count(&r, 1), used = 0;
    uint32_t *first, *list;

    if (n != c->n)
        return tracegroup_corrupt("shapes");
    if (arena_left(g->arena) / sizeof(*list) < n + 1 + reader_left(&r))
        return tracegroup_no_room(g->arena);
    first = arena_array(g->arena, uint32_t, n + 1);
    list = arena_array(g->arena, uint32_t, reader_left(&r)); /* a number takes a byte at least */
    for (size_t i = 0; i < n; i++) {
        size_t m = reader_count(&r, 1);

        first[i] = (uint32_t)used;
        for (size_t k = 0; k < m; k++) {
            uint64_t number = reader_uvarint(&r);

            if (number >= s->n_columns)
                return tracegroup_corrupt("a shape with a column that is not there");
            list[used++] = (uint32_t)number;
        }
    }
    first[n] = (uint32_t)used;
    if (!reader_ok(&r) || reader_left(&r))
        return tracegroup_corrupt("shapes");
    s->n_shapes = (uint32_t)n;
    s->first = first;
    s->list = list;
    return NULL;
}

/* Columns have as many values as rows want. */
static struct err *check_counts(struct tracegroup *g, const struct tracegroup_shapes *s)
{
    uint64_t *rows = arena_array(g->arena, uint64_t, s->n_shapes);
    uint64_t *wanted = arena_array(g->arena, uint64_t, s->n_columns);

    for (uint32_t i = 0; i < s->n_rows; i++)
        rows[s->shape ? s->shape[i] : 0]++;
    for (uint32_t i = 0; i < s->n_shapes; i++)
        for (uint32_t k = s->first[i]; k < s->first[i + 1]; k++)
            wanted[s->list[k]] += rows[i];
    for (uint32_t i = 0; i < s->n_columns; i++)
        if (wanted[i] != s->columns[i]->n)
            return tracegroup_corrupt("attributes with more or fewer values than rows want");
    return NULL;
}

struct err *tracegroup_need_shapes(struct tracegroup *g, enum tracetable table)
{
    struct tracegroup_shapes *s = &g->shapes[table];
    enum tracegroup_part part = tracegroup_part_of(table);
    struct tracegroup_read *shape, *shapes = NULL;
    struct err *e;

    if (s->is_loaded)
        return NULL;
    *s = (struct tracegroup_shapes){0};
    if ((e = tracegroup_need_part(g, part)))
        return e;
    s->n_rows = g->n_rows[table];
    find_columns(g, table, s);
    for (size_t i = 0; i < g->n_reads[part]; i++)
        if (g->reads[part][i].column == TG_SHAPES && g->reads[part][i].table == table)
            shapes = &g->reads[part][i];
    if (!shapes) {
        if (s->n_rows || s->n_columns)
            return tracegroup_corrupt("rows without shapes");
        s->is_loaded = true;
        return NULL;
    }
    if ((e = tracegroup_load(g, shapes)) || (e = parse_shapes(g, shapes, s)) ||
        (e = tracegroup_need_of(g, TG_SHAPE, table, s->n_rows, &shape)) ||
        (e = tracegroup_check_below(shape, s->n_shapes, "a row of a shape that is not there")))
        return e;
    if (!s->n_shapes)
        return tracegroup_corrupt("shapes");
    s->shape = shape ? shape->ints : NULL;
    e = check_counts(g, s);
    s->is_loaded = !e;
    return e;
}

struct err *tracegroup_value(const struct tracegroup *g, const struct tracegroup_read *c,
                             uint64_t i, struct arena *a, struct otlp_member *ret)
{
    struct otlp_value *v = &ret->value;
    struct err *e;

    *ret = (struct otlp_member){0};
    if (c->kind == OTLP_VALUE_LIST || c->kind == OTLP_VALUE_MAP || c->kind == TRACEGROUP_ANY_KEY) {
        if ((e = tracepiece_member_of(a, tracegroup_text(c, i), ret)))
            return e;
        if (c->kind != TRACEGROUP_ANY_KEY && (uint8_t)v->kind != c->kind)
            return tracegroup_corrupt("a value of another kind than its column's");
    } else {
        v->kind = (enum otlp_value_kind)c->kind;
        if (v->kind == OTLP_VALUE_TEXT || v->kind == OTLP_VALUE_BYTES)
            v->text = tracegroup_text(c, i);
        else if (v->kind == OTLP_VALUE_BOOL)
            v->b = c->ints[i] != 0;
        else if (v->kind == OTLP_VALUE_INT)
            v->i = c->ints[i];
        else if (v->kind == OTLP_VALUE_DOUBLE)
            memcpy(&v->d, &c->ints[i], sizeof(v->d));
    }
    if (c->kind != TRACEGROUP_ANY_KEY)
        ret->key = g->keys[c->part][c->key];
    return NULL;
}
