/* otlp/: names and labels as Prometheus translates them, and export requests to a door over HTTP. */
#include "ingester/door/otlp_name.h"
#include "tests/conformance/conformance.h"

static enum otlp_name_type type_of(struct slice type)
{
    if (slice_eq_cstr(type, "gauge"))
        return OTLP_NAME_GAUGE;
    return slice_eq_cstr(type, "monotonic_counter") ? OTLP_NAME_COUNTER : OTLP_NAME_OTHER;
}

static struct err *metric_name(struct conformance *c, struct slice *ret)
{
    struct slice unit = conformance_text(c, "unit");
    enum otlp_strategy strategy;

    if (!otlp_config_strategy(conformance_text(c, "strategy"), &strategy))
        return err_new(ERR_UNSUPPORTED, "no such strategy");
    (void)conformance_check_text(c, "unit_name",
                                 otlp_name_unit(c->arena, otlp_config_is_utf8(strategy), unit),
                                 conformance_text(c, "unit_name"));
    return otlp_name_metric(c->arena, strategy, conformance_text(c, "namespace"),
                            conformance_text(c, "name"), unit, type_of(conformance_text(c, "type")),
                            ret);
}

static struct err *label_name(struct conformance *c, struct slice *ret)
{
    struct otlp_name_labels how = {
        .is_utf8 = conformance_bool(c, "utf8_allowed"),
        .has_key_prefix = conformance_bool(c, "underscore_label_sanitization"),
        .keeps_underscores = conformance_bool(c, "preserve_multiple_underscores"),
    };

    return otlp_name_label(c->arena, &how, conformance_text(c, "name"), ret);
}

CONFORMANCE(otlp, naming_cases)
{
    bool is_metric = slice_eq_cstr(conformance_text(c, "kind"), "metric");
    struct slice got = SLICE_EMPTY;

    if (conformance_check_ok(c, "ok", is_metric ? metric_name(c, &got) : label_name(c, &got),
                             conformance_bool(c, "ok")) &&
        conformance_bool(c, "ok"))
        (void)conformance_check_text(c, "result", got, conformance_text(c, "result"));
}
