#include "querier/plan/splitter.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/job.h"
#include "common/base/metric.h"
#include "common/model/tenant.h"
#include "querier/engine/result_wire.h"
#include "querier/plan/partial_call.h"
#include "querier/plan/partial_wire.h"

#define COSTS 4096            /* queries whose cost is remembered */
#define PARTS_QUEUED 256      /* of other queriers; they take more back */
#define PART_TIMEOUT_MS 30000 /* of a part whose query has none */

/* A hash of tenant and text with the samples it read; the last writer wins. */
struct cost {
    _Atomic uint64_t key, samples;
};

struct splitter {
    struct splitter_opts opts;
    struct job_pool *threads;
    struct cost costs[COSTS];
    struct splitter_stats stats;
    atomic_bool is_closing; /* cancels the parts of others */
};

struct splitter *splitter_new(const struct splitter_opts *opts)
{
    struct splitter *p = mem_new(struct splitter);

    p->opts = *opts;
    p->threads = job_pool_new("part", ORR_MAX(opts->threads, 1u), PARTS_QUEUED);
    return p;
}

void splitter_free(struct splitter *p)
{
    if (!p)
        return;
    atomic_store(&p->is_closing, true);
    job_pool_free(p->threads);
    mem_free(p);
}

struct job_pool *splitter_pool(struct splitter *p)
{
    return p->threads;
}

void splitter_stats_get(struct splitter *p, struct splitter_stats *ret)
{
    ret->split = __atomic_load_n(&p->stats.split, __ATOMIC_RELAXED);
    ret->time_split = __atomic_load_n(&p->stats.time_split, __ATOMIC_RELAXED);
    ret->parts_local = __atomic_load_n(&p->stats.parts_local, __ATOMIC_RELAXED);
    ret->parts_remote = __atomic_load_n(&p->stats.parts_remote, __ATOMIC_RELAXED);
    ret->parts_returned = __atomic_load_n(&p->stats.parts_returned, __ATOMIC_RELAXED);
    ret->parts_served = __atomic_load_n(&p->stats.parts_served, __ATOMIC_RELAXED);
}

/* ---- what queries cost ---- */

static uint64_t cost_key(struct slice tenant, struct slice expr)
{
    return hash_xxh64(expr, hash_xxh64(tenant, 1)) | 1;
}

static uint64_t cost_of(struct splitter *p, uint64_t key)
{
    struct cost *c = &p->costs[key / 2 % COSTS];

    if (atomic_load_explicit(&c->key, memory_order_relaxed) != key)
        return 0;
    return atomic_load_explicit(&c->samples, memory_order_relaxed);
}

static void cost_set(struct splitter *p, uint64_t key, uint64_t samples)
{
    struct cost *c = &p->costs[key / 2 % COSTS];

    atomic_store_explicit(&c->samples, samples, memory_order_relaxed);
    atomic_store_explicit(&c->key, key, memory_order_relaxed);
}

/* ---- the parts of one query ---- */

struct splitting {
    struct splitter *p;
    struct store_query *sq;
    struct arena *arena;
    struct engine_job *jobs;
    struct arena **arenas;       /* of the parts; freed with the query */
    struct partial_call **calls; /* parts that are asked of others; NULL: local */
    size_t n;
    struct objstore_tally *tally; /* of the query's thread */
    unsigned at_once;             /* parts that run here at the same time */
    bool are_stretches;           /* of time, of all series; else shards of the series */
    uint64_t stretch_bytes;       /* fetched by those of here */
    char (*peers)[SPLITTER_ADDR_BYTES];
    size_t n_peers;
};

static size_t part_bytes(const struct splitting *s)
{
    size_t limit = arena_limit(s->arena), used = arena_used(s->arena);

    return limit ? ORR_MAX((limit - ORR_MIN(used, limit)) / (s->n + 1), (size_t)1) : 0;
}

static void run_local(void *arg, size_t i)
{
    struct splitting *s = arg;
    struct engine_job *j = &s->jobs[i];
    struct store_query_opts opts = s->sq->opts;
    struct objstore_tally *before;
    struct store_query sq;

    if (s->calls[i])
        return;
    before = objstore_tally_set(s->tally);
    METRIC_ADD(s->p->stats.parts_local, 1);
    opts.arena = s->arenas[i];
    store_query_init(&sq, s->sq->store, &opts);
    if (!s->are_stretches) /* those touch the same series again: each counts for itself */
        sq.charged = &s->sq->budget;
    j->err = engine_query(s->p->opts.engine, &j->q, &sq.storage, s->arenas[i], &j->result);
    METRIC_ADD(s->stretch_bytes, sq.budget.bytes);
    store_query_done(&sq);
    (void)objstore_tally_set(before);
}

/* Gives every querier its share: this one the first, the others the next ones. */
static void ask_others(struct splitting *s)
{
    unsigned units = (unsigned)s->n_peers + 1;
    int64_t left = s->sq->opts.deadline_mono_ms
                       ? s->sq->opts.deadline_mono_ms - clock_mono_ms(&clock_system)
                       : PART_TIMEOUT_MS;
    struct buf b = {0};

    for (size_t i = 0; i < s->n; i++) {
        struct engine_query q = s->jobs[i].q;
        unsigned unit = (s->are_stretches ? (unsigned)i : q.shard_index) % units;

        if (unit == 0)
            continue;
        if (s->are_stretches)
            q.shard_count = 1;
        buf_reset(&b);
        partial_wire_encode(&b, &q, &s->sq->opts);
        s->calls[i] = partial_call_start(s->p->opts.pool, s->peers[unit - 1], s->sq->opts.tenant,
                                         buf_slice(&b), ORR_MAX(left, 1));
        METRIC_ADD(s->p->stats.parts_remote, 1);
    }
    buf_done(&b);
}

static bool can_be_done_here(const struct err *e)
{
    switch (err_code(e)) {
    case ERR_UNAVAILABLE:
    case ERR_NET:
    case ERR_IO:
    case ERR_RATE:
    case ERR_UNSUPPORTED:
    case ERR_NOT_FOUND:
    case ERR_TOO_LARGE: /* its answer, for a message */
    case ERR_INVALID:   /* it knows no such message, or no such expression; here the latter shows */
    case ERR_CANCELED:  /* that querier stops; if this query was cancelled its part here says so */
        return true;
    default:
        return false;
    }
}

/* Waits for the parts of others; those that come back are to be done here. */
static void collect_others(struct splitting *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct engine_job *j = &s->jobs[i];
        struct buf reply = {0};

        if (!s->calls[i])
            continue;
        j->err = partial_call_wait(s->calls[i], s->sq->opts.cancel, &reply);
        if (!j->err)
            j->err = result_wire_decode(s->arenas[i], arena_dup(s->arenas[i], buf_slice(&reply)),
                                        &j->result);
        buf_done(&reply);
        s->calls[i] = NULL;
        if (!j->err || !can_be_done_here(j->err))
            continue;
        err_free(j->err);
        j->err = NULL;
        METRIC_ADD(s->p->stats.parts_returned, 1);
        run_local(s, i);
    }
}

static void run_jobs(void *arg, struct engine_job *jobs, size_t n)
{
    struct splitting *s = arg;
    int64_t now_ms = clock_mono_ms(&clock_system);

    s->jobs = jobs;
    s->n = n;
    s->calls = arena_array(s->arena, struct partial_call *, n);
    s->arenas = arena_array(s->arena, struct arena *, n);
    for (size_t i = 0; i < n; i++) {
        s->arenas[i] = arena_new(part_bytes(s));
        if (!jobs[i].q.began_mono_ms)
            jobs[i].q.began_mono_ms = now_ms;
        if (jobs[i].q.max_samples)
            jobs[i].q.max_samples = ORR_MAX(jobs[i].q.max_samples / s->at_once, 1u);
    }
    ask_others(s);
    s->tally = objstore_tally_get();
    job_parallel(s->p->threads, n, run_local, s);
    collect_others(s);
}

static size_t peers_of(struct splitter *p, char (*ret)[SPLITTER_ADDR_BYTES])
{
    if (!p->opts.peers || !p->opts.pool)
        return 0;
    return p->opts.peers(p->opts.peers_arg, ret, SPLITTER_MAX_PEERS);
}

static struct err *query_split(struct splitter *p, const struct engine_query *q,
                               struct store_query *sq, struct arena *a, bool *ret_was_split,
                               struct engine_result *ret)
{
    char peers[SPLITTER_MAX_PEERS][SPLITTER_ADDR_BYTES];
    struct splitting s = {.p = p, .sq = sq, .arena = a, .at_once = p->opts.threads, .peers = peers};
    unsigned shards;
    struct err *e;

    s.n_peers = peers_of(p, peers);
    shards = (unsigned)ORR_MIN(p->opts.threads * (s.n_peers + 1), (size_t)PARTIAL_MAX_SHARDS);
    e = engine_query_split(p->opts.engine, q, &sq->storage, a, shards, run_jobs, &s, ret_was_split,
                           ret);
    for (size_t i = 0; i < s.n; i++)
        arena_free(s.arenas[i]);
    return e;
}

struct err *splitter_query(struct splitter *p, const struct engine_query *q, struct store_query *sq,
                           struct arena *a, struct engine_result *ret)
{
    uint64_t key = cost_key(sq->opts.tenant, q->expr);
    struct engine_query whole = *q;
    bool was_split = false;
    struct err *e;

    /* What puts the parts together at the end is no short query of its own (turns.h). */
    if (!whole.began_mono_ms)
        whole.began_mono_ms = clock_mono_ms(&clock_system);
    if (!p->opts.split_at_samples || p->opts.threads < 2 ||
        cost_of(p, key) < p->opts.split_at_samples)
        e = engine_query(p->opts.engine, &whole, &sq->storage, a, ret);
    else
        e = query_split(p, &whole, sq, a, &was_split, ret);
    METRIC_ADD(p->stats.split, was_split);
    if (!e)
        cost_set(p, key, ret->stats.samples);
    return e;
}

/* ---- stretches of time of one query ---- */

void splitter_stretches_done(struct splitter_stretches *st)
{
    for (size_t i = 0; i < st->n_arenas; i++)
        arena_free(st->arenas[i]);
    st->arenas = NULL;
    st->n_arenas = 0;
}

/* Together they may have fetched too much, though none of them did. */
static void check_bytes(struct splitting *s)
{
    uint64_t max = s->sq->opts.max_bytes;

    if (max && s->stretch_bytes > max && !s->jobs[0].err)
        s->jobs[0].err = err_new(ERR_LIMIT,
                                 "the query fetches more than %llu bytes of chunks "
                                 "(limits.max-fetched-bytes-per-query)",
                                 (unsigned long long)max);
}

void splitter_stretches_run(void *arg, struct engine_job *jobs, size_t n)
{
    struct splitter_stretches *st = arg;
    struct splitter *p = st->splitter;
    char peers[SPLITTER_MAX_PEERS][SPLITTER_ADDR_BYTES];
    struct splitting s = {.p = p,
                          .sq = st->sq,
                          .arena = st->sq->opts.arena,
                          .at_once = ORR_MAX(p->opts.threads, 1u),
                          .are_stretches = true,
                          .peers = peers};
    uint64_t key = cost_key(st->sq->opts.tenant, jobs[0].q.expr), samples = 0;

    splitter_stretches_done(st);
    if (n == 1) {
        jobs[0].err = splitter_query(p, &jobs[0].q, st->sq, s.arena, &jobs[0].result);
        return;
    }
    METRIC_ADD(p->stats.time_split, 1);
    if (p->opts.split_at_samples && cost_of(p, key) >= p->opts.split_at_samples)
        s.n_peers = peers_of(p, peers);
    s.at_once = (unsigned)ORR_MIN((size_t)s.at_once, n);
    run_jobs(&s, jobs, n);
    check_bytes(&s);
    for (size_t i = 0; i < n; i++)
        samples += jobs[i].err ? 0 : jobs[i].result.stats.samples;
    cost_set(p, key, samples);
    st->arenas = s.arenas;
    st->n_arenas = n;
}

/* ---- parts of other queriers' queries ---- */

struct served {
    struct splitter *p;
    struct rpc_call *call;
    struct engine_query q;
    struct store_query_opts opts;
    atomic_bool cancel;
};

static void serve(void *arg)
{
    struct served *s = arg;
    struct arena *a = arena_new(s->p->opts.max_part_bytes);
    struct engine_result res;
    struct store_query sq;
    struct buf out = {.max_bytes = RPC_MAX_MESSAGE_BYTES};
    struct err *e;

    s->opts.arena = a;
    store_query_init(&sq, s->p->opts.store, &s->opts);
    e = engine_query(s->p->opts.engine, &s->q, &sq.storage, a, &res);
    if (!e)
        result_wire_encode(&out, &res);
    if (!e && !buf_ok(&out)) /* the asker does the part itself */
        e = err_new(ERR_TOO_LARGE, "the part's answer has more than %u bytes",
                    RPC_MAX_MESSAGE_BYTES);
    store_query_done(&sq);
    arena_free(a);
    if (e)
        rpc_reply_err(s->call, e);
    else
        rpc_reply_buf(s->call, &out);
    buf_done(&out);
    METRIC_ADD(s->p->stats.parts_served, 1);
    mem_free(s);
}

static void on_partial(void *arg, struct rpc_call *call)
{
    struct served *s = mem_new(struct served);
    struct err *e = tenant_check(rpc_call_tenant(call));

    s->p = arg;
    s->call = call;
    if (!e)
        e = partial_wire_decode(rpc_call_payload(call), &s->q, &s->opts);
    if (!e) {
        s->opts.tenant = rpc_call_tenant(call);
        s->opts.deadline_mono_ms =
            clock_mono_ms(&clock_system) + ORR_MAX(rpc_call_left_ms(call), 1);
        s->q.deadline_mono_ms = s->opts.deadline_mono_ms;
        s->q.cancel = s->opts.cancel = &s->p->is_closing;
        e = job_run(s->p->threads, NULL, serve, NULL, s);
    }
    if (e) {
        rpc_reply_err(call, e);
        mem_free(s);
    }
}

void splitter_serve(struct splitter *p, struct rpc_server *server)
{
    rpc_server_handle(server, "querier.partial", on_partial, p);
}
