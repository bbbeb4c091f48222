/*
 * Parser of a request's head: the request line and the headers.
 *
 *     GET /path?query HTTP/1.1 CRLF
 *     Name: value CRLF ...
 *     CRLF
 *
 * Two steps: http_head_scan() looks for the end in what has come so far (each byte is looked at
 * once), http_head_parse() takes the whole head apart. Strict where leniency lets two parsers in a
 * row disagree about where a request ends (RFC 9112 sections 2.2, 3.2, 5.1, 6.1–6.3, 11.2).
 *
 * Pure functions. Any thread.
 */
#pragma once
#include "common/net/http.h"

struct http_head_limits {
    size_t max_bytes; /* of the whole head */
    size_t max_headers;
};

struct http_head {
    enum http_method method;
    struct slice target, path_raw, query; /* path_raw is not decoded; "*" for OPTIONS * */
    int minor;                            /* HTTP/1.minor; 1 for HTTP/2, too */
    struct http_header *headers;
    size_t header_count;
    struct slice host, content_encoding;
    bool has_body, is_keep_alive, expects_continue;
    bool is_chunked;         /* its body's length is not known before its end */
    uint64_t content_length; /* 0 unless given */
};

/* A status to answer with and why, a constant. status 0: fine. */
struct http_head_fault {
    int status;
    const char *why;
};

struct http_head_scan {
    size_t scanned; /* bytes of the input looked at; {0} at the start */
    size_t skip;    /* empty lines before the request line */
    size_t end;     /* set when found: the head is input[skip, end) */
    size_t line_start;
    bool has_request_line;
};
enum http_head_found { HTTP_HEAD_MORE, HTTP_HEAD_FOUND, HTTP_HEAD_BAD };
/* in is everything since the start of this request; it only grows between calls. */
enum http_head_found http_head_scan(struct http_head_scan *s, struct slice in,
                                    const struct http_head_limits *limits,
                                    struct http_head_fault *ret_fault);
/* head ends with the empty line; slices in ret borrow from it, arrays are a's. */
struct http_head_fault http_head_parse(struct arena *a, struct slice head,
                                       const struct http_head_limits *limits,
                                       struct http_head *ret);
/* The two halves of it that HTTP/2 shares: splits h->target (method is set) into path and query,
 * and reads the headers that say something about the request itself. */
struct http_head_fault http_head_split_target(struct http_head *h);
struct http_head_fault http_head_note_headers(struct http_head *h);
bool http_head_is_token(struct slice s); /* a method, a header's name */
bool http_head_is_value(struct slice s); /* no control bytes but tabs */
