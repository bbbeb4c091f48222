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

struct template_set *template_new_over(const struct template_set *base)
{
    struct template_set *set = template_new(base->funcs);

    template_delims(set, base->left, base->right);
    set->base = base;
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

const struct template_def *template_find(const struct template_set *set, struct slice name)
{
    const struct template_def *def = NULL;

    for (; set && !def; set = set->base)
        def = map_get(&set->defs, name);
    return def;
}

bool template_has(const struct template_set *set, struct slice name)
{
    return template_find(set, name) != NULL;
}

struct field_walk {
    template_field_fn *fn;
    void *arg;
};

static void walk_list(const struct field_walk *w, const struct template_list *list);

static void walk_pipe(const struct field_walk *w, const struct template_pipe *pipe);

static void walk_names(const struct field_walk *w, const struct template_node *n, size_t from)
{
    for (size_t i = from; i < n->path.n; i++)
        w->fn(w->arg, n->path.names[i]);
}

/* As deep as the parser lets texts nest. */
static void walk_node(const struct field_walk *w, const struct template_node *n)
{
    switch (n->kind) {
    case NODE_ACTION:
    case NODE_IF:
    case NODE_RANGE:
    case NODE_WITH:
    case NODE_TEMPLATE:
        if (n->ctl.pipe)
            walk_pipe(w, n->ctl.pipe);
        walk_list(w, &n->ctl.body);
        walk_list(w, &n->ctl.otherwise);
        break;
    case NODE_PIPE:
        walk_pipe(w, n->pipe);
        break;
    case NODE_FIELD:
        walk_names(w, n, 0);
        break;
    case NODE_VARIABLE:
        walk_names(w, n, 1);
        break;
    case NODE_CHAIN:
        walk_node(w, n->path.head);
        walk_names(w, n, 0);
        break;
    default:
        break;
    }
}

static void walk_pipe(const struct field_walk *w, const struct template_pipe *pipe)
{
    for (size_t i = 0; i < pipe->n; i++)
        for (size_t k = 0; k < pipe->cmds[i].n; k++)
            walk_node(w, pipe->cmds[i].args[k]);
}

static void walk_list(const struct field_walk *w, const struct template_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        walk_node(w, list->ptr[i]);
}

void template_fields(const struct template_set *set, template_field_fn *fn, void *arg)
{
    struct field_walk w = {fn, arg};

    MAP_FOREACH (e, &set->defs)
        walk_list(&w, &((const struct template_def *)e->value)->root);
}
