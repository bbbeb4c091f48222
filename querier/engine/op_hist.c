/* Functions of histograms, native and (as families of bucket series with a label le) classic. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/num.h"
#include "querier/engine/ops.h"

struct hist_value_node {
    struct node node;
    enum promql_fn fn;
    struct node *child;
};

static double hist_value(struct arena *a, enum promql_fn fn, const struct fhist *h)
{
    switch (fn) {
    case PROMQL_FN_HISTOGRAM_COUNT:
        return h->count;
    case PROMQL_FN_HISTOGRAM_SUM:
        return h->sum;
    case PROMQL_FN_HISTOGRAM_AVG:
        return h->sum / h->count;
    case PROMQL_FN_HISTOGRAM_STDDEV:
        return sqrt(fhist_variance(a, h));
    default:
        return fhist_variance(a, h);
    }
}

static bool hist_value_next(struct node *n, struct row *ret)
{
    struct hist_value_node *hv = (struct hist_value_node *)n;
    bool has_any = false;

    do {
        if (!node_next(hv->child, ret))
            return false;
        for (size_t i = 0; i < n->grid.n; i++) {
            if (!row_has_hist(ret, i)) {
                ret->v[i] = ROW_ABSENT;
                continue;
            }
            ret->v[i] = hist_value(node_tmp(n), hv->fn, ret->h[i]);
            has_any = true;
        }
    } while (!has_any);
    ret->h = NULL;
    row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_hist_value(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {hist_value_next, NULL};
    struct hist_value_node *hv = node_new_of(x, struct hist_value_node, &ops, grid);
    bool is_stats;

    hv->fn = e->u.call.func->id;
    is_stats = hv->fn == PROMQL_FN_HISTOGRAM_COUNT || hv->fn == PROMQL_FN_HISTOGRAM_SUM ||
               hv->fn == PROMQL_FN_HISTOGRAM_AVG;
    x->stats_wanted += is_stats;
    hv->child = build_node(x, e->u.call.args[0], grid);
    x->stats_wanted -= is_stats;
    return hv->child ? &hv->node : NULL;
}

struct bucket {
    double upper, count;
};

struct bucket_row {
    double upper;
    size_t row;
};

/* A classic histogram, or the native one with the same labels, or both. */
struct family {
    struct labels labels; /* without le */
    bool drop_name;
    struct bucket_row *buckets;
    size_t n, cap;
    int64_t native; /* row with histograms; -1: none */
};

struct quantile_node {
    struct node node;
    enum promql_fn fn;
    uint32_t pos; /* of the vector argument */
    struct node *child, **args;
    const uint32_t *arg_pos;
    const double **arg_v;
    size_t n_args;
    struct slice label; /* histogram_quantiles */
    struct rowset rows;
    struct labelmap map;
    struct family *families;
    size_t cap, at, at_arg;
    bool is_loaded;
};

static int bucket_row_order(const void *a, const void *b)
{
    double x = ((const struct bucket_row *)a)->upper, y = ((const struct bucket_row *)b)->upper;

    return (x > y) - (x < y);
}

static struct family *family_of(struct quantile_node *q, struct labels ls, bool drop_name)
{
    struct arena *arena = q->node.x->arena;
    bool is_new;
    size_t i = labelmap_index(&q->map, ls, &is_new);

    if (i >= q->cap) {
        size_t cap = q->cap ? q->cap * 2 : 16;

        q->families = arena_grow(arena, q->families, q->cap * sizeof(struct family),
                                 cap * sizeof(struct family));
        q->cap = cap;
    }
    if (is_new)
        q->families[i] =
            (struct family){.labels = labels_dup(arena, ls), .drop_name = drop_name, .native = -1};
    return &q->families[i];
}

static void add_bucket_row(struct quantile_node *q, size_t row)
{
    static const struct slice le = SLICE_INIT("le");
    struct exec *x = q->node.x;
    const struct row *r = &q->rows.ptr[row];
    struct slice text = labels_get(r->labels, le), name = ops_name_of(r->labels);
    struct family *f;
    double upper;

    if (!num_parse(text, &upper)) {
        if (name.len)
            annot_add(&x->annots, ANNOT_WARNING, q->pos,
                      "bucket label \"le\" is missing or has a malformed value of \"%.*s\" for "
                      "metric name \"%.*s\"",
                      SLICE_ARG(text), SLICE_ARG(name));
        else
            annot_add(&x->annots, ANNOT_WARNING, q->pos,
                      "bucket label \"le\" is missing or has a malformed value of \"%.*s\"",
                      SLICE_ARG(text));
        return;
    }
    {
        struct label *kept = arena_array(x->arena, struct label, r->labels.n);
        size_t n = 0;

        for (size_t i = 0; i < r->labels.n; i++)
            if (!slice_eq(r->labels.ptr[i].name, le))
                kept[n++] = r->labels.ptr[i];
        f = family_of(q, (struct labels){kept, n}, r->drop_name);
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;

        f->buckets = arena_grow(x->arena, f->buckets, f->cap * sizeof(*f->buckets),
                                cap * sizeof(*f->buckets));
        f->cap = cap;
    }
    f->buckets[f->n++] = (struct bucket_row){upper, row};
}

static bool quantile_load(struct quantile_node *q)
{
    struct exec *x = q->node.x;

    q->is_loaded = true;
    for (size_t k = 0; k < q->n_args; k++)
        if (!(q->arg_v[k] = node_scalar(q->args[k])))
            return false;
    if (!rowset_fill(x, &q->rows, q->child))
        return false;
    for (size_t r = 0; r < q->rows.n; r++) {
        const struct row *row = &q->rows.ptr[r];
        bool has_float = false;

        for (size_t i = 0; i < q->node.grid.n && !has_float; i++)
            has_float = row_has_float(row, i);
        if (has_float)
            add_bucket_row(q, r);
        if (row->h)
            family_of(q, row->labels, row->drop_name)->native = (int64_t)r;
    }
    for (size_t k = 0; k < q->map.n; k++)
        if (q->families[k].n > 1)
            qsort(q->families[k].buckets, q->families[k].n, sizeof(struct bucket_row),
                  bucket_row_order);
    return exec_ok(x);
}

/* Buckets of one step, those with equal bounds added up. */
static size_t gather(struct quantile_node *q, const struct family *f, size_t i, struct bucket *out)
{
    size_t n = 0;

    for (size_t k = 0; k < f->n; k++) {
        const struct row *r = &q->rows.ptr[f->buckets[k].row];

        if (!row_has_float(r, i))
            continue;
        if (n && out[n - 1].upper == f->buckets[k].upper)
            out[n - 1].count += r->v[i];
        else
            out[n++] = (struct bucket){f->buckets[k].upper, r->v[i]};
    }
    return n;
}

static bool nearly_equal(double a, double b)
{
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);

    if (a == b)
        return true;
    if (a == 0 || b == 0 || sum < DBL_MIN)
        return diff < 1e-12 * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < 1e-12;
}

/* Counts must not fall from bucket to bucket: true if one did by more than rounding. */
static bool make_monotonic(struct bucket *b, size_t n)
{
    double prev = b[0].count;
    bool was_fixed = false;

    for (size_t k = 1; k < n; k++) {
        if (b[k].count == prev)
            continue;
        if (nearly_equal(prev, b[k].count)) {
            b[k].count = prev;
        } else if (b[k].count < prev) {
            b[k].count = prev;
            was_fixed = true;
        } else {
            prev = b[k].count;
        }
    }
    return was_fixed;
}

static double classic_quantile(double q, struct bucket *b, size_t n, bool *ret_was_fixed)
{
    const double nan = sample_from_bits(SAMPLE_NAN_BITS);
    double rank, start = 0, count;
    size_t k = 0;

    if (isnan(q))
        return nan;
    if (q < 0 || q > 1)
        return q < 0 ? -INFINITY : INFINITY;
    if (b[n - 1].upper != INFINITY)
        return nan;
    *ret_was_fixed = make_monotonic(b, n);
    if (n < 2 || b[n - 1].count == 0)
        return nan;
    rank = q * b[n - 1].count;
    /* A binary search, for the bucket it finds where NaN counts leave no order. */
    for (size_t hi = n - 1; k < hi;) {
        size_t mid = (k + hi) / 2;

        if (b[mid].count >= rank)
            hi = mid;
        else
            k = mid + 1;
    }
    if (k == n - 1)
        return b[n - 2].upper;
    if (k == 0 && b[0].upper <= 0)
        return b[0].upper;
    count = b[k].count;
    if (k > 0) {
        start = b[k - 1].upper;
        count -= b[k - 1].count;
        rank -= b[k - 1].count;
    }
    return start + (b[k].upper - start) * (rank / count);
}

static double classic_fraction(double lower, double upper, const struct bucket *b, size_t n)
{
    double count = b[n - 1].count, rank = 0, low = 0, high = 0;
    bool has_low = false, has_high = false;

    if (b[n - 1].upper != INFINITY || count == 0 || isnan(lower) || isnan(upper))
        return sample_from_bits(SAMPLE_NAN_BITS);
    if (lower >= upper)
        return 0;
    for (size_t k = 0; k < n; k++) {
        double from = k ? b[k - 1].upper : b[0].upper > 0 ? 0 : -INFINITY, to = b[k].upper;

        if (!has_low && from >= lower) {
            low = rank;
            has_low = true;
        }
        if (!has_high && from >= upper) {
            high = rank;
            has_high = true;
        }
        if (!has_low && to > lower) {
            low = rank +
                  (isinf(from) ? b[k].count : (b[k].count - rank) * (lower - from) / (to - from));
            has_low = true;
        }
        if (!has_high && to > upper) {
            high = rank +
                   (isinf(from) ? b[k].count : (b[k].count - rank) * (upper - from) / (to - from));
            has_high = true;
        }
        if (has_low && has_high)
            break;
        rank = b[k].count;
    }
    if (!has_low || low > count)
        low = count;
    if (!has_high || high > count)
        high = count;
    return (high - low) / count;
}

/* Of a metric, where there is one to name. */
static void annotate(struct quantile_node *q, enum annot_kind kind, struct slice name,
                     const char *text)
{
    struct exec *x = q->node.x;

    if (name.len)
        annot_add(&x->annots, kind, q->pos, "%s for metric name \"%.*s\"", text, SLICE_ARG(name));
    else
        annot_add(&x->annots, kind, q->pos, "%s", text);
}

static double native_value(struct quantile_node *q, size_t arg, const struct fhist *h, size_t i,
                           struct slice name)
{
    struct arena *tmp = node_tmp(&q->node);
    struct fhist_quantile_notes notes = {0};
    bool has_nan = false;
    double v;

    if (q->fn == PROMQL_FN_HISTOGRAM_FRACTION) {
        v = fhist_fraction(tmp, q->arg_v[0][i], q->arg_v[1][i], h, &has_nan);
        if (has_nan)
            annotate(q, ANNOT_INFO, name,
                     "input to histogram_fraction has NaN observations, which are excluded from "
                     "all fractions");
        return v;
    }
    v = fhist_quantile(tmp, q->arg_v[arg][i], h, &notes);
    if (notes.is_nan_result)
        annotate(q, ANNOT_INFO, name,
                 "input to histogram_quantile has NaN observations, result is NaN");
    if (notes.is_skewed)
        annotate(q, ANNOT_INFO, name,
                 "input to histogram_quantile has NaN observations, result is skewed higher");
    return v;
}

static double classic_value(struct quantile_node *q, size_t arg, struct bucket *b, size_t n,
                            size_t i, struct slice name)
{
    bool was_fixed = false;
    double v;

    if (q->fn == PROMQL_FN_HISTOGRAM_FRACTION)
        return classic_fraction(q->arg_v[0][i], q->arg_v[1][i], b, n);
    v = classic_quantile(q->arg_v[arg][i], b, n, &was_fixed);
    if (was_fixed)
        annotate(
            q, ANNOT_INFO, name,
            "input to histogram_quantile needed to be fixed for monotonicity (see "
            "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)");
    return v;
}

static void check_quantiles(struct quantile_node *q)
{
    if (q->fn == PROMQL_FN_HISTOGRAM_FRACTION)
        return;
    for (size_t k = 0; k < q->n_args; k++) {
        for (size_t i = 0; i < q->node.grid.n; i++) {
            double v = q->arg_v[k][i];
            struct buf b = {0};

            if (v >= 0 && v <= 1)
                continue;
            num_format(&b, v, 'g', -1);
            annot_add(&q->node.x->annots, ANNOT_WARNING, q->arg_pos[k],
                      "quantile value should be between 0 and 1, got %s", buf_cstr(&b));
            buf_done(&b);
        }
    }
}

static bool family_row(struct quantile_node *q, struct family *f, size_t arg, struct row *ret)
{
    struct exec *x = q->node.x;
    struct arena *tmp = node_tmp(&q->node);
    struct bucket *b = arena_array(tmp, struct bucket, f->n);
    struct slice name = ops_name_of(f->labels);
    bool has_any = false;

    *ret = (struct row){
        .labels = f->labels, .drop_name = f->drop_name, .v = row_column(tmp, q->node.grid.n)};
    for (size_t i = 0; i < q->node.grid.n; i++) {
        size_t n = gather(q, f, i, b);
        const struct row *native = f->native >= 0 ? &q->rows.ptr[f->native] : NULL;
        bool has_native = native && row_has_hist(native, i);

        if (n && has_native) {
            annotate(q, ANNOT_WARNING, name,
                     "vector contains a mix of classic and native histograms");
            continue;
        }
        if (!n && !has_native)
            continue;
        ret->v[i] =
            n ? classic_value(q, arg, b, n, i, name) : native_value(q, arg, native->h[i], i, name);
        has_any = true;
    }
    row_drop_name(x, tmp, ret);
    return has_any;
}

/* The label that tells the quantiles of one family apart. */
static void set_quantile_label(struct quantile_node *q, size_t arg, struct row *r)
{
    struct labels_builder b;
    struct buf text = {0};

    /* As OpenMetrics writes a quantile: with a point or an exponent, so that 1 and 1.0 are one. */
    num_format(&text, q->arg_v[arg][0], 'g', -1);
    if (isfinite(q->arg_v[arg][0]) && slice_find_byte(buf_slice(&text), '.', 0) < 0 &&
        slice_find_byte(buf_slice(&text), 'e', 0) < 0)
        buf_str(&text, ".0");
    labels_builder_init(&b, node_tmp(&q->node), r->labels);
    labels_builder_set(&b, q->label, arena_dup(node_tmp(&q->node), buf_slice(&text)));
    r->labels = labels_builder_labels(&b);
    buf_done(&text);
}

static bool quantile_next(struct node *n, struct row *ret)
{
    struct quantile_node *q = (struct quantile_node *)n;
    size_t per = q->fn == PROMQL_FN_HISTOGRAM_QUANTILES ? q->n_args : 1;

    if (!q->is_loaded) {
        if (!quantile_load(q))
            return false;
        check_quantiles(q);
    }
    while (q->at < q->map.n) {
        size_t family = q->at, arg = q->at_arg++;

        if (q->at_arg == per) {
            q->at_arg = 0;
            q->at++;
        }
        if (!family_row(q, &q->families[family], arg, ret))
            continue;
        if (q->label.len)
            set_quantile_label(q, arg, ret);
        return true;
    }
    return false;
}

struct node *op_hist_quantile(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {quantile_next, NULL};
    const struct promql_call *c = &e->u.call;
    struct quantile_node *q = node_new_of(x, struct quantile_node, &ops, grid);
    size_t vector = c->func->id == PROMQL_FN_HISTOGRAM_QUANTILE   ? 1
                    : c->func->id == PROMQL_FN_HISTOGRAM_FRACTION ? 2
                                                                  : 0;
    size_t from = vector ? 0 : 2, to = vector ? vector : c->n_args;
    uint32_t *pos = arena_array(x->arena, uint32_t, to - from);

    q->fn = c->func->id;
    q->pos = c->args[vector]->start;
    q->map.arena = x->arena;
    q->args = arena_array(x->arena, struct node *, to - from);
    q->arg_v = arena_array(x->arena, const double *, to - from);
    if (!vector)
        q->label = ops_text(c->args[1]);
    for (size_t k = from; k < to; k++) {
        pos[q->n_args] = c->args[k]->start;
        if (!(q->args[q->n_args++] = build_node(x, c->args[k], grid)))
            return NULL;
    }
    q->arg_pos = pos;
    x->stats_blocked++;
    q->child = build_node(x, c->args[vector], grid);
    x->stats_blocked--;
    return q->child ? &q->node : NULL;
}
