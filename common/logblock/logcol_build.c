#include <stdlib.h>
#include <zstd.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/logblock/logcol_internal.h"

#define LOOK 256      /* values that are looked at before all are */
#define FEW_VALUES 32 /* numbers with fewer of them are a dictionary */
#define MIN_WORDS 4   /* values: a template of fewer is none, unless nothing varies in it */

void logcol_build_init(struct logcol_build *b)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();

    ORR_ASSERT(z);
    (void)ZSTD_CCtx_setParameter(z, ZSTD_c_contentSizeFlag, 0);
    *b = (struct logcol_build){.zstd = z, .slots = mem_new_array(uint32_t, LOGCOL_SLOTS)};
}

void logcol_build_level(struct logcol_build *b, int level)
{
    (void)ZSTD_CCtx_setParameter(b->zstd, ZSTD_c_compressionLevel, level);
}

void logcol_build_done(struct logcol_build *b)
{
    (void)ZSTD_freeCCtx(b->zstd);
    buf_done(&b->scratch);
    buf_done(&b->packed);
    logskel_done(&b->skel);
    mem_free(b->slots);
}

bool logcol_build_pack(struct logcol_build *b, struct slice raw, struct buf *out)
{
    size_t room = raw.len - raw.len / 32, got;
    uint8_t *to = buf_reserve(out, room);

    if (!to)
        return true; /* the caller asks buf_ok() in the end */
    got = ZSTD_compress2(b->zstd, to, room, raw.ptr, raw.len);
    if (ZSTD_isError(got)) /* it does not fit */
        return false;
    out->len += got;
    return true;
}

void logcol_build_payload(struct logcol_build *b, struct slice raw)
{
    size_t before = b->payloads->len;
    struct slice stored;

    buf_uvarint(b->tree, raw.len);
    if (raw.len <= LOGCOL_INLINE) {
        buf_slice_append(b->tree, raw);
        return;
    }
    if (!logcol_build_pack(b, raw, b->payloads))
        buf_slice_append(b->payloads, raw);
    stored = slice_of(b->payloads->ptr + before, b->payloads->len - before);
    buf_uvarint(b->tree, stored.len);
    buf_u32le(b->tree, hash_crc32c(stored));
}

/* ---- what values are ---- */

static bool are_equal(const struct slice *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (!slice_eq(v[i], v[0]))
            return false;
    return true;
}

static bool put_stamps(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    struct logstamp f;
    struct logints c;
    int64_t *ints;

    if (!logstamp_guess(v[0], &f))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    for (uint32_t i = 0; i < n; i++)
        if (!logstamp_parse(&f, v[i], &ints[i]))
            return false;
    c = logints_choose(ints, n, true);
    buf_byte(b->tree, LOGCOL_STAMP);
    buf_byte(b->tree, f.layout);
    buf_byte(b->tree, f.between);
    buf_byte(b->tree, f.point);
    buf_byte(b->tree, f.digits);
    buf_lstr(b->tree, f.tail);
    logints_describe(&c, b->tree);
    buf_reset(&b->scratch);
    logints_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

static bool address_of(struct slice s, int64_t *ret)
{
    uint32_t sum = 0;
    size_t i = 0;

    if (s.len < 7 || s.len > 15)
        return false;
    for (int part = 0; part < 4; part++) {
        size_t start = i;
        uint32_t x = 0;

        while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9' && i - start < 4)
            x = x * 10 + (uint32_t)(s.ptr[i++] - '0');
        if (i == start || x > 255 || (s.ptr[start] == '0' && i - start > 1))
            return false;
        if (part < 3 && (i == s.len || s.ptr[i++] != '.'))
            return false;
        sum = sum << 8 | x;
    }
    *ret = sum;
    return i == s.len;
}

static bool put_addresses(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    int64_t first, *ints;
    struct logints c;

    if (!address_of(v[0], &first))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    for (uint32_t i = 0; i < n; i++)
        if (!address_of(v[i], &ints[i]))
            return false;
    c = logints_choose(ints, n, false);
    buf_byte(b->tree, LOGCOL_ADDRESS);
    logints_describe(&c, b->tree);
    buf_reset(&b->scratch);
    logints_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

/* A decimal number as value and digits, and whether it is written as one would. */
struct decimal {
    int64_t v;
    uint8_t whole, part;
    bool is_negative, is_padded;
};

static bool decimal_of(struct slice s, struct decimal *ret)
{
    struct decimal d = {0};
    size_t i = 0, start;
    uint64_t x = 0;

    if (i < s.len && s.ptr[i] == '-') {
        d.is_negative = true;
        i++;
    }
    if (s.len - i > 19)
        return false;
    start = i;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        x = x * 10 + (uint64_t)(s.ptr[i] - '0');
    d.whole = (uint8_t)(i - start);
    if (d.whole == 0)
        return false;
    d.is_padded = d.whole > 1 && s.ptr[start] == '0';
    if (i < s.len && s.ptr[i] == '.') {
        start = ++i;
        for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
            x = x * 10 + (uint64_t)(s.ptr[i] - '0');
        d.part = (uint8_t)(i - start);
        if (d.part == 0)
            return false;
    }
    if (i != s.len || d.whole + d.part > 18 || (d.is_negative && x == 0))
        return false;
    d.v = d.is_negative ? -(int64_t)x : (int64_t)x;
    *ret = d;
    return true;
}

/* All of one form; ints are given back. */
static bool are_numbers(const struct slice *v, uint32_t n, int64_t *ints, uint8_t *whole,
                        uint8_t *part)
{
    struct decimal d, first;
    bool is_padded = false, is_negative = false, is_even = true;

    if (!decimal_of(v[0], &first))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!decimal_of(v[i], &d) || d.part != first.part)
            return false;
        is_padded |= d.is_padded;
        is_negative |= d.is_negative;
        is_even &= d.whole == first.whole;
        if (is_padded && (!is_even || is_negative))
            return false;
        ints[i] = d.v;
    }
    *whole = is_padded ? first.whole : 0;
    *part = first.part;
    return true;
}

static bool put_numbers(struct logcol_build *b, const struct slice *v, uint32_t n,
                        struct slice prefix, struct slice suffix)
{
    int64_t *ints, min, max;
    uint8_t whole, part;
    struct logints c;
    struct decimal d;

    if (!decimal_of(v[0], &d))
        return false;
    ints = arena_alloc(b->arena, n * sizeof(*ints));
    if (!are_numbers(v, n, ints, &whole, &part))
        return false;
    min = max = ints[0];
    for (uint32_t i = 1; i < n; i++) {
        min = ORR_MIN(min, ints[i]);
        max = ORR_MAX(max, ints[i]);
    }
    c = logints_choose(ints, n, false);
    if (prefix.len || suffix.len) {
        buf_byte(b->tree, LOGCOL_NUMBER | LOGCOL_AFFIXES);
        buf_lstr(b->tree, prefix);
        buf_lstr(b->tree, suffix);
    } else {
        buf_byte(b->tree, LOGCOL_NUMBER);
    }
    buf_byte(b->tree, whole);
    buf_byte(b->tree, part);
    logints_describe(&c, b->tree);
    buf_varint(b->tree, min);
    buf_varint(b->tree, max);
    buf_reset(&b->scratch);
    logints_encode(&c, ints, n, &b->scratch);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

#define D(c, v) [c] = (v) + 1
#define DIGITS                                                                                     \
    D('0', 0), D('1', 1), D('2', 2), D('3', 3), D('4', 4), D('5', 5), D('6', 6), D('7', 7),        \
        D('8', 8), D('9', 9)
/* By case: the value of a hex digit and one more; 0: it is none. */
static const uint8_t hex_digits[2][256] = {
    {DIGITS, D('a', 10), D('b', 11), D('c', 12), D('d', 13), D('e', 14), D('f', 15)},
    {DIGITS, D('A', 10), D('B', 11), D('C', 12), D('D', 13), D('E', 14), D('F', 15)}};

static int hex_of(uint8_t c, bool is_upper)
{
    return hex_digits[is_upper][c] - 1;
}

static bool looks_hex(const struct slice *v, uint32_t n, bool is_upper)
{
    size_t len = v[0].len;

    if (len < 4 || len > LOGCOL_MAX_HEX)
        return false;
    for (uint32_t i = 1; i < n && i < 8; i++) {
        if (v[i].len != len)
            return false;
        for (size_t k = 0; k < len; k++)
            if (v[i].ptr[k] != v[0].ptr[k] && hex_of(v[i].ptr[k], is_upper) < 0)
                return false;
    }
    return true;
}

/* vary: a bit is set where x and y differ. */
static void add_difference(uint8_t *vary, const uint8_t *x, const uint8_t *y, size_t len)
{
    uint64_t a, b, all;
    size_t k = 0;

    for (; k + 8 <= len; k += 8) {
        memcpy(&a, x + k, 8);
        memcpy(&b, y + k, 8);
        memcpy(&all, vary + k, 8);
        all |= a ^ b;
        memcpy(vary + k, &all, 8);
    }
    for (; k < len; k++)
        vary[k] |= x[k] ^ y[k];
}

/* The places that vary, and how many there are; none if values are of different length. */
static size_t find_places(const struct slice *v, uint32_t n, uint8_t *places)
{
    uint8_t vary[LOGCOL_MAX_HEX] = {0};
    size_t n_places = 0;

    for (uint32_t i = 1; i < n; i++) {
        if (v[i].len != v[0].len)
            return 0;
        add_difference(vary, v[i].ptr, v[0].ptr, v[0].len);
    }
    for (size_t k = 0; k < v[0].len; k++)
        if (vary[k])
            places[n_places++] = (uint8_t)k;
    return n_places;
}

/* The digits at those places, half a byte each. False: one is none. */
static bool put_digits(const struct slice *v, uint32_t n, bool is_upper, const uint8_t *places,
                       size_t n_places, struct buf *out)
{
    size_t each = (n_places + 1) / 2;
    uint8_t *to = buf_reserve(out, each * n);
    const uint8_t *digits = hex_digits[is_upper];

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = v[i].ptr;
        bool is_bad = false;

        for (size_t at = 0; at < n_places; at += 2) {
            unsigned high = digits[p[places[at]]], low = 1;

            if (at + 1 < n_places)
                low = digits[p[places[at + 1]]];
            is_bad |= !high || !low;
            *to++ = (uint8_t)((high - 1) << 4 | (low - 1));
        }
        if (is_bad)
            return false;
    }
    out->len += each * n;
    return true;
}

static bool put_hex(struct logcol_build *b, const struct slice *v, uint32_t n, bool is_upper)
{
    uint8_t places[LOGCOL_MAX_HEX], bits[LOGCOL_MAX_HEX / 8] = {0};
    size_t len = v[0].len, n_places;

    if (!looks_hex(v, n, is_upper) || (n_places = find_places(v, n, places)) < 4)
        return false;
    buf_reset(&b->scratch);
    if (!put_digits(v, n, is_upper, places, n_places, &b->scratch))
        return false;
    for (size_t at = 0; at < n_places; at++)
        bits[places[at] / 8] |= (uint8_t)(1 << (places[at] % 8));
    buf_byte(b->tree, LOGCOL_HEX);
    buf_byte(b->tree, (uint8_t)len);
    buf_byte(b->tree, is_upper);
    buf_append(b->tree, bits, (len + 7) / 8);
    for (size_t k = 0; k < len; k++)
        if (!(bits[k / 8] >> (k % 8) & 1))
            buf_byte(b->tree, v[0].ptr[k]);
    logcol_build_payload(b, buf_slice(&b->scratch));
    return true;
}

static void put_text(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    buf_byte(b->tree, LOGCOL_TEXT);
    buf_reset(&b->scratch);
    for (uint32_t i = 0; i < n; i++)
        buf_uvarint(&b->scratch, v[i].len);
    for (uint32_t i = 0; i < n; i++)
        buf_slice_append(&b->scratch, v[i]);
    logcol_build_payload(b, buf_slice(&b->scratch));
}

/* ---- dictionaries ---- */

struct dict {
    uint16_t *which;            /* of each value */
    const struct slice **texts; /* of each number: the first value that has it */
    uint32_t n;
    size_t bytes;
};

/* The distinct values, if they are few. */
static bool find_distinct(struct logcol_build *b, const struct slice *v, uint32_t n, struct dict *d)
{
    uint32_t most = ORR_MIN(n / 4 + 2, LOGCOL_MAX_DICT), mask = 1;

    while (mask < most * 2)
        mask = mask << 1 | 1;
    memset(b->slots, 0, ((size_t)mask + 1) * sizeof(*b->slots));
    d->n = 0;
    d->bytes = 0;
    d->which = arena_alloc(b->arena, n * sizeof(*d->which));
    d->texts = arena_alloc(b->arena, most * sizeof(*d->texts));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t h = logcol_hash(0, v[i].ptr, v[i].len);
        uint32_t *slot;

        if (i == LOOK && d->n > LOOK * 3 / 4)
            return false;
        for (slot = &b->slots[h & mask]; *slot; slot = &b->slots[++h & mask])
            if (slice_eq(*d->texts[*slot - 1], v[i]))
                break;
        if (!*slot) {
            if (d->n == most)
                return false;
            d->texts[d->n++] = &v[i];
            d->bytes += v[i].len + 1;
            *slot = d->n;
        }
        d->which[i] = (uint16_t)(*slot - 1);
    }
    return d->bytes <= 65536;
}

/* The numbers of values as planes: one byte if they are few, or two. */
static void put_planes(struct buf *out, const uint16_t *which, uint32_t n, unsigned planes)
{
    uint8_t *to = buf_reserve(out, (size_t)n * planes);

    if (!to)
        return;
    for (uint32_t i = 0; i < n; i++)
        to[i] = (uint8_t)which[i];
    if (planes == 2)
        for (uint32_t i = 0; i < n; i++)
            to[n + i] = (uint8_t)(which[i] >> 8);
    out->len += (size_t)n * planes;
}

static void put_dict(struct logcol_build *b, const struct dict *d, uint32_t n)
{
    unsigned planes = d->n > 256 ? 2 : 1;

    buf_byte(b->tree, LOGCOL_DICT);
    buf_uvarint(b->tree, d->n);
    buf_byte(b->tree, (uint8_t)planes);
    buf_reset(&b->scratch);
    for (uint32_t i = 0; i < d->n; i++)
        buf_uvarint(&b->scratch, d->texts[i]->len);
    for (uint32_t i = 0; i < d->n; i++)
        buf_slice_append(&b->scratch, *d->texts[i]);
    buf_lstr(b->tree, buf_slice(&b->scratch));
    buf_reset(&b->scratch);
    put_planes(&b->scratch, d->which, n, planes);
    logcol_build_payload(b, buf_slice(&b->scratch));
}

/* ---- affixes ---- */

static bool is_figure(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-';
}

/* What all values begin and end with, up to where digits begin. Cuts them off into *ret. */
static bool cut_affixes(struct logcol_build *b, const struct slice *v, uint32_t n,
                        struct slice *prefix, struct slice *suffix, struct slice **ret)
{
    size_t front = 0, back = 0, least = v[0].len;
    struct slice *to;

    while (front < v[0].len && !is_figure(v[0].ptr[front]))
        front++;
    while (back < v[0].len - front && !is_figure(v[0].ptr[v[0].len - 1 - back]))
        back++;
    if (front + back == 0 || front + back >= v[0].len)
        return false;
    for (uint32_t i = 1; i < n; i++) {
        least = ORR_MIN(least, v[i].len);
        if (least <= front + back || memcmp(v[i].ptr, v[0].ptr, front) != 0 ||
            memcmp(v[i].ptr + v[i].len - back, v[0].ptr + v[0].len - back, back) != 0)
            return false;
    }
    *prefix = slice_of(v[0].ptr, front);
    *suffix = slice_of(v[0].ptr + v[0].len - back, back);
    to = arena_alloc(b->arena, n * sizeof(*to));
    for (uint32_t i = 0; i < n; i++)
        to[i] = slice_of(v[i].ptr + front, v[i].len - front - back);
    *ret = to;
    return true;
}

/* ---- lines ---- */

enum words_how { WORDS_LOG, WORDS_COARSE, WORDS_FINE, WORDS_PAIRS };

static void put_node(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                     enum words_how how);

static uint32_t count_of(struct slice s, struct slice separator)
{
    uint32_t n = 0;

    for (size_t at = 0; at + separator.len <= s.len; at += separator.len) {
        const uint8_t *p = memmem(s.ptr + at, s.len - at, separator.ptr, separator.len);

        if (!p)
            break;
        at = (size_t)(p - s.ptr);
        n++;
    }
    return n;
}

static void put_lines(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                      struct slice separator, uint32_t n_lines)
{
    struct slice *lines = arena_alloc(b->arena, n_lines * sizeof(*lines));
    uint32_t at = 0;

    buf_reset(&b->scratch);
    for (uint32_t i = 0; i < n; i++) {
        struct slice rest = v[i];
        const uint8_t *p;
        uint32_t k = 0;

        while (rest.len && (p = memmem(rest.ptr, rest.len, separator.ptr, separator.len))) {
            lines[at++] = slice_of(rest.ptr, (size_t)(p - rest.ptr));
            rest = slice_from(rest, (size_t)(p - rest.ptr) + separator.len);
            k++;
        }
        lines[at++] = rest;
        buf_uvarint(&b->scratch, k);
    }
    buf_byte(b->tree, LOGCOL_LINES);
    buf_lstr(b->tree, separator);
    buf_uvarint(b->tree, n_lines);
    logcol_build_payload(b, buf_slice(&b->scratch));
    put_node(b, lines, n_lines, depth + 1, WORDS_COARSE);
}

static bool try_lines(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth)
{
    static const struct slice separators[] = {SLICE_INIT("\n"), SLICE_INIT("\\n")};

    for (size_t k = 0; k < ORR_COUNT(separators); k++) {
        uint64_t sum = n;

        for (uint32_t i = 0; i < n && i < 8; i++)
            sum += count_of(v[i], separators[k]);
        if (sum < n + ORR_MIN(n, 8u) * 2ull)
            continue;
        sum = n;
        for (uint32_t i = 0; i < n; i++)
            sum += count_of(v[i], separators[k]);
        if (sum > UINT32_MAX / sizeof(struct slice))
            return false;
        put_lines(b, v, n, depth, separators[k], (uint32_t)sum);
        return true;
    }
    return false;
}

/* ---- any column ---- */

static bool try_words(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                      enum words_how how);

static bool try_numeric(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    struct slice prefix, suffix, *cut;

    return put_addresses(b, v, n) || put_numbers(b, v, n, SLICE_EMPTY, SLICE_EMPTY) ||
           (cut_affixes(b, v, n, &prefix, &suffix, &cut) && put_numbers(b, cut, n, prefix, suffix));
}

static void put_node(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                     enum words_how how)
{
    struct dict d;

    if (n == 0) {
        buf_byte(b->tree, LOGCOL_NONE);
    } else if (are_equal(v, n)) {
        buf_byte(b->tree, LOGCOL_CONST);
        buf_lstr(b->tree, v[0]);
    } else if (put_stamps(b, v, n)) {
    } else {
        bool is_few = find_distinct(b, v, n, &d);

        if (is_few && d.n <= FEW_VALUES)
            put_dict(b, &d, n);
        else if (try_numeric(b, v, n) || put_hex(b, v, n, false) || put_hex(b, v, n, true))
            return;
        else if (is_few)
            put_dict(b, &d, n);
        else if (depth >= LOGCOL_MAX_DEPTH - 3 ||
                 !(try_lines(b, v, n, depth) || try_words(b, v, n, depth, how)))
            put_text(b, v, n);
    }
}

/* ---- templates and variables ---- */

struct template
{
    uint64_t hash;
    uint32_t sample; /* the first value that is of it */
    uint32_t n_vars, n;
    uint32_t *cols; /* of each variable; LOGCOL_NO_COLUMN: it does not vary */
    uint32_t first; /* of its values in order */
    uint8_t kind;
    uint16_t id; /* in the node */
};
#define NO_COLUMN UINT32_MAX

struct column {
    uint8_t var;
    struct slice name;
    struct slice *v;
    uint32_t n, cap;
};

struct words {
    struct logcol_build *b;
    const struct slice *v;
    uint32_t n;
    unsigned depth;
    enum words_how how;
    const struct labels *pairs; /* PAIRS */
    uint32_t *span_at;          /* of each value, in skel.spans */
    uint16_t *which;            /* template of each */
    VEC(struct template) templates;
    uint32_t *order;
    VEC(struct column) columns;
};

#define WHOLE 0 /* the template of what has none */

static uint64_t hash_pieces(struct slice s, const struct logskel_span *spans, uint32_t n,
                            uint8_t kind)
{
    uint64_t h = kind + 1;
    uint32_t at = 0;

    for (uint32_t k = 0; k < n; k++) {
        h = logcol_hash(h, s.ptr + at, spans[k].at - at);
        at = spans[k].at + spans[k].len;
    }
    return logcol_hash(h, s.ptr + at, s.len - at);
}

static bool has_pieces_of(const struct words *w, const struct template *t, struct slice s,
                          const struct logskel_span *spans, uint32_t n, uint8_t kind)
{
    struct slice o = w->v[t->sample];
    const struct logskel_span *others = w->b->skel.spans.ptr + w->span_at[t->sample];
    uint32_t at = 0, other_at = 0;

    if (t->n_vars != n || t->kind != kind)
        return false;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t len = spans[k].at - at;

        if (others[k].at - other_at != len || memcmp(s.ptr + at, o.ptr + other_at, len) != 0)
            return false;
        at = spans[k].at + spans[k].len;
        other_at = others[k].at + others[k].len;
    }
    return slice_eq(slice_from(s, at), slice_from(o, other_at));
}

/* The template of value i, whose spans are the last ones; a new one if there is room. */
static uint32_t template_of(struct words *w, uint32_t i, uint8_t kind, uint32_t last)
{
    const struct logskel_span *all = w->b->skel.spans.ptr,
                              *spans = all ? all + w->span_at[i] : NULL;
    uint32_t n = (uint32_t)(w->b->skel.spans.len - w->span_at[i]), *slot;
    struct template *t;
    uint64_t h;

    if (last != WHOLE && has_pieces_of(w, &w->templates.ptr[last], w->v[i], spans, n, kind))
        return last;
    h = hash_pieces(w->v[i], spans, n, kind);
    for (uint64_t at = h >> 20;; at++) {
        slot = &w->b->slots[at % LOGCOL_SLOTS];
        if (!*slot)
            break;
        t = &w->templates.ptr[*slot];
        if (t->hash == h && has_pieces_of(w, t, w->v[i], spans, n, kind))
            return *slot;
    }
    if (w->templates.len == LOGCOL_MAX_TEMPLATES)
        return WHOLE;
    t = vec_add(&w->templates);
    t->hash = h;
    t->sample = i;
    t->n_vars = n;
    t->kind = kind;
    *slot = (uint32_t)w->templates.len - 1;
    return *slot;
}

static uint8_t find_spans(struct words *w, uint32_t i)
{
    struct logskel *skel = &w->b->skel;
    uint32_t at = 0;

    switch (w->how) {
    case WORDS_LOG:
        return (uint8_t)logskel_line(skel, w->v[i]);
    case WORDS_COARSE:
    case WORDS_FINE:
        logskel_words(skel, w->v[i], w->how == WORDS_FINE);
        return w->how == WORDS_FINE ? LOGSKEL_FINE : LOGSKEL_COARSE;
    default:
        for (size_t k = 0; k < w->pairs[i].n; k++) {
            const struct label *l = &w->pairs[i].ptr[k];
            struct logskel_span s = {at + (uint32_t)l->name.len, (uint32_t)l->value.len};

            vec_push(&skel->spans, s);
            at = s.at + s.len;
        }
        return LOGSKEL_PAIRS;
    }
}

static void find_templates(struct words *w)
{
    struct logskel *skel = &w->b->skel;
    uint32_t last = WHOLE;

    memset(w->b->slots, 0, LOGCOL_SLOTS * sizeof(*w->b->slots));
    (void)vec_add(&w->templates); /* WHOLE */
    w->templates.ptr[WHOLE].kind = LOGSKEL_WHOLE;
    for (uint32_t i = 0; i < w->n; i++) {
        uint8_t kind;

        w->span_at[i] = (uint32_t)skel->spans.len;
        kind = find_spans(w, i);
        last = template_of(w, i, kind, last);
        w->which[i] = (uint16_t)last;
        w->templates.ptr[last].n++;
    }
}

static struct slice var_of(const struct words *w, uint32_t i, uint32_t k)
{
    struct logskel_span s = w->b->skel.spans.ptr[w->span_at[i] + k];

    return slice_of(w->v[i].ptr + s.at, s.len);
}

static struct slice whole_of(const struct words *w, uint32_t i)
{
    return w->how == WORDS_PAIRS ? labels_canonical_dup(w->b->arena, w->pairs[i]) : w->v[i];
}

/* Templates of too few values are given up: those values are stored whole. */
static void drop_rare(struct words *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        struct template *t = &w->templates.ptr[w->which[i]];

        if (w->which[i] == WHOLE || t->n >= MIN_WORDS)
            continue;
        w->templates.ptr[WHOLE].n++;
        w->which[i] = WHOLE;
    }
    for (size_t k = 1; k < w->templates.len; k++)
        if (w->templates.ptr[k].n < MIN_WORDS)
            w->templates.ptr[k].n = 0;
}

static int more_values(const void *a, const void *b)
{
    const struct template *const *x = a, *const *y = b;

    return (*x)->n != (*y)->n ? ((*x)->n < (*y)->n ? 1 : -1)
                              : ((*x)->sample > (*y)->sample) - ((*x)->sample < (*y)->sample);
}

/* Those in use, the most used first; ids accordingly. */
static uint32_t rank_templates(struct words *w, struct template ***ret)
{
    struct template **list = arena_alloc(w->b->arena, w->templates.len * sizeof(struct template *));
    uint32_t n = 0, first = 0, *at;

    VEC_FOREACH (t, &w->templates)
        if (t->n)
            list[n++] = t;
    qsort(list, n, sizeof(struct template *), more_values);
    at = arena_alloc(w->b->arena, ORR_MAX(n, 1u) * sizeof(*at));
    for (uint32_t k = 0; k < n; k++) {
        list[k]->id = (uint16_t)k;
        at[k] = list[k]->first = first;
        first += list[k]->n;
    }
    w->order = arena_alloc(w->b->arena, w->n * sizeof(*w->order));
    for (uint32_t i = 0; i < w->n; i++) {
        w->which[i] = w->templates.ptr[w->which[i]].id;
        w->order[at[w->which[i]]++] = i;
    }
    *ret = list;
    return n;
}

static uint32_t named_column(struct words *w, uint8_t var, struct slice name, uint32_t guess)
{
    struct column *c;

    for (size_t k = 0; k < w->columns.len; k++) {
        size_t at = (guess + k) % w->columns.len;

        c = &w->columns.ptr[at];
        if (c->var == var && slice_eq(c->name, name))
            return (uint32_t)at;
    }
    c = vec_add(&w->columns);
    c->var = var;
    c->name = name;
    return (uint32_t)w->columns.len - 1;
}

static bool is_constant(const struct words *w, const struct template *t, uint32_t k)
{
    struct slice first = var_of(w, w->order[t->first], k);

    for (uint32_t r = 1; r < t->n; r++)
        if (!slice_eq(var_of(w, w->order[t->first + r], k), first))
            return false;
    return true;
}

static void reserve(struct words *w, struct column *c, uint32_t n)
{
    if (c->n + n > c->cap) {
        uint32_t cap = ORR_MAX(c->n + n, c->cap * 2);

        c->v = arena_grow(w->b->arena, c->v, c->cap * sizeof(*c->v), cap * sizeof(*c->v));
        c->cap = cap;
    }
}

/* Gives each variable of the template its column, and the column the template's values. */
static void fill_columns(struct words *w, struct template *t)
{
    struct logskel *skel = &w->b->skel;
    bool has_names = t->kind == LOGSKEL_JSON || t->kind == LOGSKEL_LOGFMT_PAIRS;
    bool is_whole = t == &w->templates.ptr[WHOLE];
    uint32_t guess = 0;

    if (is_whole) {
        t->n_vars = 1;
    } else if (has_names) {
        logskel_name(skel, w->v[t->sample], t->kind, w->b->arena);
    }
    t->cols = arena_alloc(w->b->arena, ORR_MAX(t->n_vars, 1u) * sizeof(*t->cols));
    for (uint32_t k = 0; k < t->n_vars; k++) {
        struct column *c;

        if (t->kind == LOGSKEL_PAIRS) {
            t->cols[k] = named_column(w, LOGSKEL_PAIR, w->pairs[t->sample].ptr[k].name, guess);
            guess = t->cols[k] + 1;
        } else if (has_names) {
            t->cols[k] = named_column(w, skel->vars.ptr[k], skel->names.ptr[k], guess);
            guess = t->cols[k] + 1;
        } else if (!is_whole && is_constant(w, t, k)) {
            t->cols[k] = NO_COLUMN;
            continue;
        } else {
            t->cols[k] = (uint32_t)w->columns.len;
            (void)vec_add(&w->columns);
        }
        c = &w->columns.ptr[t->cols[k]];
        reserve(w, c, t->n);
        for (uint32_t r = 0; r < t->n; r++) {
            uint32_t i = w->order[t->first + r];

            c->v[c->n++] = is_whole ? whole_of(w, i) : var_of(w, i, k);
        }
    }
}

/* Parts that do not vary are one with what is around them. */
static void put_template(struct words *w, const struct template *t)
{
    bool is_whole = t == &w->templates.ptr[WHOLE];
    struct slice s = w->v[t->sample];
    uint32_t start = 0, next = 0, n = 0;

    for (uint32_t k = 0; k < t->n_vars; k++)
        n += t->cols[k] != NO_COLUMN;
    buf_uvarint(w->b->tree, t->n);
    buf_byte(w->b->tree, t->kind);
    buf_uvarint(w->b->tree, n);
    for (uint32_t k = 0; k < t->n_vars; k++) {
        struct logskel_span at = {0, 0};

        if (t->cols[k] == NO_COLUMN)
            continue;
        if (!is_whole)
            at = w->b->skel.spans.ptr[w->span_at[t->sample] + k];
        buf_lstr(w->b->tree, slice_of(s.ptr + start, at.at - start));
        buf_varint(w->b->tree, (int64_t)t->cols[k] - (int64_t)next);
        next = t->cols[k] + 1;
        start = at.at + at.len;
    }
    buf_lstr(w->b->tree, is_whole ? SLICE_EMPTY : slice_from(s, start));
}

static void put_words(struct words *w)
{
    struct logcol_build *b = w->b;
    struct template **list;
    uint32_t n = rank_templates(w, &list);

    for (uint32_t k = 0; k < n; k++)
        fill_columns(w, list[k]);
    buf_byte(b->tree, LOGCOL_WORDS);
    buf_uvarint(b->tree, n);
    buf_uvarint(b->tree, w->columns.len);
    for (uint32_t k = 0; k < n; k++)
        put_template(w, list[k]);
    if (n > 1) {
        buf_reset(&b->scratch);
        put_planes(&b->scratch, w->which, w->n, n > 256 ? 2 : 1);
        logcol_build_payload(b, buf_slice(&b->scratch));
    }
    for (size_t k = 0; k < w->columns.len; k++) {
        struct column c = w->columns.ptr[k];

        buf_byte(b->tree, c.var);
        if (c.var != LOGSKEL_PLAIN)
            buf_lstr(b->tree, c.name);
        put_node(b, c.v, c.n, w->depth + 1, WORDS_FINE);
    }
}

/* Whether words are worth it: few templates, and most values have one which says something. */
static bool is_worth(const struct words *w)
{
    uint32_t n = 0;

    if (w->how == WORDS_LOG)
        return true;
    for (size_t k = 1; k < w->templates.len; k++) {
        const struct template *t = &w->templates.ptr[k];

        if (t->n == w->n && t->n_vars == 1 && var_of(w, t->sample, 0).len == w->v[t->sample].len)
            return false;
        n += t->n > 0;
    }
    return n > 0 && n <= w->n / 4 + 1 && w->templates.ptr[WHOLE].n <= w->n / 2;
}

static bool try_words(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                      enum words_how how)
{
    struct words w = {.b = b, .v = v, .n = n, .depth = depth, .how = how};
    size_t spans = b->skel.spans.len;
    bool is_good;

    if (n < 2 * MIN_WORDS && how != WORDS_LOG)
        return false;
    w.span_at = arena_alloc(b->arena, n * sizeof(*w.span_at));
    w.which = arena_alloc(b->arena, n * sizeof(*w.which));
    find_templates(&w);
    drop_rare(&w);
    is_good = is_worth(&w);
    if (is_good)
        put_words(&w);
    b->skel.spans.len = spans;
    vec_done(&w.templates);
    vec_done(&w.columns);
    return is_good;
}

void logcol_build_lines(struct logcol_build *b, const struct slice *v, uint32_t n)
{
    (void)try_words(b, v, n, 0, WORDS_LOG);
}

void logcol_build_meta(struct logcol_build *b, const struct labels *v, uint32_t n)
{
    struct words w = {.b = b, .n = n, .how = WORDS_PAIRS, .pairs = v};
    struct slice *texts = arena_alloc(b->arena, n * sizeof(*texts));
    struct buf *s = &b->scratch;

    for (uint32_t i = 0; i < n; i++) {
        buf_reset(s);
        for (size_t k = 0; k < v[i].n; k++) {
            buf_slice_append(s, v[i].ptr[k].name);
            buf_slice_append(s, v[i].ptr[k].value);
        }
        texts[i] = arena_dup(b->arena, buf_slice(s));
    }
    w.v = texts;
    w.span_at = arena_alloc(b->arena, n * sizeof(*w.span_at));
    w.which = arena_alloc(b->arena, n * sizeof(*w.which));
    find_templates(&w);
    put_words(&w);
    vec_clear(&b->skel.spans);
    vec_done(&w.templates);
    vec_done(&w.columns);
}
