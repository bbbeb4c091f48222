/*
 * Bytes as a row group of traces: whatever opens gives pieces, columns and keys, or says that it is corrupt. Checksums would keep all but the
 * headers from being looked into, so they are made right first.
 *
 *   u16 bytes of the front part, u16 of its header, u16 of the back part's header, u8 traces, u8 spans; front part; back part
 */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/traceblock/tracegroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUDGET (64u << 20)
#define TRACE_ID 0

struct group {
    uint8_t *parts[TRACEGROUP_PARTS];
    struct tracegroup_place place;
    struct tracegroup_about about;
};

static struct err *fetch(void *arg, enum tracegroup_part part, uint64_t off, size_t len,
                         struct slice *ret)
{
    struct group *g = arg;

    ORR_ASSERT(off <= g->place.bytes[part] && len <= g->place.bytes[part] - off);
    *ret = slice_of(g->parts[part] + off, len);
    return NULL;
}

static void put_sum(uint8_t *at, struct slice of)
{
    uint32_t sum = hash_crc32c(of);

    memcpy(at, &sum, sizeof(sum));
}

/* Of a column whose sum is to be at `at`. */
static void mend_column(struct group *g, uint8_t *at, struct slice stored, uint8_t column)
{
    put_sum(at, stored);
    if (column != TRACE_ID || stored.len < 16)
        return;
    memcpy(g->about.first, stored.ptr, 16);
    memcpy(g->about.last, stored.ptr + stored.len - 16, 16);
}

static void mend(struct group *g, enum tracegroup_part part)
{
    uint32_t header = g->place.header_bytes[part], bytes = g->place.bytes[part];
    struct reader r;
    uint64_t offset = header, n;

    if (header < 5 || header > bytes)
        return;
    r = reader_new(slice_of(g->parts[part], header - 4));
    reader_skip(&r, 1);
    for (unsigned i = 0; i < 6; i++)
        (void)reader_uvarint(&r);
    n = reader_uvarint(&r);
    for (uint64_t i = 0; i < n && reader_ok(&r); i++)
        (void)reader_lstr(&r);
    n = reader_uvarint(&r);
    for (uint64_t i = 0; i < n && reader_ok(&r); i++) {
        uint8_t column = reader_u8(&r);
        uint64_t stored;
        size_t at;

        reader_skip(&r, 2);
        for (unsigned k = 0; k < 3; k++)
            (void)reader_uvarint(&r);
        stored = reader_uvarint(&r);
        at = reader_pos(&r);
        reader_skip(&r, 4);
        if (!reader_ok(&r) || stored > bytes - offset)
            break;
        mend_column(g, g->parts[part] + at, slice_of(g->parts[part] + offset, stored), column);
        offset += stored;
    }
    put_sum(g->parts[part] + header - 4, slice_of(g->parts[part], header - 4));
}

static bool take_key(void *arg, struct slice key)
{
    struct tracegroup_want *want = arg;
    struct tracegroup_key *keys = (struct tracegroup_key *)want->keys;

    keys[want->n_keys++].key = key;
    return want->n_keys < 40;
}

static void read_all(struct group *g)
{
    struct tracegroup_io io = {fetch, g};
    struct arena *a = arena_new(BUDGET);
    struct tracegroup_key keys[200];
    struct tracegroup_want want = {.fields = ~0u, .keys = keys};
    const struct tracecols *cols;
    struct tracegroup *group;
    struct err *e = tracegroup_open(a, &io, &g->place, &g->about, &group);

    if (!e) {
        err_free(tracegroup_verify(group));
        for (unsigned t = 0; t < TRACE_TABLES; t++) {
            size_t before = want.n_keys;

            err_free(tracegroup_keys(group, (enum tracetable)t, take_key, &want));
            for (size_t i = before; i < want.n_keys; i++)
                keys[i].table = (enum tracetable)t;
            if (want.n_keys >= 40)
                break;
        }
        err_free(tracegroup_cols(group, a, &want, &cols));
    }
    err_free(e);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_new(slice_of(data, size));
    struct group g = {0};
    uint16_t front = reader_u16le(&r);

    g.place.header_bytes[TRACEGROUP_FRONT] = reader_u16le(&r);
    g.place.header_bytes[TRACEGROUP_BACK] = reader_u16le(&r);
    g.about.traces = reader_u8(&r);
    g.about.spans = reader_u8(&r);
    if (!reader_ok(&r) || front > reader_left(&r))
        return 0;
    g.place.bytes[TRACEGROUP_FRONT] = front;
    g.place.bytes[TRACEGROUP_BACK] = (uint32_t)(reader_left(&r) - front);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++) {
        struct slice part = reader_bytes(&r, g.place.bytes[i]);

        g.parts[i] = mem_alloc(part.len + 1);
        memcpy(g.parts[i], part.ptr, part.len);
        mend(&g, (enum tracegroup_part)i);
    }
    g.about.start_ns = INT64_MIN;
    read_all(&g);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        mem_free(g.parts[i]);
    return 0;
}
