/* The order of hits. */
#include "querier/search/esbody.h"

static int cmp_values(const struct essort_value *a, const struct essort_value *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == ESSORT_TEXT)
        return slice_cmp(a->text, b->text);
    return (a->number > b->number) - (a->number < b->number);
}

int essort_cmp(const struct essort_key *k, const struct essort_value *a,
               const struct essort_value *b)
{
    bool a_lacks = a->kind == ESSORT_MISSING, b_lacks = b->kind == ESSORT_MISSING;
    int c;

    if (a_lacks || b_lacks)
        return a_lacks == b_lacks ? 0 : a_lacks == k->missing_first ? -1 : 1;
    c = cmp_values(a, b);
    return k->is_ascending ? c : -c;
}

struct picking {
    const struct essort_key *key;
    struct essort_value *best;
    struct arena *arena;
};

static bool pick(void *arg, const struct esvalue *v)
{
    struct picking *p = arg;
    struct essort_value x = {.kind = ESSORT_NUMBER, .number = v->number};

    if (v->kind == ESVALUE_BOOL)
        x.number = slice_eq_cstr(v->text, "true");
    if (v->kind == ESVALUE_TEXT) {
        x.kind = ESSORT_TEXT;
        x.text = v->text;
    }
    if (p->best->kind != ESSORT_MISSING && essort_cmp(p->key, &x, p->best) >= 0)
        return false;
    if (x.kind == ESSORT_TEXT)
        x.text = arena_dup(p->arena, x.text);
    *p->best = x;
    return false;
}

/* Of several the one that comes first in the key's direction. */
void essort_value_of(const struct essort_key *k, struct esdoc *d, struct arena *a,
                     struct essort_value *ret)
{
    struct picking p = {k, ret, a};

    *ret = (struct essort_value){.kind = ESSORT_NUMBER};
    switch (k->by) {
    case ESSORT_TIME:
        ret->number = (long double)esdate_floor_ms(d->ts_ns);
        break;
    case ESSORT_ORDER:
        ret->number = (long double)esdoc_order(d);
        break;
    case ESSORT_SCORE:
        ret->number = 1;
        break;
    case ESSORT_FIELD:
        ret->kind = ESSORT_MISSING;
        (void)esdoc_each(d, k->field, pick, &p);
        break;
    }
}
