#include "ingester/door/rw2_request.h"

#include "ingester/door/rw2_cursor.h"
#include "ingester/door/rw_histogram.h"

struct decode {
    struct push_builder *b;
    struct rw2_cursor c;
    struct label *labels; /* of the series under way; room for PUSH_BUILDER_MAX_LABELS */
    struct push_histogram *histograms;
    int64_t *created; /* of each of histograms */
    size_t histograms_cap;
};

/* The labels that refs stand for. False when some do not. */
static bool look_up(const struct decode *d, const struct rw2_refs *refs, struct label *ret)
{
    if (refs->n % 2)
        return false;
    for (size_t i = 0; i < refs->n / 2; i++)
        if (!rw2_cursor_symbol(&d->c, refs->ptr[2 * i], &ret[i].name) ||
            !rw2_cursor_symbol(&d->c, refs->ptr[2 * i + 1], &ret[i].value))
            return false;
    return true;
}

/* ---- metadata ---- */

static bool cut_suffix(struct slice *s, struct slice suffix)
{
    if (s->len <= suffix.len || !slice_has_suffix(*s, suffix))
        return false;
    s->len -= suffix.len;
    return true;
}

static struct slice family_of(struct slice name, enum sample_metric_type type)
{
    if (type != METRIC_HISTOGRAM && type != METRIC_GAUGEHISTOGRAM && type != METRIC_SUMMARY)
        return name;
    if (!cut_suffix(&name, SLICE("_count")) && !cut_suffix(&name, SLICE("_sum")) &&
        type != METRIC_SUMMARY)
        (void)cut_suffix(&name, SLICE("_bucket"));
    return name;
}

/* False when a reference leads nowhere. */
static bool take_metadata(struct decode *d, struct labels ls)
{
    const struct rw2_series *s = &d->c.series;
    struct push_metadata m = {.type = s->type <= METRIC_STATESET ? (enum sample_metric_type)s->type
                                                                 : METRIC_UNKNOWN};

    if (!(s->type | s->help_ref | s->unit_ref))
        return true;
    if (!rw2_cursor_symbol(&d->c, s->help_ref, &m.help) ||
        !rw2_cursor_symbol(&d->c, s->unit_ref, &m.unit))
        return false;
    for (size_t i = 0; i < ls.n; i++)
        if (slice_eq(ls.ptr[i].name, SLICE(LABEL_NAME)))
            m.family = family_of(ls.ptr[i].value, m.type);
    if (m.family.len && (m.type || m.help.len || m.unit.len))
        push_builder_metadata_once(d->b, &m);
    return true;
}

/* ---- histograms and exemplars ---- */

static void make_room(struct decode *d, size_t n)
{
    if (n <= d->histograms_cap)
        return;
    d->histograms_cap = 2 * n;
    d->histograms = arena_array(push_builder_arena(d->b), struct push_histogram, 2 * n);
    d->created = arena_array(push_builder_arena(d->b), int64_t, 2 * n);
}

/* One more, if it makes sense; an error when its bytes do not. */
static struct err *take_histogram(struct decode *d, struct labels ls, struct slice message,
                                  size_t *n)
{
    struct arena *a = push_builder_arena(d->b);
    size_t max = (size_t)push_builder_limits(d->b)->max_native_histogram_buckets;
    enum door_reason reason = DOOR_HISTOGRAM_BUCKETS;
    struct rw_histogram r;
    struct err *e = rw_histogram_decode(a, message, max, &r);

    if (!e && r.has_odd_created)
        e = err_new(ERR_INVALID, "Histogram: malformed");
    if (e && !err_is(e, ERR_LIMIT))
        return err_wrap(e, "proto");
    if (!e) {
        e = rw_histogram_check(a, &r);
        reason = DOOR_INVALID_HISTOGRAM;
    }
    if (e) {
        push_builder_reject_with(d->b, reason, 1, labels_canonical_dup(a, ls), err_msg(e));
        err_free(e);
        return NULL;
    }
    d->histograms[*n] = (struct push_histogram){r.t_ms, r.h};
    d->created[*n] = r.created_ms;
    ++*n;
    return NULL;
}

static struct err *take_histograms(struct decode *d, struct labels ls, size_t *n)
{
    const struct rw2_series *s = &d->c.series;
    struct err *e = NULL;

    make_room(d, s->n_histograms);
    for (size_t i = 0; i < s->n_histograms && !e; i++)
        e = take_histogram(d, ls, s->histograms[i], n);
    return e;
}

static struct push_in_exemplar *take_exemplars(struct decode *d, struct labels ls, size_t *ret_n)
{
    struct arena *a = push_builder_arena(d->b);
    const struct rw2_series *s = &d->c.series;
    struct push_in_exemplar *out = arena_array(a, struct push_in_exemplar, s->n_exemplars);
    size_t n = 0;

    for (size_t i = 0; i < s->n_exemplars; i++) {
        const struct rw2_exemplar *ex = &s->exemplars[i];
        size_t n_labels = ex->refs.n / 2;
        struct label *labels;

        if (n_labels > PUSH_BUILDER_EXEMPLAR_MAX_CHARS) {
            push_builder_drop_exemplars(d->b, 1);
            continue;
        }
        labels = arena_array(a, struct label, n_labels);
        if (look_up(d, &ex->refs, labels)) {
            out[n++] = (struct push_in_exemplar){labels, n_labels, ex->v, ex->t_ms};
            continue;
        }
        push_builder_reject(d->b, DOOR_INVALID_REFERENCE, 1, labels_canonical_dup(a, ls));
        push_builder_drop_exemplars(d->b, 1);
    }
    *ret_n = n;
    return out;
}

/* ---- a series ---- */

/* How many from the first on have the same creation time, which is what one push_in has. */
static size_t run_of(const int64_t *created, size_t n)
{
    size_t i = 1;

    while (i < n && created[i] == created[0])
        i++;
    return ORR_MIN(i, n);
}

static struct err *add_runs(struct decode *d, struct push_in *in, size_t n_histograms)
{
    const struct rw2_series *s = &d->c.series;
    size_t n_exemplars = in->n_exemplars;
    struct err *e = NULL;

    for (size_t i = 0, n; i < s->n_samples && !e; i += n) {
        n = run_of(s->created + i, s->n_samples - i);
        in->samples = s->samples + i;
        in->n_samples = n;
        in->created_ms = s->created[i] ? s->created[i] : s->created_ms;
        in->n_exemplars = i + n == s->n_samples && !n_histograms ? n_exemplars : 0;
        e = push_builder_add(d->b, in);
    }
    in->n_samples = 0;
    for (size_t i = 0, n; i < n_histograms && !e; i += n) {
        n = run_of(d->created + i, n_histograms - i);
        in->histograms = d->histograms + i;
        in->n_histograms = n;
        in->created_ms = d->created[i] ? d->created[i] : s->created_ms;
        in->n_exemplars = i + n == n_histograms ? n_exemplars : 0;
        e = push_builder_add(d->b, in);
    }
    return e;
}

/* Refuses all of a series. */
static void refuse(struct decode *d, enum door_reason reason, struct slice labels)
{
    const struct rw2_series *s = &d->c.series;

    push_builder_reject(d->b, reason, ORR_MAX(s->n_samples + s->n_histograms, (size_t)1), labels);
    push_builder_drop_exemplars(d->b, s->n_exemplars);
}

static struct err *add_series(struct decode *d)
{
    const struct rw2_series *s = &d->c.series;
    struct labels ls = {d->labels, s->refs.n / 2};
    struct push_in in = {.labels = ls.ptr, .n_labels = ls.n};
    size_t n_histograms = 0;
    struct err *e;

    if (ORR_UNLIKELY(ls.n > PUSH_BUILDER_MAX_LABELS)) {
        refuse(d, DOOR_MAX_LABELS, SLICE_EMPTY);
        return NULL;
    }
    if (!look_up(d, &s->refs, d->labels) || !take_metadata(d, ls)) {
        refuse(d, DOOR_INVALID_REFERENCE, SLICE_EMPTY);
        return NULL;
    }
    if (!(s->n_samples | s->n_histograms)) {
        enum door_reason reason = push_builder_check(d->b, ls);

        refuse(d, reason == DOOR_OK ? DOOR_NO_SAMPLES : reason,
               labels_canonical_dup(push_builder_arena(d->b), ls));
        return NULL;
    }
    if (ORR_LIKELY(s->n_samples == 1 && !s->n_histograms && !s->n_exemplars)) {
        in.samples = s->samples;
        in.n_samples = 1;
        in.created_ms = s->created[0] ? s->created[0] : s->created_ms;
        return push_builder_add(d->b, &in);
    }
    if ((e = take_histograms(d, ls, &n_histograms)))
        return e;
    if (s->n_exemplars)
        in.exemplars = take_exemplars(d, ls, &in.n_exemplars);
    return add_runs(d, &in, n_histograms);
}

static struct err *decode(struct push_builder *b, const void *arg)
{
    struct decode d = {.b = b};
    struct err *e = NULL;

    (void)arg;
    d.labels = arena_array(push_builder_arena(b), struct label, PUSH_BUILDER_MAX_LABELS);
    rw2_cursor_init(&d.c, push_builder_arena(b), push_builder_body(b));
    while (!e && rw2_cursor_next(&d.c))
        e = add_series(&d);
    return !e && d.c.error ? err_new(ERR_INVALID, "proto: %s", d.c.error) : e;
}

const struct push_decoder rw2_request_decoder = {
    .name = "remote_write_2", .decode = decode, .is_strict = true};
