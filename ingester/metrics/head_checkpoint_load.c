#include <stdio.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/metrics/head_checkpoint_internal.h"

#define MAX_PAIRS (1u << 25)
#define MAX_SLABS (1u << 22)

/* A block whose checksum is right. */
static bool next_block(struct reader *r, enum head_checkpoint_kind *ret_kind, struct reader *ret)
{
    uint32_t len = reader_u32le(r), crc = reader_u32le(r);
    struct slice payload;

    if (!reader_ok(r) || !len || len > HEAD_CHECKPOINT_MAX_BLOCK) {
        reader_fail(r);
        return false;
    }
    payload = reader_bytes(r, len);
    if (!reader_ok(r) || hash_crc32c(payload) != crc) {
        reader_fail(r);
        return false;
    }
    *ret = reader_new(payload);
    *ret_kind = (enum head_checkpoint_kind)reader_u8(ret);
    return true;
}

struct loading {
    struct head_shard *sh;
    struct head_ts *ts;     /* of the current tenant */
    uint64_t series, slabs; /* loaded in all; of the current tenant */
    bool has_end, adopt_chunks;
    uint64_t chunks_next;
};

static bool load_tenant(struct loading *ld, struct reader *r)
{
    struct slice id = reader_lstr(r);
    int64_t max_ms = (int64_t)reader_u64le(r), min_ms = (int64_t)reader_u64le(r);

    if (!reader_ok(r) || !id.len || id.len > 255)
        return false;
    ld->ts = head_ts_get(ld->sh, head_tenant_get(ld->sh->head, id));
    ld->ts->max_ms = max_ms;
    ld->ts->min_ms = min_ms;
    ld->slabs = 0;
    return true;
}

static bool load_names(struct loading *ld, struct reader *r)
{
    while (reader_left(r)) {
        struct slice name = reader_lstr(r);

        if (!reader_ok(r) || !name.len || head_index_name(&ld->ts->index, name) >= 0)
            return false;
        head_index_load_name(&ld->ts->index, name);
    }
    return true;
}

static bool load_pairs(struct loading *ld, struct reader *r)
{
    while (reader_left(r)) {
        uint64_t id = reader_uvarint(r), name = reader_uvarint(r);
        struct slice value = reader_lstr(r);

        /* ids have gaps where pairs died */
        if (!reader_ok(r) || name > UINT32_MAX || id >= MAX_PAIRS || !value.len ||
            head_index_pair(&ld->ts->index, (uint32_t)name, value) >= 0 ||
            !head_index_load_pair(&ld->ts->index, (uint32_t)id, (uint32_t)name, value))
            return false;
    }
    return true;
}

static bool load_ooo(struct loading *ld, struct reader *r, uint32_t ref)
{
    uint64_t n = reader_uvarint(r);

    if (!n || n > HEAD_OOO_MAX)
        return false;
    while (n--) {
        int64_t t_ms = (int64_t)reader_u64le(r);
        double v = reader_f64le(r);

        if (!reader_ok(r))
            return false;
        head_ooo_insert(ld->ts, ref, t_ms, v);
    }
    return true;
}

static bool load_starts(struct loading *ld, struct reader *r, uint32_t ref)
{
    uint64_t n = reader_uvarint(r);
    struct start_run run, last = {.to_ms = INT64_MIN};

    if (n > HEAD_STARTS_MAX + 2)
        return false;
    head_starts_begin(ld->ts, ref);
    for (; n; n--, last = run) {
        run.from_ms = (int64_t)reader_u64le(r);
        run.to_ms = (int64_t)reader_u64le(r);
        run.st_ms = (int64_t)reader_u64le(r);
        if (!reader_ok(r) || run.from_ms <= last.to_ms || run.to_ms < run.from_ms ||
            head_window_start(run.from_ms) != head_window_start(run.to_ms))
            return false;
        head_starts_load(ld->ts, ref, run);
    }
    return reader_ok(r);
}

static bool load_one(struct loading *ld, struct reader *r, uint64_t slab)
{
    uint32_t ref = (uint32_t)slab * HEAD_SLAB + reader_u8(r);
    uint8_t flags = reader_u8(r), encoding;
    struct head_live *s;
    struct hash128 fp;
    struct slice packed, data;
    int64_t t_ms;
    uint64_t v, sealed;

    fp.lo = reader_u64le(r);
    fp.hi = reader_u64le(r);
    packed = reader_lstr(r);
    t_ms = (int64_t)reader_u64le(r);
    v = reader_u64le(r);
    sealed = reader_u64le(r);
    if (!reader_ok(r) || flags > 15 || sealed % 8 || !head_table_load(ld->ts, ref, fp, packed, &s))
        return false;
    if (flags & 4)
        *head_flags_at(ld->ts, ref) |= HEAD_FIRST;
    s->app.t = t_ms;
    s->app.v = v;
    s->sealed = head_chunks_narrow(sealed);
    if (flags & 1) {
        encoding = reader_u8(r);
        data = reader_lstr(r);
        if (!reader_ok(r) || !head_series_restore_open(ld->ts, ref, encoding, data))
            return false;
        /* what the chunk says must be what the series says */
        if (s->app.t != t_ms || s->app.v != v)
            return false;
    }
    if ((flags & 2) && !load_ooo(ld, r, ref))
        return false;
    if ((flags & 8) && !load_starts(ld, r, ref))
        return false;
    ld->series++;
    return true;
}

static bool load_series(struct loading *ld, struct reader *r)
{
    uint64_t slab = reader_uvarint(r), from_seq = reader_u64le(r);

    if (!reader_ok(r) || slab != ld->slabs || slab > MAX_SLABS)
        return false;
    ld->slabs++;
    while (reader_left(r))
        if (!load_one(ld, r, slab))
            return false;
    if (slab < ld->ts->slabs.len)
        ld->ts->slabs.ptr[slab]->from_seq = from_seq;
    return true;
}

static bool load_exemplars(struct loading *ld, struct reader *r)
{
    uint32_t ref;
    int64_t t_ms;
    double v;
    struct slice labels;

    ld->ts->ring_from_seq = reader_u64le(r);
    while (reader_left(r)) {
        ref = reader_u32le(r);
        t_ms = (int64_t)reader_u64le(r);
        v = reader_f64le(r);
        labels = reader_lstr(r);
        if (!reader_ok(r))
            return false;
        if (head_ref_is_used(ld->ts, ref))
            (void)head_ring_add(ld->ts, ref, t_ms, v, labels);
    }
    return reader_ok(r);
}

static bool load_metadata(struct loading *ld, struct reader *r)
{
    struct batch_meta m;

    ld->ts->meta_from_seq = reader_u64le(r);
    while (batch_next_meta(r, &m))
        (void)head_meta_put(ld->ts, &m);
    return reader_ok(r);
}

static bool load_cuts(struct loading *ld, struct reader *r)
{
    while (reader_left(r)) {
        struct head_ts_cut c;

        c.up_to_ms = (int64_t)reader_u64le(r);
        c.pos = reader_u64le(r);
        if (!reader_ok(r))
            return false;
        vec_push(&ld->ts->cuts, c);
    }
    return true;
}

#define MAX_WINDOWS 10000

static bool load_windows(struct loading *ld, struct reader *r)
{
    while (reader_left(r)) {
        int64_t start_ms = (int64_t)reader_u64le(r);

        if (!reader_ok(r) || start_ms != head_window_start(start_ms))
            return false;
        if (ld->ts->windows.len < MAX_WINDOWS) /* they are found one by one; no limit is as large */
            head_window_note(ld->ts, start_ms);
    }
    return true;
}

static bool load_owners(struct loading *ld, struct reader *r, uint64_t number)
{
    struct head_chunks *c = &ld->sh->chunks;
    uint64_t n = reader_uvarint(r);

    while (n-- && reader_ok(r)) {
        struct slice id = reader_lstr(r);
        int64_t max_ms = (int64_t)reader_u64le(r);

        if (!reader_ok(r) || !id.len)
            return false;
        VEC_FOREACH (f, &c->files)
            if ((*f)->number == number)
                head_chunks_note_owner(*f, head_tenant_get(ld->sh->head, id), max_ms);
    }
    return reader_ok(r);
}

static bool load_files(struct loading *ld, struct reader *r)
{
    uint64_t first = reader_u64le(r), next = reader_u64le(r);
    struct err *e;

    if (!reader_ok(r))
        return false;
    if (!next) {
        e = ld->adopt_chunks ? head_chunks_begin(&ld->sh->chunks) : NULL;
    } else {
        e = ld->adopt_chunks ? head_chunks_adopt(&ld->sh->chunks, first, next) : NULL;
    }
    if (e) {
        LOG_ERROR(head, "chunk files of a checkpoint", KV_ERR(e));
        err_free(e);
        return false;
    }
    while (reader_left(r)) {
        uint64_t number = reader_u64le(r);

        if (!load_owners(ld, r, number))
            return false;
    }
    return true;
}

/* First names, pairs and chunk files, which series refer to; then the rest. */
static bool load_block(struct loading *ld, enum head_checkpoint_kind kind, struct reader *r,
                       bool is_first)
{
    if (kind == HEAD_CKPT_TENANT)
        return load_tenant(ld, r);
    if (kind == HEAD_CKPT_FILES)
        return !is_first || load_files(ld, r);
    if (kind == HEAD_CKPT_END) {
        uint64_t series = reader_u64le(r);

        ld->has_end = is_first || series == ld->series;
        return reader_ok(r) && ld->has_end;
    }
    if (!ld->ts)
        return false;
    switch (kind) {
    case HEAD_CKPT_NAMES:
        return !is_first || load_names(ld, r);
    case HEAD_CKPT_PAIRS:
        return !is_first || load_pairs(ld, r);
    case HEAD_CKPT_SERIES:
        return is_first || load_series(ld, r);
    case HEAD_CKPT_EXEMPLARS:
        return is_first || load_exemplars(ld, r);
    case HEAD_CKPT_METADATA:
        return is_first || load_metadata(ld, r);
    case HEAD_CKPT_CUTS:
        return is_first || load_cuts(ld, r);
    case HEAD_CKPT_WINDOWS:
        return is_first || load_windows(ld, r);
    default:
        return false;
    }
}

static struct err *load_pass(struct loading *ld, struct slice blocks, bool is_first)
{
    struct reader r = reader_new(blocks), in;
    enum head_checkpoint_kind kind;

    ld->ts = NULL;
    ld->has_end = false;
    while (!ld->has_end) {
        size_t at = reader_pos(&r);

        if (!next_block(&r, &kind, &in))
            return err_new(ERR_CORRUPT, "block at %zu: broken, or no end",
                           at + HEAD_CHECKPOINT_HEADER);
        if (!load_block(ld, kind, &in, is_first))
            return err_new(ERR_CORRUPT, "block at %zu: malformed (kind %d)",
                           at + HEAD_CHECKPOINT_HEADER, (int)kind);
    }
    return NULL;
}

struct err *head_checkpoint_parse(struct head_shard *sh, struct slice bytes, bool adopt_chunks)
{
    struct loading ld = {.sh = sh, .adopt_chunks = adopt_chunks};
    struct reader r = reader_new(bytes);
    struct slice magic = reader_bytes(&r, 8);
    uint32_t shard = reader_u32le(&r), shards = reader_u32le(&r);
    uint64_t from_seq = reader_u64le(&r);
    struct err *e;

    if (!reader_ok(&r) || memcmp(magic.ptr, head_checkpoint_magic, 8) != 0)
        return err_new(ERR_CORRUPT, "not a checkpoint of version 1");
    if (shard != sh->index || shards != sh->head->n_shards)
        return err_new(ERR_CORRUPT, "checkpoint of shard %u of %u", shard, shards);
    if ((e = load_pass(&ld, reader_rest(&r), true)) || (e = load_pass(&ld, reader_rest(&r), false)))
        return e;
    VEC_FOREACH (ts, &sh->tenants) {
        head_index_finish_load(&(*ts)->index);
        head_table_finish_load(*ts);
        head_note_range(*ts);
    }
    sh->from_seq = from_seq;
    sh->replay.series = ld.series;
    return NULL;
}

struct err *head_checkpoint_load(struct head_shard *sh)
{
    char *dir = head_shard_dir(sh), *path = mem_printf("%s/checkpoint", dir);
    struct slice bytes;
    struct err *e = NULL;

    if (!fsx_exists(path)) {
        e = head_chunks_begin(&sh->chunks);
    } else if (!(e = fsx_map(path, &bytes))) {
        struct err *broken = head_checkpoint_parse(sh, bytes, true);

        fsx_unmap(bytes);
        if (broken) {
            char *bad = mem_printf("%s.bad", path);

            LOG_ERROR(head, "checkpoint put aside; reading what the log has", KV_STR("path", path),
                      KV_ERR(broken));
            err_free(broken);
            (void)rename(path, bad);
            mem_free(bad);
            head_shard_reset(sh);
            sh->from_seq = 0;
            e = head_chunks_begin(&sh->chunks);
        }
    }
    mem_free(path);
    mem_free(dir);
    return e;
}
