#include "alertmanager/notify_render.h"
#include "common/base/fsx.h"
#include "tests/unit/alertmanager/notify_bench.h"
#include "tests/unit/test.h"

TEST(notify_render_expands_and_names_what_fails)
{
    struct notify_bench *t = notify_bench("webhook_configs: [{url: 'http://h/{{ .Status }}?a={{ "
                                          "(index .Alerts 0).Labels.a }}'}]");

    CHECK_STR(notify_bench_next(t), "POST http://h/firing?a=1%20%22\n");
    notify_bench_free(t);
    t = notify_bench("slack_configs: [{api_url: 'http://h', title: '{{ .Nope }}'}]");
    CHECK_ERR(notify_bench_error(t), ERR_EXEC, "slack: title: template: :1:");
    CHECK(!notify_bench_may_retry(t));
    notify_bench_free(t);
    t = notify_bench("slack_configs: [{api_url: 'http://h', text: '{{ if }}'}]");
    CHECK_ERR(notify_bench_error(t), ERR_INVALID, "slack: text: template: :1: ");
    notify_bench_free(t);
}

TEST(notify_render_bounds_templates)
{
    struct notify_bench *t =
        notify_bench("slack_configs: [{api_url: 'http://h', title: '{{ define \"x\" }}{{ template "
                     "\"x\" }}{{ end }}{{ template \"x\" }}'}]");

    CHECK_ERR(notify_bench_error(t), ERR_LIMIT, "slack: title: ");
    notify_bench_free(t);
    t = notify_bench("slack_configs: [{api_url: 'http://h', title: '{{ range 1000000000 }}{{ end "
                     "}}'}]");
    CHECK_ERR(notify_bench_error(t), ERR_LIMIT, "steps");
    notify_bench_free(t);
    t = notify_bench("slack_configs: [{api_url: 'http://h', fields: ["
                     "{title: '{{ range 900000 }}{{ end }}', value: '{{ range 900000 }}{{ end }}'},"
                     "{title: '{{ range 900000 }}{{ end }}', value: x}]}]");
    CHECK_ERR(notify_bench_error(t), ERR_LIMIT, "value: ");
    notify_bench_free(t);
}

TEST(notify_render_uses_template_files)
{
    struct notify_bench *t;
    struct amconf *c;

    CHECK_OK(fsx_write_atomic(tmp_path("a.tmpl"),
                              SLICE("{{ define \"mine\" }}<{{ .Status }}>{{ end }}"
                                    "{{ define \"slack.default.title\" }}T{{ end }}")));
    CHECK_OK(amconf_parse("am.yml",
                          SLICE("templates: ['*.tmpl']\nreceivers:\n- name: r\n  slack_configs: "
                                "[{api_url: 'http://h', text: '{{ template \"mine\" . }}'}]\n"),
                          AMCONF_NO_ROUTE, &c));
    CHECK_OK(amconf_load_templates(c, tmp_path(".")));
    t = notify_bench_of(c);
    CHECK_STR(notify_bench_next(t), "POST http://h\n");
    CHECK(notify_bench_has(t, "\"title\":\"T\"") && notify_bench_has(t, "\"text\":\"<firing>\""));
    notify_bench_free(t);
    CHECK_OK(fsx_write_atomic(tmp_path("b.tmpl"), SLICE("{{ define \"x\" }}\n{{ end")));
    CHECK_OK(amconf_parse("am.yml", SLICE("templates: ['*.tmpl']\n"), AMCONF_NO_ROUTE, &c));
    CHECK_ERR(amconf_load_templates(c, tmp_path(".")), ERR_INVALID, "b.tmpl");
    amconf_unref(c);
}

TEST(notify_render_reads_secrets_anew)
{
    struct notify_bench *t;
    char config[600];

    snprintf(config, sizeof(config),
             "webhook_configs: [{url_file: '%s', http_config: {authorization: {credentials_file: "
             "'%s'}}}]",
             tmp_path("url"), tmp_path("token"));
    t = notify_bench(config);
    CHECK_ERR(notify_bench_error(t), ERR_NOT_FOUND, "url");
    CHECK(notify_bench_may_retry(t));
    notify_bench_free(t);
    for (int i = 0; i < 2; i++) {
        char want[100];

        CHECK_OK(fsx_write_atomic(tmp_path("url"), SLICE("http://h/x\n")));
        CHECK_OK(fsx_write_atomic(tmp_path("token"), i ? SLICE("two\n") : SLICE("one\n")));
        snprintf(want, sizeof(want), "POST http://h/x\nAuthorization: Bearer %s\n",
                 i ? "two" : "one");
        t = notify_bench(config);
        CHECK_STR(notify_bench_next(t), want);
        notify_bench_free(t);
    }
}

TEST(notify_render_payloads_take_the_kinds_that_texts_read_as)
{
    struct notify_bench *t = notify_bench(
        "webhook_configs: [{url: 'http://h', payload: {n: 1, text: '{{ .Status }}', "
        "len: '{{ len .Alerts }}', list: '{{ .Alerts.Firing | toJson }}', \"y\": 1, deep: [1, 2.5, "
        "true, null, \"007\", 'x: y', '{{ \"\" }}'], '{{ .Receiver }}': z}}]");

    CHECK_STR(notify_bench_next(t), "POST http://h\n");
    CHECK(notify_bench_has(t, "{\"text\":\"firing\",\"len\":2,\"list\":[{\"status\":\"firing\","));
    CHECK(notify_bench_has(
        t, "],\"y\":1,\"deep\":[1,2.5,true,null,7,{\"x\":\"y\"},null],\"r\":\"z\"}"));
    notify_bench_free(t);
}

TEST(notify_render_judges_statuses)
{
    static const struct {
        int status;
        bool is_told, may_retry;
    } cases[] = {{200, true, false},  {204, true, false}, {301, false, false}, {400, false, false},
                 {404, false, false}, {429, false, true}, {500, false, true},  {503, false, true}};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct notify_bench *t = notify_bench("webhook_configs: [{url: 'http://h'}]");
        struct err *e;

        (void)notify_bench_next(t);
        e = notify_bench_answer(t, cases[i].status, "text/plain", "no such \x01thing\n");
        CHECK(!e == cases[i].is_told);
        if (e) {
            CHECK(notify_bench_may_retry(t) == cases[i].may_retry);
            CHECK_ERR(e, ERR_NET, ": no such  thing");
        } else {
            CHECK_STR(notify_bench_next(t), "");
        }
        notify_bench_free(t);
    }
}

/* ---- http_config ---- */

TEST(notify_http_sets_what_is_asked)
{
    struct notify_bench *t;
    const struct notify_request *q;

    t = notify_bench(
        "webhook_configs: [{url: 'https://h', http_config: {basic_auth: {username: u, password: "
        "p}, "
        "follow_redirects: false, tls_config: {ca: CA, cert: C, key: K, server_name: s, "
        "insecure_skip_verify: true, min_version: TLS13, max_version: TLS13}, proxy_url: "
        "'http://p', "
        "no_proxy: 'a,b', proxy_connect_header: {P: [q]}, http_headers: {X-A: {values: [1, 2]}, "
        "X-B: {secrets: [z]}}}}]");
    CHECK_STR(notify_bench_next(t), "POST https://h\nX-A: 1\nX-A: 2\nX-B: z\n");
    q = notify_bench_request(t);
    CHECK_STR(q->user, "u");
    CHECK_STR(q->password, "p");
    CHECK_INT(q->max_redirects, 0);
    CHECK_SLICE(q->tls->ca, "CA");
    CHECK_SLICE(q->tls->key, "K");
    CHECK(q->tls->is_insecure && q->tls->min_version == 13 && q->tls->max_version == 13);
    CHECK_STR(q->tls->server_name, "s");
    CHECK_STR(q->proxy, "http://p");
    CHECK_STR(q->no_proxy, "a,b");
    CHECK_STR(q->proxy_headers[0], "P: q");
    notify_bench_free(t);
}

#define OAUTH                                                                                      \
    "webhook_configs: [{url: 'http://h', http_config: {oauth2: {client_id: 'i d', client_secret: " \
    "'s&', token_url: 'http://t', scopes: [a, b], endpoint_params: {aud: x}}}}]"

TEST(notify_http_fetches_a_token_first)
{
    struct notify_bench *t = notify_bench(OAUTH);
    int64_t lifetime;

    CHECK_STR(notify_bench_next(t), "POST http://t\n");
    CHECK_STR(notify_bench_request(t)->user, "i+d");
    CHECK_STR(notify_bench_request(t)->password, "s%26");
    CHECK_SLICE(notify_bench_request(t)->body, "grant_type=client_credentials&scope=a+b&aud=x");
    CHECK_OK(notify_bench_answer(t, 401, "text/plain", "")); /* in the form, then */
    CHECK_STR(notify_bench_next(t), "POST http://t\n");
    CHECK(!notify_bench_request(t)->user);
    CHECK(notify_bench_has(t, "&client_id=i+d&client_secret=s%26"));
    CHECK_OK(notify_bench_answer(t, 200, "application/json",
                                 "{\"access_token\":\"T\",\"expires_in\":60}"));
    CHECK_SLICE(notify_render_fetched_token(notify_bench_render(t), &lifetime), "T");
    CHECK_INT(lifetime, 60);
    CHECK_STR(notify_bench_next(t), "POST http://h\nAuthorization: Bearer T\n");
    CHECK_OK(notify_bench_answer(t, 200, "text/plain", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);

    t = notify_bench(OAUTH);
    notify_render_give_token(notify_bench_render(t), SLICE("old"));
    CHECK_STR(notify_bench_next(t), "POST http://h\nAuthorization: Bearer old\n");
    CHECK_ERR(notify_bench_answer(t, 401, "text/plain", ""), ERR_NET, "401");
    CHECK(notify_bench_may_retry(t)); /* with a new one */
    notify_bench_free(t);

    t = notify_bench(OAUTH);
    (void)notify_bench_next(t);
    CHECK_ERR(notify_bench_answer(t, 200, "text/plain", "{\"access_token\":7}"), ERR_NET, "oauth2");
    notify_bench_free(t);
}

TEST(notify_http_keeps_neither_secrets_nor_tokens_of_any_size)
{
    struct notify_bench *t = notify_bench(OAUTH);
    struct slice key = notify_render_token_key(notify_bench_render(t));
    struct buf answer = {0};
    int64_t lifetime;

    CHECK_INT(key.len, 64);
    CHECK(slice_find(key, SLICE("s&"), 0) < 0);
    (void)notify_bench_next(t);
    buf_str(&answer, "{\"access_token\":\"");
    buf_fill(&answer, 'x', NOTIFY_MAX_TOKEN + 1);
    buf_str(&answer, "\"}");
    CHECK_OK(notify_bench_answer(t, 200, "application/json", buf_cstr(&answer)));
    CHECK_SLICE(notify_render_fetched_token(notify_bench_render(t), &lifetime), "");
    (void)notify_bench_next(t);
    CHECK_SLICE(notify_bench_request(t)->url, "http://h"); /* it speaks with it nevertheless */
    notify_bench_free(t);
    buf_done(&answer);
}
