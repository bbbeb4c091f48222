#include "common/logs/iprange.h"

#include <arpa/inet.h>

#include "common/logs/bytescan.h"

#define MAX_TEXT 45 /* ffff:…:255.255.255.255 */

static size_t width(bool is_v6)
{
    return is_v6 ? 16 : 4;
}

static bool parse_address(struct slice text, bool *ret_is_v6, uint8_t *ret)
{
    char z[MAX_TEXT + 1];

    if (text.len > MAX_TEXT || text.len < 2 || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(z, text.ptr, text.len);
    z[text.len] = 0;
    *ret_is_v6 = strchr(z, ':') != NULL;
    return inet_pton(*ret_is_v6 ? AF_INET6 : AF_INET, z, ret) == 1;
}

static bool parse_prefix(struct slice text, size_t slash, struct iprange *r)
{
    uint64_t bits;
    size_t n;

    if (!parse_address(slice_sub(text, 0, slash), &r->is_v6, r->from) ||
        !slice_to_u64(slice_from(text, slash + 1), &bits))
        return false;
    n = width(r->is_v6);
    if (bits > n * 8)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned kept = bits > i * 8 ? (unsigned)ORR_MIN(bits - i * 8, (uint64_t)8) : 0;
        uint8_t mask = (uint8_t)(0xff00u >> kept);

        r->to[i] = (uint8_t)(r->from[i] | (uint8_t)~mask);
        r->from[i] &= mask;
    }
    return true;
}

struct err *iprange_parse(struct slice text, struct iprange *ret)
{
    ptrdiff_t slash = slice_find_byte(text, '/', 0), dash = slice_find_byte(text, '-', 0);
    struct iprange r = {0};
    bool is_ok, is_v6;

    if (slash >= 0) {
        is_ok = parse_prefix(text, (size_t)slash, &r);
    } else if (dash >= 0) {
        is_ok = parse_address(slice_sub(text, 0, (size_t)dash), &r.is_v6, r.from) &&
                parse_address(slice_from(text, (size_t)dash + 1), &is_v6, r.to) &&
                is_v6 == r.is_v6 && memcmp(r.from, r.to, width(is_v6)) <= 0;
    } else {
        is_ok = parse_address(text, &r.is_v6, r.from);
        memcpy(r.to, r.from, sizeof(r.to));
    }
    if (!is_ok)
        return err_new(ERR_INVALID, "\"%.*s\" is no address, range (from-to) or prefix (a/n)",
                       (int)ORR_MIN(text.len, (size_t)64), (const char *)text.ptr);
    *ret = r;
    return NULL;
}

bool iprange_has(const struct iprange *r, struct slice text, bool *ret_is_ip)
{
    uint8_t address[16];
    bool is_v6;

    *ret_is_ip = parse_address(text, &is_v6, address);
    return *ret_is_ip && is_v6 == r->is_v6 && memcmp(address, r->from, width(is_v6)) >= 0 &&
           memcmp(address, r->to, width(is_v6)) <= 0;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int byte_at(struct slice s, size_t i)
{
    return i < s.len ? s.ptr[i] : -1;
}

/* One to three digits and a dot (or a dot among the three bytes behind a digit, as Loki looks). */
static bool may_begin_v4(struct slice s)
{
    return s.len > 3 && is_digit(s.ptr[0]) &&
           (s.ptr[1] == '.' || s.ptr[2] == '.' || s.ptr[3] == '.');
}

static bool may_begin_v6(struct slice s)
{
    if (s.len <= 4)
        return false;
    if (s.ptr[0] == ':')
        return s.ptr[1] == ':' && is_hex(s.ptr[2]);
    for (size_t i = 0; i < 5; i++) {
        if (s.ptr[i] == ':')
            return i > 0;
        if (!is_hex(s.ptr[i]))
            return false;
    }
    return false;
}

/* Bytes of an address that lie before its first dot or colon. */
#define MAX_FRONT 4

bool iprange_in_line(const struct iprange *r, struct slice line)
{
    size_t sign = 0; /* the next dot or colon: an address begins at most so far before one */

    for (size_t i = 0; i < line.len; i++) {
        bool is_v4, is_ip;
        struct slice rest;
        size_t n = 0;

        if (sign < i || i == 0) {
            sign = bytescan_two(line, i, '.', ':');
            if (sign == line.len)
                return false;
        }
        if (sign - i > MAX_FRONT)
            i = sign - MAX_FRONT;
        rest = slice_from(line, i);
        is_v4 = may_begin_v4(rest);
        if (!is_v4 && !may_begin_v6(rest))
            continue;
        for (int c; (c = byte_at(rest, n)) >= 0; n++)
            if (c != '.' && (is_v4 ? !is_digit(c) : !is_hex(c) && c != ':'))
                break;
        if (iprange_has(r, slice_sub(rest, 0, n), &is_ip))
            return true;
        i += n;
    }
    return false;
}
