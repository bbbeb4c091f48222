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
#include "ingester/door/door_reason.h"
#include "ingester/door/fp_cache.h"
#include "ingester/push.h"

#define WRITE_REQUEST_EXEMPLAR_MAX_CHARS 128
#define WRITE_REQUEST_MAX_EXAMPLES 3

struct write_request_rejects {
    uint64_t samples[DOOR_REASON_COUNT];     /* histograms count as samples */
    struct slice example[DOOR_REASON_COUNT]; /* label fields of the first series; in the push */
    uint64_t exemplars, metadata;            /* dropped */
};

/* Reads p->body. What it leaves in p on an error is not to be used. */
ORR_CHECKED struct err *write_request_decode(struct push *p, const struct fp_cache *known,
                                             struct write_request_rejects *ret);
/* After the replicas have taken p: its series are known from now on. */
void write_request_remember(const struct push *p, struct fp_cache *known);
