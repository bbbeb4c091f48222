#include "common/template/template_am.h"
#include "tests/unit/test.h"

static const struct label labels[] = {{SLICE_INIT("a"), SLICE_INIT("1")},
                                      {SLICE_INIT("alertname"), SLICE_INIT("Down")}};
static const struct label other[] = {{SLICE_INIT("a"), SLICE_INIT("2")},
                                     {SLICE_INIT("alertname"), SLICE_INIT("Down")}};

static void check(const char *text, const char *want)
{
    struct template_am_alert alerts[] = {
        {.labels = {labels, 2}, .starts_at = {.unix_s = 60}, .fingerprint = 255},
        {.labels = {other, 2}, .is_resolved = true, .ends_at = {.unix_s = 90}}};
    struct template_am am = {.receiver = SLICE("a.b"),
                             .external_url = SLICE("http://am"),
                             .group_labels = {&labels[1], 1},
                             .alerts = alerts,
                             .n_alerts = 2,
                             .now_ns = 120000000000};
    struct arena *a = arena_new(1u << 20);
    struct template_set *set = template_am_new();
    struct template_run run = {.arena = a, .ctx = &am, .missing = TEMPLATE_MISSING_ZERO};
    struct buf out = {0};

    CHECK_OK(template_parse(set, SLICE("t"), slice_cstr(text)));
    CHECK_OK(template_execute(set, SLICE("t"), template_am_data(a, &am), &run, &out));
    test_check_str(buf_slice(&out), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&out);
    template_free(set);
    arena_free(a);
}

TEST(template_am_shows_the_notification)
{
    check("{{ .Status }} {{ len .Alerts.Firing }}/{{ len .Alerts }} {{ .CommonLabels }}",
          "firing 1/2 alertname=Down");
    check("{{ (index .Alerts 0).Labels.SortedPairs }} {{ (index .Alerts 0).Labels.Remove "
          "(stringSlice \"a\") }}",
          "alertname=Down, a=1 alertname=Down");
    check("{{ (index .Alerts 0).Fingerprint }} {{ since (index .Alerts 0).StartsAt }}",
          "00000000000000ff 1m0s");
}

TEST(template_am_has_default_templates)
{
    check("{{ template \"slack.default.title\" . }}", "[FIRING:1] Down ");
    check("{{ template \"slack.default.titlelink\" . }}", "http://am/#/alerts?receiver=a%5C.b");
}

TEST(template_am_functions)
{
    check("{{ title \"hELLO\" }} {{ join \"-\" (stringSlice \"a\" \"b\") }} {{ base64encode "
          "\"a?b>c\" }} "
          "{{ base64decode \"YT9iPmM=\" }} {{ urlUnescape \"a%20b+c\" }}",
          "Hello a-b YT9iPmM= a?b>c a b c");
    check("{{ dict \"b\" 1 \"a\" (list 1.5 nil \"<\") | toJson }}",
          "{\"a\":[1.5,null,\"\\u003c\"],\"b\":1}");
    check("{{ (index .Alerts 0).StartsAt | tz \"Europe/Berlin\" | date \"15:04 MST\" }}",
          "01:01 CET");
}
