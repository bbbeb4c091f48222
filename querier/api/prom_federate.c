/*
 * GET /federate: the newest sample of every series that a match[] selects, as Prometheus' text format
 * or, where Accept would rather have it, as protobuf (federate_proto.h; not as OpenMetrics: Prometheus
 * does not either), for another Prometheus to scrape. "Newest" is within the look-back before now; a series that has
 * ended (stale marker) is left out. As Prometheus does, a series without the label instance gets an
 * empty one, so that the scraper does not put its own there. As text, native histograms are written as
 * their count and sum: it has no more.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/num.h"
#include "common/lang/promql.h"
#include "querier/api/federate_proto.h"
#include "querier/api/name_escape.h"
#include "querier/api/prom_api_internal.h"

#define FEDERATE_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct federate_params {
    struct slice *match; /* texts */
    size_t n_match;
    int64_t now_ms, lookback_ms;
    enum name_escape how;
    bool is_proto;
    const char *content_type;
};

/* The newest sample of a series. */
struct newest {
    struct labels labels;
    int64_t t_ms;
    double v, count; /* of a histogram v is the sum */
    bool is_histogram;
    enum federate_kind kind;
    struct slice message; /* of protobuf, whole */
};

struct federation {
    struct prom_task *t;
    const struct federate_params *p;
    struct map seen; /* canonical labels */
    VEC(struct newest) list;
};

/* ---- collecting ---- */

/* With an empty instance, if it has none. */
static struct slice message_of(struct federation *f, struct labels ls, int64_t t_ms, double v,
                               const struct histogram *h)
{
    struct arena *a = f->t->arena;
    struct label *pairs = arena_array(a, struct label, ls.n + 1);
    struct buf out = {0};
    struct slice ret;
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (!slice_eq_cstr(ls.ptr[i].name, LABEL_NAME))
            pairs[n++] = (struct label){name_escape(a, f->p->how, ls.ptr[i].name), ls.ptr[i].value};
    if (!labels_has(ls, SLICE("instance")))
        pairs[n++] = (struct label){SLICE("instance"), SLICE_EMPTY};
    federate_proto_metric(&out, pairs, n, t_ms, v, h);
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static struct err *take(struct federation *f, const struct storage_series *s)
{
    struct arena *a = f->t->arena;
    size_t i = s->n;
    struct buf key = {0};
    struct newest one;
    bool is_known;

    while (i && s->t_ms[i - 1] > f->p->now_ms)
        i--;
    if (!i-- || s->t_ms[i] <= f->p->now_ms - f->p->lookback_ms || sample_is_stale(s->v[i]))
        return NULL;
    labels_canonical(&key, s->labels);
    is_known = f->p->n_match > 1 && map_has(&f->seen, buf_slice(&key));
    if (!is_known && f->p->n_match > 1)
        map_put(&f->seen, buf_slice(&key), f);
    buf_done(&key);
    if (is_known)
        return NULL;
    one = (struct newest){.labels = labels_dup(a, s->labels),
                          .t_ms = s->t_ms[i],
                          .v = s->v[i],
                          .is_histogram = s->h && s->h[i]};
    if (one.is_histogram)
        one.count = s->h[i]->count;
    if (f->p->is_proto) {
        one.kind = federate_proto_kind(one.is_histogram ? s->h[i] : NULL);
        one.message = message_of(f, one.labels, one.t_ms, one.v, one.is_histogram ? s->h[i] : NULL);
    }
    vec_push(&f->list, one);
    return arena_over(a) ? err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                                   arena_limit(a))
                         : NULL;
}

static struct err *collect(struct federation *f, struct matchers ms)
{
    struct storage_request req = {.matchers = ms,
                                  .start_ms = f->p->now_ms - f->p->lookback_ms,
                                  .end_ms = f->p->now_ms,
                                  .deadline_mono_ms = f->t->deadline_mono_ms,
                                  .cancel = &f->t->cancel};
    struct storage_series s;
    struct series_set *set;
    struct err *e = storage_select(&f->t->data.storage, f->t->arena, &req, &set);

    if (e)
        return e;
    while (!e && series_set_next(set, &s))
        e = take(f, &s);
    return err_first(e, series_set_close(set));
}

static int by_name(const void *a, const void *b)
{
    const struct newest *x = a, *y = b;
    int c = slice_cmp(labels_get(x->labels, SLICE(LABEL_NAME)),
                      labels_get(y->labels, SLICE(LABEL_NAME)));

    if (!c)
        c = (int)x->is_histogram - (int)y->is_histogram;
    if (!c)
        c = (int)x->kind - (int)y->kind;
    return c ? c : labels_cmp(x->labels, y->labels);
}

/* ---- writing ---- */

static void put_value(struct buf *out, struct slice v)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '\n') {
            buf_str(out, "\\n");
            continue;
        }
        if (v.ptr[i] == '\\' || v.ptr[i] == '"')
            buf_byte(out, '\\');
        buf_byte(out, v.ptr[i]);
    }
}

/* A name that the old grammar does not have is quoted. */
static void put_quotable(struct buf *out, struct slice name)
{
    bool is_legacy = labels_is_legacy_metric(name);

    if (!is_legacy)
        buf_byte(out, '"');
    put_value(out, name);
    if (!is_legacy)
        buf_byte(out, '"');
}

static void put_label(struct buf *out, struct arena *a, enum name_escape how, struct slice name,
                      struct slice value)
{
    if (out->ptr[out->len - 1] != '{')
        buf_byte(out, ',');
    put_quotable(out, name_escape(a, how, name));
    buf_str(out, "=\"");
    put_value(out, value);
    buf_byte(out, '"');
}

/* suffix: of a histogram's part. le: of its bucket, or NULL. */
static void put_line(struct federation *f, struct slice name, const char *suffix,
                     const struct newest *n, const char *le, double v)
{
    struct buf *out = &f->t->out;
    struct arena *a = f->t->arena;
    struct slice full = slice_cstr(arena_printf(a, "%.*s%s", SLICE_ARG(name), suffix));

    if (labels_is_legacy_metric(full)) {
        buf_slice_append(out, full);
        buf_byte(out, '{');
    } else {
        buf_byte(out, '{');
        put_quotable(out, full);
    }
    for (size_t i = 0; i < n->labels.n; i++)
        if (!slice_eq_cstr(n->labels.ptr[i].name, LABEL_NAME))
            put_label(out, a, f->p->how, n->labels.ptr[i].name, n->labels.ptr[i].value);
    if (!labels_has(n->labels, SLICE("instance")))
        put_label(out, a, f->p->how, SLICE("instance"), SLICE_EMPTY);
    if (le)
        put_label(out, a, f->p->how, SLICE("le"), slice_cstr(le));
    buf_str(out, "} ");
    num_format(out, v, 'g', -1);
    buf_printf(out, " %lld\n", (long long)n->t_ms);
}

/* Those of one name and kind from i on; their number. */
static struct err *put_family(struct federation *f, size_t i, size_t *ret_n)
{
    const struct newest *first = &f->list.ptr[i];
    struct slice name = labels_get(first->labels, SLICE(LABEL_NAME));
    size_t n = 0, bytes = 0;
    struct err *e = NULL;

    while (i + n < f->list.len && first[n].kind == first->kind &&
           slice_eq(labels_get(first[n].labels, SLICE(LABEL_NAME)), name))
        bytes += federate_proto_framed(first[n++].message);
    *ret_n = n;
    if (!name.len)
        return NULL;
    federate_proto_family(&f->t->out, name_escape(f->t->arena, f->p->how, name), first->kind,
                          bytes);
    for (size_t k = 0; k < n && !e; k++) {
        federate_proto_append(&f->t->out, first[k].message);
        e = prom_task_flush(f->t);
    }
    return e;
}

static struct err *put_families(struct federation *f)
{
    struct err *e = NULL;

    for (size_t i = 0, n; i < f->list.len && !e; i += n)
        e = put_family(f, i, &n);
    return e;
}

static struct err *put_all(struct federation *f)
{
    struct slice last = {0};
    bool was_histogram = false;
    struct err *e = NULL;

    for (size_t i = 0; i < f->list.len && !e; i++) {
        const struct newest *n = &f->list.ptr[i];
        struct slice name = labels_get(n->labels, SLICE(LABEL_NAME));

        if (!name.len)
            continue; /* nothing can be told about it in this format */
        if (!last.ptr || !slice_eq(last, name) || was_histogram != n->is_histogram) {
            buf_str(&f->t->out, "# TYPE ");
            put_quotable(&f->t->out, name_escape(f->t->arena, f->p->how, name));
            buf_str(&f->t->out, n->is_histogram ? " histogram\n" : " untyped\n");
        }
        last = name;
        was_histogram = n->is_histogram;
        name = name_escape(f->t->arena, f->p->how, name);
        if (n->is_histogram) {
            put_line(f, name, "_bucket", n, "+Inf", n->count);
            put_line(f, name, "_sum", n, NULL, n->v);
            put_line(f, name, "_count", n, NULL, n->count);
        } else {
            put_line(f, name, "", n, NULL, n->v);
        }
        e = prom_task_flush(f->t);
    }
    return e;
}

static struct err *collect_all(struct federation *f)
{
    struct err *e = NULL;

    for (size_t i = 0; i < f->p->n_match && !e; i++) {
        struct matchers ms;

        /* also what every series matches: Prometheus takes it here */
        if ((e = promql_parse_selector(f->t->arena, f->p->match[i], &ms)))
            break;
        e = collect(f, ms);
        matchers_done(ms);
    }
    return e;
}

static struct err *run_federate(struct prom_task *t)
{
    const struct federate_params *p = t->params;
    struct federation f = {.t = t, .p = p};
    struct err *e = collect_all(&f);

    t->content_type = p->content_type;
    if (!e && f.list.len > 1)
        qsort(f.list.ptr, f.list.len, sizeof(*f.list.ptr), by_name);
    if (!e)
        e = p->is_proto ? put_families(&f) : put_all(&f);
    vec_done(&f.list);
    map_done(&f.seen);
    return e;
}

/* ---- on a loop ---- */

/* What was asked for is confirmed. */
static const char *type_of(struct slice accept, enum name_escape how, bool is_proto)
{
    static const char *const types[][2] = {
#define X(sym, name)                                                                               \
    [sym] = {FEDERATE_TYPE "; escaping=" name, FEDERATE_PROTO_TYPE "; escaping=" name},
        NAME_ESCAPES(X)
#undef X
    };

    if (accept.ptr && slice_find(accept, SLICE("escaping="), 0) >= 0)
        return types[how][is_proto];
    return is_proto ? FEDERATE_PROTO_TYPE : FEDERATE_TYPE;
}

void prom_federate(struct http_request *r)
{
    struct federate_params *p = arena_new_of(r->arena, struct federate_params);
    struct prom_tasks *tasks = prom_api_of(r)->tasks;
    struct slice accept = http_request_header(r, "Accept");
    struct slice tenant;
    struct err *e = http_param_check(r);

    if (!e)
        e = prom_api_tenants(r, &tenant);
    if (e) {
        prom_reply_text_err(r, e);
        return;
    }
    p->n_match = prom_api_values(r, "match[]", &p->match);
    p->now_ms = clock_wall_ms(&clock_system);
    p->lookback_ms = prom_tasks_opts(tasks)->lookback_ms;
    p->how = name_escape_of_accept(accept);
    p->is_proto = federate_proto_is_wanted(accept);
    p->content_type = type_of(accept, p->how, p->is_proto);
    prom_task_raw(tasks, r, tenant, 0, run_federate, p);
}
