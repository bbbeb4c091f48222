#include "common/objstore/s3profile.h"
#include "tests/unit/test.h"

static const char file[] = "# comment\n"
                           "aws_access_key_id = nobody's\n"
                           "[other]\r\n"
                           "aws_access_key_id=O\r\n"
                           "AWS_SECRET_ACCESS_KEY = o/+=\r\n"
                           " ; aws_session_token = no\r\n"
                           "[ default ]\n"
                           "aws_access_key_id\n"
                           "aws_access_key_id = first\n"
                           "aws_access_key_id = A\n"
                           "aws_secret_access_key =  S \n"
                           "aws_session_token = T\n"
                           "region = eu-west-1\n"
                           "[empty]\n"
                           "[profile named]\n"
                           "aws_access_key_id = N\naws_secret_access_key = n";

TEST(s3profile_finds_profiles)
{
    struct s3profile p;

    CHECK_OK(s3profile_parse(slice_cstr(file), SLICE("default"), &p));
    CHECK_SLICE(p.access, "A");
    CHECK_SLICE(p.secret, "S");
    CHECK_SLICE(p.token, "T");
    CHECK_OK(s3profile_parse(slice_cstr(file), SLICE("other"), &p));
    CHECK_SLICE(p.access, "O");
    CHECK_SLICE(p.secret, "o/+=");
    CHECK_SLICE(p.token, "");
    CHECK_OK(s3profile_parse(slice_cstr(file), SLICE("named"), &p));
    CHECK_SLICE(p.secret, "n");
}

TEST(s3profile_says_what_is_missing)
{
    struct buf big = {0};
    struct s3profile p;

    CHECK_ERR(s3profile_parse(slice_cstr(file), SLICE("nope"), &p), ERR_NOT_FOUND, "nope");
    CHECK_ERR(s3profile_parse(slice_cstr(file), SLICE("empty"), &p), ERR_INVALID, "no keys");
    CHECK_ERR(s3profile_parse(SLICE(""), SLICE("default"), &p), ERR_NOT_FOUND, "");
    buf_fill(&big, 'x', S3PROFILE_MAX_BYTES + 1);
    CHECK_ERR(s3profile_parse(buf_slice(&big), SLICE("default"), &p), ERR_TOO_LARGE, "");
    buf_done(&big);
}
