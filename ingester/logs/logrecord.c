#include "ingester/logs/logrecord.h"

#define VERSION 1
#define STREAM_BYTES 25 /* at least */
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

void logrecord_entry(struct buf *out, int64_t t_ns, struct slice line, struct labels metadata)
{
    size_t at;

    buf_u64le(out, (uint64_t)t_ns);
    buf_u32le(out, (uint32_t)line.len);
    buf_u32le(out, 0);
    buf_slice_append(out, line);
    at = out->len;
    for (size_t i = 0; i < metadata.n; i++) {
        buf_lstr(out, metadata.ptr[i].name);
        buf_lstr(out, metadata.ptr[i].value);
    }
    set_u32le(out, at - line.len - 4, out->len - at);
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
    uint32_t line, metadata;

    if (!reader_ok(r) || !reader_left(r))
        return false;
    ret->t_ns = (int64_t)reader_u64le(r);
    line = reader_u32le(r);
    metadata = reader_u32le(r);
    ret->line = reader_bytes(r, line);
    ret->metadata = reader_bytes(r, metadata);
    return reader_ok(r);
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
