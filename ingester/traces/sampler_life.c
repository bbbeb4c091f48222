/* The sampler's life, its tenants and what it counts of them; what other replicas ask it and tell it. */
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/traces/sampler_internal.h"

#define MAX_REMEMBERED 1000000
#define WAIT_MS 30000
#define LIVE_MS 40000
#define BURST_S 30.0
#define MAX_COUNTS                                                                                 \
    600 /* of a tenant; policies beyond (after changes of the rules) are counted as "_other" */

#define F(type, member, name, help) METRIC_##type(struct sampler_metrics, member, name, help)
static const struct metric_field sampler_fields[] = {
    F(COUNTER, asked, "orrery_tail_sampler_questions_total",
      "Questions to other replicas about traces that have ended, a batch each."),
    F(COUNTER, ask_failures, "orrery_tail_sampler_question_failures_total",
      "Those that were not answered."),
    F(COUNTER, told, "orrery_tail_sampler_verdicts_total",
      "Messages to other replicas with verdicts, a batch each."),
    F(COUNTER, adopted, "orrery_tail_sampler_adopted_traces_total",
      "Traces whose verdict another replica knew when it was asked."),
    F(COUNTER, undecided, "orrery_tail_sampler_undecided_traces_total",
      "Traces that were kept because not enough replicas answered."),
    F(COUNTER, moved, "orrery_tail_sampler_moved_traces_total",
      "Traces that were kept because they have other replicas now."),
    F(GAUGE, remembered, "orrery_tail_sampler_remembered_traces",
      "Traces whose verdict is remembered."),
};
#undef F

/* ---- tenants and counts ---- */

struct sampler_tenant *sampler_tenant_of(struct sampler *s, struct slice id)
{
    void **slot = map_slot(&s->tenants, id);

    if (!*slot) {
        struct sampler_tenant *t = mem_new(struct sampler_tenant);

        t->number = (uint32_t)s->tenants.len;
        t->id = slice_dup(id);
        *slot = t;
    }
    return *slot;
}

void sampler_count_add(struct sampler_tenant *t, struct slice policy, bool is_kept, uint32_t spans)
{
    struct sampler_count *c = NULL;

    if (t->counts.len >= MAX_COUNTS)
        policy = SLICE("_other");
    VEC_FOREACH (k, &t->counts)
        if (slice_eq_cstr(policy, k->policy))
            c = k;
    if (!c) {
        c = vec_add(&t->counts);
        c->policy = slice_dup(policy);
    }
    c->traces[is_kept]++;
    c->spans[is_kept] += spans;
}

void sampler_remember(struct sampler *s, const struct sampling_judged *j)
{
    sampling_memory_put(&s->memory, j);
    METRIC_SET(s->m.remembered, (int64_t)s->memory.all.len);
}

static void write_counts(struct sampler *s, struct buf *out, const char *name, size_t offset)
{
    MAP_FOREACH (en, &s->tenants) {
        struct sampler_tenant *t = en->value;

        VEC_FOREACH (c, &t->counts)
            for (unsigned kept = 0; kept < 2; kept++) {
                const uint64_t *n = (const void *)((const char *)c + offset);
                struct buf labels = {0};

                if (!n[kept])
                    continue;
                buf_str(&labels, "tenant=\"");
                metric_escape(&labels, en->key);
                buf_str(&labels, "\",policy=\"");
                metric_escape(&labels, slice_cstr(c->policy));
                buf_printf(&labels, "\",decision=\"%s\"", kept ? "kept" : "dropped");
                metric_write_u64(out, name, buf_cstr(&labels), n[kept]);
                buf_done(&labels);
            }
    }
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char *const traces = "orrery_tail_sampling_traces_total";
    static const char *const spans = "orrery_tail_sampling_spans_total";
    struct sampler *s = arg;

    lock_take(&s->lock);
    if (s->tenants.len) {
        metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, traces,
                            "Traces judged here, by the policy that decided.");
        write_counts(s, out, traces, offsetof(struct sampler_count, traces));
        metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, spans, "Their spans.");
        write_counts(s, out, spans, offsetof(struct sampler_count, spans));
    }
    lock_release(&s->lock);
}

void sampler_status(struct sampler *s, struct slice tenant, struct buf *out)
{
    struct sampler_tenant *t;

    buf_str(out, "{\"policies\":[");
    lock_take(&s->lock);
    t = map_get(&s->tenants, tenant);
    for (size_t i = 0; t && i < t->counts.len; i++) {
        const struct sampler_count *c = &t->counts.ptr[i];

        buf_str(out, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(out, slice_cstr(c->policy));
        buf_printf(out,
                   ",\"keptTraces\":%llu,\"keptSpans\":%llu,\"droppedTraces\":%llu,"
                   "\"droppedSpans\":%llu}",
                   (unsigned long long)c->traces[1], (unsigned long long)c->spans[1],
                   (unsigned long long)c->traces[0], (unsigned long long)c->spans[0]);
    }
    buf_printf(out, "],\"remembered\":%zu}\n", s->memory.all.len);
    lock_release(&s->lock);
}

/* ---- life ---- */

struct sampler *sampler_new(const struct sampler_opts *opts)
{
    struct sampler *s = mem_new(struct sampler);

    s->opts = *opts;
    s->opts.wait_ms = opts->wait_ms ? opts->wait_ms : WAIT_MS;
    s->opts.live_ms = opts->live_ms ? opts->live_ms : LIVE_MS;
    s->opts.burst_s = opts->burst_s > 0 ? opts->burst_s : BURST_S;
    s->opts.clock = opts->clock ? opts->clock : &clock_system;
    s->instance = mem_strdup(opts->instance);
    lock_init(&s->lock, LOCK_LEAF_MODULE);
    sampling_memory_init(&s->memory, opts->max_remembered ? opts->max_remembered : MAX_REMEMBERED);
    metric_register(&s->m, sampler_fields, ORR_COUNT(sampler_fields), NULL);
    metric_register_collector(collect, s);
    return s;
}

void sampler_free(struct sampler *s)
{
    if (!s)
        return;
    metric_unregister_collector(collect, s);
    metric_unregister(&s->m);
    MAP_FOREACH (en, &s->tenants) {
        struct sampler_tenant *t = en->value;

        VEC_FOREACH (c, &t->counts)
            mem_free(c->policy);
        vec_done(&t->counts);
        vec_done(&t->buckets);
        mem_free(t->id);
        mem_free(t);
    }
    map_done(&s->tenants);
    sampling_memory_done(&s->memory);
    lock_done(&s->lock);
    mem_free(s->instance);
    mem_free(s);
}

/* ---- asked ---- */

/* Of n traces of `each` bytes. */
static struct err *read_head(struct reader *r, const struct tail_rules *rules, size_t each,
                             size_t *ret_n)
{
    uint8_t format = reader_u8(r);
    uint64_t id = reader_u64le(r);

    *ret_n = reader_count(r, each);
    if (!reader_ok(r) || format != SAMPLER_FORMAT || *ret_n > SAMPLER_BATCH ||
        reader_left(r) != *ret_n * each)
        return err_new(ERR_INVALID, "a message about traces is malformed");
    if (id != rules->id)
        return err_new(ERR_UNAVAILABLE, "the tenant's sampling policies are others here");
    return NULL;
}

static void put_answer(struct buf *out, const struct sampling_judged *j, bool is_judged,
                       const struct sampling_evidence *live)
{
    struct sampling_evidence e = *live;

    if (is_judged)
        sampling_unite(&e, &j->e);
    buf_byte(out, !is_judged   ? SAMPLER_STATE_NONE
                  : j->is_kept ? SAMPLER_STATE_KEPT
                               : SAMPLER_STATE_DROPPED);
    buf_u16le(out, is_judged ? j->policy : SAMPLING_NO_POLICY);
    sampling_evidence_encode(out, &e);
}

/* First the spans, then the memory: what goes between the two is remembered. */
struct err *sampler_answer(struct sampler *s, struct slice tenant, const struct tail_rules *rules,
                           struct slice question, sampler_look_fn *look, void *look_arg,
                           struct buf *out)
{
    struct reader r = reader_new(question);
    struct sampling_evidence *live;
    const uint8_t(*ids)[16];
    struct sampler_tenant *t;
    struct err *e;
    size_t n;

    if ((e = read_head(&r, rules, 16, &n)))
        return e;
    ids = (const uint8_t(*)[16])reader_bytes(&r, n * 16).ptr;
    live = mem_new_array(struct sampling_evidence, n + 1);
    if ((e = look(look_arg, tenant, rules, ids, n, live))) {
        mem_free(live);
        return e;
    }
    buf_byte(out, SAMPLER_FORMAT);
    lock_take(&s->lock);
    t = sampler_tenant_of(s, tenant);
    for (size_t i = 0; i < n; i++) {
        struct sampling_judged j;
        bool is_judged = sampling_memory_get(&s->memory, t->number, ids[i], &j) &&
                         (j.is_kept || j.rules == rules->id);

        if (is_judged && j.rules != rules->id)
            j.e = (struct sampling_evidence){0};
        put_answer(out, &j, is_judged, &live[i]);
    }
    lock_release(&s->lock);
    mem_free(live);
    return NULL;
}

struct err *sampler_told(struct sampler *s, struct slice tenant, const struct tail_rules *rules,
                         struct slice verdicts)
{
    struct reader r = reader_new(verdicts);
    struct sampler_tenant *t;
    struct err *e;
    size_t n;

    if ((e = read_head(&r, rules, 16 + 3 + SAMPLING_EVIDENCE_BYTES, &n)))
        return e;
    lock_take(&s->lock);
    t = sampler_tenant_of(s, tenant);
    for (size_t i = 0; i < n; i++) {
        struct sampling_judged j = {.rules = rules->id, .tenant = t->number};

        memcpy(j.id, reader_bytes(&r, sizeof(j.id)).ptr, sizeof(j.id));
        j.is_kept = reader_u8(&r) == SAMPLER_STATE_KEPT;
        j.policy = reader_u16le(&r);
        sampling_evidence_decode(&r, &j.e);
        sampler_remember(s, &j);
    }
    lock_release(&s->lock);
    return NULL;
}
