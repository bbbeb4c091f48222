#include "common/logs/linefilter.h"

#include <stdlib.h>

#include "common/lang/logql_re.h"
#include "common/logs/iprange.h"
#include "common/logs/linepattern.h"
#include "common/logs/textfind.h"

enum kind { TEXT, PATTERN, IP, REGEX }; /* in the order of their cost */

struct finder {
    enum kind kind;
    struct textfind find; /* TEXT; REGEX: what every match holds, empty if nothing is known */
    struct re *re;
    struct linepattern pattern;
    struct iprange ip;
};

/* Keeps a line if one of the finders finds something (none, if negative). */
struct test {
    bool is_negative;
    struct finder *finders;
    size_t n;
};

struct linefilter {
    struct test *tests;
    size_t n;
};

/* Without regard to case only short texts are searched for. */
static bool are_short(const struct logql_re_texts *texts)
{
    for (size_t i = 0; texts->ignores_case && i < texts->n; i++)
        if (texts->ptr[i].len > TEXTFIND_MAX_BYTES)
            return false;
    return true;
}

struct err *linefilter_regex(struct arena *a, struct slice regex, struct re **ret)
{
    struct err *e = re_compile(regex, 0, ret);

    if (e)
        return e;
    arena_charge(a, (int64_t)re_bytes(*ret));
    if (!arena_over(a) && re_bytes(*ret) <= LINEFILTER_MAX_REGEX_BYTES)
        return NULL;
    if (re_bytes(*ret) > LINEFILTER_MAX_REGEX_BYTES)
        e = err_new(ERR_LIMIT,
                    "a regex too large to be looked for in lines: it takes %zu bytes, and at most "
                    "%u may be; split it, or search for texts by |= … or …",
                    re_bytes(*ret), LINEFILTER_MAX_REGEX_BYTES);
    re_free(*ret);
    *ret = NULL;
    if (e)
        return e;
    return err_new(ERR_LIMIT, "regexes need more memory than the limit of %zu bytes",
                   arena_limit(a));
}

static struct err *make_regex(struct arena *a, struct slice regex, struct finder *ret, size_t max,
                              size_t *ret_n)
{
    struct logql_re_texts texts;

    if (logql_re_texts(a, regex, max, &texts) && are_short(&texts)) {
        for (size_t i = 0; i < texts.n; i++)
            ret[i] = (struct finder){.kind = TEXT,
                                     .find = texts.ignores_case ? textfind_of_nocase(texts.ptr[i])
                                                                : textfind_of(texts.ptr[i])};
        *ret_n = texts.n;
        return NULL;
    }
    ret->kind = REGEX;
    ret->find = textfind_of(logql_re_required(a, regex));
    *ret_n = 1;
    return linefilter_regex(a, regex, &ret->re);
}

static struct err *make_finder(struct arena *a, const struct logql_stage *s,
                               const struct logql_needle *needle, struct finder *ret, size_t max,
                               size_t *ret_n)
{
    *ret_n = 1;
    if (needle->is_ip) {
        if (s->line_op != LOGQL_LINE_HAS && s->line_op != LOGQL_LINE_HAS_NOT)
            return err_new(ERR_INVALID, "ip() goes with |= and != only");
        ret->kind = IP;
        return iprange_parse(needle->text, &ret->ip);
    }
    switch (s->line_op) {
    case LOGQL_LINE_RE:
    case LOGQL_LINE_NOT_RE:
        return make_regex(a, needle->text, ret, max, ret_n);
    case LOGQL_LINE_PATTERN:
    case LOGQL_LINE_NOT_PATTERN:
        ret->kind = PATTERN;
        return linepattern_parse(a, needle->text, &ret->pattern);
    default:
        ret->kind = TEXT;
        ret->find = textfind_of(needle->text);
        return NULL;
    }
}

static int by_kind(const void *a, const void *b)
{
    enum kind ka = ((const struct finder *)a)->kind, kb = ((const struct finder *)b)->kind;

    return (ka > kb) - (ka < kb);
}

/* The dearest finder of a test is its last. */
static int by_cost(const void *a, const void *b)
{
    const struct test *ta = a, *tb = b;

    return by_kind(&ta->finders[ta->n - 1], &tb->finders[tb->n - 1]);
}

#define MAX_TEXTS 64 /* of one regex that are searched one by one */

static struct err *make_test(struct arena *a, const struct logql_stage *s, struct test *t)
{
    size_t cap = s->n_needles + MAX_TEXTS;

    t->is_negative = logql_line_op_is_negative(s->line_op);
    t->finders = arena_array(a, struct finder, cap);
    for (size_t i = 0; i < s->n_needles; i++) {
        size_t left = cap - t->n - (s->n_needles - i - 1), n;
        struct err *e =
            make_finder(a, s, &s->needles[i], &t->finders[t->n], ORR_MIN(left, MAX_TEXTS), &n);

        if (e)
            return err_wrap(e, "line filter %s", s->needles[i].is_ip ? "ip()" : "");
        t->n += n;
    }
    qsort(t->finders, t->n, sizeof(*t->finders), by_kind);
    return NULL;
}

struct err *linefilter_make(struct arena *a, const struct logql_stage *stages, size_t n,
                            struct linefilter **ret)
{
    struct linefilter *f = arena_new_of(a, struct linefilter);

    f->tests = arena_array(a, struct test, n);
    for (size_t i = 0; i < n; i++) {
        struct err *e;

        if (stages[i].kind != LOGQL_STAGE_LINE)
            continue;
        if ((e = make_test(a, &stages[i], &f->tests[f->n++]))) {
            linefilter_done(f);
            return e;
        }
    }
    qsort(f->tests, f->n, sizeof(*f->tests), by_cost);
    *ret = f;
    return NULL;
}

void linefilter_done(struct linefilter *f)
{
    for (size_t i = 0; f && i < f->n; i++)
        for (size_t j = 0; j < f->tests[i].n; j++)
            re_free(f->tests[i].finders[j].re);
}

static bool finds(const struct finder *f, struct slice line)
{
    switch (f->kind) {
    case TEXT:
        return textfind_in(&f->find, line, 0) >= 0;
    case PATTERN:
        return linepattern_is(&f->pattern, line);
    case IP:
        return iprange_in_line(&f->ip, line);
    case REGEX:
        return textfind_in(&f->find, line, 0) >= 0 && re_match(f->re, line);
    }
    return false;
}

bool linefilter_keeps(const struct linefilter *f, struct slice line)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct test *t = &f->tests[i];
        bool is_found = false;

        for (size_t j = 0; j < t->n && !is_found; j++)
            is_found = finds(&t->finders[j], line);
        if (is_found == t->is_negative)
            return false;
    }
    return true;
}

/* ---- needles ---- */

/* What every match of a regex holds, if anything is known. */
static struct slice needle_of_regex(struct arena *a, struct slice regex)
{
    struct logql_re_texts texts;

    if (!logql_re_texts(a, regex, MAX_TEXTS, &texts))
        return logql_re_required(a, regex);
    return texts.n == 1 && !texts.ignores_case ? texts.ptr[0] : SLICE_EMPTY;
}

static size_t needles_of_pattern(struct arena *a, struct slice text, struct slice *ret, size_t max)
{
    struct linepattern p;
    struct err *e = linepattern_parse(a, text, &p);
    size_t n = 0;

    if (e) { /* who compiles the filter says so */
        err_free(e);
        return 0;
    }
    for (size_t i = 0; i < p.n && n < max; i++)
        if (!p.parts[i].is_capture && p.parts[i].find.text.len)
            ret[n++] = p.parts[i].find.text;
    return n;
}

size_t linefilter_needles(struct arena *a, const struct logql_stage *stages, size_t n,
                          struct slice *ret, size_t max)
{
    size_t found = 0;

    for (size_t i = 0; i < n && found < max; i++) {
        const struct logql_stage *s = &stages[i];
        struct slice text;

        /* of several texts one is enough: none of them has to be there */
        if (s->kind != LOGQL_STAGE_LINE || s->n_needles != 1 || s->needles[0].is_ip)
            continue;
        text = s->needles[0].text;
        if (s->line_op == LOGQL_LINE_PATTERN) {
            found += needles_of_pattern(a, text, ret + found, max - found);
            continue;
        }
        if (s->line_op == LOGQL_LINE_RE)
            text = needle_of_regex(a, text);
        else if (s->line_op != LOGQL_LINE_HAS)
            continue;
        if (text.len)
            ret[found++] = text;
    }
    return found;
}
