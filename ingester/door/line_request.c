#include "ingester/door/line_request.h"

#include "common/auth/auth.h"

#define MAX_EXTRA_LABELS 64

struct err *line_request_admit(struct http_request *r)
{
    struct slice tenant, length = http_request_header(r, "Content-Length");
    uint64_t bytes = 0;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e)
        return e;
    if (length.ptr)
        (void)slice_to_u64(length, &bytes);
    return door_admit(r->arg, tenant, bytes);
}

struct slice line_request_param(struct http_request *r, const char *name)
{
    struct http_params params = {0};
    struct slice none = {0};

    if (r->query.len && http_params_parse(r->arena, r->query, &params))
        for (size_t i = 0; i < params.len; i++)
            if (slice_eq_cstr(params.items[i].name, name))
                return params.items[i].value;
    return none;
}

struct err *line_request_init(struct http_request *r, struct line_request *ret)
{
    struct http_params params = {0};
    struct label *extra;
    size_t n = 0;

    *ret = (struct line_request){.arena = r->arena, .body = r->body};
    if (r->query.len == 0)
        return NULL;
    if (!http_params_parse(r->arena, r->query, &params))
        return err_new(ERR_INVALID, "the query of the URL is malformed");
    extra = arena_array(r->arena, struct label, params.len + 1);
    for (size_t i = 0; i < params.len; i++) {
        struct slice rest = params.items[i].value, name;

        if (!slice_eq_cstr(params.items[i].name, "extra_label"))
            continue;
        if (!slice_split(&rest, '=', &name) || !rest.ptr || name.len == 0)
            return err_new(ERR_INVALID, "extra_label must be name=value");
        if (n == MAX_EXTRA_LABELS)
            return err_new(ERR_INVALID, "more than %d extra labels", MAX_EXTRA_LABELS);
        extra[n++] = (struct label){name, rest};
    }
    ret->extra = (struct labels){extra, n};
    return NULL;
}

/* Where name is among the first n, or n. */
static size_t find(const struct label *ls, size_t n, struct slice name)
{
    size_t i = 0;

    while (i < n && !slice_eq(ls[i].name, name))
        i++;
    return i;
}

struct labels line_request_labels(struct line_request *q, struct labels ls)
{
    size_t n = ls.n, want = ls.n + q->extra.n;

    if (ORR_LIKELY(q->extra.n == 0))
        return ls;
    if (want > q->scratch_cap) {
        q->scratch_cap = 2 * want;
        q->scratch = arena_array(q->arena, struct label, q->scratch_cap);
    }
    if (ls.n)
        memcpy(q->scratch, ls.ptr, ls.n * sizeof(*ls.ptr));
    for (size_t i = 0; i < q->extra.n; i++) {
        size_t at = find(q->scratch, n, q->extra.ptr[i].name);

        q->scratch[at] = q->extra.ptr[i];
        n += at == n;
    }
    return (struct labels){q->scratch, n};
}

void line_request_write(struct http_request *r, const struct push_decoder *decoder,
                        door_done_fn *done, void *arg)
{
    struct buf none = {0};
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e)
        done(arg, e, &(struct door_written){0});
    else
        door_write(r->arg, r->loop, tenant, decoder, &none, done, arg);
}
