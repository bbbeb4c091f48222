/*
 * index/volume, index/volume_range: bytes of lines by some of the labels, over a range or over each step of it.
 *
 * Volumes come from what ingesters know of their frames and blocks of their time (logremote.h). Where a range begins or
 * ends within a frame all of it counts, so with steps shorter than frames one would count in several. So the steps of a
 * series are scaled down to what it has in the range as a whole.
 */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/lang/logql.h"
#include "querier/api/loki_api_internal.h"
#include "querier/engine/result_json.h"

#define DEF_SINCE_NS (6 * 3600 * NS_PER_S)
#define DEF_VOLUMES 100
#define INDEX_BYTES 128 /* of memory, for a key in a map */

struct volume_params {
    struct slice query, target_labels;
    struct logremote_range range;
    int64_t step_ns; /* 0: the range as a whole */
    uint32_t limit;
    bool by_names; /* of labels alone, whatever their values */
};

struct volume {
    struct labels labels;
    uint64_t bytes;
    uint64_t *steps;
};

struct volumes {
    struct prom_task *task;
    const struct volume_params *params;
    const struct slice *names; /* of the labels */
    struct label *labels;      /* scratch: as many */
    size_t n_names;
    struct map index; /* canonical labels to struct volume */
    struct buf key;
    size_t n_steps, step; /* step n_steps: the range as a whole */
};

/* ---- on a worker ---- */

static struct volume *volume_of(struct volumes *v, struct labels labels)
{
    struct arena *a = v->task->arena;
    struct volume *one;
    void **slot;

    buf_reset(&v->key);
    labels_canonical(&v->key, labels);
    slot = map_slot(&v->index, buf_slice(&v->key));
    if (*slot)
        return *slot;
    one = arena_new_of(a, struct volume);
    one->labels = labels_dup(a, labels);
    one->steps = arena_array(a, uint64_t, v->n_steps);
    arena_charge(a, INDEX_BYTES);
    *slot = one;
    return one;
}

static void add(struct volumes *v, struct labels labels, uint64_t bytes)
{
    struct volume *one = volume_of(v, labels);

    *(v->step < v->n_steps ? &one->steps[v->step] : &one->bytes) += bytes;
}

/* Each of the stream's labels that counts, alone; or all of them, as one set. */
static struct err *add_stream(void *arg, const struct logremote_stream *s)
{
    struct volumes *v = arg;
    struct labels labels = {v->labels, 0};

    for (size_t i = 0; i < s->labels.n; i++)
        for (size_t k = 0; k < v->n_names; k++)
            if (slice_eq(s->labels.ptr[i].name, v->names[k])) {
                v->labels[labels.n++] = s->labels.ptr[i];
                break;
            }
    for (size_t i = 0; v->params->by_names && i < labels.n; i++) {
        v->labels[i].value = SLICE_EMPTY;
        add(v, (struct labels){&v->labels[i], 1}, s->bytes);
    }
    if (!v->params->by_names)
        add(v, labels, s->bytes);
    return loki_api_memory(v->task);
}

/* Those asked for, else those that the selector names; each once. */
static void choose_names(struct volumes *v, struct matchers ms)
{
    struct arena *a = v->task->arena;
    struct slice rest = v->params->target_labels, one;
    struct slice *names = arena_array(a, struct slice, ms.n + rest.len + 1);

    while (slice_split(&rest, ',', &one))
        names[v->n_names++] = slice_trim(one);
    for (size_t i = 0; !v->params->target_labels.len && i < ms.n; i++)
        names[v->n_names++] = arena_dup(a, ms.ptr[i].name);
    v->names = names;
    v->labels = arena_array(a, struct label, v->n_names);
}

static struct logremote_range step_range(const struct volume_params *p, size_t step)
{
    struct logremote_range r = {.start_ns = p->range.start_ns + (int64_t)step * p->step_ns};

    r.end_ns = ORR_MIN(r.start_ns + p->step_ns, p->range.end_ns);
    return r;
}

static struct err *read_volumes(struct volumes *v, struct matchers ms)
{
    const struct volume_params *p = v->params;
    struct logremote remote;
    struct err *e = loki_api_source(v->task, p->range, &remote);

    v->step = v->n_steps;
    if (!e)
        e = loki_api_streams(&remote, ms, p->range, true, add_stream, v);
    for (size_t i = 0; !e && v->index.len && i < v->n_steps; i++) {
        v->step = i;
        e = loki_api_streams(&remote, ms, step_range(p, i), true, add_stream, v);
    }
    return e;
}

static void scale(struct volume *one, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += one->steps[i];
    for (size_t i = 0; sum > one->bytes && i < n; i++)
        one->steps[i] = (uint64_t)((double)one->steps[i] * (double)one->bytes / (double)sum);
}

static int by_bytes(const void *a, const void *b)
{
    const struct volume *x = *(struct volume *const *)a, *y = *(struct volume *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return labels_cmp(x->labels, y->labels);
}

static void put_point(struct buf *out, int64_t t_ns, uint64_t bytes)
{
    buf_byte(out, '[');
    result_json_time(out, t_ns / NS_PER_MS);
    buf_printf(out, ",\"%llu\"]", (unsigned long long)bytes);
}

/* A step's point stands at its end; steps without lines have none. */
static void put_volume(struct volumes *v, struct volume *one)
{
    const struct volume_params *p = v->params;
    struct buf *out = &v->task->out;
    bool is_first = true;

    buf_str(out, "{\"metric\":");
    labels_json(out, one->labels);
    buf_str(out, p->step_ns ? ",\"values\":[" : ",\"value\":");
    if (!p->step_ns)
        put_point(out, p->range.end_ns, one->bytes);
    for (size_t i = 0; i < v->n_steps; i++) {
        if (!one->steps[i])
            continue;
        if (!is_first)
            buf_byte(out, ',');
        is_first = false;
        put_point(out, step_range(p, i).end_ns, one->steps[i]);
    }
    buf_str(out, p->step_ns ? "]}" : "}");
}

static void put_volumes(struct volumes *v)
{
    struct volume **all = arena_array(v->task->arena, struct volume *, v->index.len + 1);
    struct buf *out = &v->task->out;
    size_t n = 0;

    MAP_FOREACH (e, &v->index)
        all[n++] = e->value;
    if (n)
        qsort((void *)all, n, sizeof(*all), by_bytes);
    buf_printf(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",\"result\":[",
               v->params->step_ns ? "matrix" : "vector");
    for (size_t i = 0; i < n && i < v->params->limit; i++) {
        if (i)
            buf_byte(out, ',');
        scale(all[i], v->n_steps);
        put_volume(v, all[i]);
    }
    buf_str(out, "]}");
    loki_api_end(v->task);
}

static struct err *run_volumes(struct prom_task *t)
{
    const struct volume_params *p = t->params;
    struct volumes v = {.task = t, .params = p};
    int64_t length = p->range.end_ns - p->range.start_ns;
    struct matchers ms;
    struct err *e = logql_parse_selector(t->arena, p->query, &ms);

    if (e)
        return e;
    if (p->step_ns)
        v.n_steps = (size_t)((length + p->step_ns - 1) / p->step_ns);
    choose_names(&v, ms);
    if (!(e = read_volumes(&v, ms)))
        put_volumes(&v);
    matchers_done(ms);
    arena_charge(t->arena, -(int64_t)(v.index.len * INDEX_BYTES));
    map_done(&v.index);
    buf_done(&v.key);
    return e;
}

/* ---- on a loop ---- */

static struct err *read_aggregation(struct slice by, bool *ret_by_names)
{
    *ret_by_names = slice_eq_cstr(by, "labels");
    if (!by.len || *ret_by_names || slice_eq_cstr(by, "series"))
        return NULL;
    return err_new(ERR_INVALID, "invalid aggregation option \"%.*s\": series and labels are there",
                   (int)ORR_MIN(by.len, (size_t)64), (const char *)by.ptr);
}

static void answer(struct http_request *r, bool has_steps)
{
    struct volume_params *p = arena_new_of(r->arena, struct volume_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    p->query = http_param(r, "query");
    p->target_labels = http_param(r, "targetLabels");
    if (!p->query.len)
        e = err_new(ERR_INVALID, "query is missing: a selector of streams");
    else
        e = read_aggregation(http_param(r, "aggregateBy"), &p->by_names);
    if (!e && !(e = loki_api_range(r, DEF_SINCE_NS, &p->range)))
        e = loki_param_limit(http_param(r, "limit"), DEF_VOLUMES, &p->limit);
    if (!e && has_steps)
        e = loki_param_step(http_param(r, "step"), p->range.end_ns - p->range.start_ns, 1,
                            &p->step_ns);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_volumes, p);
}

void loki_volume_instant(struct http_request *r)
{
    answer(r, false);
}

void loki_volume_range(struct http_request *r)
{
    answer(r, true);
}

void loki_volume_shards(struct http_request *r)
{
    (void)loki_api_failed(
        r, err_new(ERR_NOT_FOUND,
                   "index/shards is not served: it tells Loki's own query frontend how to cut a "
                   "query, and here queriers do that themselves. Ask query or query_range"));
}
