#include "querier/logs/logquery.h"

#include "common/base/clock.h"
#include "querier/logs/logquery_internal.h"

#define LOOK_LINES 256u
#define LOOK_FAST_NS (NS_PER_MS / 2)
#define LOOK_SLOW_NS (20 * NS_PER_MS)

struct engine *logquery_engine(void)
{
    return engine_new(&(struct engine_opts){.divides_as_logql = true});
}

struct err *logquery_run_memory(const struct logquery_run *r)
{
    if (!arena_over(r->arena))
        return NULL;
    return err_new(ERR_LIMIT,
                   "query needs more memory than its limit of %zu bytes (querier.max-query-memory)",
                   r->limit_bytes ? r->limit_bytes : arena_limit(r->arena));
}

struct err *logquery_run_over(const struct logquery_run *r)
{
    const struct logquery *q = r->q;

    if (q->cancel && atomic_load_explicit(q->cancel, memory_order_relaxed))
        return err_new(ERR_CANCELED, "query was canceled in query execution");
    if (r->stop && atomic_load_explicit(r->stop, memory_order_relaxed))
        return err_new(ERR_CANCELED, "nobody wants this piece of the query any more");
    if (q->deadline_mono_ms && clock_mono_ms(&clock_system) >= q->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "query timed out in query execution (querier.timeout, "
                                    "limits.query-timeout, or the timeout asked for)");
    return NULL;
}

struct err *logquery_run_look(const struct logquery_run *r)
{
    struct err *e = logquery_run_over(r);

    if (e)
        return e;
    if (r->turn)
        turn_look(r->turn, clock_mono_ms(&clock_system));
    return logquery_run_memory(r);
}

struct err *logquery_run_too_much(const struct logquery *q)
{
    return err_new(ERR_LIMIT,
                   "the query looks at more than %llu bytes of lines "
                   "(limits.max-query-bytes-read); narrow its selector or its time range",
                   (unsigned long long)q->max_bytes);
}

/* Lines that a search in blocks has passed over are not seen here; their pages, compressed, are. */
struct err *logquery_run_stream(struct logquery_run *r, const struct logsource_set *set)
{
    const struct logquery *q = r->q;
    struct logsource_stats s;

    r->stats->streams++;
    if (!q->max_bytes)
        return NULL;
    logsource_set_stats(set, &s);
    return s.page_bytes + s.filter_bytes > q->max_bytes ? logquery_run_too_much(q) : NULL;
}

/* Lines that take long are few between two looks; the first ones may be such. */
static void set_pace(struct logquery_run *r)
{
    int64_t now_ns = clock_mono_ns(&clock_system), took_ns = now_ns - r->looked_ns;

    if (!r->looked_ns || took_ns > LOOK_SLOW_NS)
        r->look_every = ORR_MAX(r->look_every / 16, 1u);
    else if (took_ns < LOOK_FAST_NS)
        r->look_every = ORR_MIN(r->look_every * 4, LOOK_LINES);
    r->looked_ns = now_ns;
    r->ticks = r->look_every;
}

struct err *logquery_run_line(struct logquery_run *r, size_t bytes)
{
    const struct logquery *q = r->q;

    r->stats->lines++;
    r->stats->bytes += bytes;
    if (q->max_bytes && r->stats->bytes > q->max_bytes)
        return logquery_run_too_much(q);
    if (r->ticks && --r->ticks)
        return NULL;
    set_pace(r);
    return logquery_run_look(r);
}

static void add_source(struct logsource_stats *sum, const struct logsource_stats *s)
{
    sum->ingesters += s->ingesters;
    sum->blocks += s->blocks;
    sum->pages += s->pages;
    sum->pages_skipped += s->pages_skipped;
    sum->page_bytes += s->page_bytes;
    sum->filter_bytes += s->filter_bytes;
    sum->block_lines += s->block_lines;
    sum->block_bytes += s->block_bytes;
    sum->ingester_lines += s->ingester_lines;
    sum->duplicates += s->duplicates;
    sum->ahead += s->ahead;
    sum->deleted += s->deleted;
    sum->away += s->away;
}

struct err *logquery_run_close(struct logquery_run *r, struct logsource_set *set)
{
    struct logsource_stats s;

    logsource_set_stats(set, &s);
    add_source(&r->stats->source, &s);
    return logsource_set_close(set);
}

void logquery_run_add(struct logquery_run *r, const struct logquery_stats *add)
{
    struct logquery_stats *sum = r->stats;

    sum->bytes += add->bytes;
    sum->lines += add->lines;
    sum->lines_kept += add->lines_kept;
    sum->streams += add->streams;
    add_source(&sum->source, &add->source);
}

static struct err *check_times(const struct logquery *q)
{
    if (q->start_ns < -LOGQUERY_MAX_NS || q->end_ns > LOGQUERY_MAX_NS)
        return err_new(ERR_INVALID, "the start or the end is too far from now");
    if (q->end_ns < q->start_ns)
        return err_new(ERR_INVALID, "the end is before the start");
    if (q->step_ns < 0 || q->step_ns % NS_PER_MS)
        return err_new(ERR_INVALID, "the step must be a whole number of milliseconds");
    return NULL;
}

int logquery_by_labels(const void *a, const void *b)
{
    return labels_cmp(*(const struct labels *)a, *(const struct labels *)b);
}

struct err *logquery(const struct engine *eng, const struct logquery *q, struct logsource *source,
                     struct arena *a, struct logquery_result *ret)
{
    int64_t began_ns = clock_mono_ns(&clock_system);
    struct logquery_run r = {.q = q,
                             .source = source,
                             .arena = a,
                             .stats = &ret->stats,
                             .began_mono_ms = began_ns / NS_PER_MS};
    struct logql parsed = {0};
    struct err *e;

    *ret = (struct logquery_result){0};
    if ((e = check_times(q)) || (e = logql_parse(a, q->expr, &parsed)))
        return e;
    ret->is_metric = parsed.root->kind != LOGQL_LOGS;
    ret->is_forward = q->is_forward;
    if (!ret->is_metric && q->metric_only)
        e = err_new(ERR_INVALID, "log queries are not supported as an instant query type, please "
                                 "change your query to a range query type");
    else if (ret->is_metric && q->lines_only)
        e = err_new(ERR_INVALID, "only log selector is supported: a query for lines, not a metric");
    else if (!ret->is_metric && q->max_entries && q->limit > q->max_entries)
        e = err_new(ERR_INVALID,
                    "the limit of lines asked for, %u, is above the greatest that may be, %u "
                    "(limits.max-entries-limit-per-query)",
                    q->limit, q->max_entries);
    else if (ret->is_metric)
        e = logquery_metric(&r, eng, parsed.root, ret);
    else
        e = logquery_lines(&r, &parsed.root->u.logs, ret);
    if (!e)
        e = logquery_run_memory(&r);
    ret->stats.exec_ns = clock_mono_ns(&clock_system) - began_ns;
    logql_done(&parsed);
    return e;
}

struct err *logquery_piece(const struct logquery *q, struct slice leaf,
                           const struct logsource_piece *at, struct logsource *source,
                           struct arena *a, struct buf *out)
{
    struct logquery_only only = {.at = at, .leaf = leaf, .out = out};
    struct logquery_result res = {0};
    struct logquery_run r = {.q = q,
                             .source = source,
                             .arena = a,
                             .stats = &res.stats,
                             .began_mono_ms = clock_mono_ms(&clock_system),
                             .only = &only};
    struct logql parsed = {0};
    struct err *e;

    if ((e = check_times(q)) || (e = logql_parse(a, q->expr, &parsed)))
        return e;
    if ((parsed.root->kind == LOGQL_LOGS) != (leaf.len == 0))
        e = err_new(ERR_INVALID, "a piece of another kind of query");
    else if (leaf.len)
        e = logquery_metric(&r, NULL, parsed.root, &res);
    else
        e = logquery_lines(&r, &parsed.root->u.logs, &res);
    if (!e)
        e = logquery_run_memory(&r);
    logql_done(&parsed);
    return e;
}
