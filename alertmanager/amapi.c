#include "alertmanager/amapi.h"

#include <inttypes.h>
#include <stdlib.h>

#include "alertmanager/amroute.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define MAX_PARAMS 1000
#define ARENA_BYTES (16u << 20)

struct ask {
    const struct amapi_view *view;
    struct arena *arena;
    struct http_param *params;
    size_t n_params;
    struct ammatch *filters;
    size_t n_filters;
    struct re *receiver; /* NULL: any */
    bool active, inhibited, muted;
    struct buf *out;
};

void amapi_error(struct amapi_answer *a, struct err *e)
{
    a->status = err_code_http(err_code(e));
    buf_reset(&a->body);
    buf_json_str(&a->body, slice_cstr(err_msg(e)));
    buf_byte(&a->body, '\n');
    err_free(e);
}

void amapi_encode(struct buf *out, struct slice what, const struct http_param *params, size_t n)
{
    buf_lstr(out, what);
    for (size_t i = 0; i < n; i++) {
        buf_lstr(out, params[i].name);
        buf_lstr(out, params[i].value);
    }
}

/* ---- the question ---- */

static struct err *read_question(struct ask *a, struct slice bytes, struct slice *ret_what)
{
    struct reader r = reader_new(bytes);

    *ret_what = reader_lstr(&r);
    a->params = arena_array(a->arena, struct http_param, MAX_PARAMS);
    while (reader_ok(&r) && reader_left(&r)) {
        if (a->n_params == MAX_PARAMS)
            return err_new(ERR_LIMIT, "more than %d parameters", MAX_PARAMS);
        a->params[a->n_params].name = reader_lstr(&r);
        a->params[a->n_params++].value = reader_lstr(&r);
    }
    return reader_ok(&r) ? NULL : err_new(ERR_INVALID, "malformed question");
}

static struct err *truth(const struct ask *a, const char *name, bool *ret)
{
    *ret = true;
    for (size_t i = 0; i < a->n_params; i++) {
        struct slice v = a->params[i].value;

        if (!slice_eq_cstr(a->params[i].name, name))
            continue;
        if (slice_eq_cstr(v, "false") || slice_eq_cstr(v, "0"))
            *ret = false;
        else if (!slice_eq_cstr(v, "true") && !slice_eq_cstr(v, "1"))
            return err_new(ERR_INVALID, "%s: true or false is wanted", name);
        return NULL;
    }
    return NULL;
}

static struct err *read_receiver(struct ask *a, struct slice pattern)
{
    struct slice whole = slice_cstr(arena_printf(a->arena, "(?-s:%.*s)", SLICE_ARG(pattern)));

    return a->receiver || !pattern.len ? NULL : re_compile(whole, RE_ANCHORED, &a->receiver);
}

static struct err *read_filters(struct ask *a)
{
    bool silenced, unprocessed;
    struct err *e;

    if ((e = truth(a, "active", &a->active)) || (e = truth(a, "inhibited", &a->inhibited)) ||
        (e = truth(a, "silenced", &silenced)) || (e = truth(a, "unprocessed", &unprocessed)) ||
        (e = truth(a, "muted", &a->muted)))
        return e;
    a->filters = arena_array(a->arena, struct ammatch, a->n_params + 1);
    for (size_t i = 0; !e && i < a->n_params; i++) {
        struct slice name = a->params[i].name, v = a->params[i].value;

        if (slice_eq_cstr(name, "filter")) {
            if (!(e = ammatch_parse(a->arena, AMMATCH_FALLBACK, v, &a->filters[a->n_filters])))
                a->n_filters++;
        } else if (slice_eq_cstr(name, "receiver")) {
            e = read_receiver(a, v);
        } else if (slice_eq_cstr(name, "receiver_matchers")) {
            e = err_new(ERR_UNSUPPORTED, "receiver_matchers is not supported");
        }
    }
    return e;
}

/* ---- alerts ---- */

struct receivers {
    struct slice *names;
    size_t n, cap;
    struct arena *arena;
};

static void add_receiver(void *arg, const struct amroute *route)
{
    struct receivers *r = arg;

    for (size_t i = 0; i < r->n; i++)
        if (slice_eq(r->names[i], route->receiver->name))
            return;
    if (r->n == r->cap) {
        size_t cap = ORR_MAX(8, r->cap * 2);

        r->names =
            arena_grow(r->arena, r->names, r->cap * sizeof(*r->names), cap * sizeof(*r->names));
        r->cap = cap;
    }
    r->names[r->n++] = route->receiver->name;
}

static struct receivers receivers_of(const struct ask *a, const struct alert *al)
{
    struct receivers r = {.arena = a->arena};

    amroute_match(a->view->conf->root, al->labels, add_receiver, &r);
    return r;
}

static bool wants_receiver(const struct ask *a, const struct receivers *r)
{
    for (size_t i = 0; a->receiver && i < r->n; i++)
        if (re_match(a->receiver, r->names[i]))
            return true;
    return !a->receiver;
}

static const struct alert *inhibitor(const struct ask *a, const struct alert *al)
{
    return dispatch_inhibitor(a->view->dispatch, al->labels, a->view->now_ns);
}

static bool wants(const struct ask *a, const struct alert *al)
{
    const struct alert *by;

    if (alert_is_resolved(al, a->view->now_ns))
        return false;
    for (size_t i = 0; i < a->n_filters; i++)
        if (!ammatch_matches(&a->filters[i], al->labels))
            return false;
    by = inhibitor(a, al);
    return by ? a->inhibited : a->active;
}

static void put_alert(struct ask *a, const struct alert *al, const struct receivers *r)
{
    const struct alert *by = inhibitor(a, al);
    struct buf *o = a->out;

    buf_str(o, "{\"annotations\":");
    labels_json(o, al->annotations);
    buf_str(o, ",\"endsAt\":\"");
    alert_time_api(o, al->ends_ns);
    buf_printf(o, "\",\"fingerprint\":\"%016" PRIx64 "\",\"receivers\":[", al->fingerprint);
    for (size_t i = 0; i < r->n; i++) {
        buf_str(o, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(o, r->names[i]);
        buf_byte(o, '}');
    }
    buf_str(o, "],\"startsAt\":\"");
    alert_time_api(o, al->starts_ns);
    buf_str(o, "\",\"status\":{\"inhibitedBy\":[");
    if (by)
        buf_printf(o, "\"%016" PRIx64 "\"", by->fingerprint);
    buf_printf(o, "],\"mutedBy\":[],\"silencedBy\":[],\"state\":\"%s\"},\"updatedAt\":\"",
               by ? "suppressed" : "active");
    alert_time_api(o, al->updated_ns);
    buf_str(o, "\",\"generatorURL\":");
    buf_json_str(o, al->generator_url);
    buf_str(o, ",\"labels\":");
    labels_json(o, al->labels);
    buf_byte(o, '}');
}

static int cmp_fingerprint(const void *a, const void *b)
{
    const struct alert *x = *(struct alert *const *)a, *y = *(struct alert *const *)b;

    return (x->fingerprint > y->fingerprint) - (x->fingerprint < y->fingerprint);
}

typedef VEC(const struct alert *) view_vec;

static void sorted(const struct ask *a, const struct map *alerts, view_vec *ret)
{
    MAP_FOREACH (e, alerts)
        if (wants(a, e->value))
            vec_push(ret, (const struct alert *)e->value);
    if (ret->len)
        qsort(ret->ptr, ret->len, sizeof(*ret->ptr), cmp_fingerprint);
}

static void get_alerts(struct ask *a)
{
    view_vec v = {0};
    bool any = false;

    buf_byte(a->out, '[');
    if (a->view->dispatch)
        sorted(a, dispatch_alerts(a->view->dispatch), &v);
    VEC_FOREACH (al, &v) {
        struct receivers r = receivers_of(a, *al);

        if (!wants_receiver(a, &r))
            continue;
        buf_str(a->out, any ? "," : "");
        put_alert(a, *al, &r);
        any = true;
    }
    buf_str(a->out, "]\n");
    vec_done(&v);
}

static void put_group(void *arg, const struct dispatch_group_view *g)
{
    struct ask *a = arg;
    struct slice name = g->route->receiver->name;
    struct receivers only = {.names = &name, .n = 1};
    view_vec v = {0};

    if (wants_receiver(a, &only))
        sorted(a, g->alerts, &v);
    if (v.len) {
        if (a->out->ptr[a->out->len - 1] != '[')
            buf_byte(a->out, ',');
        buf_str(a->out, "{\"alerts\":[");
        VEC_FOREACH (al, &v) {
            struct receivers r = receivers_of(a, *al);

            buf_str(a->out, al == v.ptr ? "" : ",");
            put_alert(a, *al, &r);
        }
        buf_str(a->out, "],\"labels\":");
        labels_json(a->out, g->labels);
        buf_str(a->out, ",\"receiver\":{\"name\":");
        buf_json_str(a->out, name);
        buf_str(a->out, "}}");
    }
    vec_done(&v);
}

static void get_groups(struct ask *a)
{
    buf_byte(a->out, '[');
    if (a->view->dispatch)
        dispatch_each_group(a->view->dispatch, put_group, a);
    buf_str(a->out, "]\n");
}

/* ---- receivers and status ---- */

static void get_receivers(struct ask *a)
{
    const struct amconf *c = a->view->conf;

    buf_byte(a->out, '[');
    for (size_t i = 0; i < c->n_receivers; i++) {
        buf_str(a->out, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(a->out, c->receivers[i].name);
        buf_byte(a->out, '}');
    }
    buf_str(a->out, "]\n");
}

static void put_unsupported(struct ask *a)
{
    const struct amconf *c = a->view->conf;
    struct buf b = {0};
    bool any = false;

    buf_byte(a->out, '[');
    for (size_t i = 0; i < c->n_receivers; i++)
        for (size_t k = 0; k < c->receivers[i].n; k++) {
            const struct amconf_integration *in = &c->receivers[i].integrations[k];

            if (!in->unsupported)
                continue;
            buf_reset(&b);
            buf_printf(&b, "receiver %.*s: %s[%zu]: %s: notifications fail",
                       SLICE_ARG(c->receivers[i].name), in->kind, in->index, in->unsupported);
            buf_str(a->out, any ? "," : "");
            buf_json_str(a->out, buf_slice(&b));
            any = true;
        }
    if (c->has_route_labels)
        buf_str(a->out, any ? ",\"labels of routes\"" : "\"labels of routes\"");
    buf_byte(a->out, ']');
    buf_done(&b);
}

static void get_status(struct ask *a)
{
    const struct amapi_view *v = a->view;
    struct buf *o = a->out;

    buf_str(o, "{\"cluster\":{\"name\":");
    buf_json_str(o, slice_cstr(v->instance));
    buf_printf(o, ",\"status\":\"%s\",\"peers\":[", v->is_ready ? "ready" : "settling");
    for (size_t i = 0; i < v->n_peers; i++) {
        buf_str(o, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(o, slice_cstr(v->peers[i].name));
        buf_str(o, ",\"address\":");
        buf_json_str(o, slice_cstr(v->peers[i].address));
        buf_byte(o, '}');
    }
    buf_str(o, "]},\"versionInfo\":{\"version\":\"" ORR_VERSION
               "\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
               "\"goVersion\":\"\"},\"config\":{\"original\":");
    buf_json_str(o, v->conf->shown);
    buf_str(o, "},\"unsupported\":");
    put_unsupported(a);
    buf_str(o, ",\"uptime\":\"");
    alert_time_api(o, v->start_ns);
    buf_str(o, "\"}\n");
}

void amapi_ask(const struct amapi_view *v, struct slice question, struct amapi_answer *ret)
{
    struct ask a = {.view = v, .arena = arena_new(ARENA_BYTES), .out = &ret->body};
    struct slice what = SLICE_EMPTY;
    struct err *e = read_question(&a, question, &what);

    ret->status = 200;
    if (!e)
        e = read_filters(&a);
    if (!e) {
        if (slice_eq_cstr(what, "alerts"))
            get_alerts(&a);
        else if (slice_eq_cstr(what, "alerts/groups"))
            get_groups(&a);
        else if (slice_eq_cstr(what, "receivers"))
            get_receivers(&a);
        else if (slice_eq_cstr(what, "status"))
            get_status(&a);
        else
            e = err_new(ERR_NOT_FOUND, "no such page: %.*s", SLICE_ARG(what));
    }
    if (!e && arena_over(a.arena))
        e = err_new(ERR_LIMIT, "the answer needs more than %u bytes", ARENA_BYTES);
    if (e)
        amapi_error(ret, e);
    for (size_t i = 0; i < a.n_filters; i++)
        ammatch_done(&a.filters[i]);
    re_free(a.receiver);
    arena_free(a.arena);
}
