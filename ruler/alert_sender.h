/*
 * Alerts on their way to alertmanagers: POST /api/v2/alerts, to every alertmanager of the tenant.
 *
 * Each alertmanager has a queue of its own, served in order, one request at a time, so that "it
 * has ended" does not overtake "it fires". A request that fails (no answer, 5xx, 429) is repeated a
 * few times and then dropped: rules send what fires again anyway. A queue is bounded; the oldest
 * give way and are counted.
 *
 * Alertmanagers: the replicas of the tenant on the alertmanagers' ring, and the URLs configured.
 *
 * Owner: the loop of the HTTP client, but alert_sender_post(), which any thread may call.
 */
#pragma once
#include "common/net/http_client.h"
#include "common/ring/membership.h"

struct alert_sender;

struct alert_sender_opts {
    struct loop *loop;
    struct http_client *client;
    struct membership *membership; /* NULL: only the URLs */
    const char *const *urls;       /* without /api/v2/alerts; copied */
    size_t n_urls;
    int64_t timeout_ms;
    size_t max_queued; /* requests per alertmanager */
};
struct alert_sender_metrics {
    uint64_t sent, failed, dropped; /* requests, attempts that failed, requests given up */
    int64_t queued;
};

struct alert_sender *alert_sender_new(const struct alert_sender_opts *opts);
/* With its loop not running, or on it. NULL is allowed. */
void alert_sender_free(struct alert_sender *s);
/* Takes the bytes of body, a JSON list of postable alerts. Any thread. */
void alert_sender_post(struct alert_sender *s, const char *tenant, struct buf *body);
/* Stops repeating; what is queued is dropped. On the loop. */
void alert_sender_stop(struct alert_sender *s);
size_t alert_sender_pending(const struct alert_sender *s); /* on the loop */
