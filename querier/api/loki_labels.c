/* labels, label/{name}/values, series, index/stats, and the first two of /api/prom. */
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/lang/logql.h"
#include "querier/api/loki_api_internal.h"

#define DEF_SINCE_NS (6 * 3600 * NS_PER_S)
#define SEEN_BYTES 64 /* of memory, for a fingerprint in a map */

struct labels_params {
    struct slice label;        /* of label/{name}/values; ptr NULL: names */
    const struct slice *match; /* texts of selectors; none: every stream */
    size_t n_match;
    struct logremote_range range;
    bool is_old; /* of /api/prom */
};

/* ---- on a worker ---- */

/* Of all selectors; a stream that several choose comes several times. */
static struct err *each_stream(struct prom_task *t, bool wants_volume, loki_streams_fn *fn,
                               void *arg)
{
    const struct labels_params *p = t->params;
    struct logremote remote;
    struct err *e = loki_api_source(t, p->range, &remote);

    if (!e && !p->n_match)
        e = loki_api_streams(&remote, (struct matchers){0}, p->range, wants_volume, fn, arg);
    for (size_t i = 0; !e && i < p->n_match; i++) {
        struct matchers ms;

        if ((e = logql_parse_selector(t->arena, p->match[i], &ms)))
            break;
        e = loki_api_streams(&remote, ms, p->range, wants_volume, fn, arg);
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
    buf_str(&t->out, p->is_old ? "{\"values\":[" : "{\"status\":\"success\",\"data\":[");
    for (size_t i = 0; !e && i < names.n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, names.ptr[i]);
    }
    buf_byte(&t->out, ']');
    loki_api_end(t);
    return e;
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
    return loki_api_memory(l->task);
}

static struct err *run_series(struct prom_task *t)
{
    struct series_list l = {.task = t};
    struct err *e;

    buf_str(&t->out, "{\"status\":\"success\",\"data\":[");
    e = each_stream(t, false, add_series, &l);
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
    struct err *e = each_stream(t, true, add_stats, &s);

    buf_printf(&t->out, "{\"streams\":%llu,\"chunks\":%llu,\"bytes\":%llu,\"entries\":%llu}",
               (unsigned long long)s.streams, (unsigned long long)s.streams,
               (unsigned long long)s.bytes, (unsigned long long)s.entries);
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
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, work, p);
}

static void answer_names(struct http_request *r, bool is_old)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);

    p->is_old = is_old;
    p->label = http_request_segment(r, "name");
    read_values(r, "query", p);
    answer(r, p, run_names);
}

void loki_labels_names(struct http_request *r)
{
    answer_names(r, false);
}

void loki_labels_old(struct http_request *r)
{
    answer_names(r, true);
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
