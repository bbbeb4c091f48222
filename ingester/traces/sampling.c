#include "ingester/traces/sampling.h"

#include "common/base/hash.h"

/* ---- evidence ---- */

static bool is_text(const struct tail_policy *p, const struct otlp_value *v)
{
    if (v->kind != OTLP_VALUE_TEXT)
        return false;
    for (size_t i = 0; i < p->n_values; i++)
        if (p->regexes ? re_match(p->regexes[i], v->text) : slice_eq(p->values[i], v->text))
            return true;
    return false;
}

static bool is_number(const struct tail_policy *p, const struct otlp_value *v)
{
    double d;

    if (v->kind != OTLP_VALUE_INT && v->kind != OTLP_VALUE_DOUBLE)
        return false;
    d = v->kind == OTLP_VALUE_INT ? (double)v->i : v->d;
    return d >= p->min_value && d <= p->max_value;
}

static bool has_attribute(const struct tail_policy *p, const struct tracepiece_attributes *a)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct otlp_value *v = &a->ptr[i].value;

        if (!slice_eq(a->ptr[i].key, p->key))
            continue;
        if (p->type == TAIL_STRING   ? is_text(p, v)
            : p->type == TAIL_NUMBER ? is_number(p, v)
                                     : v->kind == OTLP_VALUE_BOOL && v->b == p->value)
            return true;
    }
    return false;
}

static bool is_seen(const struct tail_policy *p, const struct tracepiece *piece)
{
    for (uint32_t i = 0; i < piece->n_spans; i++) {
        const struct tracepiece_span *s = &piece->spans[i];

        if (p->type == TAIL_STATUS ? p->statuses >> s->status & 1
                                   : has_attribute(p, &s->attributes))
            return true;
    }
    for (uint32_t i = 0; p->type != TAIL_STATUS && i < piece->n_resources; i++)
        if (has_attribute(p, &piece->resources[i].attributes))
            return true;
    return false;
}

void sampling_look(const struct tail_rules *r, const struct tracepiece *p,
                   struct sampling_evidence *io)
{
    struct sampling_evidence now = {.start_ns = UINT64_MAX, .spans = p->n_spans};
    uint32_t before = io->spans;

    if (!p->n_spans)
        return;
    for (unsigned i = 0; i < r->n_leaves; i++)
        if (!(io->leaves >> i & 1) && is_seen(r->leaves[i], p))
            now.leaves |= 1ull << i;
    for (uint32_t i = 0; i < p->n_spans; i++) {
        now.start_ns = ORR_MIN(now.start_ns, p->spans[i].start_ns);
        now.end_ns = ORR_MAX(now.end_ns, p->spans[i].end_ns);
    }
    sampling_unite(io, &now);
    io->spans = before + now.spans < before ? UINT32_MAX : before + now.spans;
}

void sampling_unite(struct sampling_evidence *io, const struct sampling_evidence *more)
{
    if (!more->spans)
        return;
    if (!io->spans) {
        *io = *more;
        return;
    }
    io->leaves |= more->leaves;
    io->start_ns = ORR_MIN(io->start_ns, more->start_ns);
    io->end_ns = ORR_MAX(io->end_ns, more->end_ns);
    io->spans = ORR_MAX(io->spans, more->spans);
}

bool sampling_covers(const struct sampling_evidence *e, const struct sampling_evidence *more)
{
    return !more->spans || (e->spans && !(more->leaves & ~e->leaves) &&
                            more->start_ns >= e->start_ns && more->end_ns <= e->end_ns);
}

void sampling_evidence_encode(struct buf *out, const struct sampling_evidence *e)
{
    buf_u64le(out, e->leaves);
    buf_u64le(out, e->start_ns);
    buf_u64le(out, e->end_ns);
    buf_u32le(out, e->spans);
}

void sampling_evidence_decode(struct reader *r, struct sampling_evidence *ret)
{
    ret->leaves = reader_u64le(r);
    ret->start_ns = reader_u64le(r);
    ret->end_ns = reader_u64le(r);
    ret->spans = reader_u32le(r);
}

/* ---- judging ---- */

struct trial {
    const uint8_t *id;
    const struct sampling_evidence *e;
    const struct sampling_rates *rates;
    bool is_rehearsal; /* rates are taken to hold, and nothing is taken from them */
};

static bool take(const struct trial *t, const struct tail_policy *p)
{
    const struct sampling_rates *r = t->rates;
    double rate = p->rate * r->share;

    return t->is_rehearsal ||
           (rate > 0 && tokenbucket_take(&r->buckets[p->bucket], rate, rate * r->burst_s,
                                         t->e->spans, r->now_ns));
}

static bool matches(const struct trial *t, const struct tail_policy *p);

static bool all_match(const struct trial *t, const struct tail_policy *p)
{
    for (size_t i = 0; i < p->n_subs; i++)
        if (!matches(t, &p->subs[i]))
            return false;
    return true;
}

static bool any_matches(const struct trial *t, const struct tail_policy *p)
{
    for (size_t i = 0; i < p->n_subs; i++)
        if (matches(t, &p->subs[i]))
            return true;
    return false;
}

/* A rate is asked last, whatever the order: what others refuse takes nothing from it. */
static bool all_match_rates_last(const struct trial *t, const struct tail_policy *p)
{
    struct trial rehearsal = *t;

    rehearsal.is_rehearsal = true;
    return all_match(&rehearsal, p) && (t->is_rehearsal || all_match(t, p));
}

/* The first that matches decides. */
static bool composite_matches(const struct trial *t, const struct tail_policy *p)
{
    for (size_t i = 0; i < p->n_subs; i++)
        if (matches(t, &p->subs[i]))
            return take(t, &p->subs[i]);
    return false;
}

static bool matches(const struct trial *t, const struct tail_policy *p)
{
    const struct sampling_evidence *e = t->e;
    uint64_t long_ns = e->end_ns > e->start_ns ? e->end_ns - e->start_ns : 0;

    switch (p->type) {
    case TAIL_ALWAYS:
        return true;
    case TAIL_LATENCY:
        return long_ns >= (uint64_t)p->min && (!p->max || long_ns <= (uint64_t)p->max);
    case TAIL_STATUS:
    case TAIL_STRING:
    case TAIL_NUMBER:
    case TAIL_BOOL:
        return (e->leaves >> p->leaf & 1) != p->inverts;
    case TAIL_SPANS:
        return e->spans >= p->min && (!p->max || e->spans <= p->max);
    case TAIL_PROBABILITY:
        return p->bound == UINT64_MAX || hash_xxh64(slice_of(t->id, 16), p->salt) < p->bound;
    case TAIL_RATE:
        return take(t, p);
    case TAIL_AND:
    case TAIL_DROP:
        return all_match_rates_last(t, p);
    case TAIL_OR:
        return any_matches(t, p);
    case TAIL_NOT:
        return !any_matches(t, p);
    case TAIL_COMPOSITE:
        return composite_matches(t, p);
    case TAIL_TYPE_COUNT:
        break;
    }
    return false;
}

struct sampling_verdict sampling_judge(const struct tail_rules *r, const uint8_t id[16],
                                       const struct sampling_evidence *e,
                                       const struct sampling_rates *rates)
{
    struct trial t = {id, e, rates, false};

    for (size_t drops = 2; drops-- > 0;)
        for (size_t i = 0; i < r->n; i++)
            if ((r->ptr[i].type == TAIL_DROP) == (drops == 1) && matches(&t, &r->ptr[i]))
                return (struct sampling_verdict){drops == 0, (uint16_t)i};
    return (struct sampling_verdict){false, SAMPLING_NO_POLICY};
}
