/*
 * What the parts of the JSON decoders share: otlp_json.c (a request of metrics down to its points), otlp_logs_json.c (one of
 * logs), and otlp_json_scalar.c (members, numbers, identifiers, attributes).
 *
 * Parsers fill what they are given, and tell the decoder what was wrong; the walk goes on, and who
 * began it asks once.
 */
#pragma once
#include "common/base/jsonval.h"
#include "common/model/otlp_value.h"
#include "ingester/door/otlp.h"

#define OTLP_JSON_MAX_DEPTH 160 /* five levels around a value, three for each level in it */

struct otlp_json {
    struct arena *a;
    size_t max_bytes;
    const char *bad, *why; /* constants: the first member that was wrong */
    bool is_over;
    uint64_t n_points;
};

void otlp_json_fail(struct otlp_json *j, const char *member, const char *why);
/* Room for the items of v, which must be a list; NULL (and *ret_n 0) if it is not, or too long. */
void *otlp_json_array(struct otlp_json *j, struct jsonval v, size_t each, const char *member,
                      size_t *ret_n);
/* Whether v is an object; else it is told. */
bool otlp_json_object(struct otlp_json *j, struct jsonval v, const char *member);
/* The members of an object; anything else is told and has none. */
struct jsonval_iter otlp_json_walk(struct otlp_json *j, struct jsonval v, const char *member);
/* The next member that is not null. */
bool otlp_json_next(struct jsonval_iter *it, struct slice *ret_key, struct jsonval *ret);
/* key is name, or name with underscores: timeUnixNano, time_unix_nano. */
bool otlp_json_is(struct slice key, const char *name);

uint64_t otlp_json_u64(struct otlp_json *j, struct jsonval v, const char *member);
uint32_t otlp_json_u32(struct otlp_json *j, struct jsonval v, const char *member);
int64_t otlp_json_i64(struct otlp_json *j, struct jsonval v, const char *member);
int32_t otlp_json_i32(struct otlp_json *j, struct jsonval v, const char *member);
double otlp_json_f64(struct otlp_json *j, struct jsonval v, const char *member);
bool otlp_json_bool(struct otlp_json *j, struct jsonval v, const char *member);
struct slice otlp_json_text(struct otlp_json *j, struct jsonval v, const char *member);
struct slice otlp_json_hex(struct otlp_json *j, struct jsonval v, const char *member);
struct otlp_attrs otlp_json_attrs(struct otlp_json *j, struct jsonval v, const char *member);
/* An AnyValue, and a list of KeyValues, as they are. */
struct otlp_value otlp_json_value(struct otlp_json *j, struct jsonval v);
struct otlp_member *otlp_json_members(struct otlp_json *j, struct jsonval v, const char *member,
                                      size_t *ret_n);
