/*
 * Answers to a request. On the request's loop only; see the rule in http_server.h. Whatever ends
 * the reply (all but header, start and chunk) also ends the request.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

struct http_request;

#define HTTP_JSON "application/json"
#define HTTP_TEXT "text/plain; charset=utf-8"
#define HTTP_HTML "text/html; charset=utf-8"

/* Adds a header, before any of the others. Copies. Control bytes in value are dropped, so foreign
 * text cannot add a header. */
void http_reply_header(struct http_request *r, const char *name, struct slice value);
/* Sent behind the body, by HTTP/2 and in chunked replies of HTTP/1.1; at any time before the end. */
void http_reply_trailer(struct http_request *r, const char *name, struct slice value);
/* content_type may be NULL (204, redirects). Copies body. */
void http_reply(struct http_request *r, int status, const char *content_type, struct slice body);
/* Takes the bytes of body without a copy and leaves it empty. */
void http_reply_buf(struct http_request *r, int status, const char *content_type, struct buf *body);
/* Takes e: status from err_code_http(), its text as text/plain; 429 and 503 say Retry-After: 1. */
void http_reply_err(struct http_request *r, struct err *e);

/* Headers and nothing else; HTTP/2 ends the stream with them. */
void http_reply_bare(struct http_request *r, int status, const char *content_type);

/* A streamed reply: start, chunks, end. */
void http_reply_start(struct http_request *r, int status, const char *content_type);
/* Copies piece. False when more than output_high_bytes wait for the client: stop until on_drain is
 * called. The piece has been taken in either case. Once the client is gone pieces vanish and the
 * answer is true; endless streams need on_cancel. */
bool http_reply_chunk(struct http_request *r, struct slice piece);
/* The same without a copy: takes piece and leaves it empty. */
bool http_reply_chunk_buf(struct http_request *r, struct buf *piece);
/* Pushes out what compression holds back. */
void http_reply_flush(struct http_request *r);
/* fn(r) is called each time the waiting bytes fall from above the mark to below half of it. */
void http_reply_on_drain(struct http_request *r, void (*fn)(struct http_request *r));
void http_reply_end(struct http_request *r);
/* Cuts the connection (HTTP/2: resets the stream) so that the client sees the reply is not whole. */
void http_reply_abort(struct http_request *r);
