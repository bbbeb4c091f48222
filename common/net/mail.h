/*
 * Mail over SMTP by libcurl, on a client's loop (http_client.h): one message to one server.
 *
 * An answer of the server's, a refusal too, is a reply: status is its last code (250: it has the
 * message), the body says what failed. No connection, no TLS where it is required, a reset: ERR_NET.
 */
#pragma once
#include "common/net/http_client.h"

struct mail_req {
    const char *host; /* name or address, [::1] */
    unsigned port;
    const char *hello;    /* what we call ourselves */
    bool is_implicit_tls; /* TLS from the first byte */
    bool requires_tls;    /* STARTTLS, or there is no mail */
    const char *user,
        *password;          /* NULL: we do not say who we are; nor when the server does not ask */
    const char *identity;   /* on whose behalf (PLAIN); NULL: the user's */
    const char *mechanisms; /* "AUTH=PLAIN;AUTH=LOGIN" */
    const char *from;       /* addresses alone */
    const char *const *to;
    size_t n_to;
    struct slice message;              /* headers and body, lines ended by CRLF; copied */
    const struct http_client_tls *tls; /* NULL: the system's CAs */
    int64_t timeout_ms;                /* of everything [30000] */
};

/* As http_client_request(). */
ORR_CHECKED struct err *mail_send(struct http_client *c, const struct mail_req *req,
                                  http_client_fn *done, void *arg,
                                  struct http_client_call **ret_call);
