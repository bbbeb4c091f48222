#include "common/logs/linelabels.h"

#include <stdlib.h>

#include "common/base/mem.h"

/* Tables are on the heap: they grow, and are given back with l. */
static void charge(struct linelabels *l, size_t bytes)
{
    arena_charge(l->budget, (int64_t)bytes);
    l->charged += bytes;
}

static uint64_t order_of(struct slice name)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8; i++)
        v = v << 8 | (i < name.len ? name.ptr[i] : 0);
    return v;
}

bool linelabels_is_error(struct slice name)
{
    return slice_eq_cstr(name, LINELABELS_ERROR) || slice_eq_cstr(name, LINELABELS_DETAILS);
}

static uint32_t add_name(struct linelabels *l, struct slice name, uint64_t hash)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 64;

        charge(l, (cap - l->cap) * (sizeof(*l->names) + sizeof(*l->touched)));
        l->cap = cap;
        l->names = mem_reallocarray(l->names, l->cap, sizeof(*l->names));
        l->touched = mem_reallocarray(l->touched, l->cap, sizeof(*l->touched));
    }
    l->names[l->n] = (struct linelabels_name){.name = arena_dup(l->texts, name),
                                              .hash = hash,
                                              .order = order_of(name),
                                              .is_error = linelabels_is_error(name)};
    return l->n++;
}

static void place(struct linelabels *l, uint32_t id)
{
    uint32_t at = (uint32_t)l->names[id].hash & (l->n_slots - 1);

    while (l->slots[at])
        at = (at + 1) & (l->n_slots - 1);
    l->slots[at] = id + 1;
}

static void grow_slots(struct linelabels *l)
{
    charge(l, (l->n_slots ? l->n_slots : 128) * sizeof(*l->slots));
    l->n_slots = l->n_slots ? l->n_slots * 2 : 128;
    mem_free(l->slots);
    l->slots = mem_new_array(uint32_t, l->n_slots);
    for (uint32_t i = 0; i < l->n; i++)
        place(l, i);
}

/* The first and the last eight bytes: with the length, all there is of a name of up to sixteen. */
struct ends {
    uint64_t head, tail;
};

static struct ends ends_of(struct slice name)
{
    struct ends e = {0, 0};

    if (name.len >= 8) {
        memcpy(&e.head, name.ptr, 8);
        memcpy(&e.tail, name.ptr + name.len - 8, 8);
    } else if (name.len >= 4) {
        uint32_t head, tail;

        memcpy(&head, name.ptr, 4);
        memcpy(&tail, name.ptr + name.len - 4, 4);
        e.head = head;
        e.tail = tail;
    } else if (name.len) {
        e.head = (uint64_t)name.ptr[0] | (uint64_t)name.ptr[name.len / 2] << 8 |
                 (uint64_t)name.ptr[name.len - 1] << 16;
    }
    return e;
}

static uint64_t hash_of(struct slice name, struct ends e)
{
    uint64_t h;

    if (name.len > 16)
        return hash_xxh64(name, 0);
    h = (e.head ^ (e.tail * 0x9e3779b97f4a7c15ull) ^ name.len) * 0xff51afd7ed558ccdull;
    return h ^ h >> 32;
}

static bool is_name(const struct linelabels_name *n, struct slice name, struct ends e)
{
    return n->name.len == name.len && n->head == e.head && n->tail == e.tail &&
           (name.len <= 16 || memcmp(n->name.ptr, name.ptr, name.len) == 0);
}

uint32_t linelabels_id(struct linelabels *l, struct slice name)
{
    struct ends e = ends_of(name);
    uint64_t hash = hash_of(name, e);
    uint32_t at = (uint32_t)hash & (l->n_slots - 1), id;

    for (; l->slots[at]; at = (at + 1) & (l->n_slots - 1))
        if (is_name(&l->names[l->slots[at] - 1], name, e))
            return l->slots[at] - 1;
    id = add_name(l, name, hash);
    l->names[id].head = e.head;
    l->names[id].tail = e.tail;
    if (l->n * 2 > l->n_slots)
        grow_slots(l);
    else
        place(l, id);
    return id;
}

void linelabels_init(struct linelabels *l, struct arena *budget, const struct slice *fixed,
                     uint32_t n_fixed)
{
    *l = (struct linelabels){.line = 1,
                             .stream = 1,
                             .budget = budget,
                             .stream_error = SLICE_EMPTY,
                             .stream_details = SLICE_EMPTY};
    l->texts = arena_child(budget, 0);
    l->kept = arena_child(budget, 0);
    grow_slots(l);
    for (uint32_t i = 0; i < n_fixed; i++)
        (void)linelabels_id(l, fixed[i]);
    ORR_ASSERT(l->n == n_fixed);
    l->n_fixed = n_fixed;
}

void linelabels_done(struct linelabels *l)
{
    mem_free(l->names);
    mem_free(l->touched);
    mem_free(l->slots);
    mem_free(l->base);
    arena_charge(l->budget, -(int64_t)l->charged);
    arena_free(l->kept);
    arena_free(l->texts);
    *l = (struct linelabels){0};
}

void linelabels_stream(struct linelabels *l, struct labels stream)
{
    l->stream++;
    l->stream_labels = stream;
    l->n_base = 0;
    if (stream.n > l->cap_base) {
        charge(l, (stream.n - l->cap_base) * sizeof(*l->base));
        l->cap_base = (uint32_t)stream.n;
        l->base = mem_reallocarray(l->base, l->cap_base, sizeof(*l->base));
    }
    l->stream_error = labels_get(stream, SLICE(LINELABELS_ERROR));
    l->stream_details = labels_get(stream, SLICE(LINELABELS_DETAILS));
    for (size_t i = 0; i < stream.n; i++) {
        uint32_t id = linelabels_id(l, stream.ptr[i].name);

        if (l->names[id].is_error)
            continue;
        l->names[id].base = stream.ptr[i].value;
        l->names[id].stream = l->stream;
        l->base[l->n_base++] = id;
    }
    linelabels_line(l);
}

/* All names but the fixed ones and the stream's. */
static void forget_names(struct linelabels *l)
{
    struct arena *old = l->texts;

    l->texts = arena_child(l->budget, 0);
    for (uint32_t i = 0; i < l->n_fixed; i++)
        l->names[i].name = arena_dup(l->texts, l->names[i].name);
    arena_free(old);
    l->n = l->n_fixed;
    memset(l->slots, 0, l->n_slots * sizeof(*l->slots));
    for (uint32_t i = 0; i < l->n; i++)
        place(l, i);
}

void linelabels_line(struct linelabels *l)
{
    l->line++;
    l->n_touched = 0;
    l->error = l->stream_error;
    l->details = l->stream_details;
    if (arena_used(l->kept))
        arena_reset(l->kept);
    if (l->n > l->n_fixed + l->n_base + LINELABELS_MAX_NAMES) {
        forget_names(l);
        linelabels_stream(l, l->stream_labels);
    }
}

enum linelabels_from linelabels_get(const struct linelabels *l, uint32_t id, struct slice *ret)
{
    const struct linelabels_name *n = &l->names[id];

    *ret = SLICE_EMPTY;
    if (n->line == l->line) {
        if (n->from != LINELABELS_NOWHERE)
            *ret = n->value;
        return n->from;
    }
    if (n->stream != l->stream)
        return LINELABELS_NOWHERE;
    *ret = n->base;
    return LINELABELS_STREAM;
}

static void touch(struct linelabels *l, uint32_t id)
{
    if (l->names[id].line == l->line)
        return;
    l->names[id].line = l->line;
    l->touched[l->n_touched++] = id;
}

void linelabels_set(struct linelabels *l, uint32_t id, enum linelabels_from from,
                    struct slice value)
{
    struct linelabels_name *n = &l->names[id];

    if (n->line == l->line && n->from != LINELABELS_NOWHERE && n->from > from)
        return;
    touch(l, id);
    n->from = from;
    n->value = value;
}

void linelabels_del(struct linelabels *l, uint32_t id)
{
    touch(l, id);
    l->names[id].from = LINELABELS_NOWHERE;
}

uint32_t linelabels_beside(struct linelabels *l, uint32_t id)
{
    struct slice name = l->names[id].name;
    size_t len = name.len + sizeof(LINELABELS_EXTRACTED) - 1;
    uint8_t *text = arena_alloc(l->kept, len);

    memcpy(text, name.ptr, name.len);
    memcpy(text + name.len, LINELABELS_EXTRACTED, sizeof(LINELABELS_EXTRACTED) - 1);
    return linelabels_id(l, slice_of(text, len));
}

uint32_t linelabels_beside_stream(struct linelabels *l, uint32_t id)
{
    return linelabels_is_base(l, id) || l->names[id].is_error ? linelabels_beside(l, id) : id;
}

void linelabels_add_metadata(struct linelabels *l, struct labels metadata)
{
    for (size_t i = 0; i < metadata.n; i++) {
        struct slice name = metadata.ptr[i].name, value = metadata.ptr[i].value;

        if (slice_eq(name, SLICE(LINELABELS_ERROR)))
            l->error = value;
        else if (slice_eq(name, SLICE(LINELABELS_DETAILS)))
            l->details = value;
        else
            linelabels_set(l, linelabels_beside_stream(l, linelabels_id(l, name)),
                           LINELABELS_METADATA, value);
    }
}

void linelabels_fail(struct linelabels *l, struct slice error, struct slice details)
{
    l->error = error;
    l->details = details;
}

struct slice linelabels_keep(struct linelabels *l, struct slice value)
{
    return arena_dup(l->kept, value);
}

/* Names are mostly told apart by their first eight bytes, as one number. */
struct sortable {
    uint64_t order;
    struct label label;
};

static int compare(const void *a, const void *b)
{
    const struct sortable *x = a, *y = b;

    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return slice_cmp(x->label.name, y->label.name);
}

#define FEW 40

static void sort(struct sortable *s, size_t n)
{
    if (n > FEW) {
        qsort(s, n, sizeof(*s), compare);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct sortable x = s[i];
        size_t k = i;

        for (; k > 0 && compare(&s[k - 1], &x) > 0; k--)
            s[k] = s[k - 1];
        s[k] = x;
    }
}

static size_t put(struct sortable *out, struct slice name, struct slice value)
{
    *out = (struct sortable){order_of(name), {name, value}};
    return 1;
}

#define EVERY LINELABELS_NOWHERE

static struct labels collect(const struct linelabels *l, struct arena *a, enum linelabels_from from)
{
    size_t max = l->n_base + l->n_touched + 2, n = 0;
    struct sortable *s = arena_alloc(a, max * sizeof(*s));
    struct label *out;

    for (uint32_t i = 0; i < l->n_base && (from == EVERY || from == LINELABELS_STREAM); i++) {
        const struct linelabels_name *name = &l->names[l->base[i]];

        if (name->line != l->line)
            s[n++] = (struct sortable){name->order, {name->name, name->base}};
    }
    for (uint32_t i = 0; i < l->n_touched; i++) {
        const struct linelabels_name *name = &l->names[l->touched[i]];

        if (name->from != LINELABELS_NOWHERE && (from == EVERY || name->from == from))
            s[n++] = (struct sortable){name->order, {name->name, name->value}};
    }
    if (from == EVERY || from == LINELABELS_PARSED) {
        if (l->error.len)
            n += put(s + n, SLICE(LINELABELS_ERROR), l->error);
        if (l->details.len)
            n += put(s + n, SLICE(LINELABELS_DETAILS), l->details);
    }
    sort(s, n);
    out = arena_alloc(a, n * sizeof(*out));
    for (size_t i = 0; i < n; i++)
        out[i] = s[i].label;
    return (struct labels){out, n};
}

struct labels linelabels_all(const struct linelabels *l, struct arena *a)
{
    return collect(l, a, EVERY);
}

struct labels linelabels_of(const struct linelabels *l, struct arena *a, enum linelabels_from from)
{
    return collect(l, a, from);
}

bool linelabels_is_plain(const struct linelabels *l)
{
    return l->n_touched == 0 && !l->error.len && !l->details.len;
}
