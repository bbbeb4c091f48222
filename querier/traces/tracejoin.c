#include "querier/traces/tracejoin.h"

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/traceids_set.h"

struct part {
    struct tracesource_set *set;
    struct tracesource_trace at;
    bool is_there, is_used; /* at is one; it has been given, the next is to be taken */
};

struct joined {
    struct tracesource_set base;
    struct part *parts;
    size_t n;
    VEC(struct tracepiece) pieces;
};

static void advance(struct part *p)
{
    if (p->is_used)
        p->is_there = tracesource_set_next(p->set, &p->at);
    p->is_used = false;
}

/* The least id of all parts; NULL at the end. */
static const uint8_t *least(struct joined *j)
{
    const uint8_t *id = NULL;

    for (size_t i = 0; i < j->n; i++) {
        advance(&j->parts[i]);
        if (j->parts[i].is_there && (!id || memcmp(j->parts[i].at.id, id, 16) < 0))
            id = j->parts[i].at.id;
    }
    return id;
}

static bool joined_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    struct joined *j = ORR_CONTAINER(set, struct joined, base);
    const uint8_t *id = least(j);

    if (!id)
        return false;
    vec_clear(&j->pieces);
    for (size_t i = 0; i < j->n; i++) {
        struct part *p = &j->parts[i];

        if (!p->is_there || memcmp(p->at.id, id, 16) != 0)
            continue;
        p->is_used = true;
        for (size_t k = 0; k < p->at.n; k++)
            vec_push(&j->pieces, p->at.pieces[k]);
    }
    *ret = (struct tracesource_trace){id, j->pieces.ptr, j->pieces.len};
    return true;
}

static struct err *joined_close(struct tracesource_set *set)
{
    struct joined *j = ORR_CONTAINER(set, struct joined, base);
    struct err *e = NULL;

    for (size_t i = 0; i < j->n; i++)
        e = err_first(e, tracesource_set_close(j->parts[i].set));
    vec_done(&j->pieces);
    mem_free(j->parts);
    mem_free(j);
    return e;
}

static struct err *join_select(void *src, struct arena *a, const struct tracesource_request *req,
                               struct tracesource_set **ret)
{
    static const struct tracesource_set_ops ops = {joined_next, joined_close};
    const struct tracejoin *of = src;
    struct joined *j = mem_new(struct joined);
    struct err *e;

    j->base.ops = &ops;
    j->parts = mem_calloc(of->n + 1, sizeof(*j->parts));
    for (; j->n < of->n; j->n++) {
        if ((e = tracesource_select(&of->sources[j->n], a, req, &j->parts[j->n].set)))
            return err_first(e, joined_close(&j->base));
        j->parts[j->n].is_used = true;
    }
    *ret = &j->base;
    return NULL;
}

static struct err *join_names(void *src, const struct tracesource_names_request *req,
                              tracesource_name_fn *give, void *arg)
{
    const struct tracejoin *j = src;
    struct err *e = NULL;

    for (size_t i = 0; i < j->n && !e; i++)
        e = tracesource_names(&j->sources[i], req, give, arg);
    return e;
}

static struct err *join_columns(void *src, struct arena *a, const struct tracesource_request *req,
                                struct tracesource_columns *c)
{
    const struct tracejoin *j = src;
    struct traceids_set others = {0}, rest, given = {(uint8_t(*)[16])(uintptr_t)c->but, c->n_but};
    struct tracesource_columns of_last = *c; /* rest and seen are its own */
    struct tracesource_request all = *req;
    struct err *e = NULL;

    all.n_filters = 0; /* what a filter is about may be elsewhere */
    for (size_t i = 0; i + 1 < j->n && !e; i++)
        e = traceids_set_ask(a, &others, &j->sources[i], &all);
    if (e)
        return e;
    traceids_set_sort(&others);
    c->seen += others.n;
    given = traceids_set_unite(a, given, others);
    of_last.but = (const uint8_t(*)[16])given.ptr;
    of_last.n_but = given.n;
    of_last.rest = NULL;
    of_last.n_rest = of_last.seen = 0;
    e = tracesource_columns(&j->sources[j->n - 1], a, req, &of_last);
    rest = traceids_set_unite(a, (struct traceids_set){of_last.rest, of_last.n_rest}, others);
    c->rest = rest.ptr;
    c->n_rest = rest.n;
    c->seen += of_last.seen;
    return e;
}

static struct err *join_is_broad(void *src, struct arena *a, const struct tracesource_request *req,
                                 bool *ret)
{
    const struct tracejoin *j = src;

    return tracesource_is_broad(&j->sources[j->n - 1], a, req, ret);
}

struct tracesource tracejoin_source(struct tracejoin *j)
{
    static const struct tracesource_ops pieces = {join_select, join_names, NULL, NULL};
    static const struct tracesource_ops columns = {join_select, join_names, join_columns,
                                                   join_is_broad};
    bool has_columns = j->n && tracesource_has_columns(&j->sources[j->n - 1]);
    struct tracesource ret = {.ops = has_columns ? &columns : &pieces, .src = j};

    for (size_t i = 0; i < j->n; i++)
        ret.has_filters |= j->sources[i].has_filters;
    return ret;
}
