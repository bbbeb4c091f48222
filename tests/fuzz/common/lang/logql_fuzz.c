/* Any text: parse, print, parse the print again. A print is its own print: sizes are rounded the
 * first time. */
#include <stdlib.h>

#include "common/lang/logql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool print_of(struct arena *a, struct slice text, struct buf *ret, struct buf *ret_pretty)
{
    struct logql q;
    struct err *e = logql_parse(a, text, &q);

    if (e) {
        err_free(e);
        return false;
    }
    logql_print(ret, q.root);
    logql_print_pretty(ret_pretty, q.root);
    logql_done(&q);
    return true;
}

/* Folded numbers may have become what cannot be written. */
static bool can_be_read(struct slice text)
{
    return slice_find(text, SLICE("NaN"), 0) < 0 && slice_find(text, SLICE("Inf"), 0) < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct buf texts[4] = {{0}}, pretty = {0};

    if (print_of(a, slice_of(data, size), &texts[0], &pretty) &&
        can_be_read(buf_slice(&texts[0])) && !arena_over(a)) {
        if (!print_of(a, buf_slice(&texts[0]), &texts[1], &texts[3]) ||
            !print_of(a, buf_slice(&texts[1]), &texts[2], &texts[3]) ||
            !slice_eq(buf_slice(&texts[1]), buf_slice(&texts[2])))
            abort();
        buf_reset(&texts[2]);
        if (!print_of(a, buf_slice(&pretty), &texts[2], &texts[3]) ||
            !slice_eq(buf_slice(&texts[1]), buf_slice(&texts[2])))
            abort();
    }
    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        buf_done(&texts[i]);
    buf_done(&pretty);
    arena_free(a);
    return 0;
}
