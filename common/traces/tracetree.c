#include "common/traces/tracetree.h"

#include <stdlib.h>

/* ---- rows of ids ---- */

static int cmp_ids(const void *a, const void *b)
{
    const struct tracetree_id *l = a, *r = b;

    if (l->id != r->id)
        return l->id < r->id ? -1 : 1;
    return (l->row > r->row) - (l->row < r->row);
}

void tracetree_ids_sort(struct tracetree_id *ids, size_t n)
{
    if (n)
        qsort(ids, n, sizeof(*ids), cmp_ids);
}

uint32_t tracetree_ids_find(const struct tracetree_id *ids, size_t n, uint64_t id)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (ids[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && ids[lo].id == id ? ids[lo].row : UINT32_MAX;
}

/* ---- nested sets ---- */

/* What is known of spans while their trees are walked. */
struct tree {
    const uint32_t *parent;
    uint32_t *first_child, *next_sibling, *n_children;
    int32_t *left, *right, *set_parent;
};

/* Backwards, so that children stand in the order of their rows. */
static void link_children(struct tree *tree, const struct tracecols_trace *t)
{
    for (uint32_t row = t->first + t->n; row-- > t->first;) {
        uint32_t parent = tree->parent[row];

        if (parent == UINT32_MAX)
            continue;
        tree->next_sibling[row] = tree->first_child[parent];
        tree->first_child[parent] = row;
        tree->n_children[parent]++;
    }
}

/* Numbers the tree below root in depth-first order, without a stack: the way back is by parents. A
 * tree has no cycles, since what is below a root has that root above it and nothing else. */
static int32_t number_tree(struct tree *tree, uint32_t root, int32_t next)
{
    uint32_t row = root;

    tree->set_parent[root] = -1;
    tree->left[root] = next++;
    for (;;) {
        uint32_t child = tree->first_child[row];

        if (child != UINT32_MAX) {
            tree->set_parent[child] = tree->left[row];
            tree->left[child] = next++;
            row = child;
            continue;
        }
        for (;;) {
            tree->right[row] = next++;
            if (row == root)
                return next;
            if (tree->next_sibling[row] != UINT32_MAX)
                break;
            row = tree->parent[row];
        }
        tree->set_parent[tree->next_sibling[row]] = tree->set_parent[row];
        row = tree->next_sibling[row];
        tree->left[row] = next++;
    }
}

static void build_trace(struct tree *tree, struct tracecols_trace *t, const uint8_t *is_root)
{
    int32_t next = 1;

    t->root = UINT32_MAX;
    link_children(tree, t);
    for (uint32_t row = t->first; row < t->first + t->n; row++) {
        if (!is_root[row])
            continue;
        if (t->root == UINT32_MAX)
            t->root = row;
        next = number_tree(tree, row, next);
    }
}

static uint32_t *no_rows(struct arena *a, size_t n)
{
    uint32_t *rows = arena_alloc(a, n * sizeof(*rows));

    memset(rows, 0xff, n * sizeof(*rows));
    return rows;
}

void tracetree_build(struct arena *a, struct tracecols_trace *traces, size_t n,
                     const uint8_t *is_root, struct tracecols *t)
{
    struct tree tree = {
        .parent = t->parent,
        .first_child = no_rows(a, t->n_spans),
        .next_sibling = no_rows(a, t->n_spans),
        .n_children = arena_array(a, uint32_t, t->n_spans),
        .left = arena_array(a, int32_t, t->n_spans),
        .right = arena_array(a, int32_t, t->n_spans),
        .set_parent = arena_array(a, int32_t, t->n_spans),
    };

    for (size_t i = 0; i < n; i++)
        build_trace(&tree, &traces[i], is_root);
    t->n_children = tree.n_children;
    t->left = tree.left;
    t->right = tree.right;
    t->set_parent = tree.set_parent;
}
