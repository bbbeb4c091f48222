#include "querier/logs/logfields.h"
#include "tests/unit/test.h"

static struct label app[] = {{SLICE_INIT("app"), SLICE_INIT("web")}};

static struct logquery_stream stream_of(struct arena *a, const char *const *lines, size_t n)
{
    struct logquery_line *out = arena_array(a, struct logquery_line, n);

    for (size_t i = 0; i < n; i++)
        out[i] = (struct logquery_line){(int64_t)i, slice_cstr(lines[i])};
    return (struct logquery_stream){.stream = {app, 1}, .lines = out, .n = n};
}

static void check_fields(struct logfields *f, const char *want)
{
    struct buf b = {0};

    logfields_sort(f);
    for (size_t i = 0; i < f->n; i++) {
        logfields_json(&b, f->ptr[i]);
        buf_byte(&b, '\n');
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

static void check_lines(const char *const *lines, size_t n, const char *want)
{
    struct arena *a = arena_new(0);
    struct logquery_stream s = stream_of(a, lines, n);
    struct logfields f = {.arena = a, .max = 100};

    logfields_add(&f, &s);
    check_fields(&f, want);
    logfields_done(&f);
    arena_free(a);
}

TEST(logfields_knows_types)
{
    static const struct {
        const char *text;
        enum logfields_type type;
    } cases[] = {
        {"12", LOGFIELDS_INT},
        {"-3", LOGFIELDS_INT},
        {"1.5", LOGFIELDS_FLOAT},
        {"1e9", LOGFIELDS_FLOAT},
        {"true", LOGFIELDS_BOOLEAN},
        {"F", LOGFIELDS_BOOLEAN},
        {"12ms", LOGFIELDS_DURATION},
        {"1h2m", LOGFIELDS_DURATION},
        {"10KB", LOGFIELDS_BYTES},
        {"1.5 MiB", LOGFIELDS_BYTES},
        {"info", LOGFIELDS_STRING},
        {"10.0.0.1", LOGFIELDS_STRING},
        {"2024-03-30", LOGFIELDS_STRING},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        if (logfields_type_of(slice_cstr(cases[i].text)) != cases[i].type)
            test_fail(__FILE__, __LINE__, "%s", cases[i].text);
}

TEST(logfields_of_json_have_their_path)
{
    static const char *const lines[] = {
        "{\"user\":{\"the id\":7,\"name\":\"x\"},\"took\":\"12ms\",\"app\":\"other\"}",
        "{\"user\":{\"the id\":8},\"took\":\"1s\",\"ok\":true,\"none\":null,\"empty\":\"\"}"};

    check_lines(lines, 2,
                "{\"label\":\"app_extracted\",\"type\":\"string\",\"cardinality\":1,\"parsers\":["
                "\"json\"],\"jsonPath\":[\"app\"]}\n"
                "{\"label\":\"ok\",\"type\":\"boolean\",\"cardinality\":1,\"parsers\":[\"json\"],"
                "\"jsonPath\":[\"ok\"]}\n"
                "{\"label\":\"took\",\"type\":\"duration\",\"cardinality\":2,\"parsers\":[\"json\"]"
                ",\"jsonPath\":[\"took\"]}\n"
                "{\"label\":\"user_name\",\"type\":\"string\",\"cardinality\":1,\"parsers\":["
                "\"json\"],\"jsonPath\":[\"user\",\"name\"]}\n"
                "{\"label\":\"user_the_id\",\"type\":\"int\",\"cardinality\":2,\"parsers\":["
                "\"json\"],\"jsonPath\":[\"user\",\"the id\"]}\n");
}

TEST(logfields_of_logfmt_and_of_both)
{
    static const char *const lines[] = {"level=info n=1 msg=\"a b\"", "level=warn n=1.5 flag",
                                        "{\"n\":\"many\"}", "n=2 \"malformed=", "{\"n\":3"};

    check_lines(
        lines, 5,
        "{\"label\":\"level\",\"type\":\"string\",\"cardinality\":2,\"parsers\":[\"logfmt\"]}\n"
        "{\"label\":\"msg\",\"type\":\"string\",\"cardinality\":1,\"parsers\":[\"logfmt\"]}\n"
        "{\"label\":\"n\",\"type\":\"string\",\"cardinality\":3,\"parsers\":[\"json\",\"logfmt\"],"
        "\"jsonPath\":[\"n\"]}\n");
}

TEST(logfields_of_metadata_and_stages_have_no_parser)
{
    static const char *const lines[] = {"nothing in here, really"};
    struct label metadata[] = {{SLICE_INIT("trace"), SLICE_INIT("t1")}};
    struct label parsed[] = {{SLICE_INIT("__error__"), SLICE_INIT("JSONParserErr")},
                             {SLICE_INIT("size"), SLICE_INIT("3kB")}};
    struct arena *a = arena_new(0);
    struct logquery_stream s = stream_of(a, lines, 1);
    struct logfields f = {.arena = a, .max = 100};

    s.metadata = (struct labels){metadata, 1};
    s.parsed = (struct labels){parsed, 2};
    logfields_add(&f, &s);
    check_fields(&f,
                 "{\"label\":\"size\",\"type\":\"bytes\",\"cardinality\":1,\"parsers\":null}\n"
                 "{\"label\":\"trace\",\"type\":\"string\",\"cardinality\":1,\"parsers\":null}\n");
    logfields_done(&f);
    arena_free(a);
}

TEST(logfields_of_many_streams_need_the_memory_of_one)
{
    static const char *const lines[] = {"a=1 b=2 c=3", "{\"d\":4}"};
    struct arena *a = arena_new(0);
    struct logquery_stream s = stream_of(a, lines, 2);
    struct logfields f = {.arena = a, .max = 10};
    size_t used;

    logfields_add(&f, &s);
    used = arena_used(a);
    for (int i = 0; i < 100; i++)
        logfields_add(&f, &s);
    CHECK_INT(arena_used(a), used);
    logfields_done(&f);
    arena_free(a);
}

TEST(logfields_are_at_most_so_many)
{
    static const char *const lines[] = {"a=1 b=2 c=3", "c=4 a=5 d=6"};
    struct arena *a = arena_new(0);
    struct logquery_stream s = stream_of(a, lines, 2);
    struct logfields f = {.arena = a, .max = 2};

    logfields_add(&f, &s);
    CHECK(f.is_cut && f.n == 2);
    check_fields(&f,
                 "{\"label\":\"a\",\"type\":\"int\",\"cardinality\":2,\"parsers\":[\"logfmt\"]}\n"
                 "{\"label\":\"b\",\"type\":\"int\",\"cardinality\":1,\"parsers\":[\"logfmt\"]}\n");
    logfields_done(&f);
    arena_free(a);
}
