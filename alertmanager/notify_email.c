/*
 * Mail by SMTP: a message with a text and an HTML part, to all of `to` at once.
 *
 * require_tls (the default) wants STARTTLS; port 465 or force_implicit_tls is TLS from the start. A password speaks PLAIN
 * or LOGIN (without TLS and not to this machine: LOGIN alone), a secret CRAM-MD5; a server that does not offer to
 * authenticate is not asked to. A refusal of 4xx may be tried again, one of 5xx is final.
 */
#include <unistd.h>

#include "alertmanager/notify_internal.h"
#include "common/base/hash.h"

#define MAX_HEADERS 100

/* The receiver's or smtp_KEY of global; def when neither says. */
static struct slice own(struct notify_render *r, const char *key, const char *def)
{
    const char *global = arena_printf(r->arena, "smtp_%s", key);
    struct slice s = notify_raw(r->settings, key, NULL);

    return s.len ? s : notify_raw(r->conf->global, global, def);
}

static bool own_bool(struct notify_render *r, const char *key, bool def)
{
    return notify_bool(r->settings, key,
                       notify_bool(r->conf->global, arena_printf(r->arena, "smtp_%s", key), def));
}

/* ---- the server ---- */

static void set_server(struct notify_render *r, struct mail_req *m)
{
    struct slice host = own(r, "smarthost", NULL), port;
    ptrdiff_t colon = -1;
    uint64_t number = 0;

    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    port = slice_from(host, (size_t)(colon + 1));
    if (colon <= 0 || !slice_to_u64(port, &number) || number == 0 || number > 65535)
        notify_fail(r,
                    err_new(ERR_INVALID, "smarthost: \"%.*s\" is not host:port", SLICE_ARG(host)));
    m->host = arena_cstr(r->arena, slice_sub(host, 0, colon < 0 ? 0 : (size_t)colon));
    m->port = (unsigned)number;
    m->hello = arena_cstr(r->arena, own(r, "hello", "localhost"));
    m->is_implicit_tls = own_bool(r, "force_implicit_tls", number == 465);
    m->requires_tls = own_bool(r, "require_tls", true);
}

static bool is_here(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
           strcmp(host, "[::1]") == 0;
}

static void set_auth(struct notify_render *r, struct mail_req *m)
{
    struct slice user = own(r, "auth_username", NULL), identity = own(r, "auth_identity", NULL);
    struct slice password = notify_secret(r, "auth_password", "smtp_auth_password");
    struct slice secret = notify_secret(r, "auth_secret", "smtp_auth_secret");

    if (!user.len)
        return;
    m->user = arena_cstr(r->arena, user);
    m->password = arena_cstr(r->arena, password.len ? password : secret);
    m->identity = identity.len ? arena_cstr(r->arena, identity) : NULL;
    if (!password.len)
        m->mechanisms = "AUTH=CRAM-MD5";
    else if (m->requires_tls || m->is_implicit_tls || is_here(m->host))
        m->mechanisms = "AUTH=PLAIN;AUTH=LOGIN";
    else
        m->mechanisms = "AUTH=LOGIN";
}

static void set_tls(struct notify_render *r, struct mail_req *m)
{
    const struct yaml_node *tls = yaml_get(r->settings, "tls_config");

    if (!tls || yaml_is_null(tls))
        tls = yaml_get(r->conf->global, "smtp_tls_config");
    m->tls = notify_http_tls(r, tls);
}

/* ---- the message ---- */

/* The name of a header in the settings, written as it is usual, or NULL. */
static const struct yaml_node *header_of(const struct yaml_node *headers, const char *name)
{
    for (size_t i = 0; headers && headers->kind == YAML_KIND_MAP && i < headers->n; i++)
        if (slice_eq_nocase(headers->keys[i].text, slice_cstr(name)))
            return headers->items[i];
    return NULL;
}

static bool is_header_name(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == ':')
            return false;
    return s.len > 0;
}

/* "message-id" as "Message-Id" */
static const char *usual_name(struct notify_render *r, struct slice s)
{
    char *name = arena_cstr(r->arena, s);

    for (size_t i = 0; i < s.len; i++) {
        bool is_first = i == 0 || name[i - 1] == '-';

        if (is_first && name[i] >= 'a' && name[i] <= 'z')
            name[i] = (char)(name[i] - 'a' + 'A');
        else if (!is_first && name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
    }
    return name;
}

static void add_headers(struct notify_render *r, struct buf *b)
{
    static const char *const defaults[] = {"From", "To", "Subject"};
    const struct yaml_node *headers = yaml_get(r->settings, "headers");

    for (size_t i = 0; i < ORR_COUNT(defaults); i++) {
        struct slice text = i == 0   ? own(r, "from", NULL)
                            : i == 1 ? notify_raw(r->settings, "to", NULL)
                                     : SLICE("{{ template \"email.default.subject\" . }}");

        if (!header_of(headers, defaults[i]))
            notify_mail_header(b, defaults[i], notify_expand(r, defaults[i], text, false));
    }
    for (size_t i = 0; headers && headers->kind == YAML_KIND_MAP && i < headers->n; i++) {
        if (!is_header_name(headers->keys[i].text) || i >= MAX_HEADERS) {
            notify_fail(r, err_new(ERR_INVALID, "headers: \"%.*s\" is no name of a header",
                                   SLICE_ARG(headers->keys[i].text)));
            return;
        }
        notify_mail_header(
            b, usual_name(r, headers->keys[i].text),
            notify_expand(r, "headers",
                          yaml_is_null(headers->items[i]) ? SLICE_EMPTY : headers->items[i]->text,
                          false));
    }
}

/* Mails of a group hang together under a first one that nobody has sent. */
static void add_thread(struct notify_render *r, struct buf *b)
{
    const struct yaml_node *threading = yaml_get(r->settings, "threading");
    struct slice by = notify_raw(threading, "thread_by_date", "daily");
    struct gotime t = {.unix_s = r->data.now_ns / NS_PER_S};

    if (!notify_bool(threading, "enabled", false))
        return;
    for (int i = 0; i < 2; i++) {
        buf_printf(b, "%s: <alert-%.16s-", i ? "In-Reply-To" : "References",
                   arena_cstr(r->arena, notify_key_hash(r)));
        if (!slice_eq_cstr(by, "none"))
            gotime_format(b, &t, SLICE("2006-01-02"));
        buf_str(b, "@alertmanager>\r\n");
    }
}

static void add_part(struct buf *b, const char *boundary, const char *type, struct slice text)
{
    buf_printf(b,
               "--%s\r\nContent-Transfer-Encoding: quoted-printable\r\n"
               "Content-Type: %s; charset=UTF-8\r\n\r\n",
               boundary, type);
    notify_mail_body(b, text);
}

static void write_message(struct notify_render *r, struct buf *b)
{
    struct slice text = notify_raw(r->settings, "text", NULL);
    struct slice html = notify_raw(r->settings, "html", "{{ template \"email.default.html\" . }}");
    struct gotime now = {.unix_s = r->data.now_ns / NS_PER_S};
    uint64_t mark = hash_xxh64(r->note.group_key, (uint64_t)r->data.now_ns ^ r->note.attempt);
    /* "=_" is in no quoted-printable text */
    const char *boundary = arena_printf(r->arena, "=_%016llx", (unsigned long long)mark);
    char host[256] = "localhost.localdomain";

    (void)gethostname(host, sizeof(host) - 1);
    add_headers(r, b);
    if (!header_of(yaml_get(r->settings, "headers"), "Message-Id"))
        buf_printf(b, "Message-Id: <%lld.%016llx@%s>\r\n", (long long)r->data.now_ns,
                   (unsigned long long)mark, host);
    add_thread(r, b);
    buf_str(b, "Date: ");
    gotime_format(b, &now, SLICE("Mon, 02 Jan 2006 15:04:05 -0700"));
    buf_printf(b,
               "\r\nContent-Type: multipart/alternative; boundary=\"%s\"\r\n"
               "MIME-Version: 1.0\r\n\r\n",
               boundary);
    if (text.len)
        add_part(b, boundary, "text/plain", notify_expand(r, "text", text, false));
    if (html.len) /* the one that is preferred is the last */
        add_part(b, boundary, "text/html", notify_expand(r, "html", html, true));
    buf_printf(b, "--%s--\r\n", boundary);
}

static void build(struct notify_render *r)
{
    struct mail_req *m = arena_new_of(r->arena, struct mail_req);
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    const char **from;
    size_t n;

    if ((r->is_told = r->step > 0))
        return;
    set_server(r, m);
    set_auth(r, m);
    set_tls(r, m);
    from =
        notify_mail_addresses(r, "from", notify_expand(r, "from", own(r, "from", NULL), false), &n);
    if (n > 1)
        notify_fail(r, err_new(ERR_INVALID, "from: more than one address"));
    m->from = n ? from[0] : "";
    m->to = notify_mail_addresses(r, "to", notify_text(r, "to", NULL), &m->n_to);
    write_message(r, &b);
    if (!buf_ok(&b))
        notify_fail(r, err_new(ERR_LIMIT, "the mail is larger than %u bytes", NOTIFY_MAX_BODY));
    m->message = arena_dup(r->arena, buf_slice(&b));
    r->request.mail = m;
    buf_done(&b);
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    (void)r;
    *may_retry = a->status / 100 == 4;
    return NULL;
}

const struct notify_kind notify_kind_email = {.name = "email", .build = build, .judge = judge};
