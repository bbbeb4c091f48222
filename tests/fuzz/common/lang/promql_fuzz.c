/* Any text: parse, print, parse the print again; the trees must agree. */
#include <stdlib.h>

#include "common/lang/promql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool tree_of(struct arena *a, struct slice text, struct buf *ret_text, struct buf *ret_tree)
{
    struct promql q;
    struct err *e = promql_parse(a, text, &PROMQL_EVERYTHING, &q);

    if (e) {
        err_free(e);
        return false;
    }
    promql_print(ret_text, q.root);
    promql_print_tree(ret_tree, q.root);
    err_free(promql_resolve_durations(q.root, 15000, 60000));
    promql_done(&q);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct buf text = {0}, tree = {0}, text2 = {0}, tree2 = {0};
    struct matchers ms;
    struct err *e = promql_parse_selector(a, slice_of(data, size), &ms);

    if (!e)
        matchers_done(ms);
    err_free(e);
    if (tree_of(a, slice_of(data, size), &text, &tree) &&
        tree_of(a, buf_slice(&text), &text2, &tree2) &&
        !slice_eq(buf_slice(&text), buf_slice(&text2)))
        abort();
    buf_done(&text);
    buf_done(&tree);
    buf_done(&text2);
    buf_done(&tree2);
    arena_free(a);
    return 0;
}
