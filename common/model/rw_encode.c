#include "common/model/rw_encode.h"

/* tag = field << 3 | wire type: 2 length-delimited, 1 eight bytes, 0 varint */
#define TAG_TIMESERIES 0x0a
#define TAG_SAMPLES 0x12
#define TAG_VALUE 0x09
#define TAG_TIMESTAMP 0x10

void rw_encode_sample(struct buf *out, struct labels ls, struct sample s)
{
    struct buf series = {0}, sample = {0};

    labels_canonical(&series, ls); /* is the protobuf of the labels */
    buf_byte(&sample, TAG_VALUE);
    buf_f64le(&sample, s.v);
    buf_byte(&sample, TAG_TIMESTAMP);
    buf_uvarint(&sample, (uint64_t)s.t_ms); /* int64: negative ones take ten bytes */
    buf_byte(&series, TAG_SAMPLES);
    buf_lstr(&series, buf_slice(&sample));
    buf_byte(out, TAG_TIMESERIES);
    buf_lstr(out, buf_slice(&series));
    buf_done(&sample);
    buf_done(&series);
}
