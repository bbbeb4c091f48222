#include "tests/conformance/stored.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/block/chunk.h"
#include "common/lang/promql_series.h"

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

json_t *stored_json(struct conformance *c, struct head *head, const char *tenant)
{
    struct head_query q = {.tenant = slice_cstr(tenant), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_exemplars *xs = NULL;
    struct head_series s;
    struct head_set *set;
    json_t *list = json_array();
    size_t n = 0;

    if (!conformance_check_ok(c, "select", head_select(head, &q, &set), true))
        return list;
    (void)conformance_check_ok(c, "exemplars", head_exemplars_list(head, &q, c->arena, &xs, &n),
                               true);
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

char *stored_sorted(struct conformance *c, const json_t *list)
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
