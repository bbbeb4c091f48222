/*
 * One HTTP call as libcurl sees it: shared by the client on a loop and the blocking one.
 *
 * Owner: the caller's thread.
 */
#pragma once
#include <curl/curl.h>

#include "common/net/http_client.h"

struct http_client_call {
    struct http_client *client; /* NULL when blocking */
    struct http_client_call *prev, *next;
    CURL *easy;
    struct curl_slist *headers, *proxy_headers, *connect_to;
    struct buf body;
    struct http_client_reply reply;
    size_t max_response_bytes, received_bytes;
    bool (*on_data)(void *arg, struct slice piece);
    http_client_fn *done;
    void *arg;
    char *url; /* without its query, for messages */
    bool is_too_large, was_stopped;
    bool is_mail;      /* a mail server's refusal is an answer, too (mail.h) */
    size_t sent_bytes; /* of body, as a mail */
    char text[CURL_ERROR_SIZE];
};

void http_client_library_init(void);
void http_client_opts_copy(const struct http_client_opts *opts, struct http_client_opts *ret);
void http_client_opts_done(struct http_client_opts *opts);
ORR_CHECKED struct err *http_client_call_new(const struct http_client_opts *opts,
                                             const struct http_client_req *req,
                                             struct http_client_call **ret);
void http_client_call_free(struct http_client_call *call);
/* The parts that calls of other protocols share. url without what messages must not show. */
struct http_client_call *http_client_call_bare(const char *url, size_t max_response_bytes);
void http_client_set_common(struct http_client_call *call, const char *protocols,
                            int64_t timeout_ms, int64_t connect_timeout_ms);
void http_client_set_tls(struct http_client_call *call, const struct http_client_tls *tls);
ORR_CHECKED struct err *http_client_set_server_name(struct http_client_call *call,
                                                    const char *server_name, const char *url);
/* Takes the call, also on failure. */
ORR_CHECKED struct err *http_client_start(struct http_client *c, struct http_client_call *call,
                                          http_client_fn *done, void *arg,
                                          struct http_client_call **ret_call);
ORR_CHECKED struct err *http_client_admit(const struct http_client *c, const char *url);
/* What libcurl's result means. */
ORR_CHECKED struct err *http_client_result(struct http_client_call *call, CURLcode rc);
/* Fills status and headers of the reply. */
void http_client_parse_head(struct http_client_call *call);
