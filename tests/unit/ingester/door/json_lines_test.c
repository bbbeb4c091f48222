#include "ingester/door/json_lines.h"
#include "tests/unit/ingester/door/log_text.h"

struct input {
    struct json_lines_opts opts;
    const char *text;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    const struct input *in = arg;

    return json_lines_decode(b, slice_cstr(in->text), &in->opts);
}

TEST(json_lines_keeps_lines_as_they_are)
{
    struct input in = {{SLICE("service, host.name,n,bad-name"), SLICE("at"), SLICE("j")},
                       " {\"at\":\"2026-01-01T00:00:00.5Z\", "
                       "\"service\":\"shop\",\"host\":{\"name\":\"h\"},\"n\":1.5} \r\n\n"
                       "{\"host.name\":\"h\",\"_time\":1767225600,\"bad-name\":true}\n"
                       "{\"timestamp\":1767225600123}\n"
                       "not json\n"
                       "[1]\n"
                       "{\"ts\":\"soon\"}"};

    log_text_check(
        log_text(decode, &in, NULL),
        "{host_name=\"h\", n=\"1.5\", service=\"shop\"}\n"
        "  @1767225600500000000 {\"at\":\"2026-01-01T00:00:00.5Z\", "
        "\"service\":\"shop\",\"host\":{\"name\":\"h\"},\"n\":1.5}\n"
        "{bad_name=\"true\", host_name=\"h\"}\n"
        "  @1767225600000000000 {\"host.name\":\"h\",\"_time\":1767225600,\"bad-name\":true}\n"
        "{job=\"j\"}\n"
        "  @1767225600123000000 {\"timestamp\":1767225600123}\n"
        "  @1767225600000000000 {\"ts\":\"soon\"}\n"
        "refused malformed_record: 2\n");
}

TEST(json_lines_tells_units_of_time_by_their_size)
{
    static const struct {
        const char *text;
        int64_t want; /* 0: not a time */
    } cases[] = {
        {"1767225600", LOG_TEXT_NOW_NS},
        {"1767225600.25", LOG_TEXT_NOW_NS + 250000000},
        {"1767225600000", LOG_TEXT_NOW_NS},
        {"1767225600000000", LOG_TEXT_NOW_NS},
        {"1767225600000000000", LOG_TEXT_NOW_NS},
        {"\"1767225600\"", LOG_TEXT_NOW_NS},
        {"\"1767225600.5\"", LOG_TEXT_NOW_NS + 500000000},
        {"\"2026-01-01T01:00:00+01:00\"", LOG_TEXT_NOW_NS},
        {"-1", 0},
        {"true", 0},
        {"1e300", 0},
        {"\"x\"", 0},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct jsonval_doc *doc;
        struct jsonval v;
        int64_t t = 0;

        CHECK_OK(jsonval_parse(slice_cstr(cases[i].text), 4, &doc, &v));
        CHECK(json_lines_time(v, &t) == (cases[i].want != 0));
        CHECK_INT(t, cases[i].want);
        jsonval_free(doc);
    }
}
