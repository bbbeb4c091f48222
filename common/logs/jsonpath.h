/*
 * Paths into a line that is JSON, as the expressions of Loki's json stage have them:
 *
 *     request.headers["X-Key"]   servers[0]   ["weird key"].a
 *
 * jsonpaths_each() reads a line once for all paths, leniently: what is malformed ends it where it
 * stands, and what was found before counts. Of a member that occurs twice the first one counts.
 * Values are given as they are written, strings without their quotes but with their escapes.
 *
 * Compiled paths are read-only; any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"

#define JSONPATH_MAX_STEPS 64
#define JSONPATH_MAX_PATHS 256

struct jsonpaths;

/* ERR_INVALID: a path that is none. */
ORR_CHECKED struct err *jsonpaths_make(struct arena *a, const struct slice *paths, size_t n,
                                       struct jsonpaths **ret);
typedef void jsonpath_fn(void *arg, size_t path, struct slice value);
/* Returns how many paths were found. */
size_t jsonpaths_each(const struct jsonpaths *p, struct slice line, jsonpath_fn *fn, void *arg);
