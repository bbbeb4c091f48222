/* alertmanager/: matchers, configuration, routing, time intervals, inhibition, notifications, the whole pipeline. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "alertmanager/amconf.h"
#include "alertmanager/ammatch.h"
#include "alertmanager/amroute.h"
#include "alertmanager/dispatch.h"
#include "alertmanager/inhibit.h"
#include "alertmanager/notify_render.h"
#include "common/base/base64.h"
#include "common/base/gotime.h"
#include "common/base/mem.h"
#include "tests/conformance/conformance.h"

#define SERVER "http://server" /* of the receivers */

static struct slice text_of(const json_t *s)
{
    return s ? slice_of(json_string_value(s), json_string_length(s)) : SLICE_EMPTY;
}

static struct labels labels_of(struct arena *a, const json_t *object)
{
    struct label *ls = arena_array(a, struct label, json_object_size(object) + 1);
    struct slice dup;
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)object, key, value)
    {
        if (json_string_length(value) == 0)
            continue;
        ls[n++] = (struct label){slice_cstr(key), text_of(value)};
    }
    (void)labels_sort(ls, n, &dup);
    return (struct labels){ls, n};
}

static json_t *text_json(struct slice s)
{
    return json_stringn_nocheck((const char *)s.ptr, s.len);
}

/* ---- matchers ---- */

static json_t *matcher_json(const struct ammatch *m)
{
    json_t *ret = json_array();

    json_array_append_new(ret, text_json(m->name));
    json_array_append_new(ret, json_string(matcher_op_text(m->op)));
    json_array_append_new(ret, text_json(m->value));
    return ret;
}

static void check_one(struct conformance *c, const char *name, enum ammatch_mode mode,
                      struct slice input, const json_t *want)
{
    struct ammatch m;
    struct err *e = ammatch_parse(c->arena, mode, input, &m);
    bool ok = !e;

    if (!conformance_check_ok(c, name, e, json_object_get(want, "matcher") != NULL)) {
        if (ok)
            ammatch_done(&m);
        return;
    }
    if (ok) {
        json_t *got = matcher_json(&m);

        (void)conformance_check_json(c, name, got, json_object_get(want, "matcher"));
        json_decref(got);
        ammatch_done(&m);
    }
}

static json_t *load_label_sets(struct conformance *c)
{
    struct slice text = SLICE_EMPTY;
    struct err *e = conformance_read(c, "matcher_label_sets.json", &text);
    json_t *ret;

    err_free(e);
    ret = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    return ret ? ret : json_array();
}

static void check_list(struct conformance *c, const char *name, enum ammatch_mode mode,
                       struct slice input, const json_t *want)
{
    struct ammatch_list l = {0};
    struct err *e = ammatch_parse_list(c->arena, mode, input, &l);
    json_t *got, *matches, *sets, *set;
    struct buf b = {0};
    bool ok = !e;
    size_t i;

    if (!conformance_check_ok(c, name, e, json_object_get(want, "matchers") != NULL) || !ok) {
        ammatch_list_done(&l);
        return;
    }
    got = json_array();
    for (i = 0; i < l.n; i++)
        json_array_append_new(got, matcher_json(&l.ptr[i]));
    (void)conformance_check_json(c, name, got, json_object_get(want, "matchers"));
    ammatch_list_text(&b, &l);
    (void)conformance_check_text(c, name, buf_slice(&b), text_of(json_object_get(want, "string")));
    matches = json_array();
    sets = load_label_sets(c);
    json_array_foreach(sets, i, set) json_array_append_new(
        matches, json_boolean(ammatch_list_matches(&l, labels_of(c->arena, set))));
    (void)conformance_check_json(c, name, matches, json_object_get(want, "matches"));
    json_decref(got);
    json_decref(matches);
    json_decref(sets);
    buf_done(&b);
    ammatch_list_done(&l);
}

CONFORMANCE(alertmanager, matcher_cases)
{
    static const struct {
        const char *name;
        enum ammatch_mode mode;
    } modes[] = {
        {"classic", AMMATCH_CLASSIC}, {"utf8", AMMATCH_UTF8}, {"fallback", AMMATCH_FALLBACK}};
    struct slice input = conformance_text(c, "input");

    for (size_t i = 0; i < ORR_COUNT(modes); i++) {
        const json_t *want = conformance_get(c, modes[i].name);

        check_one(c, modes[i].name, modes[i].mode, input, want);
        check_list(c, modes[i].name, modes[i].mode, input, want);
    }
}

/* ---- configuration and routes ---- */

static json_t *route_json(const struct amroute *r, bool is_deep)
{
    json_t *ret = json_object(), *by = json_array(), *list;

    for (size_t i = 0; i < r->n_group_by; i++)
        json_array_append_new(by, text_json(r->group_by[i]));
    json_object_set_new(ret, "continue", json_boolean(r->is_continue));
    json_object_set_new(ret, "group_by", by);
    json_object_set_new(ret, "group_by_all", json_boolean(r->group_by_all));
    json_object_set_new(ret, "group_interval_ms", json_integer(r->group_interval_ms));
    json_object_set_new(ret, "group_wait_ms", json_integer(r->group_wait_ms));
    json_object_set_new(ret, "repeat_interval_ms", json_integer(r->repeat_interval_ms));
    json_object_set_new(ret, "id", text_json(r->id));
    json_object_set_new(ret, "key", text_json(r->key));
    json_object_set_new(ret, "receiver", text_json(r->receiver->name));
    if (r->n_mute) {
        json_object_set_new(ret, "mute_time_intervals", list = json_array());
        for (size_t i = 0; i < r->n_mute; i++)
            json_array_append_new(list, text_json(r->mute_names[i]));
    }
    if (r->n_active) {
        json_object_set_new(ret, "active_time_intervals", list = json_array());
        for (size_t i = 0; i < r->n_active; i++)
            json_array_append_new(list, text_json(r->active_names[i]));
    }
    if (is_deep && r->n_routes) {
        json_object_set_new(ret, "routes", list = json_array());
        for (size_t i = 0; i < r->n_routes; i++)
            json_array_append_new(list, route_json(r->routes[i], true));
    }
    return ret;
}

CONFORMANCE(alertmanager, config_cases)
{
    struct amconf *conf = NULL;
    struct err *e = amconf_parse("config", conformance_text(c, "config"), 0, &conf);
    json_t *receivers, *routes;

    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !conf) {
        amconf_unref(conf);
        return;
    }
    receivers = json_array();
    for (size_t i = 0; i < conf->n_receivers; i++)
        json_array_append_new(receivers, text_json(conf->receivers[i].name));
    routes = route_json(conf->root, true);
    (void)conformance_check_json(c, "receivers", receivers, conformance_get(c, "receivers"));
    (void)conformance_check_json(c, "routes", routes, conformance_get(c, "routes"));
    (void)conformance_check_int(c, "inhibit_rules", (int64_t)conf->n_inhibit,
                                conformance_int(c, "inhibit_rules"));
    json_decref(receivers);
    json_decref(routes);
    amconf_unref(conf);
}

struct routing {
    struct conformance *c;
    struct labels ls;
    json_t *routes;
};

static void add_route(void *arg, const struct amroute *r)
{
    struct routing *t = arg;
    struct labels group = amroute_group_labels(t->c->arena, r, t->ls);
    json_t *j = route_json(r, false), *labels = json_object();
    struct buf b = {0};

    for (size_t i = 0; i < group.n; i++) {
        struct slice name = arena_dup(t->c->arena, group.ptr[i].name);

        json_object_set_new(labels, arena_cstr(t->c->arena, name), text_json(group.ptr[i].value));
    }
    amroute_group_key(&b, r, group);
    json_object_set_new(j, "group_key", text_json(buf_slice(&b)));
    json_object_set_new(j, "group_labels", labels);
    json_array_append_new(t->routes, j);
    buf_done(&b);
}

CONFORMANCE(alertmanager, routing_cases)
{
    struct amconf *conf = NULL;
    struct err *e = amconf_parse("config", conformance_text(c, "config"), 0, &conf);
    json_t *check;
    size_t i;

    if (!conformance_check_ok(c, "config", e, true))
        return;
    json_array_foreach(conformance_get(c, "checks"), i, check)
    {
        struct routing t = {
            .c = c,
            .ls = labels_of(c->arena, json_object_get(check, "labels")),
            .routes = json_array(),
        };
        char fp[24];

        snprintf(fp, sizeof(fp), "%016" PRIx64, amroute_fingerprint(t.ls));
        (void)conformance_check_text(c, "fingerprint", slice_cstr(fp),
                                     text_of(json_object_get(check, "fingerprint")));
        amroute_match(conf->root, t.ls, add_route, &t);
        (void)conformance_check_json(c, "routes", t.routes, json_object_get(check, "routes"));
        json_decref(t.routes);
    }
    amconf_unref(conf);
}

/* ---- time intervals ---- */

CONFORMANCE(alertmanager, time_interval_cases)
{
    struct timeint_list l = {0};
    struct yaml_node *doc = NULL;
    struct err *e =
        yaml_load("time_intervals", conformance_text(c, "time_intervals"), c->arena, &doc);
    json_t *check;
    size_t i;

    if (!e)
        e = timeint_parse(c->arena, "time_intervals", doc, &l);
    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")))
        return;
    json_array_foreach(conformance_get(c, "contains"), i, check)
    {
        int64_t at = json_integer_value(json_array_get(check, 0));
        char what[40];

        snprintf(what, sizeof(what), "at %" PRId64, at);
        (void)conformance_check_bool(c, what, timeint_contains(&l, at),
                                     json_is_true(json_array_get(check, 1)));
    }
    timeint_list_done(&l);
}

/* ---- inhibition ---- */

static int64_t time_of(const json_t *s, int64_t absent)
{
    struct gotime t;
    struct err *e;

    if (!s)
        return absent;
    e = gotime_parse(SLICE(GOTIME_RFC3339), text_of(s), NULL, &t);
    ORR_ASSERT(!e);
    return t.unix_s * 1000000000ll + t.ns;
}

static struct alert *alert_of(struct conformance *c, const json_t *o)
{
    const json_t *url = json_object_get(o, "generatorURL");
    struct alert *a =
        alert_new(labels_of(c->arena, json_object_get(o, "labels")),
                  labels_of(c->arena, json_object_get(o, "annotations")), text_of(url));

    a->starts_ns = time_of(json_object_get(o, "startsAt"), 0);
    a->ends_ns = time_of(json_object_get(o, "endsAt"), 0);
    return a;
}

CONFORMANCE(alertmanager, inhibit_cases)
{
    struct amconf *conf = NULL;
    struct err *e = amconf_parse("config", conformance_text(c, "config"), AMCONF_NO_ROUTE, &conf);
    int64_t now = time_of(conformance_get(c, "now"), 0);
    struct inhibit *x = NULL;
    alert_vec alerts = {0};
    json_t *o;
    size_t i;

    if (!conformance_check_ok(c, "config", e, true))
        return;
    x = inhibit_new();
    json_array_foreach(conformance_get(c, "alerts"), i, o)
    {
        struct alert *a = alert_of(c, o);

        inhibit_put(x, conf, a);
        vec_push(&alerts, a);
    }
    json_array_foreach(conformance_get(c, "checks"), i, o)
    {
        struct labels ls = labels_of(c->arena, json_object_get(o, "labels"));
        char what[32];

        snprintf(what, sizeof(what), "check %zu", i);
        (void)conformance_check_bool(c, what, inhibit_find(x, conf, ls, now) != NULL,
                                     json_is_true(json_object_get(o, "inhibited")));
    }
    inhibit_free(x);
    alert_vec_done(&alerts);
    amconf_unref(conf);
}

/* ---- the whole pipeline on a virtual clock ---- */

struct pipeline {
    struct conformance *c;
    struct dispatch *d;
    struct silences *silences;
    struct map failing;     /* receivers */
    struct map silence_ids; /* name → char *, heap */
    int64_t start_ns, now_ns;
    json_t *got;
    VEC(uint64_t) ids; /* sends to be answered, and how */
    VEC(bool) oks;
};

static int64_t whole_second(int64_t ns)
{
    return ns - ns % 1000000000;
}

static json_t *told_alert(const struct alert *a, int64_t now_ns)
{
    bool is_resolved = alert_is_resolved(a, now_ns);
    json_t *ret = json_object(), *o;
    struct buf b = {0};

    labels_json(&b, a->labels);
    json_object_set_new(ret, "labels", json_loadb((char *)b.ptr, b.len, 0, NULL));
    buf_reset(&b);
    labels_json(&b, a->annotations);
    o = json_loadb((char *)b.ptr, b.len, 0, NULL);
    if (json_object_size(o))
        json_object_set(ret, "annotations", o);
    json_decref(o);
    buf_reset(&b);
    alert_time_text(&b, whole_second(a->starts_ns)); /* as the cases have them */
    json_object_set_new(ret, "startsAt", text_json(buf_slice(&b)));
    buf_reset(&b);
    alert_time_text(&b, is_resolved ? whole_second(a->ends_ns) : INT64_MIN);
    json_object_set_new(ret, "endsAt", text_json(buf_slice(&b)));
    json_object_set_new(ret, "status", json_string(is_resolved ? "resolved" : "firing"));
    buf_done(&b);
    return ret;
}

static void on_pipeline_send(void *arg, const struct dispatch_note *n)
{
    struct pipeline *p = arg;
    bool ok = !map_has(&p->failing, n->receiver);
    json_t *o, *alerts;
    struct buf b = {0};

    vec_push(&p->ids, n->id);
    vec_push(&p->oks, ok);
    if (!ok)
        return;
    o = json_object();
    alerts = json_array();
    VEC_FOREACH (a, n->alerts)
        json_array_append_new(alerts, told_alert(*a, n->now_ns));
    labels_json(&b, n->group_labels);
    json_object_set_new(o, "alerts", alerts);
    json_object_set_new(o, "at_ms", json_integer((p->now_ns - p->start_ns) / 1000000));
    json_object_set_new(o, "group_key", text_json(n->group_key));
    json_object_set_new(o, "group_labels", json_loadb((char *)b.ptr, b.len, 0, NULL));
    json_object_set_new(o, "reason", json_string(nflog_reason_text(n->reason)));
    json_object_set_new(o, "receiver", text_json(n->receiver));
    json_array_append_new(p->got, o);
    buf_done(&b);
}

static void on_pipeline_logged(void *arg, struct slice key)
{
    (void)arg;
    (void)key;
}

static unsigned pipeline_position(void *arg, struct slice key)
{
    (void)arg;
    (void)key;
    return 0;
}

static struct dispatch_now pipeline_now(const struct pipeline *p)
{
    return (struct dispatch_now){p->now_ns - p->start_ns, p->now_ns};
}

/* Runs the dispatcher up to and including a time. */
static void run_until(struct pipeline *p, int64_t until_ns)
{
    for (;;) {
        int64_t next = dispatch_next_ns(p->d) + p->start_ns;

        if (next > until_ns)
            break;
        p->now_ns = ORR_MAX(p->now_ns, next);
        dispatch_tick(p->d, pipeline_now(p));
        for (size_t i = 0; i < p->ids.len; i++)
            dispatch_sent(p->d, p->ids.ptr[i], p->oks.ptr[i], false, pipeline_now(p));
        vec_clear(&p->ids);
        vec_clear(&p->oks);
    }
    p->now_ns = until_ns;
}

static void set_silence(struct pipeline *p, const json_t *o)
{
    struct silences_matcher ms[8];
    struct silences_spec spec = {.matchers = ms,
                                 .starts_ns = time_of(json_object_get(o, "startsAt"), 0),
                                 .ends_ns = time_of(json_object_get(o, "endsAt"), 0)};
    struct slice id = SLICE_EMPTY;
    json_t *text;
    size_t i;

    json_array_foreach(json_object_get(o, "matchers"), i, text)
    {
        struct ammatch m;
        struct err *e = ammatch_parse(p->c->arena, AMMATCH_FALLBACK, text_of(text), &m);

        if (!conformance_check_ok(p->c, "matcher", e, true) || i == ORR_COUNT(ms))
            return;
        ms[spec.n_matchers++] = (struct silences_matcher){m.op, m.name, m.value};
        ammatch_done(&m);
    }
    (void)conformance_check_ok(p->c, "set_silence",
                               silences_set(p->silences, SLICE("t"), &spec, NULL, p->now_ns, &id),
                               true);
    mem_free(map_put(&p->silence_ids, text_of(json_object_get(o, "name")), slice_dup(id)));
}

static void expire_silence(struct pipeline *p, struct slice name)
{
    const char *id = map_get(&p->silence_ids, name);

    (void)conformance_check_ok(
        p->c, "expire_silence",
        silences_expire(p->silences, SLICE("t"), slice_cstr(id ? id : ""), p->now_ns), true);
}

static void run_event(struct pipeline *p, const json_t *ev)
{
    const json_t *silence = json_object_get(ev, "set_silence");
    const json_t *over = json_object_get(ev, "expire_silence");
    const json_t *alerts = json_object_get(ev, "post_alerts");
    const json_t *fails = json_object_get(ev, "fail_receivers");
    const char *name;
    json_t *value;

    run_until(p, p->start_ns + json_integer_value(json_object_get(ev, "at_ms")) * 1000000);
    if (alerts) {
        char *text = json_dumps(alerts, 0);
        alert_vec v = {0};
        struct err *e =
            alert_from_json(slice_cstr(text), p->now_ns,
                            dispatch_conf(p->d)->resolve_timeout_ms * 1000000, &v, NULL);

        (void)conformance_check_ok(p->c, "post", e, true);
        err_free(dispatch_put(p->d, &v, pipeline_now(p)));
        alert_vec_done(&v);
        free(text);
    }
    if (silence)
        set_silence(p, silence);
    if (over)
        expire_silence(p, text_of(over));
    json_object_foreach((json_t *)fails, name, value)
    {
        if (json_is_true(value))
            (void)map_put(&p->failing, slice_cstr(name), p);
        else
            (void)map_del(&p->failing, slice_cstr(name));
    }
}

static int cmp_told(const void *a, const void *b)
{
    char *x = json_dumps(*(json_t *const *)a, JSON_SORT_KEYS);
    char *y = json_dumps(*(json_t *const *)b, JSON_SORT_KEYS);
    json_int_t tx = json_integer_value(json_object_get(*(json_t *const *)a, "at_ms"));
    json_int_t ty = json_integer_value(json_object_get(*(json_t *const *)b, "at_ms"));
    int c = tx != ty ? (tx > ty ? 1 : -1) : strcmp(x, y);

    free(x);
    free(y);
    return c;
}

static json_t *sorted(const json_t *list)
{
    VEC(json_t *) v = {0};
    json_t *ret = json_array(), *o;
    size_t i;

    json_array_foreach(list, i, o)
    {
        /* sets: the order within a notification is not told */
        json_t *alerts = json_object_get(o, "alerts");

        vec_push(&v, o);
        if (alerts)
            json_object_set_new(o, "alerts", sorted(alerts));
    }
    if (v.len)
        qsort(v.ptr, v.len, sizeof(*v.ptr), cmp_told);
    for (i = 0; i < v.len; i++)
        json_array_append(ret, v.ptr[i]);
    vec_done(&v);
    return ret;
}

CONFORMANCE(alertmanager, pipeline_cases)
{
    struct silences_opts silences = {.retention_ns = 120 * 3600 * 1000000000ll};
    struct pipeline p = {.c = c, .got = json_array(), .silences = silences_new(&silences)};
    struct dispatch_ops ops = {on_pipeline_send, on_pipeline_logged, pipeline_position, NULL, &p};
    struct nflog *log = nflog_new();
    struct dispatch_opts opts = {
        .tenant = SLICE_INIT("t"), .log = log, .silences = p.silences, .seed = 1};
    struct amconf *conf = NULL;
    json_t *ev, *got, *want;
    size_t i;

    if (!conformance_check_ok(
            c, "config", amconf_parse("config", conformance_text(c, "config"), 0, &conf), true))
        return;
    p.start_ns = p.now_ns = time_of(conformance_get(c, "start"), 0);
    p.d = dispatch_new(&opts, &ops, conf, pipeline_now(&p));
    json_array_foreach(conformance_get(c, "events"), i, ev) run_event(&p, ev);
    run_until(&p, p.start_ns + conformance_int(c, "length_s") * 1000000000);
    got = sorted(p.got);
    want = sorted(conformance_get(c, "notifications"));
    (void)conformance_check_json(c, "notifications", got, want);
    json_decref(got);
    json_decref(want);
    json_decref(p.got);
    dispatch_free(p.d);
    nflog_free(log);
    silences_free(p.silences);
    amconf_unref(conf);
    MAP_FOREACH (e, &p.silence_ids)
        mem_free(e->value);
    map_done(&p.silence_ids);
    map_done(&p.failing);
    vec_done(&p.ids);
    vec_done(&p.oks);
}

/* ---- notifications ---- */

static json_t *request_json(const struct notify_request *q)
{
    json_t *o = json_object(), *headers = json_object();
    json_t *body = json_loadb((const char *)q->body.ptr, q->body.len, 0, NULL);

    json_object_set_new(o, "method", json_string(q->method));
    json_object_set_new(o, "path", text_json(slice_from(q->url, strlen(SERVER))));
    if (body)
        json_object_set_new(o, "json", body);
    else
        json_object_set_new(o, "body", text_json(q->body));
    if (q->content_type)
        json_object_set_new(headers, "Content-Type", json_string(q->content_type));
    for (size_t i = 0; i < q->n_headers; i++) {
        const char *colon = strchr(q->headers[i], ':');
        char name[64] = "";

        memcpy(name, q->headers[i], ORR_MIN((size_t)(colon - q->headers[i]), sizeof(name) - 1));
        json_object_set_new(headers, name, json_string(colon + 2));
    }
    if (q->user) {
        struct buf b = {0}, value = {0};

        buf_printf(&b, "%s:%s", q->user, q->password);
        buf_str(&value, "Basic ");
        base64_encode(buf_slice(&b), true, &value);
        json_object_set_new(headers, "Authorization", text_json(buf_slice(&value)));
        buf_done(&b);
        buf_done(&value);
    }
    json_object_set_new(o, "headers", headers);
    return o;
}

static enum nflog_reason reason_of(const json_t *s)
{
    static const enum nflog_reason reasons[] = {
#define X(sym, text) sym,
        NFLOG_REASONS(X)
#undef X
    };

    for (size_t i = 0; i < ORR_COUNT(reasons); i++)
        if (slice_eq_cstr(text_of(s), nflog_reason_text(reasons[i])))
            return reasons[i];
    return NFLOG_NONE;
}

/* A receiver that takes everything. */
static json_t *tell(struct conformance *c, struct amconf *conf, const struct dispatch_note *note,
                    struct slice external_url)
{
    struct notify_render *r = notify_render_new(conf, note, external_url, note->now_ns);
    struct slice body = strcmp(note->integration->kind, "slack") == 0 ? SLICE("ok") : SLICE_EMPTY;
    json_t *got = json_array();

    for (;;) {
        const struct notify_request *q = NULL;
        bool may_retry;
        struct err *e = notify_render_next(r, &q, &may_retry);

        if (!conformance_check_ok(c, "request", e, true) || !q)
            break;
        json_array_append_new(got, request_json(q));
        e = notify_render_judge(r,
                                &(struct notify_answer){.status = 200,
                                                        .content_type = SLICE("text/plain"),
                                                        .body = body},
                                &may_retry);
        if (!conformance_check_ok(c, "judgement", e, true))
            break;
    }
    notify_render_free(r);
    return got;
}

CONFORMANCE(alertmanager, notify_cases)
{
    const json_t *data = conformance_get(c, "data");
    struct slice text = conformance_text(c, "config");
    struct buf config = {0};
    struct dispatch_note note = {
        .group_key = text_of(json_object_get(data, "group_key")),
        .group_labels = labels_of(c->arena, json_object_get(data, "group_labels")),
        .now_ns = time_of(conformance_get(c, "now"), 0),
        .reason = reason_of(json_object_get(data, "notification_reason")),
        .left_ms = 1000,
    };
    alert_vec alerts = {0};
    struct amconf *conf = NULL;
    json_t *got, *o;
    size_t i;

    for (ptrdiff_t at; (at = slice_find(text, SLICE("SERVER"), 0)) >= 0;
         text = slice_from(text, (size_t)at + 6)) {
        buf_slice_append(&config, slice_sub(text, 0, (size_t)at));
        buf_str(&config, SERVER);
    }
    buf_slice_append(&config, text);
    if (!conformance_check_ok(
            c, "config", amconf_parse("config", buf_slice(&config), AMCONF_NO_ROUTE, &conf), true))
        goto out;
    json_array_foreach(json_object_get(data, "alerts"), i, o) vec_push(&alerts, alert_of(c, o));
    note.alerts = &alerts;
    note.receiver = conf->receivers[0].name;
    note.integration = &conf->receivers[0].integrations[0];
    if (note.integration->unsupported) {
        conformance_skip(c, "%s", note.integration->unsupported);
        goto out;
    }
    (void)conformance_check_text(c, "integration", slice_cstr(note.integration->kind),
                                 conformance_text(c, "integration"));
    (void)conformance_check_bool(c, "send_resolved", note.integration->send_resolved,
                                 conformance_bool(c, "send_resolved"));
    got = tell(c, conf, &note, text_of(json_object_get(data, "external_url")));
    (void)conformance_check_json(c, "requests", got, conformance_get(c, "requests"));
    json_decref(got);
out:
    buf_done(&config);
    alert_vec_done(&alerts);
    amconf_unref(conf);
}
