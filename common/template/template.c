#include "common/template/template.h"

#include "common/template/template_internal.h"

struct template_set *template_new(const struct template_funcs *funcs)
{
    struct template_set *set = mem_new(struct template_set);

    set->arena = arena_new(0); /* bounded by the size of the texts */
    set->funcs = funcs;
    template_delims(set, SLICE("{{"), SLICE("}}"));
    return set;
}

void template_free(struct template_set *set)
{
    if (!set)
        return;
    map_done(&set->defs);
    arena_free(set->arena);
    mem_free(set);
}

void template_delims(struct template_set *set, struct slice left, struct slice right)
{
    set->left = arena_dup(set->arena, left);
    set->right = arena_dup(set->arena, right);
}

const struct value_func *template_find_func(const struct template_set *set, struct slice name)
{
    for (const struct template_funcs *t = set->funcs; t; t = t->next)
        for (size_t i = 0; i < t->n; i++)
            if (slice_eq_cstr(name, t->ptr[i].name))
                return &t->ptr[i];
    for (size_t i = 0; i < template_builtins_n; i++)
        if (slice_eq_cstr(name, template_builtins[i].name))
            return &template_builtins[i];
    return NULL;
}

bool template_is_empty(const struct template_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->ptr[i]->kind != NODE_TEXT || slice_trim(list->ptr[i]->text).len)
            return false;
    return true;
}

struct err *template_parse(struct template_set *set, struct slice name, struct slice text)
{
    template_defs defs = {0};
    struct err *e;

    if (text.len > TEMPLATE_MAX_TEXT)
        return err_new(ERR_LIMIT, "template %.*s is longer than %u bytes", SLICE_ARG(name),
                       TEMPLATE_MAX_TEXT);
    e = template_parse_text(set, name, text, &defs);
    VEC_FOREACH (d, &defs) {
        if (e)
            break;
        if (template_is_empty(&(*d)->root) && template_has(set, (*d)->name))
            continue; /* an empty one does not replace */
        (void)map_put(&set->defs, (*d)->name, *d);
    }
    vec_done(&defs);
    return e;
}

bool template_has(const struct template_set *set, struct slice name)
{
    return map_has(&set->defs, name);
}
