/* What tests of the ingester's distribution share: a ring of a few instances. */
#pragma once
#include "common/base/hash.h"
#include "common/ring/ring.h"

#define RING_FIXTURE_MAX 8

struct ring_fixture_opts {
    uint32_t signal;
    size_t n; /* instances a, b, c …, in zones and at addresses of the same names */
    unsigned rf;
    uint32_t down;           /* 1 << instance: those that are not healthy */
    int64_t b_registered_ms; /* 0: 1, as all others */
    int64_t b_state_ms;      /* when b began to be what it is; 0: when it was registered */
    bool has_b_left;         /* it is LEAVING */
};

static inline struct ring *ring_fixture_new(const struct ring_fixture_opts *o)
{
    struct ring_input in[RING_FIXTURE_MAX] = {{0}};
    struct ring *r;

    ORR_ASSERT(o->n <= RING_FIXTURE_MAX);
    for (size_t i = 0; i < o->n; i++) {
        char name[2] = {(char)('a' + i), 0};
        uint32_t tokens[64];
        struct member *m;
        struct err *e;

        for (size_t k = 0; k < 64; k++)
            tokens[k] = (uint32_t)(hash_xxh64(slice_of(&k, sizeof(k)), i) & ~7ull) | (uint32_t)i;
        e = member_new(
            &(struct member){.instance = name,
                             .zone = name,
                             .rpc_addr = name,
                             .http_addr = "",
                             .roles = MEMBER_INGESTER,
                             .signals = o->signal,
                             .state = i == 1 && o->has_b_left ? MEMBER_LEAVING : MEMBER_ACTIVE,
                             .state_ms = i == 1 ? o->b_state_ms : 0,
                             .left_ms = i == 1 && o->has_b_left ? o->b_state_ms : 0,
                             .incarnation = 1,
                             .registered_ms = i == 1 && o->b_registered_ms ? o->b_registered_ms : 1,
                             .tokens = tokens,
                             .n_tokens = 64},
            &m);
        ORR_ASSERT(!e);
        in[i] = (struct ring_input){m, !(o->down >> i & 1)};
    }
    r = ring_new(in, o->n,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = o->signal, .rf = o->rf});
    for (size_t i = 0; i < o->n; i++)
        member_unref((struct member *)in[i].member);
    return r;
}
