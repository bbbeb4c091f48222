/*
 * detected_labels, detected_fields, detected_field/{name}/values: what there is to ask for.
 *
 * Labels are counted over all streams of the range. Fields are those of the newest line_limit lines that the query gives
 * (querier/logs/logfields.h).
 */
#include <stdlib.h>

#include "common/base/num.h"
#include "common/base/slice_sort.h"
#include "common/lang/logql.h"
#include "querier/api/loki_api_internal.h"
#include "querier/logs/logfields.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)
#define DEF_LINES 100
#define DEF_FIELDS 1000
#define INDEX_BYTES 64 /* of memory, for a name in a map */

struct detect_params {
    struct loki_api *api;
    struct slice query;
    struct slice field; /* of detected_field/{name}/values */
    struct logremote_range range;
    uint32_t max_lines, max;
};

/* ---- labels, on a worker ---- */

struct detect_label {
    struct slice name;
    struct distinct values;
    bool has_words; /* a value that is no id; or there are but 0 and 1 */
    bool has_other; /* than 0 and 1 */
};

struct detect_labels {
    struct prom_task *task;
    struct map index;
};

static bool is_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i] | 0x20;

        if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return s.len > 0;
}

/* As Go's uuid.Parse: 8-4-4-4-12, in braces or after urn:uuid:, or 32 digits. */
static bool is_uuid(struct slice s)
{
    static const size_t parts[] = {8, 4, 4, 4, 12};

    if (s.len == 45 && slice_eq_nocase(slice_sub(s, 0, 9), SLICE("urn:uuid:")))
        s = slice_from(s, 9);
    else if (s.len == 38 && s.ptr[0] == '{' && s.ptr[37] == '}')
        s = slice_sub(s, 1, 36);
    if (s.len == 32)
        return is_hex(s);
    if (s.len != 36)
        return false;
    for (size_t i = 0, at = 0; i < ORR_COUNT(parts); at += parts[i++] + 1)
        if (!is_hex(slice_sub(s, at, parts[i])) ||
            (at + parts[i] < 36 && s.ptr[at + parts[i]] != '-'))
            return false;
    return true;
}

static bool is_id(struct slice value)
{
    double v;

    return num_parse(value, &v) || is_uuid(value);
}

static void see_value(struct detect_label *l, struct slice value, struct arena *a)
{
    distinct_add(&l->values, a, value);
    if (!slice_eq_cstr(value, "0") && !slice_eq_cstr(value, "1"))
        l->has_other = true;
    if (!l->has_words && !is_id(value))
        l->has_words = true;
}

static struct err *see_stream(void *arg, const struct logremote_stream *s)
{
    struct detect_labels *d = arg;
    struct arena *a = d->task->arena;

    for (size_t i = 0; i < s->labels.n; i++) {
        void **slot = map_slot(&d->index, s->labels.ptr[i].name);
        struct detect_label *l = *slot;

        if (!l) {
            *slot = l = arena_new_of(a, struct detect_label);
            l->name = arena_dup(a, s->labels.ptr[i].name);
            arena_charge(a, INDEX_BYTES);
        }
        see_value(l, s->labels.ptr[i].value, a);
    }
    return loki_api_memory(d->task);
}

/* A label of nothing but ids is no help in finding anything, some well-known ones apart. */
static bool is_shown(const struct detect_label *l)
{
    static const char *const always[] = {"cluster", "namespace", "instance", "pod"};

    for (size_t i = 0; i < ORR_COUNT(always); i++)
        if (slice_eq_cstr(l->name, always[i]))
            return true;
    return l->has_words || !l->has_other;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp((*(struct detect_label *const *)a)->name,
                     (*(struct detect_label *const *)b)->name);
}

static void put_labels(struct detect_labels *d)
{
    struct detect_label **all =
        arena_array(d->task->arena, struct detect_label *, d->index.len + 1);
    struct buf *out = &d->task->out;
    size_t n = 0;

    MAP_FOREACH (e, &d->index)
        if (is_shown(e->value))
            all[n++] = e->value;
    if (n)
        qsort((void *)all, n, sizeof(*all), by_name);
    buf_str(out, "{\"detectedLabels\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"label\":" : "{\"label\":");
        buf_json_str(out, all[i]->name);
        buf_printf(out, ",\"cardinality\":%llu}",
                   (unsigned long long)distinct_count(&all[i]->values));
    }
    buf_str(out, "]}");
}

static struct err *run_labels(struct prom_task *t)
{
    const struct detect_params *p = t->params;
    struct detect_labels d = {.task = t};
    struct matchers ms = {0};
    struct logremote remote;
    struct err *e = loki_api_source(t, p->range, &remote);

    if (!e && p->query.len)
        e = logql_parse_selector(t->arena, p->query, &ms);
    if (e)
        return e;
    if (!(e = loki_api_streams(&remote, ms, p->range, false, see_stream, &d)))
        put_labels(&d);
    matchers_done(ms);
    arena_charge(t->arena, -(int64_t)(d.index.len * INDEX_BYTES));
    map_done(&d.index);
    return e;
}

/* ---- fields, on a worker ---- */

static struct err *read_lines(struct prom_task *t, struct logquery_result *ret)
{
    const struct detect_params *p = t->params;
    struct logquery q = loki_api_query(p->api, t, p->range);
    struct logremote remote;
    struct err *e = loki_api_source(t, p->range, &remote);

    q.expr = p->query;
    q.lines_only = true;
    q.limit = p->max_lines;
    return e ? e : logquery(p->api->engine, &q, &remote.source, t->arena, ret);
}

static struct err *run_fields(struct prom_task *t)
{
    const struct detect_params *p = t->params;
    struct logfields f = {.arena = t->arena, .max = p->max};
    struct logquery_result res;
    struct err *e = read_lines(t, &res);

    for (size_t i = 0; !e && i < res.n_streams; i++) {
        logfields_add(&f, &res.streams[i]);
        e = loki_api_memory(t);
    }
    logfields_sort(&f);
    buf_str(&t->out, "{\"fields\":[");
    for (size_t i = 0; !e && i < f.n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        logfields_json(&t->out, f.ptr[i]);
    }
    buf_printf(&t->out, "],\"limit\":%u}", p->max);
    logfields_done(&f);
    return e;
}

struct field_values {
    const struct detect_params *params;
    struct arena *arena;
    struct map seen;
};

static void see_field(void *arg, const struct logfields_item *item)
{
    struct field_values *v = arg;

    if (!slice_eq(item->name, v->params->field) || v->seen.len >= v->params->max ||
        map_has(&v->seen, item->value))
        return;
    map_put(&v->seen, item->value, v);
    arena_charge(v->arena, (int64_t)(INDEX_BYTES + item->value.len));
}

static void put_values(struct prom_task *t, const struct field_values *v)
{
    struct slice *all = arena_array(t->arena, struct slice, v->seen.len + 1);
    size_t n = 0;

    MAP_FOREACH (e, &v->seen)
        all[n++] = e->key;
    slice_sort(all, n);
    buf_str(&t->out, "{\"values\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, all[i]);
    }
    buf_printf(&t->out, "],\"limit\":%u}", v->params->max);
}

static struct err *run_values(struct prom_task *t)
{
    struct field_values v = {.params = t->params, .arena = arena_child(t->arena, 0)};
    struct logfields_reader r = {.arena = t->arena};
    struct logquery_result res;
    struct err *e = read_lines(t, &res);

    for (size_t i = 0; !e && i < res.n_streams; i++) {
        logfields_each(&r, &res.streams[i], see_field, &v);
        e = loki_api_memory(t);
    }
    if (!e)
        put_values(t, &v);
    logfields_reader_done(&r);
    map_done(&v.seen);
    arena_free(v.arena);
    return e;
}

/* ---- on a loop ---- */

/* limit was field_limit once. */
static struct err *read_limits(struct http_request *r, struct detect_params *p)
{
    struct slice limit = http_param(r, "limit");
    struct err *e;

    if (!limit.len)
        limit = http_param(r, "field_limit");
    if ((e = loki_param_count("line_limit", http_param(r, "line_limit"), DEF_LINES, &p->max_lines)))
        return e;
    return loki_param_limit(limit, DEF_FIELDS, &p->max);
}

static void answer(struct http_request *r, bool needs_query, prom_work_fn *work)
{
    struct detect_params *p = arena_new_of(r->arena, struct detect_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    p->api = r->arg;
    p->query = http_param(r, "query");
    p->field = http_request_segment(r, "name");
    if (!p->query.ptr)
        p->query = SLICE_EMPTY;
    if (needs_query && !p->query.len)
        e = err_new(ERR_INVALID, "query is missing: which lines' fields are asked for");
    else if (!(e = loki_api_range(r, DEF_SINCE_NS, &p->range)))
        e = read_limits(r, p);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, work, p);
}

void loki_detect_labels(struct http_request *r)
{
    answer(r, false, run_labels);
}

void loki_detect_fields(struct http_request *r)
{
    answer(r, true, run_fields);
}

void loki_detect_values(struct http_request *r)
{
    answer(r, true, run_values);
}
