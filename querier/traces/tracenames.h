/*
 * What can be offered of traces in columns: names of attributes, and values of one. For sources that have columns (tracesource.h).
 *
 * Any thread.
 */
#pragma once
#include "querier/traces/tracesource.h"

/* Each once. req's times are not looked at. spans: 1 for each span whose names and values are meant (and of its resource, events …);
 * NULL: all. False: give had enough. */
bool tracenames_of(const struct tracecols *cols, const struct tracesource_names_request *req,
                   const uint8_t *spans, tracesource_name_fn *give, void *arg);
