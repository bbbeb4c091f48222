#include "common/template/template.h"
#include "tests/unit/test.h"

#define DATA                                                                                       \
    "{\"I\":17,\"F\":1.5,\"S\":\"xyz\",\"T\":true,\"Nil\":null,\"L\":[3,4,5],\"E\":[],"            \
    "\"M\":{\"one\":1,\"two\":2},\"U\":{\"W\":{\"k\":\"deep\"}}}"

static struct err *run_limited(const char *text, struct template_run run, struct buf *out)
{
    struct arena *a = arena_new(8u << 20);
    struct template_set *set = template_new(NULL);
    json_t *json = json_loads(DATA, 0, NULL);
    struct err *e = template_parse(set, SLICE("t"), slice_cstr(text));

    run.arena = a;
    if (!e)
        e = template_execute(set, SLICE("t"), value_of_json(a, json), &run, out);
    json_decref(json);
    template_free(set);
    arena_free(a);
    return e;
}

static void check_output(const char *text, const char *want)
{
    struct buf out = {0};

    CHECK_OK(run_limited(text, (struct template_run){0}, &out));
    test_check_str(buf_slice(&out), slice_cstr(want), text, __FILE__, __LINE__);
    buf_done(&out);
}

static void check_error(const char *text, enum err_code code, const char *message)
{
    struct buf out = {0};

    test_check_err(run_limited(text, (struct template_run){0}, &out), code, message, text, __FILE__,
                   __LINE__);
    buf_done(&out);
}

TEST(template_writes_text_fields_and_constants)
{
    check_output("a {{.I}} b {{ .U.W.k }} {{1.5}} {{'a'}} {{0x10}} {{1e3}} {{2i}}",
                 "a 17 b deep 1.5 97 16 1000 (0+2i)");
    check_output("{{.Nil}} {{.nope}} {{print nil}}", "<no value> <no value> <nil>");
    check_output("{{.}}", "map[E:[] F:1.5 I:17 L:[3 4 5] M:map[one:1 two:2] Nil:<nil> S:xyz T:true "
                          "U:map[W:map[k:deep]]]");
}

TEST(template_trims_and_skips_comments)
{
    check_output("a \n {{- 1 -}} \n b", "a1b");
    check_output("a {{/* no */}} b {{- /* no */ -}} c", "a  bc");
    check_error("{{/* x", ERR_INVALID, "unclosed comment");
    check_error("{{/* x */ 1}}", ERR_INVALID, "comment ends before closing delimiter");
}

TEST(template_controls_flow)
{
    check_output("{{if .E}}A{{else if .I}}B{{else}}C{{end}}", "B");
    check_output("{{with .Nil}}A{{else with .S}}{{.}}{{end}}", "xyz");
    check_output("{{range $i, $e := .L}}{{$i}}={{$e}};{{end}}", "0=3;1=4;2=5;");
    check_output("{{range $k, $v := .M}}{{$k}}{{$v}} {{end}}", "one1 two2 ");
    check_output("{{range .E}}x{{else}}none{{end}}", "none");
    check_output("{{range 5}}{{if eq . 1}}{{continue}}{{end}}{{if eq . 3}}{{break}}{{end}}{{.}}"
                 "{{end}}",
                 "02");
}

TEST(template_scopes_variables)
{
    check_output("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{$x}}{{end}}{{$x}}", "32");
    check_error("{{with $y := 1}}{{end}}{{$y}}", ERR_INVALID, "undefined variable \"$y\"");
    check_error("{{define \"a\"}}{{$x}}{{end}}{{$x := 1}}", ERR_INVALID, "undefined variable");
}

TEST(template_calls_templates_and_blocks)
{
    check_output("{{define \"x\"}}<{{.}}>{{end}}{{template \"x\" .S}}{{template \"x\"}}",
                 "<xyz><<no value>>");
    check_output("{{block \"b\" .I}}[{{.}}]{{end}}", "[17]");
    check_error("{{template \"none\"}}", ERR_EXEC, "template \"none\" not defined");
    check_error("{{define \"x\"}}1{{end}}{{define \"x\"}}2{{end}}", ERR_INVALID,
                "multiple definition of template \"x\"");
}

TEST(template_has_the_builtin_functions)
{
    check_output("{{and 1 0 2}} {{or 0 3}} {{not 0}} {{len .S}} {{index .M \"two\"}}",
                 "0 3 true 3 2");
    check_output("{{slice .S 1}} {{slice .L 0 2}} {{html \"<a b='c'>\"}} {{js \"it's\"}} "
                 "{{urlquery \"a b&\"}}",
                 "yz [3 4] &lt;a b=&#39;c&#39;&gt; it\\'s a+b%26");
    check_output("{{eq .I 1 17}} {{ne 1 2}} {{lt 1.5 2.5}} {{ge \"b\" \"a\"}}",
                 "true true true true");
    check_error("{{eq 1 1.0}}", ERR_EXEC, "incompatible types for comparison: int and float64");
    check_error("{{call .S}}", ERR_EXEC, "error calling call");
    check_error("{{nofunc 1}}", ERR_INVALID, "function \"nofunc\" not defined");
}

TEST(template_errors_are_placed_as_gos_are)
{
    check_error("ab\n  {{index .L 9}}", ERR_EXEC,
                "template: t:2:4: executing \"t\" at <index .L 9>: error calling index: index out "
                "of range: 9");
    check_error("{{if}}", ERR_INVALID, "template: t:1: missing value for if");
    check_error("{{range .S}}{{end}}", ERR_EXEC, "range can't iterate over xyz");
    check_error("{{.S.x}}", ERR_EXEC, "can't evaluate field x in type interface {}");
}

TEST(template_missing_keys_follow_the_option)
{
    struct buf out = {0};

    CHECK_ERR(
        run_limited("a{{.nope}}", (struct template_run){.missing = TEMPLATE_MISSING_ERROR}, &out),
        ERR_EXEC, "map has no entry for key \"nope\"");
    CHECK_SLICE(buf_slice(&out), "a"); /* what was written before stays */
    buf_done(&out);
}

TEST(template_limits_hold_hostile_texts)
{
    struct buf out = {0};

    CHECK_ERR(run_limited("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
                          (struct template_run){0}, &out),
              ERR_LIMIT, "exceeded maximum template depth");
    CHECK_ERR(run_limited("{{range 1000000000}}{{end}}", (struct template_run){0}, &out), ERR_LIMIT,
              "steps");
    CHECK_ERR(run_limited("{{range 100000}}{{.}}{{end}}",
                          (struct template_run){.max_output_bytes = 1000}, &out),
              ERR_LIMIT, "output");
    CHECK(out.len <= 1000);
    CHECK_ERR(run_limited("{{$x := \"xxxxxxxx\"}}{{range 100}}{{$x = print $x $x}}{{end}}",
                          (struct template_run){0}, &out),
              ERR_LIMIT, "longer than");
    CHECK_ERR(run_limited("{{range 1000}}{{$x := printf \"%900000d\" 1}}{{end}}",
                          (struct template_run){0}, &out),
              ERR_LIMIT, "memory");
    buf_done(&out);
}

TEST(template_nesting_in_the_text_is_bounded)
{
    struct buf text = {0};

    buf_str(&text, "{{");
    buf_fill(&text, '(', 5000);
    check_error(buf_cstr(&text), ERR_LIMIT, "nested deeper");
    buf_reset(&text);
    for (int i = 0; i < 5000; i++)
        buf_str(&text, "{{if 1}}");
    check_error(buf_cstr(&text), ERR_LIMIT, "nested deeper");
    buf_done(&text);
}

TEST(template_set_keeps_what_it_had_when_a_parse_fails)
{
    struct template_set *set = template_new(NULL);
    struct arena *a = arena_new(0);
    struct template_run run = {.arena = a};
    struct buf out = {0};

    CHECK_OK(template_parse(set, SLICE("a"), SLICE("one")));
    CHECK_ERR(template_parse(set, SLICE("a"), SLICE("two{{")), ERR_INVALID, "unclosed action");
    CHECK_OK(template_parse(set, SLICE("a"), SLICE("  "))); /* an empty one does not replace */
    CHECK_OK(template_execute(set, SLICE("a"), value_none(), &run, &out));
    CHECK_SLICE(buf_slice(&out), "one");
    template_delims(set, SLICE("[["), SLICE("]]"));
    buf_reset(&out);
    CHECK_OK(template_parse(set, SLICE("a"), SLICE("{{[[1]]}}")));
    CHECK_OK(template_execute(set, SLICE("a"), value_none(), &run, &out));
    CHECK_SLICE(buf_slice(&out), "{{1}}");
    buf_done(&out);
    arena_free(a);
    template_free(set);
}

static void note_field(void *arg, struct slice name)
{
    buf_printf(arg, "%.*s ", SLICE_ARG(name));
}

TEST(template_names_its_fields)
{
    struct template_set *set = template_new(NULL);
    struct buf b = {0};

    CHECK_OK(template_parse(
        set, SLICE("t"),
        SLICE("{{.a}}{{if .b.c | printf \"%s\" .d}}{{range $x := .e}}{{$x.f}}{{else}}{{.g}}{{end}}"
              "{{end}}{{with (index .h 0).i}}{{.}}{{end}}{{template \"t\" .j}} .z")));
    template_fields(set, note_field, &b);
    CHECK_SLICE(buf_slice(&b), "a b c d e f g h i j ");
    buf_done(&b);
    template_free(set);
}
