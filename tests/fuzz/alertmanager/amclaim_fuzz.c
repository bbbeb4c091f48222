#include "alertmanager/amclaim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Both ways: as a question, and as an answer. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct amclaim_rank own = {1, SLICE_INIT("b")};
    struct nflog *l = nflog_new();
    struct buf b = {0};
    uint64_t clock = 5;
    bool may_speak, news;
    struct err *e;

    e = amclaim_take(slice_of(data, n), SLICE("a"), &own, l, 0, &clock, &may_speak, &news);
    if (!e) /* what was merged can be told on */
        err_free(amclaim_answer(&b, slice_of(data, n), NULL, l, &clock));
    err_free(e);
    buf_reset(&b);
    e = amclaim_answer(&b, slice_of(data, n), NULL, l, &clock);
    if (!e) { /* an answer of ours is one */
        e = amclaim_take(buf_slice(&b), SLICE("a"), &own, l, 0, &clock, &may_speak, &news);
        ORR_ASSERT(!e);
    }
    err_free(e);
    buf_done(&b);
    nflog_free(l);
    return 0;
}
