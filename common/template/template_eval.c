/* Pipelines, commands, fields and calls, as Go's text/template/exec evaluates them. */
#include "common/template/template_eval.h"

#define CONTEXT_BYTES 40 /* of the source, in an error */

static struct value eval_arg(struct template_exec *x, const struct value *dot, char letter,
                             const struct template_node *n);

/* "template: NAME:LINE:COL: executing "NAME" at <…>" */
static char *where(struct template_exec *x)
{
    struct slice text = x->def->text;
    size_t line = 1, start = 0, n;

    for (size_t i = 0; i < x->at && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    n = x->end > x->at ? ORR_MIN(x->end - x->at, CONTEXT_BYTES) : 0;
    return arena_printf(x->arena, "template: %.*s:%zu:%zu: executing \"%.*s\" at <%.*s%s>",
                        SLICE_ARG(x->def->source_name), line, x->at - start,
                        SLICE_ARG(x->def->name), SLICE_ARG(slice_sub(text, x->at, n)),
                        x->end > x->at + n ? "..." : "");
}

void template_eval_fail_with(struct template_exec *x, struct err *e)
{
    if (x->e)
        err_free(e);
    else
        x->e = err_wrap(e, "%s", where(x));
}

void template_eval_fail(struct template_exec *x, const char *fmt, ...)
{
    struct buf b = {.max_bytes = 1024};
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    template_eval_fail_with(x, err_new(ERR_EXEC, "%s", buf_cstr(&b)));
    buf_done(&b);
}

void template_eval_limit(struct template_exec *x, const char *fmt, ...)
{
    struct buf b = {.max_bytes = 1024};
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    template_eval_fail_with(x, err_new(ERR_LIMIT, "%s", buf_cstr(&b)));
    buf_done(&b);
}

bool template_eval_step(struct template_exec *x)
{
    if (x->e)
        return false;
    if (++x->steps > x->max_steps)
        template_eval_limit(x, "limit of %llu steps reached", (unsigned long long)x->max_steps);
    else if (arena_over(x->arena))
        template_eval_limit(x, "limit of %zu bytes of memory reached", arena_limit(x->arena));
    else if (!buf_ok(&x->out))
        template_eval_limit(x, "limit of %zu bytes of output reached", x->max_bytes);
    return !x->e;
}

bool template_eval_enter(struct template_exec *x)
{
    if (!template_eval_step(x))
        return false;
    if (x->depth >= x->max_depth) {
        template_eval_limit(x, "exceeded maximum template depth (%u)", x->max_depth);
        return false;
    }
    x->depth++;
    return true;
}

static void at_node(struct template_exec *x, const struct template_node *n)
{
    x->at = n->at;
    x->end = n->end;
}

static const char *type_of(struct template_exec *x, const struct value *v)
{
    return v->is_any ? "interface {}" : value_type_text(x->arena, v);
}

/* Variables */

static struct template_var *find_var(struct template_exec *x, struct slice name)
{
    for (size_t i = x->vars.len; i-- > x->vars_floor;)
        if (slice_eq(x->vars.ptr[i].name, name))
            return &x->vars.ptr[i];
    return NULL;
}

void template_eval_set(struct template_exec *x, struct slice name, const struct value *v)
{
    struct template_var *var = find_var(x, name);

    if (var)
        var->value = *v;
    else
        template_eval_fail(x, "undefined variable: %.*s", SLICE_ARG(name));
}

/* Calls */

/* The letter of parameter i, with a '*' behind the last one for all that follow. */
static char letter_of(const char *args, size_t i)
{
    size_t n = strlen(args);

    if (n && args[n - 1] == '*')
        return args[ORR_MIN(i, n - 2)];
    return i < n ? args[i] : 'v';
}

static const char *letter_name(char letter)
{
    switch (letter) {
    case 's':
        return "string";
    case 'f':
        return "float64";
    case 'i':
        return "int";
    case 'b':
        return "bool";
    default:
        return "interface {}";
    }
}

/* A value that is no constant must have exactly the type asked for. */
static void check_type(struct template_exec *x, const struct value *v, char letter)
{
    static const enum value_kind kinds[] = {
        ['s'] = VALUE_STRING, ['f'] = VALUE_FLOAT, ['i'] = VALUE_INT, ['b'] = VALUE_BOOL};

    if (x->e || letter == 'v')
        return;
    if (v->kind == VALUE_INVALID)
        template_eval_fail(x, "invalid value; expected %s", letter_name(letter));
    else if (v->kind != kinds[(unsigned char)letter] || v->type)
        template_eval_fail(x, "wrong type for value; expected %s; got %s", letter_name(letter),
                           value_type_text(x->arena, v));
}

static bool check_arity(struct template_exec *x, const struct value_func *f, struct slice name,
                        size_t n)
{
    size_t want = strlen(f->args);
    bool is_variadic = want && f->args[want - 1] == '*';

    if (is_variadic)
        want -= 2;
    if (is_variadic ? n >= want : n == want)
        return true;
    template_eval_fail(x, "wrong number of args for %.*s: want %s%zu got %zu", SLICE_ARG(name),
                       is_variadic ? "at least " : "", want, n);
    return false;
}

/* The first argument that decides, or the last. */
static struct value eval_logic(struct template_exec *x, const struct value *dot, bool is_or,
                               struct template_node *const *args, size_t n,
                               const struct value *final)
{
    struct value v = value_none();

    for (size_t i = 0; i < n; i++) {
        v = eval_arg(x, dot, 'v', args[i]);
        if (x->e || value_is_true(&v) == is_or)
            return v;
    }
    return final ? *final : v;
}

/* args: the operands behind the name. receiver: of a method, or NULL. */
static struct value eval_call(struct template_exec *x, const struct value *dot,
                              const struct value_func *f, const struct value *receiver,
                              const struct template_node *node, struct template_node *const *args,
                              size_t n, const struct value *final)
{
    struct value_call call = {.arena = x->arena, .ctx = x->run->ctx, .max_bytes = x->max_bytes};
    struct slice name = slice_cstr(f->name);
    size_t total = n + (final != NULL), at = receiver != NULL;
    struct value ret = value_none(), *argv;
    struct err *e;

    if (!check_arity(x, f, name, total))
        return ret;
    if (f->fn == template_func_and || f->fn == template_func_or)
        return eval_logic(x, dot, f->fn == template_func_or, args, n, final);
    argv = arena_array(x->arena, struct value, total + at);
    if (receiver)
        argv[0] = *receiver;
    for (size_t i = 0; i < n && !x->e; i++)
        argv[at + i] = eval_arg(x, dot, letter_of(f->args, i), args[i]);
    if (final && !x->e) {
        check_type(x, final, letter_of(f->args, n));
        argv[at + n] = *final;
    }
    if (x->e)
        return ret;
    e = f->fn(&call, argv, total + at, &ret);
    if (e) {
        x->at = node->at; /* the whole command */
        x->end = n ? args[n - 1]->end : node->end;
        template_eval_fail_with(x, err_wrap(e, "error calling %s", f->name));
        return value_none();
    }
    return ret;
}

/* Fields */

static struct value map_field(struct template_exec *x, const struct value *map, struct slice name)
{
    const struct value *found = value_get(map, name);

    if (found)
        return *found;
    if (x->run->missing == TEMPLATE_MISSING_ZERO)
        return value_zero_elem(map);
    if (x->run->missing == TEMPLATE_MISSING_ERROR)
        template_eval_fail(x, "map has no entry for key \"%.*s\"", SLICE_ARG(name));
    return value_none();
}

/* args: all of the command, the field first; n 0 where the field stands as an argument. */
static struct value eval_field(struct template_exec *x, const struct value *dot,
                               const struct value *receiver, struct slice name,
                               const struct template_node *node, struct template_node *const *args,
                               size_t n, const struct value *final)
{
    bool has_args = n > 1 || final;
    const struct value_func *method = value_method(receiver, name);
    const struct value *member;

    if (receiver->kind == VALUE_INVALID) {
        if (receiver->is_any)
            template_eval_fail(x, "nil pointer evaluating interface {}.%.*s", SLICE_ARG(name));
        else if (x->run->missing == TEMPLATE_MISSING_ERROR)
            template_eval_fail(x, "nil data; no entry for key \"%.*s\"", SLICE_ARG(name));
        return value_none();
    }
    if (method)
        return eval_call(x, dot, method, receiver, node, n ? args + 1 : NULL, n ? n - 1 : 0, final);
    if (receiver->kind == VALUE_MAP) {
        if (has_args)
            template_eval_fail(x, "%.*s is not a method but has arguments", SLICE_ARG(name));
        return x->e ? value_none() : map_field(x, receiver, name);
    }
    member = value_get(receiver, name);
    if (!member)
        template_eval_fail(x, "can't evaluate field %.*s in type %s", SLICE_ARG(name),
                           type_of(x, receiver));
    else if (has_args)
        template_eval_fail(x, "%.*s has arguments but cannot be invoked as function",
                           SLICE_ARG(name));
    else
        return *member;
    return value_none();
}

static struct value eval_path(struct template_exec *x, const struct value *dot,
                              struct value receiver, const struct slice *names, size_t n_names,
                              const struct template_node *node, struct template_node *const *args,
                              size_t n, const struct value *final)
{
    at_node(x, node);
    for (size_t i = 0; i + 1 < n_names && !x->e; i++)
        receiver = eval_field(x, dot, &receiver, names[i], node, NULL, 0, NULL);
    if (x->e)
        return value_none();
    return eval_field(x, dot, &receiver, names[n_names - 1], node, args, n, final);
}

/* Commands */

static void not_a_function(struct template_exec *x, const struct template_node *node, size_t n,
                           const struct value *final)
{
    if (n > 1 || final)
        template_eval_fail(x, "can't give argument to non-function %.*s",
                           SLICE_ARG(slice_sub(x->def->text, node->at, node->end - node->at)));
}

static struct value eval_number(struct template_exec *x, const struct template_number *n)
{
    if (n->is_complex)
        return (struct value){.kind = VALUE_COMPLEX, .c = {n->f, n->im}};
    if (n->looks_float)
        return value_float(n->f);
    if (!n->is_int)
        template_eval_fail(x, "constant overflows int");
    return value_int(n->i);
}

static struct value eval_variable(struct template_exec *x, const struct value *dot,
                                  const struct template_node *node,
                                  struct template_node *const *args, size_t n,
                                  const struct value *final)
{
    struct template_var *var = find_var(x, node->path.names[0]);
    struct value v;

    at_node(x, node);
    if (!var) {
        template_eval_fail(x, "undefined variable: %.*s", SLICE_ARG(node->path.names[0]));
        return value_none();
    }
    v = var->value;
    if (node->path.n == 1) {
        not_a_function(x, node, n, final);
        return v;
    }
    return eval_path(x, dot, v, node->path.names + 1, node->path.n - 1, node, args, n, final);
}

/* What needs no type to be asked for. args: all of the command, node first. */
static struct value eval_word(struct template_exec *x, const struct value *dot,
                              const struct template_node *node, struct template_node *const *args,
                              size_t n, const struct value *final)
{
    struct value v;

    switch (node->kind) {
    case NODE_FIELD:
        return eval_path(x, dot, *dot, node->path.names, node->path.n, node, args, n, final);
    case NODE_CHAIN:
        at_node(x, node);
        v = eval_word(x, dot, node->path.head, NULL, 0, NULL);
        if (x->e)
            return v;
        return eval_path(x, dot, v, node->path.names, node->path.n, node, args, n, final);
    case NODE_IDENT:
        at_node(x, node);
        return eval_call(x, dot, node->func, NULL, node, n ? args + 1 : NULL, n ? n - 1 : 0, final);
    case NODE_PIPE:
        not_a_function(x, node, n, final);
        return x->e ? value_none() : template_eval_pipe(x, dot, node->pipe);
    case NODE_VARIABLE:
        return eval_variable(x, dot, node, args, n, final);
    default:
        break;
    }
    at_node(x, node);
    not_a_function(x, node, n, final);
    switch (x->e ? NODE_TEXT : node->kind) {
    case NODE_DOT:
        return *dot;
    case NODE_BOOL:
        return value_bool(node->b);
    case NODE_NUMBER:
        return eval_number(x, &node->number);
    case NODE_STRING:
        return value_string(node->text);
    default:
        template_eval_fail(x, "nil is not a command");
        return value_none();
    }
}

/* A constant is given the type that is asked for, if it can have it. */
static struct value constant_arg(struct template_exec *x, char letter,
                                 const struct template_node *n)
{
    const struct template_number *number = &n->number;

    if (n->kind == NODE_STRING && letter == 's')
        return value_string(n->text);
    if (n->kind == NODE_BOOL && letter == 'b')
        return value_bool(n->b);
    if (n->kind == NODE_NUMBER && letter == 'f' && number->is_float)
        return value_float(number->f);
    if (n->kind == NODE_NUMBER && letter == 'i' && number->is_int)
        return value_int(number->i);
    template_eval_fail(x, "expected %s; found %.*s", letter_name(letter),
                       SLICE_ARG(slice_sub(x->def->text, n->at, n->end - n->at)));
    return value_none();
}

static struct value eval_arg(struct template_exec *x, const struct value *dot, char letter,
                             const struct template_node *n)
{
    bool is_constant = n->kind == NODE_BOOL || n->kind == NODE_NUMBER || n->kind == NODE_STRING;
    struct value v;

    at_node(x, n);
    if (n->kind == NODE_NIL) {
        if (letter != 'v')
            template_eval_fail(x, "cannot assign nil to %s", letter_name(letter));
        return value_nil();
    }
    if (is_constant && letter != 'v')
        return constant_arg(x, letter, n);
    v = eval_word(x, dot, n, NULL, 0, NULL);
    check_type(x, &v, letter);
    return v;
}

struct value template_eval_pipe(struct template_exec *x, const struct value *dot,
                                const struct template_pipe *pipe)
{
    struct value v = value_none();

    if (!pipe)
        return v;
    x->at = pipe->at;
    x->end = pipe->end;
    if (!template_eval_enter(x))
        return v;
    for (size_t i = 0; i < pipe->n && template_eval_step(x); i++) {
        const struct template_cmd *cmd = &pipe->cmds[i];
        struct value final = v;

        v = eval_word(x, dot, cmd->args[0], cmd->args, cmd->n, i ? &final : NULL);
        v.is_any = false; /* what is inside the interface */
    }
    for (size_t i = 0; i < pipe->n_decls && !x->e; i++) {
        if (pipe->is_assign)
            template_eval_set(x, pipe->decls[i], &v);
        else
            vec_push(&x->vars, ((struct template_var){pipe->decls[i], v}));
    }
    x->depth--;
    return v;
}
