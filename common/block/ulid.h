/*
 * ULIDs name blocks: 48 bits of Unix milliseconds, then 80 bits, printed as 26 characters of
 * Crockford's base 32; the order of the bytes, of the text and of the times is the same.
 *
 * A block that is made from inputs takes a derived id: the same inputs give the same id in every
 * process, so two that race write the same object.
 *
 * Any thread.
 */
#pragma once
#include "common/base/slice.h"

struct ulid {
    uint8_t bytes[16];
};

#define ULID_TEXT_LEN 26
struct ulid_text {
    char s[ULID_TEXT_LEN + 1]; /* NUL-terminated */
};

/* time_ms is cut to 48 bits (negative: 0). entropy: 10 bytes. */
struct ulid ulid_make(int64_t time_ms, const uint8_t entropy[10]);
/* entropy = a 128-bit hash of the parts (each with its length), folded to 80 bits; order counts. */
struct ulid ulid_derive(int64_t time_ms, const struct slice *parts, size_t n);
struct ulid_text ulid_print(struct ulid u);
/* Accepts upper and lower case. False if malformed or above the largest ULID. */
bool ulid_parse(struct slice text, struct ulid *ret);
int64_t ulid_time_ms(struct ulid u);
int ulid_cmp(struct ulid a, struct ulid b);
static inline bool ulid_eq(struct ulid a, struct ulid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}
bool ulid_is_zero(struct ulid u);
