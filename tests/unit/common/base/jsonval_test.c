#include "common/base/jsonval.h"
#include "tests/unit/test.h"

TEST(jsonval_walks_each_kind)
{
    struct jsonval_doc *doc;
    struct jsonval root, v;
    struct jsonval_iter it;
    struct slice key;

    CHECK_OK(jsonval_parse(SLICE("{\"t\":\"a\\u00e9\\u0000b\",\"i\":-7,\"u\":18446744073709551615,"
                                 "\"f\":1e3,\"b\":true,\"n\":null,\"l\":[1,[2],{}]}"),
                           16, &doc, &root));
    CHECK_INT(jsonval_kind(root), JSONVAL_OBJECT);
    CHECK_INT(jsonval_count(root), 7);
    it = jsonval_iter(root);
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_SLICE(key, "t");
    CHECK_INT(jsonval_kind(v), JSONVAL_TEXT);
    CHECK(slice_eq(jsonval_text(v), SLICE("a\xc3\xa9\0b")));
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_INT(jsonval_i64(v), -7);
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_INT(jsonval_kind(v), JSONVAL_U64);
    CHECK(jsonval_u64(v) == UINT64_MAX);
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_INT(jsonval_kind(v), JSONVAL_F64);
    CHECK(jsonval_f64(v) == 1000);
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_INT(jsonval_kind(v), JSONVAL_BOOL);
    CHECK(jsonval_bool(v));
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_INT(jsonval_kind(v), JSONVAL_NULL);
    CHECK_INT(jsonval_count(v), 0);
    CHECK(jsonval_next(&it, &key, &v));
    CHECK_SLICE(key, "l");
    CHECK_INT(jsonval_kind(v), JSONVAL_LIST);
    CHECK_INT(jsonval_count(v), 3);
    CHECK(!jsonval_next(&it, &key, &v));
    jsonval_free(doc);
}

TEST(jsonval_says_what_a_document_takes)
{
    struct jsonval_doc *doc;
    struct jsonval root;
    struct buf text = {0};
    size_t few;

    CHECK_OK(jsonval_parse(SLICE("\"a\""), 16, &doc, &root));
    CHECK(jsonval_memory(doc) < 256);
    jsonval_free(doc);
    buf_byte(&text, '"');
    for (int i = 0; i < 1000; i++)
        buf_str(&text, "1,");
    buf_byte(&text, '"');
    CHECK_OK(jsonval_parse(buf_slice(&text), 16, &doc, &root));
    few = jsonval_memory(doc);
    CHECK(few > 2 * 2000 && few < 2 * 2000 + 256);
    jsonval_free(doc);
    buf_byte(&text, '1');
    text.ptr[0] = '[';
    text.ptr[text.len - 2] = '1';
    text.ptr[text.len - 1] = ']';
    CHECK_OK(jsonval_parse(buf_slice(&text), 16, &doc, &root));
    CHECK(jsonval_memory(doc) > few + 1000 * 16 - 256); /* two words a number */
    jsonval_free(doc);
    buf_done(&text);
}

TEST(jsonval_refuses_what_is_no_json)
{
    static const char *const bad[] = {
        "",         "{",       "[1,]",    "{\"a\":}", "nul",
        "\"\xff\"", "[1] [2]", "[1e999]", "\"a\nb\"", "[18446744073709551616]"};
    struct jsonval_doc *doc;
    struct jsonval root;

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(jsonval_parse(slice_cstr(bad[i]), 16, &doc, &root), ERR_INVALID, "JSON: ");
    CHECK_ERR(jsonval_parse(SLICE("[[[[1]]]]"), 3, &doc, &root), ERR_INVALID, "JSON: ");
    CHECK_OK(jsonval_parse(SLICE("[[[1]]]"), 3, &doc, &root));
    jsonval_free(doc);
    jsonval_free(NULL);
}
