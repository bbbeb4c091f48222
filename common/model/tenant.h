/*
 * Tenant ids: 1..150 bytes of [a-zA-Z0-9!-_.*'()], not "." or "..", as in Mimir. "a|b" joins
 * tenants on reads where federation is on.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

#define TENANT_MAX_BYTES 150
#define TENANT_HEADER "X-Scope-OrgID"
#define TENANT_DEFAULT "anonymous" /* when auth.multitenancy is off */

ORR_CHECKED struct err *tenant_check(struct slice id);
