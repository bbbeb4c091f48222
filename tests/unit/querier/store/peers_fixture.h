/*
 * Fake ingesters for the tests of the querier: each is an RPC server on a loop of its own and
 * answers "ingester.select" (and names, metadata, exemplars, pairs, head, select_logs, select_traces) with the frames it was given, one
 * message each. The pool has another loop.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/vec.h"
#include "common/block/chunk.h"
#include "common/model/metrics_rpc.h"
#include "common/ring/ring.h"
#include "common/rpc/rpc.h"
#include "tests/unit/test.h"

#define PEERS_MAX 6

enum peer_mood { PEER_WELL, PEER_REFUSES, PEER_HANGS, PEER_BREAKS /* after its first frame */ };

struct peer_frames {
    struct buf *ptr;
    size_t len, cap;
};

struct peer {
    struct loop *loop;
    struct rpc_server *server;
    char name[32], zone[8];
    _Atomic int mood;
    _Atomic int asked;
    _Atomic int logs_format; /* the last that it knows of select_logs; 0: all */
    _Atomic uint64_t mark;   /* of its answers: the catalogue it has dropped by */
    struct peer_frames select, keyed, names, metadata, exemplars, pairs, head, logs, traces;
    VEC(struct hash128) keys;    /* of the frames in keyed: one series each */
    VEC(struct rpc_call *) hung; /* loop's */
};

struct peers {
    struct peer p[PEERS_MAX];
    size_t n;
    struct loop *loop;
    struct rpc_pool *pool;
    struct ring *ring;
};

/* ---- serving ---- */

struct peer_stream {
    struct peer *peer;
    struct rpc_call *call;
    const struct peer_frames *frames;
    size_t at;
};

static inline void peer_more(void *arg)
{
    struct peer_stream *s = arg;

    while (s->at < s->frames->len && !rpc_call_is_canceled(s->call)) {
        if (s->peer->mood == PEER_BREAKS && s->at > 0)
            break;
        if (!rpc_stream_send(s->call, buf_slice(&s->frames->ptr[s->at])))
            return;
        s->at++;
    }
    if (s->peer->mood == PEER_BREAKS)
        rpc_reply_err(s->call, err_new(ERR_NET, "cut off"));
    else
        rpc_stream_end(s->call);
    mem_free(s);
}

static inline void peer_answer(struct peer *p, struct rpc_call *call,
                               const struct peer_frames *frames)
{
    struct peer_stream *s;

    p->asked++;
    rpc_call_mark(call, p->mark);
    if (p->mood == PEER_REFUSES) {
        rpc_reply_err(call, err_new(ERR_UNAVAILABLE, "replaying"));
        return;
    }
    if (p->mood == PEER_HANGS) {
        vec_push(&p->hung, call);
        return;
    }
    s = mem_new(struct peer_stream);
    *s = (struct peer_stream){p, call, frames, 0};
    rpc_stream_on_writable(call, peer_more, s);
    peer_more(s);
}

static inline void peer_on_select(void *arg, struct rpc_call *call)
{
    struct peer *p = arg;
    struct arena *a = arena_new(0);
    struct rpc_select asked;
    struct err *e = rpc_select_decode(a, rpc_call_payload(call), &asked);
    bool is_keyed = !e && asked.is_keyed;

    if (!e)
        matchers_done(asked.matchers);
    err_free(e);
    arena_free(a);
    peer_answer(p, call, is_keyed ? &p->keyed : &p->select);
}

static inline void peer_on_names(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->names);
}

static inline void peer_on_metadata(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->metadata);
}

static inline void peer_on_exemplars(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->exemplars);
}

static inline void peer_on_pairs(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->pairs);
}

static inline void peer_on_head(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->head);
}

static inline void peer_on_logs(void *arg, struct rpc_call *call)
{
    struct peer *p = arg;
    struct slice asked = rpc_call_payload(call);

    if (p->logs_format && asked.len && asked.ptr[0] > p->logs_format) {
        p->asked++;
        rpc_reply_err(call, err_new(ERR_INVALID, "select of log lines: unknown format"));
        return;
    }
    peer_answer(p, call, &p->logs);
}

static inline void peer_on_traces(void *arg, struct rpc_call *call)
{
    peer_answer(arg, call, &((struct peer *)arg)->traces);
}

/* ---- data: before peers_start() or between questions ---- */

static inline struct buf *peer_frame(struct peer_frames *f)
{
    return vec_add(f);
}

/* Where the question comes over a socket, which tells no thread of what another wrote: once the frames are there. */
static inline void peer_frames_are_there(struct peer *p)
{
    p->asked += 0; /* whose next change, as it is asked, sees this one */
}

static inline void peer_add_series(struct peer *p, struct labels ls, const struct chunk *chunks,
                                   size_t n)
{
    struct rpc_chunk *rc = mem_new_array(struct rpc_chunk, n + 1);
    struct buf keyed = {0};
    struct hash128 fp;

    for (size_t i = 0; i < n; i++)
        rc[i] = (struct rpc_chunk){chunks[i].min_t, chunks[i].max_t, chunks[i].encoding,
                                   chunks[i].data};
    rpc_series_encode(peer_frame(&p->select),
                      &(struct rpc_series){.labels = ls, .chunks = rc, .n_chunks = n});
    /* and by fingerprint, with labels that nobody asked for */
    fp = labels_fingerprint(ls);
    rpc_series_encode(&keyed, &(struct rpc_series){ls, rc, n, true, fp});
    vec_push(&p->keys, fp);
    vec_push(&p->keyed, keyed);
    for (size_t i = p->keys.len - 1; i > 0 && hash128_cmp(p->keys.ptr[i - 1], fp) > 0; i--) {
        p->keys.ptr[i] = p->keys.ptr[i - 1];
        p->keyed.ptr[i] = p->keyed.ptr[i - 1];
        p->keys.ptr[i - 1] = fp;
        p->keyed.ptr[i - 1] = keyed;
    }
    mem_free(rc);
}

/* ---- life ---- */

static inline void peer_start(struct peers *ps, struct peer *p, const char *zone)
{
    static int serial;
    char *address;

    snprintf(p->name, sizeof(p->name), "ingester-%zu", ps->n);
    snprintf(p->zone, sizeof(p->zone), "%s", zone);
    address = mem_printf("inproc://fake-ingester-%d", ++serial);
    CHECK_OK(loop_new(p->name, &p->loop));
    CHECK_OK(
        rpc_server_new(&(struct rpc_server_opts){.loop = p->loop, .address = address}, &p->server));
    mem_free(address);
    rpc_server_handle(p->server, "ingester.select", peer_on_select, p);
    rpc_server_handle(p->server, "ingester.names", peer_on_names, p);
    rpc_server_handle(p->server, "ingester.metadata", peer_on_metadata, p);
    rpc_server_handle(p->server, "ingester.exemplars", peer_on_exemplars, p);
    rpc_server_handle(p->server, "ingester.pairs", peer_on_pairs, p);
    rpc_server_handle(p->server, "ingester.head", peer_on_head, p);
    rpc_server_handle(p->server, "ingester.select_logs", peer_on_logs, p);
    rpc_server_handle(p->server, "ingester.select_traces", peer_on_traces, p);
    rpc_server_start(p->server);
    CHECK_OK(loop_start(p->loop));
    ps->n++;
}

/* One instance per letter of zones, with replication factor rf. */
static inline void peers_up(struct peers *ps, const char *zones, unsigned rf)
{
    struct ring_input in[PEERS_MAX];

    *ps = (struct peers){0};
    for (const char *z = zones; *z; z++)
        peer_start(ps, &ps->p[ps->n], (char[]){*z, 0});
    for (size_t i = 0; i < ps->n; i++) {
        uint32_t token = (uint32_t)i * 1000003u + 17;
        struct member *m;

        CHECK_OK(member_new(&(struct member){.instance = ps->p[i].name,
                                             .zone = ps->p[i].zone,
                                             .rpc_addr = rpc_server_address(ps->p[i].server),
                                             .http_addr = "h:1",
                                             .roles = MEMBER_INGESTER,
                                             .signals = MEMBER_METRICS,
                                             .state = MEMBER_ACTIVE,
                                             .registered_ms = 1000,
                                             .tokens = &token,
                                             .n_tokens = 1},
                            &m));
        in[i] = (struct ring_input){m, true};
    }
    ps->ring = ring_new(in, ps->n, &(struct ring_opts){.role = MEMBER_INGESTER, .rf = rf});
    for (size_t i = 0; i < ps->n; i++)
        member_unref(in[i].member);
    CHECK_OK(loop_new("client", &ps->loop));
    CHECK_OK(rpc_pool_new(&(struct rpc_pool_opts){.loop = ps->loop, .name = "test"}, &ps->pool));
    CHECK_OK(loop_start(ps->loop));
}

static inline struct ring *peers_ring(void *arg)
{
    return ring_ref(((struct peers *)arg)->ring);
}

static inline void peer_frames_done(struct peer_frames *f)
{
    VEC_FOREACH (b, f)
        buf_done(b);
    vec_done(f);
}

static inline void peers_down(struct peers *ps)
{
    loop_join(ps->loop);
    rpc_pool_free(ps->pool);
    loop_free(ps->loop);
    for (size_t i = 0; i < ps->n; i++) {
        struct peer *p = &ps->p[i];

        loop_join(p->loop);
        VEC_FOREACH (c, &p->hung)
            rpc_reply(*c, SLICE_EMPTY);
        vec_done(&p->hung);
        rpc_server_free(p->server);
        loop_free(p->loop);
        peer_frames_done(&p->select);
        peer_frames_done(&p->keyed);
        vec_done(&p->keys);
        peer_frames_done(&p->names);
        peer_frames_done(&p->metadata);
        peer_frames_done(&p->exemplars);
        peer_frames_done(&p->pairs);
        peer_frames_done(&p->head);
        peer_frames_done(&p->logs);
        peer_frames_done(&p->traces);
    }
    ring_unref(ps->ring);
}
