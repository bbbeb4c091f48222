/* http_config: how a request goes out. */
#include <stdlib.h>

#include "alertmanager/notify_internal.h"

#define MAX_REDIRECTS 10
#define MAX_LIFETIME_S 3600 /* of a token that does not say it, and of any */

static const char *cstr(struct notify_render *r, struct slice s)
{
    return s.len ? arena_cstr(r->arena, s) : NULL;
}

/* ---- who speaks ---- */

static bool has_header(const struct notify_request *q, const char *name)
{
    for (size_t i = 0; i < q->n_headers; i++)
        if (slice_has_prefix(slice_cstr(q->headers[i]), slice_cstr(name)))
            return true;
    return false;
}

static void authorize(struct notify_render *r, const char *type, struct slice credentials)
{
    notify_header(r, "Authorization",
                  slice_cstr(arena_printf(r->arena, "%s %.*s", type, SLICE_ARG(credentials))));
}

static void set_auth(struct notify_render *r, const struct yaml_node *http)
{
    const struct yaml_node *basic = yaml_get(http, "basic_auth");
    const struct yaml_node *auth = yaml_get(http, "authorization");
    struct slice bearer = notify_secret_of(r, http, "bearer_token");

    if (has_header(&r->request, "Authorization:"))
        return; /* the receiver's own */
    if (r->token.len && !r->kind->token_key) {
        authorize(r, "Bearer", r->token);
    } else if (bearer.len) {
        authorize(r, "Bearer", bearer);
    } else if (auth && auth->kind == YAML_KIND_MAP) {
        struct slice type = notify_raw(auth, "type", "Bearer");

        authorize(r, type.len ? arena_cstr(r->arena, type) : "Bearer",
                  notify_secret_of(r, auth, "credentials"));
    } else if (basic && basic->kind == YAML_KIND_MAP) {
        r->request.user = arena_cstr(r->arena, notify_secret_of(r, basic, "username"));
        r->request.password = arena_cstr(r->arena, notify_secret_of(r, basic, "password"));
    }
}

/* ---- TLS ---- */

static unsigned version(struct slice s)
{
    static const char *const names[] = {"TLS10", "TLS11", "TLS12", "TLS13"};

    for (unsigned i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(s, names[i]))
            return 10 + i;
    return 0;
}

const struct http_client_tls *notify_http_tls(struct notify_render *r, const struct yaml_node *n)
{
    struct http_client_tls *t;

    if (!n || n->kind != YAML_KIND_MAP || !n->n)
        return NULL;
    t = arena_new_of(r->arena, struct http_client_tls);
    t->ca = notify_secret_of(r, n, "ca");
    t->cert = notify_secret_of(r, n, "cert");
    t->key = notify_secret_of(r, n, "key");
    t->server_name = cstr(r, notify_raw(n, "server_name", NULL));
    t->is_insecure = notify_bool(n, "insecure_skip_verify", false);
    t->min_version = version(notify_raw(n, "min_version", NULL));
    t->max_version = version(notify_raw(n, "max_version", NULL));
    return t;
}

/* ---- proxies ---- */

static const char *environment(const char *lower, const char *upper)
{
    const char *s = getenv(lower);

    return s && *s ? s : getenv(upper);
}

static void add_to(struct notify_render *r, const char ***list, size_t *n, struct slice name,
                   struct slice value)
{
    *list = arena_more(r->arena, *list, *n);
    (*list)[(*n)++] = arena_printf(r->arena, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(value));
}

static void set_proxy(struct notify_render *r, const struct yaml_node *http)
{
    const struct yaml_node *headers = yaml_get(http, "proxy_connect_header");
    struct notify_request *q = &r->request;
    bool is_tls = slice_has_prefix(q->url, SLICE("https://"));

    q->proxy = cstr(r, notify_raw(http, "proxy_url", NULL));
    q->no_proxy = cstr(r, notify_raw(http, "no_proxy", NULL));
    if (!q->proxy && notify_bool(http, "proxy_from_environment", false)) {
        q->proxy = is_tls ? environment("https_proxy", "HTTPS_PROXY")
                          : environment("http_proxy", "HTTP_PROXY");
        q->no_proxy = environment("no_proxy", "NO_PROXY");
    }
    if (q->proxy && !*q->proxy)
        q->proxy = NULL;
    for (size_t i = 0; headers && headers->kind == YAML_KIND_MAP && i < headers->n; i++)
        for (size_t k = 0; k < notify_items(headers->items[i]); k++)
            add_to(r, &q->proxy_headers, &q->n_proxy_headers, headers->keys[i].text,
                   headers->items[i]->items[k]->text);
}

/* ---- headers ---- */

static void add_all(struct notify_render *r, struct slice name, const struct yaml_node *list,
                    bool are_files)
{
    for (size_t i = 0; i < notify_items(list); i++) {
        struct slice v = list->items[i]->text;

        add_to(r, &r->request.headers, &r->request.n_headers, name,
               are_files ? notify_file(r, v) : v);
    }
}

static void set_headers(struct notify_render *r, const struct yaml_node *headers)
{
    for (size_t i = 0; headers && headers->kind == YAML_KIND_MAP && i < headers->n; i++) {
        struct slice name = headers->keys[i].text;

        add_all(r, name, yaml_get(headers->items[i], "values"), false);
        add_all(r, name, yaml_get(headers->items[i], "secrets"), false);
        add_all(r, name, yaml_get(headers->items[i], "files"), true);
    }
}

void notify_http(struct notify_render *r)
{
    const struct yaml_node *http = r->integration->http;
    const struct yaml_node *own = r->is_fetching ? yaml_get(http, "oauth2") : http;

    r->request.max_redirects = notify_bool(http, "follow_redirects", true) ? MAX_REDIRECTS : 0;
    r->request.tls = notify_http_tls(r, yaml_get(own, "tls_config"));
    set_proxy(r, own);
    if (r->is_fetching)
        return;
    set_headers(r, yaml_get(http, "http_headers"));
    set_auth(r, http);
}

/* ---- OAuth 2: client credentials ---- */

struct slice notify_http_token_key(struct notify_render *r)
{
    const struct yaml_node *n = yaml_get(r->integration->http, "oauth2");
    static const char *const keys[] = {"token_url", "client_id", "client_secret",
                                       "client_secret_file"};
    const struct yaml_node *params = yaml_get(n, "endpoint_params"),
                           *scopes = yaml_get(n, "scopes");
    struct buf b = {0};
    struct slice ret;

    if (!n || n->kind != YAML_KIND_MAP)
        return SLICE_EMPTY;
    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        buf_lstr(&b, notify_raw(n, keys[i], NULL));
    for (size_t i = 0; i < notify_items(scopes); i++)
        buf_lstr(&b, scopes->items[i]->text);
    for (size_t i = 0; params && params->kind == YAML_KIND_MAP && i < params->n; i++) {
        buf_lstr(&b, params->keys[i].text);
        buf_lstr(&b, params->items[i]->text);
    }
    ret = arena_dup(r->arena, buf_slice(&b));
    buf_done(&b);
    return ret;
}

void notify_form(struct buf *b, const char *name, struct slice value)
{
    buf_printf(b, "%s%s=", b->len ? "&" : "", name);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c && strchr("-._~", c)))
            buf_byte(b, c);
        else if (c == ' ')
            buf_byte(b, '+');
        else
            buf_printf(b, "%%%02X", c);
    }
}

static void add_scopes(struct buf *b, const struct yaml_node *scopes)
{
    struct buf text = {0};

    for (size_t i = 0; i < notify_items(scopes); i++) {
        buf_str(&text, i ? " " : "");
        buf_slice_append(&text, scopes->items[i]->text);
    }
    if (text.len)
        notify_form(b, "scope", buf_slice(&text));
    buf_done(&text);
}

void notify_http_fetch(struct notify_render *r)
{
    const struct yaml_node *n = yaml_get(r->integration->http, "oauth2");
    const struct yaml_node *params = yaml_get(n, "endpoint_params");
    struct slice id = notify_raw(n, "client_id", NULL);
    struct slice secret = notify_secret_of(r, n, "client_secret");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};

    notify_form(&b, "grant_type", SLICE("client_credentials"));
    add_scopes(&b, yaml_get(n, "scopes"));
    for (size_t i = 0; params && params->kind == YAML_KIND_MAP && i < params->n; i++)
        notify_form(&b, arena_cstr(r->arena, params->keys[i].text), params->items[i]->text);
    if (r->sends_secret) {
        notify_form(&b, "client_id", id);
        notify_form(&b, "client_secret", secret);
    } else {
        struct buf user = {0}, password = {0};

        notify_form(&user, "", id); /* "=id": both are encoded as in a form (RFC 6749) */
        notify_form(&password, "", secret);
        r->request.user = arena_cstr(r->arena, slice_from(buf_slice(&user), 1));
        r->request.password = arena_cstr(r->arena, slice_from(buf_slice(&password), 1));
        buf_done(&user);
        buf_done(&password);
    }
    notify_post(r, notify_raw(n, "token_url", NULL), &b);
    r->request.content_type = "application/x-www-form-urlencoded";
}

void notify_token(struct notify_render *r, struct slice token, int64_t lifetime_s)
{
    r->token = arena_dup(r->arena, token);
    r->token_lifetime_s = lifetime_s;
    r->was_fetched = true;
}

struct err *notify_http_fetched(struct notify_render *r, const struct notify_answer *a,
                                bool *ret_may_retry)
{
    json_t *root = a->status / 100 == 2 ? notify_answer_json(a) : NULL;
    const json_t *token = json_object_get(root, "access_token");
    const json_t *lifetime = json_object_get(root, "expires_in");
    struct err *e = NULL;

    if ((a->status == 400 || a->status == 401) && !r->sends_secret) {
        r->sends_secret = true; /* servers differ in where they want it */
        return NULL;
    }
    if (json_string_length(token)) {
        notify_token(r, slice_of(json_string_value(token), json_string_length(token)),
                     json_is_integer(lifetime)
                         ? ORR_MIN(json_integer_value(lifetime), MAX_LIFETIME_S)
                         : MAX_LIFETIME_S);
    } else {
        e = err_new(ERR_NET, "oauth2: the token's server answered %d%s", a->status,
                    a->status / 100 == 2 ? " without a token" : "");
    }
    *ret_may_retry |= a->status / 100 == 2;
    json_decref(root);
    return e;
}
