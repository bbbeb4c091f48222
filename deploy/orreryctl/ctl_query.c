/*
 * orreryctl query: a question to a running Orrery in one of its three languages, answered as a table, as lines of log, or as the JSON that came.
 *
 *   --language=promql    now, or (--since, --from) over time: a row for each series, with a plot of it
 *              logql     lines, the newest last; or numbers, as of promql
 *              traceql   traces that match
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/net/http.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_json.h"
#include "deploy/orreryctl/ctl_logline.h"
#include "deploy/orreryctl/ctl_show.h"

#define SINCE_MS (3600 * MS_PER_S)
#define POINTS 120 /* of a query over time, where no step was said */
#define PLOT 24    /* characters of one */
#define DEF_LIMIT "30"

struct asked {
    struct ctl *ctl;
    const char *expr;
    int64_t from_ms, to_ms, step_ms;
    bool is_range;
};

/* ---- the question ---- */

static struct err *read_times(struct asked *q)
{
    struct ctl_opts *o = &q->ctl->opts;
    int64_t since_ms = SINCE_MS;
    struct err *e = NULL;

    q->to_ms = clock_wall_ms(&clock_system);
    q->is_range = o->since || o->from || o->step;
    if (o->to && (e = gotime_parse_api(slice_cstr(o->to), &q->to_ms)))
        return err_wrap(e, "--to");
    if (o->since && (e = gotime_parse_api_duration(slice_cstr(o->since), &since_ms)))
        return err_wrap(e, "--since");
    q->from_ms = q->to_ms - since_ms;
    if (o->from && (e = gotime_parse_api(slice_cstr(o->from), &q->from_ms)))
        return err_wrap(e, "--from");
    if (q->from_ms >= q->to_ms)
        return ctl_usage(q->ctl, "there is no time between --from and --to");
    q->step_ms = ORR_MAX((q->to_ms - q->from_ms) / POINTS, MS_PER_S);
    if (o->step && (e = gotime_parse_api_duration(slice_cstr(o->step), &q->step_ms)))
        return err_wrap(e, "--step");
    return NULL;
}

static void put_param(struct buf *path, const char *name, const char *value)
{
    buf_byte(path, slice_find_byte(buf_slice(path), '?', 0) < 0 ? '?' : '&');
    buf_printf(path, "%s=", name);
    http_escape(slice_cstr(value), path);
}

static void put_range(const struct asked *q, struct buf *path)
{
    buf_printf(path, "&start=%.3f&end=%.3f", (double)(int64_t)(q->from_ms / MS_PER_S),
               (double)q->to_ms / MS_PER_S);
}

/* --json: the answer as it came, and *ret is NULL. */
static struct err *ask(struct asked *q, struct buf *path, json_t **ret)
{
    *ret = NULL;
    return ctl_json_get(q->ctl, buf_slice(path), q->ctl->opts.is_json, ret);
}

/* ---- numbers ---- */

static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

/* The greatest of each stretch, between the least and the greatest of all. */
static const char *plot_of(struct ctl *c, json_t *values, double min, double max)
{
    size_t n = json_array_size(values);
    struct buf out = {0};
    const char *text;

    for (size_t i = 0; i < PLOT && n; i++) {
        double best = NAN;

        for (size_t k = i * n / PLOT; k < ORR_MAX((i + 1) * n / PLOT, i * n / PLOT + 1) && k < n;
             k++) {
            double v = strtod(ctl_json_text(json_array_get(json_array_get(values, k), 1)), NULL);

            if (isfinite(v) && !(v <= best))
                best = v;
        }
        if (isnan(best))
            buf_byte(&out, ' ');
        else
            buf_str(&out, blocks[max > min ? (int)((best - min) / (max - min) * 7.0) : 0]);
    }
    text = arena_cstr(c->arena, buf_slice(&out));
    buf_done(&out);
    return text;
}

static const char *number(struct ctl *c, double v)
{
    return arena_printf(c->arena, "%.6g", v);
}

static void add_series(struct asked *q, struct ctl_table *t, json_t *series)
{
    struct ctl *c = q->ctl;
    json_t *values = json_object_get(series, "values");
    size_t n = json_array_size(values);
    double min = INFINITY, max = -INFINITY, last = NAN;

    for (size_t i = 0; i < n; i++) {
        last = strtod(ctl_json_text(json_array_get(json_array_get(values, i), 1)), NULL);
        min = isfinite(last) ? fmin(min, last) : min;
        max = isfinite(last) ? fmax(max, last) : max;
    }
    ctl_table_row(t, (const char *[]){ctl_json_labels(c->arena, json_object_get(series, "metric")),
                                      n ? plot_of(c, values, min, max) : "histograms",
                                      n ? number(c, min) : NULL, n ? number(c, max) : NULL,
                                      n ? number(c, last) : NULL});
}

/* {"resultType":…,"result":…} */
static void show_numbers(struct asked *q, json_t *data)
{
    const char *type = ctl_json_text(json_object_get(data, "resultType"));
    json_t *result = json_object_get(data, "result"), *series, *h;
    struct ctl_table t;
    size_t i;

    if (strcmp(type, "scalar") == 0 || strcmp(type, "string") == 0) {
        ctl_say("%s", ctl_json_text(json_array_get(result, 1)));
        return;
    }
    if (strcmp(type, "matrix") == 0) {
        ctl_table_init(&t, q->ctl->arena, "series plot #min #max #last");
        json_array_foreach(result, i, series) add_series(q, &t, series);
    } else {
        ctl_table_init(&t, q->ctl->arena, "series #value");
        json_array_foreach(result, i, series)
        {
            h = json_array_get(json_object_get(series, "histogram"), 1);
            ctl_table_row(
                &t, (const char *[]){
                        ctl_json_labels(q->ctl->arena, json_object_get(series, "metric")),
                        h ? arena_printf(q->ctl->arena, "count %s, sum %s",
                                         ctl_json_text(json_object_get(h, "count")),
                                         ctl_json_text(json_object_get(h, "sum")))
                          : ctl_json_text(json_array_get(json_object_get(series, "value"), 1))});
        }
    }
    ctl_table_print(&t, false);
}

static void show_warnings(struct ctl *c, json_t *answer)
{
    size_t i;
    json_t *w;

    json_array_foreach(json_object_get(answer, "warnings"), i, w) fprintf(
        stderr, "orreryctl: warning: %s\n", ctl_plain(c->arena, slice_cstr(ctl_json_text(w))));
}

static struct err *of_metrics(struct asked *q)
{
    struct buf path = {0};
    json_t *answer;
    struct err *e;

    buf_str(&path, q->is_range ? "/api/v1/query_range" : "/api/v1/query");
    put_param(&path, "query", q->expr);
    if (q->is_range) {
        put_range(q, &path);
        buf_printf(&path, "&step=%.3f", (double)q->step_ms / MS_PER_S);
    } else if (q->ctl->opts.to) {
        buf_printf(&path, "&time=%.3f", (double)q->to_ms / MS_PER_S);
    }
    e = ask(q, &path, &answer);
    if (!e && answer) {
        show_warnings(q->ctl, answer);
        show_numbers(q, json_object_get(answer, "data"));
    }
    json_decref(answer);
    buf_done(&path);
    return e;
}

/* ---- lines ---- */

static struct err *of_logs(struct asked *q)
{
    struct ctl *c = q->ctl;
    bool is_lines = ctl_logline_is_asked(q->expr);
    struct buf path = {0};
    json_t *answer, *data;
    struct err *e;

    buf_str(&path, is_lines || q->is_range ? "/loki/api/v1/query_range" : "/loki/api/v1/query");
    put_param(&path, "query", q->expr);
    if (is_lines || q->is_range) {
        buf_printf(&path, "&start=%" PRId64 "&end=%" PRId64, (int64_t)(q->from_ms * NS_PER_MS),
                   (int64_t)(q->to_ms * NS_PER_MS));
        if (!is_lines)
            buf_printf(&path, "&step=%.3f", (double)q->step_ms / MS_PER_S);
        put_param(&path, "limit", c->opts.limit ? c->opts.limit : DEF_LIMIT);
    }
    e = ask(q, &path, &answer);
    data = json_object_get(answer, "data");
    if (!e && answer) {
        show_warnings(c, answer);
        if (is_lines)
            ctl_logline_show(json_object_get(data, "result"), NULL);
        else
            show_numbers(q, data);
    }
    json_decref(answer);
    buf_done(&path);
    return e;
}

/* ---- traces ---- */

static struct err *of_traces(struct asked *q)
{
    struct ctl *c = q->ctl;
    struct buf path = {0};
    struct ctl_table t;
    json_t *answer, *trace;
    struct err *e;
    size_t i;

    buf_str(&path, "/api/search");
    put_param(&path, "q", q->expr);
    buf_printf(&path, "&start=%" PRId64 "&end=%" PRId64, (int64_t)(q->from_ms / MS_PER_S),
               (int64_t)(q->to_ms / MS_PER_S + 1));
    put_param(&path, "limit", c->opts.limit ? c->opts.limit : DEF_LIMIT);
    e = ask(q, &path, &answer);
    if (!e && answer) {
        ctl_table_init(&t, c->arena, "trace start #duration service name");
        json_array_foreach(json_object_get(answer, "traces"), i, trace) ctl_table_row(
            &t,
            (const char *[]){
                ctl_json_text(json_object_get(trace, "traceID")),
                ctl_time(
                    c->arena,
                    strtoll(ctl_json_text(json_object_get(trace, "startTimeUnixNano")), NULL, 10) /
                        NS_PER_MS),
                arena_printf(c->arena, "%lld ms",
                             (long long)json_integer_value(json_object_get(trace, "durationMs"))),
                ctl_json_text(json_object_get(trace, "rootServiceName")),
                ctl_json_text(json_object_get(trace, "rootTraceName"))});
        ctl_table_print(&t, false);
    }
    json_decref(answer);
    buf_done(&path);
    return e;
}

struct err *ctl_query(struct ctl *c)
{
    struct asked q = {.ctl = c, .expr = c->args[0]};
    const char *lang = c->opts.language ? c->opts.language : "promql";
    struct err *e = read_times(&q);

    if (e)
        return e;
    if (strcmp(lang, "promql") == 0)
        return of_metrics(&q);
    if (strcmp(lang, "logql") == 0)
        return of_logs(&q);
    if (strcmp(lang, "traceql") == 0)
        return of_traces(&q);
    return ctl_usage(c, "--language is promql, logql or traceql");
}
