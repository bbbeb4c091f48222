#include "ingester/door/line_level.h"
#include "tests/unit/test.h"

TEST(line_level_reads_lines)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"{\"msg\":\"x\",\"level\":\"WARN\"}", "warn"},
        {"{\"level\":30,\"msg\":\"error\"}", "info"},
        {"{\"level\" : \"fatal\"}", "fatal"},
        {"{\"a\":{\"level\":\"debug\"},\"severity\":\"Critical\"}", "critical"},
        {"{\"text\":\"a \\\"level\\\":\\\"debug\\\"\",\"lvl\":\"err\"}", "error"},
        {"ts=1 level=debug msg=\"an error\"", "debug"},
        {"ts=1 LVL=\"Warning\" msg=x", "warn"},
        {"msg=\"x\" sublevel=debug severity=info", "info"},
        {"2026-01-01 [ERROR] it broke", "error"},
        {"<Info> started", "info"},
        {"PANIC: no", "fatal"},
        {"terror and informal", "unknown"},
        {"level=", "unknown"},
        {"{\"level\":", "unknown"},
        {"{\"level\":\"", "unknown"},
        {"", "unknown"},
        {"TRACE x error", "trace"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_SLICE(line_level_name(line_level_of_line(slice_cstr(cases[i].line))), cases[i].want);
}

TEST(line_level_knows_its_words_in_either_case_and_whole)
{
    static const char *const words[][2] = {
        {"alert", "critical"},   {"critical", "critical"}, {"crit", "critical"},
        {"debug", "debug"},      {"dbg", "debug"},         {"emerg", "fatal"},
        {"emergency", "fatal"},  {"error", "error"},       {"err", "error"},
        {"fatal", "fatal"},      {"info", "info"},         {"inf", "info"},
        {"information", "info"}, {"notice", "info"},       {"panic", "fatal"},
        {"trace", "trace"},      {"trc", "trace"},         {"warning", "warn"},
        {"warn", "warn"},        {"wrn", "warn"},
    };
    char line[128];

    for (size_t i = 0; i < ORR_COUNT(words); i++) {
        char upper[16] = {0};

        for (size_t k = 0; words[i][0][k]; k++)
            upper[k] = (char)(words[i][0][k] & ~0x20);
        for (int j = 0; j < 2; j++) {
            const char *w = j ? upper : words[i][0];

            CHECK_SLICE(line_level_name(line_level_of_text(slice_cstr(w))), words[i][1]);
            snprintf(line, sizeof(line), "Nov 29 web-1 \xc3\xa9[7]: <%s> x", w);
            CHECK_SLICE(line_level_name(line_level_of_line(slice_cstr(line))), words[i][1]);
            snprintf(line, sizeof(line), "%sx y%s z.%s %s_", w, w, w, w);
            CHECK_SLICE(line_level_name(line_level_of_line(slice_cstr(line))), "unknown");
        }
    }
}

TEST(line_level_takes_the_first_that_is_found)
{
    static const struct label md[] = {{SLICE_INIT("severity_number"), SLICE_INIT("17")}};
    static const struct label text[] = {{SLICE_INIT("severity_text"), SLICE_INIT("Warn")}};
    struct slice line = SLICE("level=debug");

    CHECK_INT(line_level_detect(LINE_LEVEL_INFO, (struct labels){text, 1}, line), LINE_LEVEL_WARN);
    CHECK_INT(line_level_detect(LINE_LEVEL_INFO, (struct labels){md, 1}, line), LINE_LEVEL_INFO);
    CHECK_INT(line_level_detect(LINE_LEVEL_UNKNOWN, (struct labels){md, 1}, line),
              LINE_LEVEL_ERROR);
    CHECK_INT(line_level_detect(LINE_LEVEL_UNKNOWN, (struct labels){NULL, 0}, line),
              LINE_LEVEL_DEBUG);
    for (int n = 0; n < 26; n++)
        CHECK_INT(line_level_of_severity(n), n == 0 || n == 25 ? LINE_LEVEL_UNKNOWN
                                             : n >= 21         ? LINE_LEVEL_FATAL
                                                               : LINE_LEVEL_TRACE + (n - 1) / 4);
}
