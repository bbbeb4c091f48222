/*
 * Telling receivers. notify_webhook() writes the body that Alertmanager's webhook posts, version
 * "4"; a struct notifier sends it.
 *
 * A 2xx answer is success; 5xx, 429, no connection and time-outs may be tried again; anything else
 * is final. Secrets kept in files are read anew for each notification, on a worker.
 *
 * Owner of a notifier: its loop.
 */
#pragma once
#include "alertmanager/dispatch.h"
#include "common/base/job.h"
#include "common/net/http_client.h"

void notify_webhook(struct buf *out, const struct dispatch_note *note, struct slice external_url);

struct notifier;
struct notifier_metrics {
    uint64_t sent, failed, unsupported;
};

/* How it ended; e is lent, NULL when told. */
typedef void notifier_done_fn(void *arg, struct slice tenant, uint64_t id, const struct err *e,
                              bool may_retry);
struct notifier *notifier_new(struct http_client *http, struct job_pool *jobs, struct loop *loop,
                              struct slice external_url, notifier_done_fn *done, void *arg);
/* What is under way is cut off; done is not called. NULL is allowed. Its jobs must have ended. */
void notifier_free(struct notifier *n);
/* done is called later, never from inside. */
void notifier_send(struct notifier *n, struct slice tenant, const struct dispatch_note *note);
/* Whether something is under way. */
bool notifier_busy(const struct notifier *n);
struct notifier_metrics *notifier_metrics(struct notifier *n);
