#include "common/logblock/logframe.h"

#include "common/base/reader.h"
#include "common/net/codec.h"

#define VERSION 4
#define VERSION_OF_OTHER_GRAMS 3
#define VERSION_WITHOUT_FILTERS 2
#define CRC_FROM 12 /* of the front */

static const uint8_t magic[6] = {'O', 'R', 'R', 'L', 'F', 'R'};

static void put_stream(struct buf *out, const struct logframe_stream *s)
{
    buf_u64le(out, s->fp.lo);
    buf_u64le(out, s->fp.hi);
    buf_u64le(out, (uint64_t)s->min_ns);
    buf_u64le(out, (uint64_t)s->max_ns);
    buf_u64le(out, s->bytes);
    buf_u32le(out, s->entries);
    buf_u32le(out, s->first_page);
    buf_u32le(out, s->last_page);
    buf_u32le(out, 0);
}

static void put_page(struct buf *out, const struct logframe_page *p, uint64_t base,
                     struct slice page_bytes)
{
    buf_u64le(out, base + p->offset);
    buf_u32le(out, p->bytes);
    buf_u32le(out, p->entries);
    buf_u64le(out, (uint64_t)p->min_ns);
    buf_u64le(out, (uint64_t)p->max_ns);
    buf_u32le(out, p->filter_bytes);
    buf_u32le(out, p->filter_class);
    buf_u32le(out, hash_crc32c(slice_sub(page_bytes, (size_t)p->offset,
                                         (size_t)p->bytes + p->filter_bytes)));
    buf_u32le(out, 0);
}

static void put_front(struct buf *out, const struct logframe_head *h, struct slice tenant,
                      size_t head_bytes, size_t bytes, size_t stored, size_t labels)
{
    buf_append(out, magic, sizeof(magic));
    buf_byte(out, 0);
    buf_byte(out, VERSION);
    buf_u32le(out, 0); /* the checksums come last */
    buf_u32le(out, 0);
    buf_u64le(out, bytes);
    buf_u32le(out, (uint32_t)head_bytes);
    buf_u32le(out, h->shard);
    buf_u32le(out, (uint32_t)tenant.len);
    buf_u32le(out, h->n_streams);
    buf_u32le(out, h->n_pages);
    buf_u32le(out, h->number);
    buf_u64le(out, h->entries);
    buf_u64le(out, h->bytes);
    buf_u64le(out, (uint64_t)h->min_ns);
    buf_u64le(out, (uint64_t)h->max_ns);
    buf_u64le(out, h->epoch);
    buf_u64le(out, h->through);
    buf_u64le(out, h->live_from);
    buf_u64le(out, h->live_to);
    buf_append(out, h->segment.bytes, sizeof(h->segment.bytes));
    buf_u64le(out, (uint64_t)h->window_ms);
    buf_u32le(out, (uint32_t)stored);
    buf_u32le(out, (uint32_t)labels);
    buf_slice_append(out, tenant);
}

static void write_u32(uint8_t *at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static void write_checksums(uint8_t *frame, size_t front_bytes, size_t head_bytes)
{
    write_u32(frame + 12, hash_crc32c(slice_of(frame + front_bytes, head_bytes - front_bytes)));
    write_u32(frame + 8, hash_crc32c(slice_of(frame + CRC_FROM, front_bytes - CRC_FROM)));
}

struct err *logframe_build(const struct logframe_head *head, struct slice tenant,
                           const struct logframe_stream *streams, const struct logframe_page *pages,
                           struct slice labels, struct slice page_bytes, struct buf *out)
{
    struct buf packed = {0};
    size_t start = out->len, head_bytes, bytes;
    struct err *e = codec_encode(CODEC_ZSTD, 0, labels, &packed);

    if (e)
        return e;
    head_bytes = LOGFRAME_HEADER_BYTES + (size_t)head->n_streams * LOGFRAME_STREAM_BYTES +
                 (size_t)head->n_pages * LOGFRAME_PAGE_BYTES + tenant.len + packed.len;
    bytes = (head_bytes + page_bytes.len + 7) & ~(size_t)7;
    if (bytes > LOGFRAME_MAX_BYTES || labels.len > UINT32_MAX) {
        buf_done(&packed);
        return err_new(ERR_TOO_LARGE, "a frame of %zu bytes", bytes);
    }
    put_front(out, head, tenant, head_bytes, bytes, packed.len, labels.len);
    for (uint32_t i = 0; i < head->n_streams; i++)
        put_stream(out, &streams[i]);
    for (uint32_t i = 0; i < head->n_pages; i++)
        put_page(out, &pages[i], head_bytes, page_bytes);
    buf_slice_append(out, buf_slice(&packed));
    buf_done(&packed);
    write_checksums(out->ptr + start, LOGFRAME_HEADER_BYTES + tenant.len, head_bytes);
    buf_slice_append(out, page_bytes);
    buf_fill(out, 0, start + bytes - out->len);
    return NULL;
}

static struct err *torn(const char *what)
{
    return err_new(ERR_CORRUPT, "frame of log lines: %s", what);
}

static struct logframe_head read_head(struct reader *r, size_t *ret_tenant)
{
    struct logframe_head h;
    struct slice segment;

    h.shard = reader_u32le(r);
    *ret_tenant = reader_u32le(r);
    h.n_streams = reader_u32le(r);
    h.n_pages = reader_u32le(r);
    h.number = reader_u32le(r);
    h.entries = reader_u64le(r);
    h.bytes = reader_u64le(r);
    h.min_ns = (int64_t)reader_u64le(r);
    h.max_ns = (int64_t)reader_u64le(r);
    h.epoch = reader_u64le(r);
    h.through = reader_u64le(r);
    h.live_from = reader_u64le(r);
    h.live_to = reader_u64le(r);
    segment = reader_bytes(r, sizeof(h.segment.bytes));
    if (segment.len == sizeof(h.segment.bytes))
        memcpy(h.segment.bytes, segment.ptr, sizeof(h.segment.bytes));
    else
        h.segment = (struct ulid){0};
    h.window_ms = (int64_t)reader_u64le(r);
    return h;
}

/* What readers rely on: pages inside the frame, streams ascending and in pages that are there. */
static bool tables_are_sound(const struct logframe *f, size_t head_bytes)
{
    for (uint32_t i = 0; i < f->head.n_pages; i++) {
        struct logframe_page p = logframe_page_at(f, i);

        if (p.offset < head_bytes || p.offset > f->bytes.len ||
            (uint64_t)p.bytes + p.filter_bytes > f->bytes.len - p.offset)
            return false;
    }
    for (uint32_t i = 0; i < f->head.n_streams; i++) {
        struct logframe_stream s = logframe_stream_at(f, i);

        if (s.first_page > s.last_page || s.last_page >= f->head.n_pages ||
            (i > 0 && hash128_cmp(logframe_stream_at(f, i - 1).fp, s.fp) >= 0))
            return false;
    }
    return true;
}

struct front { /* what it says of the rest of the head */
    size_t head_bytes, stored;
    uint32_t crc;
};

static struct err *open_front(struct slice bytes, struct logframe *ret, struct front *ret_front)
{
    struct reader r = reader_new(bytes);
    struct slice start;
    uint64_t size;
    size_t tenant;
    uint32_t crc, head_bytes;

    *ret = (struct logframe){0};
    start = reader_bytes(&r, 8);
    if (start.len < 8 || memcmp(start.ptr, magic, sizeof(magic)) != 0)
        return torn("no magic");
    if (start.ptr[7] < VERSION_WITHOUT_FILTERS || start.ptr[7] > VERSION)
        return err_new(ERR_UNSUPPORTED,
                       "frame of log lines: of version %u, versions %u to %u can be read here",
                       start.ptr[7], VERSION_WITHOUT_FILTERS, VERSION);
    ret->page_bytes =
        start.ptr[7] >= VERSION_OF_OTHER_GRAMS ? LOGFRAME_PAGE_BYTES : LOGFRAME_PAGE_BYTES_2;
    ret->has_filters = start.ptr[7] == VERSION;
    ret->is_dropped = start.ptr[LOGFRAME_DROPPED_AT] != 0;
    crc = reader_u32le(&r);
    ret_front->crc = reader_u32le(&r);
    size = reader_u64le(&r);
    head_bytes = reader_u32le(&r);
    ret->head = read_head(&r, &tenant);
    ret_front->stored = reader_u32le(&r);
    ret->labels_bytes = reader_u32le(&r);
    ret->tenant = reader_bytes(&r, tenant);
    if (!reader_ok(&r) || size > bytes.len || size > LOGFRAME_MAX_BYTES || size % 8 ||
        head_bytes > size || head_bytes < reader_pos(&r))
        return torn("cut short");
    if (hash_crc32c(slice_of(bytes.ptr + CRC_FROM, reader_pos(&r) - CRC_FROM)) != crc)
        return torn("checksum");
    ret->bytes = slice_of(bytes.ptr, size);
    ret_front->head_bytes = head_bytes;
    return NULL;
}

struct err *logframe_open_front(struct slice bytes, struct logframe *ret)
{
    struct front front;

    return open_front(bytes, ret, &front);
}

size_t logframe_front_bytes(const struct logframe *f)
{
    return LOGFRAME_HEADER_BYTES + f->tenant.len;
}

struct err *logframe_open(struct slice bytes, struct logframe *ret)
{
    struct front front;
    struct slice rest;
    struct reader r;
    struct err *e = open_front(bytes, ret, &front);

    if (e)
        return e;
    rest = slice_sub(ret->bytes, logframe_front_bytes(ret),
                     front.head_bytes - logframe_front_bytes(ret));
    if (hash_crc32c(rest) != front.crc)
        return torn(ret->is_dropped ? "it is dropped" : "checksum of the tables");
    r = reader_new(rest);
    ret->streams = reader_bytes(&r, (size_t)ret->head.n_streams * LOGFRAME_STREAM_BYTES).ptr;
    ret->pages = reader_bytes(&r, (size_t)ret->head.n_pages * ret->page_bytes).ptr;
    ret->labels = reader_bytes(&r, front.stored);
    if (!reader_ok(&r) || reader_pos(&r) != rest.len || !tables_are_sound(ret, front.head_bytes))
        return torn("tables");
    return NULL;
}

struct logframe_stream logframe_stream_at(const struct logframe *f, uint32_t i)
{
    struct reader r =
        reader_new(slice_of(f->streams + (size_t)i * LOGFRAME_STREAM_BYTES, LOGFRAME_STREAM_BYTES));
    struct logframe_stream s;

    s.fp.lo = reader_u64le(&r);
    s.fp.hi = reader_u64le(&r);
    s.min_ns = (int64_t)reader_u64le(&r);
    s.max_ns = (int64_t)reader_u64le(&r);
    s.bytes = reader_u64le(&r);
    s.entries = reader_u32le(&r);
    s.first_page = reader_u32le(&r);
    s.last_page = reader_u32le(&r);
    return s;
}

struct logframe_page logframe_page_at(const struct logframe *f, uint32_t i)
{
    struct reader r = reader_new(slice_of(f->pages + (size_t)i * f->page_bytes, f->page_bytes));
    struct logframe_page p = {.has_crc = f->has_filters};

    p.offset = reader_u64le(&r);
    p.bytes = reader_u32le(&r);
    p.entries = reader_u32le(&r);
    p.min_ns = (int64_t)reader_u64le(&r);
    p.max_ns = (int64_t)reader_u64le(&r);
    if (p.has_crc) {
        p.filter_bytes = reader_u32le(&r);
        p.filter_class = reader_u32le(&r);
        p.crc = reader_u32le(&r);
    }
    return p;
}

struct slice logframe_page_bytes(const struct logframe *f, uint32_t i)
{
    struct logframe_page p = logframe_page_at(f, i);

    return slice_of(f->bytes.ptr + p.offset, p.bytes);
}

struct slice logframe_filter_bytes(const struct logframe *f, uint32_t i)
{
    struct logframe_page p = logframe_page_at(f, i);

    return slice_of(f->bytes.ptr + p.offset + p.bytes, p.filter_bytes);
}

bool logframe_page_is_whole(const struct logframe *f, uint32_t i)
{
    struct logframe_page p = logframe_page_at(f, i);
    struct slice all = slice_of(f->bytes.ptr + p.offset, (size_t)p.bytes + p.filter_bytes);

    return hash_crc32c(all) == p.crc;
}

bool logframe_find(const struct logframe *f, struct hash128 fp, uint32_t *ret)
{
    uint32_t lo = 0, hi = f->head.n_streams;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = hash128_cmp(logframe_stream_at(f, mid).fp, fp);

        if (c == 0) {
            *ret = mid;
            return true;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

struct err *logframe_labels(const struct logframe *f, struct buf *out)
{
    size_t before = out->len;
    struct err *e = codec_decode(CODEC_ZSTD, f->labels, f->labels_bytes, out);

    if (!e && out->len - before != f->labels_bytes)
        e = torn("labels");
    return e;
}
