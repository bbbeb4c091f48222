#include "querier/traces/tracecompare.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracefield_internal.h"
#include "querier/traces/tracemetric_internal.h"

enum side { BASELINE, SELECTION, SIDES };

struct counted {
    struct traceql_static value;
    double total, *points;
};

/* What one attribute's values are on one side. */
struct tally {
    struct map by_value; /* -> struct counted */
    VEC(struct counted *) list;
    double *totals; /* NULL: no span has it */
    bool is_over;
};

struct compared {
    struct traceql_attribute attribute;
    struct tally sides[SIDES];
};

struct tracecompare {
    size_t n_points, bytes;
    struct map by_name; /* -> struct compared */
    VEC(struct compared *) list;
    struct arena *arena;
    struct buf key;
};

/* The spans that are looked at. */
struct looking {
    struct tracecompare *c;
    const struct tracecols *cols;
    const uint32_t *points;
    const uint8_t *is_selected;
};

struct tracecompare *tracecompare_new(size_t n_points)
{
    struct tracecompare *c = mem_new(struct tracecompare);

    c->n_points = n_points;
    c->arena = arena_new(0);
    return c;
}

void tracecompare_free(struct tracecompare *c)
{
    if (!c)
        return;
    VEC_FOREACH (it, &c->list) {
        for (size_t side = 0; side < SIDES; side++) {
            map_done(&(*it)->sides[side].by_value);
            vec_done(&(*it)->sides[side].list);
        }
    }
    vec_done(&c->list);
    map_done(&c->by_name);
    buf_done(&c->key);
    arena_free(c->arena);
    mem_free(c);
}

/* ---- counting ---- */

/* What a map and a list take for an entry, about. */
#define ENTRY_BYTES 128

static double *new_points(struct tracecompare *c)
{
    c->bytes += c->n_points * sizeof(double) + ENTRY_BYTES;
    return arena_array(c->arena, double, c->n_points);
}

static struct compared *compared_of(struct tracecompare *c, const struct traceql_attribute *a)
{
    struct compared *d;
    void **slot;

    buf_reset(&c->key);
    buf_byte(&c->key, (uint8_t)a->intrinsic);
    buf_byte(&c->key, (uint8_t)a->scope);
    buf_slice_append(&c->key, a->name);
    slot = map_slot(&c->by_name, buf_slice(&c->key));
    if (*slot)
        return *slot;
    d = arena_new_of(c->arena, struct compared);
    d->attribute = *a;
    d->attribute.name = arena_dup(c->arena, a->name);
    vec_push(&c->list, d);
    c->bytes += sizeof(*d) + ENTRY_BYTES + a->name.len;
    *slot = d;
    return d;
}

/* over() says so behind the column. */
static bool is_full(const struct tracecompare *c)
{
    return c->bytes > TRACECOMPARE_MAX_BYTES;
}

/* NULL: there are too many, and it is none of them. */
static struct counted *counted_of(struct tracecompare *c, struct tally *t,
                                  const struct traceql_static *v)
{
    struct counted *n;
    void **slot;

    buf_reset(&c->key);
    tracemetric_put_key(&c->key, v);
    if ((n = map_get(&t->by_value, buf_slice(&c->key))))
        return n;
    if (t->list.len >= TRACECOMPARE_MAX_VALUES || is_full(c)) {
        t->is_over = true;
        return NULL;
    }
    slot = map_slot(&t->by_value, buf_slice(&c->key));
    n = arena_new_of(c->arena, struct counted);
    n->value = traceql_keep(c->arena, *v);
    n->points = new_points(c);
    c->bytes += sizeof(*n) + 2 * c->key.len;
    vec_push(&t->list, n);
    *slot = n;
    return n;
}

static void count(struct looking *l, struct compared *d, uint32_t row,
                  const struct traceql_static *v)
{
    struct tally *t = &d->sides[l->is_selected[row] ? SELECTION : BASELINE];
    struct counted *n = counted_of(l->c, t, v);

    if (!t->totals)
        t->totals = new_points(l->c);
    t->totals[l->points[row]]++;
    if (n) {
        n->points[l->points[row]]++;
        n->total++;
    }
}

static struct err *over(const struct tracecompare *c)
{
    if (!is_full(c))
        return NULL;
    return err_new(ERR_LIMIT,
                   "compare() takes more than %u MiB to count the values of all attributes: ask "
                   "for one point (/api/metrics/query), for a larger step, or for fewer spans",
                   TRACECOMPARE_MAX_BYTES >> 20);
}

static bool is_counted(const struct looking *l, uint32_t row)
{
    return l->points[row] != TRACECOMPARE_NO_POINT;
}

/* The value of a cell; of an array that of its first. */
static struct traceql_static cell_value(const struct tracecols *c, const struct tracecol *col,
                                        uint32_t i)
{
    const struct tracearray *array;

    if (col->types[i] != TRACECELL_ARRAY)
        return tracefield_cell(c, col->types[i], col->values[i]);
    array = &c->arrays[col->values[i]];
    return array->n ? tracefield_cell(c, array->types[0], array->values[0])
                    : (struct traceql_static){.type = TRACEQL_NIL};
}

static struct err *count_of_spans(struct looking *l, const struct traceql_attribute *a,
                                  const struct tracecol *col)
{
    struct compared *d = NULL;

    for (uint32_t i = 0; i < col->n; i++) {
        struct traceql_static v;

        if (!is_counted(l, col->rows[i]))
            continue;
        v = cell_value(l->cols, col, i);
        if (v.type == TRACEQL_NIL)
            continue;
        d = d ? d : compared_of(l->c, a);
        count(l, d, col->rows[i], &v);
    }
    return over(l->c);
}

/* Of a table that spans share the rows of: row_of says which one a span has. */
static struct err *count_of_rows(struct looking *l, const struct traceql_attribute *a,
                                 const struct tracecol *col, const uint32_t *row_of,
                                 uint32_t n_rows)
{
    uint32_t *cells = mem_new_array(uint32_t, n_rows + 1); /* number + 1 */
    struct compared *d = NULL;

    for (uint32_t i = 0; i < col->n; i++)
        cells[col->rows[i]] = i + 1;
    for (uint32_t row = 0; row < l->cols->n_spans; row++) {
        uint32_t i = is_counted(l, row) ? cells[row_of[row]] : 0;
        struct traceql_static v;

        if (!i)
            continue;
        v = cell_value(l->cols, col, i - 1);
        if (v.type == TRACEQL_NIL)
            continue;
        d = d ? d : compared_of(l->c, a);
        count(l, d, row, &v);
    }
    mem_free(cells);
    return over(l->c);
}

static struct err *count_table(struct looking *l, enum tracetable table, enum traceql_scope scope)
{
    const struct tracecols *c = l->cols;
    struct err *e = NULL;

    for (size_t i = 0; i < c->n_cols[table] && !e; i++) {
        const struct tracecol *col = &c->cols[table][i];
        struct traceql_attribute a = {.scope = scope, .name = col->key};

        if (table == TRACE_SPANS)
            e = count_of_spans(l, &a, col);
        else
            e = count_of_rows(l, &a, col, table == TRACE_RESOURCES ? c->resource : c->library,
                              c->n_rows[table]);
    }
    return e;
}

/* What every span has, as a text or number; empty names of instrumentations are none. */
static const enum traceql_intrinsic intrinsics[] = {
    TRACEQL_NAME,      TRACEQL_SPAN_STATUS,  TRACEQL_STATUS_MESSAGE, TRACEQL_KIND,
    TRACEQL_ROOT_NAME, TRACEQL_ROOT_SERVICE, TRACEQL_LIBRARY_NAME,   TRACEQL_LIBRARY_VERSION};

static struct err *count_intrinsic(struct looking *l, struct tracefield *fields,
                                   enum traceql_intrinsic intrinsic)
{
    bool may_lack = intrinsic == TRACEQL_LIBRARY_NAME || intrinsic == TRACEQL_LIBRARY_VERSION;
    struct traceql_attribute a = {.intrinsic = intrinsic};
    struct compared *d = NULL;

    for (uint32_t row = 0; row < l->cols->n_spans; row++) {
        struct traceql_static v;

        if (!is_counted(l, row))
            continue;
        v = tracefield_attribute(fields, &a, row);
        if (v.type == TRACEQL_NIL || (may_lack && !v.v.s.len))
            continue;
        d = d ? d : compared_of(l->c, &a);
        count(l, d, row, &v);
    }
    return over(l->c);
}

struct err *tracecompare_add(struct tracecompare *c, const struct tracecols *cols,
                             const uint32_t *points, const uint8_t *is_selected)
{
    struct looking l = {c, cols, points, is_selected};
    struct tracefield *fields = tracefield_new(cols);
    struct err *e = NULL;

    for (size_t i = 0; i < ORR_COUNT(intrinsics) && !e; i++)
        e = count_intrinsic(&l, fields, intrinsics[i]);
    tracefield_free(fields);
    if (!e)
        e = count_table(&l, TRACE_RESOURCES, TRACEQL_SCOPE_RESOURCE);
    if (!e)
        e = count_table(&l, TRACE_LIBRARIES, TRACEQL_SCOPE_INSTRUMENTATION);
    return e ? e : count_table(&l, TRACE_SPANS, TRACEQL_SCOPE_SPAN);
}

/* ---- the answer ---- */

struct ending {
    struct arena *a;
    size_t n_points, top_n;
    struct tracemetric_set out;
};

static struct traceql_static text(const char *s)
{
    return (struct traceql_static){TRACEQL_STRING, {.s = slice_cstr(s)}};
}

static void add_series(struct ending *e, const char *meta, const char *meta_value,
                       struct slice name, struct traceql_static value, const double *points)
{
    struct tracemetric_label *labels = arena_array(e->a, struct tracemetric_label, 2);
    struct tracemetric_series *s;

    labels[0] = (struct tracemetric_label){slice_cstr(meta), text(meta_value)};
    labels[1] = (struct tracemetric_label){name, traceql_keep(e->a, value)};
    e->out.ptr = arena_more(e->a, e->out.ptr, e->out.n);
    s = &e->out.ptr[e->out.n++];
    *s = (struct tracemetric_series){.n_labels = 2, .labels = labels, .is_note = !points};
    s->values = arena_array(e->a, double, e->n_points);
    for (size_t i = 0; i < e->n_points; i++)
        s->values[i] = points ? points[i] : NAN;
}

static int most_first(const void *a, const void *b)
{
    const struct counted *l = *(struct counted *const *)a, *r = *(struct counted *const *)b;

    if (l->total != r->total)
        return l->total > r->total ? -1 : 1;
    return traceql_cmp(&l->value, &r->value);
}

static void add_side(struct ending *e, const char *meta, struct slice name, struct tally *t)
{
    if (t->list.len > 1)
        qsort(t->list.ptr, t->list.len, sizeof(*t->list.ptr), most_first);
    for (size_t i = 0; i < t->list.len && i < e->top_n; i++)
        add_series(e, "__meta_type", meta, name, t->list.ptr[i]->value, t->list.ptr[i]->points);
    t->is_over = t->is_over || t->list.len > e->top_n;
}

static void add_compared(struct ending *e, struct compared *d)
{
    struct tally *base = &d->sides[BASELINE], *selection = &d->sides[SELECTION];
    struct buf printed = {0};
    struct slice name;

    traceql_print_attribute(&printed, &d->attribute);
    name = arena_dup(e->a, buf_slice(&printed));
    buf_done(&printed);
    add_side(e, "baseline", name, base);
    add_side(e, "selection", name, selection);
    if (base->totals)
        add_series(e, "__meta_type", "baseline_total", name, text("nil"), base->totals);
    if (selection->totals)
        add_series(e, "__meta_type", "selection_total", name, text("nil"), selection->totals);
    if (base->is_over || selection->is_over)
        add_series(e, "__meta_error", "__too_many_values__", name, text("nil"), NULL);
}

static int by_attribute(const void *a, const void *b)
{
    const struct traceql_attribute *l = &(*(struct compared *const *)a)->attribute;
    const struct traceql_attribute *r = &(*(struct compared *const *)b)->attribute;

    if (l->intrinsic != r->intrinsic)
        return l->intrinsic < r->intrinsic ? -1 : 1;
    if (l->scope != r->scope)
        return l->scope < r->scope ? -1 : 1;
    return slice_cmp(l->name, r->name);
}

struct tracemetric_set tracecompare_end(struct tracecompare *c, struct arena *a, int64_t top_n)
{
    struct ending e = {.a = a, .n_points = c->n_points, .top_n = (size_t)top_n};

    e.out.n_points = c->n_points;
    if (c->list.len > 1)
        qsort(c->list.ptr, c->list.len, sizeof(*c->list.ptr), by_attribute);
    VEC_FOREACH (it, &c->list)
        add_compared(&e, *it);
    return e.out;
}
