/*
 * One request of the Prometheus API on its way: read on the loop, worked on by a query worker,
 * answered on the loop. Also the frame of all answers:
 *
 *     {"status":"success","data":…,"warnings":[…],"infos":[…]}
 *     {"status":"error","errorType":"bad_data","error":"…"}
 *
 * An answer may also be raw (federate, remote read): then the work writes all of it, and an error is
 * told as plain text. Long answers go out in pieces while they are made (prom_task_flush()); after
 * the first piece an attempt is not repeated, and an error cuts the connection.
 *
 * Tenants: several may be asked as one (joined.h); each is then charged with the request.
 *
 * Admission: at most max_concurrent tasks run, max_queued wait (503 beyond), and of one tenant at
 * most its limit are under way (429 beyond). A task whose client has gone ends at its next look at
 * the cancel flag. Each task has an arena with a budget, so a query of death ends with 422.
 *
 * A task that fails with ERR_UNAVAILABLE because too many ingesters failed at once is tried again
 * (PROM_TASK_ATTEMPTS in all) while its time lasts: a replica that was dropped as a straggler just
 * before another died may be back.
 *
 * Threads: made and ended on the loop of the request (or of the RPC server); work runs on a worker
 * and alone touches arena and out meanwhile.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/job.h"
#include "common/base/metric.h"
#include "common/model/limits.h"
#include "common/net/http_server.h"
#include "common/rpc/rpc.h"
#include "querier/api/reply_pipe.h"
#include "querier/engine/engine.h"
#include "querier/plan/planner.h"
#include "querier/store/joined.h"

#define PROM_TASK_ATTEMPTS 3

/* What requests are for, X(symbol, name in metrics). */
#define PROM_TASK_KINDS(X)                                                                         \
    X(PROM_TASK_OTHER, "other")                                                                    \
    X(PROM_TASK_INSTANT, "instant")                                                                \
    X(PROM_TASK_RANGE, "range")
enum prom_task_kind {
#define X(sym, name) sym,
    PROM_TASK_KINDS(X)
#undef X
        PROM_TASK_KIND_COUNT
};

struct prom_reads {
    uint64_t gets, bytes;
};

struct prom_metrics {
    uint64_t queries, failed, rejected, canceled, retried, streamed_bytes;
    int64_t running;
    struct metric_hist seconds;
    struct prom_reads reads[PROM_TASK_KIND_COUNT];
};

struct prom_tasks; /* the pool and its books */

/* Deleting: POST admin/tsdb/… of series, loki/api/v1/delete of log lines */
struct prom_admin_opts {
    bool is_enabled; /* of series; of log lines each tenant's deletion_mode says */
    struct objstore *objstore;
    /* Tells everybody that the tenant's tombstones are at this version, and waits a moment for the
     * queriers to have heard. On a worker. */
    void (*announce)(void *arg, struct slice signal, struct slice tenant, uint64_t version);
    void *arg;
    /* Has the one who may write the list make a change (tombstone_change_encode()) where objstore_needs_one_writer() says yes;
     * the list's version with it. On a worker. NULL: it does not. */
    struct err *(*forward)(void *arg, struct slice signal, struct slice tenant, struct slice change,
                           uint64_t *ret_version);
};

struct prom_tasks_opts {
    struct store *store;
    struct engine *engine;
    struct planner *planner; /* NULL: queries run as one, on their worker */
    struct limits *limits;   /* NULL: none */
    unsigned max_concurrent;
    size_t max_queued;
    int64_t timeout_ms;
    size_t max_memory_bytes;   /* arena of one task */
    size_t max_response_bytes; /* JSON of one task */
    size_t max_tenants;        /* joined in one request; 0 or 1: they are not */
    int64_t lookback_ms;       /* the engine's, for federate; 0: 5 min */
    bool has_experimental;     /* PromQL, for parsing */
    struct prom_admin_opts admin;
};

struct prom_tasks *prom_tasks_new(const struct prom_tasks_opts *opts);
/* From now on requests are answered 503; done(arg) is called, on any thread, when none is under way
 * any more. */
void prom_tasks_drain(struct prom_tasks *ts, loop_fn *done, void *arg);
/* Ends what runs with ERR_CANCELED. Any thread. */
void prom_tasks_cancel(struct prom_tasks *ts);
/* Cancels and waits for those that run; requests that are then not answered yet are forgotten.
 * Before the loops are freed. NULL is allowed. */
void prom_tasks_free(struct prom_tasks *ts);

struct prom_task;
/* Appends the value of "data" to t->out and leaves warnings. An error becomes the answer. May run
 * more than once; out is emptied and the arena is new each time. */
typedef struct err *prom_work_fn(struct prom_task *t);
/* Writes an error as text, returns its status; takes it. */
typedef int prom_error_fn(struct buf *out, struct err *e);

struct prom_task {
    struct prom_tasks *tasks;
    prom_work_fn *work;
    struct slice tenant;   /* as asked for, sorted: "a|b"; owned */
    struct slice *tenants; /* each, in tenant */
    size_t n_tenants;
    int64_t deadline_mono_ms;
    atomic_bool cancel;
    void *params;             /* lives as long as the request; or owned, see prom_task_rpc() */
    enum prom_task_kind kind; /* the work may set it */
    struct objstore_tally
        reads; /* of the object store, here and not at queriers that do parts of it */
    /* set up for each attempt */
    struct arena *arena;
    struct joined data;
    struct tenant_limits limits; /* of several tenants the least of each */
    struct buf out;
    const struct slice *warnings, *infos; /* in the arena */
    size_t n_warnings, n_infos;
    /* of a raw answer, static; NULL: JSON in its frame */
    const char *content_type, *content_encoding;
    const char *error_type; /* of errors of a raw answer, static; NULL: plain text */
    bool is_raw;
    prom_error_fn *write_err; /* of a raw answer */
    int success_status;       /* 0: 200; 204 has no body */
    /* its own */
    struct prom_task *prev, *next; /* among those under way */
    struct http_request *request;  /* one of these two */
    struct rpc_call *call;
    struct reply_pipe *pipe; /* of an HTTP request */
    uint64_t sent_bytes;     /* through the pipe */
    struct loop *loop;
    int status;
    int64_t start_ms, start_ns;
    int64_t queued_ns; /* waited for a worker */
};

#define PROM_TASK_TOO_LATE (-1)
/*
 * Answers r, now or later. timeout_ms 0: the tenant's or the pool's; a longer one is cut to it.
 * PROM_TASK_TOO_LATE: its time is over already.
 * params is lent until the answer (r's arena).
 */
void prom_task_http(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                    int64_t timeout_ms, prom_work_fn *work, void *params);
/* The same with a raw answer. */
void prom_task_raw(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                   int64_t timeout_ms, prom_work_fn *work, void *params);
/* The same where errors have other statuses. */
void prom_task_raw_as(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                      int64_t timeout_ms, prom_work_fn *work, void *params,
                      prom_error_fn *write_err);
/* The same where errors are JSON. */
void prom_task_raw_json(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                        prom_work_fn *work, void *params, prom_error_fn *write_err);
/* On the worker, between two entries of a list: sends what t->out holds if it is worth it. */
ORR_CHECKED struct err *prom_task_flush(struct prom_task *t);
/* The same for an answer that is in memory anyway: does not wait for a slow client, so that the
 * worker is free soon; opts.max_response_bytes bounds the whole. */
ORR_CHECKED struct err *prom_task_hand_on(struct prom_task *t);
/* What was made so far is as long as an answer may be (querier.max-response). */
bool prom_task_is_full(const struct prom_task *t);
/* The same for a call, whose reply is the JSON body. params is mem_free()d at the end. */
void prom_task_rpc(struct prom_tasks *ts, struct rpc_call *call, struct slice tenant,
                   int64_t timeout_ms, prom_work_fn *work, void *params);

/* Limits of now for a tenant, or the least of several ("a|b"). */
void prom_tasks_limits(struct prom_tasks *ts, struct slice tenant, struct tenant_limits *ret);
/* What they say of the data that a query may ask for; whose arena, deadline and flag is for the caller to add. */
struct store_query_opts prom_tasks_query_opts(const struct tenant_limits *l);
/* Puts "b|a|b" into the order that names one request: "a|b", in a. ERR_INVALID when there are more
 * than may be joined. */
ORR_CHECKED struct err *prom_tasks_tenants(const struct prom_tasks *ts, struct arena *a,
                                           struct slice sent, struct slice *ret);
const struct prom_tasks_opts *prom_tasks_opts(const struct prom_tasks *ts);

/* The error as the API has it; takes e. */
int prom_error_json(struct buf *out, struct err *e);
int prom_error_text(struct buf *out, struct err *e); /* without JSON, as Go's http.Error */
void prom_reply_err(struct http_request *r, struct err *e);
/* As plain text, for endpoints whose answers are not JSON. */
void prom_reply_text_err(struct http_request *r, struct err *e);
void prom_reply_err_as(struct http_request *r, struct err *e, prom_error_fn *write_err);
