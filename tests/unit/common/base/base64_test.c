#include "common/base/base64.h"
#include "tests/unit/test.h"

static void check_pair(struct slice plain, const char *padded, const char *bare)
{
    struct buf b = {0};

    base64_encode(plain, true, &b);
    CHECK_STR(buf_cstr(&b), padded);
    buf_reset(&b);
    base64_encode(plain, false, &b);
    CHECK_STR(buf_cstr(&b), bare);
    buf_reset(&b);
    CHECK(base64_decode(slice_cstr(padded), &b));
    CHECK(slice_eq(buf_slice(&b), plain));
    buf_reset(&b);
    CHECK(base64_decode(slice_cstr(bare), &b));
    CHECK(slice_eq(buf_slice(&b), plain));
    buf_done(&b);
}

TEST(base64_both_ways)
{
    check_pair(SLICE(""), "", "");
    check_pair(SLICE("f"), "Zg==", "Zg");
    check_pair(SLICE("fo"), "Zm8=", "Zm8");
    check_pair(SLICE("foo"), "Zm9v", "Zm9v");
    check_pair(SLICE("foobar"), "Zm9vYmFy", "Zm9vYmFy");
    check_pair(SLICE("\xfb\xef\xff\0"), "++//AA==", "++//AA");
}

TEST(base64_takes_the_url_alphabet_and_nothing_malformed)
{
    static const char *const bad[] = {"A", "AAAAA", "A===", "AA=", "====", "AA=A", "A A=", "AA\n="};
    struct buf b = {0};

    CHECK(base64_decode(SLICE("--__"), &b));
    CHECK(slice_eq(buf_slice(&b), SLICE("\xfb\xef\xff")));
    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        if (base64_decode(slice_cstr(bad[i]), &b))
            test_fail(__FILE__, __LINE__, "\"%s\" was decoded", bad[i]);
        CHECK_INT(b.len, 3);
    }
    buf_done(&b);
}
