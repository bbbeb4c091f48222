#include "alertmanager/amroute.h"

#include "common/base/gostr.h"
#include "common/base/hash.h"

uint64_t amroute_fingerprint(struct labels ls)
{
    uint64_t h = HASH_FNV_OFFSET;

    for (size_t i = 0; i < ls.n; i++) {
        h = hash_fnv1a(h, ls.ptr[i].name);
        h = hash_fnv1a(h, SLICE("\xff"));
        h = hash_fnv1a(h, ls.ptr[i].value);
        h = hash_fnv1a(h, SLICE("\xff"));
    }
    return h;
}

static bool match(const struct amroute *r, struct labels ls, amroute_fn *fn, void *arg)
{
    bool any = false;

    if (!ammatch_list_matches(&r->matchers, ls))
        return false;
    for (size_t i = 0; i < r->n_routes; i++)
        if (match(r->routes[i], ls, fn, arg)) {
            any = true;
            if (!r->routes[i]->is_continue)
                break;
        }
    if (!any)
        fn(arg, r);
    return true;
}

void amroute_match(const struct amroute *root, struct labels ls, amroute_fn *fn, void *arg)
{
    (void)match(root, ls, fn, arg);
}

static bool groups_by(const struct amroute *r, struct slice name)
{
    if (r->group_by_all)
        return true;
    for (size_t i = 0; i < r->n_group_by; i++)
        if (slice_eq(r->group_by[i], name))
            return true;
    return false;
}

struct labels amroute_group_labels(struct arena *a, const struct amroute *route, struct labels ls)
{
    struct label *ret = arena_array(a, struct label, ls.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (groups_by(route, ls.ptr[i].name))
            ret[n++] = ls.ptr[i];
    return (struct labels){ret, n};
}

void amroute_labels_text(struct buf *out, struct labels ls)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ls.n; i++) {
        if (i)
            buf_str(out, ", ");
        if (labels_is_legacy_name(ls.ptr[i].name))
            buf_slice_append(out, ls.ptr[i].name);
        else
            gostr_quote(out, ls.ptr[i].name);
        buf_byte(out, '=');
        gostr_quote(out, ls.ptr[i].value);
    }
    buf_byte(out, '}');
}

void amroute_group_key(struct buf *out, const struct amroute *route, struct labels group)
{
    buf_slice_append(out, route->key);
    buf_byte(out, ':');
    amroute_labels_text(out, group);
}

void amroute_muted_by(const struct amroute *route, int64_t unix_s, amroute_name_fn *fn, void *arg)
{
    bool is_active = route->n_active == 0;

    for (size_t i = 0; i < route->n_mute; i++)
        if (timeint_contains(route->mute[i], unix_s))
            fn(arg, route->mute_names[i]);
    for (size_t i = 0; !is_active && i < route->n_active; i++)
        is_active = timeint_contains(route->active[i], unix_s);
    for (size_t i = 0; !is_active && i < route->n_active; i++)
        fn(arg, route->active_names[i]);
}

static void set_true(void *arg, struct slice name)
{
    (void)name;
    *(bool *)arg = true;
}

bool amroute_is_muted(const struct amroute *route, int64_t unix_s)
{
    bool ret = false;

    amroute_muted_by(route, unix_s, set_true, &ret);
    return ret;
}
