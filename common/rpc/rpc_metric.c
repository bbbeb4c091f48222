#include "common/rpc/rpc_metric.h"

#include <pthread.h>
#include <stdio.h>

struct rpc_metric rpc_metric;

static const struct metric_field fields[] = {
    METRIC_COUNTER(struct rpc_metric, calls_sent, "orrery_rpc_client_calls_total",
                   "Calls started by this process."),
    METRIC_COUNTER(struct rpc_metric, calls_handled, "orrery_rpc_server_calls_total",
                   "Calls taken by this process."),
    METRIC_GAUGE(struct rpc_metric, client_inflight, "orrery_rpc_client_inflight",
                 "Calls of this process that wait for an answer."),
    METRIC_GAUGE(struct rpc_metric, server_inflight, "orrery_rpc_server_inflight",
                 "Calls being received or handled."),
    METRIC_GAUGE(struct rpc_metric, server_inflight_bytes, "orrery_rpc_server_inflight_bytes",
                 "Payload bytes of calls being received or handled."),
    METRIC_GAUGE(struct rpc_metric, connections, "orrery_rpc_server_connections",
                 "Connections of other processes."),
    METRIC_COUNTER(struct rpc_metric, bytes_sent, "orrery_rpc_sent_bytes_total",
                   "Bytes of frames sent."),
    METRIC_COUNTER(struct rpc_metric, bytes_received, "orrery_rpc_received_bytes_total",
                   "Bytes of frames received."),
    METRIC_COUNTER(struct rpc_metric, seal_failures, "orrery_rpc_seal_failures_total",
                   "Frames and greetings that could not be opened: another key, or damaged."),
    METRIC_COUNTER(struct rpc_metric, bad_frames, "orrery_rpc_bad_frames_total",
                   "Received messages that are no frame of ours."),
    METRIC_COUNTER(struct rpc_metric, resets, "orrery_rpc_resets_total",
                   "Connections ended because a frame was lost, out of order or wrong."),
    METRIC_COUNTER(struct rpc_metric, connects, "orrery_rpc_client_connects_total",
                   "Connections made to peers; what exceeds the number of peers are reconnects."),
    METRIC_COUNTER(
        struct rpc_metric, refused, "orrery_rpc_refused_calls_total",
        "Calls refused by a bound: in flight, queued bytes, or a peer known to be down."),
    METRIC_COUNTER(struct rpc_metric, stalls, "orrery_rpc_reply_stalls_total",
                   "Replies that had to wait for the client to take earlier ones."),
};

struct code_metric {
    uint64_t client, server;
};
static const struct metric_field code_fields[] = {
    METRIC_COUNTER(struct code_metric, client, "orrery_rpc_client_errors_total",
                   "Calls of this process that failed, by code."),
    METRIC_COUNTER(struct code_metric, server, "orrery_rpc_server_errors_total",
                   "Calls that this process answered with an error, by code."),
};
#define X(sym, name, http, num) +1
static struct code_metric codes[1 ERR_CODES(X)]; /* wire numbers are dense, from 1 */
#undef X

static void init(void)
{
    metric_register(&rpc_metric, fields, ORR_COUNT(fields), NULL);
    for (size_t i = 1; i < ORR_COUNT(codes); i++) {
        char labels[64];

        snprintf(labels, sizeof(labels), "code=\"%s\"", err_code_name((enum err_code)i));
        metric_register(&codes[i], code_fields, ORR_COUNT(code_fields), labels);
    }
}

void rpc_metric_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
}

void rpc_metric_client_error(enum err_code code)
{
    ORR_ASSERT((size_t)code < ORR_COUNT(codes));
    METRIC_ADD(codes[code].client, 1);
}

void rpc_metric_server_error(enum err_code code)
{
    ORR_ASSERT((size_t)code < ORR_COUNT(codes));
    METRIC_ADD(codes[code].server, 1);
}
