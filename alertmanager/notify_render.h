/*
 * What a receiver is told, as requests: no sockets, clock or loop here. A note becomes a request; what the answer means
 * is judged; some receivers are told by more than one request.
 *
 *   new ─▶ next ─▶ request ─▶ (whoever sends it) ─▶ answer ─▶ judge ─▶ next ─▶ … ─▶ NULL: it is told
 *
 * Texts of the configuration are Go templates (template_am.h), run within NOTIFY_MAX_STEPS and NOTIFY_MAX_BYTES for the
 * whole notification. One that fails is a failed notification, final, which names the setting and the place in it.
 * Secrets kept in files are read anew by each next(), which therefore belongs to a worker.
 *
 * Judgement: 2xx is told; 5xx and 429 may be tried again, no connection and time-outs too; anything else is final. What
 * a receiver does otherwise stands in its file (notify_slack.c …).
 *
 * Owner: new and free on the loop of the dispatcher, whose alerts they hold; in between one thread at a time.
 */
#pragma once
#include "alertmanager/dispatch.h"
#include "common/net/mail.h"

#define NOTIFY_MAX_STEPS 2000000       /* of all templates of one notification */
#define NOTIFY_MAX_BYTES (64u << 20)   /* of memory for it */
#define NOTIFY_MAX_BODY (8u << 20)     /* of a request */
#define NOTIFY_MAX_SECRET 65536        /* of a file */
#define NOTIFY_MAX_TOKEN 16384         /* that is kept for others */
#define NOTIFY_MAX_ANSWER (256u << 10) /* bytes that are looked at */
#define NOTIFY_MAX_REQUESTS 16         /* of one notification */

struct notify_request {
    const char *method;
    struct slice url, body;
    const char *content_type; /* NULL: none */
    const char **headers;     /* "Name: value" */
    size_t n_headers;
    const char *user, *password; /* basic auth; NULL: none */
    unsigned max_redirects;
    const struct http_client_tls *tls; /* NULL: the client's */
    const char *proxy, *no_proxy;      /* NULL: none */
    const char **proxy_headers;
    size_t n_proxy_headers;
    const struct mail_req *mail; /* a mail instead of all that; NULL: none */
};

struct notify_answer {
    int status;
    struct slice content_type, body;
};

struct notify_render;

/* Copies the note and holds what it points to; conf is the one that its route is of. now_ns: for since. */
struct notify_render *notify_render_new(struct amconf *conf, const struct dispatch_note *note,
                                        struct slice external_url, int64_t now_ns);
void notify_render_free(struct notify_render *r); /* NULL is allowed */
/* Tokens that are fetched before the first request (OAuth 2, WeChat) can be kept for others. The key is empty when none is
 * needed. What is given is used instead of fetching one; what was fetched is returned once, with how long it holds. */
struct slice notify_render_token_key(const struct notify_render *r);
void notify_render_give_token(struct notify_render *r, struct slice token);
struct slice notify_render_fetched_token(struct notify_render *r, int64_t *ret_lifetime_s);
/* The server took the last request's token for a bad one. */
bool notify_render_token_is_bad(const struct notify_render *r);
/* The next request, lent until the one after it; NULL: there is no more to be said. An error is final unless
 * ret_may_retry says otherwise. Worker. */
ORR_CHECKED struct err *notify_render_next(struct notify_render *r,
                                           const struct notify_request **ret, bool *ret_may_retry);
/* Whether the request was taken; keeps of the answer what the next request needs. */
ORR_CHECKED struct err *notify_render_judge(struct notify_render *r, const struct notify_answer *a,
                                            bool *ret_may_retry);
