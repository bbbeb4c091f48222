/* Parameters of Loki's API: the first byte chooses which. */
#include <stdlib.h>

#include "querier/api/loki_param.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(struct err *e, int64_t ns)
{
    if (!e && (ns < -LOKI_TIME_MAX_NS || ns > LOKI_TIME_MAX_NS))
        abort();
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data + 1, size ? size - 1 : 0);
    int64_t ns = 0;
    uint32_t limit = 0;
    bool is_forward;
    struct err *e;

    if (!size)
        return 0;
    switch (data[0] % 4) {
    case 0:
        e = loki_param_time("start", text, 0, &ns);
        check_bounds(e, ns);
        break;
    case 1:
        e = loki_param_duration("step", text, 0, &ns);
        check_bounds(e, ns);
        break;
    case 2:
        e = loki_param_limit(text, 100, &limit);
        if (!e && !limit)
            abort();
        err_free(e);
        break;
    default:
        err_free(loki_param_direction(text, &is_forward));
    }
    return 0;
}
