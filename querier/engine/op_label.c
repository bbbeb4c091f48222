/* label_replace, label_join, the sorts, and the label work that operators share. */
#include <math.h>
#include <stdlib.h>

#include "common/base/gore.h"
#include "querier/engine/ops.h"

bool ops_names_have(struct promql_names names, struct slice name)
{
    for (size_t i = 0; i < names.n; i++)
        if (slice_eq(names.ptr[i], name))
            return true;
    return false;
}

bool ops_wants_order(const struct exec *x, const struct promql_expr *e)
{
    return x->q->step_ms > 0 && promql_unwrap(x->root) != e;
}

int ops_by_labels(const void *a, const void *b)
{
    return labels_cmp(*(const struct labels *)a, *(const struct labels *)b);
}

struct labels ops_group_labels(struct arena *a, struct labels ls, bool is_without,
                               struct promql_names names)
{
    struct label *out;
    size_t n = 0;

    if (!is_without && names.n == 0)
        return (struct labels){0};
    out = arena_array(a, struct label, ls.n);
    for (size_t i = 0; i < ls.n; i++)
        if (ops_names_have(names, ls.ptr[i].name) != is_without)
            out[n++] = ls.ptr[i];
    ls = (struct labels){out, n};
    return is_without ? row_nameless(a, ls) : ls;
}

struct labels ops_match_labels(struct arena *a, struct labels ls, bool is_on,
                               struct promql_names names)
{
    struct label *out = arena_array(a, struct label, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++) {
        bool is_named = ops_names_have(names, ls.ptr[i].name);

        if (is_on ? is_named : !is_named && !slice_eq(ls.ptr[i].name, SLICE(LABEL_NAME)))
            out[n++] = ls.ptr[i];
    }
    return (struct labels){out, n};
}

struct slice ops_text(const struct promql_expr *e)
{
    e = promql_unwrap(e);
    ORR_ASSERT(e->kind == PROMQL_TEXT);
    return e->u.text;
}

struct slice ops_name_of(struct labels ls)
{
    return labels_get(ls, SLICE(LABEL_NAME));
}

/* Of a label value that a query makes. What ingesters take is far below it; without a bound a few nested calls,
 * each of which doubles a value, make one of terabytes. */
#define MAX_VALUE_BYTES ((size_t)1 << 20)

struct label_node {
    struct node node;
    struct node *child;
    struct slice dst, src, replacement, separator;
    const struct slice *sources;
    size_t n_sources;
    struct re *re;
    const char *func;
};

static void label_done(struct node *n)
{
    re_free(((struct label_node *)n)->re);
}

static bool fail_long_value(const struct label_node *l)
{
    return exec_fail(
        l->node.x,
        err_new(ERR_LIMIT,
                "%s() would give label \"%.*s\" a value of more than %zu bytes, which is "
                "the longest that a query may make",
                l->func, SLICE_ARG(l->dst), MAX_VALUE_BYTES));
}

static void set_value(struct label_node *l, struct slice value, struct row *r)
{
    struct labels_builder b;

    labels_builder_init(&b, node_tmp(&l->node), r->labels);
    labels_builder_set(&b, l->dst, value);
    r->labels = labels_builder_labels(&b);
    if (slice_eq(l->dst, SLICE(LABEL_NAME)))
        r->drop_name = false;
}

static bool expand(struct label_node *l, struct slice text, const int *spans, size_t n_spans,
                   struct slice *ret)
{
    size_t left = arena_left(l->node.x->arena);
    struct buf out = {.max_bytes = ORR_MAX(ORR_MIN(left, MAX_VALUE_BYTES), (size_t)1)};
    bool is_ok;

    gore_expand(&out, l->re, l->replacement, text, spans, n_spans);
    is_ok = buf_ok(&out);
    if (is_ok)
        *ret = arena_dup(node_tmp(&l->node), buf_slice(&out));
    buf_done(&out);
    if (!is_ok)
        return left < MAX_VALUE_BYTES ? exec_room(l->node.x, left + 1) : fail_long_value(l);
    return true;
}

static bool replace_next(struct node *n, struct row *ret)
{
    struct label_node *l = (struct label_node *)n;
    struct slice text, value;
    size_t n_spans = 2 * (re_groups(l->re) + 1);
    int *spans;

    if (!node_next(l->child, ret))
        return false;
    spans = arena_array(node_tmp(n), int, n_spans);
    text = labels_get(ret->labels, l->src);
    if (!re_find(l->re, text, 0, spans, n_spans))
        return true;
    if (!expand(l, text, spans, n_spans, &value))
        return false;
    set_value(l, value, ret);
    return true;
}

struct node *op_label_replace(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {replace_next, label_done};
    struct promql_expr *const *args = e->u.call.args;
    struct label_node *l = node_new_of(x, struct label_node, &ops, grid);
    struct slice regex = ops_text(args[4]);
    struct err *err;

    l->func = "label_replace";
    l->dst = ops_text(args[1]);
    l->replacement = ops_text(args[2]);
    l->src = ops_text(args[3]);
    if ((err = re_compile(regex, RE_ANCHORED, &l->re))) {
        err_free(err);
        (void)exec_fail(x, err_new(ERR_EXEC, "invalid regular expression in label_replace(): %.*s",
                                   SLICE_ARG(regex)));
        return NULL;
    }
    if (l->dst.len == 0 || !slice_is_utf8(l->dst)) {
        (void)exec_fail(x,
                        err_new(ERR_EXEC, "invalid destination label name in label_replace(): %.*s",
                                SLICE_ARG(l->dst)));
        return NULL;
    }
    if (!(l->child = build_node(x, args[0], grid)))
        return NULL;
    return node_merge(x, &l->node, false);
}

/* The sources' values, whose length is known before any of it is copied. */
static bool join(struct label_node *l, struct labels ls, struct slice *ret)
{
    size_t len = 0, at = 0;
    uint8_t *out;

    for (size_t i = 0; i < l->n_sources; i++)
        len += (i ? l->separator.len : 0) + labels_get(ls, l->sources[i]).len;
    if (len > MAX_VALUE_BYTES)
        return fail_long_value(l);
    if (!exec_room(l->node.x, len) || !exec_work(l->node.x, l->n_sources))
        return false;
    out = arena_alloc(node_tmp(&l->node), len);
    for (size_t i = 0; i < l->n_sources; i++) {
        struct slice value = labels_get(ls, l->sources[i]);

        if (i && l->separator.len)
            memcpy(out + at, l->separator.ptr, l->separator.len);
        at += i ? l->separator.len : 0;
        if (value.len)
            memcpy(out + at, value.ptr, value.len);
        at += value.len;
    }
    *ret = slice_of(out, len);
    return true;
}

static bool join_next(struct node *n, struct row *ret)
{
    struct label_node *l = (struct label_node *)n;
    struct slice value;

    if (!node_next(l->child, ret) || !join(l, ret->labels, &value))
        return false;
    set_value(l, value, ret);
    return true;
}

struct node *op_label_join(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {join_next, label_done};
    struct promql_expr *const *args = e->u.call.args;
    struct label_node *l = node_new_of(x, struct label_node, &ops, grid);
    struct slice *sources = arena_array(x->arena, struct slice, e->u.call.n_args);

    l->func = "label_join";
    l->dst = ops_text(args[1]);
    l->separator = ops_text(args[2]);
    for (size_t i = 3; i < e->u.call.n_args; i++) {
        sources[l->n_sources] = ops_text(args[i]);
        if (sources[l->n_sources].len == 0 || !slice_is_utf8(sources[l->n_sources])) {
            (void)exec_fail(x, err_new(ERR_EXEC, "invalid source label name in label_join(): %.*s",
                                       SLICE_ARG(sources[l->n_sources])));
            return NULL;
        }
        l->n_sources++;
    }
    l->sources = sources;
    if (l->dst.len == 0 || !slice_is_utf8(l->dst)) {
        (void)exec_fail(x, err_new(ERR_EXEC, "invalid destination label name in label_join(): %.*s",
                                   SLICE_ARG(l->dst)));
        return NULL;
    }
    if (!(l->child = build_node(x, args[0], grid)))
        return NULL;
    return node_merge(x, &l->node, false);
}

/* Sorting means something for instant queries only: other results are ordered by labels. */
struct sort_node {
    struct node node;
    enum promql_fn fn;
    struct node *child;
    const struct slice *names;
    size_t n_names;
    struct rowset rows;
    size_t at;
    bool is_loaded;
};

static int compare_values(const struct row *a, const struct row *b, double sign)
{
    double x = a->v[0], y = b->v[0];

    if (isnan(x) || isnan(y))
        return isnan(x) - isnan(y); /* last in either direction */
    return sign * x < sign * y ? -1 : sign * x > sign * y;
}

static size_t number_end(struct slice s, size_t i)
{
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
        i++;
    return i;
}

/* Runs of digits by their value, everything else by its bytes. */
static int compare_natural(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

    while (i < a.len && j < b.len) {
        size_t ie = number_end(a, i), je = number_end(b, j);

        if (ie > i && je > j) {
            while (i + 1 < ie && a.ptr[i] == '0')
                i++;
            while (j + 1 < je && b.ptr[j] == '0')
                j++;
            if (ie - i != je - j)
                return ie - i < je - j ? -1 : 1;
            for (; i < ie; i++, j++)
                if (a.ptr[i] != b.ptr[j])
                    return a.ptr[i] < b.ptr[j] ? -1 : 1;
        } else if (a.ptr[i] != b.ptr[j]) {
            return a.ptr[i] < b.ptr[j] ? -1 : 1;
        } else {
            i++;
            j++;
        }
    }
    if (i == a.len && j == b.len)
        return slice_cmp(a, b); /* leading zeros decide between equal numbers */
    return i == a.len ? -1 : 1;
}

static int compare_rows(const void *a, const void *b, void *arg)
{
    const struct sort_node *s = arg;
    const struct row *x = a, *y = b;
    bool is_desc = s->fn == PROMQL_FN_SORT_DESC || s->fn == PROMQL_FN_SORT_BY_LABEL_DESC;
    int c = 0;

    if (s->fn == PROMQL_FN_SORT || s->fn == PROMQL_FN_SORT_DESC)
        return compare_values(x, y, is_desc ? -1 : 1);
    for (size_t i = 0; i < s->n_names && c == 0; i++)
        c = compare_natural(labels_get(x->labels, s->names[i]), labels_get(y->labels, s->names[i]));
    if (c == 0)
        c = labels_cmp(x->labels, y->labels);
    return is_desc ? -c : c;
}

static bool sort_next(struct node *n, struct row *ret)
{
    struct sort_node *s = (struct sort_node *)n;
    bool by_value = s->fn == PROMQL_FN_SORT || s->fn == PROMQL_FN_SORT_DESC;

    if (n->grid.n != 1)
        return node_next(s->child, ret);
    if (!s->is_loaded) {
        s->is_loaded = true;
        if (!rowset_fill(n->x, &s->rows, s->child))
            return false;
        if (s->rows.n)
            qsort_r(s->rows.ptr, s->rows.n, sizeof(struct row), compare_rows, s);
    }
    while (s->at < s->rows.n) {
        *ret = s->rows.ptr[s->at++];
        if (!by_value || row_has_float(ret, 0)) /* histograms have no order */
            return true;
    }
    return false;
}

struct node *op_sort(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {sort_next, NULL};
    const struct promql_call *c = &e->u.call;
    struct sort_node *s = node_new_of(x, struct sort_node, &ops, grid);
    struct slice *names = arena_array(x->arena, struct slice, c->n_args);

    s->fn = c->func->id;
    for (size_t i = 1; i < c->n_args; i++)
        names[s->n_names++] = ops_text(c->args[i]);
    s->names = names;
    if (!(s->child = build_node(x, c->args[0], grid)))
        return NULL;
    if (grid.n > 1)
        annot_add(
            &x->annots, ANNOT_WARNING, e->start,
            "sort is ineffective for range queries since results are always ordered by labels");
    return &s->node;
}
