/* The wire form of matchers: what decodes must encode to the same again. */
#include <stdlib.h>

#include "common/model/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64 << 20);
    struct matchers ms, again;
    struct buf b = {0};
    struct err *e = matchers_decode(a, slice_of(data, size), &ms);

    if (!e) {
        for (size_t i = 0; i < ms.n; i++)
            (void)matcher_matches(&ms.ptr[i], slice_of(data, size));
        matchers_encode(&b, ms);
        if ((e = matchers_decode(a, buf_slice(&b), &again)) || again.n != ms.n)
            abort();
        matchers_done(again);
        matchers_done(ms);
    }
    err_free(e);
    buf_done(&b);
    arena_free(a);
    return 0;
}
