#include "common/base/mem.h"
#include "ingester/door/family_wire_internal.h"

/* One repeated field, counted first, so that each gets an array of its size. */
struct column {
    uint32_t n, cap;
    struct histogram_span *spans;
    double *counts;
};

struct family_hist_reader {
    struct arena *a;
    uint64_t count, zero_count;
    double count_float, zero_count_float;
    struct column spans[2], deltas[2], counts[2]; /* negative, positive */
    bool is_bad;
};

/* Elements of a repeated scalar, packed or one. */
static size_t elements(const struct family_field *f, uint32_t type)
{
    size_t n = 0;

    if ((f->tag & 7) != RW_BYTES)
        return (f->tag & 7) == type;
    if (type == RW_FIXED64)
        return f->s.len / 8;
    for (size_t i = 0; i < f->s.len; i++)
        n += !(f->s.ptr[i] & 0x80);
    return n;
}

static void count_field(struct family_hist_reader *r, struct family_hist *h,
                        const struct family_field *f)
{
    uint32_t number = f->tag >> 3;

    switch (number) {
    case 3:
        h->n_buckets++;
        break;
    case 16:
        h->n_exemplars++;
        break;
    case 9:
    case 12:
        r->spans[number == 12].cap++;
        break;
    case 10:
    case 13:
        r->deltas[number == 13].cap += (uint32_t)elements(f, RW_VARINT);
        break;
    case 11:
    case 14:
        r->counts[number == 14].cap += (uint32_t)elements(f, RW_FIXED64);
        break;
    default:
        break;
    }
}

static bool span_read(struct slice message, struct histogram_span *ret)
{
    struct family_field f;

    *ret = (struct histogram_span){0};
    while (family_field_next(&message, &f))
        if (f.tag == FAMILY_TAG(1, RW_VARINT))
            ret->offset = rw_wire_zigzag32((uint32_t)f.u);
        else if (f.tag == FAMILY_TAG(2, RW_VARINT))
            ret->length = (uint32_t)f.u;
    return !f.is_bad;
}

/* Deltas are kept as they are until all are there: doubles would lose their low bits, so they are
 * kept in the same eight bytes. */
static void put_delta(struct column *c, uint64_t u)
{
    int64_t v = rw_wire_zigzag(u);

    memcpy(&c->counts[c->n++], &v, 8);
}

static void read_deltas(struct family_hist_reader *r, struct column *c,
                        const struct family_field *f)
{
    const uint8_t *p, *end;
    uint64_t u;

    if ((f->tag & 7) == RW_VARINT)
        put_delta(c, f->u);
    if ((f->tag & 7) != RW_BYTES)
        return;
    p = f->s.ptr;
    end = p + f->s.len;
    while (p && p < end)
        if ((p = rw_wire_u64(p, end, &u)))
            put_delta(c, u);
    r->is_bad |= !p;
}

static void read_counts(struct family_hist_reader *r, struct column *c,
                        const struct family_field *f)
{
    if ((f->tag & 7) == RW_FIXED64)
        c->counts[c->n++] = f->f;
    if ((f->tag & 7) != RW_BYTES)
        return;
    r->is_bad |= f->s.len % 8 != 0;
    for (size_t i = 0; i + 8 <= f->s.len; i += 8)
        memcpy(&c->counts[c->n++], f->s.ptr + i, 8);
}

static bool bucket_read(struct arena *a, struct slice message, struct family_bucket *ret)
{
    struct family_field f;
    double count = 0, count_float = 0;

    *ret = (struct family_bucket){0};
    while (family_field_next(&message, &f))
        switch (f.tag) {
        case FAMILY_TAG(1, RW_VARINT):
            count = (double)f.u;
            break;
        case FAMILY_TAG(4, RW_FIXED64):
            count_float = f.f;
            break;
        case FAMILY_TAG(2, RW_FIXED64):
            ret->upper_bound = f.f;
            break;
        case FAMILY_TAG(3, RW_BYTES):
            ret->has_exemplar = true;
            if (!family_exemplar_read(a, f.s, &ret->exemplar))
                return false;
            break;
        default:
            break;
        }
    ret->count = count_float != 0 ? count_float : count;
    return !f.is_bad;
}

static void read_scalar(struct family_hist_reader *r, struct family_hist *h,
                        const struct family_field *f)
{
    switch (f->tag) {
    case FAMILY_TAG(1, RW_VARINT):
        r->count = f->u;
        break;
    case FAMILY_TAG(4, RW_FIXED64):
        r->count_float = f->f;
        break;
    case FAMILY_TAG(2, RW_FIXED64):
        h->r.h.sum = f->f;
        break;
    case FAMILY_TAG(5, RW_VARINT):
        h->r.h.schema = rw_wire_zigzag32((uint32_t)f->u);
        break;
    case FAMILY_TAG(6, RW_FIXED64):
        h->r.h.zero_threshold = f->f;
        break;
    case FAMILY_TAG(7, RW_VARINT):
        r->zero_count = f->u;
        break;
    case FAMILY_TAG(8, RW_FIXED64):
        r->zero_count_float = f->f;
        break;
    case FAMILY_TAG(15, RW_BYTES):
        h->created_ms = family_time(f->s, &r->is_bad);
        break;
    default:
        break;
    }
}

/* The arrays of h, filled in order. */
struct parts {
    struct family_bucket *buckets;
    struct family_exemplar *exemplars;
    size_t n_buckets, n_exemplars;
};

static void read_field(struct family_hist_reader *r, struct family_hist *h, struct parts *parts,
                       const struct family_field *f)
{
    uint32_t number = f->tag >> 3;
    struct column *spans = &r->spans[number == 12];

    switch (number) {
    case 3:
        r->is_bad |= (f->tag & 7) != RW_BYTES ||
                     !bucket_read(r->a, f->s, &parts->buckets[parts->n_buckets++]);
        break;
    case 16:
        r->is_bad |= (f->tag & 7) != RW_BYTES ||
                     !family_exemplar_read(r->a, f->s, &parts->exemplars[parts->n_exemplars++]);
        break;
    case 9:
    case 12:
        r->is_bad |= (f->tag & 7) != RW_BYTES || !span_read(f->s, &spans->spans[spans->n++]);
        break;
    case 10:
    case 13:
        read_deltas(r, &r->deltas[number == 13], f);
        break;
    case 11:
    case 14:
        read_counts(r, &r->counts[number == 14], f);
        break;
    default:
        read_scalar(r, h, f);
        break;
    }
}

/* Deltas, kept as integers, to counts. */
static uint64_t sum_deltas(struct column *c, bool *ret_negative)
{
    uint64_t count = 0, sum = 0, delta;

    for (size_t i = 0; i < c->n; i++) {
        memcpy(&delta, &c->counts[i], 8);
        count += delta;
        *ret_negative |= (int64_t)count < 0;
        sum += count;
        c->counts[i] = (double)(int64_t)count;
    }
    return sum;
}

static void fill(struct family_hist_reader *r, struct family_hist *h)
{
    bool is_float = r->count_float > 0 || r->zero_count_float > 0;
    struct column *neg = is_float ? &r->counts[0] : &r->deltas[0];
    struct column *pos = is_float ? &r->counts[1] : &r->deltas[1];
    struct histogram *to = &h->r.h;

    h->classic_count = r->count_float != 0 ? r->count_float : (double)r->count;
    h->is_native = r->spans[0].n || r->spans[1].n || to->zero_threshold > 0 || r->zero_count > 0;
    to->is_int = !is_float;
    if (is_float) {
        to->count = r->count_float;
        to->zero_count = r->zero_count_float;
    } else {
        h->r.count = r->count;
        h->r.zero_count = r->zero_count;
        h->r.neg_sum = sum_deltas(neg, &h->r.has_negative_bucket);
        h->r.pos_sum = sum_deltas(pos, &h->r.has_negative_bucket);
        to->count = (double)r->count;
        to->zero_count = (double)r->zero_count;
    }
    to->neg_spans = r->spans[0].spans;
    to->n_neg_spans = r->spans[0].n;
    to->pos_spans = r->spans[1].spans;
    to->n_pos_spans = r->spans[1].n;
    to->neg_buckets = neg->counts;
    to->n_neg_buckets = neg->n;
    to->pos_buckets = pos->counts;
    to->n_pos_buckets = pos->n;
}

struct err *family_hist_read(struct arena *a, struct slice message, size_t max_buckets,
                             struct family_hist *ret)
{
    struct family_hist_reader r = {.a = a};
    struct family_hist h = {0};
    struct slice rest = message;
    struct family_field f;
    struct parts parts = {0};

    while (family_field_next(&rest, &f))
        count_field(&r, &h, &f);
    if (f.is_bad)
        return family_malformed("Histogram");
    if (h.n_buckets > FAMILY_MAX_BUCKETS || h.n_exemplars > FAMILY_MAX_BUCKETS)
        return err_new(ERR_LIMIT, "histogram with more than %d buckets or exemplars",
                       FAMILY_MAX_BUCKETS);
    for (int side = 0; side < 2; side++) {
        if (r.spans[side].cap > max_buckets || r.deltas[side].cap > max_buckets ||
            r.counts[side].cap > max_buckets)
            return err_new(ERR_LIMIT, "histogram with more than %zu buckets", max_buckets);
        r.spans[side].spans = arena_array(a, struct histogram_span, r.spans[side].cap + 1);
        r.deltas[side].counts = arena_array(a, double, r.deltas[side].cap + 1);
        r.counts[side].counts = arena_array(a, double, r.counts[side].cap + 1);
    }
    h.buckets = parts.buckets = arena_array(a, struct family_bucket, h.n_buckets + 1);
    h.exemplars = parts.exemplars = arena_array(a, struct family_exemplar, h.n_exemplars + 1);
    for (rest = message; family_field_next(&rest, &f);)
        read_field(&r, &h, &parts, &f);
    if (r.is_bad)
        return family_malformed("Histogram");
    fill(&r, &h);
    if (h.r.h.n_neg_buckets + h.r.h.n_pos_buckets > max_buckets)
        return err_new(ERR_LIMIT, "histogram with more than %zu buckets", max_buckets);
    *ret = h;
    return NULL;
}

/* An empty span says "native" of a histogram without observations; as a part of it, it only moves
 * what follows. */
static size_t drop_empty(struct histogram_span *spans, size_t n)
{
    int64_t gap = 0;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        gap += spans[i].offset;
        if (spans[i].length == 0)
            continue;
        /* What does not fit cannot be meant; the check refuses a span that goes back. */
        spans[kept].offset = gap > INT32_MAX || gap < INT32_MIN ? INT32_MIN : (int32_t)gap;
        spans[kept++].length = spans[i].length;
        gap = 0;
    }
    return kept;
}

struct err *family_hist_check(struct arena *a, struct family_hist *h)
{
    struct histogram *r = &h->r.h;

    r->n_pos_spans = drop_empty((struct histogram_span *)r->pos_spans, r->n_pos_spans);
    r->n_neg_spans = drop_empty((struct histogram_span *)r->neg_spans, r->n_neg_spans);
    return rw_histogram_check(a, &h->r);
}
