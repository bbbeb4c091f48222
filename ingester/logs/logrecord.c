#include "ingester/logs/logrecord.h"

#define VERSION 1
#define STREAM_BYTES 25 /* at least */
#define MAX_UVARINT_BYTES 10
#define MAX_PAIRS 65536 /* more than any door lets in */

void logrecord_begin(struct buf *out, uint32_t shard)
{
    buf_byte(out, VERSION);
    buf_u16le(out, (uint16_t)shard);
}

/* A number whose place was kept; nothing if there was no room for it (buf_ok()). */
static void set_u32le(struct buf *b, size_t at, size_t v)
{
    for (unsigned i = 0; i < 4 && buf_ok(b); i++)
        b->ptr[at + i] = (uint8_t)(v >> (8 * i));
}

size_t logrecord_begin_stream(struct buf *out, struct hash128 fp, struct slice labels)
{
    buf_u64le(out, fp.lo);
    buf_u64le(out, fp.hi);
    buf_lstr(out, labels);
    buf_u64le(out, 0); /* n, bytes */
    return out->len;
}

void logrecord_end_stream(struct buf *out, size_t at, uint32_t n)
{
    set_u32le(out, at - 8, n);
    set_u32le(out, at - 4, out->len - at);
}

void logrecord_stream(struct buf *out, struct hash128 fp, struct slice labels, uint32_t n,
                      struct slice entries)
{
    size_t at = logrecord_begin_stream(out, fp, labels);

    buf_slice_append(out, entries);
    logrecord_end_stream(out, at, n);
}

/* As buf_lstr() does it, at a place where there is room. */
static uint8_t *put_lstr(uint8_t *p, struct slice s)
{
    uint64_t n = s.len;

    for (; n >= 0x80; n >>= 7)
        *p++ = (uint8_t)(n | 0x80);
    *p++ = (uint8_t)n;
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static void put_u32le(uint8_t *p, size_t v)
{
    uint32_t u = (uint32_t)v;

    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "written as it lies");
    memcpy(p, &u, sizeof(u));
}

size_t logrecord_entry_room(size_t line_bytes, struct labels metadata)
{
    size_t n = LOGRECORD_ENTRY_BYTES + line_bytes;

    for (size_t i = 0; i < metadata.n; i++)
        n += metadata.ptr[i].name.len + metadata.ptr[i].value.len + 2 * MAX_UVARINT_BYTES;
    return n;
}

void logrecord_entry(struct buf *out, int64_t t_ns, struct slice line, struct labels metadata)
{
    uint8_t *start = buf_reserve(out, logrecord_entry_room(line.len, metadata)), *p = start, *meta;

    if (!start)
        return;
    memcpy(p, &t_ns, sizeof(t_ns));
    put_u32le(p + 8, line.len);
    p += LOGRECORD_ENTRY_BYTES;
    if (line.len)
        memcpy(p, line.ptr, line.len);
    meta = p += line.len;
    for (size_t i = 0; i < metadata.n; i++)
        p = put_lstr(put_lstr(p, metadata.ptr[i].name), metadata.ptr[i].value);
    put_u32le(start + 12, (size_t)(p - meta));
    out->len += (size_t)(p - start);
}

bool logrecord_open(struct slice payload, uint32_t *ret_shard, struct reader *ret)
{
    struct reader r = reader_new(payload);

    if (reader_u8(&r) != VERSION)
        return false;
    *ret_shard = reader_u16le(&r);
    *ret = r;
    return reader_ok(&r);
}

bool logrecord_next_stream(struct reader *r, struct logrecord_stream *ret)
{
    if (!reader_ok(r) || !reader_left(r))
        return false;
    if (reader_left(r) < STREAM_BYTES) {
        reader_fail(r);
        return false;
    }
    ret->fp.lo = reader_u64le(r);
    ret->fp.hi = reader_u64le(r);
    ret->labels = reader_lstr(r);
    ret->n = reader_u32le(r);
    ret->entries = reader_bytes(r, reader_u32le(r));
    return reader_ok(r);
}

bool logrecord_next_entry(struct reader *r, struct logrecord_entry *ret)
{
    const uint8_t *p = r->ptr;
    size_t left = reader_left(r);
    uint32_t line, metadata;

    if (!left)
        return false;
    if (left < LOGRECORD_ENTRY_BYTES) {
        reader_fail(r);
        return false;
    }
    memcpy(&ret->t_ns, p, 8);
    memcpy(&line, p + 8, 4);
    memcpy(&metadata, p + 12, 4);
    left -= LOGRECORD_ENTRY_BYTES;
    if (line > left || metadata > left - line) {
        reader_fail(r);
        return false;
    }
    p += LOGRECORD_ENTRY_BYTES;
    ret->line = slice_of(p, line);
    ret->metadata = slice_of(p + line, metadata);
    r->ptr = p + line + metadata;
    return true;
}

static bool metadata_is_valid(struct slice metadata)
{
    struct reader r = reader_new(metadata);
    struct slice last = SLICE_EMPTY;

    for (bool is_first = true; reader_left(&r); is_first = false) {
        struct slice name = reader_lstr(&r);

        (void)reader_lstr(&r);
        if (!reader_ok(&r) || (!is_first && slice_cmp(last, name) >= 0))
            return false;
        last = name;
    }
    return true;
}

bool logrecord_entries_valid(const struct logrecord_stream *s)
{
    struct reader r = reader_new(s->entries);
    struct logrecord_entry en;
    uint32_t n = 0;

    for (; logrecord_next_entry(&r, &en); n++)
        if (!metadata_is_valid(en.metadata))
            return false;
    return reader_ok(&r) && n == s->n && n > 0;
}

bool logrecord_metadata(struct arena *a, struct slice metadata, struct labels *ret)
{
    struct reader r = reader_new(metadata);
    struct label *ls;
    size_t n = 0;

    *ret = (struct labels){0};
    if (!metadata.len)
        return true;
    for (; reader_left(&r) && n <= MAX_PAIRS; n++) {
        (void)reader_lstr(&r);
        (void)reader_lstr(&r);
    }
    if (!reader_ok(&r) || n > MAX_PAIRS)
        return false;
    ls = arena_array(a, struct label, n);
    r = reader_new(metadata);
    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(&r);
        ls[i].value = reader_lstr(&r);
    }
    *ret = (struct labels){ls, n};
    return true;
}
