/*
 * What a tenant's policies (common/model/tail_rule.h) say of a trace.
 *
 *   spans that one replica has ── sampling_look() ──▶ evidence ┐
 *   those of another one                          ──▶ evidence ┴ sampling_unite() ──▶ sampling_judge(): kept or not, and by which policy
 *
 * Evidence is all that policies ask about spans, small, and united as sets are: whether a span matches a leaf (a bit each), the first start, the
 * last end; of numbers of spans the greatest. So it does not matter who saw which span, how often, and in which order; what is judged by
 * the same evidence is judged alike, rates apart. Those are a matter of who judges when: buckets are the judge's, filled at its
 * part of the cluster's rate.
 *
 * The hash for probabilities is XXH3 of the trace id, with the policy's salt: the same on every ingester, for ever.
 *
 * Pure; an object belongs to one thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/base/tokenbucket.h"
#include "common/model/tail_rule.h"
#include "common/traces/tracepiece.h"

struct sampling_evidence {
    uint64_t leaves; /* 1 << tail_policy.leaf */
    uint64_t start_ns, end_ns;
    uint32_t spans; /* 0: nothing is known */
};

/* io: {0} at first. */
void sampling_look(const struct tail_rules *r, const struct tracepiece *p,
                   struct sampling_evidence *io);
void sampling_unite(struct sampling_evidence *io, const struct sampling_evidence *more);
/* Does more add nothing to e? */
bool sampling_covers(const struct sampling_evidence *e, const struct sampling_evidence *more);

/* SAMPLING_EVIDENCE_BYTES: u64 leaves, u64 start, u64 end, u32 spans */
#define SAMPLING_EVIDENCE_BYTES 28
void sampling_evidence_encode(struct buf *out, const struct sampling_evidence *e);
void sampling_evidence_decode(struct reader *r, struct sampling_evidence *ret);

#define SAMPLING_NO_POLICY UINT16_MAX
struct sampling_verdict {
    bool is_kept;
    uint16_t policy; /* at the top, that decided; SAMPLING_NO_POLICY: none matched */
};
/* Of the judge. */
struct sampling_rates {
    struct tokenbucket *buckets; /* rules' n_buckets */
    double share;                /* of a rate that is ours: 0..1 */
    double burst_s;              /* so many seconds' worth may be kept at once */
    int64_t now_ns;              /* mono */
};
struct sampling_verdict sampling_judge(const struct tail_rules *r, const uint8_t id[16],
                                       const struct sampling_evidence *e,
                                       const struct sampling_rates *rates);
