/*
 * Inhibition: an alert that matches a rule's target is muted while another one, firing, matches its
 * source and agrees on the rule's `equal` labels. An alert that matches both sides of a rule is not
 * muted by one that does too (it would mute itself).
 *
 * Pure; the caller's thread.
 */
#pragma once
#include "alertmanager/alert.h"
#include "alertmanager/amconf.h"

/* alerts: values of a map of struct alert by fingerprint. Returns the alert that mutes ls, or NULL. */
struct map;
const struct alert *inhibit_find(const struct amconf *conf, const struct map *alerts,
                                 struct labels ls, int64_t now_ns);
