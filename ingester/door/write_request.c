#include "ingester/door/write_request.h"

#include "common/model/labels.h"
#include "ingester/door/rw_cursor.h"
#include "ingester/door/rw_histogram.h"
#include "ingester/door/series_labels.h"

/* Series whose place in the cache is fetched ahead while those before them are read. */
#define GROUP 32

struct decode {
    struct push *p;
    struct push_builder *b;
    struct tenant_limits no_limits; /* for labels of exemplars */
    struct label *labels;           /* of a series of a tenant with rules */
};

/* ---- what a series holds beside one sample ---- */

static void take_samples(struct decode *d, const struct rw_series *s, struct push_extra *x)
{
    struct sample *out = arena_array(d->p->arena, struct sample, s->n_samples);
    struct rw_fields f = rw_fields_of(s->message);

    x->samples = out;
    while (x->n_samples < s->n_samples && rw_cursor_sample(&f, &out[x->n_samples]))
        x->n_samples++;
}

static size_t count_chars(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += (s.ptr[i] & 0xc0) != 0x80;
    return n;
}

/* False when the exemplar is not to be kept. */
static bool exemplar_labels(struct decode *d, struct slice message, struct slice *ret)
{
    struct rw_fields f = rw_fields_of(message);
    enum door_reason reason;
    struct label l;
    size_t chars = 0;
    struct err *e;

    while (rw_cursor_label(&f, &l)) {
        if (!slice_is_utf8(l.name) || !slice_is_utf8(l.value))
            return false;
        chars += count_chars(l.name) + count_chars(l.value);
    }
    if (f.error || chars > PUSH_BUILDER_EXEMPLAR_MAX_CHARS)
        return false;
    if ((e = series_labels_build(d->p->arena, message, &d->no_limits, ret, &reason, NULL))) {
        err_free(e);
        return false;
    }
    /* Exemplars have no metric name; what else is wrong with labels is wrong here too. */
    return reason == DOOR_MISSING_NAME || reason == DOOR_OK;
}

static void take_exemplars(struct decode *d, const struct rw_series *s, struct push_extra *x)
{
    struct push_exemplar *out = arena_array(d->p->arena, struct push_exemplar, s->n_exemplars);
    struct rw_fields f = rw_fields_of(s->message);
    struct rw_exemplar ex;

    x->exemplars = out;
    while (x->n_exemplars < s->n_exemplars && rw_cursor_exemplar(&f, &ex)) {
        struct push_exemplar *to = &out[x->n_exemplars];

        if (exemplar_labels(d, ex.message, &to->labels)) {
            to->v = ex.v;
            to->t_ms = ex.t_ms;
            x->n_exemplars++;
        } else {
            push_builder_drop_exemplars(d->b, 1);
        }
    }
}

static struct err *take_histograms(struct decode *d, const struct rw_series *s, struct slice labels,
                                   struct push_extra *x)
{
    struct push_histogram *out = arena_array(d->p->arena, struct push_histogram, s->n_histograms);
    struct rw_fields f = rw_fields_of(s->message);
    struct slice m;

    x->histograms = out;
    while (x->n_histograms < s->n_histograms && rw_cursor_histogram(&f, &m)) {
        struct rw_histogram r;
        struct err *e = rw_histogram_decode(d->p->arena, m,
                                            (size_t)d->p->limits.max_native_histogram_buckets, &r);

        if (err_is(e, ERR_LIMIT)) {
            err_free(e);
            push_builder_reject(d->b, DOOR_HISTOGRAM_BUCKETS, 1, labels);
            continue;
        }
        if (e || (e = rw_histogram_check(d->p->arena, &r)))
            return e;
        out[x->n_histograms++] = (struct push_histogram){r.t_ms, r.h};
    }
    return NULL;
}

static struct err *take_extra(struct decode *d, const struct rw_series *s, bool is_known,
                              struct slice labels, struct push_extra **ret)
{
    struct push_extra *x = arena_new_of(d->p->arena, struct push_extra);
    struct err *e;

    if (s->n_samples)
        take_samples(d, s, x);
    if (s->n_exemplars && (s->n_samples || is_known))
        take_exemplars(d, s, x);
    else
        push_builder_drop_exemplars(d->b, s->n_exemplars);
    if (s->n_histograms && (e = take_histograms(d, s, labels, x)))
        return e;
    *ret = x;
    return NULL;
}

/* ---- a series ---- */

static struct err *add(struct decode *d, const struct rw_series *s, struct hash128 fp,
                       struct slice labels, bool is_known)
{
    struct push_series *ps;
    struct push_extra *x = NULL;

    if (ORR_UNLIKELY(s->n_samples != 1 || s->n_exemplars || s->n_histograms)) {
        struct err *e = take_extra(d, s, is_known, labels, &x);

        if (e || !(x->n_samples | x->n_histograms | x->n_exemplars))
            return e;
        d->p->samples += x->n_samples;
        d->p->histograms += x->n_histograms;
        d->p->exemplars += x->n_exemplars;
    } else {
        d->p->samples++;
    }
    vec_reserve(&d->p->series, 1);
    ps = &d->p->series.ptr[d->p->series.len++];
    ps->fp = fp;
    ps->labels = labels;
    ps->sample = s->last_sample;
    ps->extra = x;
    ps->is_known = is_known;
    return NULL;
}

/* Labels that the cache does not vouch for. */
static struct err *add_new(struct decode *d, const struct rw_series *s, struct hash128 fp)
{
    struct slice labels = s->labels;
    struct rw_series without;
    enum door_reason reason;
    bool has_empty = false;
    struct err *e;

    if (s->has_more_labels ||
        series_labels_check(labels, &d->p->limits, &reason) == SERIES_LABELS_OTHER) {
        if ((e = series_labels_build(d->p->arena, s->message, &d->p->limits, &labels, &reason,
                                     &has_empty)))
            return e;
        fp = labels_fingerprint_of_canonical(labels);
    }
    if (reason != DOOR_OK) {
        if (s->n_samples + s->n_histograms)
            push_builder_reject(d->b, reason, s->n_samples + s->n_histograms, labels);
        push_builder_drop_exemplars(d->b, s->n_exemplars);
        return NULL;
    }
    if (ORR_UNLIKELY(has_empty && s->n_exemplars)) {
        /* Prometheus looks for their series under the labels as sent, and does not find it. */
        without = *s;
        without.n_exemplars = 0;
        push_builder_drop_exemplars(d->b, s->n_exemplars);
        s = &without;
    }
    return add(d, s, fp, labels, fp_cache_has(d->b->known, fp));
}

/* Of a tenant with rules: the bytes as they came are the key of what became of them before. */
static struct err *add_rewritten(struct decode *d, const struct rw_series *s, struct hash128 fp)
{
    struct rw_fields f = rw_fields_of(s->message);
    uint64_t n = s->n_samples + s->n_histograms;
    struct label *ls = d->labels;
    enum door_reason reason = DOOR_MAX_LABELS;
    struct push_named named = {.labels = SLICE_EMPTY};
    size_t n_labels = 0;

    if (!ls)
        ls = d->labels =
            arena_array(d->p->arena, struct label, (size_t)PUSH_BUILDER_MAX_LABELS + 1);
    while (n_labels <= PUSH_BUILDER_MAX_LABELS && rw_cursor_label(&f, &ls[n_labels]))
        n_labels++;
    if (f.error)
        return err_new(ERR_INVALID, "%s", f.error);
    if (arena_used(d->p->arena) - d->b->arena_before > PUSH_BUILDER_MAX_BYTES)
        return err_new(ERR_LIMIT, "a write with more than %u bytes of labels",
                       PUSH_BUILDER_MAX_BYTES);
    if (n_labels <= PUSH_BUILDER_MAX_LABELS)
        reason = push_builder_name(d->b, (struct labels){ls, n_labels},
                                   s->has_more_labels ? NULL : &fp, n, &named);
    if (reason != DOOR_OK) {
        if (n)
            push_builder_reject(d->b, reason, n, named.labels);
        push_builder_drop_exemplars(d->b, s->n_exemplars);
        return NULL;
    }
    return named.is_gone ? NULL : add(d, s, named.fp, named.labels, named.is_known);
}

static struct err *add_group(struct decode *d, const struct rw_series *s, const struct hash128 *fp,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct err *e;

        if (ORR_UNLIKELY(d->b->rewrite))
            e = add_rewritten(d, &s[i], fp[i]);
        else if (ORR_LIKELY(!s[i].has_more_labels && fp_cache_has(d->b->known, fp[i])))
            e = add(d, &s[i], fp[i], s[i].labels, true);
        else
            e = add_new(d, &s[i], fp[i]);
        if (e)
            return e;
    }
    return NULL;
}

/* Room for all series, judged by the first n, which took so many bytes. */
static void reserve(struct push *p, size_t n, size_t bytes)
{
    vec_reserve(&p->series, n + (p->body.len - bytes) / (bytes / (n + 1) + 1));
}

static struct err *decode(struct push_builder *b, const void *arg)
{
    struct push *p = b->push;
    struct decode d = {.p = p, .b = b};
    struct rw_series group[GROUP];
    struct hash128 fps[GROUP];
    struct rw_cursor c;
    enum rw_cursor_item item;
    size_t n = 0;
    struct err *e = NULL;

    (void)arg;
    rw_cursor_init(&c, buf_slice(&p->body));
    do {
        item = rw_cursor_next(&c);
        if (ORR_LIKELY(item == RW_CURSOR_SERIES)) {
            group[n] = c.series;
            fps[n] = labels_fingerprint_of_canonical(c.series.labels);
            fp_cache_prefetch(b->known, fps[n]);
            n++;
        } else if (item == RW_CURSOR_METADATA) {
            push_builder_metadata(b, &(struct push_metadata){c.metadata.family, c.metadata.help,
                                                             c.metadata.unit, c.metadata.type});
        }
        if (n == GROUP || item == RW_CURSOR_END) {
            if (p->series.len == 0)
                reserve(p, n, (size_t)(c.p - p->body.ptr));
            if ((e = add_group(&d, group, fps, n)))
                return e;
            n = 0;
        }
    } while (item == RW_CURSOR_SERIES || item == RW_CURSOR_METADATA);
    return item == RW_CURSOR_BAD ? err_new(ERR_INVALID, "proto: %s", c.error) : NULL;
}

const struct push_decoder write_request_decoder = {.name = "remote_write_1", .decode = decode};
