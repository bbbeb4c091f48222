#include "common/logblock/logframe.h"
#include "tests/unit/test.h"

TEST(logframe_comes_back_and_knows_when_it_is_torn)
{
    struct logframe_head head = {.shard = 3,
                                 .n_streams = 2,
                                 .n_pages = 1,
                                 .entries = 5,
                                 .bytes = 50,
                                 .min_ns = -1,
                                 .max_ns = 9,
                                 .epoch = 1,
                                 .through = 77};
    struct logframe_stream streams[2] = {{.fp = {9, 1}, .min_ns = -1, .max_ns = 3, .entries = 2},
                                         {.fp = {1, 2}, .min_ns = 4, .max_ns = 9, .entries = 3}};
    struct logframe_page page = {.bytes = 4, .entries = 5, .min_ns = -1, .max_ns = 9};
    struct buf out = {0}, labels = {0}, back = {0};
    struct logframe f;
    uint32_t at;

    buf_lstr(&labels, SLICE("first"));
    buf_lstr(&labels, SLICE("second"));
    CHECK_OK(logframe_build(&head, SLICE("tenant"), streams, &page, buf_slice(&labels),
                            SLICE("page"), &out));
    CHECK_INT(out.len % 8, 0);
    CHECK_OK(logframe_open(buf_slice(&out), &f));
    CHECK_INT(f.head.through, 77);
    CHECK_INT(f.head.min_ns, -1);
    CHECK_SLICE(f.tenant, "tenant");
    CHECK_SLICE(logframe_page_bytes(&f, 0), "page");
    CHECK(logframe_find(&f, streams[1].fp, &at) && at == 1);
    CHECK(!logframe_find(&f, (struct hash128){2, 2}, &at));
    CHECK_INT(logframe_stream_at(&f, 1).max_ns, 9);
    CHECK_OK(logframe_labels(&f, &back));
    CHECK(slice_eq(buf_slice(&back), buf_slice(&labels)));
    for (size_t n = 0; n < out.len; n++) /* cut short anywhere */
        CHECK_ERR(logframe_open(slice_of(out.ptr, n), &f), ERR_CORRUPT, "frame of log lines");
    out.ptr[130] ^= 1;
    CHECK_ERR(logframe_open(buf_slice(&out), &f), ERR_CORRUPT, "checksum");
    buf_done(&out);
    buf_done(&labels);
    buf_done(&back);
}
