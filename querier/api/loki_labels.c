/* labels, label/{name}/values, series, index/stats, index/volume. */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/lang/logql.h"
#include "querier/api/loki_api_internal.h"
#include "querier/engine/result_json.h"

#define DEF_SINCE_NS (6 * 3600 * NS_PER_S)
#define DEF_VOLUMES 100
#define SEEN_BYTES 64 /* of memory, for a fingerprint in a map */

struct labels_params {
    struct slice label;        /* of label/{name}/values; ptr NULL: names */
    const struct slice *match; /* texts of selectors; none: every stream */
    size_t n_match;
    struct logremote_range range;
    /* of index/volume */
    struct slice target_labels;
    uint32_t limit;
};

/* ---- on a worker ---- */

typedef struct err *streams_fn(void *arg, const struct logremote_stream *s);

/* fn for every stream of one selector. */
static struct err *each_stream_of(struct logremote *remote, struct matchers ms,
                                  struct logremote_range range, streams_fn *fn, void *arg)
{
    struct logremote_stream st;
    struct logremote_streams *s;
    struct err *e = logremote_streams(remote, ms, range, &s);

    if (e)
        return e;
    while (!e && logremote_streams_next(s, &st))
        e = fn(arg, &st);
    return err_first(e, logremote_streams_close(s));
}

/* Of all selectors; a stream that several choose comes several times. */
static struct err *each_stream(struct prom_task *t, streams_fn *fn, void *arg)
{
    const struct labels_params *p = t->params;
    struct logremote remote;
    struct err *e = loki_api_source(t, p->range, &remote);

    if (!e && !p->n_match)
        e = each_stream_of(&remote, (struct matchers){0}, p->range, fn, arg);
    for (size_t i = 0; !e && i < p->n_match; i++) {
        struct matchers ms;

        if ((e = logql_parse_selector(t->arena, p->match[i], &ms)))
            break;
        e = each_stream_of(&remote, ms, p->range, fn, arg);
        matchers_done(ms);
    }
    return e;
}

static struct err *run_names(struct prom_task *t)
{
    const struct labels_params *p = t->params;
    struct store_names names = {0};
    struct matchers ms = {0};
    struct logremote remote;
    struct err *e = loki_api_source(t, p->range, &remote);

    if (!e && p->n_match)
        e = logql_parse_selector(t->arena, p->match[0], &ms);
    if (e)
        return e;
    e = logremote_names(&remote, ms, p->label, p->range, &names);
    matchers_done(ms);
    buf_str(&t->out, "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; !e && i < names.n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, names.ptr[i]);
    }
    buf_byte(&t->out, ']');
    loki_api_end(t);
    return e;
}

static struct err *check_memory(const struct prom_task *t)
{
    if (!arena_over(t->arena))
        return NULL;
    return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                   arena_limit(t->arena));
}

struct series_list {
    struct prom_task *task;
    struct map seen; /* fingerprints */
};

static struct err *add_series(void *arg, const struct logremote_stream *s)
{
    struct series_list *l = arg;
    struct slice key = slice_of((const uint8_t *)&s->fp, sizeof(s->fp));
    struct buf *out = &l->task->out;

    if (map_has(&l->seen, key))
        return NULL;
    if (l->seen.len)
        buf_byte(out, ',');
    map_put(&l->seen, key, l);
    arena_charge(l->task->arena, SEEN_BYTES);
    labels_json(out, s->labels);
    if (!buf_ok(out))
        return err_new(ERR_LIMIT, "the answer is larger than %zu bytes (querier.max-response)",
                       out->max_bytes);
    return check_memory(l->task);
}

static struct err *run_series(struct prom_task *t)
{
    struct series_list l = {.task = t};
    struct err *e;

    buf_str(&t->out, "{\"status\":\"success\",\"data\":[");
    e = each_stream(t, add_series, &l);
    buf_byte(&t->out, ']');
    loki_api_end(t);
    arena_charge(t->arena, -(int64_t)(l.seen.len * SEEN_BYTES));
    map_done(&l.seen);
    return e;
}

struct stats {
    uint64_t streams, entries, bytes;
};

static struct err *add_stats(void *arg, const struct logremote_stream *s)
{
    struct stats *st = arg;

    st->streams++;
    st->entries += s->entries;
    st->bytes += s->bytes;
    return NULL;
}

/* A chunk is what a stream has, as one: how many pages of heads and blocks that is nobody counts. */
static struct err *run_stats(struct prom_task *t)
{
    struct stats s = {0};
    struct err *e = each_stream(t, add_stats, &s);

    buf_printf(&t->out, "{\"streams\":%llu,\"chunks\":%llu,\"bytes\":%llu,\"entries\":%llu}",
               (unsigned long long)s.streams, (unsigned long long)s.streams,
               (unsigned long long)s.bytes, (unsigned long long)s.entries);
    return e;
}

/* ---- volumes: bytes by some of the labels ---- */

struct volume {
    struct labels labels;
    uint64_t bytes;
};

struct volumes {
    struct prom_task *task;
    const struct slice *names; /* of the labels */
    struct label *labels;      /* scratch: as many */
    size_t n_names;
    struct map index; /* canonical labels to struct volume */
    struct buf key;
};

static struct err *add_volume(void *arg, const struct logremote_stream *s)
{
    struct volumes *v = arg;
    struct arena *a = v->task->arena;
    struct labels labels = {v->labels, 0};
    struct volume *one;
    void **slot;

    for (size_t i = 0; i < s->labels.n; i++)
        for (size_t k = 0; k < v->n_names; k++)
            if (slice_eq(s->labels.ptr[i].name, v->names[k])) {
                v->labels[labels.n++] = s->labels.ptr[i];
                break;
            }
    buf_reset(&v->key);
    labels_canonical(&v->key, labels);
    slot = map_slot(&v->index, buf_slice(&v->key));
    if (!*slot) {
        one = arena_new_of(a, struct volume);
        one->labels = labels_dup(a, labels);
        *slot = one;
    }
    one = *slot;
    one->bytes += s->bytes;
    return check_memory(v->task);
}

static int by_bytes(const void *a, const void *b)
{
    const struct volume *x = *(struct volume *const *)a, *y = *(struct volume *const *)b;

    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return labels_cmp(x->labels, y->labels);
}

static void volumes_json(struct volumes *v)
{
    const struct labels_params *p = v->task->params;
    const struct volume **all =
        arena_array(v->task->arena, const struct volume *, v->index.len + 1);
    struct buf *out = &v->task->out;
    size_t n = 0;

    MAP_FOREACH (e, &v->index)
        all[n++] = e->value;
    if (n)
        qsort((void *)all, n, sizeof(*all), by_bytes);
    buf_str(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[");
    for (size_t i = 0; i < n && i < p->limit; i++) {
        buf_str(out, i ? ",{\"metric\":" : "{\"metric\":");
        labels_json(out, all[i]->labels);
        buf_str(out, ",\"value\":[");
        result_json_time(out, p->range.end_ns / NS_PER_MS);
        buf_printf(out, ",\"%llu\"]}", (unsigned long long)all[i]->bytes);
    }
    buf_str(out, "]}");
    loki_api_end(v->task);
}

/* Those asked for, else those that the selector names. */
static struct err *volume_names(struct volumes *v, const struct labels_params *p)
{
    struct arena *a = v->task->arena;
    struct slice rest = p->target_labels, one;
    struct matchers ms;
    struct slice *names;
    struct err *e = logql_parse_selector(a, p->match[0], &ms);

    if (e)
        return e;
    names = arena_array(a, struct slice, ms.n + rest.len + 1);
    while (slice_split(&rest, ',', &one))
        names[v->n_names++] = slice_trim(one);
    for (size_t i = 0; !p->target_labels.len && i < ms.n; i++)
        names[v->n_names++] = arena_dup(a, ms.ptr[i].name);
    matchers_done(ms);
    v->names = names;
    v->labels = arena_array(a, struct label, v->n_names);
    return NULL;
}

static struct err *run_volume(struct prom_task *t)
{
    struct volumes v = {.task = t};
    struct err *e = volume_names(&v, t->params);

    if (!e && !(e = each_stream(t, add_volume, &v)))
        volumes_json(&v);
    map_done(&v.index);
    buf_done(&v.key);
    return e;
}

/* ---- on a loop ---- */

static void read_values(struct http_request *r, const char *name, struct labels_params *p)
{
    struct slice v;
    size_t all, pos = 0;
    struct slice *out;

    (void)http_param_all(r, &all);
    out = arena_array(r->arena, struct slice, all + 1);
    while (http_param_next(r, name, &pos, &v))
        if (v.len)
            out[p->n_match++] = v;
    p->match = out;
}

static void answer(struct http_request *r, struct labels_params *p, prom_work_fn *work)
{
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    e = loki_api_range(r, DEF_SINCE_NS, &p->range);
    if (!e)
        e = loki_param_limit(http_param(r, "limit"), DEF_VOLUMES, &p->limit);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, work, p);
}

void loki_labels_names(struct http_request *r)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);

    read_values(r, "query", p);
    answer(r, p, run_names);
}

void loki_labels_values(struct http_request *r)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);

    p->label = http_request_segment(r, "name");
    read_values(r, "query", p);
    answer(r, p, run_names);
}

void loki_labels_series(struct http_request *r)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);

    read_values(r, "match[]", p);
    if (!p->n_match)
        read_values(r, "match", p);
    answer(r, p, run_series);
}

void loki_index_stats(struct http_request *r)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);

    read_values(r, "query", p);
    answer(r, p, run_stats);
}

void loki_index_volume(struct http_request *r)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);
    struct slice by = http_param(r, "aggregateBy");

    read_values(r, "query", p);
    p->target_labels = http_param(r, "targetLabels");
    if (!p->n_match)
        (void)loki_api_failed(r, err_new(ERR_INVALID, "query is missing: a selector of streams"));
    else if (by.len && !slice_eq_cstr(by, "series"))
        (void)loki_api_failed(r,
                              err_new(ERR_UNSUPPORTED, "volumes by label names are not computed: "
                                                       "aggregateBy must be series"));
    else
        answer(r, p, run_volume);
}
