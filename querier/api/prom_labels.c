/* labels, label/{name}/values, series. */
#include "common/base/map.h"
#include "querier/api/prom_api_internal.h"

struct labels_params {
    struct slice label;        /* of label/{name}/values; ptr NULL: names */
    const struct slice *match; /* texts of match[] */
    size_t n_match;
    int64_t start_ms, end_ms;
    uint64_t limit;
    bool is_series;
};

/* ---- on a worker ---- */

static void sets_done(struct matchers *sets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        matchers_done(sets[i]);
}

static struct err *parse_sets(struct prom_task *t, const struct labels_params *p,
                              struct matchers **ret)
{
    *ret = arena_array(t->arena, struct matchers, p->n_match + 1);
    for (size_t i = 0; i < p->n_match; i++) {
        struct err *e = p->is_series ? prom_param_match(t->arena, p->match[i], &(*ret)[i])
                                     : prom_param_selector(t->arena, p->match[i], &(*ret)[i]);

        if (e) {
            sets_done(*ret, i);
            return e;
        }
    }
    return NULL;
}

/* Between two entries of a list: sends what there is. False: the list ends here, and says so. */
static bool may_go_on(struct prom_task *t, struct err **ret_err)
{
    if (prom_task_is_full(t)) {
        joined_warn(&t->data, SLICE("results truncated due to querier.max-response"));
        return false;
    }
    return !(*ret_err = prom_task_flush(t));
}

static struct err *names_json(struct prom_task *t, const struct store_names *names, uint64_t limit)
{
    size_t n = names->n;
    struct err *e = NULL;

    if (limit && n > limit) {
        n = limit;
        prom_api_warn_truncated(t);
    }
    buf_byte(&t->out, '[');
    for (size_t i = 0; i < n && may_go_on(t, &e); i++) {
        if (i)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, names->ptr[i]);
    }
    buf_byte(&t->out, ']');
    return e;
}

static struct err *run_names(struct prom_task *t)
{
    const struct labels_params *p = t->params;
    struct store_names names;
    struct matchers *sets;
    struct err *e = parse_sets(t, p, &sets);

    if (e)
        return e;
    e = joined_names(&t->data, sets, p->n_match, p->label, p->start_ms, p->end_ms, &names);
    if (!e)
        e = names_json(t, &names, p->limit);
    sets_done(sets, p->n_match);
    return e;
}

/* Writes the series of one set that were not there before; *io_n counts what was written. */
static struct err *series_json(struct prom_task *t, const struct labels_params *p,
                               struct series_set *set, struct map *seen, uint64_t *io_n)
{
    struct storage_series s;
    struct buf key = {0};
    struct err *e = NULL;

    while (may_go_on(t, &e) && series_set_next(set, &s)) {
        if (p->n_match > 1) {
            buf_reset(&key);
            labels_canonical(&key, s.labels);
            if (map_has(seen, buf_slice(&key)))
                continue;
            map_put(seen, buf_slice(&key), t);
        }
        if (p->limit && *io_n == p->limit) {
            prom_api_warn_truncated(t);
            break;
        }
        if ((*io_n)++)
            buf_byte(&t->out, ',');
        labels_json(&t->out, s.labels);
    }
    buf_done(&key);
    return err_first(e, series_set_close(set));
}

static struct err *run_series(struct prom_task *t)
{
    const struct labels_params *p = t->params;
    struct matchers *sets;
    struct map seen = {0};
    uint64_t n = 0;
    struct err *e = parse_sets(t, p, &sets);

    if (e)
        return e;
    buf_byte(&t->out, '[');
    for (size_t i = 0; !e && i < p->n_match; i++) {
        struct series_set *set;

        if (!(e = joined_series(&t->data, sets[i], p->start_ms, p->end_ms, &set)))
            e = series_json(t, p, set, &seen, &n);
    }
    buf_byte(&t->out, ']');
    map_done(&seen);
    sets_done(sets, p->n_match);
    return e;
}

/* ---- on a loop ---- */

static struct err *read_params(struct http_request *r, struct labels_params *p)
{
    struct slice *match;
    struct err *e;

    p->n_match = prom_api_values(r, "match[]", &match);
    p->match = match;
    if ((e = prom_param_limit("limit", http_param(r, "limit"), &p->limit)) ||
        (e = prom_param_time("start", http_param(r, "start"), -PROM_TIME_MAX_MS, &p->start_ms)) ||
        (e = prom_param_time("end", http_param(r, "end"), PROM_TIME_MAX_MS, &p->end_ms)))
        return e;
    return NULL;
}

static void answer(struct http_request *r, struct slice label, bool needs_match, prom_work_fn *work)
{
    struct labels_params *p = arena_new_of(r->arena, struct labels_params);
    struct slice tenant;
    struct err *e;

    if (!prom_api_begin(r, &tenant))
        return;
    p->label = label;
    p->is_series = needs_match;
    e = read_params(r, p);
    if (!e && needs_match && !p->n_match)
        e = err_new(ERR_INVALID, "no match[] parameter provided");
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, work, p);
}

void prom_labels_names(struct http_request *r)
{
    answer(r, (struct slice){0}, false, run_names);
}

void prom_labels_values(struct http_request *r)
{
    struct slice label;
    struct err *e = prom_param_label_name(r->arena, http_request_segment(r, "name"), &label);

    if (!prom_api_failed(r, e))
        answer(r, label, false, run_names);
}

void prom_labels_series(struct http_request *r)
{
    answer(r, (struct slice){0}, true, run_series);
}
