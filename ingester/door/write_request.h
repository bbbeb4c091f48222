/*
 * prometheus.WriteRequest (remote write 1.0) into a push: validation with Prometheus' rules and the
 * tenant's limits.
 *
 * Steady path of a series: step over its labels by their lengths, hash them, find the fingerprint
 * in the cache, take its sample. Labels are looked into only when the fingerprint is new, and
 * rebuilt only when they are not canonical.
 *
 * What is refused, and how far: malformed protobuf and an invalid native histogram refuse the whole
 * request, as Prometheus does (nothing is stored); bad labels refuse their series. An exemplar with
 * more than 128 characters of labels, of a series that does not exist yet but through histograms of
 * the same request, or of a series sent with an empty label, is dropped without a word, as there.
 *
 * Owner: one loop (the cache's).
 */
#pragma once
#include "ingester/door/push_builder.h"

extern const struct push_decoder write_request_decoder;
