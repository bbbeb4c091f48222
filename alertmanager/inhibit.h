/*
 * Inhibition: an alert that matches a rule's target is muted while another one, firing, matches its
 * source and agrees on the rule's `equal` labels. An alert that matches both sides of a rule is not
 * muted by one that does too (it would mute itself). A rule with several `sources` mutes while each of
 * them has such an alert.
 *
 * An index of the possible sources by rule and values of the `equal` labels, so that a search does
 * not look at all alerts of a tenant. It borrows the alerts: their owner tells it of each one that
 * comes, replaces another of its labels, or goes. Resolved ones are dropped when a search meets them,
 * until they are put again.
 *
 * Owner: one thread.
 */
#pragma once
#include "alertmanager/alert.h"
#include "alertmanager/amconf.h"

struct inhibit;

struct inhibit *inhibit_new(void);
void inhibit_free(struct inhibit *x); /* NULL is allowed */
/* conf is the one that all calls since inhibit_clear() were made with. */
void inhibit_put(struct inhibit *x, const struct amconf *conf, struct alert *a);
void inhibit_drop(struct inhibit *x, const struct amconf *conf, const struct alert *a);
void inhibit_clear(struct inhibit *x);
/* The alert that mutes ls, lent, or NULL. */
const struct alert *inhibit_find(struct inhibit *x, const struct amconf *conf, struct labels ls,
                                 int64_t now_ns);
