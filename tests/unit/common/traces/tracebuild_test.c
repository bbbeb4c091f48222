#include "common/traces/tracecols.h"
#include "tests/unit/test.h"

struct row {
    uint64_t id, parent;
};

static const struct tracecols *build(struct arena *a, const struct row *rows, size_t n)
{
    static const uint8_t id[16] = {1};
    struct tracebuild *b = tracebuild_new(a);

    (void)tracebuild_resource(b);
    (void)tracebuild_library(b, SLICE("l"), SLICE("1"));
    tracebuild_trace(b, id);
    for (size_t i = 0; i < n; i++)
        (void)tracebuild_span(b, &(struct tracebuild_span){.span_id = rows[i].id,
                                                           .parent_id = rows[i].parent,
                                                           .name = SLICE("s"),
                                                           .start_ns = (int64_t)i,
                                                           .end_ns = (int64_t)(2 * i)});
    return tracebuild_end(b);
}

TEST(tracebuild_finds_parents_and_nested_sets)
{
    /* 1 (2 (4), 3), and 5, whose parent is not there */
    static const struct row rows[] = {{4, 2}, {1, 0}, {2, 1}, {5, 9}, {3, 1}};
    struct arena *a = arena_new(0);
    const struct tracecols *c = build(a, rows, ORR_COUNT(rows));

    CHECK_INT(c->traces[0].root, 1);
    CHECK_INT(c->traces[0].start_ns, 0);
    CHECK_INT(c->traces[0].end_ns, 8);
    CHECK_INT(c->parent[0], 2);
    CHECK_INT(c->parent[3], UINT32_MAX);
    CHECK_INT(c->n_children[1], 2);
    CHECK(c->left[1] == 1 && c->right[1] == 8 && c->set_parent[1] == -1);
    CHECK(c->left[2] == 2 && c->right[2] == 5 && c->set_parent[2] == 1);
    CHECK(c->left[0] == 3 && c->right[0] == 4 && c->set_parent[0] == 2);
    CHECK(c->left[4] == 6 && c->right[4] == 7 && c->set_parent[4] == 1);
    CHECK(c->left[3] == 0 && c->right[3] == 0);
    arena_free(a);
}

/* What clients should not send: two spans of one id, one that is its own parent, parents in a ring. */
TEST(tracebuild_takes_trees_that_are_none)
{
    static const struct row rows[] = {{1, 0}, {1, 0}, {2, 1}, {2, 1}, {3, 2},
                                      {7, 7}, {8, 9}, {9, 8}, {6, 8}};
    struct arena *a = arena_new(0);
    const struct tracecols *c = build(a, rows, ORR_COUNT(rows));

    CHECK_INT(c->traces[0].root, 0);
    CHECK(c->n_children[0] == 2 && c->n_children[1] == 0);
    CHECK(c->parent[4] == 2 && c->n_children[3] == 0);
    CHECK(c->left[0] == 1 && c->right[0] == 8 && c->left[1] == 9 && c->right[1] == 10);
    CHECK_INT(c->parent[5], UINT32_MAX);
    for (size_t i = 5; i < ORR_COUNT(rows); i++)
        CHECK(c->left[i] == 0); /* no root leads there */
    arena_free(a);
}

TEST(tracebuild_keeps_the_first_of_an_attribute)
{
    struct arena *a = arena_new(0);
    struct tracebuild *b = tracebuild_new(a);
    static const uint8_t id[16] = {1};
    struct tracevalue items[] = {{.type = TRACECELL_INT, .v.i = 1}, {.type = TRACECELL_NONE}},
                      one = {.type = TRACECELL_STRING, .v.s = SLICE("x")},
                      none = {.type = TRACECELL_ARRAY, .v.array = {&items[1], 1}},
                      list = {.type = TRACECELL_ARRAY, .v.array = {items, 2}};
    const struct tracecols *c;

    (void)tracebuild_resource(b);
    tracebuild_attribute(b, TRACE_RESOURCES, SLICE("service.name"), &one);
    (void)tracebuild_library(b, SLICE(""), SLICE(""));
    tracebuild_trace(b, id);
    (void)tracebuild_span(b, &(struct tracebuild_span){.span_id = 1});
    tracebuild_attribute(b, TRACE_SPANS, SLICE("k"), &one);
    tracebuild_attribute(b, TRACE_SPANS, SLICE("k"), &list);
    tracebuild_attribute(b, TRACE_SPANS, SLICE("l"), &list);
    tracebuild_attribute(b, TRACE_SPANS, SLICE("n"), &none);
    c = tracebuild_end(b);
    CHECK_SLICE(c->dict[c->service[0]], "x");
    CHECK_INT(tracecols_find(c, TRACE_SPANS, SLICE("k"))->types[0], TRACECELL_STRING);
    CHECK_INT(tracecols_find(c, TRACE_SPANS, SLICE("k"))->n, 1);
    CHECK_INT(c->arrays[tracecols_find(c, TRACE_SPANS, SLICE("l"))->values[0]].n, 1);
    CHECK(!tracecols_find(c, TRACE_SPANS, SLICE("n")));
    arena_free(a);
}
