#include <pthread.h>

#include "common/base/mem.h"
#include "common/net/http_client_internal.h"

#define HEAD_BYTES_MAX (256 * 1024)

static void library_init(void)
{
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);

    ORR_ASSERT(rc == CURLE_OK);
}

void http_client_library_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, library_init);
}

void http_client_opts_copy(const struct http_client_opts *opts, struct http_client_opts *ret)
{
    *ret = *opts;
    ret->user_agent = mem_strdup(opts->user_agent ? opts->user_agent : "orrery/" ORR_VERSION);
    ret->ca_path = mem_strdup(opts->ca_path);
    ret->cert_path = mem_strdup(opts->cert_path);
    ret->key_path = mem_strdup(opts->key_path);
    ret->server_name = mem_strdup(opts->server_name);
    ret->max_per_host = opts->max_per_host ? opts->max_per_host : 16;
    ret->max_connections = opts->max_connections ? opts->max_connections : 128;
    ret->max_queued = opts->max_queued ? opts->max_queued : 10000;
}

void http_client_opts_done(struct http_client_opts *opts)
{
    const char *owned[] = {opts->user_agent, opts->ca_path, opts->cert_path, opts->key_path,
                           opts->server_name};

    for (size_t i = 0; i < ORR_COUNT(owned); i++)
        mem_free((void *)(uintptr_t)owned[i]);
    *opts = (struct http_client_opts){0};
}

/* ---- what libcurl calls ---- */

static size_t on_body(char *p, size_t one, size_t n, void *arg)
{
    struct http_client_call *call = arg;
    bool goes_on;

    (void)one;
    call->received_bytes += n;
    if (call->received_bytes > call->max_response_bytes) {
        call->is_too_large = true;
        return 0;
    }
    if (!call->on_data) {
        buf_append(&call->reply.body, p, n);
        return n;
    }
    goes_on = call->on_data(call->arg, slice_of(p, n));
    call->was_stopped = !goes_on;
    return goes_on ? n : 0;
}

static size_t on_header(char *p, size_t one, size_t n, void *arg)
{
    struct http_client_call *call = arg;

    (void)one;
    /* Each response of a call (100, redirects) begins anew; the last one stays. */
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        buf_reset(&call->reply.head);
    if (call->reply.head.len + n > HEAD_BYTES_MAX) {
        call->is_too_large = true;
        return 0;
    }
    buf_append(&call->reply.head, p, n);
    return n;
}

/* ---- setting up ---- */

static void set_tls(CURL *easy, const struct http_client_opts *o)
{
    if (o->ca_path)
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_path);
    if (o->ca_path) /* these alone: not the system's beside them */
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (o->cert_path)
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, o->cert_path);
    if (o->key_path)
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, o->key_path);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, o->is_insecure ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, o->is_insecure ? 0L : 2L);
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_blob(CURL *easy, CURLoption option, struct slice pem)
{
    struct curl_blob blob = {(void *)(uintptr_t)pem.ptr, pem.len, CURL_BLOB_COPY};

    if (pem.len)
        (void)curl_easy_setopt(easy, option, &blob);
}

void http_client_set_tls(struct http_client_call *call, const struct http_client_tls *t)
{
    CURL *easy = call->easy;
    static const long min[] = {CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_TLSv1_1,
                               CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_3};
    static const long max[] = {CURL_SSLVERSION_MAX_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_1,
                               CURL_SSLVERSION_MAX_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_3};
    long versions = min[t->min_version ? t->min_version - 10 : 2];

    if (t->max_version)
        versions |= max[t->max_version - 10];
    if (t->ca.len)
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    set_blob(easy, CURLOPT_CAINFO_BLOB, t->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, t->cert);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, t->key);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, t->is_insecure ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, t->is_insecure ? 0L : 2L);
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, versions);
}

/*
 * libcurl verifies the name it connects to. To verify another, connect to that name and tell
 * libcurl that it lives at the URL's address.
 */
struct err *http_client_set_server_name(struct http_client_call *call, const char *server_name,
                                        const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *renamed = NULL;
    struct curl_slist *to = NULL;
    struct err *e = NULL;
    struct buf text = {0};

    if (!u || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        e = err_new(ERR_INVALID, "malformed URL");
        goto out;
    }
    buf_printf(&text, "%s:%s:%s:%s", server_name, port, host, port);
    to = curl_slist_append(NULL, buf_cstr(&text));
    if (curl_url_set(u, CURLUPART_HOST, server_name, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_URL, &renamed, 0) != CURLUE_OK || !to) {
        e = err_new(ERR_INVALID, "malformed server name \"%s\"", server_name);
        goto out;
    }
    (void)curl_easy_setopt(call->easy, CURLOPT_URL, renamed);
    (void)curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, to);
    call->connect_to = to;
    to = NULL;
out:
    curl_slist_free_all(to);
    curl_free(host);
    curl_free(port);
    curl_free(renamed);
    curl_url_cleanup(u);
    buf_done(&text);
    return e;
}

static void set_auth(CURL *easy, const struct http_client_req *req)
{
    if (req->user) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, req->user);
        (void)curl_easy_setopt(easy, CURLOPT_PASSWORD, req->password ? req->password : "");
    } else if (req->bearer) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        (void)curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, req->bearer);
    }
}

static struct err *add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more;

    if (strpbrk(line, "\r\n"))
        return err_new(ERR_INVALID, "a line break in a request header");
    more = curl_slist_append(*list, line);
    ORR_ASSERT(more);
    *list = more;
    return NULL;
}

static struct err *set_proxy(struct http_client_call *call, const struct http_client_req *req)
{
    struct err *e = NULL;

    if (!req->proxy)
        return NULL;
    (void)curl_easy_setopt(call->easy, CURLOPT_PROXY, req->proxy);
    (void)curl_easy_setopt(call->easy, CURLOPT_NOPROXY, req->no_proxy ? req->no_proxy : "");
    for (size_t i = 0; i < req->proxy_header_count && !e; i++)
        e = add_header(&call->proxy_headers, req->proxy_headers[i]);
    (void)curl_easy_setopt(call->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    (void)curl_easy_setopt(call->easy, CURLOPT_PROXYHEADER, call->proxy_headers);
    return e;
}

static struct err *set_headers(struct http_client_call *call, const struct http_client_req *req)
{
    struct err *e = NULL;

    for (size_t i = 0; i < req->header_count && !e; i++)
        e = add_header(&call->headers, req->headers[i]);
    if (!e && req->content_type) {
        char *line = mem_printf("Content-Type: %s", req->content_type);

        e = add_header(&call->headers, line);
        mem_free(line);
    } else if (!e && req->body.len) {
        e = add_header(&call->headers, "Content-Type:"); /* not libcurl's guess */
    }
    if (!e)
        e = add_header(&call->headers, "Expect:"); /* a round trip that our servers do not need */
    (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return e;
}

static void set_method(struct http_client_call *call, const struct http_client_req *req)
{
    const char *method = req->method ? req->method : req->body.len ? "POST" : "GET";
    bool has_body = req->body.len > 0 || strcmp(method, "POST") == 0 ||
                    strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;

    if (strcmp(method, "HEAD") == 0) {
        (void)curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        struct slice body = req->body.len ? req->body : SLICE_EMPTY;

        if (!req->is_body_lent) {
            buf_slice_append(&call->body, body);
            body = buf_slice(&call->body);
        }
        (void)curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        (void)curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, body.ptr);
    }
    /* libcurl's own where it has one: it becomes GET where a redirect (303) says so */
    if (strcmp(method, has_body ? "POST" : "GET") != 0)
        (void)curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
}

void http_client_set_common(struct http_client_call *call, const char *protocols,
                            int64_t timeout_ms, int64_t connect_timeout_ms)
{
    CURL *easy = call->easy;

    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->text);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, protocols);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(timeout_ms ? timeout_ms : 30000));
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(connect_timeout_ms ? connect_timeout_ms : 5000));
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

static void set_basics(struct http_client_call *call, const struct http_client_opts *o,
                       const struct http_client_req *req)
{
    CURL *easy = call->easy;

    http_client_set_common(call, "http,https", req->timeout_ms, req->connect_timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_URL, req->url);
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, o->user_agent);
    if (req->stall_timeout_ms) {
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                               (long)((req->stall_timeout_ms + 999) / 1000));
    }
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, req->max_redirects ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_POSTREDIR,
                           (long)(CURL_REDIR_POST_301 | CURL_REDIR_POST_302));
    (void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)req->max_redirects);
    if (req->accepts_compressed)
        (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, req->is_sole ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, req->is_sole ? 1L : 0L);
}

struct http_client_call *http_client_call_bare(const char *url, size_t max_response_bytes)
{
    struct http_client_call *call = mem_new(struct http_client_call);

    call->url = mem_strdup(url);
    call->max_response_bytes = max_response_bytes;
    call->easy = curl_easy_init();
    ORR_ASSERT(call->easy);
    return call;
}

/* Queries and credentials in a URL may be secret, and paths: messages go without. */
static char *shown_url(const struct http_client_req *req, const char *url)
{
    const char *host = strstr(url, "://"), *user;
    size_t scheme, n;

    host = host ? host + 3 : url;
    scheme = (size_t)(host - url);
    n = strcspn(host, "/?#");
    user = memrchr(host, '@', n);
    if (user) {
        n -= (size_t)(user + 1 - host);
        host = user + 1;
    }
    if (!req->is_url_secret)
        n += strcspn(host + n, "?#");
    return mem_printf("%.*s%.*s", (int)scheme, url, (int)n, host);
}

struct err *http_client_call_new(const struct http_client_opts *opts,
                                 const struct http_client_req *req, struct http_client_call **ret)
{
    const char *url = req->url ? req->url : "";
    char *shown = shown_url(req, url);
    struct http_client_call *call =
        http_client_call_bare(shown, req->max_response_bytes ? req->max_response_bytes : 64u << 20);
    const char *server_name = req->tls ? req->tls->server_name : opts->server_name;
    struct err *e;

    mem_free(shown);
    call->on_data = req->on_data;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        e = err_new(ERR_INVALID, "the URL is neither http:// nor https://");
    } else {
        set_basics(call, opts, req);
        if (req->tls)
            http_client_set_tls(call, req->tls);
        else
            set_tls(call->easy, opts);
        set_auth(call->easy, req);
        set_method(call, req);
        if (!(e = set_headers(call, req)))
            e = set_proxy(call, req);
    }
    if (!e && server_name)
        e = http_client_set_server_name(call, server_name, url);
    if (e) {
        http_client_call_free(call);
        return e;
    }
    *ret = call;
    return NULL;
}

void http_client_call_free(struct http_client_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->proxy_headers);
    curl_slist_free_all(call->connect_to);
    buf_done(&call->body);
    http_client_reply_done(&call->reply);
    mem_free(call->url);
    mem_free(call);
}

/* ---- the result ---- */

struct err *http_client_result(struct http_client_call *call, CURLcode rc)
{
    const char *text = call->text[0] ? call->text : curl_easy_strerror(rc);
    long status = 0;

    if (rc == CURLE_OK)
        return NULL;
    if (call->is_mail && rc != CURLE_OPERATION_TIMEDOUT &&
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status >= 400) {
        buf_str(&call->reply.body, text);
        return NULL;
    }
    if (call->is_too_large)
        return err_new(ERR_TOO_LARGE, "%s: the reply is larger than %zu bytes", call->url,
                       call->max_response_bytes);
    if (call->was_stopped)
        return err_new(ERR_CANCELED, "%s: stopped by the caller", call->url);
    switch (rc) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return err_new(ERR_INVALID, "%s: %s", call->url, text);
    case CURLE_OPERATION_TIMEDOUT:
        return err_new(ERR_TIMEOUT, "%s: %s", call->url, text);
    default:
        return err_new(ERR_NET, "%s: %s", call->url, text);
    }
}

static size_t count_lines(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '\n';
    return n;
}

void http_client_parse_head(struct http_client_call *call)
{
    struct http_client_reply *r = &call->reply;
    struct slice rest = buf_slice(&r->head), line;
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    r->status = (int)status;
    r->headers = mem_new_array(struct http_header, count_lines(rest) + 1);
    while (slice_split(&rest, '\n', &line)) {
        ptrdiff_t colon = slice_find_byte(line, ':', 0);

        if (colon <= 0 || slice_has_prefix(line, SLICE("HTTP/")))
            continue;
        r->headers[r->header_count++] = (struct http_header){
            slice_sub(line, 0, (size_t)colon), slice_trim(slice_from(line, (size_t)colon + 1))};
    }
}

struct slice http_client_reply_header(const struct http_client_reply *r, const char *name)
{
    return http_header_get(r->headers, r->header_count, name);
}

void http_client_reply_done(struct http_client_reply *r)
{
    buf_done(&r->body);
    buf_done(&r->head);
    mem_free(r->headers);
    *r = (struct http_client_reply){0};
}

struct err *http_client_blocking(const struct http_client_opts *opts,
                                 const struct http_client_req *req, struct http_client_reply *ret)
{
    static const struct http_client_opts defaults = {0};
    struct http_client_opts o;
    struct http_client_call *call = NULL;
    struct err *e;

    http_client_library_init();
    http_client_opts_copy(opts ? opts : &defaults, &o);
    if (!(e = http_client_call_new(&o, req, &call)) &&
        !(e = http_client_result(call, curl_easy_perform(call->easy)))) {
        http_client_parse_head(call);
        *ret = call->reply;
        call->reply = (struct http_client_reply){0};
    }
    if (call)
        http_client_call_free(call);
    http_client_opts_done(&o);
    return e;
}
