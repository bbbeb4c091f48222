#include "ingester/door/otlp_translate.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "ingester/door/otlp_bucket.h"
#include "ingester/door/otlp_labels.h"
#include "ingester/door/otlp_target.h"
#include "ingester/door/rw_histogram.h"

#define MAX_TOLD 3    /* things refused that a message names */
#define FAMILIES 1024 /* of which metadata was sent already; a power of two */

/* A request under way. */
struct translation {
    struct push_builder *b;
    const struct otlp_config *config;
    struct otlp_delta *delta;
    struct arena *tmp;
    struct otlp_labels labels;
    struct otlp_targets targets;
    struct slice *families;              /* by hash */
    struct push_in_exemplar no_exemplar; /* to point to, where there is none */
    struct buf number, why;
    size_t n_told;      /* things that why speaks of, or would */
    uint64_t n_refused; /* points */
};

/* The metric under way. */
struct family {
    const struct otlp_metric *m;
    struct slice name;
    struct slice sum_name, count_name, bucket_name; /* of histograms and summaries */
    bool is_delta;                                  /* stored as it is */
    bool is_added_up;
    /* Texts of bounds, which are mostly those of the point before. */
    struct otlp_f64s bounds;
    struct slice *bound_texts;
};

static int64_t ms(uint64_t ns)
{
    return (int64_t)ns / NS_PER_MS;
}

static double value_of(const struct otlp_point *p, double v)
{
    return p->flags & OTLP_FLAG_NO_VALUE ? sample_from_bits(SAMPLE_STALE_BITS) : v;
}

/* ---- what cannot be translated ---- */

/* what: "metric", and whose name that is; or "resource" and nothing. Takes e. */
static void tell(struct translation *t, const char *what, struct slice name, struct err *e)
{
    if (t->n_told == MAX_TOLD)
        buf_str(&t->why, "; and more");
    if (t->n_told++ < MAX_TOLD) {
        buf_printf(&t->why, "%s%s", t->why.len ? "; " : "", what);
        if (name.ptr)
            buf_printf(&t->why, " \"%.*s\"", SLICE_ARG(slice_sub(name, 0, OTLP_NAME_TOLD)));
        buf_printf(&t->why, ": %s", err_msg(e));
    }
    err_free(e);
}

static bool is_about_input(const struct err *e)
{
    return err_is(e, ERR_INVALID) || err_is(e, ERR_UNSUPPORTED);
}

/* n points are left out for e, and the rest goes on; e that is not about them is returned. */
static struct err *refuse(struct translation *t, const struct otlp_metric *m, uint64_t n,
                          struct err *e)
{
    if (!is_about_input(e))
        return e;
    t->n_refused += n;
    tell(t, "metric", m->name, e);
    return NULL;
}

static uint64_t points_of(const struct otlp_scope *s, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < s[i].n_metrics; k++)
            sum += s[i].metrics[k].n_points;
    return sum;
}

/* The same of all points of n scopes. */
static struct err *refuse_scopes(struct translation *t, const char *what,
                                 const struct otlp_scope *s, size_t n, struct err *e)
{
    if (!is_about_input(e))
        return e;
    t->n_refused += points_of(s, n);
    tell(t, what, (struct slice){0}, e);
    return NULL;
}

/* ---- exemplars ---- */

static struct slice hex(struct arena *a, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *out = arena_alloc(a, 2 * bytes.len + 1);

    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = (uint8_t)digits[bytes.ptr[i] >> 4];
        out[2 * i + 1] = (uint8_t)digits[bytes.ptr[i] & 15];
    }
    return slice_of(out, 2 * bytes.len);
}

static bool is_zero(struct slice id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i])
            return false;
    return true;
}

static size_t chars(const struct label *ls, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < ls[i].name.len; k++)
            sum += (ls[i].name.ptr[k] & 0xc0) != 0x80;
        for (size_t k = 0; k < ls[i].value.len; k++)
            sum += (ls[i].value.ptr[k] & 0xc0) != 0x80;
    }
    return sum;
}

static void exemplar(struct translation *t, const struct otlp_point *p,
                     const struct otlp_exemplar *ex, struct push_in_exemplar *ret)
{
    struct label *ls = arena_array(t->tmp, struct label, ex->attrs.n + 2);
    size_t n = 0, n_ids;

    if (!is_zero(ex->trace_id))
        ls[n++] = (struct label){SLICE("trace_id"), hex(t->tmp, ex->trace_id)};
    if (!is_zero(ex->span_id))
        ls[n++] = (struct label){SLICE("span_id"), hex(t->tmp, ex->span_id)};
    n_ids = n;
    for (size_t i = 0; i < ex->attrs.n; i++)
        ls[n++] = ex->attrs.ptr[i];
    if (chars(ls, n) > PUSH_BUILDER_EXEMPLAR_MAX_CHARS)
        n = n_ids;
    *ret = (struct push_in_exemplar){.labels = ls,
                                     .n_labels = n,
                                     .v = ex->v,
                                     .t_ms = ms(ex->time_ns ? ex->time_ns : p->time_ns)};
}

/* All of a point's; none where it has no value itself. An exemplar without a value says nothing and
 * refuses the metric. */
static struct err *exemplars(struct translation *t, const struct otlp_point *p,
                             struct push_in_exemplar **ret, size_t *ret_n)
{
    size_t n = p->flags & OTLP_FLAG_NO_VALUE ? 0 : p->n_exemplars;
    struct push_in_exemplar *out = &t->no_exemplar;

    if (n)
        out = arena_array(t->tmp, struct push_in_exemplar, n);
    *ret_n = n;
    for (size_t i = 0; i < n; i++) {
        if (!p->exemplars[i].has_value)
            return err_new(ERR_INVALID, "an exemplar has no value");
        exemplar(t, p, &p->exemplars[i], &out[i]);
    }
    *ret = out;
    return NULL;
}

/* ---- points ---- */

/* has_start: of a counter. Where a delta began no zero is stored: that would be one sample more. */
static struct err *add_sample(struct translation *t, const struct family *f,
                              const struct otlp_point *p, struct labels ls, double v,
                              bool has_start, const struct push_in_exemplar *exs, size_t n_exs)
{
    struct sample s = {ms(p->time_ns), value_of(p, v)};
    int64_t start_ms = has_start ? ms(p->start_ns) : 0;

    return push_builder_add(t->b, &(struct push_in){.labels = ls.ptr,
                                                    .n_labels = ls.n,
                                                    .samples = &s,
                                                    .n_samples = 1,
                                                    .exemplars = exs,
                                                    .n_exemplars = n_exs,
                                                    .start_ms = start_ms,
                                                    .created_ms = f->is_delta ? 0 : start_ms});
}

static struct err *number(struct translation *t, const struct family *f, const struct otlp_point *p)
{
    bool is_sum = f->m->kind == OTLP_SUM;
    struct push_in_exemplar *exs = NULL;
    size_t n_exs = 0;
    struct slice *name;
    struct labels ls;
    struct err *e;

    if ((e = otlp_labels_point(&t->labels, p->attrs, NULL, &ls, &name, NULL)) ||
        (is_sum && (e = exemplars(t, p, &exs, &n_exs))))
        return e;
    return add_sample(t, f, p, ls, p->v, is_sum && f->m->is_monotonic, exs, n_exs);
}

static struct err *native(struct translation *t, const struct family *f, const struct otlp_point *p)
{
    struct push_in_exemplar *exs;
    struct push_histogram h;
    struct slice *name;
    size_t n_exs;
    struct labels ls;
    struct err *e = f->m->kind == OTLP_EXPONENTIAL
                        ? otlp_bucket_exponential(push_builder_arena(t->b), p, f->is_delta, &h)
                        : otlp_bucket_custom(push_builder_arena(t->b), p, f->is_delta, &h);

    if (e || (e = otlp_labels_point(&t->labels, p->attrs, NULL, &ls, &name, NULL)) ||
        (e = exemplars(t, p, &exs, &n_exs)))
        return e;
    return push_builder_add(t->b,
                            &(struct push_in){.labels = ls.ptr,
                                              .n_labels = ls.n,
                                              .histograms = &h,
                                              .n_histograms = 1,
                                              .exemplars = exs,
                                              .n_exemplars = n_exs,
                                              .start_ms = ms(p->start_ns),
                                              .created_ms = f->is_delta ? 0 : ms(p->start_ns)});
}

static struct slice suffixed(struct arena *a, struct slice name, const char *suffix)
{
    size_t n = strlen(suffix);
    uint8_t *out = arena_alloc(a, name.len + n);

    memcpy(out, name.ptr, name.len);
    memcpy(out + name.len, suffix, n);
    return slice_of(out, name.len + n);
}

static struct slice number_text(struct translation *t, double v)
{
    buf_reset(&t->number);
    buf_f64_text(&t->number, v);
    return arena_dup(t->tmp, buf_slice(&t->number));
}

static void bound_texts(struct translation *t, struct family *f, struct otlp_f64s bounds)
{
    if (f->bound_texts && f->bounds.n == bounds.n &&
        (bounds.n == 0 || memcmp(f->bounds.ptr, bounds.ptr, bounds.n * sizeof(double)) == 0))
        return;
    f->bounds = bounds;
    f->bound_texts = arena_array(t->tmp, struct slice, bounds.n + 1);
    for (size_t i = 0; i < bounds.n; i++)
        f->bound_texts[i] = number_text(t, bounds.ptr[i]);
}

/* NAME_sum and NAME_count. */
static struct err *sum_and_count(struct translation *t, const struct family *f,
                                 const struct otlp_point *p, bool has_sum)
{
    struct slice *name;
    struct labels ls;
    struct err *e = otlp_labels_point(&t->labels, p->attrs, NULL, &ls, &name, NULL);

    if (e)
        return e;
    *name = f->sum_name;
    if (has_sum && (e = add_sample(t, f, p, ls, p->v, true, NULL, 0)))
        return e;
    *name = f->count_name;
    return add_sample(t, f, p, ls, (double)p->count, true, NULL, 0);
}

/* Exemplars are spread over the buckets in the order in which they came. */
static struct err *buckets(struct translation *t, struct family *f, const struct otlp_point *p,
                           const struct push_in_exemplar *exs, size_t n_exs)
{
    struct otlp_f64s bounds = p->histogram.bounds;
    size_t n = ORR_MIN(bounds.n, p->histogram.counts.n), ex = 0, first;
    struct slice *name, *le;
    uint64_t count = 0;
    struct labels ls;
    struct err *e = otlp_labels_point(&t->labels, p->attrs, "le", &ls, &name, &le);

    if (e)
        return e;
    bound_texts(t, f, bounds);
    *name = f->bucket_name;
    for (size_t i = 0; i < n; i++) {
        for (first = ex; ex < n_exs && !(exs[ex].v > bounds.ptr[i]); ex++)
            ;
        count += p->histogram.counts.ptr[i];
        *le = f->bound_texts[i];
        if ((e = add_sample(t, f, p, ls, (double)count, true, exs + first, ex - first)))
            return e;
    }
    *le = SLICE("+Inf");
    return add_sample(t, f, p, ls, (double)p->count, true, exs + ex, n_exs - ex);
}

/* All of a point or nothing: exemplars, which can be wrong, come first; labels fail with the first series or with none. */
static struct err *classic(struct translation *t, struct family *f, const struct otlp_point *p)
{
    struct push_in_exemplar *exs;
    size_t n_exs;
    struct err *e = exemplars(t, p, &exs, &n_exs);

    if (e || (e = sum_and_count(t, f, p, p->has_sum)))
        return e;
    return buckets(t, f, p, exs, n_exs);
}

static struct err *summary(struct translation *t, struct family *f, const struct otlp_point *p)
{
    struct slice *name, *quantile;
    struct labels ls;
    struct err *e;

    if ((e = sum_and_count(t, f, p, true)) ||
        (e = otlp_labels_point(&t->labels, p->attrs, "quantile", &ls, &name, &quantile)))
        return e;
    for (size_t i = 0; i < p->summary.n_quantiles; i++) {
        *quantile = number_text(t, p->summary.quantiles[i].quantile);
        if ((e = add_sample(t, f, p, ls, p->summary.quantiles[i].v, false, NULL, 0)))
            return e;
    }
    return NULL;
}

static struct err *point(struct translation *t, struct family *f, const struct otlp_point *p)
{
    switch (f->m->kind) {
    case OTLP_GAUGE:
    case OTLP_SUM:
        return number(t, f, p);
    case OTLP_HISTOGRAM:
        return t->config->to_nhcb ? native(t, f, p) : classic(t, f, p);
    case OTLP_EXPONENTIAL:
        return native(t, f, p);
    case OTLP_SUMMARY:
        return summary(t, f, p);
    case OTLP_NONE:
        break;
    }
    return NULL;
}

static void reject(struct translation *t, enum door_reason reason, struct labels ls)
{
    struct slice example = SLICE_EMPTY;

    if (t->b->rejects.samples[reason] == 0) /* the first is the example */
        example = labels_canonical_dup(push_builder_arena(t->b), ls);
    push_builder_reject(t->b, reason, 1, example);
}

/* A delta: what it adds up to is what is stored. */
static struct err *add_up(struct translation *t, struct family *f, const struct otlp_point *p)
{
    const struct tenant_limits *limits = push_builder_limits(t->b);
    struct otlp_delta_opts opts = {.max_streams = (size_t)limits->max_otel_delta_streams_per_user,
                                   .max_buckets = (size_t)limits->max_native_histogram_buckets,
                                   .now_ms = push_builder_now_ms(t->b)};
    struct otlp_point sum;
    struct slice *name;
    struct labels ls;
    struct err *e = otlp_labels_point(&t->labels, p->attrs, NULL, &ls, &name, NULL);

    if (e || p->flags & OTLP_FLAG_NO_VALUE ||
        (f->m->kind == OTLP_EXPONENTIAL && p->scale < RW_HISTOGRAM_MIN_SCHEMA))
        return e ? e : point(t, f, p); /* a stale marker; or it is refused there */
    switch (otlp_delta_add(t->delta, t->b->push->tenant, &opts, labels_fingerprint(ls), f->m->kind,
                           p, t->tmp, &sum)) {
    case OTLP_DELTA_TAKEN:
        return point(t, f, &sum);
    case OTLP_DELTA_LATE:
        reject(t, DOOR_DELTA_LATE, ls);
        break;
    case OTLP_DELTA_FULL:
        reject(t, DOOR_DELTA_STREAMS, ls);
        break;
    case OTLP_DELTA_BUCKETS:
        reject(t, DOOR_HISTOGRAM_BUCKETS, ls);
        break;
    }
    return NULL;
}

/* ---- metrics ---- */

static bool is_delta(const struct otlp_metric *m)
{
    return m->kind != OTLP_GAUGE && m->kind != OTLP_SUMMARY && m->temporality == OTLP_DELTA;
}

static struct err *check_temporality(const struct translation *t, const struct otlp_metric *m)
{
    if (m->kind == OTLP_NONE || m->kind == OTLP_GAUGE || m->kind == OTLP_SUMMARY ||
        m->temporality == OTLP_CUMULATIVE)
        return NULL;
    if (m->temporality != OTLP_DELTA)
        return err_new(ERR_UNSUPPORTED, "an unknown aggregation temporality");
    if (t->config->delta == OTLP_DELTA_REFUSE)
        return err_new(ERR_UNSUPPORTED,
                       "delta temporality is not taken (setting otlp.delta); send cumulative");
    return NULL;
}

/* Before anything else is looked at: what is refused whole adds nothing up. */
static struct err *check_temporalities(struct translation *t, const struct otlp_metrics *m)
{
    struct err *e;

    for (size_t i = 0; i < m->n_resources; i++)
        for (size_t k = 0; k < m->resources[i].n_scopes; k++) {
            const struct otlp_scope *s = &m->resources[i].scopes[k];

            for (size_t j = 0; j < s->n_metrics && t->n_told <= MAX_TOLD; j++)
                if ((e = check_temporality(t, &s->metrics[j])))
                    tell(t, "metric", s->metrics[j].name, e);
        }
    return t->n_told ? err_new(ERR_UNSUPPORTED, "nothing is stored: %s", buf_cstr(&t->why)) : NULL;
}

static enum sample_metric_type type_of(const struct family *f)
{
    if (f->is_delta)
        return METRIC_UNKNOWN;
    switch (f->m->kind) {
    case OTLP_SUM:
        return f->m->is_monotonic ? METRIC_COUNTER_TYPE : METRIC_GAUGE_TYPE;
    case OTLP_HISTOGRAM:
    case OTLP_EXPONENTIAL:
        return METRIC_HISTOGRAM;
    case OTLP_SUMMARY:
        return METRIC_SUMMARY;
    default:
        return METRIC_GAUGE_TYPE;
    }
}

static enum otlp_name_type name_type(const struct otlp_metric *m)
{
    if (m->kind == OTLP_GAUGE)
        return OTLP_NAME_GAUGE;
    return m->kind == OTLP_SUM && m->is_monotonic ? OTLP_NAME_COUNTER : OTLP_NAME_OTHER;
}

/* Once a family and request, mostly: two that share a slot send theirs again. */
static void metadata(struct translation *t, const struct push_metadata *m)
{
    struct slice *slot = &t->families[hash_xxh64(m->family, 0) & (FAMILIES - 1)];
    struct arena *a = push_builder_arena(t->b);

    if (slot->ptr && slice_eq(*slot, m->family))
        return;
    *slot = m->family;
    push_builder_metadata(t->b, &(struct push_metadata){.family = arena_dup(a, m->family),
                                                        .help = arena_dup(a, m->help),
                                                        .unit = arena_dup(a, m->unit),
                                                        .type = m->type});
}

/* The error is about the metric as a whole. */
static struct err *metric(struct translation *t, const struct otlp_metric *m)
{
    static const char *const type_names[] = {
#define X(sym, name) name,
        SAMPLE_METRIC_TYPES(X)
#undef X
    };
    struct family f = {.m = m, .is_delta = is_delta(m)};
    uint64_t refused = t->n_refused;
    enum sample_metric_type type;
    struct slice unit;
    struct err *e;

    if (m->kind == OTLP_NONE)
        return err_new(ERR_UNSUPPORTED, "no data, or of a kind that is not known");
    if (m->n_points == 0)
        return NULL;
    f.is_added_up = f.is_delta && t->config->delta == OTLP_DELTA_CUMULATIVE;
    f.is_delta &= !f.is_added_up;
    if ((e = otlp_name_metric(t->tmp, (enum otlp_strategy)t->config->strategy,
                              slice_cstr(t->config->prefix), m->name, m->unit, name_type(m),
                              &f.name)))
        return e;
    if (f.name.len == 0)
        return err_new(ERR_INVALID, "it has no name");
    f.sum_name = suffixed(t->tmp, f.name, "_sum");
    f.count_name = suffixed(t->tmp, f.name, "_count");
    f.bucket_name = suffixed(t->tmp, f.name, "_bucket");
    type = type_of(&f);
    unit = otlp_name_unit(t->tmp, false, m->unit);
    otlp_labels_metric(&t->labels, f.name,
                       t->config->has_type_and_unit && type != METRIC_UNKNOWN ? type_names[type]
                                                                              : "",
                       t->config->has_type_and_unit ? unit : SLICE_EMPTY);
    for (size_t i = 0; i < m->n_points; i++)
        if ((e = refuse(t, m, 1, (f.is_added_up ? add_up : point)(t, &f, &m->points[i]))))
            return e;
    if (t->n_refused - refused < m->n_points)
        metadata(t, &(struct push_metadata){f.name, m->description, unit, type});
    return NULL;
}

/* ---- resources ---- */

static struct err *scope(struct translation *t, const struct otlp_scope *s,
                         struct otlp_target_times *times)
{
    struct err *e = otlp_labels_scope(&t->labels, s);

    if (e)
        return refuse_scopes(t, "scope", s, 1, e);
    for (size_t i = 0; !e && i < s->n_metrics; i++) {
        const struct otlp_metric *m = &s->metrics[i];

        otlp_target_see(times, m);
        e = refuse(t, m, ORR_MAX(m->n_points, (size_t)1), metric(t, m));
    }
    return e;
}

static struct err *resource(struct translation *t, const struct otlp_resource *r)
{
    struct otlp_target_times times = OTLP_TARGET_NEVER;
    struct err *e = otlp_labels_resource(&t->labels, r->attrs);

    if (e)
        return refuse_scopes(t, "resource", r->scopes, r->n_scopes, e);
    for (size_t i = 0; !e && i < r->n_scopes; i++)
        e = scope(t, &r->scopes[i], &times);
    if (e || !is_about_input(e = otlp_target_add(&t->targets, &t->labels, r->attrs, &times)))
        return e;
    t->n_refused++; /* its sample of target_info */
    tell(t, "resource", (struct slice){0}, e);
    return NULL;
}

/* target_info of a request of which nothing else is stored would make that look like a success. */
static struct err *finish(struct translation *t)
{
    bool is_empty = t->b->push->samples + t->b->push->histograms == 0;
    struct err *e = NULL;

    if (t->n_refused)
        push_builder_reject_with(t->b, DOOR_UNTRANSLATABLE, t->n_refused, SLICE_EMPTY,
                                 buf_cstr(&t->why));
    if (!t->n_refused || !is_empty)
        e = otlp_target_push(&t->targets, t->config, t->b, t->tmp);
    return e;
}

struct err *otlp_translate(struct push_builder *b, const struct otlp_metrics *m,
                           const struct otlp_config *config, struct otlp_delta *delta,
                           struct arena *tmp)
{
    struct translation *t = arena_new_of(tmp, struct translation);
    struct err *e;

    t->b = b;
    t->config = config;
    t->delta = delta;
    t->tmp = tmp;
    t->families = arena_array(tmp, struct slice, FAMILIES);
    otlp_labels_init(&t->labels, tmp, config);
    e = check_temporalities(t, m);
    for (size_t i = 0; !e && i < m->n_resources; i++)
        e = resource(t, &m->resources[i]);
    if (!e)
        e = finish(t);
    buf_done(&t->why);
    buf_done(&t->number);
    return e;
}
