#include "tests/unit/ingester/door/log_text.h"

#define HOUR_NS 3600000000000ll

static const struct tenant_limits strict = {
    .generation = 1,
    .max_label_names_per_stream = 3,
    .max_label_name_length = 8,
    .max_stream_label_value_length = 10,
    .max_line_size = 10,
    .reject_old_samples = true,
    .reject_old_samples_max_age_ns = HOUR_NS,
    .creation_grace_period_ns = HOUR_NS,
    .allow_structured_metadata = true,
    .max_structured_metadata_size = 40,
    .max_structured_metadata_entries_count = 2,
};

struct one {
    const char *labels;
    int64_t t_ns;
    const char *line;
    struct label metadata[4];
    size_t n_metadata;
};
struct many {
    const struct one *ptr;
    size_t n;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    const struct many *m = arg;
    struct err *e = NULL;

    for (size_t i = 0; i < m->n && !e; i++) {
        const struct one *o = &m->ptr[i];
        struct log_builder_at at;
        struct labels ls;

        if ((e = log_labels_parse(log_builder_arena(b), slice_cstr(o->labels), &ls)))
            return e;
        at = log_builder_stream(b, ls);
        e = log_builder_entry(b, &at,
                              &(struct log_in){.t_ns = o->t_ns,
                                               .line = slice_cstr(o->line),
                                               .metadata = o->metadata,
                                               .n_metadata = o->n_metadata});
    }
    return e;
}

static struct buf build(const struct tenant_limits *limits, const struct one *ptr, size_t n)
{
    return log_text(decode, &(struct many){ptr, n}, limits);
}

TEST(log_builder_joins_streams_and_sorts_metadata)
{
    static const struct one in[] = {
        {"{b=\"2\", a=\"1\"}",
         5,
         "one",
         {{SLICE_INIT("z"), SLICE_INIT("1")},
          {SLICE_INIT("a"), SLICE_INIT("2")},
          {SLICE_INIT("z"), SLICE_INIT("3")}},
         3},
        {"{c=\"3\"}", 6, "two", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\", b=\"2\", d=\"\"}", 4, "three", {{SLICE_INIT("a"), SLICE_INIT("2")}}, 1},
    };

    log_text_check(build(NULL, in, 3), "{a=\"1\", b=\"2\"}\n"
                                       "  @5 one {a=\"2\", z=\"3\"}\n"
                                       "  @4 three {a=\"2\"}\n"
                                       "{c=\"3\"}\n"
                                       "  @6 two\n");
}

TEST(log_builder_refuses_streams_by_their_labels)
{
    static const struct {
        const char *labels, *want;
    } cases[] = {
        {"{}", "refused missing_labels: 1\n"},
        {"", "refused missing_labels: 1\n"},
        {"{a=\"\"}", "refused missing_labels: 1\n"},
        {"{a=\"1\", b=\"\", a=\"2\"}", "{a=\"2\"}\n  @1767225600000000000 x\n"},
        {"{a=\"1\", b=\"2\", c=\"3\", d=\"4\"}", "refused max_label_names_per_series: 1\n"},
        {"{abcdefghi=\"1\"}", "refused label_name_too_long: 1\n"},
        {"{a=\"01234567890\"}", "refused label_value_too_long: 1\n"},
        {"{a=\"0123456789\", b=\"2\", c=\"3\"}",
         "{a=\"0123456789\", b=\"2\", c=\"3\"}\n  @1767225600000000000 x\n"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        log_text_check(
            build(&strict,
                  &(struct one){.labels = cases[i].labels, .t_ns = LOG_TEXT_NOW_NS, .line = "x"},
                  1),
            cases[i].want);
}

TEST(log_builder_refuses_lines_and_goes_on)
{
    static const struct one in[] = {
        {"{a=\"1\"}", LOG_TEXT_NOW_NS - HOUR_NS - 1, "old", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", LOG_TEXT_NOW_NS - HOUR_NS, "ok1", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", LOG_TEXT_NOW_NS + HOUR_NS + 1, "new", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", LOG_TEXT_NOW_NS + HOUR_NS, "ok2", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", LOG_TEXT_NOW_NS, "01234567890", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", LOG_TEXT_NOW_NS, "0123456789", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}",
         LOG_TEXT_NOW_NS,
         "many",
         {{SLICE_INIT("a"), SLICE_INIT("1")},
          {SLICE_INIT("b"), SLICE_INIT("1")},
          {SLICE_INIT("c"), SLICE_INIT("1")}},
         3},
        {"{a=\"1\"}",
         LOG_TEXT_NOW_NS,
         "large",
         {{SLICE_INIT("a"), SLICE_INIT("0123456789012345678901234567890123456789")}},
         1},
    };

    log_text_check(build(&strict, in, ORR_COUNT(in)), "{a=\"1\"}\n"
                                                      "  @1767222000000000000 ok1\n"
                                                      "  @1767229200000000000 ok2\n"
                                                      "  @1767225600000000000 0123456789\n"
                                                      "refused greater_than_max_sample_age: 1\n"
                                                      "refused too_far_in_future: 1\n"
                                                      "refused line_too_long: 1\n"
                                                      "refused structured_metadata_too_large: 1\n"
                                                      "refused structured_metadata_too_many: 1\n");
}

TEST(log_builder_cuts_lines_between_runes)
{
    struct tenant_limits limits = {
        .generation = 1, .max_line_size = 4, .max_line_size_truncate = true};
    static const struct one in[] = {
        {"{a=\"1\"}", 1, "abcde", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", 2, "abc\xc3\xbc", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", 3, "ab\xc3\xbc-", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{a=\"1\"}", 4, "\x80\x80\x80\x80\x80\x80", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
    };

    log_text_check(build(&limits, in, 4), "{a=\"1\"}\n"
                                          "  @1 abcd\n"
                                          "  @2 abc\n"
                                          "  @3 ab\xc3\xbc\n"
                                          "  @4 \x80\x80\x80\x80\n");
}

TEST(log_builder_finds_service_and_level)
{
    struct tenant_limits limits = {.generation = 1,
                                   .allow_structured_metadata = true,
                                   .discover_service_name = true,
                                   .discover_log_levels = true};
    static const struct one in[] = {
        {"{job=\"j\", app=\"shop\"}", 1, "level=warn x", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{zone=\"z\"}", 2, "{\"level\":\"error\"}", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{}", 3, "plain", {{SLICE_EMPTY, SLICE_EMPTY}}, 0},
        {"{service_name=\"s\"}", 4, "x", {{SLICE_INIT("detected_level"), SLICE_INIT("mine")}}, 1},
    };

    log_text_check(build(&limits, in, 4), "{app=\"shop\", job=\"j\", service_name=\"shop\"}\n"
                                          "  @1 level=warn x {detected_level=\"warn\"}\n"
                                          "{service_name=\"unknown_service\", zone=\"z\"}\n"
                                          "  @2 {\"level\":\"error\"} {detected_level=\"error\"}\n"
                                          "{service_name=\"unknown_service\"}\n"
                                          "  @3 plain {detected_level=\"unknown\"}\n"
                                          "{service_name=\"s\"}\n"
                                          "  @4 x {detected_level=\"mine\"}\n");
}

TEST(log_builder_says_what_was_refused)
{
    struct log_batch *batch = log_batch_new(SLICE("t"), &strict);
    struct label l = {SLICE("a"), SLICE("1")};
    struct log_builder_at at;
    struct log_builder b;
    struct err *e;

    log_builder_init(&b, batch, NULL, LOG_TEXT_NOW_NS);
    CHECK_OK(log_builder_answer(&b));
    at = log_builder_stream(&b, (struct labels){&l, 1});
    CHECK_OK(log_builder_entry(
        &b, &at, &(struct log_in){.t_ns = LOG_TEXT_NOW_NS, .line = SLICE("01234567890")}));
    e = log_builder_answer(&b);
    CHECK(err_is(e, ERR_INVALID));
    CHECK_STR(err_msg(e), "1 of 1 lines refused, the others are stored; line is longer than limit "
                          "max_line_size allows (1 lines): stream {a=\"1\"}");
    err_free(e);
    log_batch_free(batch);
}

/* ---- rules ---- */

static struct tenant_rules *rules_of(const char *yaml)
{
    struct tenant_rules *r = tenant_rules_new(NULL);
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    bool is_known;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    for (size_t i = 0; i < root->n; i++) {
        CHECK_OK(tenant_rules_read(r, "t", &root->keys[i], root->items[i], &is_known));
        CHECK(is_known);
    }
    arena_free(a);
    return r;
}

static void add_line(struct log_builder *b, const char *app, const char *line, const char *ip)
{
    struct label ls[] = {{SLICE("app"), slice_cstr(app)}, {SLICE("pod"), SLICE("p1")}};
    struct label md = {SLICE("ip"), slice_cstr(ip)};
    struct log_builder_at at = log_builder_stream(b, (struct labels){ls, 2});

    CHECK_OK(log_builder_entry(
        b, &at,
        &(struct log_in){
            .t_ns = LOG_TEXT_NOW_NS, .line = slice_cstr(line), .metadata = &md, .n_metadata = 1}));
}

TEST(log_builder_applies_the_tenant_s_rules_in_their_order)
{
    static const struct tenant_limits limits = {
        .generation = 1, .allow_structured_metadata = true, .max_label_names_per_stream = 1};
    struct tenant_rules *rules =
        rules_of("log_relabel_configs:\n"
                 "  - {action: labeldrop, regex: pod}\n"
                 "  - {action: drop, source_labels: [app], regex: noise}\n"
                 "log_rules:\n"
                 "  - {name: debug, action: drop, selector: '{app=\"shop\"}', regex: debug}\n"
                 "  - {name: mail, action: scrub, classes: [email, ip], replacement: '***'}\n"
                 "  - {name: starred, action: sample, share: 0, regex: '\\*{3} twice'}\n");
    struct log_batch *batch = log_batch_new(SLICE("t"), &limits);
    struct buf got = {0};
    struct log_builder b;

    log_builder_init(&b, batch, NULL, LOG_TEXT_NOW_NS);
    log_builder_set_rules(&b, rules);
    for (int i = 0; i < 2; i++) {
        add_line(&b, "shop", "debug a@b.de", "-");
        add_line(&b, "shop", "info a@b.de", "10.0.0.1");
        add_line(&b, "other", "debug", "-");
        add_line(&b, "other", "a@b.de twice", "-");
        add_line(&b, "noise", "x", "-");
    }
    log_text_print(&got, batch);
    CHECK_STR(buf_cstr(&got), "{app=\"shop\"}\n"
                              "  @1767225600000000000 info *** {ip=\"***\"}\n"
                              "  @1767225600000000000 info *** {ip=\"***\"}\n"
                              "{app=\"other\"}\n"
                              "  @1767225600000000000 debug {ip=\"-\"}\n"
                              "  @1767225600000000000 debug {ip=\"-\"}\n");
    CHECK_INT(log_builder_refused(&b), 0);
    CHECK_INT(b.tally[0].lines, 2);
    CHECK_INT(b.tally[0].bytes, 24);
    CHECK_INT(b.tally[1].lines, 4);
    CHECK_INT(b.tally[2].lines, 2);
    CHECK_INT(b.tally[3].lines, 2);
    buf_done(&got);
    log_batch_free(batch);
    tenant_rules_unref(rules);
}

TEST(log_builder_keeps_equal_lines_apart_when_told_so)
{
    static const struct tenant_limits limits = {.generation = 1,
                                                .max_line_size = 6,
                                                .max_line_size_truncate = true,
                                                .allow_structured_metadata = true,
                                                .increment_duplicate_timestamp = true};
    static const int64_t times[] = {10, 10, 10, 11, 9, 9, 20};
    struct tenant_rules *rules =
        rules_of("{max_line_size_truncate_identifier: '..', enforced_labels: [app, env]}");
    struct label ls[] = {{SLICE("app"), SLICE("a")}, {SLICE("env"), SLICE("e")}};
    struct log_batch *batch = log_batch_new(SLICE("t"), &limits);
    struct log_builder_at at;
    struct buf got = {0};
    struct log_builder b;

    log_builder_init(&b, batch, NULL, LOG_TEXT_NOW_NS);
    log_builder_set_rules(&b, rules);
    at = log_builder_stream(&b, (struct labels){ls, 2});
    for (size_t i = 0; i < ORR_COUNT(times); i++)
        CHECK_OK(log_builder_entry(&b, &at,
                                   &(struct log_in){.t_ns = times[i], .line = SLICE("too long")}));
    at = log_builder_stream(&b, (struct labels){ls, 1});
    CHECK_OK(log_builder_entry(&b, &at, &(struct log_in){.t_ns = 10, .line = SLICE("x")}));
    CHECK_INT(b.rejects.lines[LOG_MISSING_ENFORCED], 1);
    log_text_print(&got, batch);
    CHECK_STR(buf_cstr(&got), "{app=\"a\", env=\"e\"}\n  @10 too ..\n  @11 too ..\n  @12 too ..\n"
                              "  @13 too ..\n  @9 too ..\n  @10 too ..\n  @20 too ..\n");
    buf_done(&got);
    log_batch_free(batch);
    tenant_rules_unref(rules);
}
