/*
 * The vocabulary of HTTP that server and client share: methods, statuses, headers, percent
 * encoding and form parameters. Pure functions; any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/slice.h"

#define HTTP_METHODS(X)                                                                            \
    X(HTTP_GET, "GET", 1)                                                                          \
    X(HTTP_HEAD, "HEAD", 2)                                                                        \
    X(HTTP_POST, "POST", 4)                                                                        \
    X(HTTP_PUT, "PUT", 8)                                                                          \
    X(HTTP_DELETE, "DELETE", 16)                                                                   \
    X(HTTP_PATCH, "PATCH", 32)                                                                     \
    X(HTTP_OPTIONS, "OPTIONS", 64)
/* Values are bits, so a route names its methods as HTTP_GET | HTTP_POST. */
enum http_method {
#define X(sym, name, bit) sym = bit,
    HTTP_METHODS(X)
#undef X
};

const char *http_method_name(enum http_method m);
/* Methods are case-sensitive. False if it is none of ours. */
bool http_method_from_name(struct slice name, enum http_method *ret);
/* "Not Found"; "Status" for one we have no words for. Never NULL. */
const char *http_status_text(int status);

struct http_header {
    struct slice name, value; /* as sent, value trimmed */
};
/* The first header of that name (any case), or an empty slice with ptr NULL. */
struct slice http_header_get(const struct http_header *headers, size_t n, const char *name);
/* Does a comma-separated header value contain this token (any case)? */
bool http_header_has_token(struct slice value, const char *token);

/* Appends s with %XX decoded; plus_is_space as in forms. False on a malformed escape, which is
 * then appended as it stands. */
bool http_unescape(struct slice s, bool plus_is_space, struct buf *out);
/* Into a; borrows s when there is nothing to decode. */
bool http_unescape_arena(struct arena *a, struct slice s, bool plus_is_space, struct slice *ret);
/* Appends s so that it can stand in a query or as one path segment. */
void http_escape(struct slice s, struct buf *out);

struct http_param {
    struct slice name, value; /* decoded */
};
struct http_params {
    struct http_param *items;
    size_t len, cap;
};
#define HTTP_PARAMS_MAX 10000
/* Appends the parameters of "a=1&b=2"; values borrow from text or a. False when an escape is
 * malformed or there are more than HTTP_PARAMS_MAX. */
bool http_params_parse(struct arena *a, struct slice text, struct http_params *params);
