#include "alertmanager/amconf.h"
#include "alertmanager/amroute.h"
#include "tests/unit/test.h"

#define OK_TAIL "receivers: [{name: a}]\n"

static void refused(const char *text, const char *why)
{
    struct amconf *c;

    CHECK_ERR(amconf_parse("am.yml", slice_cstr(text), 0, &c), ERR_INVALID, why);
}

TEST(amconf_refuses_with_the_line)
{
    refused("route: {receiver: a}\nrecievers: []\n", "am.yml:2: config: unknown key recievers");
    refused("route:\n  receiver: a\n  group_wait: soon\n" OK_TAIL, "am.yml:3: group_wait");
    refused("route: {receiver: b}\n" OK_TAIL, "undefined receiver b");
    refused("route: {}\n" OK_TAIL, "default receiver");
    refused("route: {receiver: a, continue: true}\n" OK_TAIL, "continue in root");
    refused("route: {receiver: a, group_by: [x, x]}\n" OK_TAIL, "twice");
    refused("route: {receiver: a, group_by: ['...', x]}\n" OK_TAIL, "other labels");
    refused("route: {receiver: a, group_interval: 0s}\n" OK_TAIL, "group_interval cannot be zero");
    refused("route: {receiver: a, mute_time_intervals: [x]}\n" OK_TAIL, "mute_time_intervals");
    refused("route: {receiver: a, routes: [{active_time_intervals: [x]}]}\n" OK_TAIL,
            "undefined time interval x");
    refused("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]\n", "not unique");
    refused("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{}]}]\n",
            "webhook needs url|url_file");
    refused("route: {receiver: a}\nreceivers: [{name: a, slack_configs: [{channel: x}]}]\n",
            "slack needs");
    refused("route: {receiver: a, routes: [{match_re: {x: '('}}]}\n" OK_TAIL, "am.yml:1");
    refused("", "empty");
}

TEST(amconf_names_what_cannot_send_and_hides_secrets)
{
    struct amconf *c;

    CHECK_OK(
        amconf_parse("am.yml",
                     SLICE("global: {slack_api_url: 'https://hooks/SECRET'}\n"
                           "route: {receiver: a}\nreceivers:\n- name: a\n  slack_configs: "
                           "[{channel: x}, {update_message: true}, {update_message: false}]\n"
                           "  webhook_configs:\n"
                           "  - {url: 'http://h/SECRET', http_config: {bearer_token: SECRET}}\n"
                           "  - {url: 'http://h/', http_config: {proxy_url: 'http://p', "
                           "proxy_connect_header: {Proxy-Authorization: [SECRET]}, "
                           "oauth2: {client_id: x, token_url: y, grant_type: z}}}\n"),
                     0, &c));
    CHECK_INT(c->receivers[0].n, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct amconf_integration *in = &c->receivers[0].integrations[i];

        if (strcmp(in->kind, "slack") == 0)
            CHECK(!in->send_resolved && (in->index == 1) == (in->unsupported != NULL));
        else if (in->index == 0)
            CHECK(!in->unsupported && in->send_resolved);
        else
            CHECK(in->unsupported && strstr(in->unsupported, "oauth2.grant_type"));
    }
    CHECK(slice_find(c->shown, SLICE("SECRET"), 0) < 0);
    CHECK(slice_find(c->shown, SLICE("<secret>"), 0) > 0);
    amconf_unref(c);
}

TEST(amconf_of_tenants_reads_nothing_of_the_host)
{
    static const char *const parts[] = {
        "slack_configs: [{api_url_file: /etc/passwd}]",
        "webhook_configs: [{url: 'http://h', http_config: {tls_config: {ca_file: /x}}}]",
        "webhook_configs: [{url: 'http://h', http_config: {http_headers: {A: {files: [/x]}}}}]",
        "webhook_configs: [{url: 'http://h', http_config: {proxy_from_environment: true}}]",
    };

    struct amconf *c;

    for (size_t i = 0; i < ORR_COUNT(parts); i++) {
        char text[300];

        snprintf(text, sizeof(text), "receivers:\n- name: a\n  %s\n", parts[i]);
        CHECK_ERR(amconf_parse("t.yml", slice_cstr(text), AMCONF_NO_ROUTE | AMCONF_OF_TENANT, &c),
                  ERR_INVALID, "t.yml:3: ");
        CHECK_OK(amconf_parse("t.yml", slice_cstr(text), AMCONF_NO_ROUTE, &c));
        amconf_unref(c);
    }
    CHECK_OK(amconf_parse(
        "t.yml",
        SLICE("receivers:\n- name: a\n  pagerduty_configs: [{routing_key: k, details: "
              "{log_file: /x}, http_config: {http_headers: {a_file: {values: [b]}}}}]\n"),
        AMCONF_NO_ROUTE | AMCONF_OF_TENANT, &c));
    amconf_unref(c);
}

#define HEADER(name) "http_config: {http_headers: {" name ": {values: ['0']}}}"

/* Connections are shared by tenants: a request whose length another says could hold the next one. */
TEST(amconf_lets_nobody_say_where_a_request_ends)
{
    refused("global: {" HEADER("content-Length") "}\nroute: {receiver: a}\n" OK_TAIL,
            "am.yml:1: http_headers: content-Length is not allowed");
    refused("route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - {url: "
            "'http://h', " HEADER("Transfer-Encoding") "}\n",
            "am.yml:5: http_headers: Transfer-Encoding");
    refused("global: {" HEADER("'Content-Length '") "}\nroute: {receiver: a}\n" OK_TAIL,
            "is not allowed");
    refused("global: {" HEADER("Host") "}\nroute: {receiver: a}\n" OK_TAIL, "is not allowed");
}

static void take(void *arg, const struct amroute *r)
{
    buf_printf(arg, "%.*s %.*s\n", SLICE_ARG(r->receiver->name), SLICE_ARG(r->id));
}

TEST(amconf_routes_inherit_and_match)
{
    struct label ls[] = {{SLICE_INIT("s"), SLICE_INIT("page")},
                         {SLICE_INIT("t"), SLICE_INIT("db")}};
    struct labels labels = {ls, 2};
    struct buf b = {0};
    struct amconf *c;

    CHECK_OK(amconf_parse("am.yml",
                          SLICE("route:\n  receiver: a\n  group_by: [s]\n  routes:\n"
                                "  - {receiver: b, match: {t: db}, continue: true}\n"
                                "  - {matchers: ['s=~\"p.*\"'], group_by: []}\n"
                                "  - {match: {s: page}}\n"
                                "receivers: [{name: a}, {name: b}]\n"),
                          0, &c));
    amroute_match(c->root, labels, take, &b);
    CHECK_SLICE(buf_slice(&b), "b {}/{t=\"db\"}/0\na {}/{s=~\"p.*\"}/1\n");
    CHECK_INT(c->root->routes[0]->n_group_by, 1);
    CHECK_INT(c->root->routes[1]->n_group_by, 0);
    CHECK_INT(c->root->routes[0]->repeat_interval_ms, 4 * 3600 * 1000);
    buf_done(&b);
    amconf_unref(c);
}

TEST(amconf_default_tells_nobody)
{
    struct amconf *c = amconf_default();

    CHECK_SLICE(c->root->receiver->name, "null");
    CHECK_INT(c->root->receiver->n, 0);
    amconf_unref(c);
}

static void take_last(void *arg, const struct amroute *route)
{
    *(const struct amroute **)arg = route;
}

static void check_route_labels(const struct amconf *conf, struct labels ls, const char *want)
{
    struct arena *a = arena_new(0);
    const struct amroute *route = NULL;
    struct template_am data = {.group_labels = ls};
    uint64_t steps = AMROUTE_LABEL_STEPS;
    struct buf b = {0};

    amroute_match(conf->root, ls, take_last, &route);
    labels_json(&b, amroute_labels(a, conf, route, &data, &steps));
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    arena_free(a);
}

TEST(amconf_labels_of_routes_are_inherited_replaced_and_ask_for_each_other)
{
    struct label l[] = {{SLICE("alertname"), SLICE("X")}, {SLICE("db"), SLICE("orders")}};
    struct amconf *conf = NULL;

    CHECK_OK(amconf_parse(
        "am.yml",
        SLICE(
            "route:\n  receiver: a\n  labels:\n    why: '{{ .GroupLabels.alertname }}'\n"
            "    text: 'fires ({{ routeLabels \"why\" }})'\n    bad: '{{ template \"no\" }}'\n"
            "  routes:\n  - {matchers: [db!=\"\"], labels: {why: 'of {{ .GroupLabels.db }}', more: "
            "m}}\n"
            "  - {matchers: [loop!=\"\"], labels: {why: '{{ routeLabels \"text\" }}'}}\n" OK_TAIL),
        0, &conf));
    check_route_labels(conf, (struct labels){l, 1}, "{\"text\":\"fires (X)\",\"why\":\"X\"}");
    check_route_labels(conf, (struct labels){l, 2},
                       "{\"more\":\"m\",\"text\":\"fires (of orders)\",\"why\":\"of orders\"}");
    l[0] = (struct label){SLICE("loop"), SLICE("1")}; /* it ends */
    check_route_labels(conf, (struct labels){l, 1},
                       "{\"text\":\"fires (fires (fires (fires ())))\",\"why\":\"fires (fires "
                       "(fires (fires ())))\"}");
    amconf_unref(conf);
    refused("route: {receiver: a,\n labels: {a: '{{ if }}'}}\n" OK_TAIL, "am.yml:2");
}

/* They are run while a loop waits. */
TEST(amconf_labels_of_routes_are_bounded)
{
    struct buf text = {0};
    struct amconf *conf = NULL;
    struct arena *a = arena_new(64u << 20);
    struct template_am_alert alerts[1000] = {0};
    struct template_am data = {.alerts = alerts, .n_alerts = ORR_COUNT(alerts)};
    uint64_t steps = AMROUTE_LABEL_STEPS;
    struct label ls[] = {{SLICE("a"), SLICE("1")}, {SLICE("b"), SLICE("2")}};

    for (size_t i = 0; i < ORR_COUNT(alerts); i++)
        alerts[i].labels = alerts[i].annotations = (struct labels){ls, 2};
    buf_str(&text, "route:\n  receiver: a\n  labels:\n");
    for (int i = 0; i < 100; i++)
        buf_printf(&text,
                   "    l%02d: 'x{{ range .Alerts }}{{ if eq .Status \"\" }}{{ end }}{{ end }}'\n",
                   i);
    buf_str(&text, OK_TAIL);
    CHECK_OK(amconf_parse("am.yml", buf_slice(&text), 0, &conf));
    CHECK(amroute_labels(a, conf, conf->root, &data, &steps).n < 50);
    CHECK_INT(steps, 0);
    CHECK_INT(amroute_labels(a, conf, conf->root, &data, &steps).n, 0);
    CHECK(!arena_over(a)); /* the data of the alerts is made once */
    amconf_unref(conf);
    arena_free(a);
    buf_reset(&text);
    buf_str(&text, "route:\n  receiver: a\n  labels:\n");
    for (int i = 0; i < 101; i++)
        buf_printf(&text, "    l%02d: x\n", i);
    buf_str(&text, OK_TAIL);
    refused(buf_cstr(&text), "am.yml:104: labels: a route has at most 100");
    buf_done(&text);
}
