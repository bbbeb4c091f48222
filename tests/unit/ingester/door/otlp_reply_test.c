#include "ingester/door/otlp_reply.h"
#include "tests/unit/test.h"

static void check_status(enum err_code code, int http, const char *json)
{
    struct err *e = err_new(code, "why \"so\"");
    struct buf out = {0};

    CHECK_INT(otlp_reply_http_status(e), http);
    otlp_reply_status(&out, true, e);
    CHECK_STR(buf_cstr(&out), json);
    err_free(e);
    buf_done(&out);
}

TEST(otlp_reply_writes_both_encodings)
{
    struct err *e = err_new(ERR_INVALID, "no");
    struct buf out = {0};

    otlp_reply_response(&out, false, 0, NULL);
    CHECK_INT(out.len, 0);
    otlp_reply_response(&out, true, 0, NULL);
    CHECK_STR(buf_cstr(&out), "{}");
    buf_reset(&out);
    otlp_reply_response(&out, true, 300, "a\"b");
    CHECK_STR(buf_cstr(&out),
              "{\"partialSuccess\":{\"rejectedDataPoints\":\"300\",\"errorMessage\":\"a\\\"b\"}}");
    buf_reset(&out);
    otlp_reply_response(&out, false, 300, "ab");
    CHECK(slice_eq(buf_slice(&out), SLICE("\x0a\x07\x08\xac\x02\x12\x02"
                                          "ab")));
    buf_reset(&out);
    otlp_reply_status(&out, false, e);
    CHECK(slice_eq(buf_slice(&out), SLICE("\x08\x03\x12\x02no")));
    buf_reset(&out);
    otlp_reply_response(&out, false, 1, "a\xff"); /* not UTF-8 */
    CHECK(slice_eq(buf_slice(&out), SLICE("\x0a\x08\x08\x01\x12\x04"
                                          "a\xef\xbf\xbd")));
    err_free(e);
    buf_done(&out);
}

TEST(otlp_reply_statuses_say_what_may_be_tried_again)
{
    check_status(ERR_INVALID, 400, "{\"code\":3,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_UNSUPPORTED, 500, "{\"code\":3,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_MEDIA_TYPE, 400, "{\"code\":3,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_RATE, 429, "{\"code\":8,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_UNAVAILABLE, 503, "{\"code\":14,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_UNAUTHORIZED, 401, "{\"code\":16,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_TOO_LARGE, 413, "{\"code\":8,\"message\":\"why \\\"so\\\"\"}");
    check_status(ERR_LIMIT, 413, "{\"code\":8,\"message\":\"why \\\"so\\\"\"}");
}
