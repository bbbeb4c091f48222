#include "common/objstore/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <time.h>

#include "common/net/http.h"

#define DAY_BYTES 8
#define SHA_BYTES 32
#define CHUNK_FIXED (sizeof(";chunk-signature=") - 1 + SIGV4_HEX_BYTES - 1 + 4) /* two CRLF */

/* ---- pieces ---- */

void sigv4_date(int64_t unix_s, char ret[static SIGV4_DATE_BYTES])
{
    time_t t = (time_t)unix_s;
    struct tm tm;

    /* A clock beyond year 9999 has no such date; any server refuses what comes of 1970. */
    if (!gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900 || tm.tm_year < 0) {
        t = 0;
        (void)gmtime_r(&t, &tm);
    }
    (void)strftime(ret, SIGV4_DATE_BYTES, "%Y%m%dT%H%M%SZ", &tm);
}

static void to_hex(const uint8_t *p, char ret[static SIGV4_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SHA_BYTES; i++) {
        ret[2 * i] = digits[p[i] >> 4];
        ret[2 * i + 1] = digits[p[i] & 15];
    }
    ret[2 * SHA_BYTES] = '\0';
}

void sigv4_sha256_hex(struct slice s, char ret[static SIGV4_HEX_BYTES])
{
    uint8_t sum[SHA_BYTES];
    int ok = EVP_Digest(s.ptr, s.len, sum, NULL, EVP_sha256(), NULL);

    ORR_ASSERT(ok == 1);
    to_hex(sum, ret);
}

static void hmac(struct slice key, struct slice s, uint8_t ret[static SHA_BYTES])
{
    const void *done = HMAC(EVP_sha256(), key.ptr, (int)key.len, s.ptr, s.len, ret, NULL);

    ORR_ASSERT(done);
}

void sigv4_encode(struct buf *out, struct slice path)
{
    ptrdiff_t slash;

    while ((slash = slice_find_byte(path, '/', 0)) >= 0) {
        http_escape(slice_sub(path, 0, (size_t)slash), out);
        buf_byte(out, '/');
        path = slice_from(path, (size_t)slash + 1);
    }
    http_escape(path, out);
}

static int by_name(const void *a, const void *b)
{
    const struct sigv4_pair *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    return c ? c : slice_cmp(x->value, y->value);
}

static void sort(struct sigv4_pair *dst, const struct sigv4_pair *src, size_t n)
{
    ORR_ASSERT(n <= SIGV4_MAX_PAIRS);
    if (n == 0)
        return;
    memcpy(dst, src, n * sizeof(*src));
    qsort(dst, n, sizeof(*dst), by_name);
}

/* The order is that of the encoded texts: "%" sorts before letters, bytes over 0x7f would not. */
void sigv4_query(struct buf *out, const struct sigv4_pair *query, size_t n)
{
    struct sigv4_pair encoded[SIGV4_MAX_PAIRS], sorted[SIGV4_MAX_PAIRS];
    size_t ends[2 * SIGV4_MAX_PAIRS], at = 0;
    struct buf text = {0};

    ORR_ASSERT(n <= SIGV4_MAX_PAIRS);
    for (size_t i = 0; i < n; i++) {
        http_escape(query[i].name, &text);
        ends[2 * i] = text.len;
        http_escape(query[i].value, &text);
        ends[2 * i + 1] = text.len;
    }
    for (size_t i = 0; i < n; i++) {
        encoded[i].name = slice_of(text.ptr + at, ends[2 * i] - at);
        encoded[i].value = slice_of(text.ptr + ends[2 * i], ends[2 * i + 1] - ends[2 * i]);
        at = ends[2 * i + 1];
    }
    sort(sorted, encoded, n);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, '&');
        buf_slice_append(out, sorted[i].name);
        buf_byte(out, '=');
        buf_slice_append(out, sorted[i].value);
    }
    buf_done(&text);
}

/* Trimmed, and each run of spaces within as one. */
static void header_value(struct buf *out, struct slice v)
{
    v = slice_trim(v);
    for (size_t i = 0; i < v.len; i++)
        if (v.ptr[i] != ' ' || v.ptr[i - 1] != ' ')
            buf_byte(out, v.ptr[i]);
}

/* "host;x-amz-date" */
static void signed_names(struct buf *out, const struct sigv4_pair *sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && slice_eq(sorted[i].name, sorted[i - 1].name))
            continue;
        if (i)
            buf_byte(out, ';');
        buf_slice_append(out, sorted[i].name);
    }
}

static void canonical(struct buf *out, const struct sigv4_request *req,
                      const struct sigv4_pair *headers)
{
    buf_str(out, req->method);
    buf_byte(out, '\n');
    buf_slice_append(out, req->path);
    buf_byte(out, '\n');
    sigv4_query(out, req->query, req->n_query);
    for (size_t i = 0; i < req->n_headers; i++) {
        /* a name that comes again adds its value behind a comma */
        bool is_more = i && slice_eq(headers[i].name, headers[i - 1].name);

        buf_byte(out, is_more ? ',' : '\n');
        if (!is_more) {
            buf_slice_append(out, headers[i].name);
            buf_byte(out, ':');
        }
        header_value(out, headers[i].value);
    }
    buf_str(out, "\n\n");
    signed_names(out, headers, req->n_headers);
    buf_byte(out, '\n');
    buf_slice_append(out, req->payload_hash);
}

static void derive(const struct sigv4_key *key, struct slice day, char ret[static SHA_BYTES])
{
    const struct slice steps[] = {day, key->region, key->service, SLICE("aws4_request")};
    struct buf secret = {0};
    uint8_t sum[SHA_BYTES];
    struct slice with;

    buf_str(&secret, "AWS4");
    buf_slice_append(&secret, key->secret);
    with = buf_slice(&secret);
    for (size_t i = 0; i < ORR_COUNT(steps); i++) {
        uint8_t next[SHA_BYTES];

        hmac(with, steps[i], next);
        memcpy(sum, next, sizeof(sum));
        with = slice_of(sum, sizeof(sum));
    }
    memcpy(ret, sum, SHA_BYTES);
    OPENSSL_cleanse(secret.ptr, secret.len);
    OPENSSL_cleanse(sum, sizeof(sum));
    buf_done(&secret);
}

static void scope(struct buf *out, const struct sigv4_key *key, const char *date)
{
    buf_printf(out, "%.*s/%.*s/%.*s/aws4_request", DAY_BYTES, date, SLICE_ARG(key->region),
               SLICE_ARG(key->service));
}

/* ---- a request ---- */

void sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *req,
                const char date[static SIGV4_DATE_BYTES], struct buf *out_authorization,
                struct sigv4_signed *ret)
{
    struct sigv4_pair headers[SIGV4_MAX_PAIRS];
    struct buf text = {0};
    char hash[SIGV4_HEX_BYTES];
    uint8_t sum[SHA_BYTES];

    sort(headers, req->headers, req->n_headers);
    canonical(&text, req, headers);
    sigv4_sha256_hex(buf_slice(&text), hash);

    buf_reset(&text);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n", date);
    scope(&text, key, date);
    buf_printf(&text, "\n%s", hash);
    derive(key, slice_of(date, DAY_BYTES), ret->signing_key);
    hmac(slice_of(ret->signing_key, SHA_BYTES), buf_slice(&text), sum);
    to_hex(sum, ret->signature);

    buf_printf(out_authorization, "AWS4-HMAC-SHA256 Credential=%.*s/", SLICE_ARG(key->access));
    scope(out_authorization, key, date);
    buf_str(out_authorization, ", SignedHeaders=");
    signed_names(out_authorization, headers, req->n_headers);
    buf_printf(out_authorization, ", Signature=%s", ret->signature);
    buf_done(&text);
}

/* ---- a body in chunks ---- */

static size_t hex_digits(uint64_t n)
{
    size_t digits = 1;

    while (n >>= 4)
        digits++;
    return digits;
}

uint64_t sigv4_chunked_bytes(uint64_t n, size_t chunk_bytes)
{
    uint64_t whole = n / chunk_bytes, rest = n % chunk_bytes;
    uint64_t total = whole * (hex_digits(chunk_bytes) + CHUNK_FIXED + chunk_bytes);

    if (rest)
        total += hex_digits(rest) + CHUNK_FIXED + rest;
    return total + hex_digits(0) + CHUNK_FIXED;
}

void sigv4_chunk_body(const struct sigv4_key *key, const struct sigv4_signed *first,
                      const char date[static SIGV4_DATE_BYTES], struct slice body,
                      size_t chunk_bytes, struct buf *out)
{
    char last[SIGV4_HEX_BYTES], hash[SIGV4_HEX_BYTES];
    struct buf text = {0};
    struct slice piece;

    memcpy(last, first->signature, sizeof(last));
    do {
        uint8_t sum[SHA_BYTES];

        piece = slice_sub(body, 0, chunk_bytes);
        body = slice_from(body, piece.len);
        sigv4_sha256_hex(piece, hash);
        buf_reset(&text);
        buf_printf(&text, "AWS4-HMAC-SHA256-PAYLOAD\n%s\n", date);
        scope(&text, key, date);
        buf_printf(&text, "\n%s\n" SIGV4_EMPTY_HASH "\n%s", last, hash);
        hmac(slice_of(first->signing_key, SHA_BYTES), buf_slice(&text), sum);
        to_hex(sum, last);
        buf_printf(out, "%zx;chunk-signature=%s\r\n", piece.len, last);
        buf_slice_append(out, piece);
        buf_str(out, "\r\n");
    } while (piece.len);
    buf_done(&text);
}
