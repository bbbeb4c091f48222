#include "common/logblock/logframe.h"
#include "ingester/logs/logrecord.h"
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

TEST(logrecord_comes_back)
{
    struct label meta[] = {{SLICE("a"), SLICE("1")}, {SLICE("b"), SLICE("")}};
    struct buf entries = {0}, out = {0};
    struct arena *a = arena_new(0);
    struct logrecord_stream s;
    struct logrecord_entry en;
    struct labels ls;
    struct reader r, er;
    uint32_t shard;

    logrecord_entry(&entries, -5, SLICE("line"), (struct labels){meta, 2});
    logrecord_entry(&entries, 7, SLICE(""), (struct labels){0});
    logrecord_begin(&out, 12);
    logrecord_stream(&out, (struct hash128){1, 2}, SLICE("labels"), 2, buf_slice(&entries));
    CHECK(logrecord_open(buf_slice(&out), &shard, &r));
    CHECK_INT(shard, 12);
    CHECK(logrecord_next_stream(&r, &s));
    CHECK_SLICE(s.labels, "labels");
    CHECK(logrecord_entries_valid(&s));
    er = reader_new(s.entries);
    CHECK(logrecord_next_entry(&er, &en));
    CHECK_INT(en.t_ns, -5);
    CHECK_SLICE(en.line, "line");
    CHECK(logrecord_metadata(a, en.metadata, &ls));
    CHECK_INT(ls.n, 2);
    CHECK_SLICE(ls.ptr[0].value, "1");
    CHECK(logrecord_next_entry(&er, &en) && !logrecord_next_entry(&er, &en) && reader_ok(&er));
    CHECK(!logrecord_next_stream(&r, &s) && reader_ok(&r));
    r = reader_new(slice_of(out.ptr + 3, out.len - 4)); /* cut short */
    CHECK(!logrecord_next_stream(&r, &s) && !reader_ok(&r));
    arena_free(a);
    buf_done(&entries);
    buf_done(&out);
}
