/*
 * How OpenTelemetry metrics become Prometheus series: the section "otlp" of the configuration, and
 * the mapping "otlp" of a tenant in the overrides file, with the names of Prometheus' otlp block.
 *
 *     otlp:                                         overrides:
 *       translation_strategy: NoTranslation           team-a:
 *       promote_resource_attributes: [host.name]        otlp: {convert_histograms_to_nhcb: true}
 *
 * A tenant's mapping changes what it names and leaves the rest as the section has it. With
 * promote_all_resource_attributes a list of promoted attributes says nothing and is refused; so is
 * a list of ignored ones without it.
 *
 * Any thread: immutable once made. Lists are lent by the conf, or by the arena of the overrides.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/conf.h"
#include "common/base/yaml.h"

#define OTLP_CONFIG_MAX_NAMES 1000 /* in a list */

#define OTLP_STRATEGIES(X)                                                                         \
    X(OTLP_UNDERSCORES_WITH_SUFFIXES, "UnderscoreEscapingWithSuffixes")                            \
    X(OTLP_UNDERSCORES, "UnderscoreEscapingWithoutSuffixes")                                       \
    X(OTLP_UTF8_WITH_SUFFIXES, "NoUTF8EscapingWithSuffixes")                                       \
    X(OTLP_NO_TRANSLATION, "NoTranslation")
enum otlp_strategy {
#define X(sym, name) sym,
    OTLP_STRATEGIES(X)
#undef X
};
#define OTLP_DELTAS(X)                                                                             \
    X(OTLP_DELTA_REFUSE, "refuse")                                                                 \
    X(OTLP_DELTA_CUMULATIVE, "cumulative")                                                         \
    X(OTLP_DELTA_STORE, "store")
enum otlp_delta_mode {
#define X(sym, name) sym,
    OTLP_DELTAS(X)
#undef X
};

/* X(KIND, member, configuration key, default, names of an enum, help). Members: BOOL bool, ENUM
 * int, TEXT char *, LIST struct conf_list. In overrides the key has underscores. */
#define OTLP_SETTINGS(X)                                                                           \
    X(ENUM, strategy, "translation-strategy", "UnderscoreEscapingWithSuffixes",                    \
      "UnderscoreEscapingWithSuffixes|UnderscoreEscapingWithoutSuffixes|"                          \
      "NoUTF8EscapingWithSuffixes|NoTranslation",                                                  \
      "How metric and label names are translated.")                                                \
    X(TEXT, prefix, "namespace", "", NULL, "Put before every metric name, with an underscore.")    \
    X(LIST, promoted, "promote-resource-attributes", "", NULL,                                     \
      "Resource attributes that become labels.")                                                   \
    X(BOOL, promotes_all, "promote-all-resource-attributes", "false", NULL,                        \
      "Whether all resource attributes become labels.")                                            \
    X(LIST, ignored, "ignore-resource-attributes", "", NULL,                                       \
      "Resource attributes that do not, when all others do.")                                      \
    X(BOOL, keeps_identifying, "keep-identifying-resource-attributes", "false", NULL,              \
      "Whether target_info has service.name and the like beside job and instance.")                \
    X(BOOL, to_nhcb, "convert-histograms-to-nhcb", "false", NULL,                                  \
      "Whether explicit histograms become native ones with custom buckets.")                       \
    X(BOOL, promotes_scope, "promote-scope-metadata", "false", NULL,                               \
      "Whether name, version and attributes of the scope become labels.")                          \
    X(BOOL, has_key_prefix, "label-name-underscore-sanitization", "true", NULL,                    \
      "Whether an escaped label name with one underscore in front gets key before it.")            \
    X(BOOL, keeps_underscores, "label-name-preserve-multiple-underscores", "true", NULL,           \
      "Whether runs of underscores in escaped label names stay.")                                  \
    X(BOOL, has_type_and_unit, "enable-type-and-unit-labels", "false", NULL,                       \
      "Whether series get the labels __type__ and __unit__.")                                      \
    X(ENUM, delta, "delta", "refuse", "refuse|cumulative|store",                                   \
      "Sums and histograms of deltas: refuse the request, add them up, or store them as they "     \
      "are.")

struct otlp_config {
#define OTLP_MEMBER_BOOL(name) bool name;
#define OTLP_MEMBER_ENUM(name) int name;
#define OTLP_MEMBER_TEXT(name) char *name;
#define OTLP_MEMBER_LIST(name) struct conf_list name;
#define X(kind, name, key, def, names, help) OTLP_MEMBER_##kind(name)
    OTLP_SETTINGS(X)
#undef X
};

extern const struct conf_section otlp_section;

/* What a tenant overrides. */
struct otlp_override {
    uint32_t is_set; /* a bit per row */
    struct otlp_config values;
};
/* A tenant's mapping; name and line numbers are in the errors. */
ORR_CHECKED struct err *otlp_config_parse(const char *name, const struct yaml_node *node,
                                          struct arena *a, struct otlp_override *ret);
/* base as a tenant sees it; o NULL: as it is. */
struct otlp_config otlp_config_merge(const struct otlp_config *base, const struct otlp_override *o);
/* Whether the settings go together. */
ORR_CHECKED struct err *otlp_config_check(const struct otlp_config *c);
/* The mapping again, in one line, for /runtime_config. */
void otlp_config_print(const struct otlp_override *o, struct buf *out);

/* False if there is none of that name. */
bool otlp_config_strategy(struct slice text, enum otlp_strategy *ret);
static inline bool otlp_config_is_utf8(int strategy)
{
    return strategy == OTLP_UTF8_WITH_SUFFIXES || strategy == OTLP_NO_TRANSLATION;
}
