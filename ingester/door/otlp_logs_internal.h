/*
 * Logs as they were received, between the decoders (otlp_logs_proto.c, otlp_logs_json.c) and what
 * becomes of them (otlp_logs.c). All arrays lie in the batch's arena.
 */
#pragma once
#include "ingester/door/log_builder.h"
#include "ingester/door/otlp_header.h"

#define OTLP_LOGS_BASE_BYTES (1u << 20)
#define OTLP_LOGS_FACTOR 16

struct otlp_members {
    struct otlp_member *ptr;
    size_t n;
};

struct otlp_record {
    uint64_t time_ns, observed_ns;
    int64_t severity;
    struct slice severity_text, trace_id, span_id, event_name;
    struct otlp_value body;
    struct otlp_members attrs;
    uint32_t dropped, flags;
};

struct otlp_log_scope {
    struct otlp_header header;
    struct otlp_record *records;
    size_t n_records;
};

struct otlp_log_resource {
    struct otlp_header header;
    struct otlp_log_scope *scopes;
    size_t n_scopes;
};

struct otlp_logs {
    struct otlp_log_resource *resources;
    size_t n_resources;
};

/* Sorts members of maps in place. */
ORR_CHECKED struct err *otlp_logs_translate(struct log_builder *b, struct otlp_logs *logs);
