/* Nodes that serve others: numbers, repetition of a single step, merging of equal label sets. */
#include "querier/engine/exec.h"

struct number_node {
    struct node node;
    double v;
    bool is_over;
};

static bool number_next(struct node *n, struct row *ret)
{
    struct number_node *nn = (struct number_node *)n;

    if (nn->is_over)
        return false;
    nn->is_over = true;
    *ret = (struct row){.v = arena_array(node_tmp(n), double, n->grid.n)};
    for (size_t i = 0; i < n->grid.n; i++)
        ret->v[i] = nn->v;
    return true;
}

struct node *node_number(struct exec *x, struct grid grid, double v)
{
    static const struct node_ops ops = {number_next, NULL};
    struct number_node *nn = node_new_of(x, struct number_node, &ops, grid);

    nn->v = v;
    nn->node.is_scalar = true;
    return &nn->node;
}

struct repeat_node {
    struct node node;
    struct node *single;
};

static bool repeat_next(struct node *n, struct row *ret)
{
    struct repeat_node *rn = (struct repeat_node *)n;
    struct row r;

    if (!node_next(rn->single, &r))
        return false;
    *ret = r;
    ret->v = arena_array(node_tmp(n), double, n->grid.n);
    for (size_t i = 0; i < n->grid.n; i++)
        ret->v[i] = r.v[0];
    if (row_has_hist(&r, 0)) {
        ret->h = row_hist_column(node_tmp(n), n->grid.n);
        for (size_t i = 0; i < n->grid.n; i++)
            ret->h[i] = r.h[0];
    } else {
        ret->h = NULL;
    }
    return true;
}

struct node *node_repeat(struct exec *x, struct grid grid, struct node *single)
{
    static const struct node_ops ops = {repeat_next, NULL};
    struct repeat_node *rn = node_new_of(x, struct repeat_node, &ops, grid);

    rn->single = single;
    rn->node.is_scalar = single->is_scalar;
    return &rn->node;
}

struct merge_node {
    struct node node;
    struct node *child;
    struct rowset rows;
    struct labelmap map;
    size_t at;
    bool is_strict, is_loaded;
    /* streaming: which steps each label set has had, by fingerprint */
    bool is_streaming;
    struct seen *seen;
    size_t n_seen, cap_seen;
};

struct seen {
    struct hash128 fp;
    uint8_t *steps; /* a bit for each; NULL: a free slot */
};

static bool merge_duplicate(struct exec *x)
{
    return exec_fail(x, err_new(ERR_EXEC, "vector cannot contain metrics with the same labelset"));
}

/* Adds the samples of r to d. */
static bool merge_rows(struct merge_node *mn, struct row *d, const struct row *r)
{
    struct exec *x = mn->node.x;

    if (mn->is_strict)
        return merge_duplicate(x);
    for (size_t i = 0; i < mn->node.grid.n; i++) {
        if (!row_has(r, i))
            continue;
        if (row_has(d, i))
            return merge_duplicate(x);
        d->v[i] = r->v[i];
        if (row_has_hist(r, i)) {
            if (!d->h)
                d->h = row_hist_column(x->arena, mn->node.grid.n);
            d->h[i] = fhist_dup(x->arena, r->h[i]);
        }
    }
    return true;
}

static bool merge_load(struct merge_node *mn)
{
    struct exec *x = mn->node.x;
    struct row r;

    mn->is_loaded = true;
    while (node_next(mn->child, &r)) {
        bool is_new;
        size_t i = labelmap_index(&mn->map, r.labels, &is_new);

        if (is_new) {
            if (!exec_hold(x, mn->node.grid.n))
                return false;
            rowset_add(x, &mn->rows, &r, mn->node.grid.n);
        } else if (!merge_rows(mn, &mn->rows.ptr[i], &r)) {
            return false;
        }
    }
    return exec_ok(x);
}

static struct seen *seen_slot(struct seen *slots, size_t cap, struct hash128 fp)
{
    size_t at = fp.lo & (cap - 1);

    while (slots[at].steps && !hash128_eq(slots[at].fp, fp))
        at = (at + 1) & (cap - 1);
    return &slots[at];
}

static void seen_grow(struct merge_node *mn)
{
    size_t cap = mn->cap_seen ? mn->cap_seen * 2 : 64;
    struct seen *slots = arena_array(mn->node.x->arena, struct seen, cap);

    for (size_t i = 0; i < mn->cap_seen; i++)
        if (mn->seen[i].steps)
            *seen_slot(slots, cap, mn->seen[i].fp) = mn->seen[i];
    mn->seen = slots;
    mn->cap_seen = cap;
}

/* Passes rows on, and only looks whether two of a label set meet at a step. */
static bool merge_stream(struct merge_node *mn, struct row *ret)
{
    struct exec *x = mn->node.x;
    struct seen *s;

    if (!node_next(mn->child, ret))
        return false;
    if ((mn->n_seen + 1) * 2 > mn->cap_seen)
        seen_grow(mn);
    s = seen_slot(mn->seen, mn->cap_seen, labels_fingerprint(ret->labels));
    if (s->steps && mn->is_strict)
        return merge_duplicate(x);
    if (!s->steps) {
        s->fp = labels_fingerprint(ret->labels);
        s->steps = arena_zalloc(x->arena, mn->node.grid.n / 8 + 1);
        mn->n_seen++;
    }
    for (size_t i = 0; i < mn->node.grid.n; i++) {
        uint8_t bit = (uint8_t)(1u << (i & 7));

        if (!row_has(ret, i))
            continue;
        if (s->steps[i / 8] & bit)
            return merge_duplicate(x);
        s->steps[i / 8] |= bit;
    }
    return true;
}

static bool merge_next(struct node *n, struct row *ret)
{
    struct merge_node *mn = (struct merge_node *)n;

    if (mn->is_streaming)
        return merge_stream(mn, ret);
    if (!mn->is_loaded && !merge_load(mn))
        return false;
    if (mn->at == mn->rows.n)
        return false;
    *ret = mn->rows.ptr[mn->at++];
    return true;
}

static const struct node_ops merge_ops = {merge_next, NULL};

void node_merge_streams(struct node *n)
{
    struct merge_node *mn = (struct merge_node *)n;

    if (n && n->ops == &merge_ops)
        mn->is_streaming = true;
}

struct node *node_merge(struct exec *x, struct node *child, bool is_strict)
{
    struct merge_node *mn = node_new_of(x, struct merge_node, &merge_ops, child->grid);

    mn->child = child;
    mn->is_strict = is_strict;
    mn->map.arena = x->arena;
    return &mn->node;
}

const double *node_scalar(struct node *n)
{
    struct row r;
    double *v;

    ORR_ASSERT(n->is_scalar);
    if (!node_next(n, &r))
        return NULL;
    v = arena_array(n->x->arena, double, n->grid.n);
    memcpy(v, r.v, n->grid.n * sizeof(double));
    return v;
}
