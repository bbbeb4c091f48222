/*
 * Telling receivers: what notify_render.h makes of a note is sent, its answers are judged there. Templates are run and
 * secrets in files read, anew for each notification, on a worker.
 *
 * Tokens that were fetched (OAuth 2, WeChat) are kept for the notifications after it until they expire or are refused.
 *
 * Owner of a notifier: its loop.
 */
#pragma once
#include "alertmanager/dispatch.h"
#include "common/base/job.h"
#include "common/net/http_client.h"

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
