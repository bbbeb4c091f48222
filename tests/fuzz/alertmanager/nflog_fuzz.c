#include "alertmanager/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct nflog *l = nflog_new();
    struct buf b = {0};

    err_free(nflog_merge(l, slice_of(data, n), 0, NULL));
    err_free(nflog_merge_state(l, slice_of(data, n), 0));
    nflog_write_state(l, &b);
    err_free(nflog_merge_state(l, buf_slice(&b), 0));
    nflog_gc(l, 1000);
    buf_done(&b);
    nflog_free(l);
    return 0;
}
