/*
 * Alertmanager's API v2: what it answers to a GET, apart from sockets, so that one
 * alertmanager can answer for another.
 *
 *   alerts          filter, receiver, receiver_matchers, active, silenced, inhibited, unprocessed
 *   alerts/groups   the same, muted
 *   silences        filter, active, pending, expired
 *   silence         id
 *   receivers       receiver_matchers
 *   status
 *   page/alerts, page/silences, page/status   HTML; matchers, new: the matchers of the form
 *
 * Errors are JSON strings, as Alertmanager writes them.
 *
 * A question travels as: lstr what ("alerts", ...) | n × (lstr name, lstr value); the answer as
 * u16le status | body.
 *
 * Owner: the role's loop.
 */
#pragma once
#include "alertmanager/dispatch.h"
#include "common/net/http.h"

struct amapi_answer {
    int status;
    struct buf body;
};
void amapi_error(struct amapi_answer *a, struct err *e); /* takes e */

void amapi_encode(struct buf *out, struct slice what, const struct http_param *params, size_t n);

/* What status shows besides the dispatcher's configuration. */
struct amapi_peer {
    const char *name, *address;
};
struct amapi_view {
    struct slice tenant;
    const struct dispatch *dispatch; /* NULL: the tenant has none here */
    const struct silences *silences;
    const struct amconf *conf;
    const char *instance;
    const struct amapi_peer *peers;
    size_t n_peers;
    int64_t start_ns, now_ns;
    bool is_ready;
};
void amapi_ask(const struct amapi_view *v, struct slice question, struct amapi_answer *ret);
