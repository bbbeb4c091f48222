/*
 * How many bytes a span has in OTLP's protobuf, without writing it: what traces_spanmetrics_size_total adds up. A status that says nothing is not
 * there. Pure; any thread.
 */
#pragma once
#include "common/traces/tracepiece.h"

size_t spansize_proto(const struct tracepiece_span *s);
