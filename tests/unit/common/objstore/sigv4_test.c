#include "common/objstore/sigv4.h"
#include "tests/unit/test.h"

/*
 * The keys and signatures of the examples that AWS publishes: the signing test suite's and those of
 * the S3 reference.
 */
#define SUITE_ACCESS "AKIDEXAMPLE"
#define SUITE_SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define S3_ACCESS "AKIAIOSFODNN7EXAMPLE"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define SUITE_TIME 1440938160 /* 2015-08-30 12:36:00 */
#define S3_TIME 1369353600    /* 2013-05-24 */
#define PAIR(n, v)                                                                                 \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

static void check_signature(struct sigv4_key key, int64_t at, struct sigv4_request req,
                            const char *names, const char *want)
{
    char date[SIGV4_DATE_BYTES];
    struct buf authorization = {0};
    struct sigv4_signed done;
    char tail[256];

    sigv4_date(at, date);
    sigv4_sign(&key, &req, date, &authorization, &done);
    CHECK_STR(done.signature, want);
    (void)snprintf(tail, sizeof(tail), ", SignedHeaders=%s, Signature=%s", names, want);
    CHECK(slice_has_suffix(buf_slice(&authorization), slice_cstr(tail)));
    CHECK(slice_has_prefix(buf_slice(&authorization), SLICE("AWS4-HMAC-SHA256 Credential=AKI")));
    buf_done(&authorization);
}

static struct sigv4_key suite_key(void)
{
    return (struct sigv4_key){SLICE(SUITE_ACCESS), SLICE(SUITE_SECRET), SLICE("us-east-1"),
                              SLICE("service")};
}

static struct sigv4_key s3_key(void)
{
    return (struct sigv4_key){SLICE(S3_ACCESS), SLICE(S3_SECRET), SLICE("us-east-1"), SLICE("s3")};
}

TEST(sigv4_signs_as_the_published_suite)
{
    static const struct sigv4_pair headers[] = {PAIR("x-amz-date", "20150830T123600Z"),
                                                PAIR("host", "example.amazonaws.com")};
    static const struct sigv4_pair query[] = {PAIR("Param2", "value2"), PAIR("Param1", "value1")};
    struct sigv4_request req = {.method = "GET",
                                .path = SLICE("/"),
                                .headers = headers,
                                .n_headers = 2,
                                .payload_hash = SLICE(SIGV4_EMPTY_HASH)};

    check_signature(suite_key(), SUITE_TIME, req, "host;x-amz-date",
                    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    req.query = query;
    req.n_query = 2;
    check_signature(suite_key(), SUITE_TIME, req, "host;x-amz-date",
                    "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(sigv4_signs_a_ranged_get)
{
    static const struct sigv4_pair headers[] = {
        PAIR("host", "examplebucket.s3.amazonaws.com"), PAIR("range", "bytes=0-9"),
        PAIR("x-amz-content-sha256", SIGV4_EMPTY_HASH), PAIR("x-amz-date", "20130524T000000Z")};

    check_signature(s3_key(), S3_TIME,
                    (struct sigv4_request){.method = "GET",
                                           .path = SLICE("/test.txt"),
                                           .headers = headers,
                                           .n_headers = ORR_COUNT(headers),
                                           .payload_hash = SLICE(SIGV4_EMPTY_HASH)},
                    "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(sigv4_signs_a_put_of_an_escaped_key)
{
    struct sigv4_pair headers[] = {
        PAIR("date", "Fri, 24 May 2013 00:00:00 GMT"),
        PAIR("host", "  examplebucket.s3.amazonaws.com "), /* white space around does not count */
        PAIR("x-amz-content-sha256", ""), PAIR("x-amz-date", "20130524T000000Z"),
        PAIR("x-amz-storage-class", "REDUCED_REDUNDANCY")};
    char hash[SIGV4_HEX_BYTES];
    struct buf path = {0};

    sigv4_sha256_hex(SLICE("Welcome to Amazon S3."), hash);
    headers[2].value = slice_cstr(hash);
    sigv4_encode(&path, SLICE("/test$file.text"));
    CHECK_SLICE(buf_slice(&path), "/test%24file.text");
    check_signature(s3_key(), S3_TIME,
                    (struct sigv4_request){.method = "PUT",
                                           .path = buf_slice(&path),
                                           .headers = headers,
                                           .n_headers = ORR_COUNT(headers),
                                           .payload_hash = slice_cstr(hash)},
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    buf_done(&path);
}

TEST(sigv4_signs_queries)
{
    static const struct sigv4_pair headers[] = {PAIR("host", "examplebucket.s3.amazonaws.com"),
                                                PAIR("x-amz-content-sha256", SIGV4_EMPTY_HASH),
                                                PAIR("x-amz-date", "20130524T000000Z")};
    static const struct sigv4_pair lifecycle[] = {PAIR("lifecycle", "")};
    static const struct sigv4_pair list[] = {PAIR("prefix", "J"), PAIR("max-keys", "2")};
    struct sigv4_request req = {.method = "GET",
                                .path = SLICE("/"),
                                .query = lifecycle,
                                .n_query = 1,
                                .headers = headers,
                                .n_headers = ORR_COUNT(headers),
                                .payload_hash = SLICE(SIGV4_EMPTY_HASH)};

    check_signature(s3_key(), S3_TIME, req, "host;x-amz-content-sha256;x-amz-date",
                    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    req.query = list;
    req.n_query = 2;
    check_signature(s3_key(), S3_TIME, req, "host;x-amz-content-sha256;x-amz-date",
                    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(sigv4_orders_a_query_as_encoded)
{
    static const struct sigv4_pair query[] = {PAIR("b", "2"), PAIR("a", "z y/+~"), PAIR("a", "1"),
                                              PAIR("\xc3\xa9", "")};
    struct buf b = {0};

    sigv4_query(&b, query, ORR_COUNT(query));
    CHECK_SLICE(buf_slice(&b), "%C3%A9=&a=1&a=z%20y%2F%2B~&b=2");
    buf_done(&b);
}

TEST(sigv4_signs_a_body_in_chunks)
{
    static const struct sigv4_pair headers[] = {PAIR("host", "s3.amazonaws.com"),
                                                PAIR("x-amz-date", "20130524T000000Z"),
                                                PAIR("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                                                PAIR("x-amz-content-sha256", SIGV4_STREAMING),
                                                PAIR("content-encoding", "aws-chunked"),
                                                PAIR("x-amz-decoded-content-length", "66560"),
                                                PAIR("content-length", "66824")};
    struct sigv4_request req = {.method = "PUT",
                                .path = SLICE("/examplebucket/chunkObject.txt"),
                                .headers = headers,
                                .n_headers = ORR_COUNT(headers),
                                .payload_hash = SLICE(SIGV4_STREAMING)};
    static const char *const want[] = {
        ("10000;chunk-signature="
         "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"),
        "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
        "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n"};
    struct sigv4_key key = s3_key();
    struct buf body = {0}, out = {0}, authorization = {0};
    char date[SIGV4_DATE_BYTES];
    struct sigv4_signed first;

    buf_fill(&body, 'a', 66560);
    sigv4_date(S3_TIME, date);
    sigv4_sign(&key, &req, date, &authorization, &first);
    CHECK_STR(first.signature, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    sigv4_chunk_body(&key, &first, date, buf_slice(&body), 64u << 10, &out);
    CHECK_INT(out.len, 66824);
    CHECK_INT(sigv4_chunked_bytes(66560, 64u << 10), 66824);
    for (size_t i = 0; i < ORR_COUNT(want); i++)
        CHECK(slice_find(buf_slice(&out), slice_cstr(want[i]), 0) >= 0);
    CHECK(slice_has_suffix(buf_slice(&out), SLICE("\r\n\r\n")));
    buf_done(&authorization);
    buf_done(&body);
    buf_done(&out);
}

TEST(sigv4_counts_the_bytes_of_chunks)
{
    static const size_t sizes[] = {0, 1, 99, 100, 101, 4096, 65535};
    char date[SIGV4_DATE_BYTES];
    struct sigv4_signed first = {.signature = SIGV4_EMPTY_HASH};
    struct sigv4_key key = s3_key();

    sigv4_date(S3_TIME, date);
    for (size_t i = 0; i < ORR_COUNT(sizes); i++) {
        struct buf body = {0}, out = {0};

        buf_fill(&body, 'x', sizes[i]);
        sigv4_chunk_body(&key, &first, date, buf_slice(&body), 100, &out);
        CHECK_INT(out.len, sigv4_chunked_bytes(sizes[i], 100));
        buf_done(&body);
        buf_done(&out);
    }
}
