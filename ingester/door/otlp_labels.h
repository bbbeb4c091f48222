/*
 * The labels of a series from the attributes of its point, scope and resource.
 *
 *   weak     promoted resource attributes: a point's attribute of that name stays
 *   strong   job (service.namespace/service.name), instance (service.instance.id), otel_scope_…,
 *            __type__, __unit__, __name__, le or quantile: they replace a point's attribute
 *
 * Where escaping makes one name of several attributes, their values stand in the order of the
 * original names with ";" between. What is empty is no label.
 *
 * What is strong and weak is worked out once for a resource, a scope, a metric; a point costs a
 * sort of its attributes and one merge. Escaped names are kept for the request. Nothing is
 * allocated per point once the scratch has its size.
 *
 * Owner: one thread. Results are lent until the next call; texts are those given, or in the arena.
 */
#pragma once
#include "common/model/otlp_config.h"
#include "ingester/door/otlp.h"
#include "ingester/door/otlp_name.h"

struct otlp_fixed {
    struct label label;
    bool is_weak;
    uint32_t nth;
};
/* In order of their names; names are unique. */
struct otlp_fixed_set {
    struct otlp_fixed *ptr;
    size_t n, cap;
};

/* A point's attribute with its escaped name. */
struct otlp_named {
    struct label label;
    struct slice from;
    uint32_t nth; /* among the attributes */
};

/* How the labels of the last point came together. The next one mostly has the same keys in the same
 * order; then only the values are new. */
struct otlp_plan {
    struct label *out;
    uint32_t *from; /* of each in out: which attribute it is; UINT32_MAX: it is fixed */
    size_t n, cap;
    struct slice *name, *extra; /* values of __name__ and of the extra label in out */
    struct otlp_attrs keys;     /* the attributes it was made for */
    bool is_valid;
};

#define OTLP_LABELS_MAX                                                                            \
    1000 /* that resource and scope bring; each point and metric pays for them */
#define OTLP_LABELS_NAMES 256 /* escaped ones that are kept; a power of two */

struct otlp_labels {
    struct arena *a;
    const struct otlp_config *config;
    struct otlp_name_labels how;
    struct slice name;                                     /* of the metric */
    struct otlp_fixed_set resource, scope, metric, target; /* each has what the one before has */
    struct otlp_named *point;
    size_t point_cap;
    struct otlp_plan plans[2], target_plan; /* of points: without and with an extra label */
    struct label names[OTLP_LABELS_NAMES];  /* original and escaped; name.ptr NULL: free */
};

void otlp_labels_init(struct otlp_labels *l, struct arena *a, const struct otlp_config *config);

/* All of these: ERR_INVALID when nothing is left of an attribute's name, or for more than
 * OTLP_LABELS_MAX. */
ORR_CHECKED struct err *otlp_labels_resource(struct otlp_labels *l, struct otlp_attrs attrs);
ORR_CHECKED struct err *otlp_labels_scope(struct otlp_labels *l, const struct otlp_scope *scope);
/* type and unit "": none. */
void otlp_labels_metric(struct otlp_labels *l, struct slice name, const char *type,
                        struct slice unit);

/*
 * The labels of a point, sorted. extra: one more strong label (le, quantile), or NULL. *ret_name
 * and *ret_extra (may be NULL) are where the values of __name__ and extra stand, to be changed in
 * place.
 */
ORR_CHECKED struct err *otlp_labels_point(struct otlp_labels *l, struct otlp_attrs attrs,
                                          const char *extra, struct labels *ret,
                                          struct slice **ret_name, struct slice **ret_extra);
/* Those of target_info; n 0: the resource has none to tell. */
ORR_CHECKED struct err *otlp_labels_target(struct otlp_labels *l, struct otlp_attrs attrs,
                                           struct slice name, struct labels *ret);
