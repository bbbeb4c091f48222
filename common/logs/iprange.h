/*
 * IP addresses as ip("…") of LogQL has them: one address, a range from-to, or a prefix a/n, of
 * either family. A range is inclusive. Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct iprange {
    bool is_v6;
    uint8_t from[16], to[16]; /* the first 4 bytes for v4 */
};

ORR_CHECKED struct err *iprange_parse(struct slice text, struct iprange *ret);
/* Whether text is an address that lies in the range; *ret_is_ip: it is an address at all. */
bool iprange_has(const struct iprange *r, struct slice text, bool *ret_is_ip);
/* Whether an address of the range stands anywhere in the line. */
bool iprange_in_line(const struct iprange *r, struct slice line);
