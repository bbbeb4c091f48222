#include "common/base/reader.h"
#include "common/logblock/logblock_internal.h"

void logblock_directory_put_page(struct buf *pages, const struct logblock_page_at *p)
{
    buf_u64le(pages, p->offset);
    buf_u32le(pages, p->bytes);
    buf_u32le(pages, p->entries);
    buf_u64le(pages, p->raw);
    buf_u64le(pages, (uint64_t)p->min_ns);
    buf_u64le(pages, (uint64_t)p->max_ns);
    buf_u32le(pages, p->crc);
}

void logblock_directory_put_stream(struct buf *streams, const struct logblock_stream_at *s)
{
    buf_u64le(streams, s->fp.lo);
    buf_u64le(streams, s->fp.hi);
    buf_u64le(streams, s->entries);
    buf_u64le(streams, s->bytes);
}

void logblock_directory_write(struct slice pages, struct slice streams, struct buf *out)
{
    buf_reset(out);
    buf_append(out, LOGBLOCK_DIRECTORY_MAGIC, LOGBLOCK_DIRECTORY_MAGIC_BYTES);
    buf_u32le(out, (uint32_t)(pages.len / LOGBLOCK_DIRECTORY_PAGE));
    buf_u32le(out, (uint32_t)(streams.len / LOGBLOCK_DIRECTORY_STREAM));
    buf_slice_append(out, pages);
    buf_slice_append(out, streams);
    buf_u32le(out, hash_crc32c(buf_slice(out)));
}

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, LOGBLOCK_DIRECTORY_FILE ": %s", what);
}

struct logblock_page_at logblock_directory_page(const struct logblock_directory *d, uint32_t i)
{
    struct reader r = reader_new(
        slice_of(d->pages + (size_t)i * LOGBLOCK_DIRECTORY_PAGE, LOGBLOCK_DIRECTORY_PAGE));
    struct logblock_page_at p;

    p.offset = reader_u64le(&r);
    p.bytes = reader_u32le(&r);
    p.entries = reader_u32le(&r);
    p.raw = reader_u64le(&r);
    p.min_ns = (int64_t)reader_u64le(&r);
    p.max_ns = (int64_t)reader_u64le(&r);
    p.crc = reader_u32le(&r);
    return p;
}

struct logblock_stream_at logblock_directory_stream(const struct logblock_directory *d, uint32_t i)
{
    struct reader r = reader_new(
        slice_of(d->streams + (size_t)i * LOGBLOCK_DIRECTORY_STREAM, LOGBLOCK_DIRECTORY_STREAM));
    struct logblock_stream_at s;

    s.fp.lo = reader_u64le(&r);
    s.fp.hi = reader_u64le(&r);
    s.entries = reader_u64le(&r);
    s.bytes = reader_u64le(&r);
    return s;
}

struct sums {
    uint64_t entries, bytes;
};

static struct err *check_pages(struct logblock_directory *d, struct sums *ret)
{
    for (uint32_t i = 0; i < d->n_pages; i++) {
        struct logblock_page_at p = logblock_directory_page(d, i);

        if (p.offset != d->pages_bytes || p.bytes < LOGPAGE_HEADER_BYTES ||
            p.bytes > LOGBLOCK_MAX_PAGE_BYTES)
            return corrupt("a page lies where it cannot");
        if (p.entries == 0 || p.entries > LOGPAGE_MAX_ENTRIES || p.raw > LOGPAGE_MAX_BYTES ||
            p.min_ns > p.max_ns)
            return corrupt("a page that cannot be");
        d->pages_bytes += p.bytes;
        ret->entries += p.entries;
        ret->bytes += p.raw;
    }
    return NULL;
}

static struct err *check_streams(const struct logblock_directory *d, struct sums left)
{
    struct hash128 before = {0, 0};

    for (uint32_t i = 0; i < d->n_streams; i++) {
        struct logblock_stream_at s = logblock_directory_stream(d, i);

        if (i && hash128_cmp(before, s.fp) >= 0)
            return corrupt("streams out of order");
        if (s.entries == 0 || s.entries > left.entries || s.bytes > left.bytes)
            return corrupt("streams have more than the pages");
        left.entries -= s.entries;
        left.bytes -= s.bytes;
        before = s.fp;
    }
    return left.entries || left.bytes ? corrupt("pages have more than the streams") : NULL;
}

struct err *logblock_directory_parse(struct slice bytes, struct logblock_directory *ret)
{
    struct logblock_directory d = {0};
    struct reader r = reader_new(bytes);
    struct slice magic = reader_bytes(&r, LOGBLOCK_DIRECTORY_MAGIC_BYTES);
    struct sums sums = {0};
    struct err *e;

    d.n_pages = reader_u32le(&r);
    d.n_streams = reader_u32le(&r);
    if (!reader_ok(&r) || memcmp(magic.ptr, LOGBLOCK_DIRECTORY_MAGIC, magic.len) != 0)
        return corrupt("it is none");
    if (d.n_pages > LOGBLOCK_MAX_PAGES || d.n_streams > LOGBLOCK_MAX_STREAMS)
        return corrupt("its counts");
    d.pages = reader_bytes(&r, (size_t)d.n_pages * LOGBLOCK_DIRECTORY_PAGE).ptr;
    d.streams = reader_bytes(&r, (size_t)d.n_streams * LOGBLOCK_DIRECTORY_STREAM).ptr;
    if (!reader_ok(&r) || reader_left(&r) != 4)
        return corrupt("its length");
    if (reader_u32le(&r) != hash_crc32c(slice_sub(bytes, 0, bytes.len - 4)))
        return corrupt("checksum");
    if ((e = check_pages(&d, &sums)) || (e = check_streams(&d, sums)))
        return e;
    d.entries = sums.entries;
    *ret = d;
    return NULL;
}
