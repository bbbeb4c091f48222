#include "alertmanager/alert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The JSON of a post, and the wire form between peers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    alert_vec v = {0}, w = {0};
    struct buf b = {0};
    struct err *bad = NULL;

    err_free(alert_from_json(slice_of(data, n), 1000, 1000, &v, &bad));
    err_free(bad);
    alert_encode(&b, &v);
    err_free(alert_decode(buf_slice(&b), &w));
    ORR_ASSERT(v.len == w.len);
    alert_vec_done(&v);
    alert_vec_done(&w);
    err_free(alert_decode(slice_of(data, n), &w));
    alert_vec_done(&w);
    buf_done(&b);
    return 0;
}
