#include "querier/api/remote_read_wire.h"

#include "common/base/hash.h"
#include "common/proto/remote_read.pb-c.h"

/* ---- requests ---- */

static void *arena_alloc_pb(void *arg, size_t bytes)
{
    return arena_alloc(arg, bytes);
}

static void arena_free_pb(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

static struct slice from_pb(ProtobufCBinaryData d)
{
    return d.len ? slice_of(d.data, d.len) : SLICE_EMPTY;
}

static struct err *take_matchers(struct arena *a, const Promread__Query *pb,
                                 struct remote_read_query *q)
{
    struct matcher *ms = arena_array(a, struct matcher, pb->n_matchers + 1);
    struct err *e = NULL;

    q->matchers.ptr = ms;
    if (pb->n_matchers > REMOTE_READ_MAX_MATCHERS)
        return err_new(ERR_INVALID, "a query with %zu matchers, more than %d", pb->n_matchers,
                       REMOTE_READ_MAX_MATCHERS);
    for (size_t i = 0; i < pb->n_matchers; i++) {
        const Promread__LabelMatcher *m = pb->matchers[i];

        if (m->type < MATCHER_EQ || m->type > MATCHER_NRE)
            return err_new(ERR_INVALID, "invalid matcher type");
        if ((e = matcher_init(a, (enum matcher_op)m->type, from_pb(m->name), from_pb(m->value),
                              &ms[i])))
            return e;
        q->matchers.n++; /* those that remote_read_done() ends */
    }
    return NULL;
}

static struct err *take_query(struct arena *a, const Promread__Query *pb,
                              struct remote_read_query *q)
{
    q->min_ms = pb->start_timestamp_ms;
    q->max_ms = pb->end_timestamp_ms;
    if (pb->hints) {
        q->step_ms = pb->hints->step_ms;
        q->range_ms = pb->hints->range_ms;
        q->func = from_pb(pb->hints->func);
        /* zeros are a client that fills in no hints */
        if (pb->hints->start_ms)
            q->min_ms = ORR_MAX(q->min_ms, pb->hints->start_ms);
        if (pb->hints->end_ms)
            q->max_ms = ORR_MIN(q->max_ms, pb->hints->end_ms);
    }
    return take_matchers(a, pb, q);
}

static struct err *choose_kind(const Promread__ReadRequest *pb, enum remote_read_kind *ret)
{
    *ret = REMOTE_READ_SAMPLES;
    for (size_t i = 0; i < pb->n_accepted_response_types; i++) {
        int32_t type = pb->accepted_response_types[i];

        if (type == REMOTE_READ_SAMPLES || type == REMOTE_READ_CHUNKS) {
            *ret = (enum remote_read_kind)type;
            return NULL;
        }
    }
    if (pb->n_accepted_response_types == 0)
        return NULL;
    return err_new(ERR_UNSUPPORTED,
                   "server does not support any of the requested response types: SAMPLES and "
                   "STREAMED_XOR_CHUNKS are what there is");
}

struct err *remote_read_decode(struct arena *a, struct slice bytes, struct remote_read *ret)
{
    ProtobufCAllocator allocator = {arena_alloc_pb, arena_free_pb, a};
    Promread__ReadRequest *pb;
    struct remote_read r = {0};
    struct err *e;

    if (bytes.len > REMOTE_READ_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "a remote read request of %zu bytes", bytes.len);
    if (!(pb = promread__read_request__unpack(&allocator, bytes.len, bytes.ptr)))
        return err_new(ERR_INVALID, "not a prometheus.ReadRequest");
    if (pb->n_queries > REMOTE_READ_MAX_QUERIES)
        return err_new(ERR_INVALID, "%zu queries in one request, more than %d", pb->n_queries,
                       REMOTE_READ_MAX_QUERIES);
    if ((e = choose_kind(pb, &r.kind)))
        return e;
    r.queries = arena_array(a, struct remote_read_query, pb->n_queries + 1);
    for (size_t i = 0; i < pb->n_queries && !e; i++) {
        r.n++;
        e = take_query(a, pb->queries[i], &r.queries[i]);
    }
    if (e)
        remote_read_done(&r);
    else
        *ret = r;
    return e;
}

void remote_read_done(struct remote_read *r)
{
    for (size_t i = 0; i < r->n; i++)
        matchers_done(r->queries[i].matchers);
    r->n = 0;
}

/* ---- protobuf ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };

static void put_key(struct buf *out, unsigned field, unsigned wire)
{
    buf_uvarint(out, field << 3 | wire);
}

static void put_varint(struct buf *out, unsigned field, uint64_t v)
{
    if (!v)
        return;
    put_key(out, field, VARINT);
    buf_uvarint(out, v);
}

static void put_zigzag(struct buf *out, unsigned field, int64_t v)
{
    if (!v)
        return;
    put_key(out, field, VARINT);
    buf_varint(out, v);
}

static void put_double(struct buf *out, unsigned field, double v)
{
    if (sample_bits(v) == 0)
        return;
    put_key(out, field, FIXED64);
    buf_f64le(out, v);
}

static size_t varint_bytes(uint64_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

void remote_read_nest(struct buf *out, unsigned field, struct slice message)
{
    put_key(out, field, BYTES);
    buf_lstr(out, message);
}

void remote_read_labels(struct buf *out, struct labels ls)
{
    /* the canonical bytes are just this field */
    labels_canonical(out, ls);
}

void remote_read_sample(struct buf *out, int64_t t_ms, double v)
{
    size_t n = (sample_bits(v) ? 9u : 0u) + (t_ms ? 1 + varint_bytes((uint64_t)t_ms) : 0u);

    put_key(out, 2, BYTES);
    buf_uvarint(out, n);
    put_double(out, 1, v);
    put_varint(out, 2, (uint64_t)t_ms);
}

static void put_spans(struct buf *out, unsigned field, const struct histogram_span *spans, size_t n)
{
    struct buf one = {0};

    for (size_t i = 0; i < n; i++) {
        buf_reset(&one);
        put_zigzag(&one, 1, spans[i].offset);
        put_varint(&one, 2, spans[i].length);
        remote_read_nest(out, field, buf_slice(&one));
    }
    buf_done(&one);
}

/* Absolute counts as deltas to the one before. */
static void put_deltas(struct buf *out, unsigned field, const double *counts, size_t n)
{
    struct buf packed = {0};
    int64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        buf_varint(&packed, (int64_t)counts[i] - last);
        last = (int64_t)counts[i];
    }
    if (n)
        remote_read_nest(out, field, buf_slice(&packed));
    buf_done(&packed);
}

static void put_doubles(struct buf *out, unsigned field, const double *v, size_t n)
{
    if (!n)
        return;
    put_key(out, field, BYTES);
    buf_uvarint(out, n * 8);
    for (size_t i = 0; i < n; i++)
        buf_f64le(out, v[i]);
}

/* The members of a oneof are written though they are 0. */
static void put_count(struct buf *out, unsigned field, bool is_int, double v)
{
    put_key(out, is_int ? field : field + 1, is_int ? VARINT : FIXED64);
    if (is_int)
        buf_uvarint(out, (uint64_t)v);
    else
        buf_f64le(out, v);
}

static void put_buckets(struct buf *out, const struct histogram *h, bool is_int)
{
    put_spans(out, 8, h->neg_spans, h->n_neg_spans);
    if (is_int)
        put_deltas(out, 9, h->neg_buckets, h->n_neg_buckets);
    else
        put_doubles(out, 10, h->neg_buckets, h->n_neg_buckets);
    put_spans(out, 11, h->pos_spans, h->n_pos_spans);
    if (is_int)
        put_deltas(out, 12, h->pos_buckets, h->n_pos_buckets);
    else
        put_doubles(out, 13, h->pos_buckets, h->n_pos_buckets);
}

void remote_read_histogram(struct buf *out, int64_t t_ms, const struct histogram *h)
{
    bool is_int = h->is_int && chunk_hist_is_int(h);
    struct buf b = {0};

    put_count(&b, 1, is_int, h->count);
    put_double(&b, 3, h->sum);
    put_zigzag(&b, 4, h->schema);
    put_double(&b, 5, h->zero_threshold);
    put_count(&b, 6, is_int, h->zero_count);
    put_buckets(&b, h, is_int);
    put_varint(&b, 14, (uint64_t)h->hint);
    put_varint(&b, 15, (uint64_t)t_ms);
    put_doubles(&b, 16, h->custom_bounds, h->n_custom_bounds);
    remote_read_nest(out, 4, buf_slice(&b));
    buf_done(&b);
}

/* ---- chunks ---- */

void remote_read_chunk(struct buf *out, const struct chunk *c)
{
    struct buf b = {0};

    put_varint(&b, 1, (uint64_t)c->min_t);
    put_varint(&b, 2, (uint64_t)c->max_t);
    put_varint(&b, 3, c->encoding);
    remote_read_nest(&b, 4, c->data);
    remote_read_nest(out, 2, buf_slice(&b));
    buf_done(&b);
}

void remote_read_frame(struct buf *out, struct slice series, size_t query_index)
{
    struct buf b = {0};

    remote_read_nest(&b, 1, series);
    put_varint(&b, 2, query_index);
    buf_uvarint(out, b.len);
    buf_u32be(out, hash_crc32c(buf_slice(&b)));
    buf_slice_append(out, buf_slice(&b));
    buf_done(&b);
}
