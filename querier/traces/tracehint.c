#include "querier/traces/tracehint.h"

typedef struct err *hint_fn(const struct traceql_hint *h, struct tracehints *ret);

static struct err *wrong(const struct traceql_hint *h, const char *wanted)
{
    return err_new(ERR_INVALID, "the hint %.*s is to be %s", SLICE_ARG(h->name), wanted);
}

static struct err *take_boolean(const struct traceql_hint *h, struct tracehints *ret)
{
    (void)ret;
    return h->value.type == TRACEQL_BOOL ? NULL : wrong(h, "true or false");
}

static struct err *take_exemplars(const struct traceql_hint *h, struct tracehints *ret)
{
    const struct traceql_static *v = &h->value;

    ret->has_exemplars = true;
    if (v->type == TRACEQL_BOOL)
        ret->exemplars = v->v.b ? UINT32_MAX : 0;
    else if (v->type == TRACEQL_INT && v->v.i >= 0)
        ret->exemplars = (uint32_t)ORR_MIN(v->v.i, (int64_t)UINT32_MAX);
    else
        return wrong(h, "true, false or a number that is not negative");
    return NULL;
}

static struct err *take_share(const struct traceql_hint *h, struct tracehints *ret)
{
    bool is_number = h->value.type == TRACEQL_INT || h->value.type == TRACEQL_FLOAT;
    double share = is_number ? traceql_number(&h->value) : 0;

    (void)ret;
    return share > 0 && share <= 1 ? NULL : wrong(h, "a share above 0, up to 1");
}

static struct err *take_sample(const struct traceql_hint *h, struct tracehints *ret)
{
    return h->value.type == TRACEQL_BOOL ? NULL : take_share(h, ret);
}

static const struct {
    const char *name;
    hint_fn *take;
} hints[] = {
    {"most_recent", take_boolean}, {"exemplars", take_exemplars}, {"sample", take_sample},
    {"span_sample", take_share},   {"trace_sample", take_share},
};

struct err *tracehints_of(const struct traceql *q, struct tracehints *ret)
{
    struct err *e = NULL;

    *ret = (struct tracehints){0};
    for (size_t i = 0; i < q->n_hints && !e; i++) {
        const struct traceql_hint *h = &q->hints[i];
        hint_fn *take = NULL;

        for (size_t k = 0; k < ORR_COUNT(hints); k++)
            if (slice_eq_cstr(h->name, hints[k].name))
                take = hints[k].take;
        e = take ? take(h, ret)
                 : err_new(ERR_INVALID,
                           "the hint %.*s is not supported; there are most_recent, exemplars, "
                           "sample, span_sample and trace_sample",
                           SLICE_ARG(slice_sub(h->name, 0, 64)));
    }
    return e;
}
