#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/block/block_zstd.h"
#include "common/logblock/logcol_internal.h"

#define LOOK 256      /* values that are looked at before all are */
#define FEW_VALUES 32 /* numbers with fewer of them are a dictionary */

void logcol_build_init(struct logcol_build *b)
{
    *b = (struct logcol_build){.zstd = block_zstd_new(0),
                               .slots = mem_new_array(uint32_t, LOGCOL_SLOTS)};
}

void logcol_build_level(struct logcol_build *b, int level)
{
    block_zstd_level(b->zstd, level);
}

void logcol_build_done(struct logcol_build *b)
{
    block_zstd_free(b->zstd);
    buf_done(&b->scratch);
    logskel_done(&b->skel);
    mem_free(b->slots);
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
    if (!block_zstd_pack(b->zstd, raw, b->payloads))
        buf_slice_append(b->payloads, raw);
    stored = slice_of(b->payloads->ptr + before, b->payloads->len - before);
    buf_uvarint(b->tree, stored.len);
    buf_u32le(b->tree, hash_crc32c(stored));
}

/* ---- texts and dictionaries ---- */

static bool are_equal(const struct slice *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (!slice_eq(v[i], v[0]))
            return false;
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

void logcol_build_planes(struct buf *out, const uint16_t *which, uint32_t n, unsigned planes)
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
    logcol_build_planes(&b->scratch, d->which, n, planes);
    logcol_build_payload(b, buf_slice(&b->scratch));
}

/* ---- lines ---- */

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
    logcol_build_node(b, lines, n_lines, depth + 1, LOGCOL_WORDS_COARSE);
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

void logcol_build_node(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                       enum logcol_words how)
{
    struct dict d;

    if (n == 0) {
        buf_byte(b->tree, LOGCOL_NONE);
    } else if (are_equal(v, n)) {
        buf_byte(b->tree, LOGCOL_CONST);
        buf_lstr(b->tree, v[0]);
    } else if (logcol_build_stamps(b, v, n)) {
    } else {
        bool is_few = find_distinct(b, v, n, &d);

        if (is_few && d.n <= FEW_VALUES)
            put_dict(b, &d, n);
        else if (logcol_build_figures(b, v, n))
            return;
        else if (is_few)
            put_dict(b, &d, n);
        else if (depth >= LOGCOL_MAX_DEPTH - 3 ||
                 !(try_lines(b, v, n, depth) || logcol_build_words(b, v, n, depth, how)))
            put_text(b, v, n);
    }
}
