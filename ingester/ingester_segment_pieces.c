/* Segments of traces for the RPC methods: their files are "pieces/000001" … by number (common/traces/tracesegment.h). An ingester without
 * traces has none: compactors ask all. */
#include <inttypes.h>

#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "ingester/ingester_internal.h"
#include "ingester/traces/tracehead.h"

#define DIR "pieces/"

struct pinned {
    struct tracehead *head;
    struct tracehead_segment row;
    struct slice bytes; /* of the file that is read */
};

static void *list_rows(struct ingester *ing, size_t *ret_n)
{
    struct tracehead *head = ingester_traces_head(ing);
    struct tracehead_segment *rows = NULL;

    *ret_n = 0;
    if (head)
        tracehead_segments(head, &rows, ret_n);
    return rows;
}

static bool row_at(const void *rows, size_t i, struct rpc_segment *ret)
{
    const struct tracehead_segment *s = (const struct tracehead_segment *)rows + i;

    *ret = (struct rpc_segment){slice_cstr(s->tenant),
                                slice_cstr(s->ulid),
                                s->min_ms,
                                s->max_ms,
                                s->traces,
                                s->spans,
                                s->bytes};
    return true;
}

static struct err *pin(struct ingester *ing, struct slice tenant, struct slice ulid, void **ret)
{
    struct pinned *p;
    struct err *e;

    if (!ingester_traces_head(ing))
        return err_new(ERR_NOT_FOUND, "this ingester takes no traces");
    p = mem_new(struct pinned);
    p->head = ingester_traces_head(ing);
    if ((e = tracehead_segment_pin(p->head, tenant, ulid, &p->row))) {
        mem_free(p);
        return e;
    }
    *ret = p;
    return NULL;
}

static void unpin(void *pinned)
{
    struct pinned *p = pinned;

    tracehead_segment_unpin(p->head, &p->row);
    mem_free(p);
}

static struct err *list_files(void *pinned, struct buf *out)
{
    struct pinned *p = pinned;
    struct slice bytes;
    uint32_t number;

    for (size_t i = 0; tracehead_segment_file(&p->row, i, &number, &bytes); i++) {
        char *name = mem_printf(DIR "%06" PRIu32, number);

        buf_lstr(out, slice_cstr(name));
        buf_uvarint(out, bytes.len);
        mem_free(name);
    }
    return NULL;
}

static struct err *open_file(void *pinned, const char *file, uint64_t *ret_bytes)
{
    struct pinned *p = pinned;
    struct slice name = slice_cstr(file);
    uint64_t wanted;
    uint32_t number;

    if (!slice_has_prefix(name, SLICE(DIR)) ||
        !slice_to_u64(slice_from(name, sizeof(DIR) - 1), &wanted))
        return err_new(ERR_INVALID, "\"%s\" is no file of a segment of traces", file);
    for (size_t i = 0; tracehead_segment_file(&p->row, i, &number, &p->bytes); i++)
        if (number == wanted) {
            *ret_bytes = p->bytes.len;
            return NULL;
        }
    return err_new(ERR_NOT_FOUND, "segment %s has no file %s", p->row.ulid, file);
}

static struct err *read_file(void *pinned, uint64_t offset, size_t n, struct buf *out)
{
    struct pinned *p = pinned;

    buf_slice_append(out, slice_sub(p->bytes, (size_t)offset, n));
    return NULL;
}

static struct err *dropped(struct ingester *ing, struct slice tenant, struct slice ulid,
                           uint64_t version)
{
    struct tracehead *head = ingester_traces_head(ing);

    return head ? tracehead_segment_dropped(head, tenant, ulid, version)
                : err_new(ERR_NOT_FOUND, "this ingester takes no traces");
}

const struct ingester_segment_ops ingester_segment_pieces = {
    list_rows, row_at, pin, unpin, list_files, open_file, read_file, dropped};
