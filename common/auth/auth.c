#include "common/auth/auth.h"

#include "common/base/mem.h"
#include "common/model/tenant.h"

struct auth_conf {
    int mode;
    char *default_tenant;
};
enum { AUTH_HEADER, AUTH_OPTIONAL };

static const struct conf_field auth_fields[] = {
    CONF_ENUM(
        struct auth_conf, mode, "mode", "header", "header|optional", CONF_FIXED,
        "Where the tenant comes from. header: X-Scope-OrgID, set by a trusted proxy; a request "
        "without it is refused. optional: X-Scope-OrgID if sent, else auth.default-tenant."),
    CONF_STRING(struct auth_conf, default_tenant, "default-tenant", TENANT_DEFAULT, CONF_FIXED,
                "Tenant of requests without X-Scope-OrgID when auth.mode is optional."),
};
const struct conf_section auth_section = {"auth", "Who may ask: tenants.", sizeof(struct auth_conf),
                                          auth_fields, ORR_COUNT(auth_fields)};

struct auth {
    struct slice default_tenant; /* "" when the header is required */
};

struct auth *auth_new(const struct conf *c)
{
    const struct auth_conf *conf = conf_section(c, "auth");
    struct auth *a = mem_new(struct auth);

    a->default_tenant = SLICE_EMPTY;
    if (conf->mode == AUTH_OPTIONAL) {
        size_t n = strlen(conf->default_tenant);

        a->default_tenant = slice_of(mem_dup(conf->default_tenant, n), n);
    }
    return a;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    if (a->default_tenant.len)
        mem_free((void *)a->default_tenant.ptr);
    mem_free(a);
}

/* Every part of "a|b" must be an id. */
static struct err *check(struct slice tenants)
{
    struct slice rest = tenants, part;
    struct err *e = NULL;

    while (!e && slice_split(&rest, '|', &part))
        e = tenant_check(part);
    return e;
}

struct err *auth_admit(struct http_request *r, void *arg)
{
    const struct auth *a = arg;
    struct slice sent = http_request_header(r, TENANT_HEADER);
    struct slice *tenant = arena_new_of(r->arena, struct slice);
    struct err *e;

    *tenant = a->default_tenant;
    if (sent.ptr && sent.len) {
        if ((e = check(sent)))
            return err_wrap(e, "%s", TENANT_HEADER);
        *tenant = sent;
    }
    r->admit_user = tenant;
    return NULL;
}

struct slice auth_tenant(const struct http_request *r)
{
    const struct slice *tenant = r->admit_user;

    return tenant ? *tenant : SLICE_EMPTY;
}

struct err *auth_single_tenant(const struct http_request *r, struct slice *ret)
{
    struct slice tenant = auth_tenant(r);

    if (tenant.len == 0)
        return err_new(ERR_UNAUTHORIZED, "no org id: the header %s names the tenant",
                       TENANT_HEADER);
    if (slice_find_byte(tenant, '|', 0) >= 0)
        return err_new(ERR_INVALID, "%s: one tenant is needed here, not several", TENANT_HEADER);
    *ret = tenant;
    return NULL;
}
