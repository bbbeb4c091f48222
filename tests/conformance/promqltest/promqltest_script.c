#include <ctype.h>

#include "common/lang/promql.h"
#include "tests/conformance/promqltest/promqltest.h"

struct lines {
    struct script *script;
    struct slice rest;
    unsigned number;
};

/* The next line, white space and comments off; false at the end. */
static bool next_line(struct lines *l, struct slice *ret)
{
    struct slice line;

    if (!slice_split(&l->rest, '\n', &line))
        return false;
    l->number++;
    line = slice_trim(line);
    if (line.len && line.ptr[0] == '#')
        line.len = 0;
    *ret = line;
    return true;
}

/* A line that goes on with the command: not empty. */
static bool next_of_block(struct lines *l, struct slice *ret)
{
    struct lines save = *l;

    if (!next_line(l, ret))
        return false;
    if (ret->len)
        return true;
    *l = save;
    l->number = save.number;
    return false;
}

static struct slice take_word(struct slice *s)
{
    size_t n = 0;
    struct slice w;

    *s = slice_trim(*s);
    while (n < s->len && !isspace(s->ptr[n]))
        n++;
    w = slice_sub(*s, 0, n);
    *s = slice_trim(slice_from(*s, n));
    return w;
}

/* A PromQL duration or number of seconds, maybe negative. */
static bool parse_time(struct arena *a, struct slice s, int64_t *ret_ms)
{
    const struct promql_options opts = PROMQL_EVERYTHING;
    struct promql q = {0};
    const struct promql_expr *e;
    double sign = 1;
    struct err *err = promql_parse(a, s, &opts, &q);

    if (err) {
        err_free(err);
        return false;
    }
    e = promql_unwrap(q.root);
    if (e->kind == PROMQL_UNARY) {
        sign = e->u.unary.is_minus ? -1 : 1;
        e = promql_unwrap(e->u.unary.expr);
    }
    if (e->kind != PROMQL_NUMBER) {
        promql_done(&q);
        return false;
    }
    *ret_ms = (int64_t)(sign * e->u.number.value * 1000 + sign * 0.5);
    promql_done(&q);
    return true;
}

static struct err *bad_line(const struct lines *l, const char *what)
{
    return err_new(ERR_INVALID, "line %u: %s", l->number, what);
}

static struct err *parse_load(struct lines *l, struct slice rest, bool with_nhcb)
{
    struct command *c = vec_add(&l->script->commands);
    struct slice line;

    c->kind = COMMAND_LOAD;
    c->line = l->number;
    c->with_nhcb = with_nhcb;
    if (!parse_time(l->script->arena, take_word(&rest), &c->interval_ms) || c->interval_ms <= 0)
        return bad_line(l, "load needs an interval");
    while (next_of_block(l, &line))
        vec_push(&c->loads, line);
    return NULL;
}

/* "text", `text`, or text as it is. */
static struct slice unquote(struct arena *a, struct slice s)
{
    struct promql q = {0};
    struct err *e;
    struct slice out = s;

    if (s.len < 2 || (s.ptr[0] != '"' && s.ptr[0] != '`') || s.ptr[s.len - 1] != s.ptr[0])
        return s;
    if ((e = promql_parse(a, s, NULL, &q))) {
        err_free(e);
        return slice_sub(s, 1, s.len - 2);
    }
    if (q.root->kind == PROMQL_TEXT)
        out = arena_dup(a, q.root->u.text);
    promql_done(&q);
    return out;
}

static struct err *parse_expect(struct lines *l, struct command *c, struct slice rest)
{
    static const struct {
        const char *name;
        enum expect_kind kind;
    } kinds[] = {{"fail", EXPECT_FAIL},
                 {"warn", EXPECT_WARN},
                 {"info", EXPECT_INFO},
                 {"no_warn", EXPECT_NO_WARN},
                 {"no_info", EXPECT_NO_INFO}};
    struct slice word = take_word(&rest);
    struct arena *a = l->script->arena;
    struct expectation x = {0};
    size_t k;

    if (slice_eq_cstr(word, "ordered")) {
        c->is_ordered = true;
        return NULL;
    }
    if (slice_eq_cstr(word, "string")) {
        c->has_string = true;
        c->string = unquote(a, rest);
        return NULL;
    }
    if (slice_eq_cstr(word, "range")) {
        struct slice vector = take_word(&rest), from = take_word(&rest), start = take_word(&rest),
                     to = take_word(&rest);
        struct slice end = take_word(&rest), step = take_word(&rest), by = take_word(&rest);

        c->has_matrix = true;
        if (!slice_eq_cstr(vector, "vector") || !slice_eq_cstr(from, "from") ||
            !slice_eq_cstr(to, "to") || !slice_eq_cstr(step, "step") ||
            !parse_time(a, start, &c->matrix_start_ms) || !parse_time(a, end, &c->matrix_end_ms) ||
            !parse_time(a, by, &c->matrix_step_ms))
            return bad_line(l, "expect range vector from START to END step STEP");
        return NULL;
    }
    for (k = 0; k < ORR_COUNT(kinds); k++)
        if (slice_eq_cstr(word, kinds[k].name))
            break;
    if (k == ORR_COUNT(kinds))
        return bad_line(l, "unknown expectation");
    x.kind = kinds[k].kind;
    if (rest.len) {
        x.is_regex = slice_has_prefix(rest, SLICE("regex"));
        if (!x.is_regex && !slice_has_prefix(rest, SLICE("msg")))
            return bad_line(l, "expect takes msg: or regex:");
        x.has_text = true;
        x.text = slice_trim(slice_from(rest, (size_t)slice_find_byte(rest, ':', 0) + 1));
    }
    vec_push(&c->expects, x);
    return NULL;
}

static struct err *parse_result_line(struct lines *l, struct command *c, struct slice line)
{
    struct slice rest = line, word = take_word(&rest);
    struct arena *a = l->script->arena;
    struct expected_series es = {0};
    struct err *e;
    int64_t unused;

    if (slice_eq_cstr(word, "expect"))
        return parse_expect(l, c, rest);
    if (slice_eq_cstr(word, "expected_fail_message") ||
        slice_eq_cstr(word, "expected_fail_regexp")) {
        vec_push(&c->expects,
                 ((struct expectation){EXPECT_FAIL, slice_eq_cstr(word, "expected_fail_regexp"),
                                       true, rest}));
        return NULL;
    }
    (void)unused;
    if (rest.len == 0 &&
        (isdigit(word.ptr[0]) || word.ptr[0] == '-' || word.ptr[0] == '+' || word.ptr[0] == '.' ||
         slice_eq_nocase(word, SLICE("nan")) || slice_eq_nocase(word, SLICE("inf")))) {
        struct slice text = slice_cstr(arena_printf(a, "x %.*s", SLICE_ARG(word)));

        es.is_scalar = true;
        if ((e = promql_series_parse(a, text, &es.series)))
            return err_wrap(e, "line %u", l->number);
    } else if ((e = promql_series_parse(a, line, &es.series))) {
        return err_wrap(e, "line %u", l->number);
    }
    vec_push(&c->series, es);
    return NULL;
}

static void old_style(struct command *c, struct slice word)
{
    static const struct {
        const char *name;
        enum expect_kind kind;
    } old[] = {{"eval_fail", EXPECT_FAIL}, {"eval_warn", EXPECT_WARN}, {"eval_info", EXPECT_INFO}};

    c->is_ordered = slice_eq_cstr(word, "eval_ordered");
    for (size_t i = 0; i < ORR_COUNT(old); i++)
        if (slice_eq_cstr(word, old[i].name))
            vec_push(&c->expects, ((struct expectation){.kind = old[i].kind}));
}

static struct err *parse_eval(struct lines *l, struct slice word, struct slice rest)
{
    struct command *c = vec_add(&l->script->commands);
    struct arena *a = l->script->arena;
    struct slice mode = take_word(&rest), line;
    struct err *e;
    bool is_ok;

    c->kind = COMMAND_EVAL;
    c->line = l->number;
    old_style(c, word);
    if (slice_eq_cstr(mode, "instant")) {
        is_ok =
            slice_eq_cstr(take_word(&rest), "at") && parse_time(a, take_word(&rest), &c->start_ms);
        c->end_ms = c->start_ms;
    } else {
        c->is_range = true;
        is_ok = slice_eq_cstr(mode, "range") && slice_eq_cstr(take_word(&rest), "from") &&
                parse_time(a, take_word(&rest), &c->start_ms);
        is_ok = is_ok && slice_eq_cstr(take_word(&rest), "to") &&
                parse_time(a, take_word(&rest), &c->end_ms);
        is_ok = is_ok && slice_eq_cstr(take_word(&rest), "step") &&
                parse_time(a, take_word(&rest), &c->step_ms);
    }
    if (!is_ok)
        return bad_line(
            l, "eval instant at TIME QUERY or eval range from START to END step STEP QUERY");
    c->expr = rest;
    while (next_of_block(l, &line)) {
        if ((e = parse_result_line(l, c, line)))
            return e;
    }
    return NULL;
}

struct err *script_parse(struct slice text, struct script *ret)
{
    struct lines l = {.script = ret, .rest = text};
    struct slice line, rest, word;
    struct err *e = NULL;

    *ret = (struct script){.arena = arena_new(0)};
    while (!e && next_line(&l, &line)) {
        if (line.len == 0)
            continue;
        rest = line;
        word = take_word(&rest);
        if (slice_eq_cstr(word, "clear")) {
            struct command *c = vec_add(&ret->commands);

            c->kind = COMMAND_CLEAR;
            c->line = l.number;
        } else if (slice_eq_cstr(word, "load") || slice_eq_cstr(word, "load_with_nhcb")) {
            e = parse_load(&l, rest, word.len > 4);
        } else if (slice_has_prefix(word, SLICE("eval"))) {
            e = parse_eval(&l, word, rest);
        } else {
            e = bad_line(&l, "unknown command");
        }
    }
    if (e)
        script_done(ret);
    return e;
}

void script_done(struct script *s)
{
    VEC_FOREACH (c, &s->commands) {
        vec_done(&c->loads);
        vec_done(&c->expects);
        vec_done(&c->series);
    }
    vec_done(&s->commands);
    arena_free(s->arena);
    *s = (struct script){0};
}
