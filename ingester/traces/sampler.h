/*
 * Judges traces that have ended, for the head, so that all replicas of a trace come to one verdict and no acknowledged span of a trace that is
 * kept is lost, though each replica may lack some of its spans.
 *
 *   head: traces that ended ─ sampler_judge() ─ remembered? ─ yes ─▶ that verdict, if the spans here say nothing new
 *                                              └ no: is it ours to judge? ─ no ─▶ WAIT: the judge will tell
 *        yes: ask the other replicas for evidence ─▶ unite ─▶ policies ─▶ remember, tell the replicas ─▶ KEEP or DROP
 *
 *   Who judges      one of the trace's replicas, chosen by a hash of trace id and instance among those that are healthy. Another replica takes
 *                   over when it has heard nothing for wait_ms after the trace ended here; or when it must (its traces are cut on command, or
 *                   because there are too many).
 *   What by         the united evidence (sampling.h) of so many replicas that any write which was acknowledged reached one of them: RF - quorum
 *                   + 1, counting those alone that were in the ring when a span of the trace may have come first, to whoever: live_ms +
 *                   wait_ms before it was heard of here. If writes may have gone to others since then (one has left, is not healthy, or
 *                   was started again), all of those are wanted. So what is judged is every
 *                   acknowledged span, whoever has it. A peer that already knows a verdict is believed, kept before not kept.
 *   Not enough      replicas answer, or they read other policies: it waits; after wait_ms, or when it must, the trace is kept, as policy
 *                   "_undecided". So is one whose replica this is not any more: "_moved". Nothing is dropped on half of the evidence.
 *   Late spans      are judged by what is remembered and what they add. Of a kept trace they are kept. Of a dropped one they are dropped if they
 *                   add no evidence; else the trace is judged again, and what is kept then is what came late.
 *
 * Alike: policies but for rates are functions of id and evidence, so even two judges (a partition, a judge that was slow) agree on what both have
 * seen; with rates two may not, and then kept stands against not kept wherever it comes in time. What exists of a kept trace: every
 * acknowledged span, as each replica that has not been told, or not in time, does not drop but asks.
 *
 * Rates are the cluster's: a judge gives an even part of them, as ids spread evenly. Over any stretch of T seconds no more than
 * rate * (T + burst_s) spans of traces with known judges are kept by such a policy, if the ring did not change; a trace larger than the burst is let in
 * when nothing was for so long.
 *
 * Memory: 68 to 72 bytes a remembered trace, max_remembered of them (sampling_memory.h); while it judges, 200 bytes a trace of a batch of
 * SAMPLER_BATCH.
 *
 * What was judged here is counted by tenant and policy (the cluster's numbers are the sum over ingesters):
 *   orrery_tail_sampling_traces_total{tenant,policy,decision="kept|dropped"}   and _spans_total; policy "_none": no policy matched
 *
 * Threads: sampler_judge() from one at a time, blocking; the rest any.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/ring/ring.h"
#include "ingester/traces/sampling.h"

#define SAMPLER_BATCH 8192 /* traces of one question */
#define SAMPLER_MAX_ANSWER_BYTES (1 + SAMPLER_BATCH * (3 + SAMPLING_EVIDENCE_BYTES))

/* One of several that are asked at once. */
struct sampler_call {
    const struct member *to;
    struct slice question; /* lent */
    struct buf answer;
    struct err *err; /* the answer did not come */
};
struct sampler_ops {
    struct ring *(*ring)(void *arg, struct slice tenant); /* the tenant's, of traces; a reference */
    /* "ingester.trace_evidence"; returns when all have answered, or will not. */
    void (*ask)(void *arg, struct slice tenant, struct sampler_call *calls, size_t n);
    /* "ingester.trace_verdicts"; does not wait. */
    void (*tell)(void *arg, struct slice tenant, const struct member *to, struct slice verdicts);
    void *arg;
};
struct sampler_opts {
    const char *instance; /* our name in the ring */
    struct sampler_ops ops;
    size_t max_remembered; /* 0: 1,000,000 */
    int64_t wait_ms;       /* 0: 30 s */
    int64_t live_ms;       /* so long a trace may be live before it has ended; 0: 40 s */
    double burst_s;        /* of rates; 0: 30 */
    const struct clock *clock;
};

struct sampler;
struct sampler *sampler_new(const struct sampler_opts *opts);
void sampler_free(struct sampler *s); /* NULL is allowed */

enum sampler_fate { SAMPLER_KEEP, SAMPLER_DROP, SAMPLER_WAIT };
struct sampler_trace {
    const uint8_t *id;
    struct sampling_evidence own; /* of all its spans here */
    int64_t first_ms;             /* first heard of here, Unix */
    int64_t waited_ms;            /* since it ended here */
    enum sampler_fate fate;       /* what to do with it */
};
/* Blocking. must: there is no WAIT. */
void sampler_judge(struct sampler *s, struct slice tenant, const struct tail_rules *rules,
                   struct sampler_trace *traces, size_t n, bool must);

/* ---- asked and told by others ---- */

/* Evidence of spans of those traces that are live here; {0}: there are none. Blocking. */
typedef struct err *sampler_look_fn(void *arg, struct slice tenant, const struct tail_rules *rules,
                                    const uint8_t (*ids)[16], size_t n,
                                    struct sampling_evidence *ret);
/*
 * question  u8 1, u64 rules' id, uvarint n, n * 16 ids
 * answer    u8 1, n * { u8 0: not judged, 1: not kept, 2: kept; u16 policy; evidence }
 * verdicts  u8 1, u64 rules' id, uvarint n, n * { 16 id, u8 1 or 2, u16 policy, evidence }
 * Bytes are hostile. ERR_INVALID; ERR_UNAVAILABLE: we have other policies.
 */
ORR_CHECKED struct err *sampler_answer(struct sampler *s, struct slice tenant,
                                       const struct tail_rules *rules, struct slice question,
                                       sampler_look_fn *look, void *look_arg, struct buf *out);
ORR_CHECKED struct err *sampler_told(struct sampler *s, struct slice tenant,
                                     const struct tail_rules *rules, struct slice verdicts);

/* ---- for pages and tests ---- */

/* JSON: {"policies":[{"name":…,"keptTraces":…,"keptSpans":…,"droppedTraces":…,"droppedSpans":…},…],"remembered":n} */
void sampler_status(struct sampler *s, struct slice tenant, struct buf *out);
