#include <stdio.h>

#include "common/base/hash.h"
#include "common/block/catalogue.h"
#include "common/block/catalogue_internal.h"
#include "common/block/json_in.h"

#define CATALOGUE_FORMAT 1
#define CATALOGUE_CRC_MEMBER ",\"crc\":\"" /* what the checksum does not cover begins here */
#define CATALOGUE_CRC_TAIL (sizeof(CATALOGUE_CRC_MEMBER) - 1 + 8 + 3) /* 8 digits and "}\n */

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
        const struct catalogue_expired *x = &c->expired.ptr[i];

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
        struct catalogue_expired x = {.at_ms = json_in_i64(j, o, "at", true)};

        x.segments = json_in_texts(j, o, "segments", &x.n_segments);
        if (!block_meta_is_time(x.at_ms))
            json_in_fail(j, "at");
        if (x.n_segments)
            vec_push(&c->expired, x);
    }
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
    catalogue_settle(c);
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
