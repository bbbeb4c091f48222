/*
 * What a head holds of a tenant, as JSON of the cases' shape: series with samples, histograms in
 * test notation, exemplars.
 */
#pragma once
#include "ingester/metrics/head.h"
#include "tests/conformance/conformance.h"

json_t *stored_json(struct conformance *c, struct head *head, const char *tenant); /* a new one */
/* A list of series as text that does not depend on their order; in the case's arena. */
char *stored_sorted(struct conformance *c, const json_t *list);
