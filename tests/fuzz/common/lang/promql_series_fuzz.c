#include "common/lang/promql_series.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct promql_series s;
    struct buf b = {0};
    struct err *e = promql_series_parse(a, slice_of(data, size), &s);

    if (!e) {
        labels_text(&b, s.labels);
        for (size_t i = 0; i < s.n && i < 100; i++)
            if (s.values[i].h)
                promql_histogram_print(&b, s.values[i].h);
    }
    err_free(e);
    err_free(promql_series_parse_starts(a, slice_of(data, size), &s));
    buf_done(&b);
    arena_free(a);
    return 0;
}
