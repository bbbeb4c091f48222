#include "common/block/sidecar.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/vec.h"
#include "common/model/sample.h"

#define MAGIC_BYTES 8
#define CRC_BYTES 4

static const struct {
    const char *file;
    char magic[MAGIC_BYTES];
} kinds[SIDECAR_KINDS] = {
    [SIDECAR_EXEMPLARS] = {"exemplars", {'O', 'R', 'R', 'E', 'X', 'M', 0, 1}},
    [SIDECAR_METADATA] = {"metadata", {'O', 'R', 'R', 'M', 'T', 'D', 0, 1}},
};

const char *sidecar_file(enum sidecar_kind kind)
{
    return kinds[kind].file;
}

/* ---- writing ---- */

void sidecar_begin(struct buf *out, enum sidecar_kind kind)
{
    buf_reset(out);
    buf_append(out, kinds[kind].magic, MAGIC_BYTES);
}

void sidecar_put_exemplar(struct buf *out, const struct sidecar_exemplar *x)
{
    buf_lstr(out, x->series);
    buf_u64le(out, (uint64_t)x->t_ms);
    buf_f64le(out, x->value);
    buf_lstr(out, x->labels);
}

void sidecar_put_metadata(struct buf *out, const struct sidecar_metadata *m)
{
    buf_byte(out, m->type);
    buf_lstr(out, m->family);
    buf_lstr(out, m->help);
    buf_lstr(out, m->unit);
}

void sidecar_end(struct buf *out)
{
    buf_u32le(out, hash_crc32c(buf_slice(out)));
}

/* ---- reading ---- */

struct err *sidecar_open(enum sidecar_kind kind, struct slice bytes, struct reader *ret)
{
    struct reader tail;
    struct slice body;

    if (bytes.len < MAGIC_BYTES + CRC_BYTES ||
        memcmp(bytes.ptr, kinds[kind].magic, MAGIC_BYTES) != 0)
        return err_new(ERR_CORRUPT, "%s: not the format we know", kinds[kind].file);
    body = slice_sub(bytes, 0, bytes.len - CRC_BYTES);
    tail = reader_new(slice_from(bytes, body.len));
    if (reader_u32le(&tail) != hash_crc32c(body))
        return err_new(ERR_CORRUPT, "%s: checksum does not hold", kinds[kind].file);
    *ret = reader_new(slice_from(body, MAGIC_BYTES));
    return NULL;
}

static bool is_canonical(struct slice labels)
{
    struct reader r = reader_new(labels);
    struct label l;

    while (labels_next_canonical(&r, &l))
        ;
    return reader_ok(&r);
}

bool sidecar_next_exemplar(struct reader *r, struct sidecar_exemplar *ret)
{
    if (!reader_left(r))
        return false;
    ret->series = reader_lstr(r);
    ret->t_ms = (int64_t)reader_u64le(r);
    ret->value = reader_f64le(r);
    ret->labels = reader_lstr(r);
    if (reader_ok(r) && (!is_canonical(ret->series) || !is_canonical(ret->labels)))
        reader_fail(r);
    return reader_ok(r);
}

bool sidecar_next_metadata(struct reader *r, struct sidecar_metadata *ret)
{
    if (!reader_left(r))
        return false;
    ret->type = reader_u8(r);
    ret->family = reader_lstr(r);
    ret->help = reader_lstr(r);
    ret->unit = reader_lstr(r);
    if (ret->type > METRIC_STATESET)
        reader_fail(r);
    return reader_ok(r);
}

struct err *sidecar_sift_exemplars(struct slice bytes, sidecar_keep_fn *keep, void *arg,
                                   struct buf *out)
{
    struct arena *tmp = arena_new(0);
    struct sidecar_exemplar x;
    struct reader in;
    struct err *e = sidecar_open(SIDECAR_EXEMPLARS, bytes, &in);
    size_t kept = 0;

    buf_reset(out);
    sidecar_begin(out, SIDECAR_EXEMPLARS);
    while (!e && sidecar_next_exemplar(&in, &x)) {
        struct labels series;

        arena_reset(tmp);
        if (!labels_of_canonical(tmp, x.series, &series)) {
            e = err_new(ERR_CORRUPT, "exemplars: malformed labels");
        } else if (keep(arg, tmp, series, &x)) {
            sidecar_put_exemplar(out, &x);
            kept++;
        }
    }
    if (!e && !reader_ok(&in))
        e = err_new(ERR_CORRUPT, "exemplars: malformed entry");
    if (!e && kept)
        sidecar_end(out);
    else
        buf_reset(out);
    arena_free(tmp);
    return e;
}

/* ---- merging: an entry is compared through its fields and copied as it stands ---- */

struct entry {
    struct slice bytes, name; /* name: canonical series, or family */
    int64_t t_ms;
};

static bool next_entry(enum sidecar_kind kind, struct reader *r, struct entry *ret)
{
    const uint8_t *start = r->ptr;
    struct sidecar_exemplar x;
    struct sidecar_metadata m;

    if (kind == SIDECAR_EXEMPLARS) {
        if (!sidecar_next_exemplar(r, &x))
            return false;
        *ret = (struct entry){.name = x.series, .t_ms = x.t_ms};
    } else {
        if (!sidecar_next_metadata(r, &m))
            return false;
        *ret = (struct entry){.name = m.family};
    }
    ret->bytes = slice_of(start, (size_t)(r->ptr - start));
    return true;
}

struct entries {
    struct entry *ptr;
    size_t len, cap;
};

/* ret may be NULL: only checked. */
static struct err *read_all(enum sidecar_kind kind, struct slice bytes, struct entries *ret)
{
    struct reader r;
    struct entry en;
    struct err *e = sidecar_open(kind, bytes, &r);

    if (e)
        return e;
    while (next_entry(kind, &r, &en))
        if (ret)
            vec_push(ret, en);
    return reader_ok(&r) ? NULL : err_new(ERR_CORRUPT, "%s: malformed entry", kinds[kind].file);
}

struct err *sidecar_check(enum sidecar_kind kind, struct slice bytes)
{
    return read_all(kind, bytes, NULL);
}

static int cmp_entry(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    if (c)
        return c;
    if (x->t_ms != y->t_ms)
        return x->t_ms < y->t_ms ? -1 : 1;
    return slice_cmp(x->bytes, y->bytes);
}

struct err *sidecar_merge(enum sidecar_kind kind, const struct slice *inputs, size_t n,
                          struct buf *out)
{
    struct entries all = {0};
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++)
        e = read_all(kind, inputs[i], &all);
    buf_reset(out);
    if (!e && all.len) {
        qsort(all.ptr, all.len, sizeof(*all.ptr), cmp_entry);
        sidecar_begin(out, kind);
        for (size_t i = 0; i < all.len; i++)
            if (i == 0 || cmp_entry(&all.ptr[i - 1], &all.ptr[i]) != 0)
                buf_slice_append(out, all.ptr[i].bytes);
        sidecar_end(out);
    }
    vec_done(&all);
    return e;
}
