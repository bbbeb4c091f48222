#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "common/rpc/peercall.h"
#include "compactor/compactor_internal.h"
#include "compactor/segfetch.h"

#define LIST_MAX_BYTES (64u << 20)
#define LIST_TIMEOUT_MS 10000
#define DROP_TIMEOUT_MS 10000
#define DROPS_AT_ONCE 64
#define MAX_TIME_MS (1ll << 55) /* a million years: sums stay clear of overflow */
/* A clock of an ingester may be so far ahead of ours: what it has cut in its time must not be seen as early. */
#define SKEW_MS 60000
/* Members of this long ago decide whether a zone or an instance is the unit of failure. */
#define LOOKBACK_MS (3 * PLAN_WINDOW_MS)
#define SPARE_MS 3600000 /* more than samples may be ahead of the clock that they are written at */

/* Of one signal. */
struct round {
    struct compactor *c;
    const struct compactor_conf *conf;
    struct compactor_part *part;
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
    return compactor_owns(r->c, r->compactors, tenant,
                          signal_key(r->part->signal, plan_key(tenant, window_ms)));
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
    if (r->part->signal->begins_with_id)
        seg.cut_ms = ORR_MIN(clock_wall_ms(&clock_system) + SKEW_MS,
                             seg.max_ms + r->conf->cut_grace_ns / NS_PER_MS);
    if (is_ours(r, seg.tenant, plan_window(seg.min_ms)))
        plan_segment(r->part->plan, position, &seg);
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
        plan_answer(r->part->plan, position, m->state == MEMBER_LEAVING);
    } else {
        METRIC_ADD(r->part->m.poll_failures, 1);
        compactor_note(r->c, "poll",
                       err_new(ERR_INVALID, "ingester %s answers with malformed segments of %s",
                               m->instance, r->part->signal->name));
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
                                                          .method = r->part->signal->list_method,
                                                          .timeout_ms = LIST_TIMEOUT_MS,
                                                          .max_bytes = LIST_MAX_BYTES,
                                                          .stop = &c->is_stopping},
                                  SLICE_EMPTY);
    for (unsigned i = 0; i < r->set.n; i++) {
        struct err *e = peercall_wait(calls[i], &r->answers[i]);

        METRIC_ADD(r->part->m.polls, 1);
        if (!e) {
            answered++;
            take_answer(r, i);
        } else if (err_is(e, ERR_CANCELED)) {
            err_free(e);
        } else {
            METRIC_ADD(r->part->m.poll_failures, 1);
            compactor_note(c, "poll", e);
        }
    }
    mem_free(calls);
    return answered;
}

/* ---- catalogues ---- */

void compactor_tell_version(struct compactor *c, const struct signal *sig, struct slice tenant,
                            uint64_t version)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "catalogue/%s/%.*s", sig->name, SLICE_ARG(tenant));

    membership_kv_post(c->membership, slice_of(key, (size_t)n), version,
                       slice_cstr(process_instance(c->process)));
}

static void let_go(struct compactor_catalogue *cc)
{
    mem_free(cc->named);
    catalogue_free(cc->c);
}

static struct err *look_at_bucket(const struct round *r, struct slice tenant,
                                  struct compactor_catalogue *cc)
{
    struct slice signal = signal_name(r->part->signal);
    char etag[OBJSTORE_ETAG_BYTES];
    struct catalogue *next = NULL;
    struct err *e = catalogue_stat(r->c->store, signal, tenant, etag);

    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if (!e && !(cc->c && strcmp(cc->etag, etag) == 0) &&
        !(e = catalogue_load(r->c->store, signal, tenant, &next))) {
        let_go(cc);
        cc->c = next;
        cc->named = catalogue_segments(next, &cc->n_named);
        memcpy(cc->etag, etag, sizeof(cc->etag));
    }
    return e;
}

/* Once a round for each tenant. */
static struct compactor_catalogue *catalogue_of(const struct round *r, struct slice tenant)
{
    struct compactor *c = r->c;
    void **slot = map_slot(&r->part->catalogues, tenant);
    struct compactor_catalogue *cc = *slot;
    struct err *e;

    if (!cc)
        *slot = cc = mem_new(struct compactor_catalogue);
    if (cc->round == c->round)
        return cc;
    cc->round = c->round;
    e = look_at_bucket(r, tenant, cc);
    cc->is_known = e == NULL;
    if (e) {
        METRIC_ADD(r->part->m.catalogue_failures, 1);
        compactor_note(c, "catalogue", e);
    } else if (catalogue_version(cc->c) != cc->posted) {
        /* also what was in the bucket before this process: the others may have forgotten it */
        cc->posted = catalogue_version(cc->c);
        compactor_tell_version(c, r->part->signal, tenant, cc->posted);
    }
    return cc;
}

static enum plan_named is_named(void *arg, struct slice tenant, struct ulid segment)
{
    struct round *r = arg;
    struct compactor_catalogue *cc = catalogue_of(r, tenant);
    struct ulid_text text = ulid_print(segment);

    if (!cc->is_known)
        return PLAN_UNKNOWN;
    return catalogue_is_among(cc->named, cc->n_named, slice_cstr(text.s)) ? PLAN_NAMED
                                                                          : PLAN_PENDING;
}

/* Those that were not looked at in this round. */
static void forget_catalogues(struct compactor_part *part, uint64_t round)
{
    VEC(struct slice) old = {0};

    MAP_FOREACH (en, &part->catalogues)
        if (((struct compactor_catalogue *)en->value)->round != round)
            vec_push(&old, slice_of(slice_dup(en->key), en->key.len));
    VEC_FOREACH (key, &old) {
        struct compactor_catalogue *cc = map_del(&part->catalogues, *key);

        let_go(cc);
        mem_free(cc);
        mem_free((void *)key->ptr);
    }
    vec_done(&old);
}

void compactor_catalogues_done(struct compactor *c)
{
    c->round++;
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        forget_catalogues(&c->parts[i], c->round);
        map_done(&c->parts[i].catalogues);
    }
}

/* ---- drops ---- */

/* It was looked at in this round, and named the segment: else there would be no drop. */
static uint64_t version_that_names(const struct round *r, const struct plan_drop *d)
{
    const struct compactor_catalogue *cc = map_get(&r->part->catalogues, d->tenant);

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
                                                .method = r->part->signal->dropped_method,
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
        METRIC_ADD(r->part->m.drops, 1);
    } else if (err_is(e, ERR_CANCELED)) {
        err_free(e);
    } else {
        METRIC_ADD(r->part->m.drop_failures, 1);
        compactor_note(r->c, "drop", e);
    }
}

static void tell_drops(struct round *r)
{
    struct peercall *calls[DROPS_AT_ONCE];
    size_t n, k;
    const struct plan_drop *drops = plan_drops(r->part->plan, &n);

    for (size_t i = 0; i < n && !atomic_load(&r->c->is_stopping); i += k) {
        for (k = 0; k < DROPS_AT_ONCE && i + k < n; k++)
            calls[k] = start_drop(r, &drops[i + k]);
        for (size_t j = 0; j < k; j++)
            end_drop(r, calls[j]);
    }
}

/* ---- flushes ---- */

/* One flush, and how it went. */
struct flush {
    struct round *round;
    const struct plan_job *job;
    struct err *err;
    struct segflush_result result;
    struct arena *arena;
    bool was_run;
};

static struct err *fetch(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes)
{
    const struct round *r = arg;
    const struct segfetch_opts opts = {.signal = r->part->signal,
                                       .pool = r->c->peers,
                                       .loop = r->c->loop,
                                       .address = holder(r, in->position)->rpc_addr,
                                       .timeout_ms = r->conf->rpc_timeout_ns / NS_PER_MS,
                                       .max_bytes = (uint64_t)r->conf->max_segment_bytes,
                                       .stop = &r->c->is_stopping};

    return segfetch(&opts, tenant, in->ulid, dir, ret_bytes);
}

static struct compactor_running *running_begin(const struct flush *f)
{
    struct compactor *c = f->round->c;
    const struct plan_job *job = f->job;
    struct compactor_running *run = mem_new(struct compactor_running);

    run->signal = f->round->part->signal;
    snprintf(run->tenant, sizeof(run->tenant), "%.*s", SLICE_ARG(job->tenant));
    run->window_ms = job->window_ms;
    run->start_wall_ms = clock_wall_ms(&clock_system);
    run->segments = job->n;
    for (size_t i = 0; i < job->n; i++)
        run->bytes += job->inputs[i].bytes;
    lock_take(&c->lock);
    vec_push(&c->running, run);
    METRIC_ADD(f->round->part->m.running, 1);
    lock_release(&c->lock);
    return run;
}

static void running_end(const struct flush *f, struct compactor_running *run)
{
    struct compactor *c = f->round->c;

    lock_take(&c->lock);
    for (size_t i = 0; i < c->running.len; i++) {
        if (c->running.ptr[i] == run) {
            vec_remove_swap(&c->running, i);
            break;
        }
    }
    METRIC_ADD(f->round->part->m.running, -1);
    lock_release(&c->lock);
    mem_free(run);
}

static void log_flush(const struct flush *f, int64_t ms)
{
    const struct segflush_result *res = &f->result;

    LOG_INFO(compactor, "flushed", KV_STR("signal", f->round->part->signal->name),
             KV_SLICE("tenant", f->job->tenant), KV_STR("block", ulid_print(res->block).s),
             KV_I64("min_ms", f->job->window_ms), KV_U64("count", f->job->n),
             KV_U64("series", res->series), KV_U64("samples", res->samples),
             KV_U64("bytes", res->bytes), KV_U64("version", res->version),
             KV_I64("duration_ms", ms));
}

/* What all ingesters of the job have in common, as far as what they have was acknowledged by others, too (catalogue.h). */
static struct catalogue_origin origin_of(const struct flush *f)
{
    const struct round *r = f->round;
    const struct plan_job *job = f->job;
    int64_t since_ms = clock_wall_ms(&clock_system) - LOOKBACK_MS + SPARE_MS;
    const struct member *first = holder(r, job->inputs[0].position);
    bool is_known = r->set.max_fail > 0 && job->window_ms >= since_ms;
    bool is_zone = is_known && r->set.by_zone, is_one = is_known;

    for (size_t i = 1; i < job->n; i++) {
        const struct member *m = holder(r, job->inputs[i].position);

        is_zone = is_zone && strcmp(m->zone, first->zone) == 0;
        is_one = is_one && m == first;
    }
    return (struct catalogue_origin){.zone = is_zone ? slice_cstr(first->zone) : SLICE_EMPTY,
                                     .instance =
                                         is_one ? slice_cstr(first->instance) : SLICE_EMPTY};
}

/* One flush; on any thread of the pool. */
static void flush_one(void *arg, size_t i)
{
    struct flush *f = &((struct flush *)arg)[i];
    struct compactor *c = f->round->c;
    struct compactor_part *part = f->round->part;
    const struct segflush_opts opts = {.signal = part->signal,
                                       .store = c->store,
                                       .work_dir = c->work_dir,
                                       .fetch = fetch,
                                       .arg = f->round,
                                       .origin = origin_of(f),
                                       .stop = &c->is_stopping,
                                       .metrics = &part->m.flush};
    struct compactor_running *run;
    int64_t start = mono_ms();

    if (atomic_load(&c->is_stopping))
        return;
    run = running_begin(f);
    f->was_run = true;
    f->arena = arena_new(0);
    f->err = segflush_run(&opts, f->job, f->arena, &f->result);
    if (!f->err && f->result.version) {
        compactor_tell_version(c, part->signal, f->job->tenant, f->result.version);
        if (!ulid_is_zero(f->result.block))
            log_flush(f, mono_ms() - start);
    }
    metric_hist_observe(&part->m.flush_s, (double)(mono_ms() - start) / 1e3);
    running_end(f, run);
}

static void settle(struct flush *f)
{
    struct plan *plan = f->round->part->plan;
    int64_t now = mono_ms();

    if (!f->was_run)
        return;
    for (size_t i = 0; i < f->result.n_bad; i++)
        plan_quarantine(plan, f->job->tenant, f->result.bad[i], now);
    if (!f->err && f->result.version) {
        plan_flushed(plan, f->job, now);
    } else if (f->err && !err_is(f->err, ERR_CANCELED)) {
        plan_failed(plan, f->job, now);
        compactor_note(f->round->c, "flush", f->err);
        f->err = NULL;
    }
    err_free(f->err);
    arena_free(f->arena);
}

/* Signals take turns: of the one's many jobs none makes the other's wait for all. */
static struct flush *gather_flushes(struct round *rounds, size_t n_rounds, size_t *ret_n)
{
    VEC(struct flush) all = {0};
    bool more = true;

    for (size_t nth = 0; more; nth++) {
        more = false;
        for (size_t i = 0; i < n_rounds; i++) {
            size_t n;
            const struct plan_job *jobs = plan_jobs(rounds[i].part->plan, &n);

            if (nth >= n)
                continue;
            vec_push(&all, ((struct flush){.round = &rounds[i], .job = &jobs[nth]}));
            more = true;
        }
    }
    *ret_n = all.len;
    return all.ptr;
}

static void run_flushes(struct round *rounds, size_t n_rounds)
{
    struct compactor *c = rounds->c;
    size_t n;
    struct flush *flushes = gather_flushes(rounds, n_rounds, &n);

    compactor_size_pool("flush", rounds->conf->concurrency, &c->pool, &c->pool_threads);
    if (c->pool && n > 1)
        job_parallel(c->pool, n, flush_one, flushes);
    else
        for (size_t i = 0; i < n; i++)
            flush_one(flushes, i);
    for (size_t i = 0; i < n; i++)
        settle(&flushes[i]);
    mem_free(flushes);
}

/* ---- what the page and the metrics show ---- */

#define MAX_ROWS 1000 /* on the page */

static void put_row(struct buf *out, const char *signal, const struct plan_row *row,
                    int64_t wall_ms)
{
    buf_printf(out, "%s{\"signal\":\"%s\",\"tenant\":", out->len ? "," : "", signal);
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
    struct compactor_part *part = r->part;
    int64_t segments = 0, quarantined = 0, bytes = 0, oldest_ms = INT64_MAX,
            wall_ms = clock_wall_ms(&clock_system);
    size_t n;
    const struct plan_row *rows = plan_rows(part->plan, &n);

    lock_take(&c->lock);
    buf_reset(&part->rows);
    for (size_t i = 0; i < n; i++) {
        segments += (int64_t)rows[i].pending;
        quarantined += (int64_t)rows[i].quarantined;
        bytes += (int64_t)rows[i].bytes;
        if (rows[i].pending)
            oldest_ms = ORR_MIN(oldest_ms, rows[i].oldest_ms);
        if (i < MAX_ROWS)
            put_row(&part->rows, part->signal->name, &rows[i], wall_ms);
    }
    part->ingesters = r->set.n;
    part->answered = answered;
    c->last_round_ms = wall_ms;
    c->is_owner = ring_find(r->compactors, slice_cstr(process_instance(c->process))) >= 0;
    lock_release(&c->lock);
    METRIC_SET(part->m.segments, segments);
    METRIC_SET(part->m.quarantined, quarantined);
    METRIC_SET(part->m.windows, (int64_t)n);
    METRIC_SET(part->m.backlog_bytes, bytes);
    part->m.oldest_s = segments ? (double)ORR_MAX(wall_ms - oldest_ms, 0) / 1e3 : 0;
}

/* Asks, plans and tells what is to be dropped. */
static void begin_round(struct round *r, struct compactor_part *part)
{
    size_t answered;

    r->part = part;
    r->ingesters = membership_ring(r->c->membership, MEMBER_INGESTER, part->signal->member);
    ring_read_set(r->ingesters, clock_wall_ms(&clock_system) - LOOKBACK_MS, &r->set);
    r->answers = mem_new_array(struct buf, r->set.n + 1);
    plan_begin(part->plan, mono_ms(), &r->set);
    answered = poll_ingesters(r);
    plan_end(part->plan, is_named, r);
    forget_catalogues(part, r->c->round);
    show(r, answered);
    tell_drops(r);
}

static void end_round(struct round *r)
{
    for (unsigned i = 0; i < r->set.n; i++)
        buf_done(&r->answers[i]);
    mem_free(r->answers);
    ring_read_set_done(&r->set);
    ring_unref(r->ingesters);
}

int64_t compactor_round(struct compactor *c, const struct compactor_conf *conf)
{
    struct ring *compactors = membership_ring(c->membership, MEMBER_COMPACTOR, 0);
    struct round rounds[SIGNAL_COUNT];
    int64_t next_ms = INT64_MAX;

    c->round++;
    METRIC_ADD(c->m.rounds, 1);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        rounds[i] = (struct round){.c = c, .conf = conf, .compactors = compactors};
        begin_round(&rounds[i], &c->parts[i]);
    }
    run_flushes(rounds, SIGNAL_COUNT);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        next_ms = ORR_MIN(next_ms, plan_next_ms(c->parts[i].plan));
        end_round(&rounds[i]);
    }
    ring_unref(compactors);
    return next_ms;
}
