/*
 * Who asks: the tenant of an HTTP request.
 *
 *   auth.mode   header    the tenant is X-Scope-OrgID, set by a trusted proxy; without it 401
 *               optional  X-Scope-OrgID if there, else auth.default-tenant
 *
 * auth_admit() is http_server_opts.on_admit: it runs before the body is read, checks the id
 * (tenant.h) and leaves it in the request's arena. Routes that belong to no tenant (admin pages) are
 * let through without one. Joined tenants "a|b" are kept as they are: a route that does not
 * read across tenants refuses them with auth_single_tenant().
 *
 * Any loop; immutable after auth_new().
 */
#pragma once
#include "common/base/conf.h"
#include "common/net/http_server.h"

struct auth;
extern const struct conf_section auth_section;

struct auth *auth_new(const struct conf *c);
void auth_free(struct auth *a);
/* on_admit; arg is the struct auth. */
struct err *auth_admit(struct http_request *r, void *arg);
/* The tenant(s) of a request; "" when the request names none (then tenant routes answer 401).
 * Lent by the request. */
struct slice auth_tenant(const struct http_request *r);
/* The one tenant. ERR_UNAUTHORIZED without one, ERR_INVALID when several are joined. */
ORR_CHECKED struct err *auth_single_tenant(const struct http_request *r, struct slice *ret);
