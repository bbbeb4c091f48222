#include "ingester/door/family_wire.h"

#include <math.h>

#include "common/model/textformat.h"
#include "ingester/door/family_wire_internal.h"

#define MAX_METRIC_LABELS TEXTFORMAT_MAX_LABELS

enum family_type { COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM, FAMILY_TYPES };
static const enum sample_metric_type types[FAMILY_TYPES] = {
    METRIC_COUNTER_TYPE, METRIC_GAUGE_TYPE, METRIC_SUMMARY,
    METRIC_UNKNOWN,      METRIC_HISTOGRAM,  METRIC_GAUGEHISTOGRAM};

struct family_walk {
    struct arena *a;
    const struct family_ops *ops;
    void *arg;
    size_t max_buckets;
    struct family_meta meta;
    enum family_type type;
    struct slice count_name, sum_name, bucket_name;
    /* Labels of the metric under way: the name, its own, room for le or quantile. */
    struct label *labels;
    size_t n_labels, cap_labels;
};

struct err *family_malformed(const char *message)
{
    return err_new(ERR_INVALID, "%s: malformed protobuf", message);
}

bool family_field_next(struct slice *rest, struct family_field *ret)
{
    const uint8_t *p = rest->ptr, *end = rest->ptr + rest->len;

    *ret = (struct family_field){.s = SLICE_EMPTY};
    if (rest->len == 0)
        return false;
    p = rw_wire_tag(p, end, &ret->tag);
    switch (p ? ret->tag & 7 : 8) {
    case RW_VARINT:
        p = rw_wire_u64(p, end, &ret->u);
        break;
    case RW_FIXED64:
        p = rw_wire_f64(p, end, &ret->f);
        break;
    case RW_BYTES:
        p = rw_wire_bytes(p, end, &ret->s);
        break;
    default:
        p = p ? rw_wire_skip(p, end, ret->tag) : NULL;
    }
    ret->is_bad = !p;
    *rest = p ? slice_of(p, (size_t)(end - p)) : SLICE_EMPTY;
    return p != NULL;
}

int64_t family_time(struct slice message, bool *ret_bad)
{
    int64_t seconds = 0, nanos = 0, ms;
    struct family_field f;

    while (family_field_next(&message, &f))
        if (f.tag == FAMILY_TAG(1, RW_VARINT))
            seconds = (int64_t)f.u;
        else if (f.tag == FAMILY_TAG(2, RW_VARINT))
            nanos = (int32_t)f.u;
    *ret_bad |= f.is_bad;
    return __builtin_mul_overflow(seconds, MS_PER_SECOND, &ms) ||
                   __builtin_add_overflow(ms, nanos / 1000000, &ms)
               ? 0
               : ms;
}

static bool label_pair(struct slice message, struct label *ret)
{
    struct family_field f;

    *ret = (struct label){SLICE_EMPTY, SLICE_EMPTY};
    while (family_field_next(&message, &f))
        if (f.tag == FAMILY_TAG(1, RW_BYTES))
            ret->name = f.s;
        else if (f.tag == FAMILY_TAG(2, RW_BYTES))
            ret->value = f.s;
    return !f.is_bad;
}

/* ---- exemplars ---- */

bool family_exemplar_read(struct arena *a, struct slice message, struct family_exemplar *ret)
{
    struct slice rest = message;
    struct family_field f;
    struct label *labels;
    size_t n = 0;
    bool is_bad = false;

    while (family_field_next(&rest, &f))
        n += f.tag == FAMILY_TAG(1, RW_BYTES);
    *ret = (struct family_exemplar){0};
    if (f.is_bad || n > MAX_METRIC_LABELS)
        return false;
    ret->labels = labels = arena_array(a, struct label, n + 1);
    for (rest = message; family_field_next(&rest, &f);)
        switch (f.tag) {
        case FAMILY_TAG(1, RW_BYTES):
            is_bad |= !label_pair(f.s, &labels[ret->n_labels++]);
            break;
        case FAMILY_TAG(2, RW_FIXED64):
            ret->value = f.f;
            break;
        case FAMILY_TAG(3, RW_BYTES):
            ret->has_time = true;
            ret->t_ms = family_time(f.s, &is_bad);
            break;
        default:
            break;
        }
    return !is_bad;
}

/* ---- a metric ---- */

struct metric {
    struct slice value; /* the Gauge, Counter, ... message */
    int64_t t_ms;
};

static bool add_metric_label(struct family_walk *w, struct label l)
{
    if (w->n_labels == MAX_METRIC_LABELS)
        return false;
    if (w->n_labels + 1 >= w->cap_labels) {
        size_t cap = w->cap_labels ? 2 * w->cap_labels : 32, each = sizeof(*w->labels);

        w->labels = arena_grow(w->a, w->labels, w->cap_labels * each, cap * each);
        w->cap_labels = cap;
    }
    w->labels[w->n_labels++] = l;
    return true;
}

static struct err *metric_open(struct family_walk *w, struct slice message, struct metric *ret)
{
    static const uint32_t value_field[FAMILY_TYPES] = {3, 2, 4, 5, 7, 7};
    struct family_field f;
    struct label l;

    *ret = (struct metric){.value = SLICE_EMPTY};
    w->n_labels = 0;
    (void)add_metric_label(w, (struct label){SLICE(LABEL_NAME), w->meta.name});
    while (family_field_next(&message, &f)) {
        if (f.tag == FAMILY_TAG(1, RW_BYTES)) {
            if (!label_pair(f.s, &l))
                return family_malformed("LabelPair");
            if (!add_metric_label(w, l))
                return err_new(ERR_INVALID, "a metric with more than %d labels", MAX_METRIC_LABELS);
        } else if (f.tag == FAMILY_TAG(6, RW_VARINT)) {
            ret->t_ms = (int64_t)f.u;
        } else if (f.tag == FAMILY_TAG(value_field[w->type], RW_BYTES)) {
            ret->value = f.s;
        }
    }
    return f.is_bad ? family_malformed("Metric") : NULL;
}

static struct err *emit(struct family_walk *w, const struct metric *m, struct slice name,
                        const struct label *magic, struct family_series *s)
{
    w->labels[0].value = name;
    if (magic)
        w->labels[w->n_labels] = *magic; /* there is room: add_metric_label() */
    s->labels = w->labels;
    s->n_labels = w->n_labels + (magic != NULL);
    s->has_time = m->t_ms != 0;
    s->t_ms = m->t_ms;
    return w->ops->series(w->arg, s);
}

static struct err *plain(struct family_walk *w, const struct metric *m)
{
    struct family_series s = {0};
    struct family_exemplar x;
    struct slice rest = m->value;
    struct family_field f;
    bool is_bad = false;

    while (family_field_next(&rest, &f)) {
        if (f.tag == FAMILY_TAG(1, RW_FIXED64)) {
            s.value = f.f;
        } else if (w->type == COUNTER && f.tag == FAMILY_TAG(2, RW_BYTES)) {
            is_bad |= !family_exemplar_read(w->a, f.s, &x);
            s.exemplars = &x;
            s.n_exemplars = 1;
        } else if (w->type == COUNTER && f.tag == FAMILY_TAG(3, RW_BYTES)) {
            s.created_ms = family_time(f.s, &is_bad);
        }
    }
    if (f.is_bad || is_bad)
        return family_malformed("Counter or Gauge");
    return emit(w, m, w->meta.name, NULL, &s);
}

static struct label float_label(struct family_walk *w, struct slice name, double v)
{
    struct label l = {name, SLICE("+Inf")};
    struct buf b = {0};

    if (!(isinf(v) && v > 0)) {
        textformat_float(&b, v);
        l.value = arena_dup(w->a, buf_slice(&b));
        buf_done(&b);
    }
    return l;
}

static bool quantile_read(struct slice message, double *ret_q, double *ret_v)
{
    struct family_field f;

    *ret_q = *ret_v = 0;
    while (family_field_next(&message, &f))
        if (f.tag == FAMILY_TAG(1, RW_FIXED64))
            *ret_q = f.f;
        else if (f.tag == FAMILY_TAG(2, RW_FIXED64))
            *ret_v = f.f;
    return !f.is_bad;
}

static struct err *summary(struct family_walk *w, const struct metric *m)
{
    struct family_series s = {0};
    struct slice rest = m->value;
    struct family_field f;
    double count = 0, sum = 0, q, v;
    bool is_bad = false;
    struct err *e;

    while (family_field_next(&rest, &f))
        if (f.tag == FAMILY_TAG(1, RW_VARINT))
            count = (double)f.u;
        else if (f.tag == FAMILY_TAG(2, RW_FIXED64))
            sum = f.f;
        else if (f.tag == FAMILY_TAG(4, RW_BYTES))
            s.created_ms = family_time(f.s, &is_bad);
    if (f.is_bad || is_bad)
        return family_malformed("Summary");
    s.value = count;
    if ((e = emit(w, m, w->count_name, NULL, &s)))
        return e;
    s.value = sum;
    if ((e = emit(w, m, w->sum_name, NULL, &s)))
        return e;
    for (rest = m->value; family_field_next(&rest, &f);) {
        struct label l;

        if (f.tag != FAMILY_TAG(3, RW_BYTES))
            continue;
        if (!quantile_read(f.s, &q, &v))
            return family_malformed("Quantile");
        l = float_label(w, SLICE("quantile"), q);
        s.value = v;
        if ((e = emit(w, m, w->meta.name, &l, &s)))
            return e;
    }
    return NULL;
}

static struct err *classic(struct family_walk *w, const struct metric *m,
                           const struct family_hist *h)
{
    struct family_series s = {.created_ms = h->created_ms};
    bool has_inf = false;
    struct err *e;

    s.value = h->classic_count;
    if ((e = emit(w, m, w->count_name, NULL, &s)))
        return e;
    s.value = h->r.h.sum;
    if ((e = emit(w, m, w->sum_name, NULL, &s)))
        return e;
    /* What follows a bucket of +Inf is not looked at. */
    for (size_t i = 0; i < h->n_buckets && !has_inf; i++) {
        const struct family_bucket *b = &h->buckets[i];
        struct label l = float_label(w, SLICE("le"), b->upper_bound);

        has_inf = isinf(b->upper_bound) && b->upper_bound > 0;
        s.value = b->count;
        s.exemplars = &b->exemplar;
        s.n_exemplars = b->has_exemplar;
        if ((e = emit(w, m, w->bucket_name, &l, &s)))
            return e;
    }
    if (has_inf)
        return NULL;
    s.value = h->classic_count;
    s.n_exemplars = 0;
    return emit(w, m, w->bucket_name, &(struct label){SLICE_INIT("le"), SLICE_INIT("+Inf")}, &s);
}

static struct err *native(struct family_walk *w, const struct metric *m, struct family_hist *h)
{
    struct family_series s = {.created_ms = h->created_ms, .histogram = &h->r.h};
    struct family_exemplar *xs;
    struct err *e = family_hist_check(w->a, h);

    if (e)
        return err_wrap(e, "%.*s", SLICE_ARG(slice_sub(w->meta.name, 0, 200)));
    if (w->type == GAUGE_HISTOGRAM)
        h->r.h.hint = HISTOGRAM_GAUGE;
    s.exemplars = xs = arena_array(w->a, struct family_exemplar, h->n_exemplars + h->n_buckets + 1);
    for (size_t i = 0; i < h->n_exemplars; i++)
        if (h->exemplars[i].has_time)
            xs[s.n_exemplars++] = h->exemplars[i];
    for (size_t i = 0; i < h->n_buckets && !h->n_exemplars; i++)
        if (h->buckets[i].has_exemplar && h->buckets[i].exemplar.has_time)
            xs[s.n_exemplars++] = h->buckets[i].exemplar;
    return emit(w, m, w->meta.name, NULL, &s);
}

static struct err *metric(struct family_walk *w, struct slice message)
{
    struct family_hist h;
    struct metric m;
    struct err *e = metric_open(w, message, &m);

    if (e)
        return e;
    switch (w->type) {
    case SUMMARY:
        return summary(w, &m);
    case HISTOGRAM:
    case GAUGE_HISTOGRAM:
        if ((e = family_hist_read(w->a, m.value, w->max_buckets, &h)))
            return e;
        return h.is_native ? native(w, &m, &h) : classic(w, &m, &h);
    default:
        return plain(w, &m);
    }
}

/* ---- families ---- */

static bool is_unit_of(struct slice name, struct slice unit)
{
    return slice_has_suffix(name, unit) && name.len > unit.len &&
           name.ptr[name.len - unit.len - 1] == '_';
}

static struct err *check_meta(const struct family_walk *w, uint64_t type)
{
    struct slice name = w->meta.name, unit = w->meta.unit;

    if (type >= FAMILY_TYPES)
        return err_new(ERR_INVALID, "unknown metric type %llu", (unsigned long long)type);
    if (type == COUNTER && slice_has_suffix(name, SLICE("_total")))
        name.len -= strlen("_total");
    if (unit.len && !is_unit_of(name, unit))
        return err_new(ERR_INVALID, "unit %.*s is not a suffix of metric %.*s",
                       SLICE_ARG(slice_sub(unit, 0, 200)), SLICE_ARG(slice_sub(name, 0, 200)));
    return NULL;
}

static struct slice suffixed(struct family_walk *w, const char *suffix)
{
    size_t n = w->meta.name.len, k = strlen(suffix);
    uint8_t *p = arena_alloc(w->a, n + k);

    memcpy(p, w->meta.name.ptr, n);
    memcpy(p + n, suffix, k);
    return slice_of(p, n + k);
}

static void name_parts(struct family_walk *w)
{
    if (w->type == COUNTER || w->type == GAUGE || w->type == UNTYPED)
        return;
    w->count_name = suffixed(w, "_count");
    w->sum_name = suffixed(w, "_sum");
    w->bucket_name = suffixed(w, "_bucket");
}

/* The unit comes behind the metrics: two walks. */
static struct err *family_open(struct family_walk *w, struct slice message, bool *ret_has_metric)
{
    struct family_field f;
    uint64_t type = COUNTER;
    struct err *e;

    w->meta = (struct family_meta){SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, METRIC_UNKNOWN};
    *ret_has_metric = false;
    while (family_field_next(&message, &f))
        switch (f.tag) {
        case FAMILY_TAG(1, RW_BYTES):
            w->meta.name = f.s;
            break;
        case FAMILY_TAG(2, RW_BYTES):
            w->meta.help = f.s;
            break;
        case FAMILY_TAG(3, RW_VARINT):
            type = f.u;
            break;
        case FAMILY_TAG(4, RW_BYTES):
            *ret_has_metric = true;
            break;
        case FAMILY_TAG(5, RW_BYTES):
            w->meta.unit = f.s;
            break;
        default:
            break;
        }
    if (f.is_bad)
        return family_malformed("MetricFamily");
    if (!*ret_has_metric || (e = check_meta(w, type)) == NULL) {
        w->type = *ret_has_metric ? (enum family_type)type : UNTYPED;
        w->meta.type = types[w->type];
        return NULL;
    }
    return e;
}

static struct err *family(struct family_walk *w, struct slice message)
{
    struct family_field f;
    bool has_metric;
    struct err *e = family_open(w, message, &has_metric);

    if (e || !has_metric)
        return e;
    name_parts(w);
    if ((e = w->ops->family(w->arg, &w->meta)))
        return e;
    while (family_field_next(&message, &f)) {
        if (f.tag != FAMILY_TAG(4, RW_BYTES))
            continue;
        if ((e = metric(w, f.s)))
            return e;
        if (arena_over(w->a))
            return err_new(ERR_LIMIT, "the metrics need more than %zu bytes of memory",
                           arena_limit(w->a));
    }
    return NULL;
}

struct err *family_wire_decode(struct arena *a, struct slice body, size_t max_buckets,
                               const struct family_ops *ops, void *arg)
{
    struct family_walk w = {.a = a,
                            .ops = ops,
                            .arg = arg,
                            .max_buckets = max_buckets ? max_buckets : FAMILY_MAX_BUCKETS};
    const uint8_t *p = body.ptr, *end = body.ptr + body.len;
    struct err *e = NULL;

    while (!e && p < end) {
        struct slice message;

        if (!(p = rw_wire_bytes(p, end, &message)))
            return err_new(ERR_INVALID, "a MetricFamily is cut short");
        e = family(&w, message);
    }
    return e;
}
