#include "common/block/block_starts.h"

#include "common/base/hash.h"

#define CRC_BYTES 4

static const uint8_t starts_magic[8] = {'O', 'R', 'R', 'S', 'T', 'R', 0, 1};

/* ---- writing ---- */

struct err *block_starts_write(struct slice spool, const uint32_t *refs, size_t n_refs,
                               const char *path, bool sync, uint64_t *ret_bytes)
{
    struct block_out out = {.fd = -1};
    struct reader r = reader_new(spool);
    uint64_t ordinal = 0;
    uint32_t last = 0;
    struct err *e = block_out_open(&out, path);

    if (e)
        return e;
    block_out_crc_begin(&out);
    block_out_put(&out, slice_of(starts_magic, sizeof(starts_magic)));
    while (reader_left(&r)) {
        struct slice runs;

        ordinal += reader_uvarint(&r);
        runs = reader_lstr(&r);
        /* The spool is ours, but it went over a disk. */
        if (!reader_ok(&r) || ordinal >= n_refs) {
            block_out_abort(&out);
            return err_new(ERR_CORRUPT, "starts spool is damaged");
        }
        block_out_uvarint(&out, refs[ordinal] - last);
        block_out_lstr(&out, runs);
        last = refs[ordinal];
    }
    block_out_crc_end(&out);
    *ret_bytes = out.pos;
    return block_out_close(&out, sync);
}

/* ---- reading ---- */

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "%s: %s", BLOCK_STARTS_FILE, what);
}

/* Runs that do not say what they should would otherwise be met in the middle of a query. */
static struct err *check_runs(struct start_set *set, struct slice runs)
{
    start_set_clear(set);
    return start_set_add(set, runs);
}

static struct err *parse_entries(struct reader *r, struct block_starts *out)
{
    struct start_set set = {0};
    struct err *e = NULL;
    uint64_t ref = 0;

    while (!e && reader_left(r)) {
        uint64_t step = reader_uvarint(r);
        struct slice runs = reader_lstr(r);

        ref += step;
        if (!reader_ok(r) || step > UINT32_MAX || ref > UINT32_MAX || (out->entries.len && !step))
            e = corrupt("malformed entry");
        else if (!(e = check_runs(&set, runs)))
            vec_push(&out->entries, ((struct block_starts_entry){(uint32_t)ref, runs}));
    }
    start_set_done(&set);
    return e;
}

struct err *block_starts_parse(struct slice bytes, struct block_starts *ret)
{
    struct block_starts out = {0};
    struct reader r, tail;
    struct slice body;
    struct err *e;

    if (bytes.len < sizeof(starts_magic) + CRC_BYTES ||
        memcmp(bytes.ptr, starts_magic, sizeof(starts_magic)) != 0)
        return corrupt("not the format we know");
    body = slice_sub(bytes, 0, bytes.len - CRC_BYTES);
    tail = reader_new(slice_from(bytes, body.len));
    if (reader_u32be(&tail) != hash_crc32c(body))
        return corrupt("checksum does not hold");
    r = reader_new(slice_from(body, sizeof(starts_magic)));
    if ((e = parse_entries(&r, &out))) {
        block_starts_done(&out);
        return e;
    }
    *ret = out;
    return NULL;
}

void block_starts_done(struct block_starts *s)
{
    vec_done(&s->entries);
}

bool block_starts_find(const struct block_starts *s, uint32_t ref, struct slice *ret)
{
    size_t lo = 0, n = s->entries.len;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (s->entries.ptr[mid].ref < ref)
            lo = mid + 1;
        else
            n = mid;
    }
    if (lo == s->entries.len || s->entries.ptr[lo].ref != ref)
        return false;
    *ret = s->entries.ptr[lo].runs;
    return true;
}
