#include "common/template/template_prom.h"
#include "tests/unit/test.h"

static const struct label labels[] = {{SLICE_INIT("instance"), SLICE_INIT("a.example.com:80")},
                                      {SLICE_INIT("job"), SLICE_INIT("api")}};

static struct err *query(void *arg, struct arena *a, struct slice promql, int64_t now_ms,
                         struct template_prom_vector *ret)
{
    struct template_prom_sample *s = arena_array(a, struct template_prom_sample, 2);

    (void)arg, (void)now_ms;
    if (slice_eq_cstr(promql, "bad"))
        return err_new(ERR_INVALID, "1:1: parse error");
    s[0] = (struct template_prom_sample){{&labels[1], 1}, 2};
    s[1] = (struct template_prom_sample){{labels, 2}, 1};
    *ret = (struct template_prom_vector){s, 2};
    return NULL;
}

static const struct template_prom_query queries = {query, NULL};

static struct err *expand(const char *text, struct buf *out)
{
    struct template_prom p = {.name = "A",
                              .labels = {labels, 2},
                              .external_url = SLICE("http://x:9090/sub"),
                              .value = 1234567.891,
                              .now_ms = 600000,
                              .query = &queries};

    return template_prom_expand(&p, slice_cstr(text), out);
}

static void check(const char *text, const char *want)
{
    struct buf out = {0};

    CHECK_OK(expand(text, &out));
    test_check_str(buf_slice(&out), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&out);
}

TEST(template_prom_sets_labels_and_value)
{
    check("{{ $labels.job }}{{ $labels.missing }} {{ $value }} {{ .Value | humanize }}",
          "api 1.234567891e+06 1.235M");
    check("{{ $externalURL }} {{ pathPrefix }} {{ externalURL }}",
          "http://x:9090/sub /sub http://x:9090/sub");
}

TEST(template_prom_humanizes)
{
    check("{{ humanize 0.0001 }} {{ humanize1024 1536 }} {{ humanizePercentage 0.1234 }}",
          "100u 1.5ki 12.34%");
    check("{{ humanizeDuration 93784 }} {{ humanizeDuration 0.0015 }} {{ humanizeDuration -61 }}",
          "1d 2h 3m 4s 1.5ms -1m 1s");
    check("{{ humanizeTimestamp 1435065584.128 }} {{ (toTime 0).Format \"2006\" }} {{ toDuration "
          "90 }}",
          "2015-06-23 13:19:44.128 +0000 UTC 1970 1m30s");
    check("{{ parseDuration \"1h30m\" }}", "5400");
}

TEST(template_prom_changes_texts)
{
    check("{{ \"aB\" | toUpper }} {{ \"ÄB\" | toLower }} {{ title \"don't go.x\" }}",
          "AB äb Don't Go.x");
    check("{{ reReplaceAll \"(a)b\" \"x$1\" \"ab\" }} {{ match \"a+\" \"xa\" }}", "xa true");
    check("{{ stripPort \"[::1]:80\" }} {{ stripDomain $labels.instance }} {{ stripDomain "
          "\"1.2.3.4:5\" }}",
          "::1 a:80 1.2.3.4:5");
    check("{{ graphLink \"up == 1\" }}", "/graph?g0.expr=up+%3D%3D+1&g0.tab=0");
}

TEST(template_prom_queries)
{
    struct buf out = {0};

    check("{{ range query \"up\" | sortByLabel \"instance\" }}{{ .Labels.job }}={{ .Value }} {{ "
          "end }}",
          "api=2 api=1 ");
    check("{{ with query \"up\" }}{{ . | first | value }} {{ . | first | label \"job\" }}{{ end }}",
          "2 api");
    check("{{ query \"up\" | first }}", "{map[job:api] 2}");
    CHECK_ERR(expand("x{{ query \"bad\" }}", &out), ERR_INVALID,
              "error executing template __alert_A: template: __alert_A:1:");
    CHECK_INT(out.len, 0);
    CHECK_ERR(expand("{{ first 1 }}", &out), ERR_EXEC, "expected template.queryResult; got int");
    CHECK_ERR(expand("{{ .Foo }}", &out), ERR_EXEC, "can't evaluate field Foo in type struct");
    buf_done(&out);
}

TEST(template_prom_checks_texts_of_rule_files)
{
    CHECK_OK(template_prom_check("A", SLICE("{{ $labels.x | title }}")));
    CHECK_ERR(template_prom_check("A", SLICE("{{ $nope }}")), ERR_INVALID,
              "error parsing template __alert_A: template: __alert_A:1: undefined variable");
}
