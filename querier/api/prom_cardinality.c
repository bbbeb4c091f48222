/*
 * Mimir's cardinality API: what of a tenant's series there is most of.
 *
 *   cardinality/label_names    how many values each label has
 *   cardinality/label_values   of given labels: how many series each value has
 *   cardinality/active_series  the series themselves; they stream
 *   cardinality/active_native_histogram_metrics   buckets of native histograms by metric
 *
 * count_method=inmemory (the default) counts what ingesters hold, by their postings, and takes
 * replicas off by division; active counts the series with samples in the last PROM_ACTIVE_MS, each
 * once. Answers are Mimir's JSON without the frame of Prometheus' API; errors are plain text.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "querier/api/prom_api_internal.h"

#define PROM_ACTIVE_MS (20ll * 60 * 1000)
#define LIST_DEFAULT 20
#define LIST_MAX 500
#define LABELS_MAX 100 /* names in one request */

struct cardinality {
    struct slice selector; /* "" if there is none */
    const struct slice *names;
    size_t n_names;
    bool is_active;
    size_t limit;
};

/* A label with its values, or a value with its series. */
struct tally {
    struct slice name;
    uint64_t n;
};

static int most_first(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return slice_cmp(x->name, y->name);
}

static void sort_tallies(struct tally *list, size_t n)
{
    if (n > 1)
        qsort(list, n, sizeof(*list), most_first);
}

static struct err *parse_selector(struct prom_task *t, const struct cardinality *p,
                                  struct matchers *ret)
{
    struct err *e;

    *ret = (struct matchers){0};
    if (!p->selector.len)
        return NULL;
    e = prom_param_match(t->arena, p->selector, ret);
    return e ? err_wrap(e, "invalid 'selector' param") : NULL;
}

/* ---- pairs, by either method; the tenant is one ---- */

struct census {
    struct prom_task *t;
    struct map index; /* "name 0xff value" → number + 1 */
    struct buf key;
    VEC(struct store_pair) list;
    uint64_t series;
};

static void count_label(struct census *c, const struct label *l)
{
    void **slot;

    buf_reset(&c->key);
    buf_slice_append(&c->key, l->name);
    buf_byte(&c->key, 0xff);
    buf_slice_append(&c->key, l->value);
    slot = map_slot(&c->index, buf_slice(&c->key));
    if (!*slot) {
        struct arena *a = c->t->arena;

        vec_push(&c->list, ((struct store_pair){arena_dup(a, l->name), arena_dup(a, l->value), 0}));
        *slot = (void *)(uintptr_t)c->list.len;
    }
    c->list.ptr[(uintptr_t)*slot - 1].series++;
}

static int by_pair(const void *a, const void *b)
{
    const struct store_pair *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    return c ? c : slice_cmp(x->value, y->value);
}

static struct err *count_active(struct prom_task *t, struct matchers ms, struct slice label,
                                struct store_pair **ret, size_t *ret_n, uint64_t *ret_series)
{
    int64_t now_ms = clock_wall_ms(&clock_system);
    struct census c = {.t = t};
    struct storage_series s;
    struct series_set *set;
    struct err *e = joined_series(&t->data, ms, now_ms - PROM_ACTIVE_MS, PROM_TIME_MAX_MS, &set);

    if (e)
        return e;
    while (!e && series_set_next(set, &s)) {
        c.series++;
        for (size_t i = 0; i < s.labels.n; i++)
            if (!label.ptr || slice_eq(label, s.labels.ptr[i].name))
                count_label(&c, &s.labels.ptr[i]);
        if (arena_over(t->arena))
            e = err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                        arena_limit(t->arena));
    }
    e = err_first(e, series_set_close(set));
    if (!e) {
        if (c.list.len > 1)
            qsort(c.list.ptr, c.list.len, sizeof(*c.list.ptr), by_pair);
        *ret = arena_array(t->arena, struct store_pair, c.list.len + 1);
        if (c.list.len)
            memcpy(*ret, c.list.ptr, c.list.len * sizeof(**ret));
        *ret_n = c.list.len;
        *ret_series = c.series;
    }
    map_done(&c.index);
    buf_done(&c.key);
    vec_done(&c.list);
    return e;
}

static struct err *get_pairs(struct prom_task *t, struct matchers ms, struct slice label,
                             struct store_pair **ret, size_t *ret_n, uint64_t *ret_series)
{
    const struct cardinality *p = t->params;

    if (p->is_active)
        return count_active(t, ms, label, ret, ret_n, ret_series);
    return store_pairs(&t->data.queries[0], ms, label, ret, ret_n, ret_series);
}

/* ---- label_names ---- */

static struct err *run_label_names(struct prom_task *t)
{
    const struct cardinality *p = t->params;
    struct store_pair *pairs = NULL;
    struct tally *names;
    struct matchers ms;
    uint64_t series;
    size_t n_pairs = 0, n = 0;
    struct err *e = parse_selector(t, p, &ms);

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    e = get_pairs(t, ms, (struct slice){0}, &pairs, &n_pairs, &series);
    matchers_done(ms);
    if (e)
        return e;
    names = arena_array(t->arena, struct tally, n_pairs + 1);
    for (size_t i = 0; i < n_pairs; i++) {
        if (i == 0 || !slice_eq(pairs[i].name, pairs[i - 1].name))
            names[n++].name = pairs[i].name;
        names[n - 1].n++;
    }
    sort_tallies(names, n);
    buf_printf(&t->out,
               "{\"label_values_count_total\":%zu,\"label_names_count\":%zu,\"cardinality\":[",
               n_pairs, n);
    for (size_t i = 0; i < n && i < p->limit; i++) {
        buf_str(&t->out, i ? ",{\"label_name\":" : "{\"label_name\":");
        buf_json_str(&t->out, names[i].name);
        buf_printf(&t->out, ",\"label_values_count\":%llu}", (unsigned long long)names[i].n);
    }
    buf_str(&t->out, "]}");
    return NULL;
}

/* ---- label_values ---- */

struct label_tally {
    struct slice name;
    struct tally *values;
    size_t n;
    uint64_t series;
};

static int most_series_first(const void *a, const void *b)
{
    const struct label_tally *x = a, *y = b;

    if (x->series != y->series)
        return x->series < y->series ? 1 : -1;
    return slice_cmp(x->name, y->name);
}

static void put_label(struct buf *out, const struct label_tally *l, size_t limit)
{
    buf_str(out, "{\"label_name\":");
    buf_json_str(out, l->name);
    buf_printf(out, ",\"label_values_count\":%zu,\"series_count\":%llu,\"cardinality\":[", l->n,
               (unsigned long long)l->series);
    for (size_t i = 0; i < l->n && i < limit; i++) {
        buf_str(out, i ? ",{\"label_value\":" : "{\"label_value\":");
        buf_json_str(out, l->values[i].name);
        buf_printf(out, ",\"series_count\":%llu}", (unsigned long long)l->values[i].n);
    }
    buf_str(out, "]}");
}

static struct err *tally_label(struct prom_task *t, struct matchers ms, struct slice name,
                               struct label_tally *ret, uint64_t *ret_series)
{
    struct store_pair *pairs = NULL;
    size_t n = 0;
    struct err *e = get_pairs(t, ms, name, &pairs, &n, ret_series);

    if (e)
        return e;
    *ret = (struct label_tally){.name = name, .n = n};
    ret->values = arena_array(t->arena, struct tally, n + 1);
    for (size_t i = 0; i < n; i++) {
        ret->values[i] = (struct tally){pairs[i].value, pairs[i].series};
        ret->series += pairs[i].series;
    }
    sort_tallies(ret->values, n);
    return NULL;
}

static struct err *run_label_values(struct prom_task *t)
{
    const struct cardinality *p = t->params;
    struct label_tally *labels = arena_array(t->arena, struct label_tally, p->n_names + 1);
    struct matchers ms;
    uint64_t series = 0;
    struct err *e = parse_selector(t, p, &ms);

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    for (size_t i = 0; i < p->n_names && !e; i++)
        e = tally_label(t, ms, p->names[i], &labels[i], &series);
    matchers_done(ms);
    if (e)
        return e;
    qsort(labels, p->n_names, sizeof(*labels), most_series_first);
    buf_printf(&t->out, "{\"series_count_total\":%llu,\"labels\":[", (unsigned long long)series);
    for (size_t i = 0; i < p->n_names; i++) {
        if (i)
            buf_byte(&t->out, ',');
        put_label(&t->out, &labels[i], p->limit);
    }
    buf_str(&t->out, "]}");
    return NULL;
}

/* ---- active_series ---- */

static struct err *run_active_series(struct prom_task *t)
{
    const struct cardinality *p = t->params;
    int64_t since_ms = clock_wall_ms(&clock_system) - PROM_ACTIVE_MS;
    struct storage_series s;
    struct series_set *set;
    struct matchers ms;
    uint64_t n = 0;
    struct err *e = parse_selector(t, p, &ms);

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    if (!(e = joined_series(&t->data, ms, since_ms, PROM_TIME_MAX_MS, &set))) {
        buf_str(&t->out, "{\"data\":[");
        while (!e && series_set_next(set, &s)) {
            if (n++)
                buf_byte(&t->out, ',');
            labels_json(&t->out, s.labels);
            /* half a list would be taken for the whole: Mimir refuses it as well */
            if (prom_task_is_full(t))
                e = err_new(ERR_TOO_LARGE, "the answer is larger than querier.max-response");
            else
                e = prom_task_flush(t);
        }
        e = err_first(e, series_set_close(set));
        buf_str(&t->out, "]}");
    }
    matchers_done(ms);
    return e;
}

/* ---- active_native_histogram_metrics ---- */

struct bucket_tally {
    struct slice metric;
    uint64_t series, buckets, min, max;
};

struct buckets {
    struct prom_task *t;
    struct map index; /* metric → number + 1 */
    VEC(struct bucket_tally) list;
};

static void count_buckets(struct buckets *b, const struct storage_series *s)
{
    struct slice metric = labels_get(s->labels, SLICE(LABEL_NAME));
    const struct histogram *h = NULL;
    struct bucket_tally *bt;
    uint64_t n;
    void **slot;

    for (size_t i = s->h ? s->n : 0; i && !h; i--)
        h = s->h[i - 1];
    if (!h)
        return;
    n = h->n_pos_buckets + h->n_neg_buckets;
    slot = map_slot(&b->index, metric);
    if (!*slot) {
        vec_push(&b->list, ((struct bucket_tally){.metric = arena_dup(b->t->arena, metric),
                                                  .min = UINT64_MAX}));
        *slot = (void *)(uintptr_t)b->list.len;
    }
    bt = &b->list.ptr[(uintptr_t)*slot - 1];
    bt->series++;
    bt->buckets += n;
    bt->min = ORR_MIN(bt->min, n);
    bt->max = ORR_MAX(bt->max, n);
}

static int by_metric(const void *a, const void *b)
{
    return slice_cmp(((const struct bucket_tally *)a)->metric,
                     ((const struct bucket_tally *)b)->metric);
}

static void put_buckets(struct buf *out, const struct bucket_tally *b)
{
    buf_str(out, "{\"metric\":");
    buf_json_str(out, b->metric);
    buf_printf(out, ",\"series_count\":%llu,\"bucket_count\":%llu,\"avg_bucket_count\":",
               (unsigned long long)b->series, (unsigned long long)b->buckets);
    buf_f64_text(out, (double)b->buckets / (double)b->series);
    buf_printf(out, ",\"min_bucket_count\":%llu,\"max_bucket_count\":%llu}",
               (unsigned long long)b->min, (unsigned long long)b->max);
}

static struct err *run_histogram_metrics(struct prom_task *t)
{
    int64_t now_ms = clock_wall_ms(&clock_system);
    struct storage_request req = {.start_ms = now_ms - PROM_ACTIVE_MS,
                                  .end_ms = PROM_TIME_MAX_MS,
                                  .deadline_mono_ms = t->deadline_mono_ms,
                                  .cancel = &t->cancel};
    struct buckets b = {.t = t};
    struct storage_series s;
    struct series_set *set;
    struct err *e = parse_selector(t, t->params, &req.matchers);

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    if (!(e = storage_select(&t->data.storage, t->arena, &req, &set))) {
        while (series_set_next(set, &s))
            count_buckets(&b, &s);
        e = series_set_close(set);
    }
    matchers_done(req.matchers);
    if (!e) {
        if (b.list.len > 1)
            qsort(b.list.ptr, b.list.len, sizeof(*b.list.ptr), by_metric);
        buf_str(&t->out, "{\"data\":[");
        for (size_t i = 0; i < b.list.len; i++) {
            if (i)
                buf_byte(&t->out, ',');
            put_buckets(&t->out, &b.list.ptr[i]);
        }
        buf_str(&t->out, "]}");
    }
    map_done(&b.index);
    vec_done(&b.list);
    return e;
}

/* ---- on a loop ---- */

static struct err *read_limit(struct http_request *r, size_t *ret)
{
    struct slice text = http_param(r, "limit");
    int64_t v = LIST_DEFAULT;

    if (text.len && !slice_to_i64(text, &v))
        return err_new(ERR_INVALID, "invalid 'limit' param: \"%.*s\" is no number",
                       (int)ORR_MIN(text.len, 64u), (const char *)text.ptr);
    if (v < 0)
        return err_new(ERR_INVALID, "'limit' param cannot be less than '0'");
    if (v > LIST_MAX)
        return err_new(ERR_INVALID, "'limit' param cannot be greater than '%d'", LIST_MAX);
    *ret = (size_t)v;
    return NULL;
}

static struct err *read_selector(struct http_request *r, bool is_required, struct slice *ret)
{
    struct slice *all;
    size_t n = prom_api_values(r, "selector", &all);

    if (n > 1)
        return err_new(ERR_INVALID, "multiple 'selector' params are not allowed");
    if (n == 0 && is_required)
        return err_new(ERR_INVALID, "missing 'selector' param");
    *ret = n ? all[0] : SLICE_EMPTY;
    return NULL;
}

static struct err *read_method(struct http_request *r, bool *ret_active)
{
    struct slice text = http_param(r, "count_method");

    *ret_active = slice_eq_cstr(text, "active");
    if (!text.len || *ret_active || slice_eq_cstr(text, "inmemory"))
        return NULL;
    return err_new(ERR_INVALID,
                   "invalid 'count_method' param '%.*s'. valid options are: [inmemory,active]",
                   (int)ORR_MIN(text.len, 64u), (const char *)text.ptr);
}

static struct err *read_names(struct http_request *r, struct cardinality *p)
{
    struct slice *names;

    p->n_names = prom_api_values(r, "label_names[]", &names);
    p->names = names;
    if (!p->n_names)
        return err_new(ERR_INVALID, "'label_names[]' param is required");
    if (p->n_names > LABELS_MAX)
        return err_new(ERR_INVALID,
                       "label values cardinality request label count exceeds the limit of %d",
                       LABELS_MAX);
    for (size_t i = 0; i < p->n_names; i++) {
        struct slice name;
        struct err *e = prom_param_label_name(r->arena, names[i], &name);

        if (e)
            return err_wrap(e, "invalid 'label_names' param");
    }
    return NULL;
}

enum wants { WANTS_LIMIT = 1, WANTS_NAMES = 2, WANTS_SELECTOR = 4 };

static void answer(struct http_request *r, unsigned wants, prom_work_fn *work)
{
    struct cardinality *p = arena_new_of(r->arena, struct cardinality);
    struct slice tenant;
    struct err *e = http_param_check(r);

    if (!e)
        e = prom_api_single_tenant(r, &tenant);
    if (!e)
        e = read_selector(r, wants & WANTS_SELECTOR, &p->selector);
    if (!e)
        e = read_method(r, &p->is_active);
    if (!e && (wants & WANTS_LIMIT))
        e = read_limit(r, &p->limit);
    if (!e && (wants & WANTS_NAMES))
        e = read_names(r, p);
    if (e)
        prom_reply_text_err(r, e);
    else
        prom_task_raw(prom_api_of(r)->tasks, r, tenant, 0, work, p);
}

void prom_cardinality_label_names(struct http_request *r)
{
    answer(r, WANTS_LIMIT, run_label_names);
}

void prom_cardinality_label_values(struct http_request *r)
{
    answer(r, WANTS_LIMIT | WANTS_NAMES, run_label_values);
}

void prom_cardinality_active_series(struct http_request *r)
{
    answer(r, WANTS_SELECTOR, run_active_series);
}

void prom_cardinality_histograms(struct http_request *r)
{
    answer(r, WANTS_SELECTOR, run_histogram_metrics);
}
