#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "common/rpc/peercall.h"
#include "compactor/compactor_internal.h"
#include "compactor/segfetch.h"

#define SIGNAL SLICE("metrics")
#define LIST_MAX_BYTES (64u << 20)
#define LIST_TIMEOUT_MS 10000
#define DROP_TIMEOUT_MS 10000
#define DROPS_AT_ONCE 64
#define MAX_TIME_MS (1ll << 55) /* a million years: sums stay clear of overflow */
/* Members of this long ago decide whether a zone or an instance is the unit of failure. */
#define LOOKBACK_MS (3 * PLAN_WINDOW_MS)

struct round {
    struct compactor *c;
    const struct compactor_conf *conf;
    struct ring *ingesters, *compactors;
    struct ring_read_set set;
    struct buf *answers; /* per position; the plan's slices point in here */
};

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static const struct member *holder(const struct round *r, unsigned position)
{
    return ring_member(r->ingesters, r->set.instances[position]);
}

/* ---- what upkeep.h does too ---- */

bool compactor_is_given(const struct compactor *c, const struct ring *compactors, uint32_t key)
{
    int owner = ring_owner(compactors, key);

    return owner >= 0 && strcmp(ring_member(compactors, (size_t)owner)->instance,
                                process_instance(c->process)) == 0;
}

bool compactor_owns(const struct compactor *c, const struct ring *compactors, struct slice tenant,
                    uint32_t key)
{
    if (!writers_know(c->writers))
        return false;
    return writers_decide(c->writers) ? writers_may(c->writers, tenant)
                                      : compactor_is_given(c, compactors, key);
}

void compactor_size_pool(const char *name, int64_t concurrency, struct job_pool **io_pool,
                         int64_t *io_threads)
{
    if (*io_threads == concurrency)
        return;
    job_pool_free(*io_pool);
    *io_pool = concurrency > 1 ? job_pool_new(name, (unsigned)(concurrency - 1), 1024) : NULL;
    *io_threads = concurrency;
}

/* ---- asking the ingesters ---- */

static bool is_ours(const struct round *r, struct slice tenant, int64_t window_ms)
{
    return compactor_owns(r->c, r->compactors, tenant, plan_key(tenant, window_ms));
}

/* False when the row makes no sense. */
static bool take_row(struct round *r, unsigned position, const struct rpc_segment *row)
{
    struct plan_segment seg = {.tenant = row->tenant,
                               .min_ms = row->min_ms,
                               .max_ms = row->max_ms,
                               .series = row->series,
                               .bytes = row->bytes};
    struct err *e = tenant_check(row->tenant);

    if (e || !ulid_parse(row->ulid, &seg.ulid) || row->min_ms >= row->max_ms ||
        row->min_ms < -MAX_TIME_MS || row->max_ms > MAX_TIME_MS) {
        err_free(e);
        return false;
    }
    if (is_ours(r, seg.tenant, plan_window(seg.min_ms)))
        plan_segment(r->c->plan, position, &seg);
    return true;
}

static void take_answer(struct round *r, unsigned position)
{
    const struct member *m = holder(r, position);
    struct reader frame = reader_new(buf_slice(&r->answers[position]));
    struct rpc_segment row;
    bool is_sane = true;

    while (is_sane && rpc_segment_decode(&frame, &row))
        is_sane = take_row(r, position, &row);
    if (is_sane && reader_ok(&frame)) {
        plan_answer(r->c->plan, position, m->state == MEMBER_LEAVING);
    } else {
        METRIC_ADD(r->c->m.poll_failures, 1);
        compactor_note(
            r->c, "poll",
            err_new(ERR_INVALID, "ingester %s answers with malformed segments", m->instance));
    }
}

static size_t poll_ingesters(struct round *r)
{
    struct compactor *c = r->c;
    struct peercall **calls = mem_new_array(struct peercall *, r->set.n + 1);
    size_t answered = 0;

    for (unsigned i = 0; i < r->set.n; i++)
        calls[i] = peercall_start(&(struct peercall_opts){.pool = c->peers,
                                                          .loop = c->loop,
                                                          .address = holder(r, i)->rpc_addr,
                                                          .method = "ingester.segments",
                                                          .timeout_ms = LIST_TIMEOUT_MS,
                                                          .max_bytes = LIST_MAX_BYTES,
                                                          .stop = &c->is_stopping},
                                  SLICE_EMPTY);
    for (unsigned i = 0; i < r->set.n; i++) {
        struct err *e = peercall_wait(calls[i], &r->answers[i]);

        METRIC_ADD(c->m.polls, 1);
        if (!e) {
            answered++;
            take_answer(r, i);
        } else if (err_is(e, ERR_CANCELED)) {
            err_free(e);
        } else {
            METRIC_ADD(c->m.poll_failures, 1);
            compactor_note(c, "poll", e);
        }
    }
    mem_free(calls);
    return answered;
}

/* ---- catalogues ---- */

void compactor_tell_version(struct compactor *c, struct slice tenant, uint64_t version)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "catalogue/metrics/%.*s", SLICE_ARG(tenant));

    membership_kv_post(c->membership, slice_of(key, (size_t)n), version,
                       slice_cstr(process_instance(c->process)));
}

static struct err *look_at_bucket(struct compactor *c, struct slice tenant,
                                  struct compactor_catalogue *cc)
{
    char etag[OBJSTORE_ETAG_BYTES];
    struct catalogue *next = NULL;
    struct err *e = catalogue_stat(c->store, SIGNAL, tenant, etag);

    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if (!e && !(cc->c && strcmp(cc->etag, etag) == 0) &&
        !(e = catalogue_load(c->store, SIGNAL, tenant, &next))) {
        catalogue_free(cc->c);
        cc->c = next;
        memcpy(cc->etag, etag, sizeof(cc->etag));
    }
    return e;
}

/* Once a round for each tenant. */
static struct compactor_catalogue *catalogue_of(struct compactor *c, struct slice tenant)
{
    void **slot = map_slot(&c->catalogues, tenant);
    struct compactor_catalogue *cc = *slot;
    struct err *e;

    if (!cc)
        *slot = cc = mem_new(struct compactor_catalogue);
    if (cc->round == c->round)
        return cc;
    cc->round = c->round;
    e = look_at_bucket(c, tenant, cc);
    cc->is_known = e == NULL;
    if (e) {
        METRIC_ADD(c->m.catalogue_failures, 1);
        compactor_note(c, "catalogue", e);
    } else if (catalogue_version(cc->c) != cc->posted) {
        /* also what was in the bucket before this process: the others may have forgotten it */
        cc->posted = catalogue_version(cc->c);
        compactor_tell_version(c, tenant, cc->posted);
    }
    return cc;
}

static enum plan_named is_named(void *arg, struct slice tenant, struct ulid segment)
{
    struct round *r = arg;
    struct compactor_catalogue *cc = catalogue_of(r->c, tenant);
    struct ulid_text text = ulid_print(segment);

    if (!cc->is_known)
        return PLAN_UNKNOWN;
    return catalogue_has_segment(cc->c, slice_cstr(text.s)) ? PLAN_NAMED : PLAN_PENDING;
}

static void forget_catalogues(struct compactor *c)
{
    VEC(struct slice) old = {0};

    MAP_FOREACH (en, &c->catalogues)
        if (((struct compactor_catalogue *)en->value)->round != c->round)
            vec_push(&old, slice_of(slice_dup(en->key), en->key.len));
    VEC_FOREACH (key, &old) {
        struct compactor_catalogue *cc = map_del(&c->catalogues, *key);

        catalogue_free(cc->c);
        mem_free(cc);
        mem_free((void *)key->ptr);
    }
    vec_done(&old);
}

void compactor_catalogues_done(struct compactor *c)
{
    c->round++;
    forget_catalogues(c);
    map_done(&c->catalogues);
}

/* ---- drops ---- */

/* It was looked at in this round, and named the segment: else there would be no drop. */
static uint64_t version_that_names(const struct round *r, const struct plan_drop *d)
{
    const struct compactor_catalogue *cc = map_get(&r->c->catalogues, d->tenant);

    ORR_ASSERT(cc && cc->is_known);
    return catalogue_version(cc->c);
}

static struct peercall *start_drop(struct round *r, const struct plan_drop *d)
{
    struct ulid_text text = ulid_print(d->ulid);
    struct peercall *pc;
    struct buf payload = {0};

    rpc_segment_read_encode(&payload,
                            &(struct rpc_segment_read){.ulid = slice_cstr(text.s),
                                                       .version = version_that_names(r, d)});
    pc = peercall_start(&(struct peercall_opts){.pool = r->c->peers,
                                                .loop = r->c->loop,
                                                .address = holder(r, d->position)->rpc_addr,
                                                .method = "ingester.segment_dropped",
                                                .tenant = d->tenant,
                                                .timeout_ms = DROP_TIMEOUT_MS,
                                                .stop = &r->c->is_stopping},
                        buf_slice(&payload));
    buf_done(&payload);
    return pc;
}

static void end_drop(struct round *r, struct peercall *pc)
{
    struct err *e = peercall_wait(pc, NULL);

    if (err_is(e, ERR_NOT_FOUND)) { /* it took an earlier one whose answer was lost */
        err_free(e);
        e = NULL;
    }
    if (!e) {
        METRIC_ADD(r->c->m.drops, 1);
    } else if (err_is(e, ERR_CANCELED)) {
        err_free(e);
    } else {
        METRIC_ADD(r->c->m.drop_failures, 1);
        compactor_note(r->c, "drop", e);
    }
}

static void tell_drops(struct round *r)
{
    struct peercall *calls[DROPS_AT_ONCE];
    size_t n, k;
    const struct plan_drop *drops = plan_drops(r->c->plan, &n);

    for (size_t i = 0; i < n && !atomic_load(&r->c->is_stopping); i += k) {
        for (k = 0; k < DROPS_AT_ONCE && i + k < n; k++)
            calls[k] = start_drop(r, &drops[i + k]);
        for (size_t j = 0; j < k; j++)
            end_drop(r, calls[j]);
    }
}

/* ---- flushes ---- */

struct outcome {
    struct err *err;
    struct segflush_result result;
    struct arena *arena;
    bool was_run;
};

struct flushes {
    struct round *round;
    const struct plan_job *jobs;
    struct outcome *outcomes;
};

static struct err *fetch(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes)
{
    const struct round *r = arg;
    const struct segfetch_opts opts = {.pool = r->c->peers,
                                       .loop = r->c->loop,
                                       .address = holder(r, in->position)->rpc_addr,
                                       .timeout_ms = r->conf->rpc_timeout_ns / NS_PER_MS,
                                       .max_bytes = (uint64_t)r->conf->max_segment_bytes,
                                       .stop = &r->c->is_stopping};

    return segfetch(&opts, tenant, in->ulid, dir, ret_bytes);
}

static struct compactor_running *running_begin(struct compactor *c, const struct plan_job *job)
{
    struct compactor_running *run = mem_new(struct compactor_running);

    snprintf(run->tenant, sizeof(run->tenant), "%.*s", SLICE_ARG(job->tenant));
    run->window_ms = job->window_ms;
    run->start_wall_ms = clock_wall_ms(&clock_system);
    run->segments = job->n;
    for (size_t i = 0; i < job->n; i++)
        run->bytes += job->inputs[i].bytes;
    lock_take(&c->lock);
    vec_push(&c->running, run);
    METRIC_SET(c->m.running, (int64_t)c->running.len);
    lock_release(&c->lock);
    return run;
}

static void running_end(struct compactor *c, struct compactor_running *run)
{
    lock_take(&c->lock);
    for (size_t i = 0; i < c->running.len; i++) {
        if (c->running.ptr[i] == run) {
            vec_remove_swap(&c->running, i);
            break;
        }
    }
    METRIC_SET(c->m.running, (int64_t)c->running.len);
    lock_release(&c->lock);
    mem_free(run);
}

static void log_flush(const struct plan_job *job, const struct segflush_result *res, int64_t ms)
{
    LOG_INFO(compactor, "flushed", KV_SLICE("tenant", job->tenant),
             KV_STR("block", ulid_print(res->block).s), KV_I64("min_ms", job->window_ms),
             KV_U64("count", job->n), KV_U64("series", res->series),
             KV_U64("samples", res->samples), KV_U64("bytes", res->bytes),
             KV_U64("version", res->version), KV_I64("duration_ms", ms));
}

/* One flush; on any thread of the pool. */
static void flush_one(void *arg, size_t i)
{
    struct flushes *fl = arg;
    struct compactor *c = fl->round->c;
    struct outcome *out = &fl->outcomes[i];
    const struct segflush_opts opts = {.store = c->store,
                                       .work_dir = c->work_dir,
                                       .fetch = fetch,
                                       .arg = fl->round,
                                       .stop = &c->is_stopping,
                                       .metrics = &c->m.flush};
    struct compactor_running *run;
    int64_t start = mono_ms();

    if (atomic_load(&c->is_stopping))
        return;
    run = running_begin(c, &fl->jobs[i]);
    out->was_run = true;
    out->arena = arena_new(0);
    out->err = segflush_run(&opts, &fl->jobs[i], out->arena, &out->result);
    if (!out->err && out->result.version) {
        compactor_tell_version(c, fl->jobs[i].tenant, out->result.version);
        log_flush(&fl->jobs[i], &out->result, mono_ms() - start);
    }
    metric_hist_observe(&c->m.flush_s, (double)(mono_ms() - start) / 1e3);
    running_end(c, run);
}

static void settle(struct compactor *c, const struct plan_job *job, struct outcome *out)
{
    int64_t now = mono_ms();

    if (!out->was_run)
        return;
    for (size_t i = 0; i < out->result.n_bad; i++)
        plan_quarantine(c->plan, job->tenant, out->result.bad[i], now);
    if (!out->err && out->result.version) {
        plan_flushed(c->plan, job, now);
    } else if (out->err && !err_is(out->err, ERR_CANCELED)) {
        plan_failed(c->plan, job, now);
        compactor_note(c, "flush", out->err);
        out->err = NULL;
    }
    err_free(out->err);
    arena_free(out->arena);
}

static void run_flushes(struct round *r)
{
    struct compactor *c = r->c;
    size_t n;
    const struct plan_job *jobs = plan_jobs(c->plan, &n);
    struct flushes fl = {r, jobs, mem_new_array(struct outcome, n + 1)};

    compactor_size_pool("flush", r->conf->concurrency, &c->pool, &c->pool_threads);
    if (c->pool && n > 1)
        job_parallel(c->pool, n, flush_one, &fl);
    else
        for (size_t i = 0; i < n; i++)
            flush_one(&fl, i);
    for (size_t i = 0; i < n; i++)
        settle(c, &jobs[i], &fl.outcomes[i]);
    mem_free(fl.outcomes);
}

/* ---- what the page and the metrics show ---- */

#define MAX_ROWS 1000 /* on the page */

static void put_row(struct buf *out, const struct plan_row *row, int64_t wall_ms)
{
    buf_str(out, out->len ? ",{\"tenant\":" : "{\"tenant\":");
    buf_json_str(out, row->tenant);
    buf_printf(out,
               ",\"window\":%lld,\"segments\":%zu,\"quarantined\":%zu,\"bytes\":%llu,"
               "\"oldest_age_ms\":%lld,\"failures\":%u,\"state\":",
               (long long)row->window_ms, row->pending, row->quarantined,
               (unsigned long long)row->bytes,
               (long long)(row->pending ? ORR_MAX(wall_ms - row->oldest_ms, 0) : 0), row->failures);
    buf_json_str(out, slice_cstr(plan_wait_text(row->wait)));
    buf_byte(out, '}');
}

static void show(struct round *r, size_t answered)
{
    struct compactor *c = r->c;
    int64_t segments = 0, quarantined = 0, bytes = 0, oldest_ms = INT64_MAX,
            wall_ms = clock_wall_ms(&clock_system);
    size_t n;
    const struct plan_row *rows = plan_rows(c->plan, &n);

    lock_take(&c->lock);
    buf_reset(&c->rows);
    for (size_t i = 0; i < n; i++) {
        segments += (int64_t)rows[i].pending;
        quarantined += (int64_t)rows[i].quarantined;
        bytes += (int64_t)rows[i].bytes;
        if (rows[i].pending)
            oldest_ms = ORR_MIN(oldest_ms, rows[i].oldest_ms);
        if (i < MAX_ROWS)
            put_row(&c->rows, &rows[i], wall_ms);
    }
    c->last_round_ms = wall_ms;
    c->ingesters = r->set.n;
    c->answered = answered;
    c->is_owner = ring_find(r->compactors, slice_cstr(process_instance(c->process))) >= 0;
    lock_release(&c->lock);
    METRIC_SET(c->m.segments, segments);
    METRIC_SET(c->m.quarantined, quarantined);
    METRIC_SET(c->m.windows, (int64_t)n);
    METRIC_SET(c->m.backlog_bytes, bytes);
    c->m.oldest_s = segments ? (double)ORR_MAX(wall_ms - oldest_ms, 0) / 1e3 : 0;
}

int64_t compactor_round(struct compactor *c, const struct compactor_conf *conf)
{
    struct round r = {.c = c, .conf = conf};
    int64_t wall_ms = clock_wall_ms(&clock_system);
    size_t answered;

    c->round++;
    METRIC_ADD(c->m.rounds, 1);
    r.ingesters = membership_ring(c->membership, MEMBER_INGESTER, MEMBER_METRICS);
    r.compactors = membership_ring(c->membership, MEMBER_COMPACTOR, 0);
    ring_read_set(r.ingesters, wall_ms - LOOKBACK_MS, &r.set);
    r.answers = mem_new_array(struct buf, r.set.n + 1);
    plan_begin(c->plan, mono_ms(), &r.set);
    answered = poll_ingesters(&r);
    plan_end(c->plan, is_named, &r);
    forget_catalogues(c);
    show(&r, answered);
    tell_drops(&r);
    run_flushes(&r);
    for (unsigned i = 0; i < r.set.n; i++)
        buf_done(&r.answers[i]);
    mem_free(r.answers);
    ring_read_set_done(&r.set);
    ring_unref(r.ingesters);
    ring_unref(r.compactors);
    return plan_next_ms(c->plan);
}
