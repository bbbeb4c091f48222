/*
 * Tokens to trees, as Go's text/template/parse: what it accepts, refuses and says. Whether a
 * function exists and a variable is in scope is known here, before anything runs.
 */
#include "common/base/gostr.h"
#include "common/template/template_internal.h"
#include "common/template/template_number.h"

struct parser {
    const struct template_set *set;
    struct arena *arena;
    struct slice name, text;
    template_tokens tokens;
    size_t at; /* in tokens */
    VEC(struct slice) vars;
    size_t vars_floor; /* where the variables of this definition begin */
    unsigned range_depth, nesting;
    template_defs *defs;
    struct err *e; /* the first error; from then on all tokens are EOF */
};

typedef VEC(struct template_node *) node_vec;

static const char *const token_names[] = {
#define X(sym, text) [TOKEN_##sym] = text,
    TEMPLATE_TOKENS(X)
#undef X
};

static struct template_node *parse_action(struct parser *p);
static struct template_pipe *parse_pipe(struct parser *p, const char *context,
                                        enum template_token_kind end);
static bool parse_list(struct parser *p, struct template_list *ret, enum node_kind *ret_stop);

static void ORR_PRINTF(2, 3) fail(struct parser *p, const char *fmt, ...)
{
    char message[256];
    unsigned line = 1;
    va_list ap;

    if (p->e)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < p->text.len && i < p->tokens.ptr[p->at].at; i++)
        line += p->text.ptr[i] == '\n';
    p->e = err_new(ERR_INVALID, "template: %.*s:%u: %s", SLICE_ARG(p->name), line, message);
}

static const struct template_token *peek(struct parser *p)
{
    static const struct template_token eof = {.kind = TOKEN_EOF, .text = {(const uint8_t *)"", 0}};

    return p->e ? &eof : &p->tokens.ptr[p->at];
}

static const struct template_token *next(struct parser *p)
{
    const struct template_token *t = peek(p);

    if (!p->e && p->at + 1 < p->tokens.len)
        p->at++;
    return t;
}

static const struct template_token *peek_non_space(struct parser *p)
{
    while (peek(p)->kind == TOKEN_SPACE)
        (void)next(p);
    return peek(p);
}

static const struct template_token *next_non_space(struct parser *p)
{
    (void)peek_non_space(p);
    return next(p);
}

static void unexpected(struct parser *p, const struct template_token *t, const char *context)
{
    if (t->kind == TOKEN_ERROR)
        fail(p, "%.*s", SLICE_ARG(t->text));
    else if (t->kind == TOKEN_EOF)
        fail(p, "unexpected EOF");
    else if (t->kind >= TOKEN_BLOCK)
        fail(p, "unexpected <%s> in %s", token_names[t->kind], context);
    else
        fail(p, "unexpected \"%.*s\" in %s", (int)ORR_MIN(t->text.len, 60), t->text.ptr, context);
}

static bool expect(struct parser *p, enum template_token_kind kind, const char *context)
{
    const struct template_token *t = next_non_space(p);

    if (t->kind == kind)
        return true;
    unexpected(p, t, context);
    return false;
}

/* Bounds the recursion of the parser, and with it that of the executor. */
static bool descend(struct parser *p)
{
    if (p->nesting >= TEMPLATE_MAX_NESTING) {
        if (!p->e)
            p->e = err_new(ERR_LIMIT, "template: %.*s: nested deeper than %d levels",
                           SLICE_ARG(p->name), TEMPLATE_MAX_NESTING);
        return false;
    }
    p->nesting++;
    return true;
}

static struct template_node *new_node(struct parser *p, enum node_kind kind, size_t at)
{
    struct template_node *n = arena_new_of(p->arena, struct template_node);

    n->kind = kind;
    n->at = at;
    return n;
}

/* Where the token before the current one ended. */
static size_t last_end(const struct parser *p)
{
    size_t i = p->at;

    while (i > 0 && p->tokens.ptr[i - 1].kind == TOKEN_SPACE)
        i--;
    return i ? p->tokens.ptr[i - 1].at + p->tokens.ptr[i - 1].text.len : 0;
}

static bool is_declared(const struct parser *p, struct slice name)
{
    for (size_t i = p->vars_floor; i < p->vars.len; i++)
        if (slice_eq(p->vars.ptr[i], name))
            return true;
    return slice_eq_cstr(name, "$");
}

static struct slice unquoted(struct parser *p, struct slice quoted)
{
    struct buf b = {0};
    struct slice s = SLICE_EMPTY;

    if (gostr_unquote(quoted, &b))
        s = arena_dup(p->arena, buf_slice(&b));
    else
        fail(p, "invalid syntax");
    buf_done(&b);
    return s;
}

/* A path of one name; the caller may add more. */
static struct template_node *path_node(struct parser *p, enum node_kind kind, size_t at,
                                       struct slice name)
{
    struct template_node *n = new_node(p, kind, at);

    n->path.names = arena_array(p->arena, struct slice, 1);
    n->path.names[0] = name;
    n->path.n = 1;
    return n;
}

static struct template_node *function_term(struct parser *p, const struct template_token *t)
{
    struct template_node *n = new_node(p, NODE_IDENT, t->at);

    n->func = template_find_func(p->set, t->text);
    if (!n->func)
        fail(p, "function \"%.*s\" not defined", (int)ORR_MIN(t->text.len, 100), t->text.ptr);
    return n;
}

static struct template_node *number_term(struct parser *p, const struct template_token *t)
{
    struct template_node *n = new_node(p, NODE_NUMBER, t->at);
    const char *wrong = template_number_parse(t->text, t->kind, &n->number);

    if (wrong)
        fail(p, "%s: %.*s", wrong, (int)ORR_MIN(t->text.len, 100), t->text.ptr);
    return n;
}

static struct template_node *paren_term(struct parser *p, const struct template_token *t)
{
    struct template_node *n = new_node(p, NODE_PIPE, t->at);

    if (!descend(p))
        return NULL;
    n->pipe = parse_pipe(p, "parenthesized pipeline", TOKEN_RPAREN);
    p->nesting--;
    return n;
}

/* An operand without fields behind it; NULL if there is none here. */
static struct template_node *parse_term(struct parser *p)
{
    const struct template_token *t = next_non_space(p);
    struct template_node *n;

    switch (t->kind) {
    case TOKEN_IDENT:
        return function_term(p, t);
    case TOKEN_DOT:
        return new_node(p, NODE_DOT, t->at);
    case TOKEN_NIL:
        return new_node(p, NODE_NIL, t->at);
    case TOKEN_VARIABLE:
        if (!is_declared(p, t->text))
            fail(p, "undefined variable \"%.*s\"", (int)ORR_MIN(t->text.len, 100), t->text.ptr);
        return path_node(p, NODE_VARIABLE, t->at, t->text);
    case TOKEN_FIELD:
        return path_node(p, NODE_FIELD, t->at, slice_from(t->text, 1));
    case TOKEN_BOOL:
        n = new_node(p, NODE_BOOL, t->at);
        n->b = slice_eq_cstr(t->text, "true");
        return n;
    case TOKEN_RUNE:
    case TOKEN_NUMBER:
    case TOKEN_COMPLEX:
        return number_term(p, t);
    case TOKEN_LPAREN:
        return paren_term(p, t);
    case TOKEN_STRING:
    case TOKEN_RAW_STRING:
        n = new_node(p, NODE_STRING, t->at);
        n->text = unquoted(p, t->text);
        return n;
    default:
        if (!p->e && t == &p->tokens.ptr[p->at - (p->at > 0)])
            p->at--; /* not ours */
        return NULL;
    }
}

/* A term and the fields that follow it at once. */
static struct template_node *parse_operand(struct parser *p)
{
    struct template_node *n = parse_term(p), *chain;
    size_t more = 0;

    if (!n || p->e)
        return n;
    while (!p->e && p->at + more < p->tokens.len && p->tokens.ptr[p->at + more].kind == TOKEN_FIELD)
        more++;
    if (more) {
        if (n->kind == NODE_FIELD || n->kind == NODE_VARIABLE) {
            chain = new_node(p, n->kind, n->at);
        } else if (n->kind == NODE_IDENT || n->kind == NODE_PIPE) {
            chain = new_node(p, NODE_CHAIN, n->at);
            chain->path.head = n;
        } else {
            fail(p, "unexpected . after term");
            return n;
        }
        chain->path.names = arena_array(p->arena, struct slice, more + 1);
        if (chain->kind != NODE_CHAIN)
            chain->path.names[chain->path.n++] = n->path.names[0];
        while (more--)
            chain->path.names[chain->path.n++] = slice_from(next(p)->text, 1);
        n = chain;
    }
    n->end = last_end(p);
    return n;
}

/* Operands up to a pipe or the end of the pipeline. */
static void parse_command(struct parser *p, struct template_cmd *ret)
{
    node_vec args = {0};

    for (;;) {
        struct template_node *operand;
        const struct template_token *t;

        (void)peek_non_space(p);
        operand = parse_operand(p);
        if (operand)
            vec_push(&args, operand);
        if (p->e)
            break;
        t = peek(p);
        if (t->kind == TOKEN_SPACE) {
            (void)next(p);
            continue;
        }
        if (t->kind == TOKEN_PIPE)
            (void)next(p);
        else if (t->kind != TOKEN_RIGHT && t->kind != TOKEN_RPAREN)
            unexpected(p, t, "operand");
        break;
    }
    if (!args.len)
        fail(p, "empty command");
    ret->n = args.len;
    ret->args = arena_array(p->arena, struct template_node *, args.len);
    if (args.len)
        memcpy(ret->args, args.ptr, args.len * sizeof(*args.ptr));
    vec_done(&args);
}

/* $x := … or $i, $x = … in front of a pipeline. */
static void parse_decls(struct parser *p, struct template_pipe *pipe, const char *context)
{
    bool is_range = strcmp(context, "range") == 0;

    while (peek_non_space(p)->kind == TOKEN_VARIABLE) {
        size_t start = p->at;
        struct slice name = next(p)->text;
        const struct template_token *t = peek_non_space(p);

        if (t->kind == TOKEN_ASSIGN || t->kind == TOKEN_DECLARE) {
            pipe->is_assign = t->kind == TOKEN_ASSIGN;
            (void)next(p);
            pipe->decls[pipe->n_decls++] = name;
            vec_push(&p->vars, name);
            return;
        }
        if (t->kind != TOKEN_CHAR || !slice_eq_cstr(t->text, ",")) {
            p->at = start; /* an operand */
            return;
        }
        (void)next(p);
        if (!is_range || pipe->n_decls >= 1) {
            fail(p, "too many declarations in %s", context);
            return;
        }
        pipe->decls[pipe->n_decls++] = name;
        vec_push(&p->vars, name);
        t = peek_non_space(p);
        if (t->kind != TOKEN_VARIABLE && t->kind != TOKEN_RIGHT && t->kind != TOKEN_RPAREN) {
            fail(p, "range can only initialize variables");
            return;
        }
    }
}

/* Only the first command of a pipeline may be something that cannot be called. */
static void check_pipe(struct parser *p, const struct template_pipe *pipe, const char *context)
{
    if (pipe->n == 0)
        fail(p, "missing value for %s", context);
    for (size_t i = 1; i < pipe->n && !p->e; i++) {
        enum node_kind kind = pipe->cmds[i].args[0]->kind;

        if (kind == NODE_BOOL || kind == NODE_DOT || kind == NODE_NIL || kind == NODE_NUMBER ||
            kind == NODE_STRING)
            fail(p, "non executable command in pipeline stage %zu", i + 1);
    }
}

static bool starts_operand(enum template_token_kind kind)
{
    return (kind >= TOKEN_STRING && kind <= TOKEN_NIL) || kind == TOKEN_LPAREN;
}

static struct template_pipe *parse_pipe(struct parser *p, const char *context,
                                        enum template_token_kind end)
{
    struct template_pipe *pipe = arena_new_of(p->arena, struct template_pipe);
    VEC(struct template_cmd) cmds = {0};

    pipe->at = peek_non_space(p)->at;
    parse_decls(p, pipe, context);
    while (!p->e) {
        const struct template_token *t = peek_non_space(p);

        if (t->kind == end) {
            pipe->end = last_end(p);
            (void)next(p);
            break;
        }
        if (!starts_operand(t->kind))
            unexpected(p, t, context);
        else
            parse_command(p, vec_add(&cmds));
    }
    pipe->n = cmds.len;
    pipe->cmds = arena_array(p->arena, struct template_cmd, cmds.len);
    if (cmds.len)
        memcpy(pipe->cmds, cmds.ptr, cmds.len * sizeof(*cmds.ptr));
    vec_done(&cmds);
    if (!p->e)
        check_pipe(p, pipe, context);
    return pipe;
}

/* Go lets {{else if}} and {{else with}} stand for an {{else}} with the control inside. */
static void parse_else(struct parser *p, struct template_node *n, const char *context)
{
    enum template_token_kind kind = peek_non_space(p)->kind;
    enum node_kind stop = NODE_END;

    if ((n->kind == NODE_IF && kind == TOKEN_IF) || (n->kind == NODE_WITH && kind == TOKEN_WITH)) {
        n->ctl.otherwise.ptr = arena_array(p->arena, struct template_node *, 1);
        n->ctl.otherwise.ptr[0] = parse_action(p);
        n->ctl.otherwise.n = 1;
        return;
    }
    if (!expect(p, TOKEN_RIGHT, "else"))
        return;
    if (parse_list(p, &n->ctl.otherwise, &stop) && stop != NODE_END)
        fail(p, "expected end; found {{else}} in %s", context);
}

static struct template_node *parse_control(struct parser *p, enum node_kind kind,
                                           const char *context, size_t at)
{
    struct template_node *n = new_node(p, kind, at);
    size_t mark = p->vars.len;
    enum node_kind stop;
    bool is_range = kind == NODE_RANGE, is_good;

    if (!descend(p))
        return n;
    n->ctl.pipe = parse_pipe(p, context, TOKEN_RIGHT);
    p->range_depth += is_range;
    is_good = !p->e && parse_list(p, &n->ctl.body, &stop);
    p->range_depth -= is_range;
    if (is_good && stop == NODE_ELSE)
        parse_else(p, n, context);
    p->vars.len = mark;
    p->nesting--;
    return n;
}

static struct template_node *parse_jump(struct parser *p, enum node_kind kind, const char *word,
                                        size_t at)
{
    if (!expect(p, TOKEN_RIGHT, word))
        return NULL;
    if (p->range_depth == 0)
        fail(p, "{{%s}} outside {{range}}", word);
    return new_node(p, kind, at);
}

static struct slice template_name(struct parser *p, const char *context)
{
    const struct template_token *t = next_non_space(p);

    if (t->kind == TOKEN_STRING || t->kind == TOKEN_RAW_STRING)
        return unquoted(p, t->text);
    unexpected(p, t, context);
    return SLICE_EMPTY;
}

static struct template_def *find_def(template_defs *defs, struct slice name)
{
    VEC_FOREACH (d, defs)
        if (slice_eq((*d)->name, name))
            return *d;
    return NULL;
}

/* A text may define a name twice only if one of the two is empty. */
static void add_def(struct parser *p, struct slice name, struct template_list root)
{
    struct template_def *def = find_def(p->defs, name);

    if (p->e)
        return;
    if (def && !template_is_empty(&def->root)) {
        if (!template_is_empty(&root))
            fail(p, "multiple definition of template \"%.*s\"", (int)ORR_MIN(name.len, 100),
                 name.ptr);
        return;
    }
    if (!def) {
        def = arena_new_of(p->arena, struct template_def);
        vec_push(p->defs, def);
    }
    *def =
        (struct template_def){.name = name, .source_name = p->name, .text = p->text, .root = root};
}

/* The body of a define or block: its own variables, and no loop around it. */
static void parse_body(struct parser *p, struct slice name, const char *context)
{
    size_t floor = p->vars_floor, mark = p->vars.len;
    unsigned range_depth = p->range_depth;
    struct template_list root = {0};
    enum node_kind stop;

    if (!descend(p))
        return;
    p->vars_floor = mark;
    p->range_depth = 0;
    if (parse_list(p, &root, &stop)) {
        if (stop != NODE_END)
            fail(p, "unexpected {{else}} in %s", context);
        add_def(p, name, root);
    }
    p->vars.len = mark;
    p->vars_floor = floor;
    p->range_depth = range_depth;
    p->nesting--;
}

static struct template_node *parse_invocation(struct parser *p, bool is_block, size_t at)
{
    const char *context = is_block ? "block clause" : "template clause";
    struct template_node *n = new_node(p, NODE_TEMPLATE, at);

    n->ctl.name = template_name(p, context);
    if (p->e)
        return n;
    if (!is_block && peek_non_space(p)->kind == TOKEN_RIGHT) {
        (void)next(p);
        return n;
    }
    n->ctl.pipe = parse_pipe(p, context, TOKEN_RIGHT);
    if (is_block && !p->e)
        parse_body(p, n->ctl.name, context);
    return n;
}

/* Behind {{. */
static struct template_node *parse_action(struct parser *p)
{
    const struct template_token *t = peek_non_space(p);
    struct template_node *n;

    switch (t->kind) {
    case TOKEN_BLOCK:
    case TOKEN_TEMPLATE:
        (void)next(p);
        return parse_invocation(p, t->kind == TOKEN_BLOCK, t->at);
    case TOKEN_BREAK:
        (void)next(p);
        return parse_jump(p, NODE_BREAK, "break", t->at);
    case TOKEN_CONTINUE:
        (void)next(p);
        return parse_jump(p, NODE_CONTINUE, "continue", t->at);
    case TOKEN_ELSE:
        (void)next(p);
        return new_node(p, NODE_ELSE, t->at);
    case TOKEN_END:
        (void)next(p);
        (void)expect(p, TOKEN_RIGHT, "end");
        return new_node(p, NODE_END, t->at);
    case TOKEN_IF:
        (void)next(p);
        return parse_control(p, NODE_IF, "if", t->at);
    case TOKEN_RANGE:
        (void)next(p);
        return parse_control(p, NODE_RANGE, "range", t->at);
    case TOKEN_WITH:
        (void)next(p);
        return parse_control(p, NODE_WITH, "with", t->at);
    default:
        n = new_node(p, NODE_ACTION, t->at);
        n->ctl.pipe = parse_pipe(p, "command", TOKEN_RIGHT);
        n->end = n->ctl.pipe->end;
        return n;
    }
}

/* Text or an action. */
static struct template_node *parse_item(struct parser *p)
{
    const struct template_token *t = next_non_space(p);
    struct template_node *n = NULL;

    if (t->kind == TOKEN_TEXT) {
        n = new_node(p, NODE_TEXT, t->at);
        n->text = t->text;
    } else if (t->kind == TOKEN_LEFT) {
        n = parse_action(p);
    } else {
        unexpected(p, t, "input");
    }
    return p->e ? NULL : n;
}

static void finish_list(struct parser *p, node_vec *nodes, struct template_list *ret)
{
    ret->n = nodes->len;
    ret->ptr = arena_array(p->arena, struct template_node *, nodes->len);
    if (nodes->len)
        memcpy(ret->ptr, nodes->ptr, nodes->len * sizeof(*nodes->ptr));
    vec_done(nodes);
}

/* Up to {{end}} or {{else}}, which is consumed but for what follows the word else. */
static bool parse_list(struct parser *p, struct template_list *ret, enum node_kind *ret_stop)
{
    node_vec nodes = {0};
    struct template_node *n;

    while ((n = parse_item(p)) && n->kind != NODE_END && n->kind != NODE_ELSE)
        vec_push(&nodes, n);
    if (n)
        *ret_stop = n->kind;
    finish_list(p, &nodes, ret);
    return n != NULL;
}

static bool parse_define(struct parser *p)
{
    size_t start = p->at;
    struct slice name;

    if (peek(p)->kind != TOKEN_LEFT)
        return false;
    (void)next(p);
    if (next_non_space(p)->kind != TOKEN_DEFINE) {
        p->at = start;
        return false;
    }
    name = template_name(p, "define clause");
    if (!p->e && expect(p, TOKEN_RIGHT, "define clause"))
        parse_body(p, name, "define clause");
    return true;
}

static void parse_root(struct parser *p)
{
    node_vec nodes = {0};
    struct template_list root;

    while (!p->e && peek(p)->kind != TOKEN_EOF) {
        struct template_node *n;

        if (parse_define(p))
            continue;
        n = parse_item(p);
        if (n && (n->kind == NODE_END || n->kind == NODE_ELSE))
            fail(p, "unexpected {{%s}}", n->kind == NODE_END ? "end" : "else");
        else if (n)
            vec_push(&nodes, n);
    }
    finish_list(p, &nodes, &root);
    add_def(p, p->name, root);
}

struct err *template_parse_text(const struct template_set *set, struct slice name,
                                struct slice text, template_defs *ret)
{
    struct template_lex_opts opts = {
        .left = set->left,
        .right = set->right,
        .is_break_func = template_find_func(set, SLICE("break")) != NULL,
        .is_continue_func = template_find_func(set, SLICE("continue")) != NULL,
    };
    struct parser p = {.set = set, .arena = set->arena, .defs = ret};

    p.name = arena_dup(p.arena, name);
    p.text = arena_dup(p.arena, text);
    template_lex(p.arena, p.text, &opts, &p.tokens);
    parse_root(&p);
    vec_done(&p.tokens);
    vec_done(&p.vars);
    return p.e;
}
