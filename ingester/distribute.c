#include "ingester/distribute.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/labels.h"
#include "ingester/distribute_internal.h"

static const struct metric_field distribute_fields[] = {
    METRIC_COUNTER(struct distribute_metrics, pushes, "orrery_distribute_pushes_total",
                   "Writes sent to replicas."),
    METRIC_COUNTER(struct distribute_metrics, failures, "orrery_distribute_failures_total",
                   "Writes that did not reach their quorum."),
    METRIC_COUNTER(struct distribute_metrics, replica_failures,
                   "orrery_distribute_replica_failures_total",
                   "Batches that one replica did not take."),
    METRIC_COUNTER(struct distribute_metrics, resent_series,
                   "orrery_distribute_resent_series_total",
                   "Series sent again with labels because a replica did not know them."),
    METRIC_COUNTER(
        struct distribute_metrics, late_samples, "orrery_distribute_late_samples_total",
        "Samples that a quorum took and a replica refused as too late: it took them then."),
    METRIC_COUNTER(struct distribute_metrics, missed_samples,
                   "orrery_distribute_missed_samples_total",
                   "Samples that a quorum took and one of its replicas refused for good."),
    METRIC_COUNTER(struct distribute_metrics, refused_bytes,
                   "orrery_distribute_inflight_refusals_total",
                   "Writes refused because too many bytes were in flight."),
    METRIC_GAUGE(struct distribute_metrics, inflight, "orrery_distribute_inflight_pushes",
                 "Writes that some replica has not answered yet."),
    METRIC_GAUGE(struct distribute_metrics, inflight_bytes, "orrery_distribute_inflight_bytes",
                 "Bytes they hold."),
    METRIC_HIST(struct distribute_metrics, quorum_s, "orrery_distribute_quorum_seconds",
                "From sending a write to its quorum."),
};

struct distribute *distribute_new(const struct distribute_opts *opts)
{
    struct distribute *d = mem_new(struct distribute);

    d->ops = opts->ops;
    d->instance = mem_strdup(opts->instance);
    d->timeout_ms = opts->timeout_ms;
    d->max_inflight_bytes = opts->max_inflight_bytes;
    d->refs = 1;
    metric_register(&d->m, distribute_fields, ORR_COUNT(distribute_fields), opts->metric_labels);
    return d;
}

static void unref(struct distribute *d)
{
    if (atomic_fetch_sub(&d->refs, 1) > 1)
        return;
    mem_free(d->instance);
    mem_free(d);
}

void distribute_free(struct distribute *d)
{
    if (!d)
        return;
    metric_unregister(&d->m);
    atomic_store(&d->is_closed, true);
    unref(d);
}

bool distribute_has_room(struct distribute *d, size_t bytes)
{
    int64_t held = __atomic_load_n(&d->m.inflight_bytes, __ATOMIC_RELAXED);

    if (held == 0 || held + (int64_t)bytes <= d->max_inflight_bytes)
        return true;
    METRIC_ADD(d->m.refused_bytes, 1);
    return false;
}

void distribute_hold(struct distribute *d, int64_t bytes)
{
    METRIC_ADD(d->m.inflight_bytes, bytes);
}

size_t distribute_inflight(const struct distribute *d)
{
    return (size_t)__atomic_load_n(&d->m.inflight, __ATOMIC_ACQUIRE);
}

/* ---- batches ---- */

static void write_extra(struct batch_writer *w, const struct push_extra *x)
{
    for (uint32_t i = 0; i < x->n_samples; i++)
        batch_series_sample(w, x->samples[i].t_ms, x->samples[i].v);
    for (uint32_t i = 0; i < x->n_histograms; i++)
        batch_series_histogram(w, x->histograms[i].t_ms, &x->histograms[i].h);
    for (uint32_t i = 0; i < x->n_exemplars; i++)
        batch_series_exemplar(w, x->exemplars[i].labels, x->exemplars[i].t_ms, x->exemplars[i].v);
    batch_series_created(w, x->created_ms);
    batch_series_start(w, x->start_ms);
}

static inline void write_series(struct batch_writer *w, const struct push_series *s,
                                bool with_labels)
{
    if (ORR_LIKELY(!s->extra && !with_labels)) {
        batch_sample(w, s->fp, s->sample.t_ms, s->sample.v);
        return;
    }
    batch_series_begin(w, s->fp);
    if (with_labels)
        batch_series_labels(w, s->labels);
    if (s->extra)
        write_extra(w, s->extra);
    else
        batch_series_sample(w, s->sample.t_ms, s->sample.v);
    batch_series_end(w);
}

static bool has_time(const struct target_late *times, size_t n, int64_t t_ms)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (times[mid].t_ms < t_ms)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && times[lo].t_ms == t_ms;
}

static uint64_t write_extra_times(struct batch_writer *w, const struct push_extra *x,
                                  const struct target_late *times, size_t n)
{
    uint64_t written = 0;

    for (uint32_t i = 0; i < x->n_samples; i++)
        if (has_time(times, n, x->samples[i].t_ms)) {
            batch_series_sample(w, x->samples[i].t_ms, x->samples[i].v);
            written++;
        }
    for (uint32_t i = 0; i < x->n_histograms; i++)
        if (has_time(times, n, x->histograms[i].t_ms)) {
            batch_series_histogram(w, x->histograms[i].t_ms, &x->histograms[i].h);
            written++;
        }
    batch_series_start(w, x->start_ms);
    return written;
}

uint64_t distribute_write_times(struct batch_writer *w, const struct push_series *s,
                                const struct target_late *times, size_t n)
{
    uint64_t written = 0;

    batch_series_begin(w, s->fp);
    batch_series_labels(w, s->labels);
    if (s->extra) {
        written = write_extra_times(w, s->extra, times, n);
    } else if (has_time(times, n, s->sample.t_ms)) {
        batch_series_sample(w, s->sample.t_ms, s->sample.v);
        written = 1;
    }
    if (written)
        batch_series_end(w);
    return written;
}

void distribute_write_series(struct batch_writer *w, const struct push_series *s, bool with_labels)
{
    write_series(w, s, with_labels);
}

static void write_metadata(struct batch_writer *w, const struct push_metadata *m)
{
    batch_metadata(w, m->type, m->family, m->help, m->unit);
}

static int64_t base_time(const struct push *p)
{
    return p->series.len ? p->series.ptr[0].sample.t_ms : 0;
}

/* ---- a push as cargo: series, and behind them metadata ---- */

static uint32_t push_token(const void *arg, size_t i)
{
    const struct push *p = arg;

    if (i < p->series.len)
        return labels_token(p->tenant, p->series.ptr[i].fp);
    return labels_token(p->tenant,
                        labels_fingerprint_of_canonical(p->metadata.ptr[i - p->series.len].family));
}

static void push_encode(const void *arg, const uint32_t *items, size_t n, bool with_labels,
                        struct buf *out)
{
    const struct push *p = arg;
    struct batch_writer w;

    batch_writer_init(&w, base_time(p));
    (void)buf_reserve(&w.entries, n * BATCH_ENTRY_BYTES);
    for (size_t k = 0; k < n; k++) {
        size_t i = items ? items[k] : k;

        if (i < p->series.len)
            write_series(&w, &p->series.ptr[i], with_labels || !p->series.ptr[i].is_known);
        else
            write_metadata(&w, &p->metadata.ptr[i - p->series.len]);
    }
    batch_finish(&w, out);
    batch_writer_done(&w);
}

static size_t push_memory(const void *arg)
{
    return push_bytes(arg);
}

static void push_end(void *arg)
{
    push_free(arg);
}

static const struct distribute_cargo_ops push_cargo = {
    .token = push_token, .encode = push_encode, .memory = push_memory, .end = push_end};

/* ---- what goes to whom ---- */

static struct target *add_target(struct flight *f, unsigned instance)
{
    struct target *t = &f->targets[f->n_targets++];
    struct slice name = slice_cstr(ring_member(f->ring, instance)->instance);

    t->f = f;
    t->instance = (uint16_t)instance;
    t->is_local = slice_eq_cstr(name, f->d->instance);
    return t;
}

/* It needs no bytes. */
static bool takes_items(const struct target *t)
{
    return t->is_local && t->f->cargo.ops->store;
}

/* One replica set for everything: one batch for everybody in it. */
static void build_shared(struct flight *f)
{
    struct ring_set set = ring_set(f->ring, 0);
    const struct distribute_cargo *c = &f->cargo;
    bool needs_bytes = false;

    f->is_shared = true;
    for (unsigned i = 0; i < set.n; i++)
        needs_bytes |= !takes_items(add_target(f, set.instances[i]));
    if (needs_bytes)
        c->ops->encode(c->arg, NULL, c->n, false, &f->shared);
    quorum_init(&f->quorum, &set, 1, ring_size(f->ring), ring_write_quorum(f->ring));
}

/* Which of the ring's sets this push has met, numbered in that order. */
struct set_table {
    uint32_t *number; /* per set of the ring: 1 + its number */
    VEC(struct ring_set) sets;
    struct target **of_instance;
};

static const struct ring_set *meet_set(struct flight *f, struct set_table *tab, uint32_t token)
{
    uint32_t index = ring_set_index(f->ring, token);

    if (!tab->number[index]) {
        struct ring_set set = ring_set(f->ring, index);

        vec_push(&tab->sets, set);
        tab->number[index] = (uint32_t)tab->sets.len;
        for (unsigned i = 0; i < set.n; i++)
            if (!tab->of_instance[set.instances[i]])
                tab->of_instance[set.instances[i]] = add_target(f, set.instances[i]);
    }
    return &tab->sets.ptr[tab->number[index] - 1];
}

static void build_per_instance(struct flight *f)
{
    struct set_table tab = {.number = mem_new_array(uint32_t, ring_set_count(f->ring) + 1),
                            .of_instance = mem_new_array(struct target *, ring_size(f->ring) + 1)};

    const struct distribute_cargo *c = &f->cargo;

    for (size_t i = 0; i < c->n; i++) {
        const struct ring_set *set = meet_set(f, &tab, c->ops->token(c->arg, i));

        for (unsigned k = 0; k < set->n; k++)
            vec_push(&tab.of_instance[set->instances[k]]->index, (uint32_t)i);
    }
    for (size_t i = 0; i < f->n_targets; i++) {
        struct target *t = &f->targets[i];

        if (!takes_items(t))
            c->ops->encode(c->arg, t->index.ptr, t->index.len, false, &t->bytes);
    }
    quorum_init(&f->quorum, tab.sets.ptr, tab.sets.len, ring_size(f->ring),
                ring_write_quorum(f->ring));
    mem_free(tab.number);
    mem_free(tab.of_instance);
    vec_done(&tab.sets);
}

static struct slice target_bytes(const struct target *t)
{
    return buf_slice(t->f->is_shared && !t->is_again && !t->is_late ? &t->f->shared : &t->bytes);
}

/* The index in the cargo of series i of the batch that t was sent last. */
static bool push_index(const struct target *t, uint32_t i, uint32_t *ret)
{
    if (t->index.len ? i >= t->index.len : i >= t->f->cargo.n_series)
        return false;
    *ret = t->index.len ? t->index.ptr[i] : i;
    return *ret < t->f->cargo.n_series;
}

/* A batch of the series that t said it does not know, with their labels. False when its answer
 * names series that there are not. */
static bool build_again(struct target *t, const struct batch_reply *r)
{
    const struct distribute_cargo *c = &t->f->cargo;
    VEC(uint32_t) index = {0};
    uint32_t at;

    VEC_FOREACH (i, &r->unknown) {
        if (!push_index(t, *i, &at))
            break;
        vec_push(&index, at);
    }
    buf_done(&t->bytes);
    vec_done(&t->index);
    if (!takes_items(t))
        c->ops->encode(c->arg, index.ptr, index.len, true, &t->bytes);
    t->index.ptr = index.ptr;
    t->index.len = index.len;
    t->index.cap = index.cap;
    t->is_again = true;
    METRIC_ADD(t->f->d->m.resent_series, index.len);
    return index.len == r->unknown.len;
}

/* ---- the end ---- */

static void flight_free(struct flight *f)
{
    for (size_t i = 0; i < f->n_targets; i++) {
        buf_done(&f->targets[i].bytes);
        vec_done(&f->targets[i].index);
        vec_done(&f->targets[i].refusals);
        vec_done(&f->targets[i].late);
    }
    mem_free(f->targets);
    quorum_done(&f->quorum);
    buf_done(&f->shared);
    loop_timer_free(f->timer);
    err_free(f->first_error);
    mem_free((void *)(uintptr_t)f->widest.ptr);
    ring_unref(f->ring);
    f->cargo.ops->end(f->cargo.arg);
    METRIC_ADD(f->d->m.inflight_bytes, -f->charged_bytes);
    METRIC_ADD(f->d->m.inflight, -1);
    unref(f->d);
    mem_free(f);
}

static struct err *verdict_error(struct flight *f, bool is_timeout)
{
    const char *why = f->first_error ? err_msg(f->first_error) : NULL;

    if (f->quorum.verdict == QUORUM_OK)
        return NULL; /* also when a replica that might have decided on a refusal took too long */
    if (is_timeout)
        return err_new(ERR_UNAVAILABLE, "no quorum within %lld ms%s%s", (long long)f->d->timeout_ms,
                       why ? ": " : "", why ? why : "");
    if (quorum_is_client_error(f->quorum.code))
        return err_new(f->quorum.code, "%s", why ? why : "refused by the replicas");
    if (!why)
        return err_new(ERR_UNAVAILABLE,
                       "too few ingesters: %zu are active and healthy, a write needs %u",
                       ring_active(f->ring), ring_write_quorum(f->ring));
    return err_new(ERR_UNAVAILABLE, "no quorum: %s", why);
}

static void tell(struct flight *f, bool is_timeout)
{
    struct distribute_result r = {.error = verdict_error(f, is_timeout)};
    struct distribute_shorts shorts = {0};

    f->is_told = true;
    loop_timer_cancel(f->timer);
    if (atomic_load(&f->d->is_closed)) {
        err_free(r.error);
        return;
    }
    if (f->d->ops.stored && f->p)
        f->d->ops.stored(f->d->ops.arg, f->p);
    if (r.error) {
        METRIC_ADD(f->d->m.failures, 1);
    } else {
        metric_hist_observe(&f->d->m.quorum_s,
                            (double)(loop_now_ms(f->loop) - f->start_ms) / 1000.0);
        for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
            if (!batch_reason_is_sample((enum batch_reason)i))
                r.rejected[i] = distribute_judge_count(f, i);
        (void)distribute_judge(f, &r, &shorts);
        r.refusals = shorts.ptr;
        r.n_refusals = shorts.len;
        r.widest = f->widest;
    }
    f->done(f->arg, f->p, &r);
    vec_done(&shorts);
    err_free(r.error);
}

static bool waits_for_better(const struct flight *f)
{
    return f->quorum.verdict == QUORUM_OK && f->waiting > 0 &&
           distribute_judge(f, &(struct distribute_result){0}, NULL);
}

static void send_target(struct target *t);

/* All have answered: what came too late for some of them is brought there, then the push is over. */
static void end_or_send_late(struct flight *f)
{
    size_t left = 0;

    if (!f->has_sent_late && f->quorum.verdict == QUORUM_OK && !atomic_load(&f->d->is_closed))
        left = distribute_judge_late(f);
    f->has_sent_late = true;
    if (!left) {
        flight_free(f);
        return;
    }
    f->waiting = left;
    for (size_t i = 0; left; i++) {
        if (!f->targets[i].is_late)
            continue;
        left--;
        send_target(&f->targets[i]);
    }
}

static void settle(struct flight *f)
{
    if (!f->is_told && f->quorum.verdict != QUORUM_PENDING && !waits_for_better(f))
        tell(f, false);
    if (f->waiting == 0 && f->is_told)
        end_or_send_late(f);
}

static void on_timeout(void *arg)
{
    struct flight *f = arg;

    if (!f->is_told)
        tell(f, true);
    if (f->waiting == 0)
        end_or_send_late(f);
}

/* ---- answers ---- */

/* Of late samples; r NULL: no answer. Those beyond what is owed no quorum took: they are refused again. */
static void late_answered(struct target *t, const struct batch_reply *r)
{
    struct flight *f = t->f;
    uint64_t missed = t->late_owed;

    if (r && !r->unknown.len) {
        uint64_t extra = t->late_sent - t->late_owed;

        missed = ORR_MIN(r->refusals.len - ORR_MIN(r->refusals.len, extra), missed);
    }
    METRIC_ADD(f->d->m.late_samples, t->late_owed - missed);
    METRIC_ADD(f->d->m.missed_samples, missed);
    if (missed)
        LOG_DEBUG(distribute, "replica did not take late samples",
                  KV_STR("peer", ring_member(f->ring, t->instance)->instance),
                  KV_U64("samples", missed));
    f->waiting--;
    settle(f);
}

static void answer_error(struct target *t, enum err_code code, const char *msg)
{
    struct flight *f = t->f;

    if (t->is_late) {
        late_answered(t, NULL);
        return;
    }
    METRIC_ADD(f->d->m.replica_failures, 1);
    LOG_DEBUG(distribute, "replica did not take a batch",
              KV_STR("peer", ring_member(f->ring, t->instance)->instance),
              KV_STR("reason", err_code_name(code)));
    if (!f->first_error)
        f->first_error =
            err_new(code, "ingester %s: %s", ring_member(f->ring, t->instance)->instance, msg);
    f->waiting--;
    t->has_failed = true;
    (void)quorum_fail(&f->quorum, t->instance, code);
    settle(f);
}

static bool note_rejects(struct target *t, const struct batch_reply *r)
{
    struct flight *f = t->f;

    if (r->widest_values > f->widest_values) {
        mem_free((void *)(uintptr_t)f->widest.ptr);
        f->widest = slice_of(slice_dup(r->widest), r->widest.len);
        f->widest_values = r->widest_values;
    }
    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        t->rejected[i] += r->rejected[i];
    VEC_FOREACH (x, &r->refusals) {
        struct distribute_example own = {.reason = x->reason, .t_ms = x->t_ms};

        if (!push_index(t, x->series, &own.series))
            return false;
        vec_push(&t->refusals, own);
    }
    return true;
}

static void answer(struct target *t, const struct batch_reply *r)
{
    struct flight *f = t->f;

    if (t->is_late) {
        late_answered(t, r);
        return;
    }
    if (!note_rejects(t, r)) {
        answer_error(t, ERR_INTERNAL, "its answer names series that were not sent");
        return;
    }
    if (r->unknown.len && t->is_again) {
        answer_error(t, ERR_INTERNAL, "does not know series that were sent with labels");
        return;
    }
    if (r->unknown.len) {
        if (build_again(t, r))
            send_target(t);
        else
            answer_error(t, ERR_INTERNAL, "its answer names series that were not sent");
        return;
    }
    f->waiting--;
    t->is_answered = true;
    (void)quorum_ack(&f->quorum, t->instance);
    settle(f);
}

static void on_local(void *arg)
{
    struct target *t = arg;
    struct err *e = t->local_error;
    struct batch_reply r = t->local_reply;

    t->local_error = NULL;
    t->local_reply = (struct batch_reply){0};
    if (e)
        answer_error(t, err_code(e), err_msg(e));
    else
        answer(t, &r);
    err_free(e);
    batch_reply_done(&r);
}

/* Any thread. */
static void local_done(void *arg, struct err *e, struct batch_reply *reply)
{
    struct target *t = arg;

    t->local_error = e;
    if (!e) {
        t->local_reply = *reply;
        memset(&reply->unknown, 0, sizeof(reply->unknown)); /* taken over, both */
        memset(&reply->refusals, 0, sizeof(reply->refusals));
        reply->widest = (struct slice){0};
    }
    loop_post(t->f->loop, on_local, t);
}

static void on_remote(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct target *t = arg;
    struct batch_reply r = {0};
    struct err *bad;

    if (!is_last)
        return;
    if (e) {
        answer_error(t, err_code(e), err_msg(e));
        return;
    }
    if ((bad = batch_reply_decode(payload, &r))) {
        answer_error(t, ERR_INTERNAL, err_msg(bad));
        err_free(bad);
        return;
    }
    answer(t, &r);
    batch_reply_done(&r);
}

/* Whether order and window are not asked. */
static bool goes_late(const struct target *t)
{
    return t->is_late || (t->f->p && t->f->p->is_late);
}

static struct err *send_local(struct target *t)
{
    struct flight *f = t->f;
    const struct distribute_cargo *c = &f->cargo;
    const struct distribute_ops *ops = &f->d->ops;
    bool is_all = f->is_shared && !t->is_again;

    if (!takes_items(t))
        return ops->local(ops->arg, c->tenant, target_bytes(t), goes_late(t), local_done, t);
    return c->ops->store(c->arg, is_all ? NULL : t->index.ptr, is_all ? c->n : t->index.len,
                         t->is_again, local_done, t);
}

static void send_target(struct target *t)
{
    struct flight *f = t->f;
    const struct distribute_ops *ops = &f->d->ops;
    int64_t from_ms = t->is_late ? loop_now_ms(f->loop) : f->start_ms;
    int64_t left_ms = from_ms + f->d->timeout_ms - loop_now_ms(f->loop);

    if (t->is_local) {
        struct err *e = send_local(t);

        if (e)
            local_done(t, e, NULL);
        return;
    }
    ops->remote(ops->arg, ring_member(f->ring, t->instance), f->cargo.tenant, target_bytes(t),
                goes_late(t), ORR_MAX(left_ms, 1), on_remote, t);
}

/* ---- the beginning ---- */

static void settle_posted(void *arg)
{
    struct flight *f = arg;

    f->waiting = 0;
    if (f->cargo.n == 0)
        f->quorum.verdict = QUORUM_OK; /* nothing to be kept */
    tell(f, false);
    flight_free(f);
}

static void charge(struct flight *f)
{
    f->charged_bytes = (int64_t)(f->cargo.ops->memory(f->cargo.arg) + f->shared.cap);
    for (size_t i = 0; i < f->n_targets; i++)
        f->charged_bytes += (int64_t)f->targets[i].bytes.cap;
    METRIC_ADD(f->d->m.inflight_bytes, f->charged_bytes);
    METRIC_ADD(f->d->m.inflight, 1);
}

static void begin(struct distribute *d, struct loop *loop, const struct distribute_cargo *c,
                  struct push *p, distribute_done_fn *done, void *arg)
{
    struct flight *f = mem_new(struct flight);
    struct ring *ring = d->ops.ring(d->ops.arg);

    atomic_fetch_add(&d->refs, 1);
    f->d = d;
    f->loop = loop;
    f->cargo = *c;
    f->p = p;
    f->done = done;
    f->arg = arg;
    f->start_ms = loop_now_ms(loop);
    f->ring = ring_subring(ring, c->tenant, c->shard_size, INT64_MAX);
    ring_unref(ring);
    f->timer = loop_timer_new(loop, on_timeout, f);
    f->targets = mem_new_array(struct target, ring_size(f->ring) + 1);
    METRIC_ADD(d->m.pushes, 1);
    if (c->n == 0 || ring_set_count(f->ring) == 0)
        quorum_init(&f->quorum, NULL, 0, ring_size(f->ring), ring_write_quorum(f->ring));
    else if (ring_set_count(f->ring) == 1)
        build_shared(f);
    else
        build_per_instance(f);
    charge(f);
    /* Without any instance there is nobody to ask, whatever the tracker makes of no groups. */
    if (ring_set_count(f->ring) == 0 && c->n) {
        f->quorum.verdict = QUORUM_FAILED;
        f->quorum.code = ERR_UNAVAILABLE;
    }
    if (f->quorum.verdict != QUORUM_PENDING || f->n_targets == 0) {
        loop_post(loop, settle_posted, f);
        return;
    }
    loop_timer_arm_ms(f->timer, d->timeout_ms);
    f->waiting = f->n_targets;
    for (size_t i = 0, n = f->n_targets; i < n; i++)
        send_target(&f->targets[i]);
}

void distribute_push(struct distribute *d, struct loop *loop, struct push *p,
                     distribute_done_fn *done, void *arg)
{
    struct distribute_cargo c = {.ops = &push_cargo,
                                 .arg = p,
                                 .tenant = p->tenant,
                                 .shard_size = (unsigned)p->limits.ingestion_tenant_shard_size,
                                 .n = p->series.len + p->metadata.len,
                                 .n_series = p->series.len};

    begin(d, loop, &c, p, done, arg);
}

void distribute_bring(struct distribute *d, struct loop *loop, const struct distribute_cargo *cargo,
                      distribute_done_fn *done, void *arg)
{
    begin(d, loop, cargo, NULL, done, arg);
}
