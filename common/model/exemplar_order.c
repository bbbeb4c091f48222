#include "common/model/exemplar_order.h"

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/model/sample.h"

static void put_text(struct buf *out, struct slice s)
{
    if (s.len < 255) {
        buf_byte(out, (uint8_t)s.len);
    } else {
        buf_byte(out, 255);
        buf_byte(out, (uint8_t)s.len);
        buf_byte(out, (uint8_t)(s.len >> 8));
        buf_byte(out, (uint8_t)(s.len >> 16));
    }
    buf_slice_append(out, s);
}

/* Equal times and values are rare: this may be slow. */
static uint64_t hash_labels(struct slice canonical)
{
    struct reader r = reader_new(canonical);
    struct buf b = {0};
    struct label l;
    uint64_t h;

    while (labels_next_canonical(&r, &l)) {
        put_text(&b, l.name);
        put_text(&b, l.value);
    }
    h = hash_xxh64_classic(buf_slice(&b));
    buf_done(&b);
    return h;
}

enum exemplar_place exemplar_order_place(const struct exemplar_order *last,
                                         const struct exemplar_order *next)
{
    if (next->t_ms != last->t_ms)
        return next->t_ms < last->t_ms ? EXEMPLAR_BEHIND : EXEMPLAR_AFTER;
    if (sample_bits(last->v) == sample_bits(next->v) && slice_eq(last->labels, next->labels))
        return EXEMPLAR_SAME;
    if (next->v < last->v ||
        (next->v == last->v && hash_labels(next->labels) < hash_labels(last->labels)))
        return EXEMPLAR_BEHIND;
    return EXEMPLAR_AFTER;
}
