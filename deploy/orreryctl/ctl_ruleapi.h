/*
 * The API of rule configurations of a running Orrery (common/process/rules_config.h), asked from outside: the tenant's
 * rules in PromQL, or with --language=logql those in LogQL.
 *
 * Options: those of ctl_http.h, and --language. All block; one thread.
 */
#pragma once
#include "common/base/buf.h"
#include "deploy/orreryctl/ctl_http.h"
#include "ruler/rule_file.h"

#define CTL_RULEAPI_OPTIONS (CTL_HTTP_OPTIONS | CTL_BIT(CTL_LANGUAGE))

/* Of --language; PromQL if it was not given. */
ORR_CHECKED struct err *ctl_ruleapi_lang(struct ctl *c, enum rule_lang *ret);
/* ns and group may be empty; ret is replaced. ERR_NOT_FOUND when there is nothing. Any other answer that is no success is an
 * error with its text. */
ORR_CHECKED struct err *ctl_ruleapi_get(struct ctl *c, struct slice ns, struct slice group,
                                        struct buf *ret);
ORR_CHECKED struct err *ctl_ruleapi_set(struct ctl *c, struct slice ns, struct slice yaml);
/* group empty: the namespace. */
ORR_CHECKED struct err *ctl_ruleapi_delete(struct ctl *c, struct slice ns, struct slice group);
