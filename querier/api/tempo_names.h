/*
 * Names of attributes and their values, of spans that match a filter: the q of Tempo's search/tags and search/tag/…/values.
 *
 * Who types a query asks with what stands there so far: { resource.cluster = "a" && span.path = }. Conditions that can be read are the
 * filter then; a query in which none can, or that is more than one pair of braces, is no filter.
 *
 * Owner: one worker.
 */
#pragma once
#include "querier/api/tempo_api_internal.h"

/* "{ … }", in the arena; empty: all spans. */
struct slice tempo_names_filter(struct arena *a, struct slice q);

/* One question: names of a table's attributes, or values (tracesource.h), each perhaps several times; is_enough once give said so. */
struct tempo_names_ask {
    struct tracesource_names_request req;
    tracesource_name_fn *give;
    void *arg;
    bool is_enough;
};
/* scan: of the range. filter: as above, not empty. select: the attribute that all questions are about, as TraceQL writes it; empty: they are
 * about all. */
ORR_CHECKED struct err *tempo_names_ask(struct tracescan_opts *scan, struct slice filter,
                                        struct slice select, struct tempo_names_ask *asks,
                                        size_t n);
