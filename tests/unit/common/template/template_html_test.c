#include "common/template/template_am.h"
#include "common/template/template_html.h"
#include "tests/unit/test.h"

static struct err *run(const char *text, const char *value, struct buf *out)
{
    struct arena *a = arena_new(1u << 20);
    struct template_set *set = template_new(&template_am_funcs);
    struct template_am am = {0};
    struct template_run how = {.arena = a, .ctx = &am, .is_html = true};
    struct err *e = template_parse(set, SLICE("t"), slice_cstr(text));

    if (!e)
        e = template_execute(set, SLICE("t"), value_string(slice_cstr(value)), &how, out);
    template_free(set);
    arena_free(a);
    return e;
}

static void check(const char *text, const char *value, const char *want)
{
    struct buf out = {0};

    CHECK_OK(run(text, value, &out));
    test_check_str(buf_slice(&out), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&out);
}

TEST(template_html_escapes_for_the_place_of_the_value)
{
    check("<b>{{.}}</b>", "a<b> & \"c\" 'd' +",
          "<b>a&lt;b&gt; &amp; &#34;c&#34; &#39;d&#39; &#43;</b>");
    check("<p class=\"{{.}}\">", "x\" onclick=\"y", "<p class=\"x&#34; onclick=&#34;y\">");
    check("<p class={{.}}>", "x y", "<p class=x&#32;y>");
    check("<p class={{.}} id=z>", "", "<p class=ZgotmplZ id=z>");
    check("<title>{{.}}</title>", "</title><b>", "<title>&lt;/title&gt;&lt;b&gt;</title>");
    check("{{safeHtml .}}", "<i>", "<i>");
    check("<p title=\"{{safeHtml .}}\">", "\"<i>", "<p title=\"&#34;&lt;i&gt;\">");
}

TEST(template_html_lets_addresses_lead_to_pages_only)
{
    check("<a href=\"{{.}}\">", "http://x/?a=1&b=\"2", "<a href=\"http://x/?a=1&amp;b=%222\">");
    check("<a href=\"{{.}}\">", "javascript:alert(1)", "<a href=\"#ZgotmplZ\">");
    check("<a href=\"{{safeUrl .}}\">", "tel:12", "<a href=\"tel:12\">");
    check("<a href=\"/x?y={{.}}\">", "a&b=c/d", "<a href=\"/x?y=a%26b%3dc%2fd\">");
    check("<a href={{.}}>", "javascript:x", "<a href=#ZgotmplZ>");
    check("<a href=\" {{.}}\">", "javascript:x", "<a href=\" #ZgotmplZ\">");
    check("<a href=\"{{slice . 0 4}}{{slice . 4}}\">", "javascript:x",
          "<a href=\"java#ZgotmplZ\">");
    check("<a href='http://x/{{.}}'>", "javascript:x", "<a href='http://x/javascript:x'>");
}

TEST(template_html_keeps_values_out_of_styles_scripts_and_comments)
{
    struct buf out = {0};

    check("<p style=\"color:{{.}}\">", "#ff0000", "<p style=\"color:#ff0000\">");
    check("<p style=\"color:{{.}}\">", "red;x:url(y)", "<p style=\"color:ZgotmplZ\">");
    check("<style>p{color:{{.}}}</style>{{.}}", "a}b", "<style>p{color:ZgotmplZ}</style>a}b");
    check("a<!-- {{.}} -->b", "-->", "ab");
    CHECK_ERR(run("<script>x={{.}}</script>", "1", &out), ERR_EXEC, "script");
    CHECK_ERR(run("<a onclick=\"{{.}}\">", "1", &out), ERR_EXEC, "script");
    buf_done(&out);
}

TEST(template_html_lets_names_of_attributes_do_no_harm)
{
    check("<p {{.}}>", "onclick=alert(1)", "<p ZgotmplZ>");
    check("<p {{.}}=\"x\">", "onclick", "<p ZgotmplZ=\"x\">");
    check("<p {{.}}=\"{{.}}\">", "Title", "<p title=\"Title\">");
    check("<p{{.}}>", " onclick=alert(1)", "<pZgotmplZ>");
    check("<p x{{.}}>", "><b>", "<p xZgotmplZ>");
    check("<p x {{.}}>", "", "<p x ZgotmplZ>");
}

TEST(template_html_escapes_angles_that_begin_no_tag)
{
    check("1 < 2 <{{.}}> <!DOCTYPE html></p>", "b", "1 &lt; 2 &lt;b> <!DOCTYPE html></p>");
    check("<p {{if .}}class=\"a>b\"{{end}}>{{.}}</p>", "<", "<p class=\"a>b\">&lt;</p>");
}

TEST(template_sets_over_another_find_what_it_has)
{
    struct arena *a = arena_new(1u << 20);
    struct template_set *base = template_am_new(), *set = template_new_over(base);
    uint64_t steps = 0;
    struct template_am am = {0};
    struct template_run how = {.arena = a, .ctx = &am, .ret_steps = &steps};
    struct buf out = {0};

    CHECK_OK(template_parse(set, SLICE(""),
                            SLICE("{{define \"__alertmanager\"}}mine{{end}}"
                                  "{{template \"slack.default.username\" .}}")));
    CHECK_OK(template_execute(set, SLICE(""), value_nil(), &how, &out));
    CHECK_SLICE(buf_slice(&out), "mine");
    CHECK(steps > 1);
    template_free(set);
    buf_reset(&out);
    CHECK_OK(template_execute(base, SLICE("slack.default.username"), value_nil(), &how, &out));
    CHECK_SLICE(buf_slice(&out), "Alertmanager");
    template_free(base);
    buf_done(&out);
    arena_free(a);
}
