/* Parameters of the HTTP API: the first byte chooses which. */
#include <stdlib.h>

#include "querier/api/prom_param.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void times(struct slice text)
{
    int64_t start = 0, end = 0, step = 0;
    struct slice rest = text, part[3] = {{0}, {0}, {0}};
    struct err *e;

    for (size_t i = 0; i < 3; i++)
        (void)slice_split(&rest, '&', &part[i]);
    e = prom_param_time("start", part[0], 0, &start);
    if (!e)
        e = prom_param_time("end", part[1], 0, &end);
    if (!e)
        e = prom_param_duration("step", part[2], 0, &step);
    if (!e)
        e = prom_param_check_range(start, end, step);
    if (!e && (end < start || step <= 0 || (end - start) / step > PROM_MAX_POINTS))
        abort();
    err_free(e);
}

static void match(struct slice text)
{
    struct arena *a = arena_new(0);
    struct matchers ms;
    struct err *e = prom_param_match(a, text, &ms);

    if (!e)
        matchers_done(ms);
    err_free(e);
    arena_free(a);
}

static void name(struct slice text)
{
    struct arena *a = arena_new(0);
    struct slice got;
    struct err *e = prom_param_label_name(a, text, &got);

    if (!e && (!got.len || !slice_is_utf8(got)))
        abort();
    err_free(e);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data + 1, size ? size - 1 : 0);
    uint64_t n;

    if (!size)
        return 0;
    switch (data[0] % 4) {
    case 0:
        times(text);
        break;
    case 1:
        match(text);
        break;
    case 2:
        name(text);
        break;
    default:
        err_free(prom_param_limit("limit", text, &n));
    }
    return 0;
}
