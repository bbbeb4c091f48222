/* Bytes as what ingesters and queriers say to one another about log lines. */
#include "common/model/logs_rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct reader r = reader_new(slice_of(data, size));
    struct rpc_logs_item item;
    struct rpc_logs_select q;
    size_t n = 0;
    struct err *e;

    for (; rpc_logs_item_decode(a, &r, &item); n++)
        ORR_ASSERT(item.tag >= RPC_LOGS_STREAM && item.tag <= RPC_LOGS_STEP);
    ORR_ASSERT(n <= size);
    if (!(e = rpc_logs_select_decode(a, slice_of(data, size), &q))) {
        ORR_ASSERT(q.kind <= RPC_LOGS_VALUES);
        ORR_ASSERT(!q.steps.step_ns || log_steps_count(&q.steps) <= LOG_STEPS_MAX);
        matchers_done(q.matchers);
    }
    err_free(e);
    arena_free(a);
    return 0;
}
