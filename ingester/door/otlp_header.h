/*
 * What OTLP describes metrics, log records and spans with, from both encodings: a Resource, or an InstrumentationScope.
 *
 *   Resource              1 attributes*  2 dropped count
 *   InstrumentationScope  1 name  2 version  3 attributes*  4 dropped count
 *
 * Owner: one decoder.
 */
#pragma once
#include "ingester/door/otlp_json_internal.h"
#include "ingester/door/otlp_proto_internal.h"

struct otlp_header {
    struct slice name, version;  /* of a scope */
    struct otlp_member *members; /* the arena's */
    size_t n;
    uint32_t dropped;
};

static inline struct otlp_header otlp_header_empty(void)
{
    return (struct otlp_header){.name = SLICE_EMPTY, .version = SLICE_EMPTY};
}
/* *ret is empty. False: the decoder was told why. */
bool otlp_header_proto_resource(struct wire_decoder *d, struct slice m, struct otlp_header *ret);
bool otlp_header_proto_scope(struct wire_decoder *d, struct slice m, struct otlp_header *ret);
/* Into what *ret is; of a member that comes twice the last counts. */
void otlp_header_json_resource(struct otlp_json *j, struct jsonval v, struct otlp_header *ret);
void otlp_header_json_scope(struct otlp_json *j, struct jsonval v, struct otlp_header *ret);
/* Its attributes as labels, in a. */
struct otlp_attrs otlp_header_labels(struct arena *a, const struct otlp_header *h);
