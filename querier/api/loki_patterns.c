/*
 * patterns: what the lines of a range have in common (querier/logs/logpatterns.h), and how many of each there are in
 * each step.
 *
 * At most PATTERN_LINES lines and PATTERN_BYTES bytes are looked at. Where a range has more, it is cut into slices of time of
 * which each stream gives as many of its first lines; the answer then has a warning, and its counts are of the lines
 * looked at.
 */
#include "common/lang/logql.h"
#include "common/logs/pipeline.h"
#include "querier/api/loki_api_internal.h"
#include "querier/logs/logpatterns.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)
#define MIN_DEF_STEP_S 10
#define PATTERN_LINES 100000u
#define PATTERN_BYTES (256ull << 20)
#define PATTERN_SLICES 16
#define MAX_PATTERNS 1000 /* while they are made */
#define MAX_SHOWN 300
#define LOOK_EVERY 256

struct patterns_params {
    struct slice query;
    struct logremote_range range;
    int64_t step_ns;
};

struct patterns_run {
    struct prom_task *task;
    const struct patterns_params *params;
    struct logremote remote;
    const struct logql_logs *logs;
    struct pipeline_state *state;
    struct logpatterns *patterns;
    uint64_t held, streams; /* in the range, as far as is known */
    uint64_t seen, bytes, max_bytes;
    bool is_sampled;
};

/* ---- on a worker ---- */

static struct err *add_held(void *arg, const struct logremote_stream *s)
{
    struct patterns_run *r = arg;

    r->held += s->entries;
    r->streams++;
    return loki_api_memory(r->task);
}

static struct err *look(const struct patterns_run *r)
{
    if (atomic_load_explicit(&r->task->cancel, memory_order_relaxed))
        return err_new(ERR_CANCELED, "query was canceled in query execution");
    if (clock_mono_ms(&clock_system) >= r->task->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "query timed out while lines were read for patterns "
                                    "(querier.timeout, limits.query-timeout)");
    return loki_api_memory(r->task);
}

static void add_line(struct patterns_run *r, struct labels stream,
                     const struct logsource_entry *entry)
{
    struct slice level = labels_get(entry->metadata, SLICE("detected_level"));
    struct pipeline_line out;

    r->seen++;
    r->bytes += entry->line.len;
    if (!pipeline_state_line(r->state, entry->ts_ns, entry->line, entry->metadata, &out))
        return;
    if (!level.len)
        level = labels_get(stream, SLICE("detected_level"));
    logpatterns_add(r->patterns, level, entry->ts_ns, out.line);
}

/* At most max lines of each stream, and all of them in all. */
struct patterns_share {
    struct logremote_range range;
    uint64_t of_stream, of_all;
};

static bool has_no_room(const struct patterns_run *r, const struct patterns_share *share,
                        uint64_t before)
{
    return r->seen - before >= share->of_all || r->bytes >= r->max_bytes;
}

static struct err *read_stream(struct patterns_run *r, const struct patterns_share *share,
                               struct logsource_set *set, struct labels stream, uint64_t before)
{
    struct logsource_entry entry;
    uint64_t n = 0;
    struct err *e = NULL;

    while (!e && logsource_set_entry(set, &entry)) {
        if (entry.ts_ns < share->range.start_ns || entry.ts_ns >= share->range.end_ns)
            continue;
        if (n == share->of_stream || has_no_room(r, share, before)) {
            r->is_sampled = true;
            return NULL;
        }
        add_line(r, stream, &entry);
        if (n++ % LOOK_EVERY == 0)
            e = look(r);
    }
    return e;
}

/* Whether there is another stretch of time, and room for its lines. */
static bool goes_on(struct patterns_run *r, const struct patterns_share *share,
                    struct logsource_set *set, uint64_t before)
{
    int64_t t_ns;

    if (!logsource_set_more(set, &t_ns))
        return false;
    if (!has_no_room(r, share, before))
        return true;
    r->is_sampled = true;
    return false;
}

static struct err *read_share(struct patterns_run *r, const struct patterns_share *share)
{
    struct logsource_request req = {
        .matchers = r->logs->matchers,
        .start_ns = share->range.start_ns,
        .end_ns = share->range.end_ns,
        .is_forward = true,
        .logs = r->logs,
        /* one more: whether there is one is what says that lines were left out */
        .max_entries = share->of_stream + 1,
        .deadline_mono_ms = r->task->deadline_mono_ms,
        .cancel = &r->task->cancel};
    uint64_t before = r->seen;
    struct logsource_set *set;
    struct labels stream;
    bool is_full = false;
    struct err *e = logsource_select(&r->remote.source, r->task->arena, &req, &set);

    if (e)
        return e;
    do {
        while (!e && !is_full && logsource_set_stream(set, &stream)) {
            is_full = has_no_room(r, share, before);
            r->is_sampled |= is_full;
            pipeline_state_stream(r->state, stream);
            if (!is_full)
                e = read_stream(r, share, set, stream, before);
        }
    } while (!e && !is_full && goes_on(r, share, set, before));
    return err_first(e, logsource_set_close(set));
}

/* All of it, or of each slice of time its part. */
static struct err *read_range(struct patterns_run *r)
{
    struct logremote_range whole = r->params->range;
    int64_t length = whole.end_ns - whole.start_ns;
    uint64_t slices = r->held <= PATTERN_LINES ? 1 : PATTERN_SLICES;
    struct patterns_share share = {.of_all = PATTERN_LINES / slices};
    struct err *e = NULL;

    share.of_stream =
        slices == 1 ? PATTERN_LINES : ORR_MAX(share.of_all / ORR_MAX(r->streams, 1u), 1u);
    for (uint64_t i = 0; !e && i < slices; i++) {
        share.range.start_ns =
            whole.start_ns + (int64_t)((double)length / (double)slices * (double)i);
        share.range.end_ns =
            i + 1 == slices
                ? whole.end_ns
                : whole.start_ns + (int64_t)((double)length / (double)slices * (double)(i + 1));
        e = read_share(r, &share);
    }
    return e;
}

static void put_pattern(struct patterns_run *r, const struct logpattern *l)
{
    const struct patterns_params *p = r->params;
    struct buf *out = &r->task->out;

    buf_str(out, "{\"pattern\":");
    buf_json_str(out, l->text);
    buf_str(out, ",\"level\":");
    buf_json_str(out, l->level);
    buf_str(out, ",\"samples\":[");
    for (size_t i = 0; i < l->n_samples; i++)
        buf_printf(out, "%s[%lld,%llu]", i ? "," : "",
                   (long long)((p->range.start_ns + l->samples[i].step * p->step_ns) / NS_PER_S),
                   (unsigned long long)l->samples[i].lines);
    buf_str(out, "]}");
}

static void warn(struct patterns_run *r, size_t n_patterns)
{
    struct store_query *sq = &r->task->data.queries[0];
    struct arena *a = r->task->arena;
    uint64_t left_out = logpatterns_left_out(r->patterns);

    if (r->is_sampled)
        store_query_warn(
            sq, slice_cstr(arena_printf(a, "patterns and counts are of %llu of about %llu lines",
                                        (unsigned long long)r->seen,
                                        (unsigned long long)ORR_MAX(r->held, r->seen + 1))));
    if (left_out)
        store_query_warn(sq, slice_cstr(arena_printf(
                                 a, "%llu lines are of too many different forms to be counted",
                                 (unsigned long long)left_out)));
    if (n_patterns > MAX_SHOWN)
        store_query_warn(
            sq, slice_cstr(arena_printf(a, "the %d of %zu patterns with most lines are shown",
                                        MAX_SHOWN, n_patterns)));
}

static void put_patterns(struct patterns_run *r)
{
    struct buf *out = &r->task->out;
    struct logpattern *list;
    size_t n;

    logpatterns_list(r->patterns, &list, &n);
    buf_str(out, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; i < n && i < MAX_SHOWN; i++) {
        if (i)
            buf_byte(out, ',');
        put_pattern(r, &list[i]);
    }
    buf_byte(out, ']');
    warn(r, n);
    loki_api_end(r->task);
}

static struct err *run_of(struct patterns_run *r)
{
    const struct patterns_params *p = r->params;
    int64_t most = r->task->limits.max_query_bytes_read;
    struct pipeline *pipeline;
    struct err *e = pipeline_make(r->task->arena, r->logs, NULL, &pipeline);

    if (e)
        return e;
    r->max_bytes = most > 0 ? ORR_MIN((uint64_t)most, PATTERN_BYTES) : PATTERN_BYTES;
    r->state = pipeline_state_new(pipeline, r->task->arena);
    r->patterns =
        logpatterns_new(r->task->arena, &(struct logpatterns_opts){.start_ns = p->range.start_ns,
                                                                   .step_ns = p->step_ns,
                                                                   .max_patterns = MAX_PATTERNS});
    if (!(e = loki_api_source(r->task, p->range, &r->remote)) &&
        !(e = loki_api_streams(&r->remote, r->logs->matchers, p->range, true, add_held, r)) &&
        !(e = read_range(r)))
        put_patterns(r);
    logpatterns_free(r->patterns);
    pipeline_state_free(r->state);
    pipeline_done(pipeline);
    return e;
}

static struct err *run_patterns(struct prom_task *t)
{
    struct patterns_run r = {.task = t, .params = t->params};
    struct logql q = {0};
    struct err *e = logql_parse(t->arena, r.params->query, &q);

    if (!e && q.root->kind != LOGQL_LOGS)
        e = err_new(ERR_INVALID, "only log selector is supported: a query for lines, not a metric");
    if (!e) {
        r.logs = &q.root->u.logs;
        e = run_of(&r);
    }
    logql_done(&q);
    return e;
}

/* ---- on a loop ---- */

static struct err *read_params(struct http_request *r, struct patterns_params *p)
{
    struct err *e;

    if (!(p->query = http_param(r, "query")).len)
        return err_new(ERR_INVALID, "query is missing: a selector of streams");
    if ((e = loki_api_range(r, DEF_SINCE_NS, &p->range)) ||
        (e = loki_param_step(http_param(r, "step"), p->range.end_ns - p->range.start_ns,
                             MIN_DEF_STEP_S, &p->step_ns)))
        return e;
    if (p->step_ns < NS_PER_S)
        return err_new(ERR_INVALID, "the step of patterns must be a second at least");
    return NULL;
}

void loki_patterns(struct http_request *r)
{
    struct patterns_params *p = arena_new_of(r->arena, struct patterns_params);
    struct slice tenant;

    if (loki_api_begin(r, &tenant) && !loki_api_failed(r, read_params(r, p)))
        loki_api_task(r, tenant, run_patterns, p);
}
