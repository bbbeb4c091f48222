#include "common/model/log_rule.h"
#include "tests/unit/test.h"

struct rules {
    struct arena *a;
    struct log_rules r;
};

static struct err *parse(struct rules *t, const char *yaml)
{
    struct yaml_node *root = NULL;

    t->a = arena_new(0);
    CHECK_OK(yaml_load("t", slice_cstr(yaml), t->a, &root));
    return log_rules_parse("t", root, t->a, &t->r);
}

static void done(struct rules *t)
{
    log_rules_done(&t->r);
    arena_free(t->a);
}

static void check_scrub(const char *rule, const char *text, const char *want)
{
    struct buf out = {0};
    struct rules t;

    CHECK_OK(parse(&t, rule));
    CHECK_INT(log_rule_scrub(&t.r.ptr[0], slice_cstr(text), &out), want != NULL);
    CHECK_STR(buf_cstr(&out), want ? want : "");
    buf_done(&out);
    done(&t);
}

TEST(log_rule_scrubs_classes_then_the_pattern)
{
    check_scrub(
        "- {name: a, action: scrub, classes: [card, email], pattern: 'pw=\\S*', replacement: X}",
        "pw=a@b.de 4111111111111111 a@b.de!", "X X X!");
    check_scrub("- {name: a, action: scrub, classes: [ip]}", "10.0.0.1", "<redacted>");
    check_scrub("- {name: a, action: scrub, classes: [ip]}", "nothing", NULL);
    check_scrub("- {name: a, action: scrub, pattern: 'x*', replacement: ''}", "axxb", "ab");
    check_scrub("- {name: a, action: scrub, pattern: 'x*'}", "ab", NULL);
    check_scrub("- {name: a, action: scrub, pattern: '^a', replacement: b}", "aa", "ba");
}

TEST(log_rule_bounds_what_scrubbing_makes)
{
    struct buf yaml = {0}, text = {0}, out = {0};
    struct rules t;

    buf_str(&yaml, "- {name: a, action: scrub, pattern: 'x', replacement: '");
    buf_fill(&yaml, 'r', 256);
    buf_str(&yaml, "'}");
    buf_fill(&text, 'x', 100000);
    CHECK_OK(parse(&t, buf_cstr(&yaml)));
    CHECK(log_rule_scrub(&t.r.ptr[0], buf_slice(&text), &out));
    CHECK(out.len < 500000 && !memchr(out.ptr, 'x', out.len));
    buf_done(&yaml);
    buf_done(&text);
    buf_done(&out);
    done(&t);
}

TEST(log_rule_samples_by_text_and_time)
{
    struct rules t;
    size_t kept = 0, kept_by_time = 0;
    char line[32];

    CHECK_OK(parse(&t, "- {name: a, action: sample, share: 0.25}\n"
                       "- {name: b, action: sample, share: 0}\n"
                       "- {name: c, action: sample, share: 1}"));
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(line, sizeof(line), "line %d", i);
        kept += log_rule_keeps(&t.r.ptr[0], slice_cstr(line), 7);
        kept_by_time += log_rule_keeps(&t.r.ptr[0], SLICE("the same"), i);
        CHECK(!log_rule_keeps(&t.r.ptr[1], slice_cstr(line), i));
        CHECK(log_rule_keeps(&t.r.ptr[2], slice_cstr(line), i));
    }
    CHECK(kept > 2300 && kept < 2700);
    CHECK(kept_by_time > 2300 && kept_by_time < 2700);
    done(&t);
}

TEST(log_rule_is_for_its_lines)
{
    struct rules t;

    CHECK_OK(parse(&t, "- {name: a, action: drop, regex: 'level=(debug|trace)'}\n"
                       "- {name: b, action: drop, selector: '{app=\"x\"}'}"));
    CHECK(log_rule_takes(&t.r.ptr[0], SLICE("a level=debug b")));
    CHECK(!log_rule_takes(&t.r.ptr[0], SLICE("a level=info b")));
    CHECK(log_rule_takes(&t.r.ptr[1], SLICE("")));
    CHECK_INT(t.r.ptr[1].match.n, 1);
    done(&t);
}

TEST(log_rule_says_what_is_wrong)
{
    static const struct {
        const char *yaml, *want;
    } cases[] = {
        {"a: b", "t:1: log_rules is a list"},
        {"[x]", "t:1: log_rules: a rule is a mapping"},
        {"- {action: drop, regex: x}", "t:1: log_rules: a rule without name"},
        {"- {name: 'a b', action: drop, regex: x}",
         "t:1: log_rules: a name has letters, digits, - and _"},
        {"- {name: a, regex: x}", "t:1: log_rules: a rule without action"},
        {"- {name: a, action: eat}", "t:1: log_rules: action is neither drop nor sample nor scrub"},
        {"- {name: a, action: drop}", "t:1: log_rules: drop needs a selector or a regex"},
        {"- {name: a, action: drop, regex: '('}", "t:1: log_rules: "},
        {"- {name: a, action: drop, selector: '{'}", "t:1: selector: "},
        {"- {name: a, action: sample}", "t:1: log_rules: share belongs to sample, which needs it"},
        {"- {name: a, action: sample, share: 2}",
         "t:1: log_rules: share is not a number from 0 to 1"},
        {"- {name: a, action: scrub}",
         "t:1: log_rules: classes and pattern belong to scrub, which needs one of them"},
        {"- {name: a, action: scrub, classes: [ssn]}",
         "t:1: log_rules: a class is card, email, ip or bearer"},
        {"- {name: a, action: drop, regex: x}\n- {name: a, action: drop, regex: y}",
         "t:2: log_rules: two rules of one name"},
        {"- {name: a, action: drop, regex: x, y: z}", "t:1: log_rules: unknown key y"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct rules t;

        CHECK_ERR(parse(&t, cases[i].yaml), ERR_INVALID, cases[i].want);
        CHECK_INT(t.r.n, 0);
        done(&t);
    }
}
