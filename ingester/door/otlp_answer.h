/*
 * What requests and answers of OTLP over HTTP share, whatever the signal: JSON or protobuf by Content-Type, and errors as
 * google.rpc.Status in the same form (otlp_reply.h), JSON for whoever sent neither.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"

bool otlp_answer_is_json(const struct http_request *r);
/* ERR_MEDIA_TYPE. */
ORR_CHECKED struct err *otlp_answer_check_type(const struct http_request *r);
/* Takes the bytes of body. */
void otlp_answer(struct http_request *r, int status, struct buf *body, bool is_json);
/* Takes e. With Retry-After where it may be tried again. */
void otlp_answer_err(struct http_request *r, struct err *e);
