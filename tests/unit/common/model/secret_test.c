#include "common/base/buf.h"
#include "common/model/secret.h"
#include "tests/unit/test.h"

/* What is found, each in brackets within the text. */
static void check(enum secret_class c, const char *text, const char *want)
{
    struct slice s = slice_cstr(text);
    size_t at = 0, start, end;
    struct buf got = {0};

    while (secret_find(c, s, at, &start, &end)) {
        CHECK(start >= at && end > start && end <= s.len);
        buf_printf(&got, "%.*s[%.*s]", SLICE_ARG(slice_sub(s, at, start - at)),
                   SLICE_ARG(slice_sub(s, start, end - start)));
        at = end;
    }
    buf_slice_append(&got, slice_from(s, at));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}

TEST(secret_finds_cards)
{
    check(SECRET_CARD, "card=4111111111111111,", "card=[4111111111111111],");
    check(SECRET_CARD, "4111 1111 1111 1111 and 3782-822463-10005.",
          "[4111 1111 1111 1111] and [3782-822463-10005].");
    check(SECRET_CARD, "7 5500005555555559 7", "7 [5500005555555559] 7");
    check(SECRET_CARD, "4111111111111112 a4111111111111111 4111111111111111b 14111111111111111",
          "4111111111111112 a4111111111111111 4111111111111111b 14111111111111111");
    /* times and ids */
    check(SECRET_CARD, "1767225600000000000 1767225600000 9111111111111111 4111  1111 1111 1111",
          "1767225600000000000 1767225600000 9111111111111111 4111  1111 1111 1111");
    check(SECRET_CARD, "", "");
    check(SECRET_CARD, "4111111111111111411111111111111141111111111111114111111111111111",
          "4111111111111111411111111111111141111111111111114111111111111111");
}

TEST(secret_finds_email)
{
    check(SECRET_EMAIL, "from <a.b+c@mail.example.com>, x@y.zz.",
          "from <[a.b+c@mail.example.com]>, [x@y.zz].");
    check(SECRET_EMAIL, "user@host @a.bc a@.bc a@b.c1 a@1.2.3.4 a@b..cd ünï@b.de",
          "user@host @a.bc a@.bc a@b.c1 a@1.2.3.4 a@b..cd ünï@b.de");
    check(SECRET_EMAIL, "mailto:a@b.de?x=c@d.fr", "mailto:[a@b.de]?x=[c@d.fr]");
}

TEST(secret_finds_addresses)
{
    check(SECRET_IP, "from 10.0.0.1:8080 (client:192.168.1.255)",
          "from [10.0.0.1]:8080 (client:[192.168.1.255])");
    check(SECRET_IP, "1.2.3 1.2.3.4.5 256.1.1.1 v1.2.3.4 1.2.3.4a",
          "1.2.3 1.2.3.4.5 256.1.1.1 v1.2.3.4 1.2.3.4a");
    check(SECRET_IP, "[2001:db8::1]:80 ::1 fe80::a%eth0 ::ffff:10.1.2.3",
          "[[2001:db8::1]]:80 [::1] [fe80::a]%eth0 [::ffff:10.1.2.3]");
    check(SECRET_IP, "at 12:34:56 std::string abc::def 1.2.3.4.",
          "at 12:34:56 std::string abc::def [1.2.3.4].");
    check(SECRET_IP, "2001:db8:0:0:0:0:0:1: up", "[2001:db8:0:0:0:0:0:1]: up");
}

TEST(secret_finds_tokens)
{
    check(SECRET_BEARER, "Authorization: Bearer abc123def==, x",
          "Authorization: Bearer [abc123def==], x");
    check(SECRET_BEARER, "bearer certificates BEARER  aaaaaaaaaaaaaaaaaaaaa",
          "bearer certificates BEARER  [aaaaaaaaaaaaaaaaaaaaa]");
    check(SECRET_BEARER, "t=eyJhbGciOiJI.eyJzdWIiOiIx.SflKxw_-c \"",
          "t=[eyJhbGciOiJI.eyJzdWIiOiIx.SflKxw_-c] \"");
    check(SECRET_BEARER, "eyJhbGciOiJI.short.x xeyJhbGciOiJI.eyJzdWIiOiIx.S bearer",
          "eyJhbGciOiJI.short.x xeyJhbGciOiJI.eyJzdWIiOiIx.S bearer");
}
