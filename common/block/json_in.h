/*
 * Reading our JSON documents (meta.json, catalogue) with jansson: typed members with defaults, and
 * one remembered complaint. Within common/block only.
 */
#pragma once
#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/block/ulid.h"
#include "common/model/labels.h"

#define JSON_IN_MAX_LIST (1u << 20)

struct json_in {
    struct arena *arena;
    const char *bad; /* name of the first member that is missing or of a wrong kind */
};

/* The document, which must be an object; the caller json_decref()s it. */
ORR_CHECKED struct err *json_in_load(struct slice text, size_t max_bytes, json_t **ret);
void json_in_fail(struct json_in *j, const char *member);
/* A required member is there, or j->bad is set; absent optional ones are NULL, 0, "". */
json_t *json_in_object(struct json_in *j, json_t *o, const char *name, bool is_required);
/* ret_n entries; NULL if absent. */
json_t *json_in_list(struct json_in *j, json_t *o, const char *name, size_t *ret_n);
int64_t json_in_i64(struct json_in *j, json_t *o, const char *name, bool is_required);
uint64_t json_in_u64(struct json_in *j, json_t *o, const char *name, bool is_required);
struct slice json_in_text(struct json_in *j, json_t *o, const char *name, bool is_required);
struct ulid json_in_ulid(struct json_in *j, json_t *o, const char *name, bool is_required);
/* Whether a text may become a path or an object key: "chunks/000001"; nothing that climbs. */
bool json_in_is_path(struct slice s);
/* A key of a block's directory outside of what is this system's own: such a path whose last part is the ULID, and whose first
 * is none of the signals, below which each tenant has its own blocks and nobody else's. */
bool json_in_is_block_dir(struct slice s, struct ulid ulid);
/* An object of strings as labels, sorted; none if absent. */
struct labels json_in_labels(struct json_in *j, json_t *o, const char *name);
/* Lists of strings and of ULIDs. */
const struct slice *json_in_texts(struct json_in *j, json_t *o, const char *name, size_t *ret_n);
const struct ulid *json_in_ulids(struct json_in *j, json_t *o, const char *name, size_t *ret_n);
