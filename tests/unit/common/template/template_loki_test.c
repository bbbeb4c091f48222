#include "common/template/template_loki.h"
#include "tests/unit/test.h"

static struct err *expand(struct arena *a, const char *text, struct buf *out)
{
    static const struct label label = {SLICE_INIT("msg"), SLICE_INIT(" a.b\nc ")};
    struct template_loki loki = {
        .line = SLICE("the line"), .ts_ns = 1767225600123456789, .now_ns = 1000000000};
    struct template_run run = {.arena = a, .ctx = &loki, .missing = TEMPLATE_MISSING_ZERO};
    struct template_set *set = template_new(&template_loki_funcs);
    struct err *e = template_parse(set, SLICE("line"), slice_cstr(text));

    if (!e)
        e = template_execute(set, SLICE("line"), value_labels(a, (struct labels){&label, 1}), &run,
                             out);
    template_free(set);
    return e;
}

static void check(const char *text, const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};

    CHECK_OK(expand(a, text, &out));
    CHECK_SLICE(buf_slice(&out), want);
    buf_done(&out);
    arena_free(a);
}

static void refuse(const char *text, enum err_code code)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};

    CHECK_ERR(expand(a, text, &out), code, "");
    buf_done(&out);
    arena_free(a);
}

TEST(template_loki_texts)
{
    check("{{ __line__ | upper }}{{ .nope }}", "THE LINE");
    check("[{{ .msg | trim | indent 1 }}]", "[ a.b\n c]");
    check("{{ Trim \"xyaxy\" \"yx\" }}{{ trimSuffix \"b\" \"ab\" }}{{ TrimPrefix \"ab\" \"a\" }}",
          "aab");
    check("{{ trunc 2 \"abc\" }}{{ trunc -2 \"abc\" }}{{ substr 1 2 \"abc\" }}", "abbcb");
    check("[{{ alignLeft 4 \"\xc3\xbc!\" }}|{{ alignRight 1 \"\xc3\xbc!\" }}]", "[\xc3\xbc!  |!]");
    check("{{ Replace \"aaa\" \"a\" \"b\" 2 }}{{ replace \"\" \"-\" \"ab\" }}", "bba-a-b-");
    check("{{ regexReplaceAll \"(b)\" \"abc\" \"<$1>\" }}"
          "{{ regexReplaceAllLiteral \"(b)\" \"abc\" \"<$1>\" }}{{ count \"[ab]\" \"abc\" }}",
          "a<b>ca<$1>c2");
    check("{{ urlencode \"a b\" }} {{ urldecode \"a%20b\" }} {{ default \"x\" .nope }}",
          "a+b a b x");
}

TEST(template_loki_base64)
{
    check("{{ b64enc \"hello\" }}{{ b64dec \"aGVs\\nbG8=\" }}", "aGVsbG8=hello");
    check("{{ b64dec \"aGVsbG8\" }}", "illegal base64 data at input byte 4");
    check("{{ b64dec \"a!Vs\" }}", "illegal base64 data at input byte 1");
    check("{{ b64dec \"aG8=aG8=\" }}", "illegal base64 data at input byte 4");
}

TEST(template_loki_numbers)
{
    check("{{ add 1 \"2\" 3.9 }} {{ sub 1 2 }} {{ mul 2 3 4 }} {{ div 7 2 }} {{ mod 7 2 }}",
          "6 -1 24 3 1");
    check("{{ addf 0.1 0.2 }} {{ divf 1 3 }} {{ mulf 2 \"x\" }}", "0.3 0.3333333333333333 0");
    check("{{ round 2.345 2 }} {{ ceil 1.2 }} {{ max 1 3 2 }} {{ minf 1.5 1 }}", "2.35 2 3 1");
    check("{{ bytes \"2KiB\" }} {{ duration \"1m30s\" }} {{ int \"-3.75\" }}", "2048 90 -3");
    check("{{ (fromJson \"{\\\"a\\\":[1,2.5]}\").a }}{{ fromJson \"{\" }}", "[1 2.5]<no value>");
    refuse("{{ div 1 0 }}", ERR_EXEC);
    refuse("{{ divf 1 0 }}", ERR_EXEC);
    refuse("{{ bytes \"x\" }}", ERR_EXEC);
}

TEST(template_loki_times)
{
    check("{{ __timestamp__ | unixEpoch }} {{ __timestamp__ | unixEpochMillis }} "
          "{{ unixEpochNanos __timestamp__ }}",
          "1767225600 1767225600123 1767225600123456789");
    check("{{ toDateInZone \"2006-01-02 15:04\" \"Asia/Tokyo\" \"2026-01-01 09:00\" | unixEpoch }}",
          "1767225600");
    check("{{ unixToTime \"1767225600\" | date \"2006-01-02\" }} {{ date \"15:04:05\" now }}",
          "2026-01-01 00:00:01");
    check("{{ toDate \"2006\" \"x\" | date \"2006-01-02\" }}", "0001-01-01");
    refuse("{{ unixToTime \"12\" }}", ERR_EXEC);
    refuse("{{ unixEpoch \"12\" }}", ERR_EXEC);
}

TEST(template_loki_is_bounded)
{
    refuse("{{ repeat 2000000 \"x\" }}", ERR_LIMIT);
    refuse("{{ repeat -1 \"x\" }}", ERR_EXEC);
    refuse("{{ alignLeft 9223372036854775807 \"x\" }}", ERR_LIMIT);
    refuse("{{ indent 2000000 \"x\" }}", ERR_LIMIT);
    refuse("{{ substr 3 1 \"abcd\" }}", ERR_EXEC);
}
