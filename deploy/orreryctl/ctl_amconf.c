/* alertmanager verify, routes show, routes test: a configuration of Alertmanager in a file. */
#include "alertmanager/amroute.h"
#include "common/base/fsx.h"
#include "common/base/yaml.h"
#include "common/template/template_am.h"
#include "deploy/orreryctl/ctl_show.h"

static struct err *read_conf(const char *path, struct amconf **ret)
{
    struct buf text = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = amconf_parse(path, buf_slice(&text), 0, ret);
    buf_done(&text);
    return e;
}

/* ---- verify ---- */

static void tell_unsupported(struct ctl *c, const char *path, const struct amconf *conf)
{
    for (size_t i = 0; i < conf->n_receivers; i++) {
        const struct amconf_receiver *r = &conf->receivers[i];

        for (size_t k = 0; k < r->n; k++)
            if (r->integrations[k].unsupported)
                ctl_wrong(c, "%s: receiver \"%.*s\", %s_configs %zu: Orrery does not tell it: %s",
                          path, SLICE_ARG(r->name), r->integrations[k].kind,
                          r->integrations[k].index, r->integrations[k].unsupported);
    }
}

static void check_template(struct ctl *c, struct template_set *set, const char *path)
{
    struct buf text = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = err_wrap(template_parse(set, slice_cstr(path), buf_slice(&text)), "%s", path);
    if (e)
        ctl_wrong(c, "%s", err_msg(e));
    err_free(e);
    buf_done(&text);
}

struct err *ctl_am_verify(struct ctl *c)
{
    struct template_set *set;
    struct amconf *conf = NULL;
    struct err *e = read_conf(c->args[0], &conf);

    if (e)
        return e;
    ctl_say("%s: %zu receivers, %zu routes, %zu inhibition rules, %zu time intervals", c->args[0],
            conf->n_receivers, conf->n_routes, conf->n_inhibit, conf->n_intervals);
    tell_unsupported(c, c->args[0], conf);
    set = template_am_new();
    for (size_t i = 1; i < c->n_args; i++)
        check_template(c, set, c->args[i]);
    template_free(set);
    amconf_unref(conf);
    return NULL;
}

/* ---- routes ---- */

static void show_route(const struct amroute *r, int depth)
{
    struct buf text = {0};

    ammatch_list_text(&text, &r->matchers);
    ctl_say("%*s%s  receiver: %.*s%s", 2 * depth, "", depth ? buf_cstr(&text) : "default route",
            SLICE_ARG(r->receiver->name), r->is_continue ? "  continue: true" : "");
    buf_done(&text);
    for (size_t i = 0; i < r->n_routes; i++)
        show_route(r->routes[i], depth + 1);
}

struct err *ctl_am_routes_show(struct ctl *c)
{
    struct amconf *conf = NULL;
    struct err *e = read_conf(c->args[0], &conf);

    if (e)
        return e;
    show_route(conf->root, 0);
    amconf_unref(conf);
    return NULL;
}

/* Of arguments NAME=VALUE. */
static struct err *labels_of(struct ctl *c, struct labels *ret)
{
    struct label *ls = arena_array(c->arena, struct label, c->n_args);
    size_t n = 0;
    struct slice dup;

    for (size_t i = 1; i < c->n_args; i++) {
        struct slice arg = slice_cstr(c->args[i]);
        ptrdiff_t eq = slice_find_byte(arg, '=', 0);

        if (eq <= 0)
            return ctl_usage(c, "labels are NAME=VALUE");
        ls[n++] = (struct label){slice_sub(arg, 0, (size_t)eq), slice_from(arg, (size_t)eq + 1)};
    }
    if (!labels_sort(ls, n, &dup))
        return ctl_usage(c, "a label is there twice");
    *ret = (struct labels){ls, n};
    return NULL;
}

static void add_receiver(void *arg, const struct amroute *r)
{
    struct buf *names = arg;

    if (names->len)
        buf_byte(names, ',');
    buf_slice_append(names, r->receiver->name);
}

struct err *ctl_am_routes_test(struct ctl *c)
{
    struct labels ls = {NULL, 0};
    struct amconf *conf = NULL;
    struct buf names = {0};
    struct err *e = labels_of(c, &ls);

    if (!e)
        e = read_conf(c->args[0], &conf);
    if (e)
        return e;
    amroute_match(conf->root, ls, add_receiver, &names);
    ctl_say("%s", buf_cstr(&names));
    if (c->opts.receivers && !slice_eq_cstr(buf_slice(&names), c->opts.receivers))
        ctl_wrong(c, "the alert is not for %s", c->opts.receivers);
    buf_done(&names);
    amconf_unref(conf);
    return NULL;
}
