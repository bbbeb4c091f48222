/*
 * Walking the route tree: which routes an alert takes, which group of each it is in.
 *
 * A label set's fingerprint is Prometheus' FNV-1a 64 over name 0xff value 0xff in order of name.
 * A group's key is the route's key, a colon and the group's labels: {}/{a="b"}:{alertname="X"}.
 *
 * Any thread.
 */
#pragma once
#include "alertmanager/amconf.h"
#include "common/template/template_am.h"

uint64_t amroute_fingerprint(struct labels ls);

/* Calls fn for each route that takes ls, in order. At least one: the root takes all. */
typedef void amroute_fn(void *arg, const struct amroute *route);
void amroute_match(const struct amroute *root, struct labels ls, amroute_fn *fn, void *arg);

/* The labels by which the route groups ls; borrowed from ls, the array from the arena. */
struct labels amroute_group_labels(struct arena *a, const struct amroute *route, struct labels ls);
/* The labels of the route, their templates run on data; in the arena. One may ask for others by routeLabels, through
 * AMROUTE_LABEL_DEPTH of them. One that fails, or is empty, or comes when no steps are left, is left out. */
#define AMROUTE_LABEL_DEPTH 8
#define AMROUTE_LABEL_STEPS 50000 /* for those of one group, all of them together */
struct labels amroute_labels(struct arena *a, const struct amconf *conf,
                             const struct amroute *route, const struct template_am *data,
                             uint64_t *steps_left);
/* {a="b", c="d"} */
void amroute_labels_text(struct buf *out, struct labels ls);
void amroute_group_key(struct buf *out, const struct amroute *route, struct labels group);
/* Whether the route is silent at this time (mute_time_intervals, active_time_intervals). */
bool amroute_is_muted(const struct amroute *route, int64_t unix_s);
/* fn for the name of each interval that makes it so. */
typedef void amroute_name_fn(void *arg, struct slice name);
void amroute_muted_by(const struct amroute *route, int64_t unix_s, amroute_name_fn *fn, void *arg);
