#include "deploy/orreryctl/ctl_space.h"
#include "tests/unit/test.h"

#define RULES "rules: [{record: r, expr: up}]"

static void check_path(const struct ctl_space *s, const char *ns, const char *name,
                       const char *path)
{
    const struct ctl_space_group *g = ctl_space_find(s, slice_cstr(ns), slice_cstr(name));

    CHECK(!g == !path);
    if (!g)
        return;
    CHECK_SLICE(g->ns, ns);
    CHECK_SLICE(g->name, name);
    CHECK_STR(g->path, path);
}

TEST(ctl_space_finds_groups_by_namespace_and_name)
{
    struct arena *a = arena_new(0);
    struct ctl_space s;

    ctl_space_init(&s, a);
    check_path(&s, "a", "g", NULL);
    CHECK_OK(ctl_space_add_text(&s, "x/a.yml",
                                SLICE("groups: [{name: g, " RULES "}, {name: h, " RULES "}]\n---\n"
                                      "namespace: b/c\ngroups: [{name: g, " RULES "}]\n"),
                                RULE_PROMQL));
    CHECK_OK(
        ctl_space_add_text(&s, "ag.yml", SLICE("groups: [{name: x, " RULES "}]"), RULE_PROMQL));
    CHECK_INT(s.groups.len, 4);
    check_path(&s, "a", "g", "x/a.yml");
    check_path(&s, "a", "h", "x/a.yml");
    check_path(&s, "b/c", "g", "x/a.yml");
    check_path(&s, "ag", "x", "ag.yml");
    check_path(&s, "a", "gx", NULL); /* where one ends and the other begins counts */
    check_path(&s, "b", "g", NULL);
    check_path(&s, "b/c", "h", NULL);
    ctl_space_done(&s);
    arena_free(a);
}

TEST(ctl_space_refuses_a_group_that_is_there_already)
{
    struct arena *a = arena_new(0);
    struct ctl_space s;

    ctl_space_init(&s, a);
    CHECK_OK(ctl_space_add_text(&s, "a.yml", SLICE("groups: [{name: g, " RULES "}]"), RULE_PROMQL));
    CHECK_ERR(ctl_space_add_text(
                  &s, "b.yml",
                  SLICE("namespace: a\ngroups: [{name: h, " RULES "}, {name: g, " RULES "}]"),
                  RULE_PROMQL),
              ERR_INVALID, "b.yml: namespace a has group g already, of a.yml");
    ctl_space_done(&s);
    arena_free(a);
}

/* Many are found as one is. */
TEST(ctl_space_reads_what_an_api_answers)
{
    struct arena *a = arena_new(0);
    struct ctl_space s;
    struct buf text = {0};

    ctl_space_init(&s, a);
    buf_str(&text, "\"team/a b\":\n");
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, "    - name: g%d\n      " RULES "\n", i);
    buf_str(&text, "z:\n    - name: g1999\n      " RULES "\n");
    CHECK_OK(ctl_space_add_answer(&s, buf_slice(&text), RULE_PROMQL));
    CHECK_INT(s.groups.len, 2001);
    for (size_t i = 0; i < s.groups.len; i++)
        CHECK(ctl_space_find(&s, s.groups.ptr[i].ns, s.groups.ptr[i].name) == &s.groups.ptr[i]);
    CHECK_ERR(
        ctl_space_add_answer(&s, SLICE("z:\n    - name: g1999\n      " RULES "\n"), RULE_PROMQL),
        ERR_INVALID, "the answer: namespace z has group g1999 already");
    buf_done(&text);
    ctl_space_done(&s);
    arena_free(a);
}
