#include "common/logblock/linetombs.h"

#include "common/base/mem.h"
#include "common/lang/logql.h"
#include "common/logs/pipeline.h"

/* A deletion, compiled when it is needed. */
struct one {
    const struct tombstone *tomb;
    bool is_parsed;
    struct logql query;
    const struct logql_logs *logs; /* NULL: it takes all lines */
    struct pipeline *pipeline;
    struct pipeline_state *state;
};

struct linetombs {
    struct arena *arena; /* trees and pipelines */
    struct one *all;
    size_t n;
    /* of the stream */
    struct labels labels;
    struct tombstone_span *whole; /* of which all lines go */
    struct one **some;            /* which have a pipeline */
    size_t n_whole, n_some, first;
};

struct linetombs *linetombs_new(struct arena *budget, const struct tombstone_list *list,
                                const struct matchers *ms, int64_t from_ns, int64_t to_ns)
{
    int64_t min_ms = logblock_ms(from_ns), max_ms = logblock_ms(to_ns - 1);
    size_t n, kept = 0;
    const struct tombstone *t = tombstone_list_all(list, &n);
    struct linetombs *lt = NULL;

    for (size_t i = 0; i < n; i++) {
        if (!tombstone_reaches(&t[i], min_ms, max_ms) || (ms && !tombstone_may_mean(&t[i], ms)))
            continue;
        if (!lt) {
            lt = mem_new(struct linetombs);
            lt->arena = arena_child(budget, 0);
            lt->all = arena_array(lt->arena, struct one, n - i);
        }
        lt->all[kept++].tomb = &t[i];
    }
    if (!lt)
        return NULL;
    lt->n = kept;
    lt->whole = arena_array(lt->arena, struct tombstone_span, kept);
    lt->some = arena_array(lt->arena, struct one *, kept);
    return lt;
}

void linetombs_free(struct linetombs *lt)
{
    if (!lt)
        return;
    for (size_t i = 0; i < lt->n; i++) {
        pipeline_state_free(lt->all[i].state);
        pipeline_done(lt->all[i].pipeline);
        logql_done(&lt->all[i].query);
    }
    arena_free(lt->arena);
    mem_free(lt);
}

/* ---- what is deleted ---- */

/* It compiled when it was taken up. Neither who asks is to blame, unless memory ran out, nor what the lines lie in. */
static struct err *not_theirs(const struct tombstone *t, struct err *e)
{
    struct err *out = err_new(err_is(e, ERR_LIMIT) ? ERR_LIMIT : ERR_INTERNAL,
                              "the query of deletion %s: %s", ulid_print(t->ulid).s, err_msg(e));

    err_free(e);
    return out;
}

static struct err *parse(struct linetombs *lt, struct one *o)
{
    struct err *e;

    if (o->is_parsed)
        return NULL;
    if (o->tomb->query.len) {
        if ((e = logql_parse(lt->arena, o->tomb->query, &o->query)))
            return not_theirs(o->tomb, e);
        if (o->query.root->kind != LOGQL_LOGS) {
            logql_done(&o->query);
            o->query = (struct logql){0};
            return not_theirs(o->tomb, err_new(ERR_INVALID, "it does not ask for lines"));
        }
        if (o->query.root->u.logs.n_stages)
            o->logs = &o->query.root->u.logs;
    }
    o->is_parsed = true;
    return NULL;
}

static struct err *compile(struct linetombs *lt, struct one *o)
{
    struct err *e;

    if (o->state)
        return NULL;
    if ((e = pipeline_make(lt->arena, o->logs, NULL, &o->pipeline)))
        return not_theirs(o->tomb, e);
    o->state = pipeline_state_new(o->pipeline, lt->arena);
    return NULL;
}

struct err *linetombs_stream(struct linetombs *lt, struct labels labels, bool *ret_any)
{
    struct err *e;

    lt->labels = labels;
    lt->n_whole = lt->n_some = 0;
    lt->first = lt->n;
    for (size_t i = 0; i < lt->n; i++) {
        struct one *o = &lt->all[i];

        if (!matchers_match(o->tomb->matchers, labels))
            continue;
        lt->first = ORR_MIN(lt->first, i);
        if ((e = parse(lt, o)))
            return e;
        if (!o->logs) {
            lt->whole[lt->n_whole++] = (struct tombstone_span){o->tomb->min_ms, o->tomb->max_ms};
            continue;
        }
        if ((e = compile(lt, o)))
            return e;
        pipeline_state_stream(o->state, labels);
        lt->some[lt->n_some++] = o;
    }
    lt->n_whole = tombstone_spans_join(lt->whole, lt->n_whole);
    *ret_any = lt->first < lt->n;
    return NULL;
}

bool linetombs_takes_all(const struct linetombs *lt, int64_t from_ns, int64_t to_ns)
{
    int64_t min_ms = logblock_ms(from_ns), max_ms = logblock_ms(to_ns - 1);

    for (size_t i = 0; i < lt->n_whole; i++)
        if (lt->whole[i].min_ms <= min_ms && max_ms <= lt->whole[i].max_ms)
            return true;
    return false;
}

bool linetombs_has(struct linetombs *lt, int64_t ts_ns, struct slice line, struct labels metadata)
{
    int64_t t_ms = logblock_ms(ts_ns);
    struct pipeline_line out;

    if (tombstone_spans_have(lt->whole, lt->n_whole, t_ms))
        return true;
    for (size_t i = 0; i < lt->n_some; i++) {
        const struct one *o = lt->some[i];

        if (t_ms >= o->tomb->min_ms && t_ms <= o->tomb->max_ms &&
            pipeline_state_line(o->state, ts_ns, line, metadata, &out))
            return true;
    }
    return false;
}

/* ---- one by one ---- */

size_t linetombs_count(const struct linetombs *lt)
{
    return lt->n;
}

const struct tombstone *linetombs_at(const struct linetombs *lt, size_t i)
{
    return lt->all[i].tomb;
}

size_t linetombs_first(const struct linetombs *lt)
{
    return lt->first;
}

struct err *linetombs_is_whole(struct linetombs *lt, size_t i, bool *ret)
{
    struct err *e = parse(lt, &lt->all[i]);

    *ret = !e && !lt->all[i].logs;
    return e;
}

struct err *linetombs_needles(struct linetombs *lt, size_t i, struct arena *a, struct slice *ret,
                              size_t max, size_t *ret_n)
{
    struct err *e = parse(lt, &lt->all[i]);

    *ret_n = !e && lt->all[i].logs ? pipeline_needles(a, lt->all[i].logs, ret, max) : 0;
    return e;
}
