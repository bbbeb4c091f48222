/*
 * Answers in JSON, as trees of jansson. One thread.
 */
#pragma once
#include <jansson.h>

#include "deploy/orreryctl/ctl.h"

/* GET of a path (ctl_http.h). raw: the answer goes to standard output as it came, and *ret is NULL. The caller json_decref()s *ret. */
ORR_CHECKED struct err *ctl_json_get(struct ctl *c, struct slice path, bool raw, json_t **ret);
/* A text as it is, a number in digits (good until the next call), anything else "". */
const char *ctl_json_text(const json_t *v);
/* name{a="b"} of an object of texts, its names in order, in the arena. */
const char *ctl_json_labels(struct arena *a, json_t *labels);
