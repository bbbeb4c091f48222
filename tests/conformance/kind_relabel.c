/* relabel/: rules and labels → the labels after, or dropped; rules that are refused. */
#include "common/base/vec.h"
#include "common/model/relabel.h"
#include "tests/conformance/conformance.h"

static struct labels read_labels(struct conformance *c)
{
    const json_t *object = conformance_get(c, "labels"), *value;
    VEC(struct label) ls = {0};
    struct label *sorted;
    const char *name;
    size_t n = 0;

    json_object_foreach((json_t *)object, name, value)
    {
        const char *key = arena_strdup(c->arena, name);
        struct slice text = slice_of(json_string_value(value), json_string_length(value));

        if (text.len)
            vec_push(&ls, ((struct label){slice_cstr(key), text}));
    }
    n = ls.len;
    sorted = arena_array(c->arena, struct label, n);
    if (n)
        memcpy(sorted, ls.ptr, n * sizeof(*sorted));
    vec_done(&ls);
    (void)labels_sort(sorted, n, NULL);
    return (struct labels){sorted, n};
}

static void check_result(struct conformance *c, struct labels got)
{
    struct buf b = {0};
    json_t *j;

    labels_json(&b, got);
    j = json_loadb((const char *)b.ptr, b.len, 0, NULL);
    (void)conformance_check_json(c, "result", j, conformance_get(c, "result"));
    json_decref(j);
    buf_done(&b);
}

CONFORMANCE(relabel, cases)
{
    struct yaml_node *root = NULL;
    struct relabel *r = NULL;
    struct labels after;
    struct err *e = yaml_load("case", conformance_text(c, "config"), c->arena, &root);
    bool is_kept;

    if (!e)
        e = relabel_parse("case", root, &r);
    if (!conformance_check_ok(c, "config", e, !conformance_has(c, "config_error")) || !r)
        return;
    is_kept = relabel_apply(r, c->arena, read_labels(c), &after);
    if (conformance_check_bool(c, "dropped", !is_kept, conformance_bool(c, "dropped")) && is_kept)
        check_result(c, after);
    relabel_free(r);
}
