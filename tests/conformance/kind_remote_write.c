/* remote-write/: a POST of each case to the door over HTTP, and what the head then holds. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "common/block/chunk.h"
#include "common/lang/promql_series.h"
#include "tests/conformance/conformance.h"
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

/* ---- what is stored, as JSON of the cases' shape ---- */

static json_t *labels_object(struct conformance *c, struct labels ls)
{
    json_t *o = json_object();

    for (size_t i = 0; i < ls.n; i++)
        json_object_set_new(o, arena_cstr(c->arena, ls.ptr[i].name),
                            json_stringn((const char *)ls.ptr[i].value.ptr, ls.ptr[i].value.len));
    return o;
}

static json_t *value_text(double v)
{
    struct buf b = {0};
    json_t *s;

    buf_f64_text(&b, v);
    s = json_stringn((const char *)b.ptr, b.len);
    buf_done(&b);
    return s;
}

static json_t *sample_json(int64_t t_ms, double v)
{
    json_t *s = json_array();
    char bits[17];

    json_array_append_new(s, json_integer(t_ms));
    json_array_append_new(s, value_text(v));
    if (v != v) {
        (void)snprintf(bits, sizeof(bits), "%016llx", (unsigned long long)sample_bits(v));
        json_array_append_new(s, json_string(bits));
    }
    return s;
}

static json_t *histogram_json(int64_t t_ms, const struct histogram *h, bool is_int)
{
    struct histogram plain = *h;
    struct buf b = {0};
    json_t *s = json_array();

    /* Hints of counters follow from where chunks begin; only a gauge's is the sender's. */
    if (plain.hint != HISTOGRAM_GAUGE)
        plain.hint = HISTOGRAM_UNKNOWN;
    promql_histogram_print(&b, &plain);
    json_array_append_new(s, json_integer(t_ms));
    json_array_append_new(s, json_string(is_int ? "int" : "float"));
    json_array_append_new(s, json_stringn((const char *)b.ptr, b.len));
    buf_done(&b);
    return s;
}

static void add_chunk(struct conformance *c, const struct head_chunk *k, json_t *samples,
                      json_t *histograms)
{
    struct chunk_columns col;

    if (!conformance_check_ok(c, "chunk", chunk_decode(c->arena, k->encoding, k->data, &col), true))
        return;
    for (size_t i = 0; i < col.n; i++)
        if (col.h)
            json_array_append_new(
                histograms, histogram_json(col.t[i], &col.h[i], k->encoding == CHUNK_HISTOGRAM));
        else
            json_array_append_new(samples, sample_json(col.t[i], col.v[i]));
}

static json_t *exemplars_json(struct conformance *c, const struct head_exemplars *xs, size_t n,
                              struct labels of)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; labels_eq(xs[i].labels, of) && k < xs[i].n; k++) {
            json_t *x = json_object();

            json_object_set_new(x, "labels", labels_object(c, xs[i].ptr[k].labels));
            json_object_set_new(x, "ts", json_integer(xs[i].ptr[k].t_ms));
            json_object_set_new(x, "v", value_text(xs[i].ptr[k].value));
            json_array_append_new(list, x);
        }
    return list;
}

static void set_unless_empty(json_t *o, const char *key, json_t *list)
{
    if (json_array_size(list))
        json_object_set(o, key, list);
    json_decref(list);
}

static json_t *stored(struct conformance *c, const char *tenant)
{
    struct head_query q = {.tenant = slice_cstr(tenant), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_exemplars *xs = NULL;
    struct head_series s;
    struct head_set *set;
    json_t *list = json_array();
    size_t n = 0;

    if (!conformance_check_ok(c, "select", head_select(the_store.f.head, &q, &set), true))
        return list;
    (void)conformance_check_ok(c, "exemplars",
                               head_exemplars_list(the_store.f.head, &q, c->arena, &xs, &n), true);
    while (head_set_next(set, &s)) {
        json_t *o = json_object(), *samples = json_array(), *histograms = json_array();

        json_object_set_new(o, "labels", labels_object(c, s.labels));
        for (size_t i = 0; i < s.n_chunks; i++)
            add_chunk(c, &s.chunks[i], samples, histograms);
        set_unless_empty(o, "samples", samples);
        set_unless_empty(o, "histograms", histograms);
        set_unless_empty(o, "exemplars", exemplars_json(c, xs, n, s.labels));
        json_array_append_new(list, o);
    }
    (void)conformance_check_ok(c, "select", head_set_close(set), true);
    return list;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Series in any order. */
static char *sorted_text(struct conformance *c, const json_t *list)
{
    size_t n = json_array_size(list);
    char **texts = arena_array(c->arena, char *, n + 1);
    struct buf all = {0};
    char *ret;

    for (size_t i = 0; i < n; i++)
        texts[i] = json_dumps(json_array_get(list, i), JSON_COMPACT | JSON_SORT_KEYS);
    qsort(texts, n, sizeof(*texts), by_text);
    for (size_t i = 0; i < n; i++) {
        buf_str(&all, texts[i]);
        free(texts[i]);
    }
    ret = arena_cstr(c->arena, buf_slice(&all));
    buf_done(&all);
    return ret;
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
    got = stored(c, c->id);
    (void)conformance_check_text(c, "stored", slice_cstr(sorted_text(c, got)),
                                 slice_cstr(sorted_text(c, conformance_get(c, "stored"))));
    json_decref(got);
}
