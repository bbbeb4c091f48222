#include "common/traces/tracesegment.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"

#define MAGIC "ORRTSG\0\1"
#define END_MAGIC "ORRTSE\0\1"
#define MAGIC_BYTES 8
#define WRITE_BYTES (1u << 20)

struct tracesegment_writer {
    char *path;
    int fd;
    bool is_finished;
    struct arena *arena; /* of one piece */
    struct buf out;      /* not written yet */
    uint64_t offset;     /* of out in the file */
    struct buf index;    /* of the traces before the last one */
    struct tracesegment_trace last;
    uint8_t last_id[16];
    uint64_t last_offset;
    struct tracesegment_totals totals;
};

/* ---- pieces ---- */

struct err *tracesegment_extent(struct arena *a, struct slice piece, uint32_t *ret_spans,
                                int64_t *ret_start_ns, int64_t *ret_end_ns)
{
    int64_t start = INT64_MAX, end = INT64_MIN;
    struct tracepiece p;
    struct err *e = tracepiece_decode(a, piece, &p);

    if (e)
        return e;
    for (uint32_t i = 0; i < p.n_spans; i++) {
        int64_t from = (int64_t)ORR_MIN(p.spans[i].start_ns, (uint64_t)INT64_MAX);
        int64_t to = (int64_t)ORR_MIN(p.spans[i].end_ns, (uint64_t)INT64_MAX);

        start = ORR_MIN(start, ORR_MIN(from, to)); /* some end before they start */
        end = ORR_MAX(end, ORR_MAX(from, to));
    }
    *ret_spans = p.n_spans;
    *ret_start_ns = start;
    *ret_end_ns = end;
    return NULL;
}

/* ---- writing ---- */

struct err *tracesegment_create(const char *path, struct tracesegment_writer **ret)
{
    struct tracesegment_writer *w;
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);

    if (fd < 0)
        return err_errno(ERR_IO, "create %s", path);
    w = mem_new(struct tracesegment_writer);
    w->path = mem_strdup(path);
    w->fd = fd;
    w->arena = arena_new(0);
    w->totals.start_ns = INT64_MAX;
    w->totals.end_ns = INT64_MIN;
    buf_append(&w->out, MAGIC, MAGIC_BYTES);
    *ret = w;
    return NULL;
}

static struct err *write_out(struct tracesegment_writer *w)
{
    struct err *e = fsx_write_all(w->fd, w->path, buf_slice(&w->out));

    w->offset += w->out.len;
    buf_reset(&w->out);
    return e;
}

static void end_trace(struct tracesegment_writer *w)
{
    const struct tracesegment_trace *t = &w->last;

    if (!t->n_pieces)
        return;
    buf_append(&w->index, w->last_id, 16);
    buf_u64le(&w->index, w->last_offset);
    buf_u64le(&w->index, w->offset + w->out.len - w->last_offset);
    buf_u32le(&w->index, t->n_pieces);
    buf_u32le(&w->index, t->n_spans);
    buf_u64le(&w->index, (uint64_t)t->start_ns);
    buf_u64le(&w->index, (uint64_t)t->end_ns);
    w->totals.traces++;
    w->totals.start_ns = ORR_MIN(w->totals.start_ns, t->start_ns);
    w->totals.end_ns = ORR_MAX(w->totals.end_ns, t->end_ns);
    w->last = (struct tracesegment_trace){0};
}

static void begin_trace(struct tracesegment_writer *w, const uint8_t *id)
{
    ORR_ASSERT(!w->totals.traces || memcmp(id, w->last_id, 16) > 0);
    memcpy(w->last_id, id, 16);
    w->last.start_ns = INT64_MAX;
    w->last.end_ns = INT64_MIN;
    w->last_offset = w->offset + w->out.len;
}

struct err *tracesegment_add(struct tracesegment_writer *w, struct slice piece)
{
    int64_t start_ns, end_ns;
    const uint8_t *id;
    uint32_t n;
    struct err *e;

    if (!tracepiece_id(piece, &id))
        return err_new(ERR_CORRUPT, "piece of a trace: not one");
    e = tracesegment_extent(w->arena, piece, &n, &start_ns, &end_ns);
    arena_reset(w->arena);
    if (e)
        return e;
    if (!w->last.n_pieces || memcmp(id, w->last_id, 16) != 0) {
        end_trace(w);
        begin_trace(w, id);
    }
    buf_u32le(&w->out, hash_crc32c(piece));
    buf_lstr(&w->out, piece);
    w->last.n_pieces++;
    w->last.n_spans += n;
    w->last.start_ns = ORR_MIN(w->last.start_ns, start_ns);
    w->last.end_ns = ORR_MAX(w->last.end_ns, end_ns);
    w->totals.pieces++;
    w->totals.spans += n;
    return w->out.len < WRITE_BYTES ? NULL : write_out(w);
}

struct err *tracesegment_finish(struct tracesegment_writer *w, struct tracesegment_totals *ret)
{
    struct tracesegment_totals *t = &w->totals;
    uint64_t at;
    size_t before;
    struct err *e;

    end_trace(w);
    if (t->start_ns > t->end_ns)
        t->start_ns = t->end_ns = 0;
    at = w->offset + w->out.len;
    buf_slice_append(&w->out, buf_slice(&w->index));
    before = w->out.len;
    buf_u64le(&w->out, at);
    buf_u64le(&w->out, t->traces);
    buf_u64le(&w->out, t->pieces);
    buf_u64le(&w->out, t->spans);
    buf_u64le(&w->out, (uint64_t)t->start_ns);
    buf_u64le(&w->out, (uint64_t)t->end_ns);
    buf_u32le(&w->out, hash_crc32c(buf_slice(&w->index)));
    buf_u32le(&w->out, hash_crc32c(slice_from(buf_slice(&w->out), before)));
    buf_append(&w->out, END_MAGIC, MAGIC_BYTES);
    if ((e = write_out(w)))
        return e;
    if (fdatasync(w->fd))
        return err_errno(ERR_IO, "sync %s", w->path);
    t->bytes = w->offset;
    w->is_finished = true;
    *ret = *t;
    return NULL;
}

void tracesegment_writer_free(struct tracesegment_writer *w)
{
    if (!w)
        return;
    (void)close(w->fd);
    if (!w->is_finished)
        (void)unlink(w->path);
    arena_free(w->arena);
    buf_done(&w->out);
    buf_done(&w->index);
    mem_free(w->path);
    mem_free(w);
}

/* ---- reading ---- */

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "file of a segment of traces: %s", what);
}

/* Of each trace, so that what is read by it later lies in the file. */
static struct err *check_index(const struct tracesegment *s, uint64_t pieces_end)
{
    uint64_t at = MAGIC_BYTES;

    for (uint64_t i = 0; i < s->totals.traces; i++) {
        struct reader r =
            reader_new(slice_sub(s->index, i * TRACESEGMENT_INDEX_BYTES, TRACESEGMENT_INDEX_BYTES));
        struct slice id = reader_bytes(&r, 16);
        uint64_t offset = reader_u64le(&r), bytes = reader_u64le(&r);

        if (offset != at || bytes > pieces_end - at)
            return corrupt("a trace does not lie where its pieces are");
        if (i && memcmp(id.ptr - TRACESEGMENT_INDEX_BYTES, id.ptr, 16) >= 0)
            return corrupt("traces are not in order");
        at += bytes;
    }
    return at == pieces_end ? NULL : corrupt("it has bytes of no trace");
}

struct err *tracesegment_open(struct slice bytes, struct tracesegment *ret)
{
    struct tracesegment s = {.bytes = bytes};
    struct slice trailer;
    struct reader r;
    uint64_t at, index_end;
    uint32_t index_crc, crc;
    struct err *e;

    if (bytes.len < MAGIC_BYTES + TRACESEGMENT_TRAILER_BYTES ||
        memcmp(bytes.ptr, MAGIC, MAGIC_BYTES) != 0)
        return corrupt("it does not begin as one");
    index_end = bytes.len - TRACESEGMENT_TRAILER_BYTES;
    trailer = slice_from(bytes, index_end);
    r = reader_new(trailer);
    at = reader_u64le(&r);
    s.totals.traces = reader_u64le(&r);
    s.totals.pieces = reader_u64le(&r);
    s.totals.spans = reader_u64le(&r);
    s.totals.start_ns = (int64_t)reader_u64le(&r);
    s.totals.end_ns = (int64_t)reader_u64le(&r);
    s.totals.bytes = bytes.len;
    index_crc = reader_u32le(&r);
    crc = reader_u32le(&r);
    if (memcmp(reader_rest(&r).ptr, END_MAGIC, MAGIC_BYTES) != 0 ||
        hash_crc32c(slice_sub(trailer, 0, TRACESEGMENT_TRAILER_BYTES - MAGIC_BYTES - 4)) != crc)
        return corrupt("it does not end as one");
    if (at < MAGIC_BYTES || at > index_end || (index_end - at) % TRACESEGMENT_INDEX_BYTES != 0 ||
        (index_end - at) / TRACESEGMENT_INDEX_BYTES != s.totals.traces)
        return corrupt("its index has another size than its number of traces says");
    s.index = slice_sub(bytes, at, index_end - at);
    if (hash_crc32c(s.index) != index_crc)
        return corrupt("the checksum of its index does not fit");
    if ((e = check_index(&s, at)))
        return e;
    *ret = s;
    return NULL;
}

void tracesegment_at(const struct tracesegment *s, uint64_t i, struct tracesegment_trace *ret)
{
    struct reader r =
        reader_new(slice_sub(s->index, i * TRACESEGMENT_INDEX_BYTES, TRACESEGMENT_INDEX_BYTES));
    uint64_t offset, bytes;

    ORR_ASSERT(i < s->totals.traces);
    ret->id = reader_bytes(&r, 16).ptr;
    offset = reader_u64le(&r);
    bytes = reader_u64le(&r);
    ret->n_pieces = reader_u32le(&r);
    ret->n_spans = reader_u32le(&r);
    ret->start_ns = (int64_t)reader_u64le(&r);
    ret->end_ns = (int64_t)reader_u64le(&r);
    ret->bytes = slice_sub(s->bytes, offset, bytes);
}

uint64_t tracesegment_find(const struct tracesegment *s, uint64_t from, const uint8_t id[16])
{
    uint64_t lo = from, hi = s->totals.traces;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;

        if (memcmp(s->index.ptr + mid * TRACESEGMENT_INDEX_BYTES, id, 16) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct err *tracesegment_piece(struct reader *r, const uint8_t id[16], struct slice *ret)
{
    const uint8_t *own;
    struct slice piece;
    uint32_t crc;

    *ret = SLICE_EMPTY;
    if (!reader_left(r))
        return reader_ok(r) ? NULL : corrupt("a piece is cut off");
    crc = reader_u32le(r);
    piece = reader_lstr(r);
    if (!reader_ok(r))
        return corrupt("a piece is cut off");
    if (hash_crc32c(piece) != crc)
        return corrupt("the checksum of a piece does not fit");
    if (!tracepiece_id(piece, &own) || memcmp(own, id, 16) != 0)
        return corrupt("a piece is of another trace");
    *ret = piece;
    return NULL;
}
