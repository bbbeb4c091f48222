/* loki-push/: bodies of pushes and of OTLP logs, by their headers, into a batch as a decoder sees
 * it: without limits, service names and levels. The batch is read back from its bytes. */
#include "ingester/door/log_request.h"
#include "tests/conformance/conformance.h"

#define MAX_BODY_BYTES (64u << 20)

static struct slice header(struct conformance *c, const char *name)
{
    const json_t *v = json_object_get(conformance_get(c, "headers"), name);

    return slice_cstr(json_string_value(v));
}

static enum log_request_kind kind_of(struct conformance *c)
{
    if (slice_eq_cstr(conformance_text(c, "kind"), "otlp"))
        return LOG_REQUEST_OTLP;
    return slice_eq_cstr(conformance_text(c, "path"), "/api/prom/push") ? LOG_REQUEST_LEGACY
                                                                        : LOG_REQUEST_LOKI;
}

static json_t *text(struct slice s)
{
    return json_stringn_nocheck((const char *)s.ptr, s.len);
}

static json_t *object(struct labels ls)
{
    json_t *o = json_object();

    for (size_t i = 0; i < ls.n; i++)
        (void)json_object_setn_new_nocheck(o, (const char *)ls.ptr[i].name.ptr, ls.ptr[i].name.len,
                                           text(ls.ptr[i].value));
    return o;
}

static json_t *entry_json(const struct log_entry *e)
{
    json_t *list = json_array();

    (void)json_array_append_new(list, json_sprintf("%lld", (long long)e->t_ns));
    (void)json_array_append_new(list, text(e->line));
    if (e->n_metadata)
        (void)json_array_append_new(list, object((struct labels){e->metadata, e->n_metadata}));
    return list;
}

/* Labels as text → entries. */
static json_t *entries_of(json_t *streams, json_t *labels)
{
    char *key = json_dumps(labels, JSON_SORT_KEYS | JSON_COMPACT);
    json_t *list = json_object_get(streams, key);

    if (!list) {
        list = json_array();
        (void)json_object_set_new(streams, key, list);
    }
    free(key);
    json_decref(labels);
    return list;
}

/* What the batch's bytes say. */
static json_t *stored(struct conformance *c, const struct log_batch *batch)
{
    struct log_batch_reader r;
    struct log_batch_head head;
    struct log_entry e;
    struct buf bytes = {0};
    json_t *ret = json_object();

    log_batch_encode(batch, NULL, 0, true, &bytes);
    log_batch_reader_init(&r, c->arena, buf_slice(&bytes));
    while (log_batch_next_stream(&r, &head)) {
        struct labels ls;

        if (!labels_of_canonical(c->arena, head.labels, &ls))
            conformance_fail(c, "labels", "not canonical / canonical");
        while (log_batch_next_entry(&r, &e))
            (void)json_array_append_new(entries_of(ret, object(ls)), entry_json(&e));
    }
    (void)conformance_check_ok(c, "batch", log_batch_reader_end(&r), true);
    buf_done(&bytes);
    return ret;
}

/* The same of a case; streams without entries are none. */
static json_t *expected(struct conformance *c)
{
    const json_t *streams = conformance_get(c, "streams");
    json_t *ret = json_object();

    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *s = json_array_get(streams, i), *entries = json_object_get(s, "entries");

        for (size_t k = 0; k < json_array_size(entries); k++)
            (void)json_array_append(entries_of(ret, json_deep_copy(json_object_get(s, "labels"))),
                                    json_array_get(entries, k));
    }
    return ret;
}

CONFORMANCE(loki_push, cases)
{
    struct tenant_limits limits = {.generation = 1};
    struct log_batch *batch = log_batch_new(SLICE("t"), &limits);
    struct log_request q = {.kind = kind_of(c),
                            .content_type = header(c, "Content-Type"),
                            .content_encoding = header(c, "Content-Encoding"),
                            .body = conformance_text(c, "body"),
                            .max_body_bytes = MAX_BODY_BYTES};
    struct log_builder b;
    struct err *e;

    log_builder_init(&b, batch, NULL, 0);
    b.is_lax = true;
    e = log_request_decode(&b, &q);
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && conformance_bool(c, "ok")) {
        json_t *got = stored(c, batch), *want = expected(c);

        (void)conformance_check_json(c, "streams", got, want);
        json_decref(got);
        json_decref(want);
    }
    log_batch_free(batch);
}
