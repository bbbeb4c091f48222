#include "common/model/labels.h"

#include <stdlib.h>

#include "common/base/gostr.h"
#include "common/base/mem.h"

/* First position whose name is not below name. */
static size_t lower_bound(const struct label *ls, size_t n, struct slice name)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(ls[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct label *find(struct labels ls, struct slice name)
{
    size_t i = lower_bound(ls.ptr, ls.n, name);

    return i < ls.n && slice_eq(ls.ptr[i].name, name) ? &ls.ptr[i] : NULL;
}

struct slice labels_get(struct labels ls, struct slice name)
{
    const struct label *l = find(ls, name);

    return l ? l->value : SLICE_EMPTY;
}

bool labels_has(struct labels ls, struct slice name)
{
    return find(ls, name) != NULL;
}

bool labels_eq(struct labels a, struct labels b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (!slice_eq(a.ptr[i].name, b.ptr[i].name) || !slice_eq(a.ptr[i].value, b.ptr[i].value))
            return false;
    return true;
}

int labels_cmp(struct labels a, struct labels b)
{
    size_t n = ORR_MIN(a.n, b.n);

    for (size_t i = 0; i < n; i++) {
        int c = slice_cmp(a.ptr[i].name, b.ptr[i].name);

        if (!c)
            c = slice_cmp(a.ptr[i].value, b.ptr[i].value);
        if (c)
            return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static int label_order(const void *a, const void *b)
{
    return slice_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

bool labels_sort(struct label *ls, size_t n, struct slice *ret_dup)
{
    bool is_sorted = true;

    for (size_t i = 1; i < n && is_sorted; i++)
        is_sorted = slice_cmp(ls[i - 1].name, ls[i].name) <= 0;
    if (!is_sorted)
        qsort(ls, n, sizeof(*ls), label_order);
    for (size_t i = 1; i < n; i++) {
        if (slice_eq(ls[i - 1].name, ls[i].name)) {
            if (ret_dup)
                *ret_dup = ls[i].name;
            return false;
        }
    }
    return true;
}

static size_t bytes_of(struct labels ls)
{
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        n += ls.ptr[i].name.len + ls.ptr[i].value.len;
    return n;
}

/* Copies ls into dst, and the text into the bytes behind it. */
static struct labels copy_into(struct label *dst, struct labels ls)
{
    uint8_t *text = (uint8_t *)(dst + ls.n);

    for (size_t i = 0; i < ls.n; i++) {
        struct slice n = ls.ptr[i].name, v = ls.ptr[i].value;

        if (n.len)
            memcpy(text, n.ptr, n.len);
        if (v.len)
            memcpy(text + n.len, v.ptr, v.len);
        dst[i].name = slice_of(text, n.len);
        dst[i].value = slice_of(text + n.len, v.len);
        text += n.len + v.len;
    }
    return (struct labels){dst, ls.n};
}

struct labels labels_dup(struct arena *a, struct labels ls)
{
    return copy_into(arena_alloc(a, ls.n * sizeof(struct label) + bytes_of(ls)), ls);
}

struct labels labels_dup_heap(struct labels ls)
{
    return copy_into(mem_alloc(ls.n * sizeof(struct label) + bytes_of(ls) + 1), ls);
}

void labels_put(struct buf *out, struct labels ls)
{
    buf_uvarint(out, ls.n);
    for (size_t i = 0; i < ls.n; i++) {
        buf_lstr(out, ls.ptr[i].name);
        buf_lstr(out, ls.ptr[i].value);
    }
}

struct labels labels_read(struct arena *a, struct reader *r)
{
    size_t n = reader_count(r, 2);
    struct label *ls = arena_array(a, struct label, n);

    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
    }
    return (struct labels){ls, n};
}

static size_t uvarint_len(uint64_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static size_t pair_len(const struct label *l)
{
    return 2 + uvarint_len(l->name.len) + l->name.len + uvarint_len(l->value.len) + l->value.len;
}

void labels_canonical(struct buf *out, struct labels ls)
{
    for (size_t i = 0; i < ls.n; i++) {
        struct slice n = ls.ptr[i].name, v = ls.ptr[i].value;

        buf_byte(out, 0x0a);
        buf_uvarint(out, pair_len(&ls.ptr[i]));
        buf_byte(out, 0x0a);
        buf_lstr(out, n);
        buf_byte(out, 0x12);
        buf_lstr(out, v);
    }
}

bool labels_next_canonical(struct reader *r, struct label *ret)
{
    struct reader in;

    if (!reader_left(r))
        return false;
    if (reader_u8(r) != 0x0a) {
        reader_fail(r);
        return false;
    }
    in = reader_new(reader_lstr(r));
    if (reader_u8(&in) != 0x0a)
        reader_fail(&in);
    ret->name = reader_lstr(&in);
    if (reader_u8(&in) != 0x12)
        reader_fail(&in);
    ret->value = reader_lstr(&in);
    if (!reader_ok(&in) || reader_left(&in))
        reader_fail(r);
    return reader_ok(r);
}

bool labels_of_canonical(struct arena *a, struct slice canonical, struct labels *ret)
{
    struct reader r = reader_new(canonical);
    struct label l, *ls;
    size_t n = 0;

    while (labels_next_canonical(&r, &l))
        n++;
    if (!reader_ok(&r))
        return false;
    ls = arena_array(a, struct label, n);
    r = reader_new(canonical);
    for (size_t i = 0; i < n; i++)
        (void)labels_next_canonical(&r, &ls[i]);
    *ret = (struct labels){ls, n};
    return true;
}

static uint8_t *write_uvarint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *write_text(uint8_t *p, uint8_t tag, struct slice s)
{
    *p++ = tag;
    p = write_uvarint(p, s.len);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

struct slice labels_canonical_dup(struct arena *a, struct labels ls)
{
    size_t bytes = 0;
    uint8_t *start, *p;

    for (size_t i = 0; i < ls.n; i++) {
        size_t len = pair_len(&ls.ptr[i]);

        bytes += 1 + uvarint_len(len) + len;
    }
    p = start = arena_alloc(a, bytes);
    for (size_t i = 0; i < ls.n; i++) {
        *p++ = 0x0a;
        p = write_uvarint(p, pair_len(&ls.ptr[i]));
        p = write_text(p, 0x0a, ls.ptr[i].name);
        p = write_text(p, 0x12, ls.ptr[i].value);
    }
    return slice_of(start, bytes);
}

struct hash128 labels_fingerprint(struct labels ls)
{
    struct buf b = {0};
    struct hash128 h;

    labels_canonical(&b, ls);
    h = labels_fingerprint_of_canonical(buf_slice(&b));
    buf_done(&b);
    return h;
}

struct hash128 labels_fingerprint_of_canonical(struct slice canonical)
{
    return hash_xxh128(canonical, LABELS_SEED);
}

uint64_t labels_hash_prometheus(struct labels ls)
{
    struct buf b = {0};
    uint64_t h;

    for (size_t i = 0; i < ls.n; i++) {
        buf_slice_append(&b, ls.ptr[i].name);
        buf_byte(&b, 0xff);
        buf_slice_append(&b, ls.ptr[i].value);
        buf_byte(&b, 0xff);
    }
    h = hash_xxh64_classic(buf_slice(&b));
    buf_done(&b);
    return h;
}

uint32_t labels_token(struct slice tenant, struct hash128 fingerprint)
{
    uint64_t seed = fingerprint.lo ^ (fingerprint.hi << 32 | fingerprint.hi >> 32);

    return (uint32_t)(hash_xxh64(tenant, seed) >> 32);
}

static void pair_text(struct buf *out, const struct label *l)
{
    if (labels_is_legacy_name(l->name))
        buf_slice_append(out, l->name);
    else
        gostr_quote(out, l->name);
    buf_byte(out, '=');
    gostr_quote(out, l->value);
}

void labels_text(struct buf *out, struct labels ls)
{
    const struct label *metric = find(ls, SLICE(LABEL_NAME));
    bool is_bare = metric && labels_is_legacy_metric(metric->value);
    const char *sep = "";

    if (is_bare) {
        buf_slice_append(out, metric->value);
        if (ls.n == 1)
            return;
    }
    buf_byte(out, '{');
    if (metric && !is_bare) {
        gostr_quote(out, metric->value);
        sep = ", ";
    }
    for (size_t i = 0; i < ls.n; i++) {
        if (&ls.ptr[i] == metric)
            continue;
        buf_str(out, sep);
        pair_text(out, &ls.ptr[i]);
        sep = ", ";
    }
    buf_byte(out, '}');
}

void labels_json(struct buf *out, struct labels ls)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ls.n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, ls.ptr[i].name);
        buf_byte(out, ':');
        buf_json_str(out, ls.ptr[i].value);
    }
    buf_byte(out, '}');
}

/* [a-zA-Z0-9_], from a table: every key of a line of logfmt is asked about. */
static bool is_legacy(struct slice s, bool with_colon)
{
    static const uint32_t bits[8] = {[1] = 0x03ff0000, [2] = 0x87fffffe, [3] = 0x07fffffe};

    if (!s.len || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (!(bits[c >> 5] >> (c & 31) & 1) && (c != ':' || !with_colon))
            return false;
    }
    return true;
}

bool labels_is_legacy_name(struct slice name)
{
    return is_legacy(name, false);
}

bool labels_is_legacy_metric(struct slice name)
{
    return is_legacy(name, true);
}

/* The builder's array stays sorted, so labels_builder_labels() only copies it. */
void labels_builder_init(struct labels_builder *b, struct arena *a, struct labels base)
{
    *b = (struct labels_builder){.arena = a, .n = base.n, .cap = base.n + 8};
    b->ptr = arena_array(a, struct label, b->cap);
    if (base.n)
        memcpy(b->ptr, base.ptr, base.n * sizeof(*b->ptr));
}

void labels_builder_set(struct labels_builder *b, struct slice name, struct slice value)
{
    size_t i = lower_bound(b->ptr, b->n, name);

    if (value.len == 0) {
        labels_builder_del(b, name);
        return;
    }
    if (i == b->n || !slice_eq(b->ptr[i].name, name)) {
        if (b->n == b->cap) {
            size_t cap = b->cap * 2;

            b->ptr = arena_grow(b->arena, b->ptr, b->cap * sizeof(*b->ptr), cap * sizeof(*b->ptr));
            b->cap = cap;
        }
        memmove(b->ptr + i + 1, b->ptr + i, (b->n - i) * sizeof(*b->ptr));
        b->n++;
    }
    b->ptr[i] = (struct label){name, value};
}

void labels_builder_del(struct labels_builder *b, struct slice name)
{
    size_t i = lower_bound(b->ptr, b->n, name);

    if (i == b->n || !slice_eq(b->ptr[i].name, name))
        return;
    b->n--;
    memmove(b->ptr + i, b->ptr + i + 1, (b->n - i) * sizeof(*b->ptr));
}

struct slice labels_builder_get(const struct labels_builder *b, struct slice name)
{
    return labels_get((struct labels){b->ptr, b->n}, name);
}

struct labels labels_builder_labels(struct labels_builder *b)
{
    struct label *copy = arena_array(b->arena, struct label, b->n);

    if (b->n)
        memcpy(copy, b->ptr, b->n * sizeof(*copy));
    return (struct labels){copy, b->n};
}
