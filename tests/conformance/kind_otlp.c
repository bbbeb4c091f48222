/* otlp/: names as Prometheus translates them, and export requests to a door over HTTP. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "ingester/door/otlp_name.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/stored.h"
#include "tests/unit/ingester/door_fixture.h"

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

/* ---- requests ---- */

/* A store that lives for all cases: each is a tenant, with its settings in the overrides file. */
struct store {
    struct door_fixture f;
    bool is_open;
};

static struct store the_store;
static char store_dir[] = "/tmp/orrery-otlp-XXXXXX";

static void remove_store(void)
{
    err_free(fsx_remove_tree(store_dir));
}

static char *overrides_path(struct conformance *c)
{
    return arena_printf(c->arena, "%s/overrides.yaml", store_dir);
}

static struct err *write_overrides(struct conformance *c, struct slice text)
{
    return fsx_write_atomic(overrides_path(c), text);
}

static void open_store(struct conformance *c)
{
    struct err *e = mkdtemp(store_dir) ? NULL : err_errno(ERR_IO, "mkdtemp");

    if (!e)
        e = write_overrides(c, SLICE("overrides: {}\n"));
    if (!e)
        e = door_fixture_open(
            &the_store.f, store_dir,
            arena_printf(c->arena, "limits: {overrides-file: %s}\n", overrides_path(c)));
    the_store.is_open = e == NULL;
    if (e)
        fprintf(stderr, "%s\n", err_msg(e));
    err_free(e);
    (void)atexit(remove_store);
}

/* otlp_config is YAML below "otlp:". */
static bool set_config(struct conformance *c)
{
    struct slice rest = conformance_text(c, "otlp_config"), line;
    struct buf yaml = {0};
    bool ok;

    buf_printf(&yaml, "overrides:\n  %s:\n    otlp:\n", c->id);
    while (slice_split(&rest, '\n', &line))
        buf_printf(&yaml, "      %.*s\n", SLICE_ARG(line));
    ok = conformance_check_ok(c, "overrides", write_overrides(c, buf_slice(&yaml)), true) &&
         conformance_check_ok(c, "overrides", limits_poll(the_store.f.limits, NULL), true);
    buf_done(&yaml);
    return ok;
}

CONFORMANCE(otlp, metrics_cases, .setup = open_store, .time_limit_s = 30)
{
    struct http_client_reply r = {0};
    const char *headers[2];
    json_t *got;

    if (!the_store.is_open) {
        conformance_fail(c, "store", "could not be opened / open");
        return;
    }
    headers[0] = arena_printf(c->arena, "X-Scope-OrgID: %s", c->id);
    headers[1] = arena_printf(c->arena, "Content-Type: %.*s",
                              SLICE_ARG(conformance_text(c, "content_type")));
    if (!set_config(c) ||
        !conformance_check_ok(c, "post",
                              door_fixture_post(&the_store.f, "/api/v1/otlp/v1/metrics", headers, 2,
                                                conformance_text(c, "body"), &r),
                              true))
        return;
    (void)conformance_check_int(c, "status", r.status, conformance_int(c, "status"));
    http_client_reply_done(&r);
    got = stored_json(c, the_store.f.head, c->id);
    (void)conformance_check_text(c, "stored", slice_cstr(stored_sorted(c, got)),
                                 slice_cstr(stored_sorted(c, conformance_get(c, "stored"))));
    json_decref(got);
}
