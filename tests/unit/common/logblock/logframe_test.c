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
                                 .through = 77,
                                 .segment = ulid_make(1000, (const uint8_t *)"0123456789"),
                                 .window_ms = -7200000,
                                 .number = 4};
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
    CHECK(ulid_eq(f.head.segment, head.segment));
    CHECK_INT(f.head.window_ms, -7200000);
    CHECK_INT(f.head.number, 4);
    CHECK(!f.is_dropped);
    CHECK_SLICE(f.tenant, "tenant");
    CHECK_SLICE(logframe_page_bytes(&f, 0), "page");
    CHECK(logframe_find(&f, streams[1].fp, &at) && at == 1);
    CHECK(!logframe_find(&f, (struct hash128){2, 2}, &at));
    CHECK_INT(logframe_stream_at(&f, 1).max_ns, 9);
    CHECK_OK(logframe_labels(&f, &back));
    CHECK(slice_eq(buf_slice(&back), buf_slice(&labels)));
    for (size_t n = 0; n < out.len; n++) /* cut short anywhere */
        CHECK_ERR(logframe_open(slice_of(out.ptr, n), &f), ERR_CORRUPT, "frame of log lines");
    for (size_t i = 0; i < logframe_front_bytes(&f); i++) { /* any byte that lies */
        if (i == LOGFRAME_DROPPED_AT)
            continue;
        out.ptr[i] ^= 4;
        CHECK_ERR(logframe_open_front(buf_slice(&out), &f), i == 7 ? ERR_UNSUPPORTED : ERR_CORRUPT,
                  "frame of log lines");
        out.ptr[i] ^= 4;
    }
    out.ptr[160] ^= 1;
    CHECK_ERR(logframe_open(buf_slice(&out), &f), ERR_CORRUPT, "checksum of the tables");
    buf_done(&out);
    buf_done(&labels);
    buf_done(&back);
}

static void set_u32(uint8_t *at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

/* A frame of one page as version 2 wrote it: the page's entry is 16 bytes shorter, so all behind it moves. */
TEST(logframe_of_version_2_is_read)
{
    struct logframe_head head = {.n_streams = 1, .n_pages = 1, .entries = 1};
    struct logframe_stream stream = {.fp = {1, 1}, .entries = 1};
    struct logframe_page page = {.bytes = 16, .entries = 1, .min_ns = 5, .max_ns = 7};
    size_t front = LOGFRAME_HEADER_BYTES + 1, table = front + LOGFRAME_STREAM_BYTES, head_bytes;
    struct buf out = {0}, labels = {0};
    struct logframe f;

    buf_lstr(&labels, SLICE("first"));
    CHECK_OK(logframe_build(&head, SLICE("t"), &stream, &page, buf_slice(&labels),
                            SLICE("sixteen bytes ok"), &out));
    CHECK_OK(logframe_open(buf_slice(&out), &f));
    head_bytes = (size_t)logframe_page_at(&f, 0).offset;
    memmove(out.ptr + table + LOGFRAME_PAGE_BYTES_2, out.ptr + table + LOGFRAME_PAGE_BYTES,
            out.len - table - LOGFRAME_PAGE_BYTES);
    out.len -= 16;
    head_bytes -= 16;
    out.ptr[7] = 2;
    set_u32(out.ptr + 16, (uint32_t)out.len);
    set_u32(out.ptr + 24, (uint32_t)head_bytes);
    set_u32(out.ptr + table, (uint32_t)head_bytes);
    set_u32(out.ptr + 12, hash_crc32c(slice_of(out.ptr + front, head_bytes - front)));
    set_u32(out.ptr + 8, hash_crc32c(slice_of(out.ptr + 12, front - 12)));
    CHECK_OK(logframe_open(buf_slice(&out), &f));
    CHECK_SLICE(logframe_page_bytes(&f, 0), "sixteen bytes ok");
    CHECK_INT(logframe_page_at(&f, 0).max_ns, 7);
    CHECK(!logframe_page_at(&f, 0).has_crc);
    CHECK_INT(logframe_filter_bytes(&f, 0).len, 0);
    for (uint8_t version = 1; version <= 5; version += 4) {
        out.ptr[7] = version;
        CHECK_ERR(logframe_open(buf_slice(&out), &f), ERR_UNSUPPORTED, "versions 2 to 4");
    }
    buf_done(&out);
    buf_done(&labels);
}

TEST(logframe_of_version_3_has_no_filters_of_use)
{
    struct logframe_head head = {.n_streams = 1, .n_pages = 1, .entries = 1};
    struct logframe_stream stream = {.fp = {1, 1}, .entries = 1};
    struct logframe_page page = {.bytes = 4, .entries = 1, .filter_bytes = 8, .filter_class = 3};
    struct buf out = {0}, labels = {0};
    struct logframe f;

    buf_lstr(&labels, SLICE("first"));
    CHECK_OK(logframe_build(&head, SLICE("t"), &stream, &page, buf_slice(&labels),
                            SLICE("pagethe bits"), &out));
    CHECK_OK(logframe_open(buf_slice(&out), &f));
    CHECK_SLICE(logframe_filter_bytes(&f, 0), "the bits");
    CHECK(logframe_page_at(&f, 0).has_crc && logframe_page_is_whole(&f, 0));
    out.ptr[7] = 3;
    CHECK_OK(logframe_open(buf_slice(&out), &f));
    CHECK_SLICE(logframe_page_bytes(&f, 0), "page");
    CHECK(!logframe_page_at(&f, 0).has_crc);
    CHECK_INT(logframe_filter_bytes(&f, 0).len, 0);
    buf_done(&out);
    buf_done(&labels);
}

TEST(logframe_that_is_dropped_says_what_of_the_log_it_covers)
{
    struct logframe_head head = {.n_streams = 1, .n_pages = 1, .entries = 1, .through = 9};
    struct logframe_stream stream = {.fp = {1, 1}, .entries = 1};
    struct logframe_page page = {.bytes = 4, .entries = 1};
    struct buf out = {0}, labels = {0};
    struct logframe f;

    buf_lstr(&labels, SLICE("labels"));
    CHECK_OK(logframe_build(&head, SLICE("tenant"), &stream, &page, buf_slice(&labels),
                            SLICE("page"), &out));
    out.ptr[LOGFRAME_DROPPED_AT] = LOGFRAME_DROPPED;
    CHECK_OK(logframe_open(buf_slice(&out), &f)); /* whoever reads it at this moment goes on */
    CHECK(f.is_dropped);
    CHECK_SLICE(logframe_page_bytes(&f, 0), "page");
    memset(out.ptr + logframe_front_bytes(&f), 0, out.len - logframe_front_bytes(&f));
    CHECK_OK(logframe_open_front(buf_slice(&out), &f));
    CHECK(f.is_dropped);
    CHECK_INT(f.head.through, 9);
    CHECK_INT(f.bytes.len, out.len);
    CHECK_SLICE(f.tenant, "tenant");
    CHECK_ERR(logframe_open(buf_slice(&out), &f), ERR_CORRUPT, "it is dropped");
    buf_done(&out);
    buf_done(&labels);
}
