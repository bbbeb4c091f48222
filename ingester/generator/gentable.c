#include "ingester/generator/gentable.h"

#include <stdio.h>

#define MAX_LABELS 128

void gentable_init(struct gentable *t, const struct gentable_opts *opts)
{
    *t = (struct gentable){.opts = *opts};
}

static void free_row(struct genrow *row)
{
    for (size_t i = 0; i < GENTABLE_KIND_MAX; i++)
        genhist_free(row->hists[i]);
    mem_free((void *)row->labels.ptr);
    mem_free((void *)row->key.ptr);
    mem_free(row);
}

void gentable_done(struct gentable *t)
{
    VEC_FOREACH (row, &t->rows)
        free_row(*row);
    vec_done(&t->rows);
    map_done(&t->by_key);
    buf_done(&t->key);
}

/* ---- rows ---- */

static void write_key(struct gentable *t, const struct genkind *kind, const struct label *labels,
                      size_t n)
{
    buf_reset(&t->key);
    buf_append(&t->key, &kind, sizeof(kind));
    for (size_t i = 0; i < n; i++) {
        if (!labels[i].value.len)
            continue;
        buf_lstr(&t->key, labels[i].name);
        buf_lstr(&t->key, labels[i].value);
    }
}

static bool has_name(const struct label *ls, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(ls[i].name, name))
            return true;
    return false;
}

static struct labels clean(const struct label *labels, size_t n)
{
    struct label ls[MAX_LABELS];
    struct slice dup;
    size_t k = 0;

    for (size_t i = 0; i < n && k < MAX_LABELS; i++)
        if (labels[i].value.len && !has_name(ls, k, labels[i].name))
            ls[k++] = labels[i];
    (void)labels_sort(ls, k, &dup);
    return labels_dup_heap((struct labels){ls, k});
}

/* Of the next series of it. */
static bool take_room(struct gentable *t, uint64_t n)
{
    if (t->opts.max_series && t->series + n > t->opts.max_series) {
        t->refused += n;
        return false;
    }
    t->series += n;
    return true;
}

struct genrow *gentable_row(struct gentable *t, const struct genkind *kind,
                            const struct label *labels, size_t n,
                            const struct generator_buckets *buckets, int64_t now_ms)
{
    struct genrow *row;

    write_key(t, kind, labels, n);
    if ((row = map_get(&t->by_key, buf_slice(&t->key)))) {
        row->seen_ms = now_ms;
        return row;
    }
    if (t->opts.max_series && t->series >= t->opts.max_series) {
        t->refused++;
        return NULL;
    }
    row = mem_new(struct genrow);
    *row = (struct genrow){
        .kind = kind, .labels = clean(labels, n), .buckets = buckets, .seen_ms = now_ms};
    row->key = slice_of(slice_dup(buf_slice(&t->key)), t->key.len);
    (void)map_put(&t->by_key, row->key, row);
    vec_push(&t->rows, row);
    return row;
}

void gentable_count(struct gentable *t, struct genrow *row, size_t counter, double n,
                    int64_t now_ms)
{
    struct gencounter *c = &row->counters[counter];

    if (!c->born_ms && !take_room(t, 1))
        return;
    if (!c->born_ms)
        c->born_ms = now_ms;
    c->v += n;
}

static uint64_t series_of_hist(const struct gentable *t, const struct genrow *row)
{
    return (t->opts.has_classic ? row->buckets->n + 3 : 0) + t->opts.has_native;
}

void gentable_observe(struct gentable *t, struct genrow *row, size_t hist, double v, double n,
                      const uint8_t trace[16], int64_t now_ms)
{
    struct genhist **h = &row->hists[hist];

    if (!*h) {
        if (!take_room(t, series_of_hist(t, row)))
            return;
        *h = genhist_new(row->buckets, t->opts.has_classic);
        row->shown[hist].born_ms = now_ms;
    }
    genhist_observe(*h, row->buckets, t->opts.has_native, v, n, trace, now_ms);
}

/* ---- writing ---- */

struct writing {
    struct push_builder *b;
    const struct genrow *row;
    struct label *labels; /* row's, instance, name, le */
    size_t n_labels;      /* without name and le */
    int64_t now_ms;
    bool is_stale;
};

static void metadata(struct writing *w, struct slice family, const struct genkind_name *name,
                     enum sample_metric_type type)
{
    push_builder_metadata_once(w->b, &(struct push_metadata){.family = family,
                                                             .help = slice_cstr(name->help),
                                                             .unit = SLICE_EMPTY,
                                                             .type = type});
}

static struct err *put(struct writing *w, const struct push_in *values, const char *name,
                       const char *suffix, struct slice le)
{
    struct push_in in = *values;

    in.labels = w->labels;
    in.n_labels = w->n_labels;
    w->labels[in.n_labels++] =
        (struct label){SLICE(LABEL_NAME),
                       slice_cstr(arena_printf(push_builder_arena(w->b), "%s%s", name, suffix))};
    if (le.len)
        w->labels[in.n_labels++] = (struct label){SLICE("le"), le};
    return push_builder_add(w->b, &in);
}

static void add_exemplar(struct writing *w, const struct genhist_exemplar *ex, struct push_in *in)
{
    struct arena *a = push_builder_arena(w->b);
    struct push_in_exemplar *pe = arena_new_of(a, struct push_in_exemplar);
    struct label *trace = arena_new_of(a, struct label);
    char *hex = arena_alloc(a, 33);

    for (size_t i = 0; i < 16; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", ex->trace[i]);
    *trace = (struct label){SLICE("trace_id"), slice_of(hex, 32)};
    *pe = (struct push_in_exemplar){.labels = trace, .n_labels = 1, .v = ex->v, .t_ms = ex->t_ms};
    in->exemplars = pe;
    in->n_exemplars = 1;
}

static struct err *put_float(struct writing *w, const struct gencounter *c, double v,
                             const struct genhist_exemplar *ex, const char *name,
                             const char *suffix, struct slice le)
{
    struct sample s[2] = {{ORR_MIN(c->born_ms, w->now_ms) - 1, 0},
                          {w->now_ms, w->is_stale ? sample_from_bits(SAMPLE_STALE_BITS) : v}};
    struct push_in in = {.samples = c->is_shown ? s + 1 : s, .n_samples = c->is_shown ? 1 : 2};

    if (w->is_stale)
        in = (struct push_in){.samples = s + 1, .n_samples = 1};
    if (ex && ex->t_ms && !w->is_stale)
        add_exemplar(w, ex, &in);
    return put(w, &in, name, suffix, le);
}

static struct err *put_counter(struct writing *w, struct gencounter *c,
                               const struct genkind_name *name)
{
    struct err *e;

    metadata(w, slice_cstr(name->name), name, METRIC_COUNTER_TYPE);
    e = put_float(w, c, c->v, NULL, name->name, "", SLICE_EMPTY);
    c->is_shown = true;
    return e;
}

static struct err *put_classic(struct writing *w, const struct gencounter *c, struct genhist *h,
                               const struct genkind_name *name)
{
    const struct generator_buckets *buckets = w->row->buckets;
    struct arena *a = push_builder_arena(w->b);
    struct err *e = NULL;
    double sum = 0;

    for (size_t i = 0; !e && i <= buckets->n; i++) {
        struct slice le = SLICE("+Inf");

        if (i < buckets->n) {
            struct buf text = {0};

            buf_f64_text(&text, buckets->ptr[i]);
            le = arena_dup(a, buf_slice(&text));
            buf_done(&text);
        }
        sum += h->classic[i];
        e = put_float(w, c, sum, &h->exemplars[i], name->name, "_bucket", le);
        h->exemplars[i].t_ms = 0;
    }
    if (!e)
        e = put_float(w, c, h->count, NULL, name->name, "_count", SLICE_EMPTY);
    if (!e)
        e = put_float(w, c, h->sum, NULL, name->name, "_sum", SLICE_EMPTY);
    return e;
}

static struct err *put_native(struct writing *w, const struct gencounter *c, struct genhist *h,
                              const struct genkind_name *name)
{
    struct push_histogram ph[2] = {
        {.t_ms = ORR_MIN(c->born_ms, w->now_ms) - 1,
         .h = {.schema = h->schema, .is_int = true, .zero_threshold = GENHIST_ZERO_THRESHOLD}},
        {.t_ms = w->now_ms, .h = genhist_to_native(h, push_builder_arena(w->b))}};
    struct push_in in = {.histograms = c->is_shown ? ph + 1 : ph,
                         .n_histograms = c->is_shown ? 1 : 2};

    if (w->is_stale)
        return put_float(w, c, 0, NULL, name->name, "", SLICE_EMPTY);
    if (h->exemplar.t_ms) {
        add_exemplar(w, &h->exemplar, &in);
        h->exemplar.t_ms = 0;
    }
    return put(w, &in, name->name, "", SLICE_EMPTY);
}

static struct err *put_row(struct gentable *t, struct writing *w, struct genrow *row)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < GENTABLE_KIND_MAX; i++)
        if (row->counters[i].born_ms)
            e = put_counter(w, &row->counters[i], &row->kind->counters[i]);
    for (size_t i = 0; !e && i < GENTABLE_KIND_MAX; i++) {
        const struct genkind_name *name = &row->kind->hists[i];

        if (!row->hists[i])
            continue;
        metadata(w, slice_cstr(name->name), name, METRIC_HISTOGRAM);
        if (t->opts.has_classic)
            e = put_classic(w, &row->shown[i], row->hists[i], name);
        if (!e && t->opts.has_native)
            e = put_native(w, &row->shown[i], row->hists[i], name);
        row->shown[i].is_shown = true;
    }
    return e;
}

static void forget(struct gentable *t, size_t i)
{
    struct genrow *row = t->rows.ptr[i];

    for (size_t k = 0; k < GENTABLE_KIND_MAX; k++)
        t->series -= (row->counters[k].born_ms != 0) + (row->hists[k] ? series_of_hist(t, row) : 0);
    (void)map_del(&t->by_key, row->key);
    vec_remove_swap(&t->rows, i);
    free_row(row);
}

static bool is_slice_full(const struct push_builder *b)
{
    return b->push->series.len >= GENTABLE_SLICE_SERIES ||
           push_builder_bytes(b) >= GENTABLE_SLICE_BYTES;
}

/* From the last to the first: a row that is forgotten is replaced by one that was seen. */
struct err *gentable_write(struct gentable *t, struct push_builder *b, struct slice instance,
                           int64_t now_ms, size_t *io_next)
{
    struct label labels[MAX_LABELS + 3];
    struct writing w = {.b = b, .labels = labels, .now_ms = now_ms};
    struct err *e = NULL;

    *io_next = ORR_MIN(*io_next, t->rows.len);
    while (!e && *io_next > 0 && !is_slice_full(b)) {
        struct genrow *row = t->rows.ptr[--*io_next];

        w.row = row;
        w.n_labels = row->labels.n;
        memcpy(labels, row->labels.ptr, row->labels.n * sizeof(*labels));
        labels[w.n_labels++] = (struct label){SLICE(GENERATOR_INSTANCE_LABEL), instance};
        w.is_stale = now_ms - row->seen_ms > GENTABLE_STALE_MS;
        e = put_row(t, &w, row);
        if (w.is_stale)
            forget(t, *io_next);
    }
    return e;
}
