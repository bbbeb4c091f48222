#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/traceblock/traceblock_internal.h"
#include "common/traceblock/traceids.h"

void traceblock_directory_put(struct buf *groups, const struct traceblock_group_at *g)
{
    buf_append(groups, g->about.first, sizeof(g->about.first));
    buf_append(groups, g->about.last, sizeof(g->about.last));
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_u64le(groups, g->place.offset[i]);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_u32le(groups, g->place.bytes[i]);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_u32le(groups, g->place.header_bytes[i]);
    buf_u32le(groups, g->about.traces);
    buf_u32le(groups, g->about.spans);
    buf_u64le(groups, (uint64_t)g->about.start_ns);
    buf_u64le(groups, (uint64_t)g->about.end_ns);
    buf_u64le(groups, g->ids_offset);
}

void traceblock_directory_write(struct slice groups, uint64_t traces, uint64_t spans,
                                struct buf *out)
{
    buf_reset(out);
    buf_append(out, TRACEBLOCK_MAGIC, TRACEBLOCK_MAGIC_BYTES);
    buf_u32le(out, (uint32_t)(groups.len / TRACEBLOCK_GROUP));
    buf_u64le(out, traces);
    buf_u64le(out, spans);
    buf_slice_append(out, groups);
    buf_u32le(out, hash_crc32c(buf_slice(out)));
}

struct traceblock_group_at traceblock_directory_at(const struct traceblock_directory *d, uint32_t i)
{
    struct reader r =
        reader_new(slice_of(d->groups + (size_t)i * TRACEBLOCK_GROUP, TRACEBLOCK_GROUP));
    struct traceblock_group_at g;

    memcpy(g.about.first, reader_bytes(&r, 16).ptr, 16);
    memcpy(g.about.last, reader_bytes(&r, 16).ptr, 16);
    for (unsigned k = 0; k < TRACEGROUP_PARTS; k++)
        g.place.offset[k] = reader_u64le(&r);
    for (unsigned k = 0; k < TRACEGROUP_PARTS; k++)
        g.place.bytes[k] = reader_u32le(&r);
    for (unsigned k = 0; k < TRACEGROUP_PARTS; k++)
        g.place.header_bytes[k] = reader_u32le(&r);
    g.about.traces = reader_u32le(&r);
    g.about.spans = reader_u32le(&r);
    g.about.start_ns = (int64_t)reader_u64le(&r);
    g.about.end_ns = (int64_t)reader_u64le(&r);
    g.ids_offset = reader_u64le(&r);
    return g;
}

uint32_t traceblock_directory_find(const struct traceblock_directory *d, const uint8_t id[16])
{
    uint32_t lo = 0, hi = d->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (memcmp(d->groups + (size_t)mid * TRACEBLOCK_GROUP + 16, id, 16) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, TRACEBLOCK_DIRECTORY_FILE ": %s", what);
}

static bool is_possible(const struct traceblock_group_at *g)
{
    const struct tracegroup_about *a = &g->about;

    return a->traces && a->spans >= a->traces && a->spans <= TRACEGROUP_MAX_SPANS &&
           memcmp(a->first, a->last, 16) <= 0 && a->start_ns <= a->end_ns;
}

static struct err *check_groups(struct traceblock_directory *d)
{
    uint64_t traces = 0, spans = 0;

    for (uint32_t i = 0; i < d->n; i++) {
        struct traceblock_group_at g = traceblock_directory_at(d, i);

        for (unsigned k = 0; k < TRACEGROUP_PARTS; k++) {
            if (g.place.offset[k] != d->bytes[k] || g.place.header_bytes[k] > g.place.bytes[k])
                return corrupt("a group lies where it cannot");
            d->bytes[k] += g.place.bytes[k];
        }
        if (!is_possible(&g) || g.ids_offset != d->ids_bytes)
            return corrupt("a group that cannot be");
        if (i && memcmp(traceblock_directory_at(d, i - 1).about.last, g.about.first, 16) >= 0)
            return corrupt("groups out of order");
        d->ids_bytes += TRACEIDS_BYTES(g.about.traces);
        traces += g.about.traces;
        spans += g.about.spans;
    }
    return traces == d->traces && spans == d->spans ? NULL : corrupt("its sums");
}

struct err *traceblock_directory_parse(struct slice bytes, struct traceblock_directory *ret)
{
    struct traceblock_directory d = {0};
    struct reader r = reader_new(bytes);
    struct slice magic = reader_bytes(&r, TRACEBLOCK_MAGIC_BYTES);
    struct err *e;

    d.n = reader_u32le(&r);
    d.traces = reader_u64le(&r);
    d.spans = reader_u64le(&r);
    if (!reader_ok(&r) || memcmp(magic.ptr, TRACEBLOCK_MAGIC, magic.len) != 0)
        return corrupt("it is none");
    if (d.n > TRACEBLOCK_MAX_GROUPS)
        return corrupt("its counts");
    d.groups = reader_bytes(&r, (size_t)d.n * TRACEBLOCK_GROUP).ptr;
    if (!reader_ok(&r) || reader_left(&r) != 4)
        return corrupt("its length");
    if (reader_u32le(&r) != hash_crc32c(slice_sub(bytes, 0, bytes.len - 4)))
        return corrupt("checksum");
    if ((e = check_groups(&d)))
        return e;
    *ret = d;
    return NULL;
}
