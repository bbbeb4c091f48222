/* Messages from peers, into a gossip with a channel: no crash, our own entry stands. */
#include "common/base/clock.h"
#include "common/ring/gossip.h"
#include "common/ring/gossip_kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(void *arg, const char *addr, struct slice bytes)
{
    (void)arg, (void)addr, (void)bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct member self = {.instance = "me",
                          .zone = "z",
                          .rpc_addr = "1",
                          .http_addr = "2",
                          .roles = MEMBER_INGESTER,
                          .state = MEMBER_ACTIVE};
    struct gossip_ops ops = {.send = drop};
    struct gossip_opts opts = {.seed = 1, .cluster = "c"};
    struct gossip *g;
    struct gossip_kv *kv;
    struct err *e = gossip_new(&self, &opts, &ops, NS_PER_S, 1000, &g);

    ORR_ASSERT(!e);
    e = gossip_kv_new(g, "kv", 100, NULL, NULL, &kv);
    ORR_ASSERT(!e);
    err_free(gossip_receive(g, slice_of(data, size), 2 * NS_PER_S, 2000));
    err_free(gossip_receive(g, slice_of(data, size), 2 * NS_PER_S, 2000));
    gossip_tick(g, 3 * NS_PER_S, 3000);
    gossip_tick(g, 100 * NS_PER_S, 100000);
    ORR_ASSERT(gossip_self(g)->state == MEMBER_ACTIVE);
    gossip_kv_free(kv);
    gossip_free(g);
    return 0;
}
