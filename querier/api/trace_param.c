#include "querier/api/trace_param.h"

#include "common/base/clock.h"
#include "common/base/hex.h"

struct err *trace_param_time(struct slice text, int64_t unit_ns, int64_t def_ns, int64_t *ret_ns)
{
    uint64_t n;

    *ret_ns = def_ns;
    if (!text.len)
        return NULL;
    if (!slice_to_u64(text, &n) || n > (uint64_t)(INT64_MAX / unit_ns))
        return err_new(ERR_INVALID, "\"%.*s\" is not a number of 0 or more",
                       SLICE_ARG(slice_sub(text, 0, 64)));
    *ret_ns = (int64_t)n * unit_ns;
    return NULL;
}

struct err *trace_param_range(struct http_request *r, int64_t def_ns, struct tempo_range *ret)
{
    int64_t now_ns = clock_wall_ns(&clock_system), lookback_ns;
    struct slice end = http_param(r, "endTs"), lookback = http_param(r, "lookback");
    struct err *e;

    if ((e = err_wrap(trace_param_time(end, NS_PER_MS, now_ns, &ret->end_ns), "endTs")) ||
        (e = err_wrap(trace_param_time(lookback, NS_PER_MS, def_ns, &lookback_ns), "lookback")))
        return e;
    ret->start_ns = ORR_MAX(ret->end_ns - lookback_ns, (int64_t)0);
    if (ret->end_ns <= ret->start_ns)
        return err_new(ERR_INVALID, "lookback: nothing is between the end and the start");
    return NULL;
}

struct err *trace_param_id(struct http_request *r, struct slice text, struct trace_find *f)
{
    if (f->n_ids == TRACE_ASK_MAX_TRACES)
        return err_new(ERR_INVALID, "more than %d trace ids", TRACE_ASK_MAX_TRACES);
    f->ids = arena_more(r->arena, f->ids, f->n_ids);
    if (!text.len || text.len > 32 || hex_id(text, f->ids[f->n_ids], 16) >= 0)
        return err_new(ERR_INVALID, "malformed trace ID: it has 1 to 32 hexadecimal digits");
    f->n_ids++;
    return NULL;
}
