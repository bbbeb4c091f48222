#include "alertmanager/ammatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (int mode = AMMATCH_CLASSIC; mode <= AMMATCH_FALLBACK; mode++) {
        struct arena *a = arena_new(0);
        struct ammatch_list l = {0};
        struct ammatch m;
        struct err *e = ammatch_parse_list(a, (enum ammatch_mode)mode, slice_of(data, n), &l);

        if (!e) {
            struct buf b = {0};

            ammatch_list_text(&b, &l);
            (void)ammatch_list_matches(&l, (struct labels){0});
            buf_done(&b);
            ammatch_list_done(&l);
        }
        err_free(e);
        if ((e = ammatch_parse(a, (enum ammatch_mode)mode, slice_of(data, n), &m)))
            err_free(e);
        else
            ammatch_done(&m);
        arena_free(a);
    }
    return 0;
}
