#include "common/objstore/s3answer.h"
#include "tests/unit/test.h"

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

TEST(s3answer_reads_errors)
{
    struct arena *a = arena_new(0);
    struct s3answer_error r;

    s3answer_error(a,
                   SLICE("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code>"
                         "<Message>Reduce your &lt;rate&gt;.</Message></Error>"),
                   &r);
    CHECK_SLICE(r.code, "SlowDown");
    CHECK_SLICE(r.message, "Reduce your <rate>.");
    s3answer_error(
        a,
        SLICE("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"
              "<Type>Sender</Type><Code>AccessDenied</Code><Message>m</Message></Error>"
              "<RequestId>1</RequestId></ErrorResponse>"),
        &r);
    CHECK_SLICE(r.code, "AccessDenied");
    s3answer_error(a,
                   SLICE("<Error><Code>AuthorizationHeaderMalformed</Code>"
                         "<Region>eu-west-1</Region></Error>"),
                   &r);
    CHECK_SLICE(r.region, "eu-west-1");
    s3answer_error(a, SLICE("<html>503 <br></html>"), &r);
    CHECK_SLICE(r.code, "");
    s3answer_error(a, SLICE(""), &r);
    CHECK_SLICE(r.code, "");
    arena_free(a);
}

TEST(s3answer_reads_listings)
{
    static const char doc[] =
        "<ListBucketResult" NS "><Name>b</Name><Prefix>m/</Prefix>%s<IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t+/=</NextContinuationToken>"
        "<Contents><Key>m/z</Key><LastModified>2026-11-28T05:41:07.123Z</LastModified>"
        "<ETag>&quot;x&quot;</ETag><Size>12</Size></Contents>"
        "<Contents><Key>m/a%%20b+c&amp;</Key><Size>0</Size></Contents>"
        "<CommonPrefixes><Prefix>m/d/</Prefix></CommonPrefixes></ListBucketResult>";
    struct arena *a = arena_new(0);
    struct s3answer_list l;

    CHECK_OK(s3answer_list(a, slice_cstr(arena_printf(a, doc, "")), &l));
    CHECK_INT(l.n, 3);
    CHECK_SLICE(l.ptr[0].key, "m/a%20b+c&");
    CHECK_SLICE(l.ptr[1].key, "m/d/");
    CHECK(l.ptr[1].is_prefix && !l.ptr[0].is_prefix);
    CHECK_SLICE(l.ptr[2].key, "m/z");
    CHECK_INT(l.ptr[2].bytes, 12);
    CHECK_INT(l.ptr[2].modified_ms, 1795844467123);
    CHECK(l.is_truncated);
    CHECK_SLICE(l.next, "t+/=");
    /* only when the server says so */
    CHECK_OK(
        s3answer_list(a, slice_cstr(arena_printf(a, doc, "<EncodingType>url</EncodingType>")), &l));
    CHECK_SLICE(l.ptr[0].key, "m/a b c&");
    arena_free(a);
}

TEST(s3answer_refuses_listings_that_are_none)
{
    struct arena *a = arena_new(0);
    struct s3answer_list l;

    CHECK_ERR(s3answer_list(a, SLICE("<html></html>"), &l), ERR_CORRUPT, "html");
    CHECK_ERR(s3answer_list(a, SLICE("<ListBucketResult><Contents><Key>a</Key>"), &l), ERR_CORRUPT,
              "early");
    CHECK_ERR(s3answer_list(a,
                            SLICE("<ListBucketResult><IsTruncated>true</IsTruncated>"
                                  "</ListBucketResult>"),
                            &l),
              ERR_CORRUPT, "goes on");
    CHECK_ERR(s3answer_list(a,
                            SLICE("<ListBucketResult><Contents><Size>-1</Size></Contents>"
                                  "</ListBucketResult>"),
                            &l),
              ERR_CORRUPT, "number");
    CHECK_OK(s3answer_list(a, SLICE("<ListBucketResult/>"), &l));
    CHECK_INT(l.n, 0);
    arena_free(a);
}

TEST(s3answer_reads_multipart_answers)
{
    struct arena *a = arena_new(0);
    struct slice text;
    struct s3answer_error error;
    struct s3answer_uploads up;

    CHECK_OK(s3answer_upload_id(a,
                                SLICE("<InitiateMultipartUploadResult><UploadId>u1</UploadId>"
                                      "</InitiateMultipartUploadResult>"),
                                &text));
    CHECK_SLICE(text, "u1");
    CHECK_ERR(s3answer_upload_id(a, SLICE("<InitiateMultipartUploadResult/>"), &text), ERR_CORRUPT,
              "id");
    CHECK_OK(s3answer_complete(a,
                               SLICE("\n<CompleteMultipartUploadResult><ETag>\"abc-2\"</ETag>"
                                     "</CompleteMultipartUploadResult>"),
                               &text, &error));
    CHECK_SLICE(text, "abc-2");
    CHECK_OK(
        s3answer_complete(a, SLICE("<Error><Code>InternalError</Code></Error>"), &text, &error));
    CHECK_SLICE(text, "");
    CHECK_SLICE(error.code, "InternalError");
    CHECK_OK(s3answer_uploads(
        a,
        SLICE("<ListMultipartUploadsResult><Upload><Key>a%20b</Key><UploadId>i</UploadId>"
              "<Initiated>1970-01-01T00:00:01Z</Initiated></Upload><Upload/>"
              "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
              "<NextKeyMarker>a%20b</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker>"
              "</ListMultipartUploadsResult>"),
        &up));
    CHECK_INT(up.n, 1);
    CHECK_SLICE(up.ptr[0].key, "a b");
    CHECK_INT(up.ptr[0].started_ms, 1000);
    CHECK(up.is_truncated);
    CHECK_SLICE(up.next_key, "a b");
    arena_free(a);
}

TEST(s3answer_reads_deletions)
{
    struct arena *a = arena_new(0);
    struct s3answer_deleted d;

    CHECK_OK(s3answer_deleted(
        a,
        SLICE("<DeleteResult><Deleted><Key>a</Key></Deleted>"
              "<Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
              "<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
              "<Error><Key>c</Key><Code>InternalError</Code></Error></DeleteResult>"),
        &d));
    CHECK_INT(d.n_failed, 2);
    CHECK_SLICE(d.key, "b");
    CHECK_SLICE(d.code, "AccessDenied");
    CHECK_OK(s3answer_deleted(a, SLICE("<DeleteResult/>"), &d));
    CHECK_INT(d.n_failed, 0);
    arena_free(a);
}

TEST(s3answer_reads_roles)
{
    struct arena *a = arena_new(0);
    struct s3answer_role r;

    CHECK_OK(s3answer_role(
        a,
        SLICE("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
              "<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
              "<SessionToken>T</SessionToken><Expiration>2026-11-28T06:41:07Z</Expiration>"
              "</Credentials></AssumeRoleWithWebIdentityResult>"
              "</AssumeRoleWithWebIdentityResponse>"),
        &r));
    CHECK_SLICE(r.access, "A");
    CHECK_SLICE(r.secret, "S");
    CHECK_SLICE(r.token, "T");
    CHECK_INT(r.expires_ms, 1795848067000);
    CHECK_ERR(s3answer_role(a, SLICE("<AssumeRoleWithWebIdentityResponse/>"), &r), ERR_CORRUPT,
              "whole");
    arena_free(a);
}

TEST(s3answer_takes_quotes_off_etags)
{
    CHECK_SLICE(s3answer_etag(SLICE("\"abc\"")), "abc");
    CHECK_SLICE(s3answer_etag(SLICE(" abc ")), "abc");
    CHECK_SLICE(s3answer_etag(SLICE("W/\"abc\"")), "abc");
    CHECK_SLICE(s3answer_etag(SLICE("\"")), "\"");
    CHECK_SLICE(s3answer_etag(SLICE("")), "");
}
