/*
 * What all servers and pools of the process count, under orrery_rpc_*. Any thread (METRIC_ADD).
 */
#pragma once
#include "common/base/err.h"
#include "common/base/metric.h"

struct rpc_metric {
    uint64_t calls_sent, calls_handled;
    int64_t client_inflight, server_inflight, server_inflight_bytes, connections;
    uint64_t bytes_sent, bytes_received;
    uint64_t seal_failures, bad_frames, resets, connects, refused, stalls;
};
extern struct rpc_metric rpc_metric;

void rpc_metric_init(void); /* registers at the first call */
void rpc_metric_client_error(enum err_code code);
void rpc_metric_server_error(enum err_code code);
