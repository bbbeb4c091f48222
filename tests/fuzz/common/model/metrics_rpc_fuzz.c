/* What processes tell each other about metrics: the first byte chooses the message. */
#include <stdlib.h>

#include "common/model/metrics_rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void select_message(struct arena *a, struct slice in)
{
    struct rpc_select s;
    struct err *e = rpc_select_decode(a, in, &s);

    if (!e)
        matchers_done(s.matchers);
    err_free(e);
}

static void entries(struct arena *a, struct slice in)
{
    struct reader r = reader_new(in);
    struct rpc_series s = {0};
    struct rpc_exemplars x;
    struct rpc_metadata m;
    struct rpc_pair p;

    while (rpc_series_decode(a, &r, &s))
        ;
    r = reader_new(in);
    s.is_keyed = true;
    while (rpc_series_decode(a, &r, &s))
        ;
    r = reader_new(in);
    while (rpc_exemplars_decode(a, &r, &x))
        ;
    r = reader_new(in);
    while (rpc_metadata_decode(&r, &m))
        ;
    r = reader_new(in);
    while (rpc_pair_decode(&r, &p))
        if (p.name.len + p.value.len > in.len)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data + 1, size ? size - 1 : 0);
    struct arena *a;
    struct rpc_query q;
    struct rpc_rules rules;
    struct rpc_rules_change change;
    struct rpc_head h;

    if (!size)
        return 0;
    a = arena_new(0);
    if (data[0] % 4 == 0)
        select_message(a, in);
    else if (data[0] % 4 == 1)
        entries(a, in);
    else if (data[0] % 4 == 2)
        err_free(rpc_query_decode(in, &q));
    else
        err_free(rpc_head_decode(in, &h));
    err_free(rpc_rules_decode(in, &rules));
    err_free(rpc_rules_change_decode(in, &change));
    arena_free(a);
    return 0;
}
