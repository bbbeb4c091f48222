#include <stdlib.h>

#include "alertmanager/amconf_internal.h"

#define GROUP_WAIT_MS 30000
#define GROUP_INTERVAL_MS (5 * 60 * 1000)
#define REPEAT_INTERVAL_MS (4 * 60 * 60 * 1000)
#define MAX_LABELS 100 /* of a route */

static int cmp_slice(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static struct err *read_group_by(struct amconf_reader *r, const struct yaml_node *n,
                                 struct amroute *route)
{
    size_t count;
    struct slice *names = amconf_strings(r, n, "group_by", &count);
    bool all = false;

    for (size_t i = 0; i < count; i++) {
        all = all || slice_eq_cstr(names[i], "...");
        if (names[i].len == 0 || !slice_is_utf8(names[i]))
            return amconf_at(r, n, "group_by: invalid label name");
    }
    if (all && count > 1)
        return amconf_at(r, n, "group_by: '...' and other labels at the same time");
    if (all) {
        route->group_by_all = true;
        return NULL;
    }
    if (!yaml_get(n, "group_by") || yaml_get(n, "group_by")->kind != YAML_KIND_SEQ)
        return NULL; /* inherits; an empty list does not: it groups all as one */
    if (count)
        qsort(names, count, sizeof(*names), cmp_slice);
    for (size_t i = 1; i < count; i++)
        if (slice_eq(names[i], names[i - 1]))
            return amconf_at(r, n, "group_by: a label twice");
    route->group_by = names;
    route->n_group_by = count;
    route->group_by_all = false;
    return NULL;
}

static struct err *read_intervals(struct amconf_reader *r, const struct yaml_node *n,
                                  const char *key, struct slice **ret_names,
                                  const struct timeint_list ***ret, size_t *ret_n)
{
    const struct amconf *c = r->conf;

    *ret_names = amconf_strings(r, n, key, ret_n);
    *ret = arena_array(r->arena, const struct timeint_list *, *ret_n + 1);
    for (size_t i = 0; i < *ret_n; i++) {
        for (size_t k = 0; k < c->n_intervals && !(*ret)[i]; k++)
            if (slice_eq(c->interval_names[k], (*ret_names)[i]))
                (*ret)[i] = &c->intervals[k];
        if (!(*ret)[i])
            return err_new(ERR_INVALID, "%s:%u: undefined time interval %.*s", r->name, n->line,
                           SLICE_ARG((*ret_names)[i]));
    }
    return NULL;
}

static struct err *read_receiver(struct amconf_reader *r, const struct yaml_node *n,
                                 struct amroute *route)
{
    const char *name = amconf_text(r, n, "receiver");
    const struct amconf *c = r->conf;

    if (!name || !*name)
        return route->parent ? NULL : amconf_at(r, n, "root route must specify a default receiver");
    for (size_t i = 0; i < c->n_receivers; i++)
        if (slice_eq_cstr(c->receivers[i].name, name)) {
            route->receiver = &c->receivers[i];
            return NULL;
        }
    return err_new(ERR_INVALID, "%s:%u: undefined receiver %s used in route", r->name, n->line,
                   name);
}

static struct err *read_times(struct amconf_reader *r, const struct yaml_node *n,
                              struct amroute *route)
{
    struct err *e;

    if ((e = amconf_duration(r, n, "group_wait", route->group_wait_ms, &route->group_wait_ms)) ||
        (e = amconf_duration(r, n, "group_interval", route->group_interval_ms,
                             &route->group_interval_ms)) ||
        (e = amconf_duration(r, n, "repeat_interval", route->repeat_interval_ms,
                             &route->repeat_interval_ms)))
        return e;
    if (route->group_interval_ms == 0)
        return amconf_at(r, n, "group_interval cannot be zero");
    if (route->repeat_interval_ms == 0)
        return amconf_at(r, n, "repeat_interval cannot be zero");
    return NULL;
}

/* Those of the parent, some of them replaced, and more. */
static struct err *read_labels(struct amconf_reader *r, const struct yaml_node *n,
                               struct amroute *route)
{
    const struct yaml_node *map = yaml_get(n, "labels");
    size_t more = map && map->kind == YAML_KIND_MAP ? map->n : 0;
    struct label *all = arena_array(r->arena, struct label, route->n_labels + more + 1);
    struct err *e = NULL;

    if (!more)
        return NULL;
    if (route->n_labels)
        memcpy(all, route->labels, route->n_labels * sizeof(*all));
    route->labels = all;
    for (size_t i = 0; !e && i < more; i++) {
        struct slice name = map->keys[i].text;
        struct slice key = slice_cstr(
            arena_printf(r->arena, "route %zu, label %.*s", route->ordinal, SLICE_ARG(name)));
        struct slice text = yaml_is_null(map->items[i]) ? SLICE_EMPTY : map->items[i]->text;
        size_t k = 0;

        while (k < route->n_labels && !slice_eq(all[k].name, name))
            k++;
        if (k == MAX_LABELS)
            return amconf_at(r, map->items[i], "labels: a route has at most 100");
        all[k] = (struct label){name, key};
        route->n_labels = ORR_MAX(route->n_labels, k + 1);
        e = err_wrap(template_parse(r->conf->templates, key, text), "%s:%u", r->name,
                     map->items[i]->line);
    }
    return e;
}

static struct err *check_root(struct amconf_reader *r, const struct yaml_node *n)
{
    static const char *const lists[] = {"match", "match_re", "matchers", "mute_time_intervals",
                                        "active_time_intervals"};

    for (size_t i = 0; i < ORR_COUNT(lists); i++) {
        const struct yaml_node *v = yaml_get(n, lists[i]);

        if (v && v->kind != YAML_KIND_SCALAR && v->n)
            return err_new(ERR_INVALID, "%s:%u: root route must not have any %s", r->name, v->line,
                           lists[i]);
    }
    return amconf_bool(n, "continue", false) ? amconf_at(r, n, "cannot have continue in root route")
                                             : NULL;
}

static void name_route(struct amconf_reader *r, struct amroute *route, size_t index)
{
    struct buf b = {0};

    ammatch_list_text(&b, &route->matchers);
    if (!route->parent) {
        route->key = route->id = arena_dup(r->arena, buf_slice(&b));
    } else {
        const struct amroute *p = route->parent;

        route->key = slice_cstr(
            arena_printf(r->arena, "%.*s/%.*s", SLICE_ARG(p->key), SLICE_ARG(buf_slice(&b))));
        route->id = slice_cstr(arena_printf(r->arena, "%.*s/%.*s/%zu", SLICE_ARG(p->id),
                                            SLICE_ARG(buf_slice(&b)), index));
    }
    buf_done(&b);
}

static struct err *read_route(struct amconf_reader *r, const struct yaml_node *n,
                              struct amroute *parent, size_t index, unsigned depth,
                              struct amroute **ret)
{
    struct amroute *route = arena_new_of(r->arena, struct amroute);
    const struct yaml_node *routes = yaml_get(n, "routes");
    struct err *e;

    *route = (struct amroute){.group_wait_ms = GROUP_WAIT_MS,
                              .group_interval_ms = GROUP_INTERVAL_MS,
                              .repeat_interval_ms = REPEAT_INTERVAL_MS};
    if (parent) {
        route->parent = parent;
        route->receiver = parent->receiver;
        route->group_by = parent->group_by;
        route->n_group_by = parent->n_group_by;
        route->group_by_all = parent->group_by_all;
        route->group_wait_ms = parent->group_wait_ms;
        route->group_interval_ms = parent->group_interval_ms;
        route->repeat_interval_ms = parent->repeat_interval_ms;
        route->labels = parent->labels;
        route->n_labels = parent->n_labels;
    }
    *ret = route; /* so that what it holds is freed */
    if (depth > AMCONF_MAX_DEPTH || r->conf->n_routes >= AMCONF_MAX_ROUTES)
        return amconf_at(r, n, "too many routes");
    route->ordinal = r->conf->n_routes++;
    route->is_continue = amconf_bool(n, "continue", false);
    if ((e = read_receiver(r, n, route)) || (e = read_group_by(r, n, route)) ||
        (e = read_times(r, n, route)) || (e = read_labels(r, n, route)) ||
        (e = amconf_matchers(r, n, "", &route->matchers)) ||
        (e = read_intervals(r, n, "mute_time_intervals", &route->mute_names, &route->mute,
                            &route->n_mute)) ||
        (e = read_intervals(r, n, "active_time_intervals", &route->active_names, &route->active,
                            &route->n_active)))
        return e;
    name_route(r, route, index);
    if (!routes || routes->kind != YAML_KIND_SEQ)
        return NULL;
    route->routes = arena_array(r->arena, struct amroute *, routes->n + 1);
    for (size_t i = 0; !e && i < routes->n; i++) {
        e = read_route(r, routes->items[i], route, i, depth + 1, &route->routes[i]);
        route->n_routes++;
    }
    return e;
}

struct err *amconf_read_routes(struct amconf_reader *r, const struct yaml_node *route)
{
    struct err *e = check_root(r, route);

    return e ? e : read_route(r, route, NULL, 0, 0, &r->conf->root);
}
