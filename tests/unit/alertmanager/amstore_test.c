#include "alertmanager/amstore.h"
#include "tests/unit/test.h"

static const struct amstore_limits limits = {
    .max_config_bytes = 1000, .max_templates = 2, .max_template_bytes = 100};

#define CONFIG "route: {receiver: a}\nreceivers: [{name: a}]\n"

static struct err *compile(const char *text)
{
    struct amstore_config c = {.config = slice_cstr(text)};
    struct amconf *conf = NULL;
    struct err *e = amstore_compile(&c, &conf);

    amconf_unref(conf);
    return e;
}

TEST(amstore_keeps_what_was_given)
{
    struct arena *a = arena_new(0);
    struct amstore_config c, again;
    struct buf b = {0};

    CHECK_OK(
        amstore_from_yaml(a,
                          SLICE("template_files:\n  x.tmpl: |\n    {{ define \"x\" }}y{{ end }}\n"
                                "alertmanager_config: |\n  route: {receiver: a}\n"),
                          &limits, &c));
    amstore_encode(&b, SLICE("t"), &c);
    CHECK_OK(amstore_decode(a, arena_dup(a, buf_slice(&b)), &again));
    CHECK_SLICE(again.config, "route: {receiver: a}\n");
    CHECK_INT(again.n, 1);
    CHECK_SLICE(again.templates[0].name, "x.tmpl");
    CHECK_SLICE(again.templates[0].text, "{{ define \"x\" }}y{{ end }}\n");
    /* as the API gives it back, and takes it */
    buf_reset(&b);
    amstore_yaml(&b, &again);
    CHECK_OK(amstore_from_yaml(a, arena_dup(a, buf_slice(&b)), &limits, &c));
    CHECK_SLICE(c.config, "route: {receiver: a}\n");
    CHECK_SLICE(c.templates[0].text, "{{ define \"x\" }}y{{ end }}\n");
    buf_done(&b);
    arena_free(a);
}

/* Byte for byte: field 1 the tenant, 2 the text, 3 a template {1 name, 2 text}. */
TEST(amstore_writes_what_mimir_reads)
{
    struct amstore_template t = {SLICE_INIT("n"), SLICE_INIT("xy")};
    struct amstore_config c = {.config = SLICE("cfg"), .templates = &t, .n = 1};
    struct buf b = {0};

    amstore_encode(&b, SLICE("me"), &c);
    CHECK(slice_eq(buf_slice(&b), SLICE("\x0a\x02me\x12\x03"
                                        "cfg\x1a\x07\x0a\x01n\x12\x02xy")));
    buf_done(&b);
}

TEST(amstore_refuses_what_is_no_object)
{
    struct arena *a = arena_new(0);
    struct amstore_config c;

    CHECK_ERR(amstore_decode(a, SLICE("\x12\x7f"), &c), ERR_CORRUPT, "");
    CHECK_ERR(amstore_decode(a, SLICE("\x08\x01"), &c), ERR_CORRUPT, "");
    CHECK_ERR(amstore_decode(a, SLICE("\x1a\x02\x0a\x05"), &c), ERR_CORRUPT, "");
    CHECK_SLICE(amstore_tenant(SLICE("alerts/team-a")), "team-a");
    CHECK_SLICE(amstore_tenant(SLICE("alerts/..")), "");
    CHECK_SLICE(amstore_tenant(SLICE("alerts/a/b")), "");
    CHECK_SLICE(amstore_tenant(SLICE("rules/a")), "");
    CHECK_SLICE(amstore_key(a, SLICE("x")), "alerts/x");
    arena_free(a);
}

TEST(amstore_bounds_documents)
{
    struct arena *a = arena_new(0);
    struct amstore_config c;
    char big[2000];

    memset(big, 'x', sizeof(big));
    memcpy(big, "alertmanager_config: ", 21);
    CHECK_ERR(amstore_from_yaml(a, slice_of(big, sizeof(big)), &limits, &c), ERR_LIMIT,
              "alertmanager_max_config_size_bytes");
    memcpy(big, "alertmanager_config: a\ntemplate_files: {x: ", 43);
    big[400] = '}';
    CHECK_ERR(amstore_from_yaml(a, slice_of(big, 401), &limits, &c), ERR_LIMIT,
              "alertmanager_max_template_size_bytes");
    CHECK_ERR(
        amstore_from_yaml(a, SLICE("template_files: {a: '', b: '', c: ''}\nalertmanager_config: x"),
                          &limits, &c),
        ERR_LIMIT, "alertmanager_max_templates_count");
    CHECK_ERR(amstore_from_yaml(a, SLICE("template_files: {../a: ''}\nalertmanager_config: x"),
                                &limits, &c),
              ERR_INVALID, "no file name");
    CHECK_ERR(amstore_from_yaml(a, SLICE("alertmanager_config: ''"), &limits, &c), ERR_INVALID,
              "DELETE");
    CHECK_ERR(amstore_from_yaml(a, SLICE("alertmanager: ''"), &limits, &c), ERR_INVALID,
              "body:1: unknown field alertmanager");
    CHECK_ERR(amstore_from_yaml(a, SLICE("- a"), &limits, &c), ERR_INVALID, "are wanted");
    arena_free(a);
}

TEST(amstore_lets_no_tenant_read_the_machine)
{
    CHECK_OK(compile(CONFIG));
    CHECK_ERR(compile("route: {receiver: b}\nreceivers: [{name: a}]\n"), ERR_INVALID, "");
    CHECK_ERR(compile("route: {receiver: a}\nreceivers:\n - name: a\n   webhook_configs:\n"
                      "   - {url_file: /etc/passwd}\n"),
              ERR_INVALID, "alertmanager_config:5: url_file is not for tenants");
    CHECK_ERR(
        compile("global: {http_config: {basic_auth: {username: u, password_file: p}}}\n" CONFIG),
        ERR_INVALID, "alertmanager_config:1: password_file is not for tenants");
    CHECK_ERR(compile("global: {http_config: {tls_config: {ca_file: p}}}\n" CONFIG), ERR_INVALID,
              "ca_file is not for tenants");
    CHECK_ERR(compile("global: {http_config: {proxy_url: 'http://p'}}\n" CONFIG), ERR_INVALID,
              "proxy_url is not for tenants");
    CHECK_ERR(compile("global: {http_config: {http_headers: {A: {files: [/x]}}}}\n" CONFIG),
              ERR_INVALID, "files is not for tenants");
    CHECK_ERR(compile("templates: [/etc/*]\n" CONFIG), ERR_INVALID, "no name of a template file");
    /* a label may be called so */
    CHECK_OK(
        compile("route: {receiver: a, routes: [{match: {a_file: b}}]}\nreceivers: [{name: a}]\n"));
}

TEST(amstore_uses_the_templates_that_are_named)
{
    struct amstore_template t = {SLICE_INIT("bad.tmpl"), SLICE_INIT("{{ define }}")};
    struct amstore_config c = {.config = SLICE(CONFIG), .templates = &t, .n = 1};
    struct amconf *conf = NULL;

    CHECK_OK(amstore_compile(&c, &conf));
    amconf_unref(conf);
    c.config = SLICE("templates: ['*.tmpl']\n" CONFIG);
    CHECK_ERR(amstore_compile(&c, &conf), ERR_INVALID, "bad.tmpl");
}
