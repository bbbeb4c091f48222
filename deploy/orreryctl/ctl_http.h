/*
 * A running Orrery asked from outside. Options: --address (a URL or host:port), --tenant, --token. Blocks; one thread.
 */
#pragma once
#include "common/base/buf.h"
#include "deploy/orreryctl/ctl.h"

#define CTL_HTTP_OPTIONS (CTL_BIT(CTL_ADDRESS) | CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_TOKEN))

/* The URL of path; appended. */
void ctl_http_url(const struct ctl *c, struct slice path, struct buf *out);
/* path: from the first slash on, escaped, with what is behind a "?". content_type NULL: no body. Appends the answer to ret (may be NULL).
 * What is no success is an error with its text: ERR_NOT_FOUND, ERR_CONFLICT, ERR_INVALID or (a 429, too) ERR_UNAVAILABLE; no answer:
 * ERR_NET or ERR_TIMEOUT. */
ORR_CHECKED struct err *ctl_http(struct ctl *c, const char *method, struct slice path,
                                 const char *content_type, struct slice body, struct buf *ret);
