#include "common/net/mail.h"

#include "common/base/mem.h"
#include "common/net/http_client_internal.h"

#define ANSWER_MAX_BYTES 65536
#define CONNECT_MS 20000 /* to libcurl this goes on until we are known */

static size_t on_read(char *p, size_t one, size_t n, void *arg)
{
    struct http_client_call *call = arg;
    struct slice piece = slice_sub(buf_slice(&call->body), call->sent_bytes, one * n);

    if (piece.len)
        memcpy(p, piece.ptr, piece.len);
    call->sent_bytes += piece.len;
    return piece.len;
}

static void set_receivers(struct http_client_call *call, const struct mail_req *req)
{
    (void)curl_easy_setopt(call->easy, CURLOPT_MAIL_FROM, req->from);
    for (size_t i = 0; i < req->n_to; i++) {
        struct curl_slist *more = curl_slist_append(call->headers, req->to[i]);

        ORR_ASSERT(more);
        call->headers = more;
    }
    (void)curl_easy_setopt(call->easy, CURLOPT_MAIL_RCPT, call->headers);
}

static void set_auth(CURL *easy, const struct mail_req *req)
{
    if (!req->user)
        return;
    (void)curl_easy_setopt(easy, CURLOPT_USERNAME, req->user);
    (void)curl_easy_setopt(easy, CURLOPT_PASSWORD, req->password ? req->password : "");
    (void)curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, req->mechanisms);
    if (req->identity)
        (void)curl_easy_setopt(easy, CURLOPT_SASL_AUTHZID, req->identity);
}

static bool is_one_line(const char *s)
{
    return !s || !strpbrk(s, "\r\n");
}

static struct err *check(const struct mail_req *req)
{
    bool is_good = is_one_line(req->from) && is_one_line(req->hello) && is_one_line(req->host);

    for (size_t i = 0; i < req->n_to; i++)
        is_good &= is_one_line(req->to[i]);
    return is_good ? NULL : err_new(ERR_INVALID, "a line break in an address of a mail");
}

struct err *mail_send(struct http_client *c, const struct mail_req *req, http_client_fn *done,
                      void *arg, struct http_client_call **ret_call)
{
    static const struct http_client_tls no_tls = {0};
    const struct http_client_tls *tls = req->tls ? req->tls : &no_tls;
    struct http_client_call *call;
    char *hello, *url, *shown;
    struct err *e;

    shown = mem_printf("smtp%s://%s:%u", req->is_implicit_tls ? "s" : "", req->host, req->port);
    if ((e = check(req)) || (e = http_client_admit(c, shown))) {
        mem_free(shown);
        return e;
    }
    call = http_client_call_bare(shown, ANSWER_MAX_BYTES);
    call->is_mail = true;
    hello = curl_easy_escape(call->easy, req->hello, 0);
    url = mem_printf("%s/%s", shown, hello ? hello : "");
    http_client_set_common(call, "smtp,smtps", req->timeout_ms, CONNECT_MS);
    (void)curl_easy_setopt(call->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(call->easy, CURLOPT_USE_SSL,
                           (long)(req->requires_tls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    (void)curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
    http_client_set_tls(call, tls);
    set_auth(call->easy, req);
    set_receivers(call, req);
    buf_slice_append(&call->body, req->message);
    (void)curl_easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
    if (tls->server_name)
        e = http_client_set_server_name(call, tls->server_name, url);
    curl_free(hello);
    mem_free(url);
    mem_free(shown);
    if (e) {
        http_client_call_free(call);
        return e;
    }
    return http_client_start(c, call, done, arg, ret_call);
}
