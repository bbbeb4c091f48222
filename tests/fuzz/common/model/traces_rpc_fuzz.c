/* Bytes as what ingesters and queriers say to one another about traces: what can be read is written the same. */
#include "common/model/traces_rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_select(struct slice bytes)
{
    struct rpc_traces_select q, again;
    struct buf b = {0};
    struct err *e = rpc_traces_select_decode(bytes, &q);

    if (!e) {
        rpc_traces_select_encode(&b, &q);
        ORR_ASSERT(!rpc_traces_select_decode(buf_slice(&b), &again) && again.n_ids == q.n_ids);
    }
    err_free(e);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct reader r = reader_new(slice_of(data, size)), names = r;
    struct rpc_traces_names names_request;
    struct rpc_traces_item item;
    struct rpc_traces_name name;
    size_t n = 0;

    look_select(slice_of(data, size));
    err_free(rpc_traces_names_decode(slice_of(data, size), &names_request));
    for (; rpc_traces_item_decode(a, &r, &item); n++)
        ORR_ASSERT(item.n <= size);
    while (rpc_traces_name_decode(&names, &name))
        n++;
    ORR_ASSERT(n <= size);
    arena_free(a);
    return 0;
}
