#include "alertmanager/amroute.h"

#include "common/base/gostr.h"
#include "common/base/hash.h"

#define MAX_LABEL_BYTES 4096
#define MAX_LABEL_STEPS 10000

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

static struct slice run_label(struct arena *a, const struct amconf *conf,
                              struct slice template_name, struct template_am *data,
                              struct value dot, uint64_t *steps_left)
{
    uint64_t steps = 0;
    struct template_run run = {.arena = a,
                               .ctx = data,
                               .missing = TEMPLATE_MISSING_ZERO,
                               .max_output_bytes = MAX_LABEL_BYTES,
                               .max_steps = ORR_MIN(MAX_LABEL_STEPS, *steps_left),
                               .ret_steps = &steps};
    struct buf b = {0};
    struct slice ret;
    struct err *e;

    if (!*steps_left)
        return SLICE_EMPTY;
    e = template_execute(conf->templates, template_name, dot, &run, &b);
    *steps_left -= ORR_MIN(steps, *steps_left);
    ret = e ? SLICE_EMPTY : arena_dup(a, buf_slice(&b));
    err_free(e);
    buf_done(&b);
    return ret;
}

/* The data with these RouteLabels; what is of the alerts is the same. */
static struct value with_labels(struct arena *a, struct value dot, struct labels made)
{
    struct template_am none = {.route_labels = made};
    struct value labels = template_am_data(a, &none);
    struct value_member *m = arena_array(a, struct value_member, dot.map.n);

    for (size_t i = 0; i < dot.map.n; i++) {
        m[i] = dot.map.members[i];
        if (slice_eq_cstr(m[i].name, "RouteLabels"))
            m[i].value = *value_get(&labels, m[i].name);
    }
    dot.map.members = m;
    return dot;
}

/* Each pass sees what the last one made of the others, until nothing changes. */
struct labels amroute_labels(struct arena *a, const struct amconf *conf,
                             const struct amroute *route, const struct template_am *data,
                             uint64_t *steps_left)
{
    struct template_am am = *data;
    struct labels made = {NULL, 0};
    bool changes = route->n_labels > 0;
    struct value dot = changes ? template_am_data(a, data) : value_nil();

    for (unsigned pass = 0; changes && pass < AMROUTE_LABEL_DEPTH; pass++) {
        struct labels_builder b;
        struct labels next;

        am.route_labels = made;
        dot = with_labels(a, dot, made);
        labels_builder_init(&b, a, (struct labels){NULL, 0});
        for (size_t i = 0; i < route->n_labels; i++)
            labels_builder_set(&b, route->labels[i].name,
                               run_label(a, conf, route->labels[i].value, &am, dot, steps_left));
        next = labels_builder_labels(&b);
        changes = !labels_eq(made, next);
        made = next;
    }
    return made;
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
