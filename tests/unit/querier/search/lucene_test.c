#include "common/base/clock.h"
#include "querier/search/esmatch.h"
#include "querier/search/esplan.h"
#include "querier/search/lucene.h"
#include "tests/unit/test.h"

/* A tree as text: (+must ?should -must_not)/minimum, field:value. */
static void print(struct buf *b, const struct esquery *q);

static void print_list(struct buf *b, const char *sign, const struct esqueries *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (b->ptr[b->len - 1] != '(')
            buf_byte(b, ' ');
        buf_str(b, sign);
        print(b, l->ptr[i]);
    }
}

static void print_range(struct buf *b, const struct esrange *r)
{
    buf_str(b, r->excludes_min ? "{" : "[");
    if (r->kind == ESRANGE_NUMBER && r->has_min)
        buf_printf(b, "%.4Lg", r->min);
    else if (r->has_min)
        buf_slice_append(b, r->min_text);
    buf_str(b, "..");
    if (r->kind == ESRANGE_NUMBER && r->has_max)
        buf_printf(b, "%.4Lg", r->max);
    else if (r->has_max)
        buf_slice_append(b, r->max_text);
    buf_str(b, r->excludes_max ? "}" : "]");
}

static void print(struct buf *b, const struct esquery *q)
{
    static const char *const ops[] = {
        [ESQUERY_ALL] = "*",        [ESQUERY_NONE] = "none",  [ESQUERY_PHRASE] = "",
        [ESQUERY_MATCH] = "match ", [ESQUERY_WILDCARD] = "~", [ESQUERY_REGEXP] = "/"};

    if (q->kind == ESQUERY_BOOL) {
        buf_byte(b, '(');
        print_list(b, "+", &q->must);
        print_list(b, "?", &q->should);
        print_list(b, "-", &q->must_not);
        buf_printf(b, ")/%zu", q->min_should);
        return;
    }
    buf_slice_append(b, q->field);
    buf_str(b, q->field.len ? ":" : "");
    if (q->kind == ESQUERY_RANGE) {
        print_range(b, &q->range);
    } else if (q->kind == ESQUERY_EXISTS) {
        buf_str(b, "exists");
    } else {
        buf_str(b, ops[q->kind]);
        buf_slice_append(b, q->literal.text);
    }
}

static void check(const char *text, const struct lucene_opts *o, const char *want)
{
    struct arena *a = arena_new(0);
    struct esquery_parser p;
    struct esquery *q;
    struct buf b = {0};

    esquery_parser_init(&p, a, 0);
    CHECK_OK(lucene_parse(&p, slice_cstr(text), o, &q));
    print(&b, q);
    test_check_str(buf_slice(&b), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&b);
    esquery_parser_done(&p);
    arena_free(a);
}

static void check_fails(const char *text, enum err_code code, const char *want)
{
    struct arena *a = arena_new(0);
    struct lucene_opts o = {0};
    struct esquery_parser p;
    struct esquery *q;

    esquery_parser_init(&p, a, 0);
    CHECK_ERR(lucene_parse(&p, slice_cstr(text), &o, &q), code, want);
    esquery_parser_done(&p);
    arena_free(a);
}

TEST(lucene_reads_what_people_write)
{
    static const char *const cases[][2] = {
        {"user_id:67890 AND level:error", "(+user_id:67890 +level:error)/0"},
        {"a b", "(?a ?b)/1"},
        {"a OR b AND c", "(?a ?(+b +c)/0)/1"},
        {"a && b || c", "(?(+a +b)/0 ?c)/1"},
        {"+a b -c", "(+a ?b -c)/0"},
        {"a NOT b", "(?a -b)/1"},
        {"a AND NOT b", "(+a -b)/0"},
        {"NOT a", "(-a)/0"},
        {"-a", "(-a)/0"},
        {"NOT NOT a", "a"},
        {"!a", "(-a)/0"},
        {"(a OR b) AND c", "(+(?a ?b)/1 +c)/0"},
        {"f:(a b)", "(?f:a ?f:b)/1"},
        {"f:(a AND \"b c\")", "(+f:a +f:b c)/0"},
        {"\"connection reset\"", "connection reset"},
        {"f:\"a \\\" b\"", "f:a \" b"},
        {"time*", "~time*"},
        {"f:a?c*", "f:~a?c*"},
        {"f:*", "f:exists"},
        {"_exists_:user.id", "user.id:exists"},
        {"*:*", "*"},
        {"*", "*"},
        {"took:[1 TO 5}", "took:[1..5}"},
        {"took:{* TO 5]", "took:{..5]"},
        {"took:>=100", "took:[100..]"},
        {"took:<1.5", "took:[..1.5}"},
        {"name:[a TO \"b c\"]", "name:[a..b c]"},
        {"f:/ab+c/", "f:/ab+c"},
        {"user.name:x\\:y", "user.name:x:y"},
        {"a\\ b", "a b"},
        {"f:a^2 b", "(?f:a ?b)/1"},
        {"(a)^3", "a"},
        {"android ANDx ORAND", "(?android ?ANDx ?ORAND)/1"},
        {"", "none"},
        {"  \t", "none"},
        {"f: a", "f:a"},
        {"10.0.0.1", "10.0.0.1"},
        {"a/b", "a/b"},
        {"f:-5", "f:-5"},
    };
    struct lucene_opts o = {0};

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        check(cases[i][0], &o, cases[i][1]);
}

TEST(lucene_joins_by_the_default_operator)
{
    struct lucene_opts o = {.joins_with_and = true};

    check("a b", &o, "(+a +b)/0");
    check("a OR b c", &o, "(?a ?(+b +c)/0)/1");
    check("a -b", &o, "(+a -b)/0");
}

TEST(lucene_looks_into_fields_that_are_given)
{
    struct slice fields[] = {SLICE("x"), SLICE("y")};
    struct lucene_opts o = {.fields = fields, .n_fields = 2};

    check("a f:b", &o, "(?(?x:a ?y:a)/1 ?f:b)/1");
}

TEST(lucene_reads_the_simple_form)
{
    struct lucene_opts o = {.is_simple = true};

    check("a + b | -c", &o, "(?(+a +b)/0 -c)/1");
    check("\"a b\" pre* x:y", &o, "(?a b ?~pre* ?x:y)/1");
}

TEST(lucene_says_what_is_wrong)
{
    check_fails("a AND", ERR_INVALID, "at 6: a clause is expected");
    check_fails("(a", ERR_INVALID, "at 3: a parenthesis is not closed");
    check_fails("a)", ERR_INVALID, "at 2: there is no parenthesis to close");
    check_fails("\"a", ERR_INVALID, "at 1: a phrase is not closed");
    check_fails("f:[1 5]", ERR_INVALID, "at 6: TO is expected");
    check_fails("f:[1 TO 5", ERR_INVALID, "the range is not closed");
    check_fails("f:/ab", ERR_INVALID, "regexp, which is not closed");
    check_fails("f:/a/b/", ERR_INVALID, "a space is expected behind the regexp");
    check_fails("f:a:b", ERR_INVALID, "a second : in a value");
    check_fails("word~1", ERR_UNSUPPORTED, "a fuzzy word");
    check_fails("\"a b\"~2", ERR_UNSUPPORTED, "slop of a phrase");
    check_fails("us*r:x", ERR_UNSUPPORTED, "a field's name with *");
    check_fails("f:/(/", ERR_INVALID, "regexp");
    check_fails("@timestamp:[yesterday TO now]", ERR_INVALID, "failed to parse date field");
}

TEST(lucene_bounds_what_it_reads)
{
    struct buf b = {0};

    for (int i = 0; i < 100; i++)
        buf_byte(&b, '(');
    check_fails(buf_cstr(&b), ERR_LIMIT, "nest deeper");
    buf_reset(&b);
    for (int i = 0; i < 5000; i++)
        buf_str(&b, "a ");
    check_fails(buf_cstr(&b), ERR_LIMIT, "more than 4096 clauses");
    buf_reset(&b);
    buf_fill(&b, 'a', ESQUERY_MAX_TEXT + 1);
    check_fails(buf_cstr(&b), ERR_LIMIT, "longer than");
    buf_done(&b);
}
