/* Queries over documents, against an evaluator that is slow and plainly right, and the plan against both. */
#include <stdlib.h>

#include "common/base/rng.h"
#include "querier/search/esmatch.h"
#include "querier/search/esplan.h"
#include "querier/search/lucene.h"
#include "tests/unit/test.h"

struct fixture {
    struct arena *arena;
    struct esquery_parser parser;
    struct esdoc doc;
};

static void fixture_init(struct fixture *f)
{
    f->arena = arena_new(0);
    esquery_parser_init(&f->parser, f->arena, 0);
    esdoc_init(&f->doc, f->arena);
}

static void fixture_done(struct fixture *f)
{
    esdoc_done(&f->doc);
    esquery_parser_done(&f->parser);
    arena_free(f->arena);
}

static const struct label stream_labels[] = {{SLICE_INIT("app"), SLICE_INIT("web")},
                                             {SLICE_INIT("index"), SLICE_INIT("logs")},
                                             {SLICE_INIT("level"), SLICE_INIT("error")}};
static const struct label metadata[] = {{SLICE_INIT("order"), SLICE_INIT("7")},
                                        {SLICE_INIT("trace_id"), SLICE_INIT("abc")}};

static void set_line(struct fixture *f, const char *line)
{
    struct logsource_entry entry = {
        .ts_ns = 1767322800123456789, .line = slice_cstr(line), .metadata = {metadata, 2}};

    esdoc_stream(&f->doc, (struct labels){stream_labels, 3});
    esdoc_line(&f->doc, &entry);
}

static bool keeps(struct fixture *f, const char *query)
{
    struct lucene_opts o = {0};
    struct esquery *q;
    struct jsonval_doc *doc;
    struct jsonval root;
    bool ret;

    if (query[0] != '{') {
        CHECK_OK(lucene_parse(&f->parser, slice_cstr(query), &o, &q));
        return esmatch_keeps(q, &f->doc);
    }
    CHECK_OK(jsonval_parse(slice_cstr(query), 64, &doc, &root));
    CHECK_OK(esquery_parse(&f->parser, root, &q));
    ret = esmatch_keeps(q, &f->doc);
    jsonval_free(doc);
    return ret;
}

static void check_all(const char *line, const char *const *queries, bool want)
{
    struct fixture f;

    fixture_init(&f);
    set_line(&f, line);
    for (; *queries; queries++)
        if (keeps(&f, *queries) != want)
            test_fail(__FILE__, __LINE__, "%s %s %s", *queries, want ? "misses" : "keeps", line);
    fixture_done(&f);
}

#define JSON_LINE                                                                                  \
    "{\"message\":\"Connection RESET by peer 10.0.0.1\",\"user\":{\"id\":67890,\"name\":\"Ann\"}," \
    "\"a.b\":1.5,\"tags\":[\"x\",\"y "                                                             \
    "z\"],\"items\":[{\"n\":1},{\"n\":2}],\"ok\":true,\"no\":null,"                                \
    "\"big\":9007199254740993,\"date\":\"2026-01-02\",\"empty\":\"\",\"level\":\"info\"}"

TEST(esmatch_keeps_documents_of_json)
{
    static const char *const yes[] = {
        "user.id:67890",
        "user.id:67890.0",
        "user.id:>=67890",
        "user.id:[67889 TO 67891}",
        "message:reset",
        "message:\"connection reset\"",
        "message:conn*",
        "message:/re.et/",
        "reset",
        "\"BY PEER\"",
        "67890",
        "ann",
        "a.b:1.5",
        "tags:x",
        "tags:\"y z\"",
        "items.n:2",
        "ok:true",
        "big:9007199254740993",
        "date:[2026-01-01 TO 2026-02-01]",
        "_exists_:user",
        "_exists_:user.id",
        "app:web",
        "level:error",
        "_index:logs",
        "trace_id:abc",
        "attributes.order:7",
        "user.name:Ann",
        "user.name.keyword:Ann",
        "user.name:A?n",
        "user.name:A*",
        "@timestamp:[2026-01-02 TO 2026-01-02]",
        "@timestamp:2026-01-02",
        "@timestamp:>2026-01-01",
        "@timestamp:[0001-01-01 TO 9999-12-31]",
        "{\"range\":{\"@timestamp\":{\"gt\":-62135596800000,\"lte\":253402300799999}}}",
        "{\"range\":{\"date\":{\"gte\":\"1500\",\"lt\":\"9999\",\"format\":\"yyyy\"}}}",
        "NOT user.id:5",
        "message.keyword:\"Connection RESET by peer 10.0.0.1\"",
        "{\"match\":{\"message\":\"nothing reset\"}}",
        "{\"match\":{\"message\":{\"query\":\"peer reset\",\"operator\":\"and\"}}}",
        "{\"match\":{\"message\":{\"query\":\"peer reset x\",\"minimum_should_match\":\"66%\"}}}",
        "{\"match_phrase_prefix\":{\"message\":\"connection res\"}}",
        "{\"term\":{\"user.name\":{\"value\":\"ANN\",\"case_insensitive\":true}}}",
        "{\"terms\":{\"user.id\":[1,67890]}}",
        "{\"terms\":{\"user.name\":[\"Ann\",\"Bob\"]}}",
        "{\"prefix\":{\"user.name\":\"An\"}}",
        "{\"regexp\":{\"user.name\":\"A.+\"}}",
        "{\"exists\":{\"field\":\"items\"}}",
        "{\"multi_match\":{\"query\":\"reset\"}}",
        "{\"multi_match\":{\"query\":\"Ann\",\"fields\":[\"user.name\",\"x^3\"]}}",
        "{\"simple_query_string\":{\"query\":\"reset + -nothing\"}}",
        "{\"bool\":{\"should\":[{\"term\":{\"ok\":true}},{\"term\":{\"ok\":1}},{\"match_all\":{}}],"
        "\"minimum_should_match\":2}}",
        "{\"constant_score\":{\"filter\":{\"term\":{\"ok\":\"true\"}}}}",
        "{\"range\":{\"@timestamp\":{\"gte\":1767322800123,\"lte\":1767322800123}}}",
        "{\"range\":{\"date\":{\"gte\":\"2026-01-02||/d\",\"lt\":\"2026-01-03\"}}}",
        NULL};
    static const char *const no[] = {
        "user.id:6789",
        "user.id:<67890",
        "message:\"reset connection\"",
        "message:rese",
        "user.name:ann",
        "level:info",
        "_exists_:no",
        "_exists_:empty",
        "_exists_:user.x",
        "_index:unindexed",
        "order:7",
        "big:9007199254740992",
        "@timestamp:[2026-01-03 TO *]",
        "@timestamp:>=9999-12-31",
        "items.n:3",
        "items:1",
        "NOT user.id:67890",
        "a:1.5",
        "message.keyword:reset",
        "{\"match\":{\"user.name\":\"Ann Bob\"}}",
        "{\"match_none\":{}}",
        "{\"range\":{\"@timestamp\":{\"gt\":1767322800123}}}",
        "{\"range\":{\"@timestamp\":{\"lt\":1767322800123}}}",
        "{\"bool\":{\"should\":[{\"term\":{\"ok\":true}}],\"minimum_should_match\":2}}",
        NULL};

    check_all(JSON_LINE, yes, true);
    check_all(JSON_LINE, no, false);
}

TEST(esmatch_knows_numbers_by_their_digits)
{
    static const char *const yes[] = {"{\"regexp\":{\"zero\":\"0\"}}",
                                      "{\"regexp\":{\"few\":\"-42\"}}",
                                      "{\"regexp\":{\"low\":\"-9223372036854775808\"}}",
                                      "{\"regexp\":{\"high\":\"18446744073709551615\"}}",
                                      "{\"regexp\":{\"part\":\"-0\\\\.5\"}}",
                                      "{\"regexp\":{\"@timestamp\":\"1767322800123\"}}",
                                      NULL};

    check_all("{\"zero\":0,\"few\":-42,\"low\":-9223372036854775808,"
              "\"high\":18446744073709551615,\"part\":-0.5}",
              yes, true);
}

TEST(esmatch_keeps_documents_of_logfmt_and_text)
{
    static const char *const logfmt[] = {"user_id:67890", "user_id:>5",          "msg:\"a b\"",
                                         "message:67890", "msg.keyword:\"a b\"", NULL};
    static const char *const text[] = {"message:plain", "\"plain text\"", "_exists_:message", NULL};
    static const char *const no[] = {"user_id:6", "_exists_:x", "msg:a", NULL};
    /* Not all of it is logfmt, so none of it is. */
    static const char *const half[] = {"_exists_:user_id", "user_id:67890", NULL};

    check_all("user_id=67890 msg=\"a b\" x=", logfmt, true);
    check_all("user_id=67890 msg=\"a b\" x=", no, false);
    check_all("plain text (here", text, true);
    check_all("user_id=67890 msg=\"a b", half, false);
}

static struct err *parse_dsl(struct fixture *f, const char *query, struct esquery **ret)
{
    struct jsonval_doc *doc;
    struct jsonval root;
    struct err *e;

    CHECK_OK(jsonval_parse(slice_cstr(query), 64, &doc, &root));
    e = esquery_parse(&f->parser, root, ret);
    jsonval_free(doc);
    return e;
}

TEST(esmatch_finds_terms_of_text_in_any_case)
{
    static const char *const yes[] = {"{\"terms\":{\"message\":[\"zz\",\"RESET\",\"aa\"]}}",
                                      "{\"terms\":{\"message\":[\"Peer\",\"peerless\",\"pee\"]}}",
                                      "{\"terms\":{\"user.name\":[\"Ann\"]}}", NULL};
    static const char *const no[] = {"{\"terms\":{\"message\":[\"rese\",\"resets\",\"\"]}}",
                                     "{\"terms\":{\"message\":[]}}",
                                     "{\"terms\":{\"user.name\":[\"ann\",\"ANN\"]}}", NULL};

    check_all(JSON_LINE, yes, true);
    check_all(JSON_LINE, no, false);
}

static struct err *look_thrice(void *arg)
{
    return ++*(int *)arg < 3 ? NULL : err_new(ERR_CANCELED, "enough");
}

/* A query of thousands of patterns over one long line ends soon after it is told to. */
TEST(esmatch_looks_up_from_long_work)
{
    struct buf line = {0}, query = {0};
    struct esquery *q;
    struct fixture f;
    int looks = 0;

    buf_fill(&line, 'a', 20000);
    buf_str(&query, "{\"bool\":{\"should\":[");
    for (int i = 0; i < 4000; i++)
        buf_printf(&query, "%s{\"wildcard\":{\"message\":\"%d*a*a*a*b\"}}", i ? "," : "", i);
    buf_str(&query, "]}}");
    fixture_init(&f);
    set_line(&f, buf_cstr(&line));
    CHECK_OK(parse_dsl(&f, buf_cstr(&query), &q));
    CHECK(!esmatch_keeps(q, &f.doc) && !f.doc.err);
    f.doc.look = look_thrice;
    f.doc.look_arg = &looks;
    CHECK(!esmatch_keeps(q, &f.doc));
    CHECK_INT(looks, 3);
    CHECK(err_is(f.doc.err, ERR_CANCELED));
    fixture_done(&f);
    buf_done(&line);
    buf_done(&query);
}

TEST(esquery_refuses_what_would_change_the_answer)
{
    static const char *const queries[] = {
        "{\"query_string\":{\"query\":\"a b c\",\"minimum_should_match\":2}}",
        "{\"simple_query_string\":{\"query\":\"a b c\",\"minimum_should_match\":2}}"};

    for (size_t i = 0; i < ORR_COUNT(queries); i++) {
        struct esquery *q;
        struct fixture f;

        fixture_init(&f);
        CHECK_ERR(parse_dsl(&f, queries[i], &q), ERR_UNSUPPORTED, "minimum_should_match");
        fixture_done(&f);
    }
}

/* "a\u0000.*" is no regexp of a alone. */
TEST(esquery_takes_regexps_with_zeros)
{
    struct esquery *q;
    struct fixture f;

    fixture_init(&f);
    set_line(&f, "{\"k\":\"a\",\"z\":\"a\\u0000b\"}");
    CHECK_OK(parse_dsl(&f, "{\"regexp\":{\"k\":\"a\\u0000.*\"}}", &q));
    CHECK(!esmatch_keeps(q, &f.doc));
    CHECK_OK(parse_dsl(&f, "{\"regexp\":{\"z\":\"a\\u0000.*\"}}", &q));
    CHECK(esmatch_keeps(q, &f.doc));
    fixture_done(&f);
}

static void check_source(struct fixture *f, const char *line, const struct esdoc_wants *w,
                         const char *want)
{
    struct buf b = {0};

    set_line(f, line);
    esdoc_source(&f->doc, w, &b);
    test_check_str(buf_slice(&b), slice_cstr(want), line, __FILE__, __LINE__);
    buf_done(&b);
}

TEST(esdoc_prints_the_source)
{
    struct slice names[] = {SLICE("user"), SLICE("t*")}, not [] = {SLICE("*.name")};
    struct esdoc_wants all = {0}, some = {.includes = names, .n_includes = 2},
                       less = {.excludes = not, .n_excludes = 1};
    struct fixture f;

    fixture_init(&f);
    check_source(&f, " {\"a\": 1.50} ", &all, "{\"a\": 1.50}");
    check_source(&f, "{\"user\":{\"id\":1,\"name\":\"x\"},\"t1\":[1,{\"q\":2}],\"b\":2}", &some,
                 "{\"user\":{\"id\":1,\"name\":\"x\"},\"t1\":[1,{\"q\":2}]}");
    check_source(&f, "{\"user\":{\"id\":1,\"name\":\"x\"},\"b\":null}", &less,
                 "{\"user\":{\"id\":1},\"b\":null}");
    esdoc_stream(&f.doc, (struct labels){stream_labels, 1});
    check_source(&f, "not json", &all, "{\"message\":\"not json\"}");
    fixture_done(&f);
}

/* ---- random documents, random queries ---- */

static const char *const words[] = {"a", "bb", "67890", "12345678", "error", "x-y", "7", "Err"};
static const char *const names[] = {"app", "user_id", "level", "k.v", "message"};

static struct slice pick_word(struct rng *r)
{
    return slice_cstr(words[rng_below(r, ORR_COUNT(words))]);
}

static void random_query(struct rng *r, struct buf *b, int depth)
{
    static const char *const joins[] = {" AND ", " OR ", " ", " AND NOT "};
    size_t n = depth ? rng_below(r, 4) : 0;

    if (n > 1) {
        for (size_t i = 0; i < n; i++) {
            buf_str(b, i ? joins[rng_below(r, 4)] : rng_below(r, 5) ? "" : "NOT ");
            buf_byte(b, '(');
            random_query(r, b, depth - 1);
            buf_byte(b, ')');
        }
        return;
    }
    if (rng_below(r, 4))
        buf_printf(b, "%s:", names[rng_below(r, ORR_COUNT(names))]);
    buf_slice_append(b, pick_word(r));
    if (!rng_below(r, 5))
        buf_byte(b, '*');
}

/* As the header has it, without any of the plan. */
static bool line_holds(const struct logql_logs *logs, struct slice line)
{
    for (size_t i = 0; i < logs->n_stages; i++)
        if (slice_find(line, logs->stages[i].needles[0].text, 0) < 0)
            return false;
    return true;
}

struct random_doc {
    struct label labels[3];
    size_t n_labels;
    struct buf line;
};

static void random_doc(struct rng *r, struct random_doc *d)
{
    static const char *const label_names[] = {"app", "level", "user_id"};
    bool is_json = rng_below(r, 2);

    d->n_labels = 0;
    for (size_t i = 0; i < 3; i++)
        if (!rng_below(r, 3))
            d->labels[d->n_labels++] = (struct label){slice_cstr(label_names[i]), pick_word(r)};
    buf_reset(&d->line);
    buf_str(&d->line, is_json ? "{\"z\":0" : "z=0");
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        struct slice word = pick_word(r);
        long double number;

        if (rng_below(r, 2))
            continue;
        if (!is_json)
            buf_printf(&d->line, " %s=%.*s", names[i], SLICE_ARG(word));
        else if (slice_eq_cstr(word, "12345678") && !rng_below(r, 3))
            buf_printf(&d->line, ",\"%s\":1.2345678E7", names[i]);
        else if (esliteral_number(word, &number) && rng_below(r, 2))
            buf_printf(&d->line, rng_below(r, 2) ? ",\"%s\":%.*s" : ",\"%s\":%.*s.0", names[i],
                       SLICE_ARG(word));
        else
            buf_printf(&d->line, ",\"%s\":\"%.*s\"", names[i], SLICE_ARG(word));
    }
    buf_str(&d->line, is_json ? "}" : "");
}

/* A document that is kept is in exactly one select, and has its needles. */
static size_t check_plan(struct fixture *f, const struct esquery *q, const struct random_doc *docs,
                         size_t n, const char *text)
{
    struct esplan plan;
    size_t n_kept = 0;

    CHECK_OK(esplan_make(f->arena, q, NULL, 0, &plan));
    for (size_t i = 0; i < n; i++) {
        struct labels ls = {docs[i].labels, docs[i].n_labels};
        struct logsource_entry entry = {.line = buf_slice(&docs[i].line)};
        size_t in = 0, fits = 0;

        esdoc_stream(&f->doc, ls);
        esdoc_line(&f->doc, &entry);
        for (size_t k = 0; k < plan.n_selects; k++) {
            bool has = matchers_match(plan.selects[k].logs.matchers, ls);

            in += has;
            fits += has && line_holds(&plan.selects[k].logs, entry.line);
        }
        if (!esmatch_keeps(q, &f->doc))
            continue;
        n_kept++;
        if (in != 1 || fits != 1 || plan.is_nothing)
            test_fail(__FILE__, __LINE__, "%s: the plan misses %.*s", text, SLICE_ARG(entry.line));
    }
    esplan_done(&plan);
    return n_kept;
}

TEST(esplan_misses_no_document)
{
    struct random_doc docs[60] = {{.n_labels = 0}};
    struct rng r;
    struct buf text = {0};
    size_t n_kept = 0;

    rng_seed(&r, 7);
    for (size_t i = 0; i < ORR_COUNT(docs); i++)
        random_doc(&r, &docs[i]);
    for (int round = 0; round < 2000; round++) {
        struct lucene_opts o = {.joins_with_and = round % 2};
        struct fixture f;
        struct esquery *q;

        buf_reset(&text);
        random_query(&r, &text, 3);
        fixture_init(&f);
        CHECK_OK(lucene_parse(&f.parser, buf_slice(&text), &o, &q));
        n_kept += check_plan(&f, q, docs, ORR_COUNT(docs), buf_cstr(&text));
        fixture_done(&f);
    }
    CHECK(n_kept > 10000); /* the queries ask for something */
    for (size_t i = 0; i < ORR_COUNT(docs); i++)
        buf_done(&docs[i].line);
    buf_done(&text);
}

/* A query of the DSL: leaves of many kinds, joined. */
static void random_dsl(struct rng *r, struct buf *b, int depth)
{
    static const char *const kinds[] = {"term",   "match",    "match_phrase", "match_phrase_prefix",
                                        "prefix", "wildcard", "terms",        "exists"};
    static const char *const joins[] = {"must", "filter", "should", "must_not"};
    static const char *const fields[] = {"app",     "user_id",     "level",       "k.v",
                                         "message", "app.keyword", "k.v.keyword", "_index"};
    size_t kind = rng_below(r, ORR_COUNT(kinds));
    struct slice word = pick_word(r);
    char value[64];

    if (depth && rng_below(r, 3)) {
        buf_str(b, "{\"bool\":{");
        for (size_t i = 0; i < 2; i++) {
            buf_printf(b, "%s\"%s\":[", i ? "," : "", joins[rng_below(r, 4)]);
            for (size_t k = 0, n = rng_below(r, 3); k <= n; k++) {
                buf_str(b, k ? "," : "");
                random_dsl(r, b, depth - 1);
            }
            buf_byte(b, ']');
        }
        if (rng_below(r, 3) == 0)
            buf_printf(b, ",\"minimum_should_match\":%d", (int)rng_below(r, 3));
        buf_str(b, "}}");
        return;
    }
    snprintf(value, sizeof(value), "\"%.*s\"", SLICE_ARG(word));
    if (kind == 5) {
        bool is_front = rng_below(r, 2);

        snprintf(value, sizeof(value), "\"%s%.*s%s\"", is_front ? "*" : "", SLICE_ARG(word),
                 is_front ? "" : "*");
    } else if (kind != 6 && kind != 7 && !rng_below(r, 4)) {
        snprintf(value, sizeof(value), "\"%.*s %s\"", SLICE_ARG(word), "bb");
    } else if (kind == 4 && word.len > 2) {
        snprintf(value, sizeof(value), "\"%.*s\"", SLICE_ARG(slice_sub(word, 0, word.len - 1)));
    } else if (kind == 6) {
        struct slice other = pick_word(r);

        snprintf(value, sizeof(value), "[\"%.*s\",\"%.*s\"]", SLICE_ARG(word), SLICE_ARG(other));
    }
    if (kind == 7)
        buf_printf(b, "{\"exists\":{\"field\":\"%s\"}}", fields[rng_below(r, ORR_COUNT(fields))]);
    else
        buf_printf(b, "{\"%s\":{\"%s\":%s}}", kinds[kind], fields[rng_below(r, ORR_COUNT(fields))],
                   value);
}

TEST(esplan_misses_no_document_of_the_dsl)
{
    struct random_doc docs[60] = {{.n_labels = 0}};
    struct rng r;
    struct buf text = {0};
    size_t n_kept = 0;

    rng_seed(&r, 11);
    for (size_t i = 0; i < ORR_COUNT(docs); i++)
        random_doc(&r, &docs[i]);
    for (int round = 0; round < 800; round++) {
        struct esquery *q;
        struct fixture f;

        buf_reset(&text);
        random_dsl(&r, &text, 2);
        fixture_init(&f);
        CHECK_OK(parse_dsl(&f, buf_cstr(&text), &q));
        n_kept += check_plan(&f, q, docs, ORR_COUNT(docs), buf_cstr(&text));
        fixture_done(&f);
    }
    CHECK(n_kept > 3000); /* the queries ask for something */
    for (size_t i = 0; i < ORR_COUNT(docs); i++)
        buf_done(&docs[i].line);
    buf_done(&text);
}

static size_t needles_of(const char *query, struct slice *ret, size_t *ret_selects)
{
    static struct esplan plan; /* too large for the stack */
    struct lucene_opts o = {0};
    struct fixture f;
    struct esquery *q;
    size_t n;

    fixture_init(&f);
    CHECK_OK(lucene_parse(&f.parser, slice_cstr(query), &o, &q));
    CHECK_OK(esplan_make(f.arena, q, NULL, 0, &plan));
    n = plan.selects[0].logs.n_stages;
    *ret_selects = plan.n_selects;
    *ret = n ? slice_cstr(strndup((const char *)plan.selects[0].needles[0].text.ptr,
                                  plan.selects[0].needles[0].text.len))
             : SLICE_EMPTY;
    esplan_done(&plan);
    fixture_done(&f);
    return n;
}

TEST(esplan_finds_needles)
{
    static const struct {
        const char *query, *needle;
        size_t selects;
    } cases[] = {
        {"user_id:67890 AND level:error", "67890", 2},
        {"user.id:67890", "67890", 1},
        {"user.id:12345678900", "23456789", 1},
        {"67890", "67890", 1},
        {"message:\"order 1234\"", "1234", 1},
        {"user.name:\"Ann B\"", "Ann B", 1},
        {"a.b:ab*cdef", "ab", 1},
        {"user.id:67890 OR x", NULL, 1},
        {"trace_id:abcdef", NULL, 1},
        {"attributes.x:abcdef", NULL, 1},
        {"NOT user.id:67890", NULL, 1},
        {"user.id:>5", NULL, 1},
        {"message:error", NULL, 1},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct slice needle;
        size_t selects, n = needles_of(cases[i].query, &needle, &selects);

        if (selects != cases[i].selects || (cases[i].needle ? !n : n))
            test_fail(__FILE__, __LINE__, "%s: %zu selects, %zu needles", cases[i].query, selects,
                      n);
        if (cases[i].needle)
            test_check_str(needle, slice_cstr(cases[i].needle), cases[i].query, __FILE__, __LINE__);
        if (n)
            free((void *)(uintptr_t)needle.ptr);
    }
}
