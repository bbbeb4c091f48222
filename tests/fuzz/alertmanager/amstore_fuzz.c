#include "alertmanager/amstore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An object of the bucket, and the document of the API. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct amstore_limits limits = {.max_config_bytes = 4096, .max_templates = 4};
    struct arena *a = arena_new(0);
    struct amstore_config c, again;
    struct amconf *conf = NULL;
    struct buf b = {0};
    struct err *e = amstore_decode(a, slice_of(data, n), &c);

    if (!e) {
        amstore_encode(&b, SLICE("t"), &c);
        ORR_ASSERT(!amstore_decode(a, buf_slice(&b), &again) && again.n == c.n &&
                   slice_eq(again.config, c.config));
        if (c.config.len < 4096)
            err_free(amstore_compile(&c, &conf));
    }
    err_free(e);
    if (!(e = amstore_from_yaml(a, slice_of(data, n), &limits, &c))) {
        buf_reset(&b);
        amstore_yaml(&b, &c);
        amconf_unref(conf);
        conf = NULL;
        err_free(amstore_compile(&c, &conf));
    }
    err_free(e);
    amconf_unref(conf);
    buf_done(&b);
    arena_free(a);
    return 0;
}
