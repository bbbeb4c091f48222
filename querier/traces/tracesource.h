/*
 * Where questions about traces get them: the interface between querier/traces and whatever holds traces (ingesters' heads,
 * blocks, a table in tests).
 *
 * A set gives traces by ascending id (memcmp of its 16 bytes), no id twice; with each the pieces that this source has of it
 * (common/traces/tracepiece.h), which may repeat spans and need not be all of the trace: others may be in other sources.
 *
 *     if ((e = tracesource_select(src, arena, &req, &set)))
 *         return e;
 *     while (tracesource_set_next(set, &t))
 *         use(t);                              lent until the next call on the set
 *     e = tracesource_set_close(set);          NULL if the end was reached; always frees
 *
 * So who asks several sources for what matches a filter asks twice: first all of them for ids alone, then for the
 * pieces of those ids that any of them gave; unless none of them heeds filters. Ids are spread evenly: a range of them is a share of the work, of bounded size.
 *
 * Times: a trace is given if the source has a span of it that overlaps [start_ns, end_ns), and may be if not; and then with all
 * pieces that the source has of it.
 *
 * Threads: all from the one worker that runs the query, or a part of it; they may block, and give up with ERR_TIMEOUT or ERR_CANCELED
 * once the deadline has passed or the flag is set.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/err.h"
#include "common/lang/traceql.h"
#include "common/traceblock/tracegroup.h"
#include "common/traces/tracepiece.h"

struct tracesource_request {
    int64_t start_ns, end_ns;    /* end is exclusive; INT64_MIN, INT64_MAX: all */
    uint8_t first[16], last[16]; /* ids from first to last, both included */
    const uint8_t (*ids)[16];    /* ascending; only these. NULL: all of the range */
    size_t n_ids;
    /* Hint: traces of which no span fulfils any of these may be left out; n_filters 0: none may. They ask for nothing but what a span
     * says itself (tracecond.h). Lent until the set is closed. */
    const struct traceql_field *const *filters;
    size_t n_filters;
    bool ids_only; /* no pieces */
    /* Bytes of pieces, or of ids, that a set may give; ERR_LIMIT beyond, with the limit's name. 0: no bound */
    uint64_t max_bytes;
    int64_t deadline_mono_ms;  /* clock_system's mono; 0: none */
    const atomic_bool *cancel; /* may be NULL */
};

struct tracesource_trace {
    const uint8_t *id;
    const struct tracepiece *pieces;
    size_t n; /* 0: with ids_only */
};

/* What somebody may ask to be offered: names of attributes, and values of one. */
struct tracesource_names_request {
    int64_t start_ns, end_ns;
    enum tracetable table;  /* of the names, or of the attribute */
    struct slice attribute; /* its values; empty: names of attributes, or values of: */
    enum traceql_intrinsic
        intrinsic; /* one with few values (names, status, kind …); else NO_INTRINSIC */
    size_t max;    /* different ones, sorted by nothing; more are left out, and ret says so */
    int64_t deadline_mono_ms;
    const atomic_bool *cancel;
};
/* Each may come several times. s is lent for the call; type: that of a value (enum tracecell_type; its text otherwise). False: enough. */
typedef bool tracesource_name_fn(void *arg, struct slice s, enum tracecell_type type);

/*
 * Traces in columns, for a question that looks at many of them (tracescan.h): what a source has of them in columns already is spared the way
 * through pieces. Only of traces that are in one place whole, so those are left to pieces of which others have spans, too.
 */
struct tracesource_columns {
    const struct tracegroup_want *want; /* of each trace */
    const uint8_t (*but)[16];           /* ascending; these are in other places, too */
    size_t n_but;
    /* cols: lent for the call. An error ends it and is its. *ret_stop: the caller has enough. */
    struct err *(*give)(void *arg, const struct tracecols *cols, bool *ret_stop);
    void *arg;
    /* Ids of traces of the request that were not given, though the source has spans of them, come to be here, but for those above: ascending,
     * each once. In the arena. */
    uint8_t (*rest)[16];
    size_t n_rest;
};

struct tracesource_set;
struct tracesource_ops {
    struct err *(*select)(void *src, struct arena *a, const struct tracesource_request *req,
                          struct tracesource_set **ret);
    struct err *(*names)(void *src, const struct tracesource_names_request *req,
                         tracesource_name_fn *give, void *arg);
    /* req: without filters. NULL: it has nothing in columns. */
    struct err *(*columns)(void *src, struct arena *a, const struct tracesource_request *req,
                           struct tracesource_columns *c);
};
struct tracesource {
    const struct tracesource_ops *ops;
    void *src;
    bool
        has_filters; /* leaves out traces by them, or some of it does; else there is no use in asking it for ids first */
};
struct tracesource_set_ops {
    bool (*next)(struct tracesource_set *set, struct tracesource_trace *ret);
    struct err *(*close)(struct tracesource_set *set);
};
/* The head of whatever a source's set is. */
struct tracesource_set {
    const struct tracesource_set_ops *ops;
};

/* What is in a is there until the set is closed. */
ORR_CHECKED static inline struct err *tracesource_select(const struct tracesource *s,
                                                         struct arena *a,
                                                         const struct tracesource_request *req,
                                                         struct tracesource_set **ret)
{
    return s->ops->select(s->src, a, req, ret);
}
/* False at the end or after an error. */
static inline bool tracesource_set_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    return set->ops->next(set, ret);
}
/* NULL, or why it stopped early. Frees set; NULL is allowed. */
ORR_CHECKED static inline struct err *tracesource_set_close(struct tracesource_set *set)
{
    return set ? set->ops->close(set) : NULL;
}
ORR_CHECKED static inline struct err *tracesource_names(const struct tracesource *s,
                                                        const struct tracesource_names_request *req,
                                                        tracesource_name_fn *give, void *arg)
{
    return s->ops->names(s->src, req, give, arg);
}
static inline bool tracesource_has_columns(const struct tracesource *s)
{
    return s->ops->columns != NULL;
}
ORR_CHECKED static inline struct err *tracesource_columns(const struct tracesource *s,
                                                          struct arena *a,
                                                          const struct tracesource_request *req,
                                                          struct tracesource_columns *c)
{
    return s->ops->columns(s->src, a, req, c);
}
