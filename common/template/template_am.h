/*
 * Alertmanager's templates: the data of a notification and the functions beside Go's own.
 *
 * Functions: toUpper toLower title trimSpace join match reReplaceAll safeHtml safeUrl urlUnescape
 * stringSlice date tz since humanizeDuration toDate mustToDate toJson dict list append routeLabels
 * base64encode base64decode.
 * Data: .Receiver .Status .Alerts (.Firing .Resolved) .NotificationReason .GroupLabels
 * .CommonLabels .CommonAnnotations .RouteLabels .ExternalURL; label sets have .SortedPairs .Names
 * .Values .Remove; alerts .Status .Labels .Annotations .StartsAt .EndsAt .GeneratorURL .Fingerprint.
 *
 * Execute with missingkey zero, ctx = the struct template_am, and template_am_funcs. Any thread.
 */
#pragma once
#include "common/template/template.h"

struct template_am_alert {
    struct labels labels, annotations;
    struct gotime starts_at, ends_at; /* ends_at of a firing alert is written as Go's zero time */
    bool is_resolved;
    struct slice generator_url;
    uint64_t fingerprint;
};

struct template_am {
    struct slice receiver, external_url, reason;
    struct labels group_labels, route_labels;
    const struct template_am_alert *alerts;
    size_t n_alerts;
    int64_t now_ns; /* for since */
};

extern const struct template_funcs template_am_funcs;
/* A set with these functions and the default templates (slack.default.title, ...), to which a
 * tenant's own may be added. email.default.html is of our own design: the same facts. */
struct template_set *template_am_new(void);
/* Borrows texts and labels. */
struct value template_am_data(struct arena *a, const struct template_am *am);
/* toJson: as Go's encoding/json would write the value. False past out->max_bytes or too deep. */
bool template_am_json(struct buf *out, const struct value *v);
