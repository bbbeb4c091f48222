/* tsdb-block/query_cases: the engine over the samples of the real blocks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/block/block_merge.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "querier/engine/result_json.h"
#include "tests/conformance/conformance.h"

#define QUERY_TOLERANCE 1e-9

struct state {
    struct engine *engine;
    struct memstore *store;
};

static struct err *load_series(struct memstore *store, const struct block_series *s)
{
    struct arena *a = arena_new(0);
    struct err *e = NULL;

    for (size_t i = 0; !e && i < s->n_chunks; i++) {
        struct chunk_columns c;

        if ((e = chunk_decode(a, s->chunks[i].encoding, s->chunks[i].data, &c)))
            break;
        for (size_t k = 0; k < c.n; k++)
            memstore_add(store, s->labels, c.t[k], c.v ? c.v[k] : 0, c.h ? &c.h[k] : NULL, 0);
    }
    arena_free(a);
    return e;
}

static struct err *load_block(struct memstore *store, const char *path)
{
    struct block_stream *stream;
    struct block_reader *r;
    struct block_series s;
    bool more = true;
    struct err *e;

    if ((e = block_reader_open_dir(path, &r)))
        return e;
    stream = block_stream_of_reader(r); /* leaves out what tombstones delete */
    while (!e && more)
        if (!(e = stream->ops->next(stream, &s, &more)) && more)
            e = load_series(store, &s);
    block_stream_close(stream);
    block_reader_close(r);
    return e;
}

static void load_blocks(struct conformance *c)
{
    struct state *st = mem_new(struct state);
    char *dir = mem_printf("%s/blocks", c->dir), **names;
    struct err *e;
    size_t n;

    st->engine = engine_new(&(struct engine_opts){.has_experimental = true});
    st->store = memstore_new();
    if (!(e = fsx_list(dir, &names, &n))) {
        for (size_t i = 0; !e && i < n; i++) {
            char *path = mem_printf("%s/%s", dir, names[i]);

            e = load_block(st->store, path);
            mem_free(path);
        }
        fsx_names_free(names, n);
    }
    if (e)
        fprintf(stderr, "%s\n", err_msg(e));
    err_free(e);
    mem_free(dir);
    c->state = st;
}

/* ---- answers, compared with a tolerance ---- */

static bool near(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= QUERY_TOLERANCE * fmax(fabs(a), fabs(b));
}

static bool same_value(const json_t *a, const json_t *b);

static bool same_list(const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!same_value(json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

static bool same_object(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;

    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, v)
    {
        const json_t *w = json_object_get(b, key);

        if (!w || !(strcmp(key, "metric") == 0 ? json_equal(v, w) : same_value(v, w)))
            return false;
    }
    return true;
}

static bool same_value(const json_t *a, const json_t *b)
{
    double x, y;

    if (json_is_number(a) && json_is_number(b))
        return near(json_number_value(a), json_number_value(b));
    if (json_is_array(a) && json_is_array(b))
        return same_list(a, b);
    if (json_is_object(a) && json_is_object(b))
        return same_object(a, b);
    if (json_is_string(a) && json_is_string(b) && num_parse(slice_cstr(json_string_value(a)), &x) &&
        num_parse(slice_cstr(json_string_value(b)), &y))
        return near(x, y);
    return json_equal(a, b);
}

static const json_t *with_metric(const json_t *list, const json_t *metric)
{
    size_t i;
    json_t *v;

    json_array_foreach((json_t *)list, i,
                       v) if (json_equal(json_object_get(v, "metric"), metric)) return v;
    return NULL;
}

static void check_series(struct conformance *c, const json_t *got, const json_t *want)
{
    size_t i;
    json_t *w;

    json_array_foreach((json_t *)want, i, w)
    {
        const json_t *g = with_metric(got, json_object_get(w, "metric"));
        char *x, *y;

        if (g && same_value(g, w))
            continue;
        x = g ? json_dumps(g, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        y = json_dumps(w, JSON_COMPACT | JSON_SORT_KEYS);
        conformance_fail(c, "series", "%s / %s", x ? x : "none", y);
        free(x);
        free(y);
        return;
    }
    (void)conformance_check_int(c, "number of series", (int64_t)json_array_size(got),
                                (int64_t)json_array_size(want));
}

static void check_data(struct conformance *c, const struct engine_result *r)
{
    const json_t *want = conformance_get(c, "data");
    const json_t *result = json_object_get(want, "result");
    struct buf b = {0};
    json_t *got;

    result_json_data(&b, r);
    got = json_loadb((const char *)b.ptr, b.len, 0, NULL);
    if (!got) {
        conformance_fail(c, "json", "%.*s / JSON", SLICE_ARG(buf_slice(&b)));
    } else {
        const json_t *have = json_object_get(got, "result");

        (void)conformance_check_json(c, "resultType", json_object_get(got, "resultType"),
                                     json_object_get(want, "resultType"));
        if (r->type == ENGINE_VECTOR || r->type == ENGINE_MATRIX)
            check_series(c, have, result);
        else
            (void)conformance_check_bool(c, "result", same_value(have, result), true);
        json_decref(got);
    }
    (void)conformance_check_bool(c, "warnings", r->n_warnings > 0, conformance_bool(c, "warnings"));
    (void)conformance_check_bool(c, "infos", r->n_infos > 0, conformance_bool(c, "infos"));
    buf_done(&b);
}

CONFORMANCE(tsdb_block, query_cases, .setup = load_blocks)
{
    struct state *st = c->state;
    struct engine_query q = {.expr = conformance_text(c, "query")};
    struct engine_result r = {0};
    struct err *e;
    bool is_ok;

    q.start_ms = q.end_ms = conformance_int(c, "start");
    if (conformance_has(c, "end")) {
        q.end_ms = conformance_int(c, "end");
        q.step_ms = conformance_int(c, "step_ms");
    }
    e = engine_query(st->engine, &q, memstore_storage(st->store), c->arena, &r);
    is_ok = !e;
    if (err_is(e, ERR_UNSUPPORTED)) {
        conformance_skip(c, "%s", err_msg(e));
        err_free(e);
        return;
    }
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        check_data(c, &r);
}
