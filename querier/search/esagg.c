/* Counting. */
#include "querier/search/esagg.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "querier/search/esagg_internal.h"
#include "querier/search/esmatch.h"

#define INDEX_BYTES 64 /* of memory, for a key in a map */

/* ---- states ---- */

static struct esagg_state *states_new(struct esagg_run *r, const struct esagg_specs *specs)
{
    struct esagg_state *s = arena_array(r->arena, struct esagg_state, specs->n + 1);

    for (size_t i = 0; i < specs->n; i++) {
        s[i] = (struct esagg_state){
            .spec = &specs->ptr[i], .run = r, .next = r->all, .min = INFINITY, .max = -INFINITY};
        r->all = &s[i];
    }
    return s;
}

static struct esagg_bucket *bucket_of(struct esagg_state *s, struct slice key)
{
    struct esagg_run *r = s->run;
    void **slot = map_slot(&s->index, key);
    struct esagg_bucket *b = *slot;

    if (b)
        return b;
    arena_charge(r->arena, (int64_t)(INDEX_BYTES + key.len));
    b = arena_new_of(r->arena, struct esagg_bucket);
    b->children = states_new(r, &s->spec->children);
    *slot = b;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;

        s->buckets = arena_grow(r->arena, s->buckets, s->cap * sizeof(struct esagg_bucket *),
                                cap * sizeof(struct esagg_bucket *));
        s->cap = cap;
    }
    return s->buckets[s->n++] = b;
}

struct esagg_bucket *esagg_bucket_at(struct esagg_state *s, double key)
{
    struct esagg_bucket *b = bucket_of(s, slice_of(&key, sizeof(key)));

    b->number = key;
    return b;
}

struct esagg_run *esagg_run_new(struct arena *a, const struct esagg_specs *specs)
{
    struct esagg_run *r = arena_new_of(a, struct esagg_run);

    r->arena = a;
    r->specs = specs;
    r->top = states_new(r, specs);
    return r;
}

void esagg_run_free(struct esagg_run *r)
{
    for (struct esagg_state *s = r ? r->all : NULL; s; s = s->next)
        map_done(&s->index);
}

/* ---- keys ---- */

static int64_t offset_of(const struct gozone *zone, int64_t ns)
{
    return zone ? gozone_at(zone, ns / NS_PER_S).offset_s * NS_PER_S : 0;
}

double esagg_date_key(const struct esagg_spec *s, int64_t ns)
{
    int64_t shift, local;

    if (s->unit)
        return (double)esdate_floor_ms(esdate_floor(ns - s->offset_ns, s->unit, s->zone) +
                                       s->offset_ns);
    shift = offset_of(s->zone, ns) - s->offset_ns;
    local = ns + shift;
    local -= ((local % s->interval_ns) + s->interval_ns) % s->interval_ns;
    return (double)esdate_floor_ms(local - shift);
}

double esagg_number_key(const struct esagg_spec *s, double v)
{
    return floor((v - s->offset) / s->interval) * s->interval + s->offset;
}

double esagg_next_key(const struct esagg_spec *s, double key)
{
    int64_t ns = (int64_t)key * ESDATE_MS, step = s->interval_ns;
    double next;

    if (s->kind == ESAGG_HISTOGRAM)
        return esagg_number_key(s, key + s->interval * 1.5);
    if (s->unit)
        return (double)esdate_floor_ms(esdate_next(ns - s->offset_ns, s->unit, s->zone) +
                                       s->offset_ns);
    /* Where clocks are put back the next one may begin late. */
    while ((next = esagg_date_key(s, ns + step)) <= key)
        step += s->interval_ns;
    return next;
}

/* ---- documents ---- */

struct adding {
    struct esagg_state *s;
    struct esdoc *doc;
    bool is_found;
};

static void add_all(struct esagg_state *states, size_t n, struct esdoc *d);

static void count_in(struct adding *x, struct esagg_bucket *b)
{
    struct esagg_run *r = x->s->run;

    if (b->last_doc == r->doc)
        return;
    b->last_doc = r->doc;
    b->docs++;
    add_all(b->children, x->s->spec->children.n, x->doc);
}

static void add_number(struct esagg_state *s, double v)
{
    s->count++;
    s->sum += (long double)v;
    s->min = fmin(s->min, v);
    s->max = fmax(s->max, v);
}

static bool number_of(const struct esvalue *v, double *ret)
{
    long double number = v->number;

    if (v->kind == ESVALUE_BOOL)
        number = slice_eq_cstr(v->text, "true");
    else if (v->kind == ESVALUE_TEXT && !esliteral_number(v->text, &number))
        return false;
    *ret = (double)number;
    return true;
}

static void add_term(struct adding *x, const struct esvalue *v)
{
    uint8_t small[256];
    size_t n = v->text.len;
    uint8_t *key = n < sizeof(small) ? small : mem_alloc(n + 1);
    struct esagg_bucket *b;

    key[0] = (uint8_t)v->kind;
    memcpy(key + 1, v->text.ptr, n);
    b = bucket_of(x->s, slice_of(key, n + 1));
    if (!b->docs) {
        b->kind = v->kind;
        b->key = arena_dup(x->s->run->arena, v->text);
        b->number = (double)v->number;
    }
    if (key != small)
        mem_free(key);
    count_in(x, b);
}

static void add_date(struct adding *x, const struct esvalue *v)
{
    int64_t ns = x->doc->ts_ns;

    if (slice_eq_cstr(x->s->spec->field, ESQUERY_TIME) || esdate_of_value(v->text, &ns))
        count_in(x, esagg_bucket_at(x->s, esagg_date_key(x->s->spec, ns)));
}

static bool on_value(void *arg, const struct esvalue *v)
{
    struct adding *x = arg;
    struct esagg_state *s = x->s;
    double number;

    x->is_found = true;
    switch (s->spec->kind) {
    case ESAGG_TERMS:
        add_term(x, v);
        break;
    case ESAGG_DATE_HISTOGRAM:
        add_date(x, v);
        break;
    case ESAGG_HISTOGRAM:
        if (number_of(v, &number) && fabs(number) < 1e300)
            count_in(x, esagg_bucket_at(s, esagg_number_key(s->spec, number)));
        break;
    case ESAGG_MISSING:
        return true;
    case ESAGG_VALUE_COUNT:
        s->count++;
        break;
    case ESAGG_CARDINALITY:
        distinct_add(&s->distinct, s->run->arena, v->text);
        break;
    default:
        if (number_of(v, &number))
            add_number(s, number);
        break;
    }
    return false;
}

static void add_filtered(struct adding *x)
{
    const struct esagg_spec *spec = x->s->spec;
    bool is_other = true;

    for (size_t i = 0; i < spec->n_filters; i++)
        if (esmatch_keeps(spec->filters[i], x->doc)) {
            is_other = false;
            count_in(x, esagg_bucket_at(x->s, (double)i));
        }
    if (is_other && spec->other_name.ptr)
        count_in(x, esagg_bucket_at(x->s, (double)spec->n_filters));
}

static void add_one(struct esagg_state *s, struct esdoc *d)
{
    struct adding x = {s, d, false};

    if (s->spec->kind == ESAGG_FILTER || s->spec->kind == ESAGG_FILTERS) {
        add_filtered(&x);
        return;
    }
    (void)esdoc_each(d, s->spec->field, on_value, &x);
    if (!x.is_found && s->spec->kind == ESAGG_MISSING) {
        count_in(&x, esagg_bucket_at(s, 0));
    } else if (!x.is_found && s->spec->missing.ptr) {
        struct esvalue v = {.kind = ESVALUE_TEXT, .text = s->spec->missing};

        (void)on_value(&x, &v);
    }
}

static void add_all(struct esagg_state *states, size_t n, struct esdoc *d)
{
    for (size_t i = 0; i < n; i++)
        add_one(&states[i], d);
}

void esagg_run_add(struct esagg_run *r, struct esdoc *d)
{
    r->doc++;
    add_all(r->top, r->specs->n, d);
}
