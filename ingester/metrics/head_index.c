#include "ingester/metrics/head_index.h"

#include "ingester/metrics/batch.h"

/* ---- slots ---- */

static void slots_put(uint64_t *ptr, uint32_t mask, uint64_t slot)
{
    uint32_t i = (uint32_t)(slot >> 32) & mask;

    while (ptr[i])
        i = (i + 1) & mask;
    ptr[i] = slot;
}

static void slots_resize(struct head_slots *t, uint32_t cap)
{
    uint64_t *ptr = mem_new_array(uint64_t, cap);

    for (uint32_t i = 0; i < t->cap; i++)
        if (t->ptr[i])
            slots_put(ptr, cap - 1, t->ptr[i]);
    mem_free(t->ptr);
    t->ptr = ptr;
    t->cap = cap;
}

void head_slots_reserve(struct head_slots *t, uint32_t n)
{
    uint32_t cap = t->cap ? t->cap : 16;

    while ((uint64_t)n * 8 > (uint64_t)cap * 7)
        cap *= 2;
    if (cap != t->cap)
        slots_resize(t, cap);
}

void head_slots_add(struct head_slots *t, uint32_t tag, uint32_t id)
{
    head_slots_reserve(t, t->len + 1);
    slots_put(t->ptr, t->cap - 1, (uint64_t)tag << 32 | (id + 1));
    t->len++;
}

void head_slots_del(struct head_slots *t, uint32_t tag, uint32_t id)
{
    uint64_t want = (uint64_t)tag << 32 | (id + 1);
    uint32_t mask = t->cap - 1, i = tag & mask, j;

    if (!t->cap)
        return;
    while (t->ptr[i] && t->ptr[i] != want)
        i = (i + 1) & mask;
    if (!t->ptr[i])
        return;
    t->len--;
    /* close the gap, so that no lookup stops early */
    for (j = (i + 1) & mask; t->ptr[j]; j = (j + 1) & mask) {
        uint32_t home = (uint32_t)(t->ptr[j] >> 32) & mask;

        if (((j - home) & mask) >= ((j - i) & mask)) {
            t->ptr[i] = t->ptr[j];
            i = j;
        }
    }
    t->ptr[i] = 0;
}

void head_slots_done(struct head_slots *t)
{
    mem_free(t->ptr);
    *t = (struct head_slots){0};
}

/* ---- postings ---- */

static uint32_t array_cap(uint32_t n)
{
    return n <= 4 ? 4 : 1u << (32 - __builtin_clz(n - 1));
}

static void posting_free(struct head_pair *p)
{
    if (p->n > HEAD_POSTING_ARRAY)
        roaring_bitmap_free(p->refs.bitmap);
    else if (p->n > 2)
        mem_free(p->refs.array);
    p->n = 0;
}

static void insert_sorted(uint32_t *a, uint32_t n, uint32_t ref)
{
    uint32_t i = n;

    for (; i > 0 && a[i - 1] > ref; i--)
        a[i] = a[i - 1];
    a[i] = ref;
}

static void posting_add(struct head_pair *p, uint32_t ref)
{
    if (p->n > HEAD_POSTING_ARRAY) {
        roaring_bitmap_add(p->refs.bitmap, ref);
    } else if (p->n == HEAD_POSTING_ARRAY) {
        roaring_bitmap_t *b = roaring_bitmap_of_ptr(p->n, p->refs.array);

        roaring_bitmap_add(b, ref);
        mem_free(p->refs.array);
        p->refs.bitmap = b;
    } else if (p->n < 2) {
        insert_sorted(p->refs.in, p->n, ref);
    } else {
        if (p->n == 2) {
            uint32_t *a = mem_new_array(uint32_t, array_cap(3));

            memcpy(a, p->refs.in, 8);
            p->refs.array = a;
        } else if (array_cap(p->n + 1) != array_cap(p->n)) {
            p->refs.array = mem_reallocarray(p->refs.array, array_cap(p->n + 1), sizeof(uint32_t));
        }
        insert_sorted(p->refs.array, p->n, ref);
    }
    p->n++;
}

static const uint32_t *posting_array(const struct head_pair *p)
{
    return p->n > 2 ? p->refs.array : p->refs.in;
}

/* Sets the posting to a sorted list of refs. */
static void posting_set(struct head_pair *p, const uint32_t *refs, uint32_t n)
{
    p->n = n;
    if (n > HEAD_POSTING_ARRAY) {
        p->refs.bitmap = roaring_bitmap_of_ptr(n, refs);
    } else if (n > 2) {
        p->refs.array = mem_new_array(uint32_t, array_cap(n));
        memcpy(p->refs.array, refs, n * sizeof(uint32_t));
    } else {
        memcpy(p->refs.in, refs, n * sizeof(uint32_t));
    }
}

static void posting_remove(struct head_pair *p, const roaring_bitmap_t *dead)
{
    uint32_t small[HEAD_POSTING_ARRAY], n = 0;
    uint64_t left;

    if (p->n > HEAD_POSTING_ARRAY) {
        roaring_bitmap_t *b = p->refs.bitmap;

        roaring_bitmap_andnot_inplace(b, dead);
        left = roaring_bitmap_get_cardinality(b);
        if (left > HEAD_POSTING_ARRAY) {
            p->n = (uint32_t)left;
            return;
        }
        roaring_bitmap_to_uint32_array(b, small);
        roaring_bitmap_free(b);
        posting_set(p, small, (uint32_t)left);
        return;
    }
    for (uint32_t i = 0; i < p->n; i++)
        if (!roaring_bitmap_contains(dead, posting_array(p)[i]))
            small[n++] = posting_array(p)[i];
    if (p->n > 2)
        mem_free(p->refs.array);
    posting_set(p, small, n);
}

void head_posting_or(const struct head_pair *p, roaring_bitmap_t *into)
{
    if (p->n > HEAD_POSTING_ARRAY)
        roaring_bitmap_or_inplace(into, p->refs.bitmap);
    else
        roaring_bitmap_add_many(into, p->n, posting_array(p));
}

bool head_posting_intersects(const struct head_pair *p, const roaring_bitmap_t *with)
{
    if (p->n > HEAD_POSTING_ARRAY)
        return roaring_bitmap_intersect(p->refs.bitmap, with);
    for (uint32_t i = 0; i < p->n; i++)
        if (roaring_bitmap_contains(with, posting_array(p)[i]))
            return true;
    return false;
}

uint64_t head_posting_count(const struct head_pair *p, const roaring_bitmap_t *with)
{
    uint64_t n = 0;

    if (p->n > HEAD_POSTING_ARRAY)
        return roaring_bitmap_and_cardinality(p->refs.bitmap, with);
    for (uint32_t i = 0; i < p->n; i++)
        n += roaring_bitmap_contains(with, posting_array(p)[i]);
    return n;
}

/* ---- names and pairs ---- */

int64_t head_index_name(const struct head_index *x, struct slice name)
{
    return (int64_t)(uintptr_t)map_get(&x->name_ids, name) - 1;
}

struct slice head_index_widest(const struct head_index *x, uint64_t *ret_values)
{
    struct slice ret = SLICE_EMPTY;

    *ret_values = 0;
    VEC_FOREACH (n, &x->names)
        if ((*n)->pairs.len > *ret_values) {
            *ret_values = (*n)->pairs.len;
            ret = (*n)->text;
        }
    return ret;
}

static uint32_t pair_tag(uint32_t name, struct slice value)
{
    return (uint32_t)(hash_xxh64(value, name) >> 32);
}

int64_t head_index_pair(const struct head_index *x, uint32_t name, struct slice value)
{
    uint32_t tag = pair_tag(name, value), id;

    for (uint32_t at = tag; head_slots_next(&x->pair_table, tag, &at, &id);) {
        const struct head_pair *p = head_pair_at(x, id);

        if (p->name == name && slice_eq(head_value_text(p->value), value))
            return id;
    }
    return -1;
}

void head_index_load_name(struct head_index *x, struct slice name)
{
    struct head_name *n = mem_new(struct head_name);

    n->text = slice_of(mem_dup(name.ptr, name.len ? name.len : 1), name.len);
    n->id = (uint32_t)x->names.len;
    vec_push(&x->names, n);
    map_put(&x->name_ids, name, (void *)(uintptr_t)(n->id + 1));
}

static uint32_t name_intern(struct head_index *x, struct slice name)
{
    int64_t id = head_index_name(x, name);

    if (id >= 0)
        return (uint32_t)id;
    head_index_load_name(x, name);
    return (uint32_t)x->names.len - 1;
}

static uint8_t *value_dup(struct slice value)
{
    uint8_t head[10], *p;
    size_t n = 0;
    uint64_t v = value.len;

    for (; v >= 0x80; v >>= 7)
        head[n++] = (uint8_t)(v | 0x80);
    head[n++] = (uint8_t)v;
    p = mem_alloc(n + value.len);
    memcpy(p, head, n);
    memcpy(p + n, value.ptr, value.len);
    return p;
}

static void reserve_pairs(struct head_index *x, uint32_t n)
{
    while ((uint64_t)x->slabs.len * HEAD_PAIR_SLAB < n)
        vec_push(&x->slabs, mem_new_array(struct head_pair, HEAD_PAIR_SLAB));
}

static void pair_init(struct head_index *x, uint32_t id, uint32_t name, struct slice value)
{
    *head_pair_at(x, id) = (struct head_pair){.value = value_dup(value), .name = name};
    head_slots_add(&x->pair_table, pair_tag(name, value), id);
    vec_push(&x->names.ptr[name]->pairs, id);
    x->live_pairs++;
}

static uint32_t pair_intern(struct head_index *x, uint32_t name, struct slice value)
{
    int64_t found = head_index_pair(x, name, value);
    uint32_t id;

    if (found >= 0)
        return (uint32_t)found;
    if (!x->free_pairs.len && x->limbo.len)
        head_index_reap(x);
    if (x->free_pairs.len) {
        id = vec_pop(&x->free_pairs);
    } else {
        id = x->n_pairs++;
        reserve_pairs(x, x->n_pairs);
    }
    pair_init(x, id, name, value);
    return id;
}

bool head_index_load_pair(struct head_index *x, uint32_t id, uint32_t name, struct slice value)
{
    if (name >= x->names.len || id > (1u << 30) || value.len > UINT32_MAX / 2)
        return false;
    if (id >= x->n_pairs) {
        x->n_pairs = id + 1;
        reserve_pairs(x, x->n_pairs);
    }
    if (head_pair_at(x, id)->value)
        return false;
    pair_init(x, id, name, value);
    return true;
}

void head_index_finish_load(struct head_index *x)
{
    for (uint32_t id = x->n_pairs; id-- > 0;)
        if (!head_pair_at(x, id)->value)
            vec_push(&x->free_pairs, id);
}

/* ---- packed labels ---- */

static size_t put_uvarint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

static inline uint64_t get_uvarint(const uint8_t **p)
{
    uint64_t v = 0;
    unsigned shift = 0;

    for (; **p & 0x80; shift += 7)
        v |= (uint64_t)(*(*p)++ & 0x7f) << shift;
    return v | (uint64_t) * (*p)++ << shift;
}

/* A packed set may be longer than a block (very many labels): it then has a block of its own, larger
 * one, and nothing else gets into that. */
static uint32_t arena_put(struct head_index *x, struct slice packed)
{
    uint32_t off, need;

    if (!x->blocks.len || x->block_used + packed.len > HEAD_LABEL_BLOCK) {
        vec_push(&x->blocks, NULL);
        x->block_used = x->block_cap = 0;
    }
    need = x->block_used + (uint32_t)packed.len;
    if (need > x->block_cap) {
        /* the first block of a small tenant stays small */
        x->block_cap = ORR_MAX(x->blocks.len > 1 ? HEAD_LABEL_BLOCK : x->block_cap * 2, 256u);
        x->block_cap = ORR_MAX(ORR_MIN(x->block_cap, HEAD_LABEL_BLOCK), need);
        vec_last(&x->blocks) = mem_realloc(vec_last(&x->blocks), x->block_cap);
    }
    off = (uint32_t)((x->blocks.len - 1) * HEAD_LABEL_BLOCK + x->block_used);
    memcpy(vec_last(&x->blocks) + x->block_used, packed.ptr, packed.len);
    x->block_used = need;
    x->used_bytes += packed.len;
    return off;
}

static const uint8_t *packed_at(const struct head_index *x, uint32_t offset)
{
    return x->blocks.ptr[offset / HEAD_LABEL_BLOCK] + offset % HEAD_LABEL_BLOCK;
}

struct slice head_index_packed(const struct head_index *x, uint32_t offset)
{
    const uint8_t *start = packed_at(x, offset), *p = start;
    uint64_t n = get_uvarint(&p);

    while (n--)
        (void)get_uvarint(&p);
    return slice_of(start, (size_t)(p - start));
}

bool head_packed_next(struct reader *r, uint32_t *ret_pair)
{
    if (!reader_left(r))
        return false;
    *ret_pair = (uint32_t)reader_uvarint(r);
    return reader_ok(r);
}

void head_index_canonical(const struct head_index *x, struct slice packed, struct buf *out)
{
    struct reader r = reader_new(packed);
    uint32_t pair;

    (void)reader_uvarint(&r);
    while (head_packed_next(&r, &pair)) {
        const struct head_pair *p = head_pair_at(x, pair);
        struct label l = {x->names.ptr[p->name]->text, head_value_text(p->value)};

        labels_canonical(out, (struct labels){&l, 1});
    }
}

static size_t count_labels(struct slice canonical)
{
    struct reader r = reader_new(canonical);
    struct label l;
    size_t n = 0;

    while (labels_next_canonical(&r, &l))
        n++;
    return n;
}

uint32_t head_index_add(struct head_index *x, uint32_t ref, struct slice canonical)
{
    size_t n = count_labels(canonical), len;
    uint8_t stack[512], *packed = n > 90 ? mem_alloc(10 + n * 5) : stack;
    struct reader r = reader_new(canonical);
    struct label l;
    uint32_t off;

    len = put_uvarint(packed, n);
    while (labels_next_canonical(&r, &l)) {
        uint32_t id = pair_intern(x, name_intern(x, l.name), l.value);

        posting_add(head_pair_at(x, id), ref);
        len += put_uvarint(packed + len, id);
    }
    off = arena_put(x, slice_of(packed, len));
    if (packed != stack)
        mem_free(packed);
    return off;
}

bool head_index_add_packed(struct head_index *x, uint32_t ref, struct slice packed,
                           uint32_t *ret_off)
{
    struct reader r = reader_new(packed);
    uint64_t n = reader_uvarint(&r), seen = 0;
    uint32_t id;

    while (head_packed_next(&r, &id)) {
        if (id >= x->n_pairs || !head_pair_at(x, id)->value)
            return false;
        seen++;
    }
    if (!reader_ok(&r) || seen != n || !n)
        return false;
    r = reader_new(packed);
    (void)reader_uvarint(&r);
    while (head_packed_next(&r, &id))
        posting_add(head_pair_at(x, id), ref);
    *ret_off = arena_put(x, packed);
    return true;
}

/* ---- removal ---- */

static void pair_kill(struct head_index *x, uint32_t id)
{
    struct head_pair *p = head_pair_at(x, id);

    head_slots_del(&x->pair_table, pair_tag(p->name, head_value_text(p->value)), id);
    x->names.ptr[p->name]->is_dirty = true;
    x->names.ptr[p->name]->removals++;
    vec_push(&x->limbo, id);
    x->live_pairs--;
}

static void sweep_names(struct head_index *x)
{
    VEC_FOREACH (np, &x->names) {
        struct head_name *n = *np;
        size_t keep = 0;

        if (!n->is_dirty)
            continue;
        for (size_t i = 0; i < n->pairs.len; i++)
            if (head_pair_at(x, n->pairs.ptr[i])->n)
                n->pairs.ptr[keep++] = n->pairs.ptr[i];
        n->pairs.len = keep;
        n->is_dirty = false;
    }
}

void head_index_remove(struct head_index *x, const roaring_bitmap_t *dead,
                       const roaring_bitmap_t *affected)
{
    roaring_uint32_iterator_t it;

    for (roaring_init_iterator(affected, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct head_pair *p = head_pair_at(x, it.current_value);

        posting_remove(p, dead);
        if (!p->n)
            pair_kill(x, it.current_value);
    }
    sweep_names(x);
    head_index_reap(x);
}

void head_index_reap(struct head_index *x)
{
    if (atomic_load_explicit(&x->pins, memory_order_acquire))
        return;
    VEC_FOREACH (id, &x->limbo) {
        struct head_pair *p = head_pair_at(x, *id);

        mem_free(p->value);
        p->value = NULL;
        vec_push(&x->free_pairs, *id);
    }
    vec_clear(&x->limbo);
}

void head_index_repack_begin(struct head_index *x, struct head_index *ret_old)
{
    *ret_old = (struct head_index){0};
    ret_old->blocks.ptr = x->blocks.ptr;
    ret_old->blocks.len = x->blocks.len;
    x->blocks.ptr = NULL;
    x->blocks.len = x->blocks.cap = 0;
    x->block_used = x->block_cap = 0;
    x->dead_bytes = x->used_bytes = 0;
}

uint32_t head_index_repack_move(struct head_index *x, const struct head_index *old, uint32_t offset)
{
    return arena_put(x, head_index_packed(old, offset));
}

void head_index_repack_end(struct head_index *old)
{
    VEC_FOREACH (b, &old->blocks)
        mem_free(*b);
    vec_done(&old->blocks);
}

void head_index_done(struct head_index *x)
{
    for (uint32_t id = 0; id < x->n_pairs; id++) {
        struct head_pair *p = head_pair_at(x, id);

        posting_free(p);
        mem_free(p->value);
    }
    VEC_FOREACH (s, &x->slabs)
        mem_free(*s);
    VEC_FOREACH (n, &x->names) {
        vec_done(&(*n)->pairs);
        mem_free((void *)(*n)->text.ptr);
        mem_free(*n);
    }
    VEC_FOREACH (b, &x->blocks)
        mem_free(*b);
    vec_done(&x->slabs);
    vec_done(&x->names);
    vec_done(&x->blocks);
    vec_done(&x->free_pairs);
    vec_done(&x->limbo);
    map_done(&x->name_ids);
    head_slots_done(&x->pair_table);
}
