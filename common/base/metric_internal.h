/* What metric.c and metric_process.c share. */
#pragma once
#include "common/base/metric.h"

/* A collector: process_*, orrery_build_info, and what the log and the heap count. */
void metric_process_collect(void *arg, struct buf *out, bool is_openmetrics);
