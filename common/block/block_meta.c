#include "common/block/block_meta.h"

#include <stdlib.h>

#include "common/block/json_in.h"

#define META_VERSION 1
#define META_SHARD_LABEL "__compactor_shard_id__" /* Mimir's name, "2_of_4" counting from 1 */

/* Keeps "," between members. */
struct writer {
    struct buf *out;
    bool needs_comma;
    int depth;
};

static void line(struct writer *w)
{
    if (w->needs_comma)
        buf_byte(w->out, ',');
    buf_byte(w->out, '\n');
    buf_fill(w->out, '\t', (size_t)w->depth);
    w->needs_comma = true;
}

static void key(struct writer *w, const char *name)
{
    line(w);
    if (name) {
        buf_json_str(w->out, slice_cstr(name));
        buf_str(w->out, ": ");
    }
}

static void open_in(struct writer *w, const char *name, char bracket)
{
    key(w, name);
    buf_byte(w->out, (uint8_t)bracket);
    w->depth++;
    w->needs_comma = false;
}

static void close_in(struct writer *w, char bracket)
{
    w->depth--;
    w->needs_comma = false;
    line(w);
    buf_byte(w->out, (uint8_t)bracket);
}

static void put_i64(struct writer *w, const char *name, int64_t v)
{
    key(w, name);
    buf_printf(w->out, "%lld", (long long)v);
}

static void put_text(struct writer *w, const char *name, struct slice v)
{
    key(w, name);
    buf_json_str(w->out, v);
}

static void put_ulid(struct writer *w, const char *name, struct ulid u)
{
    put_text(w, name, slice_cstr(ulid_print(u).s));
}

static void put_count(struct writer *w, const char *name, uint64_t v)
{
    if (v) /* absent for 0, as in Go's omitempty */
        put_i64(w, name, (int64_t)v);
}

static void put_texts(struct writer *w, const char *name, const struct slice *v, size_t n)
{
    if (n == 0)
        return;
    open_in(w, name, '[');
    for (size_t i = 0; i < n; i++)
        put_text(w, NULL, v[i]);
    close_in(w, ']');
}

static void put_stats(struct writer *w, const struct block_stats *s)
{
    open_in(w, "stats", '{');
    put_count(w, "numSamples", s->samples);
    put_count(w, "numFloatSamples", s->float_samples);
    put_count(w, "numHistogramSamples", s->histogram_samples);
    put_count(w, "numSeries", s->series);
    put_count(w, "numChunks", s->chunks);
    put_count(w, "numTombstones", s->tombstones);
    close_in(w, '}');
}

static void put_compaction(struct writer *w, const struct block_meta *m)
{
    open_in(w, "compaction", '{');
    put_i64(w, "level", m->level);
    if (m->n_sources) {
        open_in(w, "sources", '[');
        for (size_t i = 0; i < m->n_sources; i++)
            put_ulid(w, NULL, m->sources[i]);
        close_in(w, ']');
    }
    if (m->n_parents) {
        open_in(w, "parents", '[');
        for (size_t i = 0; i < m->n_parents; i++) {
            open_in(w, NULL, '{');
            put_ulid(w, "ulid", m->parents[i].ulid);
            put_i64(w, "minTime", m->parents[i].min_t);
            put_i64(w, "maxTime", m->parents[i].max_t);
            close_in(w, '}');
        }
        close_in(w, ']');
    }
    close_in(w, '}');
}

static void put_segment_files(struct writer *w, const struct block_meta *m)
{
    open_in(w, "segment_files", '[');
    for (size_t i = 0; i < m->n_files; i++)
        if (slice_has_prefix(m->files[i].path, SLICE("chunks/")))
            put_text(w, NULL, slice_from(m->files[i].path, sizeof("chunks/") - 1));
    close_in(w, ']');
}

static void put_files(struct writer *w, const struct block_meta *m)
{
    open_in(w, "files", '[');
    for (size_t i = 0; i < m->n_files; i++) {
        open_in(w, NULL, '{');
        put_text(w, "rel_path", m->files[i].path);
        put_count(w, "size_bytes", m->files[i].bytes);
        close_in(w, '}');
    }
    open_in(w, NULL, '{');
    put_text(w, "rel_path", slice_cstr(BLOCK_META_FILE));
    close_in(w, '}');
    close_in(w, ']');
}

static void put_thanos(struct writer *w, const struct block_meta *m)
{
    open_in(w, "thanos", '{');
    put_i64(w, "version", META_VERSION);
    open_in(w, "labels", '{');
    if (m->shards > 1) {
        key(w, META_SHARD_LABEL);
        buf_printf(w->out, "\"%u_of_%u\"", m->shard + 1, m->shards);
    }
    for (size_t i = 0; i < m->external.n; i++) {
        line(w);
        buf_json_str(w->out, m->external.ptr[i].name);
        buf_str(w->out, ": ");
        buf_json_str(w->out, m->external.ptr[i].value);
    }
    close_in(w, '}');
    open_in(w, "downsample", '{');
    put_i64(w, "resolution", m->resolution_ms);
    close_in(w, '}');
    put_text(w, "source", m->origin);
    put_segment_files(w, m);
    put_files(w, m);
    close_in(w, '}');
}

static void put_own(struct writer *w, const struct block_meta *m)
{
    open_in(w, "orrery", '{');
    put_i64(w, "version", META_VERSION);
    put_text(w, "tenant", m->tenant);
    put_texts(w, "sources", m->segments, m->n_segments);
    if (m->shards > 1) {
        put_i64(w, "shard", m->shard);
        put_i64(w, "shards", m->shards);
    }
    put_texts(w, "sidecars", m->sidecars, m->n_sidecars);
    close_in(w, '}');
}

void block_meta_write(struct buf *out, const struct block_meta *m)
{
    struct writer w = {.out = out, .depth = 1};

    buf_byte(out, '{');
    put_ulid(&w, "ulid", m->ulid);
    put_i64(&w, "minTime", m->min_t);
    put_i64(&w, "maxTime", m->max_t);
    put_stats(&w, &m->stats);
    put_compaction(&w, m);
    put_i64(&w, "version", META_VERSION);
    put_thanos(&w, m);
    put_own(&w, m);
    buf_str(out, "\n}\n");
}

static void parse_stats(struct json_in *j, json_t *doc, struct block_stats *s)
{
    json_t *o = json_in_object(j, doc, "stats", false);

    s->samples = json_in_u64(j, o, "numSamples", false);
    s->float_samples = json_in_u64(j, o, "numFloatSamples", false);
    s->histogram_samples = json_in_u64(j, o, "numHistogramSamples", false);
    s->series = json_in_u64(j, o, "numSeries", false);
    s->chunks = json_in_u64(j, o, "numChunks", false);
    s->tombstones = json_in_u64(j, o, "numTombstones", false);
    /* Written by versions that knew no histograms. */
    if (s->float_samples == 0 && s->histogram_samples == 0)
        s->float_samples = s->samples;
}

static void parse_compaction(struct json_in *j, json_t *doc, struct block_meta *m)
{
    json_t *o = json_in_object(j, doc, "compaction", false), *list;
    struct block_parent *parents;
    int64_t level = json_in_i64(j, o, "level", false);

    if (level < 0 || level > 1000)
        json_in_fail(j, "level");
    m->level = (int)level;
    m->sources = json_in_ulids(j, o, "sources", &m->n_sources);
    list = json_in_list(j, o, "parents", &m->n_parents);
    m->parents = parents = arena_array(j->arena, struct block_parent, m->n_parents);
    for (size_t i = 0; i < m->n_parents; i++) {
        json_t *p = json_array_get(list, i);

        parents[i].ulid = json_in_ulid(j, p, "ulid", true);
        parents[i].min_t = json_in_i64(j, p, "minTime", true);
        parents[i].max_t = json_in_i64(j, p, "maxTime", true);
    }
}

/* The labels of all series: not those with which systems mark a block for themselves, "__…". */
static struct labels external_of(struct json_in *j, json_t *thanos)
{
    struct labels all = json_in_labels(j, thanos, "labels");
    struct label *out = arena_array(j->arena, struct label, all.n);
    size_t n = 0;

    for (size_t i = 0; i < all.n; i++)
        if (!slice_has_prefix(all.ptr[i].name, SLICE("__")))
            out[n++] = all.ptr[i];
    return (struct labels){out, n};
}

/* "2_of_4", strictly. */
static bool parse_shard(struct slice text, struct block_meta *m)
{
    ptrdiff_t at = slice_find(text, SLICE("_of_"), 0);
    uint64_t i, n;

    if (at < 0 || !slice_to_u64(slice_sub(text, 0, (size_t)at), &i) ||
        !slice_to_u64(slice_from(text, (size_t)at + 4), &n) || i < 1 || i > n ||
        n > BLOCK_META_MAX_SHARDS)
        return false;
    m->shard = (uint32_t)(i - 1);
    m->shards = (uint32_t)n;
    return true;
}

bool block_meta_is_time(int64_t t)
{
    return t > INT64_MIN / 4 && t < INT64_MAX / 4;
}

bool block_meta_has_sidecar(const struct block_meta *m, const char *name)
{
    for (size_t i = 0; i < m->n_sidecars; i++)
        if (slice_eq_cstr(m->sidecars[i], name))
            return true;
    return false;
}

static void parse_thanos(struct json_in *j, json_t *doc, struct block_meta *m)
{
    json_t *o = json_in_object(j, doc, "thanos", false);
    json_t *labels = json_in_object(j, o, "labels", false), *list;
    struct slice shard = json_in_text(j, labels, META_SHARD_LABEL, false);
    json_t *downsample = json_in_object(j, o, "downsample", false);
    struct block_file *files;
    size_t n = 0;

    m->origin = json_in_text(j, o, "source", false);
    m->external = external_of(j, o);
    m->resolution_ms = json_in_i64(j, downsample, "resolution", false);
    if (m->resolution_ms < 0)
        json_in_fail(j, "resolution");
    list = json_in_list(j, o, "files", &m->n_files);
    m->files = files = arena_array(j->arena, struct block_file, m->n_files);
    for (size_t k = 0; k < m->n_files; k++) {
        json_t *f = json_array_get(list, k);
        struct slice path = json_in_text(j, f, "rel_path", true);

        if (!json_in_is_path(path))
            json_in_fail(j, "rel_path");
        if (!slice_eq_cstr(path, BLOCK_META_FILE))
            files[n++] = (struct block_file){path, json_in_u64(j, f, "size_bytes", false)};
    }
    m->n_files = n;
    if (shard.len && !parse_shard(shard, m))
        json_in_fail(j, META_SHARD_LABEL);
}

/* Of another system's block the blocks that it was made of stand for segments: of a downsampled one and the measured one beside
 * it they are the same. */
static void take_sources_for_segments(struct arena *a, struct block_meta *m)
{
    struct slice *texts = arena_array(a, struct slice, m->n_sources);

    for (size_t i = 0; i < m->n_sources; i++)
        texts[i] = slice_cstr(arena_strdup(a, ulid_print(m->sources[i]).s));
    m->segments = texts;
    m->n_segments = m->n_sources;
}

static void parse_own(struct json_in *j, json_t *doc, struct block_meta *m)
{
    json_t *o = json_in_object(j, doc, "orrery", false);

    if (!o) {
        if (json_in_object(j, doc, "thanos", false))
            take_sources_for_segments(j->arena, m);
        return;
    }
    m->tenant = json_in_text(j, o, "tenant", false);
    m->segments = json_in_texts(j, o, "sources", &m->n_segments);
    m->sidecars = json_in_texts(j, o, "sidecars", &m->n_sidecars);
    for (size_t i = 0; i < m->n_sidecars; i++)
        if (!json_in_is_path(m->sidecars[i]))
            json_in_fail(j, "sidecars");
}

struct err *block_meta_parse(struct arena *a, struct slice json, struct block_meta *ret)
{
    struct block_meta m = {.tenant = SLICE_EMPTY, .origin = SLICE_EMPTY};
    struct json_in j = {.arena = a};
    int64_t version;
    struct err *e;
    json_t *doc;

    if ((e = json_in_load(json, BLOCK_META_MAX_BYTES, &doc)))
        return err_wrap(e, BLOCK_META_FILE);
    version = json_in_i64(&j, doc, "version", true);
    m.ulid = json_in_ulid(&j, doc, "ulid", true);
    m.min_t = json_in_i64(&j, doc, "minTime", true);
    m.max_t = json_in_i64(&j, doc, "maxTime", true);
    if (!block_meta_is_time(m.min_t) || !block_meta_is_time(m.max_t))
        json_in_fail(&j, "minTime or maxTime");
    parse_stats(&j, doc, &m.stats);
    parse_compaction(&j, doc, &m);
    parse_thanos(&j, doc, &m);
    parse_own(&j, doc, &m);
    json_decref(doc);
    if (j.bad)
        return err_new(ERR_CORRUPT, BLOCK_META_FILE ": member \"%s\" is missing or wrong", j.bad);
    if (version != META_VERSION)
        return err_new(ERR_UNSUPPORTED, BLOCK_META_FILE ": version %lld", (long long)version);
    *ret = m;
    return NULL;
}

static const struct slice *dup_texts(struct arena *a, const struct slice *v, size_t n)
{
    struct slice *out = arena_array(a, struct slice, n);

    for (size_t i = 0; i < n; i++)
        out[i] = arena_dup(a, v[i]);
    return out;
}

struct block_meta block_meta_dup(struct arena *a, const struct block_meta *m)
{
    struct ulid *sources = arena_array(a, struct ulid, m->n_sources);
    struct block_parent *parents = arena_array(a, struct block_parent, m->n_parents);
    struct block_file *files = arena_array(a, struct block_file, m->n_files);
    struct block_meta d = *m;

    for (size_t i = 0; i < m->n_sources; i++)
        sources[i] = m->sources[i];
    for (size_t i = 0; i < m->n_parents; i++)
        parents[i] = m->parents[i];
    for (size_t i = 0; i < m->n_files; i++)
        files[i] = (struct block_file){arena_dup(a, m->files[i].path), m->files[i].bytes};
    d.sources = sources;
    d.parents = parents;
    d.files = files;
    d.origin = arena_dup(a, m->origin);
    d.external = labels_dup(a, m->external);
    d.tenant = arena_dup(a, m->tenant);
    d.segments = dup_texts(a, m->segments, m->n_segments);
    d.sidecars = dup_texts(a, m->sidecars, m->n_sidecars);
    return d;
}

uint64_t block_meta_bytes(const struct block_meta *m)
{
    uint64_t n = 0;

    for (size_t i = 0; i < m->n_files; i++)
        n += m->files[i].bytes;
    return n;
}
