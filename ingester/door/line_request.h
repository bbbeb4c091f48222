/*
 * What the HTTP ways in for text have in common: a request, decoded where its body lies, into the
 * door.
 *
 *   ?extra_label=name=value   (may be repeated) a label that each series gets, in place of one of
 *                             that name it may have
 *
 * The body stays the request's: it lives until the reply, which comes after the write is done.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "ingester/door/door.h"
#include "ingester/door/push_builder.h"

struct line_request {
    struct arena *arena; /* the request's */
    struct slice body;
    struct labels extra;
    /* Scratch for line_request_labels(). */
    struct label *scratch;
    size_t scratch_cap;
};

/* on_headers of such routes; the route's arg is the struct door. */
struct err *line_request_admit(struct http_request *r);
/* Of the query alone, never of the body, whatever that says it is. ptr NULL: not there. */
struct slice line_request_param(struct http_request *r, const char *name);
/* Reads the extra labels. ERR_INVALID when the query or they are malformed. */
ORR_CHECKED struct err *line_request_init(struct http_request *r, struct line_request *ret);
/* ls with the extra labels; ls itself when there are none. Valid until the next call. */
struct labels line_request_labels(struct line_request *q, struct labels ls);
/* decoder->arg and done's arg must be in the request's arena, or it. */
void line_request_write(struct http_request *r, const struct push_decoder *decoder,
                        door_done_fn *done, void *arg);
