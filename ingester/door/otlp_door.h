/*
 * An export request of OpenTelemetry metrics to the door, whatever way it came in (otlp_http.h,
 * gRPC): the tenant's settings, decoding, translation, and what is said about it in the end.
 *
 *   body ──▶ otlp_proto | otlp_json ──▶ otlp_translate ──▶ door_write() ──▶ done
 *
 *   done(NULL, 0)          all of it is durable on a quorum
 *   done(NULL, n, why)     the rest is; n points were refused by a limit, for their time, or cannot be translated.
 *                          Samples are counted (a classic histogram has many), but not more than
 *                          there were points
 *   done(e)                ERR_INVALID: cannot be read. ERR_UNSUPPORTED: a temporality that is not taken, and
 *                          nothing is stored. ERR_TOO_LARGE, ERR_LIMIT: too large. ERR_RATE,
 *                          ERR_UNAVAILABLE: try again. Also when nothing of it could be stored:
 *                          ERR_INVALID
 *
 * Settings: the section otlp, as it was read last, and the tenant's overrides.
 *
 * Any loop of the door; a request stays on its loop.
 */
#pragma once
#include "ingester/door/door.h"

struct otlp_door;

/* References c. ERR_INVALID: settings that exclude each other. d and limits outlive it. */
ORR_CHECKED struct err *otlp_door_new(struct door *d, struct limits *limits, const struct conf *c,
                                      struct otlp_door **ret);
void otlp_door_free(struct otlp_door *o); /* no request under way; NULL is allowed */
/* The configuration was read again. Settings that exclude each other are logged and left out. */
void otlp_door_set_conf(struct otlp_door *o, const struct conf *c);

struct door *otlp_door_door(struct otlp_door *o);

/* Takes e; text is lent. */
typedef void otlp_done_fn(void *arg, struct err *e, uint64_t rejected, const char *text);
/* body: decompressed, lent until this returns. done on the same loop, possibly before this
 * returns. */
void otlp_door_write(struct otlp_door *o, struct loop *loop, struct slice tenant, struct slice body,
                     bool is_json, otlp_done_fn *done, void *arg);
