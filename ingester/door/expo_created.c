#include "ingester/door/expo_created.h"

#include <math.h>

#define SUFFIX "_created"
#define FIRST_SLOTS 64

static bool has_start(const struct textformat *t)
{
    return t->type == METRIC_COUNTER_TYPE || t->type == METRIC_HISTOGRAM ||
           t->type == METRIC_SUMMARY;
}

bool expo_created_is(const struct textformat *t)
{
    struct slice name = t->labels.ptr[0].value;

    return has_start(t) && name.len > strlen(SUFFIX) && slice_has_suffix(name, SLICE(SUFFIX));
}

static struct slice family_of(struct slice name)
{
    static const char *const suffixes[] = {SUFFIX, "_total", "_bucket", "_count", "_sum"};

    for (size_t i = 0; i < ORR_COUNT(suffixes); i++) {
        struct slice suffix = slice_cstr(suffixes[i]);

        if (name.len > suffix.len && slice_has_suffix(name, suffix))
            return slice_sub(name, 0, name.len - suffix.len);
    }
    return name;
}

/* Of the family and the labels that its series share. */
static struct hash128 key_of(struct expo_created *c, const struct textformat *t)
{
    size_t n = 0;
    struct hash128 h;

    if (t->labels.n > c->cap) {
        c->cap = 2 * t->labels.n;
        c->sorted = arena_array(c->arena, struct label, c->cap);
    }
    for (size_t i = 0; i < t->labels.n; i++) {
        struct label l = t->labels.ptr[i];
        size_t k;

        if (slice_eq_cstr(l.name, "le") || slice_eq_cstr(l.name, "quantile"))
            continue;
        if (i == 0)
            l.value = family_of(l.value);
        for (k = n++; k > 0 && slice_cmp(c->sorted[k - 1].name, l.name) > 0; k--)
            c->sorted[k] = c->sorted[k - 1];
        c->sorted[k] = l;
    }
    buf_reset(&c->key);
    labels_canonical(&c->key, (struct labels){c->sorted, n});
    h = hash_xxh128(buf_slice(&c->key), LABELS_SEED);
    h.lo |= h.lo == 0 && h.hi == 0;
    return h;
}

static struct expo_created_entry *slot_of(struct expo_created_entry *slots, size_t mask,
                                          struct hash128 of)
{
    size_t i = of.lo & mask;

    while ((slots[i].of.lo | slots[i].of.hi) && !hash128_eq(slots[i].of, of))
        i = (i + 1) & mask;
    return &slots[i];
}

static void add(struct expo_created *c, struct hash128 of, int64_t t_ms)
{
    if (!c->slots || 2 * c->n > c->mask) {
        size_t n = c->slots ? 2 * (c->mask + 1) : FIRST_SLOTS;
        struct expo_created_entry *larger = arena_array(c->arena, struct expo_created_entry, n);

        for (size_t i = 0; c->slots && i <= c->mask; i++)
            if (c->slots[i].of.lo | c->slots[i].of.hi)
                *slot_of(larger, n - 1, c->slots[i].of) = c->slots[i];
        c->slots = larger;
        c->mask = n - 1;
    }
    *slot_of(c->slots, c->mask, of) = (struct expo_created_entry){of, t_ms};
    c->n++;
}

void expo_created_init(struct expo_created *c, struct arena *a, struct slice openmetrics)
{
    struct textformat t;
    enum textformat_entry entry;

    *c = (struct expo_created){.arena = a};
    textformat_init(&t, a, TEXTFORMAT_OPENMETRICS, openmetrics);
    while ((entry = textformat_next(&t)) > TEXTFORMAT_END)
        if (entry == TEXTFORMAT_SERIES && expo_created_is(&t) && fabs(t.value) < 1e15)
            add(c, key_of(c, &t), (int64_t)(t.value * 1000));
}

void expo_created_done(struct expo_created *c)
{
    buf_done(&c->key);
}

int64_t expo_created_of(struct expo_created *c, const struct textformat *t)
{
    return c->n && has_start(t) ? slot_of(c->slots, c->mask, key_of(c, t))->t_ms : 0;
}
