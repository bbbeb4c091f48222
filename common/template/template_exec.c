/* The walk over a template's tree: text, output, control flow, other templates. */
#include "common/template/template_eval.h"
#include "common/template/valuefmt.h"

#define DEFAULT_OUTPUT_BYTES (1u << 20)
#define DEFAULT_STEPS 1000000
#define DEFAULT_DEPTH 500

static void walk_list(struct template_exec *x, const struct value *dot,
                      const struct template_list *list);

static void walk_action(struct template_exec *x, const struct value *dot,
                        const struct template_node *n)
{
    struct value v = template_eval_pipe(x, dot, n->ctl.pipe);

    if (x->e || n->ctl.pipe->n_decls)
        return;
    v.is_pointer = false;
    if (v.kind == VALUE_INVALID)
        v = value_string(SLICE("<no value>"));
    if (!x->run->is_html)
        valuefmt_value(&x->out, &v);
    else if (!template_html_value(&x->html, &x->out, &v))
        template_eval_fail(x, "a value in a script is not supported");
}

static void walk_if(struct template_exec *x, const struct value *dot, const struct template_node *n)
{
    size_t mark = x->vars.len;
    struct value v = template_eval_pipe(x, dot, n->ctl.pipe);

    if (!x->e && value_is_true(&v))
        walk_list(x, n->kind == NODE_WITH ? &v : dot, &n->ctl.body);
    else if (!x->e)
        walk_list(x, dot, &n->ctl.otherwise);
    x->vars.len = mark;
}

/* One round of a loop; false when it is the last. has_index false: integers count only. */
static bool walk_round(struct template_exec *x, const struct template_node *n,
                       const struct value *index, const struct value *elem)
{
    const struct template_pipe *pipe = n->ctl.pipe;
    size_t mark = x->vars.len;

    if (!template_eval_step(x))
        return false;
    if (pipe->n_decls && pipe->is_assign) {
        template_eval_set(x, pipe->decls[0], pipe->n_decls > 1 ? index : elem);
        if (pipe->n_decls > 1)
            template_eval_set(x, pipe->decls[1], elem);
    } else if (pipe->n_decls) {
        x->vars.ptr[mark - 1].value = *elem;
        if (pipe->n_decls > 1)
            x->vars.ptr[mark - 2].value = *index;
    }
    walk_list(x, elem, &n->ctl.body);
    x->vars.len = mark;
    if (x->jump == JUMP_BREAK) {
        x->jump = JUMP_NONE;
        return false;
    }
    x->jump = JUMP_NONE;
    return !x->e;
}

static void cannot_range(struct template_exec *x, const char *what, const struct value *v,
                         const char *more)
{
    struct buf b = {.max_bytes = 256};

    valuefmt_value(&b, v);
    template_eval_fail(x, "%s %s%s", what, buf_cstr(&b), more);
    buf_done(&b);
}

/* False if there was nothing to go over. */
static bool walk_rounds(struct template_exec *x, const struct template_node *n,
                        const struct value *v)
{
    switch (v->kind) {
    case VALUE_LIST:
        for (size_t i = 0; i < v->list.n; i++) {
            struct value index = value_int((int64_t)i);

            if (!walk_round(x, n, &index, &v->list.items[i]))
                break;
        }
        return v->list.n > 0;
    case VALUE_MAP:
        for (size_t i = 0; i < v->map.n; i++) {
            struct value key = value_string(v->map.members[i].name);

            if (!walk_round(x, n, &key, &v->map.members[i].value))
                break;
        }
        return v->map.n > 0;
    case VALUE_INT:
    case VALUE_UINT:
        if (n->ctl.pipe->n_decls > 1) {
            cannot_range(x, "can't use", v, " to iterate over more than one variable");
            return true;
        }
        for (int64_t i = 0; i < v->i; i++) {
            struct value elem = *v;

            elem.i = i;
            if (!walk_round(x, n, NULL, &elem))
                break;
        }
        return v->i > 0;
    case VALUE_INVALID:
        return false;
    default:
        cannot_range(x, "range can't iterate over", v, "");
        return true;
    }
}

static void walk_range(struct template_exec *x, const struct value *dot,
                       const struct template_node *n)
{
    size_t mark = x->vars.len;
    struct value v = template_eval_pipe(x, dot, n->ctl.pipe);

    if (!x->e && !walk_rounds(x, n, &v))
        walk_list(x, dot, &n->ctl.otherwise);
    x->vars.len = mark;
}

static void execute_def(struct template_exec *x, const struct template_def *def,
                        const struct value *dot)
{
    const struct template_def *caller = x->def;
    size_t floor = x->vars_floor, mark = x->vars.len;

    x->def = def;
    x->vars_floor = mark;
    vec_push(&x->vars, ((struct template_var){SLICE("$"), *dot}));
    walk_list(x, dot, &def->root);
    x->vars.len = mark;
    x->vars_floor = floor;
    x->def = caller;
}

static void walk_template(struct template_exec *x, const struct value *dot,
                          const struct template_node *n)
{
    const struct template_def *def = template_find(x->set, n->ctl.name);
    struct value v;

    x->at = n->at;
    x->end = n->end;
    if (!def) {
        template_eval_fail(x, "template \"%.*s\" not defined", SLICE_ARG(n->ctl.name));
        return;
    }
    v = template_eval_pipe(x, dot, n->ctl.pipe);
    if (!x->e)
        execute_def(x, def, &v);
}

static void walk_node(struct template_exec *x, const struct value *dot,
                      const struct template_node *n)
{
    switch (n->kind) {
    case NODE_TEXT:
        if (x->run->is_html)
            template_html_text(&x->html, &x->out, n->text);
        else
            buf_slice_append(&x->out, n->text);
        break;
    case NODE_ACTION:
        walk_action(x, dot, n);
        break;
    case NODE_IF:
    case NODE_WITH:
        walk_if(x, dot, n);
        break;
    case NODE_RANGE:
        walk_range(x, dot, n);
        break;
    case NODE_BREAK:
        x->jump = JUMP_BREAK;
        break;
    case NODE_CONTINUE:
        x->jump = JUMP_CONTINUE;
        break;
    case NODE_TEMPLATE:
        walk_template(x, dot, n);
        break;
    default:
        template_eval_fail(x, "unexpected node");
    }
}

static void walk_list(struct template_exec *x, const struct value *dot,
                      const struct template_list *list)
{
    if (!template_eval_enter(x))
        return;
    for (size_t i = 0; i < list->n && x->jump == JUMP_NONE && template_eval_step(x); i++)
        walk_node(x, dot, list->ptr[i]);
    x->depth--;
}

struct err *template_execute(const struct template_set *set, struct slice name, struct value dot,
                             const struct template_run *run, struct buf *out)
{
    const struct template_def *def = template_find(set, name);
    struct template_exec x = {
        .set = set,
        .def = def,
        .run = run,
        .arena = run->arena,
        .max_steps = run->max_steps ? run->max_steps : DEFAULT_STEPS,
        .max_depth = run->max_depth ? run->max_depth : DEFAULT_DEPTH,
        .max_bytes = run->max_output_bytes ? run->max_output_bytes : DEFAULT_OUTPUT_BYTES,
    };

    if (!def)
        return err_new(ERR_EXEC, "template: no template \"%.*s\"", SLICE_ARG(name));
    x.out.max_bytes = x.max_bytes;
    execute_def(&x, def, &dot);
    x.def = def;
    (void)template_eval_step(&x); /* the limits once more: the last node may have hit one */
    buf_slice_append(out, buf_slice(&x.out));
    buf_done(&x.out);
    vec_done(&x.vars);
    if (run->ret_steps)
        *run->ret_steps += x.steps;
    return x.e;
}
