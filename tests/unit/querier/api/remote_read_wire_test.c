#include "querier/api/remote_read_wire.h"
#include "tests/unit/test.h"

/* ReadRequest { queries { start 1000, end 5000, matchers { = __name__ up }, { =~ job a|b },
 * hints { step 10, func rate, start 2000, range 60 } }, accepted 7, 1, 0 (packed) } */
static const uint8_t request[] = "\x0a\x35"
                                 "\x08\xe8\x07\x10\x88\x27"
                                 "\x1a\x0e\x12\x08__name__\x1a\x02up"
                                 "\x1a\x0c\x08\x02\x12\x03job\x1a\x03"
                                 "a|b"
                                 "\x22\x0f\x08\x0a\x12\x04rate\x18\xd0\x0f\x20\x00\x38\x3c"
                                 "\x12\x03\x07\x01\x00";

static struct slice request_bytes(void)
{
    return slice_of(request, sizeof(request) - 1);
}

TEST(remote_read_requests_are_understood)
{
    struct arena *a = arena_new(0);
    struct remote_read r;

    CHECK_OK(remote_read_decode(a, request_bytes(), &r));
    CHECK_INT(r.kind, REMOTE_READ_CHUNKS);
    CHECK_INT(r.n, 1);
    CHECK_INT(r.queries[0].min_ms, 2000); /* the hints are narrower */
    CHECK_INT(r.queries[0].max_ms, 5000);
    CHECK_INT(r.queries[0].step_ms, 10);
    CHECK_INT(r.queries[0].range_ms, 60);
    CHECK_SLICE(r.queries[0].func, "rate");
    CHECK_INT(r.queries[0].matchers.n, 2);
    CHECK_SLICE(r.queries[0].matchers.ptr[0].value, "up");
    CHECK_INT(r.queries[0].matchers.ptr[1].op, MATCHER_RE);
    remote_read_done(&r);
    CHECK_OK(remote_read_decode(a, SLICE(""), &r));
    CHECK_INT(r.n, 0);
    CHECK_INT(r.kind, REMOTE_READ_SAMPLES);
    arena_free(a);
}

TEST(remote_read_requests_that_are_wrong)
{
    struct arena *a = arena_new(0);
    struct remote_read r = {0};
    struct buf many = {0};

    for (size_t i = 1; i < sizeof(request) - 1; i++) { /* nothing leaks, nothing is read past */
        struct err *e = remote_read_decode(a, slice_sub(request_bytes(), 0, i), &r);

        if (!e)
            remote_read_done(&r);
        err_free(e);
    }
    CHECK_ERR(remote_read_decode(a, SLICE("\x0a\x04\x1a\x02\x08\x04"), &r), ERR_INVALID,
              "matcher type");
    CHECK_ERR(remote_read_decode(a, SLICE("\x0a\x07\x1a\x05\x08\x02\x1a\x01("), &r), ERR_INVALID,
              "");
    CHECK_ERR(remote_read_decode(a, SLICE("\x12\x01\x07"), &r), ERR_UNSUPPORTED, "response types");
    CHECK_ERR(remote_read_decode(a, SLICE("\xff\xff"), &r), ERR_INVALID, "ReadRequest");
    for (int i = 0; i <= REMOTE_READ_MAX_QUERIES; i++)
        buf_append(&many, "\x0a\x00", 2);
    CHECK_ERR(remote_read_decode(a, buf_slice(&many), &r), ERR_INVALID, "1001 queries");
    buf_reset(&many);
    buf_fill(&many, 0, REMOTE_READ_MAX_BYTES + 1);
    CHECK_ERR(remote_read_decode(a, buf_slice(&many), &r), ERR_TOO_LARGE, "bytes");
    buf_done(&many);
    arena_free(a);
}

TEST(remote_read_samples_keep_their_bytes)
{
    struct label l = {SLICE("a"), SLICE("b")};
    struct buf b = {0};

    remote_read_labels(&b, (struct labels){&l, 1});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x0a\x06\x0a\x01"
                                        "a\x12\x01"
                                        "b")));
    buf_reset(&b);
    remote_read_sample(&b, 300, 1);
    CHECK(slice_eq(buf_slice(&b), SLICE("\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xac\x02")));
    buf_reset(&b);
    remote_read_sample(&b, 0, 0);
    CHECK(slice_eq(buf_slice(&b), SLICE("\x12\x00")));
    buf_reset(&b);
    remote_read_sample(&b, -1, 0);
    CHECK(slice_eq(buf_slice(&b), SLICE("\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")));
    buf_done(&b);
}

TEST(remote_read_histograms_keep_their_bytes)
{
    const struct histogram_span span = {-1, 2};
    const double counts[] = {3, 5}, bounds[] = {0.5};
    struct histogram h = {.schema = 1,
                          .is_int = true,
                          .count = 9,
                          .sum = 2,
                          .zero_threshold = 0.5,
                          .zero_count = 1,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = counts,
                          .n_pos_buckets = 2,
                          .hint = HISTOGRAM_GAUGE};
    struct buf b = {0};

    remote_read_histogram(&b, 7, &h);
    CHECK(slice_eq(
        buf_slice(&b),
        SLICE("\x22\x26\x08\x09\x19\0\0\0\0\0\0\0\x40\x20\x02\x29\0\0\0\0\0\0\xe0\x3f\x30\x01"
              "\x5a\x04\x08\x01\x10\x02\x62\x02\x06\x04\x70\x03\x78\x07")));
    buf_reset(&b);
    h.is_int = false;
    h.n_pos_spans = h.n_pos_buckets = 0;
    h.zero_count = h.zero_threshold = h.sum = 0;
    h.schema = HISTOGRAM_CUSTOM_SCHEMA;
    h.hint = HISTOGRAM_UNKNOWN;
    h.custom_bounds = bounds;
    h.n_custom_bounds = 1;
    remote_read_histogram(&b, 7, &h);
    CHECK(slice_eq(buf_slice(&b),
                   SLICE("\x22\x21\x11\0\0\0\0\0\0\x22\x40\x20\x69\x39\0\0\0\0\0\0\0\0\x78\x07"
                         "\x82\x01\x08\0\0\0\0\0\0\xe0\x3f")));
    buf_done(&b);
}

TEST(remote_read_frames_keep_their_bytes)
{
    struct chunk c = {CHUNK_XOR, 1, 2, SLICE("xyz")};
    struct buf series = {0}, frame = {0};

    remote_read_chunk(&series, &c);
    CHECK(slice_eq(buf_slice(&series), SLICE("\x12\x0b\x08\x01\x10\x02\x18\x01\x22\x03xyz")));
    remote_read_frame(&frame, buf_slice(&series), 3);
    CHECK_INT(frame.ptr[0], series.len + 4);
    CHECK(slice_eq(slice_from(buf_slice(&frame), 5 + 2 + series.len), SLICE("\x10\x03")));
    buf_done(&series);
    buf_done(&frame);
}
