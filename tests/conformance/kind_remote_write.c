/* remote-write/: a POST of each case to the door over HTTP, and what the head then holds. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "tests/conformance/conformance.h"
#include "tests/conformance/stored.h"
#include "tests/unit/ingester/door_fixture.h"

struct store {
    struct door_fixture f;
    bool is_open;
};

static struct store the_store;
static char store_dir[] = "/tmp/orrery-remote-write-XXXXXX";

static void remove_store(void)
{
    err_free(fsx_remove_tree(store_dir));
}

static void open_store(struct conformance *c)
{
    struct err *e = mkdtemp(store_dir) ? NULL : err_errno(ERR_IO, "mkdtemp");

    if (!e)
        e = door_fixture_open(&the_store.f, store_dir, "");
    the_store.is_open = e == NULL;
    if (e)
        fprintf(stderr, "%s\n", err_msg(e));
    err_free(e);
    /* The child ends without taking the store down: its files are all that stays. */
    (void)atexit(remove_store);
    c->state = &the_store;
}

/* ---- the request ---- */

static bool post(struct conformance *c, const char *tenant, struct http_client_reply *ret)
{
    const json_t *headers = conformance_get(c, "headers"), *value;
    VEC(const char *) lines = {0};
    const char *name;
    bool has_type = false, ok;

    vec_push(&lines, arena_printf(c->arena, "X-Scope-OrgID: %s", tenant));
    json_object_foreach((json_t *)headers, name, value)
    {
        has_type |= slice_eq_nocase(slice_cstr(name), SLICE("Content-Type"));
        vec_push(&lines, arena_printf(c->arena, "%s: %s", name, json_string_value(value)));
    }
    if (!has_type)
        vec_push(&lines, "Content-Type:"); /* libcurl would add one of its own */
    ok = conformance_check_ok(c, "post",
                              door_fixture_post(&the_store.f, "/api/v1/push", lines.ptr, lines.len,
                                                conformance_text(c, "body"), ret),
                              true);
    vec_done(&lines);
    return ok;
}

static void check_headers(struct conformance *c, const struct http_client_reply *r)
{
    const json_t *want = conformance_get(c, "response_headers"), *value;
    const char *name;

    json_object_foreach((json_t *)want, name, value)(void) conformance_check_text(
        c, name, http_client_reply_header(r, name), slice_cstr(json_string_value(value)));
    for (size_t i = 0; i < r->header_count; i++) {
        char *got = arena_cstr(c->arena, r->headers[i].name);

        if (strncasecmp(got, "X-Prometheus-", 13) == 0 && !json_object_get(want, got))
            conformance_fail(c, got, "present / absent");
    }
}

CONFORMANCE(remote_write, cases, .setup = open_store, .time_limit_s = 30)
{
    struct http_client_reply r = {0};
    int64_t status = conformance_int(c, "status");
    bool is_partial =
        status / 100 == 2 && conformance_int(c, "stored_count") < conformance_int(c, "submitted");
    json_t *got;

    if (!the_store.is_open) {
        conformance_fail(c, "store", "could not be opened / open");
        return;
    }
    if (!post(c, c->id, &r))
        return;
    if (!is_partial) {
        (void)conformance_check_int(c, "status", r.status, status);
        check_headers(c, &r);
    }
    http_client_reply_done(&r);
    got = stored_json(c, the_store.f.head, c->id);
    (void)conformance_check_text(c, "stored", slice_cstr(stored_sorted(c, got)),
                                 slice_cstr(stored_sorted(c, conformance_get(c, "stored"))));
    json_decref(got);
}
