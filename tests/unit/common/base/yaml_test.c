#include "common/base/yaml.h"
#include "tests/unit/test.h"

static struct err *load(const char *text)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root;
    struct err *e = yaml_load("f", slice_cstr(text), a, &root);

    arena_free(a);
    return e;
}

TEST(yaml_builds_a_tree_with_lines)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root, *n;
    bool truth;

    CHECK_OK(yaml_load(
        "f", SLICE("# c\na: &x [1, '2']\nb:\n  c: *x\n  d: ~\n  e: \"~\"\n  f: On\n"), a, &root));
    CHECK_INT(root->kind, YAML_KIND_MAP);
    CHECK_INT(root->n, 2);
    CHECK_INT(root->keys[1].line, 3);
    n = yaml_get(root, "a");
    CHECK_INT(n->kind, YAML_KIND_SEQ);
    CHECK(n->items[0]->is_plain && !n->items[1]->is_plain);
    CHECK_SLICE(n->items[1]->text, "2");
    CHECK_INT(n->line, 2);
    CHECK(yaml_get(yaml_get(root, "b"), "c") == n);
    CHECK(yaml_is_null(yaml_get(yaml_get(root, "b"), "d")));
    CHECK(!yaml_is_null(yaml_get(yaml_get(root, "b"), "e")));
    CHECK(yaml_bool(yaml_get(yaml_get(root, "b"), "f"), &truth) && truth);
    CHECK(!yaml_bool(n, &truth));
    CHECK(!yaml_get(n, "a") && !yaml_get(NULL, "a") && !yaml_get(root, "z"));
    arena_free(a);
}

TEST(yaml_merges_what_a_mapping_has_not_itself)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root, *n;

    CHECK_OK(
        yaml_load("f",
                  SLICE("x: &x {a: 1, b: {c: 2}}\ny: &y\n  b: 3\n  d: 4\nz:\n  <<: *x\n  a: 5\n"
                        "l:\n  e: 6\n  <<: [*y, *x, {e: 7, f: 8}]\nq: {'<<': 9}\n"
                        "m:\n  <<:\n    <<: *y\n    b: 10\n"),
                  a, &root));
    n = yaml_get(root, "z");
    CHECK_INT(n->n, 2);
    CHECK_SLICE(yaml_get(n, "a")->text, "5"); /* its own, also when it comes later */
    CHECK(yaml_get(n, "b") == yaml_get(yaml_get(root, "x"), "b"));
    n = yaml_get(root, "l");
    CHECK_INT(n->n, 5);
    CHECK_SLICE(yaml_get(n, "e")->text, "6");
    CHECK_SLICE(yaml_get(n, "b")->text, "3"); /* of the first that has it */
    CHECK_SLICE(yaml_get(n, "a")->text, "1");
    CHECK_SLICE(yaml_get(n, "f")->text, "8");
    CHECK_INT(n->keys[1].line, 3); /* where it stands */
    CHECK_SLICE(yaml_get(yaml_get(root, "q"), "<<")->text, "9");
    n = yaml_get(root, "m");
    CHECK_INT(n->n, 2);
    CHECK_SLICE(yaml_get(n, "b")->text, "10");
    arena_free(a);
}

TEST(yaml_empty_documents_are_null)
{
    static const char *const texts[] = {"", "# c\n", "---\n", "~\n", "---\n...\n"};

    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        struct arena *a = arena_new(0);
        struct yaml_node *root = (struct yaml_node *)a;

        CHECK_OK(yaml_load("f", slice_cstr(texts[i]), a, &root));
        CHECK(root == NULL);
        arena_free(a);
    }
}

TEST(yaml_refuses_with_file_and_line)
{
    CHECK_ERR(load("a: 1\nb: [\n"), ERR_INVALID, "f:3: not YAML");
    CHECK_ERR(load("a: 1\n\tb: 2\n"), ERR_INVALID, "f:2: not YAML");
    CHECK_ERR(load("a: 1\nb: 2\na: 3\n"), ERR_INVALID, "f:3: duplicate key a (first on line 1)");
    CHECK_ERR(load("a: 1\n---\nb: 2\n"), ERR_INVALID, "more than one document");
    CHECK_ERR(load("? [a]\n: b\n"), ERR_INVALID, "f:1: a key must be a plain word");
    CHECK_ERR(load("a: *b\n"), ERR_INVALID, "f:1: *b names no anchor above it");
    CHECK_ERR(load("a: &b [*b]\n"), ERR_INVALID, "*b names no anchor");
    CHECK_ERR(load("a: !!binary eA==\nb: !vault x\n"), ERR_UNSUPPORTED, "f:2: tag !vault");
    CHECK_ERR(load("a:\n  <<: x\n"), ERR_INVALID, "f:2: a merge key (<<) takes a mapping");
    CHECK_ERR(load("a: &x {b: 1}\nc:\n  <<: [*x, [*x]]\n"), ERR_INVALID, "f:3: a merge key");
    CHECK_ERR(load("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n"), ERR_INVALID, "f:4: duplicate key <<");
    CHECK_ERR(load("a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n  d: 1\n"), ERR_INVALID,
              "f:5: duplicate key d");
    CHECK_ERR(load("a: \"x\\0y\"\n"), ERR_INVALID, "NUL");
    CHECK_ERR(load("a: \xff\n"), ERR_INVALID, "f: ");
}

TEST(yaml_is_bounded)
{
    struct buf text = {0};

    buf_fill(&text, '[', YAML_MAX_DEPTH + 1);
    buf_fill(&text, ']', YAML_MAX_DEPTH + 1);
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "levels deep");
    buf_reset(&text);
    buf_fill(&text, '[', YAML_MAX_DEPTH);
    buf_fill(&text, ']', YAML_MAX_DEPTH);
    CHECK_OK(load(buf_cstr(&text)));
    buf_reset(&text);
    buf_fill(&text, '#', YAML_MAX_BYTES + 1);
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "at most 4194304 are read");
    /* A thousand million laughs: small as text and as memory, not as a tree. */
    buf_reset(&text);
    buf_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        buf_str(&text, "]\n");
    }
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "more than 1000000 nodes");
    /* The same with merge keys, where all of it would be written out. */
    buf_reset(&text);
    buf_str(&text, "b: &b {");
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "%sk%d: x", i ? ", " : "", i);
    buf_str(&text, "}\nl:\n");
    for (int i = 0; i < 1000; i++)
        buf_str(&text, "  - <<: *b\n");
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "more than 1000000 nodes");
    /* And one long text, many times: few nodes, but all of it would be written out. */
    buf_reset(&text);
    buf_str(&text, "a: &a ");
    buf_fill(&text, 'x', 100000);
    buf_str(&text, "\nl: [");
    for (int i = 0; i < 1000; i++)
        buf_str(&text, "*a, ");
    buf_str(&text, "]\n");
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "more than 1000000 nodes");
    buf_reset(&text);
    buf_byte(&text, '"');
    buf_fill(&text, 'x', YAML_MAX_BYTES - 2);
    buf_byte(&text, '"');
    CHECK_OK(load(buf_cstr(&text)));
    /* Depth counts through aliases too. */
    buf_reset(&text);
    buf_str(&text, "a0: &a0 x\n");
    for (int i = 1; i <= YAML_MAX_DEPTH; i++)
        buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    CHECK_ERR(load(buf_cstr(&text)), ERR_TOO_LARGE, "levels deep");
    buf_done(&text);
}
