#include "common/net/http_param.h"

#include "common/net/http_server_internal.h"

static bool is_form(const struct http_request *r)
{
    struct slice type = http_request_header(r, "content-type");
    ptrdiff_t semicolon = type.ptr ? slice_find_byte(type, ';', 0) : -1;

    if (semicolon >= 0)
        type = slice_sub(type, 0, (size_t)semicolon);
    return slice_eq_nocase(slice_trim(type), SLICE("application/x-www-form-urlencoded"));
}

static const struct http_params *params_of(struct http_request *r)
{
    struct exchange *x = exchange_from(r);

    /* on_headers may ask before the body is there: then the parse is not kept. */
    if (!x->has_params || !x->was_handled) {
        x->params = (struct http_params){0};
        x->params_ok = true;
        if (x->was_handled && r->body.len && is_form(r))
            x->params_ok = http_params_parse(r->arena, r->body, &x->params);
        x->params_ok &= http_params_parse(r->arena, r->query, &x->params);
        x->has_params = x->was_handled;
    }
    return &x->params;
}

struct err *http_param_check(struct http_request *r)
{
    (void)params_of(r);
    if (exchange_from(r)->params_ok)
        return NULL;
    return err_new(ERR_INVALID, "malformed query or form parameters");
}

struct slice http_param(struct http_request *r, const char *name)
{
    size_t pos = 0;
    struct slice value;

    return http_param_next(r, name, &pos, &value) ? value : (struct slice){NULL, 0};
}

bool http_param_has(struct http_request *r, const char *name)
{
    return http_param(r, name).ptr != NULL;
}

bool http_param_next(struct http_request *r, const char *name, size_t *pos, struct slice *ret)
{
    const struct http_params *params = params_of(r);

    while (*pos < params->len) {
        const struct http_param *p = &params->items[(*pos)++];

        if (slice_eq_cstr(p->name, name)) {
            *ret = p->value;
            return true;
        }
    }
    return false;
}

const struct http_param *http_param_all(struct http_request *r, size_t *ret_n)
{
    const struct http_params *params = params_of(r);

    *ret_n = params->len;
    return params->items;
}
