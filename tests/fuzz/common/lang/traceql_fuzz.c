/* Any text: parse, print, parse the print again. A print is its own print: quantiles are rounded the
 * first time. */
#include <stdlib.h>

#include "common/lang/traceql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool print_of(struct arena *a, struct slice text, struct buf *ret)
{
    struct traceql q;
    struct err *e = traceql_parse(a, text, &q);

    if (e) {
        err_free(e);
        return false;
    }
    traceql_print(ret, &q);
    return true;
}

/* Not so: texts with a backquote in backquotes, compare() as Tempo prints it, what numbers were folded
 * to that cannot be written. */
static bool can_be_read(struct slice query, struct slice print)
{
    static const struct slice unreadable[] = {SLICE_INIT("NaN"), SLICE_INIT("Inf"),
                                              SLICE_INIT("compare("),
                                              SLICE_INIT("9223372036854775808")};

    for (size_t i = 0; i < ORR_COUNT(unreadable); i++)
        if (slice_find(print, unreadable[i], 0) >= 0)
            return false;
    return slice_find(query, SLICE("`"), 0) < 0 && slice_find(query, SLICE("\\"), 0) < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct buf texts[3] = {{0}};

    if (print_of(a, slice_of(data, size), &texts[0]) &&
        can_be_read(slice_of(data, size), buf_slice(&texts[0])) && !arena_over(a)) {
        if (!print_of(a, buf_slice(&texts[0]), &texts[1]) ||
            !print_of(a, buf_slice(&texts[1]), &texts[2]) ||
            !slice_eq(buf_slice(&texts[1]), buf_slice(&texts[2])))
            abort();
    }
    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        buf_done(&texts[i]);
    arena_free(a);
    return 0;
}
