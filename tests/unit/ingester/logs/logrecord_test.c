#include "ingester/logs/logrecord.h"
#include "tests/unit/test.h"

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
