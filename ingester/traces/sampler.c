#include "ingester/traces/sampler.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/sampler_internal.h"

/* A trace that is to be judged here now. */
struct matter {
    struct sampler_trace *t;
    struct sampling_evidence e; /* of all who were heard */
    struct sampling_judged told;
    unsigned witnesses; /* who were there when a span of it may have come first */
    bool has_told, was_dropped;
    struct ring_set set;
};

struct session {
    struct sampler *s;
    struct slice tenant;
    struct sampler_tenant *st;
    const struct tail_rules *rules;
    struct ring *ring;
    int self;
    uint64_t *seeds; /* of each instance */
    unsigned need;
    int64_t written_ms; /* before, no write can have been acknowledged by the ring's members */
    bool must;
    VEC(struct matter) matters;
    VEC(uint32_t) * of; /* of each instance: the matters it is a replica of */
    struct buf *wire;   /* of each instance */
    bool *is_mute;      /* of each instance: it did not answer, and is not asked again */
};

/* ---- who ---- */

static bool is_in(struct ring_set set, unsigned instance)
{
    for (unsigned i = 0; i < set.n; i++)
        if (set.instances[i] == instance)
            return true;
    return false;
}

static bool is_judge(const struct session *se, struct ring_set set, const uint8_t id[16])
{
    uint64_t best = 0;
    int judge = -1;

    for (unsigned i = 0; i < set.n; i++) {
        unsigned k = set.instances[i];
        uint64_t bid = hash_xxh64(slice_of(id, 16), se->seeds[k]);

        if ((ring_is_healthy(se->ring, k) || (int)k == se->self) && (judge < 0 || bid > best)) {
            best = bid;
            judge = (int)k;
        }
    }
    return judge == se->self;
}

/* ---- who can have seen what ---- */

static int by_time(const void *a, const void *b)
{
    const int64_t *l = a, *r = b;

    return (*l > *r) - (*l < *r);
}

/* A quorum was registered then. */
static int64_t first_write_ms(const struct ring *r)
{
    size_t n = ring_size(r), quorum = ring_write_quorum(r);
    int64_t *all = mem_new_array(int64_t, n + 1), at;

    for (size_t i = 0; i < n; i++)
        all[i] = ring_member(r, i)->registered_ms;
    qsort(all, n, sizeof(*all), by_time);
    at = n >= quorum ? all[quorum - 1] : INT64_MAX;
    mem_free(all);
    return at;
}

/* When a span of it may have come first, to whichever ingester: here it was heard of at first_ms. */
static int64_t begin_ms(const struct session *se, const struct matter *m)
{
    const struct sampler_opts *o = &se->s->opts;

    return ORR_MAX(m->t->first_ms - o->live_ms - o->wait_ms, se->written_ms);
}

static bool was_there(const struct session *se, unsigned instance, const struct matter *m)
{
    return ring_member(se->ring, instance)->registered_ms <= begin_ms(se, m);
}

/* Whether writes since from_ms may have gone to others than those who are replicas now: an instance has left, or was passed over. */
static bool has_changed(const struct ring *r, int64_t from_ms)
{
    size_t n = ring_size(r);

    if (n <= ring_rf(r))
        return false; /* there are no others */
    for (size_t i = 0; i < n; i++) {
        const struct member *m = ring_member(r, i);

        if (m->state != MEMBER_ACTIVE || !ring_is_healthy(r, i) ||
            (m->state_ms > from_ms && m->state_ms > m->registered_ms))
            return true;
    }
    return false;
}

/*
 * So many witnesses that one of them has each span that was acknowledged. If one replica is another than when a span was written, all the rest of
 * those there were then are wanted.
 */
static unsigned needed(const struct session *se, const struct matter *m)
{
    unsigned old = 0;

    if (!has_changed(se->ring, begin_ms(se, m)))
        return se->need;
    for (unsigned i = 0; i < m->set.n; i++)
        old += was_there(se, m->set.instances[i], m);
    return ORR_MAX(se->need, old);
}

/* ---- what is known ---- */

/* Fates of those that are remembered; the rest are matters, or wait. */
static void sort_out(struct session *se, struct sampler_trace *traces, size_t n)
{
    struct sampler *s = se->s;

    lock_take(&s->lock);
    for (size_t i = 0; i < n; i++) {
        struct sampler_trace *t = &traces[i];
        struct matter m = {.t = t, .e = t->own};
        struct sampling_judged j;

        t->fate = SAMPLER_KEEP;
        if (sampling_memory_get(&s->memory, se->st->number, t->id, &j)) {
            if (j.is_kept)
                continue;
            if (j.rules == se->rules->id) {
                t->fate = SAMPLER_DROP;
                if (sampling_covers(&j.e, &t->own))
                    continue;
                m.was_dropped = true;
                sampling_unite(&m.e, &j.e);
            }
        }
        m.set = ring_replicas(se->ring, trace_batch_token(se->tenant, t->id));
        t->fate = SAMPLER_KEEP;
        if (se->self < 0 || !is_in(m.set, (unsigned)se->self)) {
            METRIC_ADD(s->m.moved, 1);
            sampler_count_add(se->st, SLICE("_moved"), true, t->own.spans);
            continue;
        }
        t->fate = SAMPLER_WAIT;
        if (!se->must && t->waited_ms < s->opts.wait_ms && !is_judge(se, m.set, t->id))
            continue;
        m.witnesses = was_there(se, (unsigned)se->self, &m);
        vec_push(&se->matters, m);
    }
    lock_release(&s->lock);
}

/* ---- asking ---- */

static void list_matters(struct session *se)
{
    for (uint32_t i = 0; i < se->matters.len; i++) {
        const struct matter *m = &se->matters.ptr[i];

        for (unsigned k = 0; k < m->set.n; k++)
            if (m->set.instances[k] != se->self)
                vec_push(&se->of[m->set.instances[k]], i);
    }
}

static void write_question(struct session *se, unsigned instance)
{
    struct buf *b = &se->wire[instance];

    buf_reset(b);
    buf_byte(b, SAMPLER_FORMAT);
    buf_u64le(b, se->rules->id);
    buf_uvarint(b, se->of[instance].len);
    VEC_FOREACH (i, &se->of[instance])
        buf_append(b, se->matters.ptr[*i].t->id, 16);
}

static void hear(struct session *se, unsigned instance, struct matter *m, uint8_t state,
                 const struct sampling_judged *j)
{
    m->witnesses += was_there(se, instance, m);
    sampling_unite(&m->e, &j->e);
    if (state == SAMPLER_STATE_NONE || (m->has_told && (m->told.is_kept || !j->is_kept)))
        return;
    m->told = *j;
    m->has_told = true;
}

static struct err *read_answer(struct session *se, unsigned instance, struct slice bytes)
{
    struct reader r = reader_new(bytes);
    struct reader probe;

    if (reader_u8(&r) != SAMPLER_FORMAT ||
        reader_left(&r) != se->of[instance].len * (3 + SAMPLING_EVIDENCE_BYTES))
        return err_new(ERR_CORRUPT, "an answer about traces is malformed");
    for (probe = r; reader_left(&probe); reader_skip(&probe, 2 + SAMPLING_EVIDENCE_BYTES))
        if (reader_u8(&probe) > SAMPLER_STATE_KEPT)
            return err_new(ERR_CORRUPT, "an answer about traces is malformed");
    VEC_FOREACH (i, &se->of[instance]) {
        struct sampling_judged j = {.rules = se->rules->id};
        uint8_t state = reader_u8(&r);

        j.is_kept = state == SAMPLER_STATE_KEPT;
        j.policy = reader_u16le(&r);
        sampling_evidence_decode(&r, &j.e);
        hear(se, instance, &se->matters.ptr[*i], state, &j);
    }
    return NULL;
}

static void ask(struct session *se)
{
    size_t n = ring_size(se->ring), n_calls = 0;
    struct sampler_call *calls = mem_new_array(struct sampler_call, n + 1);
    unsigned *who = mem_new_array(unsigned, n + 1);

    for (unsigned i = 0; i < n; i++) {
        if (!se->of[i].len || !ring_is_healthy(se->ring, i) || se->is_mute[i])
            continue;
        write_question(se, i);
        calls[n_calls].to = ring_member(se->ring, i);
        calls[n_calls].question = buf_slice(&se->wire[i]);
        who[n_calls++] = i;
    }
    if (n_calls)
        se->s->opts.ops.ask(se->s->opts.ops.arg, se->tenant, calls, n_calls);
    for (size_t i = 0; i < n_calls; i++) {
        struct err *e = calls[i].err;

        METRIC_ADD(se->s->m.asked, 1);
        if (!e)
            e = read_answer(se, who[i], buf_slice(&calls[i].answer));
        if (e) {
            METRIC_ADD(se->s->m.ask_failures, 1);
            se->is_mute[who[i]] = true;
            LOG_WARN(head, "a replica does not say what it knows of traces that have ended",
                     KV_STR("peer", calls[i].to->instance), KV_ERR(e));
        }
        err_free(e);
        buf_done(&calls[i].answer);
    }
    mem_free(calls);
    mem_free(who);
}

/* ---- judging ---- */

static struct slice policy_name(const struct session *se, uint16_t policy)
{
    return policy < se->rules->n ? se->rules->ptr[policy].name : SLICE("_none");
}

static void write_verdict(struct buf *b, const struct sampling_judged *j)
{
    buf_append(b, j->id, sizeof(j->id));
    buf_byte(b, j->is_kept ? SAMPLER_STATE_KEPT : SAMPLER_STATE_DROPPED);
    buf_u16le(b, j->policy);
    sampling_evidence_encode(b, &j->e);
}

/* Remembered here, and to be told to the others. */
static void settle(struct session *se, const struct matter *m, struct sampling_judged *j)
{
    memcpy(j->id, m->t->id, sizeof(j->id));
    j->tenant = se->st->number;
    j->rules = se->rules->id;
    j->e = m->e;
    sampler_remember(se->s, j);
    m->t->fate = j->is_kept ? SAMPLER_KEEP : SAMPLER_DROP;
}

static void judge_one(struct session *se, const struct matter *m,
                      const struct sampling_rates *rates)
{
    struct sampler *s = se->s;
    struct sampling_verdict v;
    struct sampling_judged j = m->told;

    if (m->has_told && (j.is_kept || sampling_covers(&j.e, &m->e))) {
        METRIC_ADD(s->m.adopted, 1);
        settle(se, m, &j);
        return;
    }
    if (m->witnesses < needed(se, m)) {
        m->t->fate = SAMPLER_WAIT;
        if (!se->must && m->t->waited_ms < s->opts.wait_ms)
            return;
        METRIC_ADD(s->m.undecided, 1);
        sampler_count_add(se->st, SLICE("_undecided"), true, m->e.spans);
        j = (struct sampling_judged){.policy = SAMPLING_NO_POLICY, .is_kept = true};
    } else {
        v = sampling_judge(se->rules, m->t->id, &m->e, rates);
        j = (struct sampling_judged){.policy = v.policy, .is_kept = v.is_kept};
        if (!m->was_dropped || v.is_kept)
            sampler_count_add(se->st, policy_name(se, v.policy), v.is_kept,
                              m->was_dropped ? m->t->own.spans : m->e.spans);
    }
    settle(se, m, &j);
    for (unsigned k = 0; k < m->set.n; k++)
        if (m->set.instances[k] != se->self)
            write_verdict(&se->wire[m->set.instances[k]], &j);
}

static void judge_all(struct session *se)
{
    struct sampler *s = se->s;
    struct sampling_rates rates = {.share = 1.0 / (double)ORR_MAX(ring_active(se->ring), 1u),
                                   .burst_s = s->opts.burst_s,
                                   .now_ns = clock_mono_ns(s->opts.clock)};

    if (se->st->rules != se->rules->id) {
        se->st->rules = se->rules->id;
        vec_clear(&se->st->buckets);
        for (unsigned i = 0; i < se->rules->n_buckets; i++)
            (void)vec_add(&se->st->buckets);
    }
    rates.buckets = se->st->buckets.ptr;
    lock_take(&s->lock);
    VEC_FOREACH (m, &se->matters)
        judge_one(se, m, &rates);
    lock_release(&s->lock);
}

static void tell(struct session *se)
{
    size_t each = 16 + 3 + SAMPLING_EVIDENCE_BYTES;
    struct buf out = {0};

    for (unsigned i = 0; i < ring_size(se->ring); i++) {
        struct buf *b = &se->wire[i];

        if (!b->len || !ring_is_healthy(se->ring, i))
            continue;
        buf_reset(&out);
        buf_byte(&out, SAMPLER_FORMAT);
        buf_u64le(&out, se->rules->id);
        buf_uvarint(&out, b->len / each);
        buf_slice_append(&out, buf_slice(b));
        METRIC_ADD(se->s->m.told, 1);
        se->s->opts.ops.tell(se->s->opts.ops.arg, se->tenant, ring_member(se->ring, i),
                             buf_slice(&out));
    }
    buf_done(&out);
}

static void judge_batch(struct session *se, struct sampler_trace *traces, size_t n)
{
    size_t size = ring_size(se->ring);

    vec_clear(&se->matters);
    for (size_t i = 0; i < size; i++)
        vec_clear(&se->of[i]);
    sort_out(se, traces, n);
    if (!se->matters.len)
        return;
    list_matters(se);
    ask(se);
    for (size_t i = 0; i < size; i++)
        buf_reset(&se->wire[i]);
    judge_all(se);
    tell(se);
}

void sampler_judge(struct sampler *s, struct slice tenant, const struct tail_rules *rules,
                   struct sampler_trace *traces, size_t n, bool must)
{
    struct session se = {.s = s, .tenant = tenant, .rules = rules, .must = must};
    size_t size;

    se.ring = s->opts.ops.ring(s->opts.ops.arg, tenant);
    se.self = ring_find(se.ring, slice_cstr(s->instance));
    se.need = ring_rf(se.ring) - ring_write_quorum(se.ring) + 1;
    se.written_ms = first_write_ms(se.ring);
    size = ring_size(se.ring);
    se.seeds = mem_new_array(uint64_t, size + 1);
    se.of = mem_calloc(size + 1, sizeof(*se.of));
    se.wire = mem_new_array(struct buf, size + 1);
    se.is_mute = mem_new_array(bool, size + 1);
    for (unsigned i = 0; i < size; i++)
        se.seeds[i] = hash_xxh64(slice_cstr(ring_member(se.ring, i)->instance), 0);
    lock_take(&s->lock);
    se.st = sampler_tenant_of(s, tenant);
    lock_release(&s->lock);
    for (size_t from = 0; from < n; from += SAMPLER_BATCH)
        judge_batch(&se, traces + from, ORR_MIN(n - from, (size_t)SAMPLER_BATCH));
    for (size_t i = 0; i < size; i++) {
        vec_done(&se.of[i]);
        buf_done(&se.wire[i]);
    }
    vec_done(&se.matters);
    mem_free(se.of);
    mem_free(se.wire);
    mem_free(se.is_mute);
    mem_free(se.seeds);
    ring_unref(se.ring);
}
