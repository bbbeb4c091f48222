/* alertmanager/: matchers, configuration, routing, time intervals, inhibition. */
#include <inttypes.h>
#include <stdio.h>

#include "alertmanager/amconf.h"
#include "alertmanager/ammatch.h"
#include "alertmanager/amroute.h"
#include "common/base/mem.h"
#include "tests/conformance/conformance.h"

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
