/*
 * AWS Signature Version 4, in headers: who may ask an S3 server what.
 *
 *   canonical request   method, path, sorted query, sorted headers, names of those, payload hash
 *   string to sign      "AWS4-HMAC-SHA256", date, scope (day/region/service/aws4_request), SHA-256
 *                       of the canonical request
 *   signature           HMAC-SHA256 of that under a key derived from secret, day, region, service
 *
 * The payload hash is the hexadecimal SHA-256 of the body, SIGV4_UNSIGNED, or SIGV4_STREAMING: then
 * the body goes in chunks, each signed over the one before it:
 *
 *   <hex length>;chunk-signature=<64 hex digits>\r\n<bytes>\r\n   …   0;chunk-signature=…\r\n\r\n
 *
 * Pure: no clock, no network. Any thread. Secrets pass through and are not kept.
 */
#pragma once
#include "common/base/buf.h"

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGV4_STREAMING "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define SIGV4_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIGV4_HEX_BYTES 65  /* of a SHA-256 with its NUL */
#define SIGV4_DATE_BYTES 17 /* "20130524T000000Z" */
#define SIGV4_MAX_PAIRS 32  /* headers or query parameters; asserted */

struct sigv4_key {
    struct slice access, secret, region, service;
};

struct sigv4_pair {
    struct slice name, value;
};

struct sigv4_request {
    const char *method;
    struct slice path;              /* as it goes over the wire: sigv4_encode()d, begins with "/" */
    const struct sigv4_pair *query; /* not encoded, any order */
    size_t n_query;
    const struct sigv4_pair *headers; /* names in lower case, any order; host and x-amz-date among
                                         them */
    size_t n_headers;
    struct slice payload_hash;
};

struct sigv4_signed {
    char signature[SIGV4_HEX_BYTES];
    char signing_key[32]; /* bytes: what the chunks of a streamed body are signed with */
};

void sigv4_date(int64_t unix_s, char ret[static SIGV4_DATE_BYTES]);
void sigv4_sha256_hex(struct slice s, char ret[static SIGV4_HEX_BYTES]);
/* Percent-encodes a path, its slashes kept: all but A-Z a-z 0-9 - . _ ~ and "/". */
void sigv4_encode(struct buf *out, struct slice path);
/* "a=1&b=2": encoded and in the order that is signed, so the URL can be made of it. */
void sigv4_query(struct buf *out, const struct sigv4_pair *query, size_t n);
/* Appends the value of the Authorization header. date: as from sigv4_date(). */
void sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *req,
                const char date[static SIGV4_DATE_BYTES], struct buf *out_authorization,
                struct sigv4_signed *ret);

/* Length of a body of n bytes once it is in chunks of chunk_bytes. */
uint64_t sigv4_chunked_bytes(uint64_t n, size_t chunk_bytes);
/* Appends the body in signed chunks. first: of the request, signed with SIGV4_STREAMING. */
void sigv4_chunk_body(const struct sigv4_key *key, const struct sigv4_signed *first,
                      const char date[static SIGV4_DATE_BYTES], struct slice body,
                      size_t chunk_bytes, struct buf *out);
