#include "alertmanager/amconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct amconf *c = NULL;

    err_free(amconf_parse("fuzz", slice_of(data, n), 0, &c));
    amconf_unref(c);
    return 0;
}
