#include "common/model/rule_list.h"
#include "tests/unit/test.h"

struct seen {
    const struct rule_list *list;
    char keys[16];
    size_t n;
};

static struct err *on_key(void *arg, const struct yaml_key *key, const struct yaml_node *value)
{
    struct seen *s = arg;

    if (slice_eq_cstr(key->text, "x"))
        return rule_list_unknown(s->list, key);
    if (yaml_is_null(value))
        return rule_list_bad(s->list, key->line, "not a value");
    s->keys[s->n++] = (char)key->text.ptr[0];
    return NULL;
}

/* The keys of all rules of a list of two at most, or the error. */
static const char *read_all(const char *yaml)
{
    static char out[256];
    struct arena *a = arena_new(0);
    struct rule_list l = {"t", "some_rules", a};
    struct seen s = {.list = &l};
    struct yaml_node *root = NULL;
    struct err *e;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    e = rule_list_check(&l, root, 2);
    for (size_t i = 0; !e && !yaml_is_null(root) && i < root->n; i++)
        e = rule_list_read(&l, root, i, on_key, &s);
    (void)snprintf(out, sizeof(out), "%s", e ? err_msg(e) : s.keys);
    CHECK(!e || err_is(e, ERR_INVALID));
    err_free(e);
    arena_free(a);
    return out;
}

TEST(rule_list_gives_each_key_of_each_rule)
{
    CHECK_STR(read_all(""), "");
    CHECK_STR(read_all("[]"), "");
    CHECK_STR(read_all("- {a: 1, b: 2}\n- {c: 3}\n"), "abc");
    CHECK_STR(read_all("- {}"), "");
}

TEST(rule_list_says_what_is_wrong_and_where)
{
    CHECK_STR(read_all("a: b"), "t:1: some_rules is a list");
    CHECK_STR(read_all("[{}, {}, {}]"), "t:1: more than 2 rules of some_rules");
    CHECK_STR(read_all("- a: 1\n- 5"), "t:2: some_rules: a rule is a mapping");
    CHECK_STR(read_all("- a: 1\n-"), "t:2: some_rules: a rule is a mapping");
    CHECK_STR(read_all("- a: 1\n  b:\n"), "t:2: some_rules: not a value");
    CHECK_STR(read_all("- a: 1\n\n  x: 1\n"), "t:3: some_rules: unknown key x");
}

TEST(rule_list_reads_a_selector)
{
    struct arena *a = arena_new(0);
    struct rule_list l = {"t", "some_rules", a};
    struct matchers ms = {0};

    CHECK_OK(rule_list_selector(&l, SLICE("{a=~\"b+\"}"), 7, &ms));
    CHECK_INT(ms.n, 1);
    matchers_done(ms);
    CHECK_ERR(rule_list_selector(&l, SLICE("{"), 7, &ms), ERR_INVALID, "t:7: selector: ");
    arena_free(a);
}
