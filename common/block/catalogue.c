#include "common/block/catalogue.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_summary.h"
#include "common/block/catalogue_internal.h"
#include "common/block/json_in.h"

#define CATALOGUE_FORMAT 1
#define CATALOGUE_CRC_MEMBER ",\"crc\":\"" /* what the checksum does not cover begins here */
#define CATALOGUE_CRC_TAIL (sizeof(CATALOGUE_CRC_MEMBER) - 1 + 8 + 3) /* 8 digits and "}\n */

/* What a block named that has expired. */
struct expired {
    int64_t at_ms;
    const struct slice *segments;
    size_t n_segments;
};

struct catalogue {
    struct arena *arena; /* of all texts; what is removed stays until the end */
    uint64_t version;
    struct slice signal, tenant;
    VEC(struct catalogue_block) blocks; /* by min_t, ulid */
    VEC(struct catalogue_retired) retired;
    VEC(struct expired) expired; /* in the order of their time */
};

struct catalogue *catalogue_new(struct slice signal, struct slice tenant)
{
    struct catalogue *c = mem_new(struct catalogue);

    c->arena = arena_new(0);
    c->signal = arena_dup(c->arena, signal);
    c->tenant = arena_dup(c->arena, tenant);
    return c;
}

void catalogue_free(struct catalogue *c)
{
    if (!c)
        return;
    vec_done(&c->blocks);
    vec_done(&c->retired);
    vec_done(&c->expired);
    arena_free(c->arena);
    mem_free(c);
}

uint64_t catalogue_version(const struct catalogue *c)
{
    return c->version;
}

void catalogue_bump(struct catalogue *c)
{
    c->version++;
}

void catalogue_raise(struct catalogue *c, uint64_t at_least)
{
    c->version = ORR_MAX(c->version, at_least);
}

struct slice catalogue_signal(const struct catalogue *c)
{
    return c->signal;
}

struct slice catalogue_tenant(const struct catalogue *c)
{
    return c->tenant;
}

const struct catalogue_block *catalogue_blocks(const struct catalogue *c, size_t *ret_n)
{
    *ret_n = c->blocks.len;
    return c->blocks.ptr;
}

const struct catalogue_retired *catalogue_retired(const struct catalogue *c, size_t *ret_n)
{
    *ret_n = c->retired.len;
    return c->retired.ptr;
}

static size_t find(const struct catalogue *c, struct ulid ulid)
{
    size_t i = 0;

    while (i < c->blocks.len && !ulid_eq(c->blocks.ptr[i].ulid, ulid))
        i++;
    return i;
}

const struct catalogue_block *catalogue_find(const struct catalogue *c, struct ulid ulid)
{
    size_t i = find(c, ulid);

    return i < c->blocks.len ? &c->blocks.ptr[i] : NULL;
}

static bool is_among(const struct slice *segments, size_t n, struct slice segment)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(segments[i], segment))
            return true;
    return false;
}

bool catalogue_has_segment(const struct catalogue *c, struct slice segment)
{
    VEC_FOREACH (b, &c->blocks)
        if (is_among(b->segments, b->n_segments, segment))
            return true;
    VEC_FOREACH (x, &c->expired)
        if (is_among(x->segments, x->n_segments, segment))
            return true;
    return false;
}

static bool is_before(const struct catalogue_block *a, const struct catalogue_block *b)
{
    return a->min_t != b->min_t ? a->min_t < b->min_t : ulid_cmp(a->ulid, b->ulid) < 0;
}

static void remove_at(struct catalogue *c, size_t i)
{
    memmove(&c->blocks.ptr[i], &c->blocks.ptr[i + 1],
            (c->blocks.len - i - 1) * sizeof(*c->blocks.ptr));
    c->blocks.len--;
}

static const struct slice *copy_texts(struct catalogue *c, const struct slice *texts, size_t n)
{
    struct slice *copy = arena_array(c->arena, struct slice, n);

    for (size_t i = 0; i < n; i++)
        copy[i] = arena_dup(c->arena, texts[i]);
    return copy;
}

void catalogue_add(struct catalogue *c, const struct catalogue_block *b)
{
    struct catalogue_block copy = *b;
    size_t at = find(c, b->ulid);

    copy.segments = copy_texts(c, b->segments, b->n_segments);
    copy.dir = arena_dup(c->arena, b->dir);
    copy.labels = labels_dup(c->arena, b->labels);
    copy.origin.zone = arena_dup(c->arena, b->origin.zone);
    copy.origin.instance = arena_dup(c->arena, b->origin.instance);
    if (at < c->blocks.len)
        remove_at(c, at);
    vec_push(&c->blocks, copy);
    for (at = c->blocks.len - 1; at > 0 && is_before(&copy, &c->blocks.ptr[at - 1]); at--)
        c->blocks.ptr[at] = c->blocks.ptr[at - 1];
    c->blocks.ptr[at] = copy;
}

bool catalogue_retire(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    size_t i = find(c, ulid);
    struct catalogue_retired r = {.ulid = ulid, .at_ms = at_ms};

    if (i == c->blocks.len)
        return false;
    r.dir = c->blocks.ptr[i].dir;
    remove_at(c, i);
    vec_push(&c->retired, r);
    return true;
}

bool catalogue_is_retired(const struct catalogue *c, struct ulid ulid)
{
    for (size_t i = 0; i < c->retired.len; i++)
        if (ulid_eq(c->retired.ptr[i].ulid, ulid))
            return true;
    return false;
}

bool catalogue_retire_orphan(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    return catalogue_retire_again(c, &(struct catalogue_retired){.ulid = ulid, .at_ms = at_ms});
}

bool catalogue_retire_again(struct catalogue *c, const struct catalogue_retired *r)
{
    struct catalogue_retired copy = *r;

    if (find(c, r->ulid) < c->blocks.len || catalogue_is_retired(c, r->ulid))
        return false;
    copy.dir = arena_dup(c->arena, r->dir);
    vec_push(&c->retired, copy);
    return true;
}

bool catalogue_forget(struct catalogue *c, struct ulid ulid)
{
    for (size_t i = 0; i < c->retired.len; i++)
        if (ulid_eq(c->retired.ptr[i].ulid, ulid)) {
            vec_remove_swap(&c->retired, i);
            return true;
        }
    return false;
}

/* ---- what has expired ---- */

static void forget_first_expired(struct catalogue *c, size_t n)
{
    c->expired.len -= n;
    memmove(c->expired.ptr, c->expired.ptr + n, c->expired.len * sizeof(*c->expired.ptr));
}

static int by_expiry(const void *a, const void *b)
{
    const struct expired *x = a, *y = b;

    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static bool is_by_expiry(const struct catalogue *c)
{
    for (size_t i = 1; i < c->expired.len; i++)
        if (by_expiry(&c->expired.ptr[i - 1], &c->expired.ptr[i]) > 0)
            return false;
    return true;
}

/* After any were pushed. Keeps the newest one, however many it names: they were in the catalogue before. */
static void settle_expired(struct catalogue *c)
{
    size_t named = 0, keep = 0;

    if (c->expired.len == 0)
        return;
    if (!is_by_expiry(c)) /* what is stays as it is: equal times keep their order */
        qsort(c->expired.ptr, c->expired.len, sizeof(*c->expired.ptr), by_expiry);
    for (; keep < c->expired.len; keep++) {
        named += c->expired.ptr[c->expired.len - 1 - keep].n_segments;
        if (keep && named > CATALOGUE_MAX_EXPIRED)
            break;
    }
    forget_first_expired(c, c->expired.len - keep);
}

bool catalogue_expire(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    const struct catalogue_block *b = catalogue_find(c, ulid);

    if (b && b->n_segments) { /* its texts are the arena's */
        vec_push(&c->expired, ((struct expired){at_ms, b->segments, b->n_segments}));
        settle_expired(c);
    }
    return catalogue_retire(c, ulid, at_ms);
}

bool catalogue_forget_expired(struct catalogue *c, int64_t before_ms)
{
    size_t n = 0;

    while (n < c->expired.len && c->expired.ptr[n].at_ms < before_ms)
        n++;
    if (n)
        forget_first_expired(c, n);
    return n > 0;
}

int64_t catalogue_oldest_expired_ms(const struct catalogue *c)
{
    return c->expired.len ? c->expired.ptr[0].at_ms : INT64_MAX;
}

void catalogue_copy_expired(struct catalogue *c, const struct catalogue *from)
{
    VEC_FOREACH (x, &from->expired)
        vec_push(&c->expired, ((struct expired){x->at_ms, copy_texts(c, x->segments, x->n_segments),
                                                x->n_segments}));
    settle_expired(c);
}

/* Another system's file of this name is none of ours. */
static uint64_t summary_bytes_of(const struct block_meta *m)
{
    bool has = block_meta_has_sidecar(m, BLOCK_SUMMARY_FILE);

    for (size_t i = 0; i < m->n_files && has; i++)
        if (slice_eq_cstr(m->files[i].path, BLOCK_SUMMARY_FILE))
            return m->files[i].bytes;
    return 0;
}

struct catalogue_block catalogue_block_of_meta(const struct block_meta *m)
{
    return (struct catalogue_block){.ulid = m->ulid,
                                    .min_t = m->min_t,
                                    .max_t = m->max_t,
                                    .level = m->level,
                                    .segments = m->segments,
                                    .n_segments = m->n_segments,
                                    .series = m->stats.series,
                                    .samples = m->stats.samples,
                                    .bytes = block_meta_bytes(m),
                                    .shard = m->shard,
                                    .shards = m->shards,
                                    .resolution_ms = m->resolution_ms,
                                    .labels = m->external,
                                    .summary_bytes = summary_bytes_of(m)};
}

/* ---- bytes ---- */

static void write_text(struct buf *out, const char *member, struct slice text)
{
    if (!text.len)
        return;
    buf_printf(out, ",\"%s\":", member);
    buf_json_str(out, text);
}

static void write_labels(struct buf *out, struct labels ls)
{
    if (!ls.n)
        return;
    buf_str(out, ",\"labels\":");
    labels_json(out, ls);
}

static void write_texts(struct buf *out, const struct slice *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, texts[i]);
    }
}

static void write_block(struct buf *out, const struct catalogue_block *b)
{
    buf_printf(out,
               "{\"ulid\":\"%s\",\"minTime\":%lld,\"maxTime\":%lld,\"level\":%d,\"segments\":[",
               ulid_print(b->ulid).s, (long long)b->min_t, (long long)b->max_t, b->level);
    write_texts(out, b->segments, b->n_segments);
    buf_printf(out, "],\"series\":%llu,\"samples\":%llu,\"bytes\":%llu",
               (unsigned long long)b->series, (unsigned long long)b->samples,
               (unsigned long long)b->bytes);
    if (b->shards > 1)
        buf_printf(out, ",\"shard\":%u,\"shards\":%u", b->shard, b->shards);
    if (b->resolution_ms)
        buf_printf(out, ",\"resolution\":%lld", (long long)b->resolution_ms);
    write_text(out, "dir", b->dir);
    write_labels(out, b->labels);
    if (b->summary_bytes)
        buf_printf(out, ",\"summary\":%llu", (unsigned long long)b->summary_bytes);
    write_text(out, "zone", b->origin.zone);
    write_text(out, "instance", b->origin.instance);
    buf_str(out, b->is_pinned ? ",\"pinned\":1}" : "}");
}

static void write_expired(struct buf *out, const struct catalogue *c)
{
    if (!c->expired.len)
        return;
    buf_str(out, ",\"expired\":[");
    for (size_t i = 0; i < c->expired.len; i++) {
        const struct expired *x = &c->expired.ptr[i];

        buf_printf(out, "%s{\"at\":%lld,\"segments\":[", i ? ",\n" : "\n", (long long)x->at_ms);
        write_texts(out, x->segments, x->n_segments);
        buf_str(out, "]}");
    }
    buf_byte(out, ']');
}

void catalogue_write(struct buf *out, const struct catalogue *c)
{
    size_t start = out->len;

    buf_printf(out, "{\"format\":%d,\"version\":%llu,\"signal\":", CATALOGUE_FORMAT,
               (unsigned long long)c->version);
    buf_json_str(out, c->signal);
    buf_str(out, ",\"tenant\":");
    buf_json_str(out, c->tenant);
    buf_str(out, ",\"blocks\":[");
    for (size_t i = 0; i < c->blocks.len; i++) {
        buf_str(out, i ? ",\n" : "\n");
        write_block(out, &c->blocks.ptr[i]);
    }
    buf_str(out, "],\"retired\":[");
    for (size_t i = 0; i < c->retired.len; i++) {
        buf_printf(out, "%s{\"ulid\":\"%s\",\"at\":%lld", i ? ",\n" : "\n",
                   ulid_print(c->retired.ptr[i].ulid).s, (long long)c->retired.ptr[i].at_ms);
        write_text(out, "dir", c->retired.ptr[i].dir);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    write_expired(out, c);
    buf_printf(out, CATALOGUE_CRC_MEMBER "%08x\"}\n",
               hash_crc32c(slice_from(buf_slice(out), start)));
}

static struct err *check_crc(struct slice json)
{
    struct slice body, tail;
    char want[9];

    if (json.len < CATALOGUE_CRC_TAIL)
        return err_new(ERR_CORRUPT, "too short");
    body = slice_sub(json, 0, json.len - CATALOGUE_CRC_TAIL);
    tail = slice_from(json, body.len);
    (void)snprintf(want, sizeof(want), "%08x", hash_crc32c(body));
    if (!slice_has_prefix(tail, SLICE(CATALOGUE_CRC_MEMBER)) ||
        !slice_eq_cstr(slice_sub(tail, sizeof(CATALOGUE_CRC_MEMBER) - 1, 8), want))
        return err_new(ERR_CORRUPT, "checksum is wrong");
    return NULL;
}

static void parse_block(struct json_in *j, json_t *o, struct catalogue_block *b)
{
    uint64_t shard = json_in_u64(j, o, "shard", false), shards = json_in_u64(j, o, "shards", false);
    int64_t level = json_in_i64(j, o, "level", true);

    *b = (struct catalogue_block){
        .ulid = json_in_ulid(j, o, "ulid", true),
        .min_t = json_in_i64(j, o, "minTime", true),
        .max_t = json_in_i64(j, o, "maxTime", true),
        .level = (int)level,
        .series = json_in_u64(j, o, "series", true),
        .samples = json_in_u64(j, o, "samples", true),
        .bytes = json_in_u64(j, o, "bytes", true),
        .shard = (uint32_t)shard,
        .shards = (uint32_t)shards,
        .resolution_ms = json_in_i64(j, o, "resolution", false),
        .dir = json_in_text(j, o, "dir", false),
        .labels = json_in_labels(j, o, "labels"),
        .summary_bytes = json_in_u64(j, o, "summary", false),
        .origin = {json_in_text(j, o, "zone", false), json_in_text(j, o, "instance", false)},
        .is_pinned = json_in_u64(j, o, "pinned", false) != 0};
    b->segments = json_in_texts(j, o, "segments", &b->n_segments);
    if (level < 0 || level > 1000)
        json_in_fail(j, "level");
    if (shards > BLOCK_META_MAX_SHARDS || (shards ? shard >= shards : shard != 0))
        json_in_fail(j, "shards");
    if (!block_meta_is_time(b->min_t))
        json_in_fail(j, "minTime");
    if (b->max_t < b->min_t || !block_meta_is_time(b->max_t))
        json_in_fail(j, "maxTime");
    if (b->resolution_ms < 0 || !block_meta_is_time(b->resolution_ms))
        json_in_fail(j, "resolution");
    if (b->dir.len && !json_in_is_block_dir(b->dir, b->ulid))
        json_in_fail(j, "dir");
}

static void parse_expired(struct json_in *j, json_t *doc, struct catalogue *c)
{
    size_t n;
    json_t *list = json_in_list(j, doc, "expired", &n);

    for (size_t i = 0; i < n && !j->bad; i++) {
        json_t *o = json_array_get(list, i);
        struct expired x = {.at_ms = json_in_i64(j, o, "at", true)};

        x.segments = json_in_texts(j, o, "segments", &x.n_segments);
        if (!block_meta_is_time(x.at_ms))
            json_in_fail(j, "at");
        if (x.n_segments)
            vec_push(&c->expired, x);
    }
    settle_expired(c);
}

static int by_time(const void *a, const void *b)
{
    return is_before(a, b) ? -1 : is_before(b, a);
}

static void parse_all(struct json_in *j, json_t *doc, struct catalogue *c)
{
    size_t n;
    json_t *list = json_in_list(j, doc, "blocks", &n);

    c->version = json_in_u64(j, doc, "version", true);
    c->signal = json_in_text(j, doc, "signal", true);
    c->tenant = json_in_text(j, doc, "tenant", true);
    for (size_t i = 0; i < n && !j->bad; i++) {
        struct catalogue_block b;

        parse_block(j, json_array_get(list, i), &b);
        vec_push(&c->blocks, b);
    }
    if (c->blocks.len)
        qsort(c->blocks.ptr, c->blocks.len, sizeof(*c->blocks.ptr), by_time);
    list = json_in_list(j, doc, "retired", &n);
    for (size_t i = 0; i < n && !j->bad; i++) {
        json_t *o = json_array_get(list, i);
        struct catalogue_retired r = {json_in_ulid(j, o, "ulid", true),
                                      json_in_i64(j, o, "at", true),
                                      json_in_text(j, o, "dir", false)};

        /* what lies there is going to be deleted */
        if (r.dir.len && !json_in_is_block_dir(r.dir, r.ulid))
            json_in_fail(j, "dir");
        vec_push(&c->retired, r);
    }
    parse_expired(j, doc, c);
}

struct err *catalogue_parse(struct slice json, struct catalogue **ret)
{
    struct catalogue *c;
    struct json_in j = {0};
    int64_t format;
    struct err *e;
    json_t *doc;

    if ((e = check_crc(json)) || (e = json_in_load(json, CATALOGUE_MAX_BYTES, &doc)))
        return err_wrap(e, "catalogue");
    c = catalogue_new(SLICE_EMPTY, SLICE_EMPTY);
    j.arena = c->arena;
    format = json_in_i64(&j, doc, "format", true);
    parse_all(&j, doc, c);
    json_decref(doc);
    if (!j.bad && format == CATALOGUE_FORMAT) {
        *ret = c;
        return NULL;
    }
    catalogue_free(c);
    if (j.bad)
        return err_new(ERR_CORRUPT, "catalogue: member \"%s\" is missing or wrong", j.bad);
    return err_new(ERR_UNSUPPORTED, "catalogue: format %lld", (long long)format);
}
