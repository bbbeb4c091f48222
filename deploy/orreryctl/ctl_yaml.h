/*
 * YAML trees (common/base/yaml.h) of files that commands read, to structs: fields that are expected, and the first thing that is wrong with
 * the line where it is. One thread.
 */
#pragma once
#include "common/base/yaml.h"
#include "common/model/labels.h"

/* A walk over a tree; it ends with its first error. */
struct ctl_yaml {
    struct arena *a;
    struct err *error;
};

/* Takes e. */
void ctl_yaml_fail(struct ctl_yaml *w, const struct yaml_node *n, struct err *e);
/* Empty: it is absent. */
struct slice ctl_yaml_text(struct ctl_yaml *w, const struct yaml_node *n);
int64_t ctl_yaml_duration(struct ctl_yaml *w, const struct yaml_node *n, int64_t absent_ms);
/* The items of a list; none when it is absent. */
struct yaml_node **ctl_yaml_list(struct ctl_yaml *w, const struct yaml_node *n, size_t *ret_n);
/* A mapping of these fields (NULL-terminated), or nothing. */
void ctl_yaml_fields(struct ctl_yaml *w, const struct yaml_node *n, const char *const *names);
/* Sorted, in the arena. */
struct labels ctl_yaml_labels(struct ctl_yaml *w, const struct yaml_node *n);
