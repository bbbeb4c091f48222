/* tsdb-block/: blocks that Prometheus wrote, read by common/block. */
#include <openssl/evp.h>
#include <string.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/block/block_reader.h"
#include "common/lang/promql.h"
#include "common/lang/promql_series.h"
#include "tests/conformance/conformance.h"

struct blocks {
    struct block_reader **ptr;
    size_t n;
};

static void open_blocks(struct conformance *c)
{
    struct blocks *bs = mem_new(struct blocks);
    char *dir = mem_printf("%s/blocks", c->dir);
    char **names;
    struct err *e = fsx_list(dir, &names, &bs->n);

    if (!e) {
        bs->ptr = mem_new_array(struct block_reader *, bs->n + 1);
        for (size_t i = 0; !e && i < bs->n; i++) {
            char *path = mem_printf("%s/%s", dir, names[i]);
            struct block_source *src;

            if (!(e = block_source_dir(path, &src)))
                e = block_reader_open(src, &(struct block_reader_opts){.verify_all = true},
                                      &bs->ptr[i]);
            mem_free(path);
        }
        fsx_names_free(names, bs->n);
    }
    mem_free(dir);
    if (e) { /* every case then says that there are no blocks */
        fprintf(stderr, "%s\n", err_msg(e));
        err_free(e);
        bs->n = 0;
    }
    c->state = bs;
}

/* ---- block_contents ---- */

static const struct block_reader *find_block(struct conformance *c)
{
    struct blocks *bs = c->state;
    struct ulid u;

    if (ulid_parse(conformance_text(c, "ulid"), &u))
        for (size_t i = 0; i < bs->n; i++)
            if (ulid_eq(block_reader_meta(bs->ptr[i])->ulid, u))
                return bs->ptr[i];
    conformance_fail(c, "ulid", "no such block / one");
    return NULL;
}

static void check_block(struct conformance *c, const struct block_reader *r)
{
    const struct block_meta *m = block_reader_meta(r);
    const json_t *symbols = conformance_get(c, "symbols");
    struct block_refs refs;
    size_t n_chunks = 0;

    (void)conformance_check_int(c, "min_time", m->min_t, conformance_int(c, "min_time"));
    (void)conformance_check_int(c, "max_time", m->max_t, conformance_int(c, "max_time"));
    (void)conformance_check_int(c, "samples", (int64_t)m->stats.samples,
                                conformance_int(c, "samples"));
    if (!conformance_check_ok(c, "select",
                              block_reader_select(r, c->arena, (struct matchers){0}, &refs), true))
        return;
    (void)conformance_check_int(c, "series", (int64_t)refs.n, conformance_int(c, "series"));
    for (size_t i = 0; i < refs.n; i++) {
        struct block_reader_series s;

        if (!conformance_check_ok(c, "series", block_reader_series(r, c->arena, refs.ptr[i], &s),
                                  true))
            return;
        n_chunks += s.n_chunks;
    }
    (void)conformance_check_int(c, "chunks", (int64_t)n_chunks, conformance_int(c, "chunks"));
    (void)conformance_check_int(c, "symbols", (int64_t)block_reader_symbol_count(r),
                                (int64_t)json_array_size(symbols));
    for (size_t i = 0; i < json_array_size(symbols); i++)
        (void)conformance_check_text(c, "symbol", block_reader_symbol(r, i),
                                     slice_cstr(json_string_value(json_array_get(symbols, i))));
}

static void check_labels(struct conformance *c, struct labels got)
{
    json_t *o = json_object();

    for (size_t i = 0; i < got.n; i++) {
        char *name = arena_cstr(c->arena, got.ptr[i].name);

        (void)json_object_set_new(
            o, name, json_stringn((const char *)got.ptr[i].value.ptr, got.ptr[i].value.len));
    }
    (void)conformance_check_json(c, "labels", o, conformance_get(c, "labels"));
    json_decref(o);
}

static const char *sample_text(struct conformance *c, const struct chunk_columns *cols, size_t i)
{
    struct buf b = {0};
    char *text;

    if (cols->v)
        return arena_printf(c->arena, "%016llx", (unsigned long long)sample_bits(cols->v[i]));
    promql_histogram_print(&b, &cols->h[i]);
    text = arena_cstr(c->arena, buf_slice(&b));
    buf_done(&b);
    return text;
}

static void check_sample(struct conformance *c, const json_t *want, int64_t t, const char *text)
{
    (void)conformance_check_int(c, "time", t, json_integer_value(json_array_get(want, 0)));
    (void)conformance_check_text(c, "value", slice_cstr(text),
                                 slice_cstr(json_string_value(json_array_get(want, 1))));
}

static void check_chunk(struct conformance *c, const struct block_chunk_meta *m,
                        const struct chunk *chunk, const json_t *want)
{
    (void)conformance_check_int(c, "mint", m->min_t,
                                json_integer_value(json_object_get(want, "mint")));
    (void)conformance_check_int(c, "maxt", m->max_t,
                                json_integer_value(json_object_get(want, "maxt")));
    (void)conformance_check_int(c, "chunk ref", (int64_t)m->ref,
                                json_integer_value(json_object_get(want, "ref")));
    (void)conformance_check_int(c, "chunk samples", (int64_t)chunk_samples(chunk->data),
                                json_integer_value(json_object_get(want, "samples")));
    (void)conformance_check_text(c, "encoding", slice_cstr(chunk_encoding_name(chunk->encoding)),
                                 conformance_text_of(c->arena, want, "encoding"));
}

/* Encoding what was decoded must give the same bytes: Prometheus' encoder and ours agree. */
static void check_encoding(struct conformance *c, const struct chunk *chunk,
                           const struct chunk_columns *cols)
{
    struct buf b = {0};

    if (!cols->v)
        return; /* the layout of histograms depends on the order in which buckets appeared */
    chunk_xor_encode(&b, cols->t, cols->v, cols->n);
    (void)conformance_check_bool(c, "encoded again", slice_eq(buf_slice(&b), chunk->data), true);
    buf_done(&b);
}

static void check_samples(struct conformance *c, const struct chunk *chunks, size_t n)
{
    const json_t *want = conformance_get(c, "samples");
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t count = 0;
    struct buf hex = {0};

    (void)EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    for (size_t i = 0; i < n; i++) {
        struct chunk_columns cols;

        if (!conformance_check_ok(c, "decode",
                                  chunk_decode(c->arena, chunks[i].encoding, chunks[i].data, &cols),
                                  true))
            break;
        check_encoding(c, &chunks[i], &cols);
        for (size_t k = 0; k < cols.n; k++, count++) {
            const char *text = sample_text(c, &cols, k);
            char *line = arena_printf(c->arena, "%lld %s\n", (long long)cols.t[k], text);

            (void)EVP_DigestUpdate(md, line, strlen(line));
            if (want)
                check_sample(c, json_array_get(want, count), cols.t[k], text);
        }
    }
    (void)EVP_DigestFinal_ex(md, digest, NULL);
    EVP_MD_CTX_free(md);
    for (size_t i = 0; i < 32; i++)
        buf_printf(&hex, "%02x", digest[i]);
    (void)conformance_check_int(c, "count", (int64_t)count, conformance_int(c, "count"));
    (void)conformance_check_text(c, "sha256", buf_slice(&hex), conformance_text(c, "sha256"));
    buf_done(&hex);
}

static void check_tombstones(struct conformance *c, const struct block_reader *r, uint32_t ref)
{
    const json_t *want = conformance_get(c, "tombstones");
    size_t n;
    const struct block_interval *in = block_reader_tombstones(r, ref, &n);

    (void)conformance_check_int(c, "tombstones", (int64_t)n, (int64_t)json_array_size(want));
    for (size_t i = 0; i < n && i < json_array_size(want); i++) {
        const json_t *w = json_array_get(want, i);

        (void)conformance_check_int(c, "tombstone", in[i].min_t,
                                    json_integer_value(json_array_get(w, 0)));
        (void)conformance_check_int(c, "tombstone", in[i].max_t,
                                    json_integer_value(json_array_get(w, 1)));
    }
}

static void check_series(struct conformance *c, const struct block_reader *r)
{
    uint32_t ref = (uint32_t)conformance_int(c, "ref");
    const json_t *metas = conformance_get(c, "chunks");
    struct block_reader_series s;
    struct chunk *chunks;

    if (!conformance_check_ok(c, "series", block_reader_series(r, c->arena, ref, &s), true))
        return;
    check_labels(c, s.labels);
    if (!conformance_check_int(c, "chunks", (int64_t)s.n_chunks, (int64_t)json_array_size(metas)))
        return;
    chunks = arena_array(c->arena, struct chunk, s.n_chunks);
    if (!conformance_check_ok(c, "chunks",
                              block_reader_chunks(r, c->arena, s.chunks, s.n_chunks, chunks), true))
        return;
    for (size_t i = 0; i < s.n_chunks; i++)
        check_chunk(c, &s.chunks[i], &chunks[i], json_array_get(metas, i));
    check_samples(c, chunks, s.n_chunks);
    check_tombstones(c, r, ref);
}

CONFORMANCE(tsdb_block, block_contents, .setup = open_blocks)
{
    const struct block_reader *r = find_block(c);

    if (!r)
        return;
    if (slice_eq(conformance_text(c, "kind"), SLICE("block")))
        check_block(c, r);
    else
        check_series(c, r);
}

/* ---- select_cases ---- */

/* A set of texts, as a JSON object so that two may be compared in any order. */
static void add_names(json_t *set, const struct block_names *names)
{
    for (size_t i = 0; i < names->n; i++) {
        char *s = slice_dup(names->ptr[i]);

        (void)json_object_set_new(set, s, json_true());
        mem_free(s);
    }
}

static void check_set(struct conformance *c, const char *what, const json_t *got,
                      const json_t *want_list)
{
    json_t *want = json_object();

    for (size_t i = 0; i < json_array_size(want_list); i++) {
        const json_t *w = json_array_get(want_list, i);
        char *text = json_is_string(w) ? NULL : json_dumps(w, JSON_SORT_KEYS | JSON_COMPACT);

        (void)json_object_set_new(want, text ? text : json_string_value(w), json_true());
        free(text);
    }
    (void)conformance_check_json(c, what, got, want);
    json_decref(want);
}

/* Whether the series has a sample in the range that is not deleted. */
static struct err *has_sample(struct conformance *c, const struct block_reader *r, uint32_t ref,
                              int64_t mint, int64_t maxt, struct block_reader_series *s, bool *ret)
{
    struct chunk *chunks;
    struct err *e;
    size_t n;
    const struct block_interval *in = block_reader_tombstones(r, ref, &n);

    *ret = false;
    if ((e = block_reader_series(r, c->arena, ref, s)))
        return e;
    chunks = arena_array(c->arena, struct chunk, s->n_chunks);
    if ((e = block_reader_chunks(r, c->arena, s->chunks, s->n_chunks, chunks)))
        return e;
    for (size_t i = 0; i < s->n_chunks; i++) {
        struct chunk_columns cols;

        if ((e = chunk_decode(c->arena, chunks[i].encoding, chunks[i].data, &cols)))
            return e;
        for (size_t k = 0; k < cols.n; k++) {
            bool is_deleted = false;

            for (size_t j = 0; j < n; j++)
                is_deleted |= cols.t[k] >= in[j].min_t && cols.t[k] <= in[j].max_t;
            *ret |= cols.t[k] >= mint && cols.t[k] <= maxt && !is_deleted;
        }
    }
    return NULL;
}

static struct err *add_series(struct conformance *c, const struct block_reader *r,
                              struct matchers ms, int64_t mint, int64_t maxt, json_t *set)
{
    struct block_refs refs;
    struct err *e = block_reader_select_range(r, c->arena, ms, mint, maxt, &refs);

    for (size_t i = 0; !e && i < refs.n; i++) {
        struct block_reader_series s;
        json_t *o;
        char *text;
        bool has;

        if ((e = has_sample(c, r, refs.ptr[i], mint, maxt, &s, &has)) || !has)
            continue;
        o = json_object();
        for (size_t k = 0; k < s.labels.n; k++) {
            struct label l = s.labels.ptr[k];

            (void)json_object_set_new(o, arena_cstr(c->arena, l.name),
                                      json_stringn((const char *)l.value.ptr, l.value.len));
        }
        text = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);
        (void)json_object_set_new(set, text, json_true());
        free(text);
        json_decref(o);
    }
    return e;
}

static struct err *add_labels(struct conformance *c, const struct block_reader *r,
                              struct matchers ms, json_t *names, json_t *values)
{
    struct block_names found;
    struct block_refs refs;
    const char *name;
    json_t *set;
    struct err *e;

    if ((e = block_reader_select(r, c->arena, ms, &refs)) ||
        (e = block_reader_names_of(r, c->arena, refs, &found)))
        return e;
    add_names(names, &found);
    json_object_foreach(values, name, set)
    {
        if ((e = block_reader_values_of(r, c->arena, refs, slice_cstr(name), &found)))
            return e;
        add_names(set, &found);
    }
    return NULL;
}

CONFORMANCE(tsdb_block, select_cases, .setup = open_blocks)
{
    struct blocks *bs = c->state;
    int64_t mint = conformance_int(c, "mint"), maxt = conformance_int(c, "maxt");
    json_t *series = json_object(), *names = json_object(), *values = json_object();
    const json_t *want = conformance_get(c, "label_values"), *list;
    struct matchers ms = {0};
    const char *name;
    struct err *e = promql_parse_selector(c->arena, conformance_text(c, "selector"), &ms);

    json_object_foreach((json_t *)want, name, list)(void)
        json_object_set_new(values, name, json_object());
    for (size_t i = 0; !e && i < bs->n; i++) {
        const struct block_meta *m = block_reader_meta(bs->ptr[i]);

        if (m->min_t > maxt || m->max_t <= mint)
            continue;
        if (!(e = add_series(c, bs->ptr[i], ms, mint, maxt, series)))
            e = add_labels(c, bs->ptr[i], ms, names, values);
    }
    if (conformance_check_ok(c, "select", e, true)) {
        check_set(c, "series", series, conformance_get(c, "series"));
        check_set(c, "label_names", names, conformance_get(c, "label_names"));
        json_object_foreach((json_t *)want, name, list)
            check_set(c, name, json_object_get(values, name), list);
    }
    matchers_done(ms);
    json_decref(series);
    json_decref(names);
    json_decref(values);
}
