#include "common/model/otlp_config.h"
#include "tests/unit/test.h"

static struct err *parse(struct arena *a, const char *text, struct otlp_override *ret)
{
    struct yaml_node *root = NULL;

    CHECK_OK(yaml_load("f", slice_cstr(text), a, &root));
    return otlp_config_parse("f", root, a, ret);
}

TEST(otlp_config_override_changes_what_it_names)
{
    struct otlp_config base = {.strategy = OTLP_UNDERSCORES_WITH_SUFFIXES,
                               .has_key_prefix = true,
                               .prefix = (char *)(uintptr_t) "p"};
    struct arena *a = arena_new(0);
    struct otlp_override o;
    struct otlp_config c;
    struct buf text = {0};

    CHECK_OK(
        parse(a,
              "translation_strategy: NoTranslation\npromote-resource-attributes: [host.name, b]\n"
              "convert_histograms_to_nhcb: true\ndelta: cumulative\n",
              &o));
    c = otlp_config_merge(&base, &o);
    CHECK_INT(c.strategy, OTLP_NO_TRANSLATION);
    CHECK_INT(c.promoted.n, 2);
    CHECK_STR(c.promoted.items[0], "host.name");
    CHECK(c.to_nhcb && c.has_key_prefix && !c.promotes_scope);
    CHECK_INT(c.delta, OTLP_DELTA_CUMULATIVE);
    CHECK_STR(c.prefix, "p");
    otlp_config_print(&o, &text);
    CHECK_STR(buf_cstr(&text),
              "{translation_strategy: NoTranslation, promote_resource_attributes: "
              "[\"host.name\", \"b\"], convert_histograms_to_nhcb: true, delta: cumulative}");
    buf_done(&text);
    CHECK_INT(otlp_config_merge(&base, NULL).strategy, OTLP_UNDERSCORES_WITH_SUFFIXES);
    arena_free(a);
}

TEST(otlp_config_refuses_what_does_not_go_together)
{
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        {"translation_strategy: Nope", "not one of"},
        {"translation_strategie: NoTranslation", "unknown setting"},
        {"promote_scope_metadata: 7", "not true or false"},
        {"promote_resource_attributes: a", "not a list"},
        {"promote_resource_attributes: [a, a]", "twice"},
        {"promote_resource_attributes: ['']", "empty name"},
        {"{promote_all_resource_attributes: true, promote_resource_attributes: [a]}", "exclude"},
        {"ignore_resource_attributes: [a]", "says nothing"},
        {"[a]", "a mapping"},
    };
    struct arena *a = arena_new(0);
    struct otlp_override o;

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_ERR(parse(a, cases[i].yaml, &o), ERR_INVALID, cases[i].error);
    arena_free(a);
}
