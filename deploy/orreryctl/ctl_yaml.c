#include "deploy/orreryctl/ctl_yaml.h"

#include "common/base/clock.h"
#include "common/base/promdur.h"

void ctl_yaml_fail(struct ctl_yaml *w, const struct yaml_node *n, struct err *e)
{
    w->error = err_first(w->error, err_wrap(e, "%u", n->line));
}

struct slice ctl_yaml_text(struct ctl_yaml *w, const struct yaml_node *n)
{
    if (yaml_is_null(n))
        return SLICE_EMPTY;
    if (n->kind == YAML_KIND_SCALAR)
        return n->text;
    ctl_yaml_fail(w, n, err_new(ERR_INVALID, "a text is expected"));
    return SLICE_EMPTY;
}

int64_t ctl_yaml_duration(struct ctl_yaml *w, const struct yaml_node *n, int64_t absent_ms)
{
    int64_t ns = 0;
    struct err *e;

    if (yaml_is_null(n))
        return absent_ms;
    if ((e = promdur_parse(ctl_yaml_text(w, n), &ns)))
        ctl_yaml_fail(w, n, e);
    return ns / NS_PER_MS;
}

struct yaml_node **ctl_yaml_list(struct ctl_yaml *w, const struct yaml_node *n, size_t *ret_n)
{
    *ret_n = 0;
    if (yaml_is_null(n))
        return NULL;
    if (n->kind != YAML_KIND_SEQ) {
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "a list is expected"));
        return NULL;
    }
    *ret_n = n->n;
    return n->items;
}

void ctl_yaml_fields(struct ctl_yaml *w, const struct yaml_node *n, const char *const *names)
{
    if (yaml_is_null(n))
        return;
    if (n->kind != YAML_KIND_MAP) {
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "a mapping is expected"));
        return;
    }
    for (size_t i = 0; i < n->n; i++) {
        bool is_known = false;

        for (size_t k = 0; names[k]; k++)
            is_known = is_known || slice_eq_cstr(n->keys[i].text, names[k]);
        if (!is_known)
            ctl_yaml_fail(w, n,
                          err_new(ERR_INVALID, "field %.*s not found", SLICE_ARG(n->keys[i].text)));
    }
}

struct labels ctl_yaml_labels(struct ctl_yaml *w, const struct yaml_node *n)
{
    struct label *ls;
    struct slice dup;

    if (yaml_is_null(n))
        return (struct labels){0};
    if (n->kind != YAML_KIND_MAP) {
        ctl_yaml_fail(w, n, err_new(ERR_INVALID, "a mapping is expected"));
        return (struct labels){0};
    }
    ls = arena_array(w->a, struct label, n->n + 1);
    for (size_t i = 0; i < n->n; i++)
        ls[i] = (struct label){n->keys[i].text, ctl_yaml_text(w, n->items[i])};
    (void)labels_sort(ls, n->n, &dup); /* the reader of YAML refused doubles */
    return (struct labels){ls, n->n};
}
