/*
 * Sizes in bytes as Loki and its kin read and write them: "1.5 MiB", "10kB". Units B, kB … EB are
 * powers of 1000, KiB … EiB of 1024; case does not count, the B may be left out. Any thread.
 */
#pragma once
#include "common/base/buf.h"

/* A decimal number and a unit or none, with spaces between. False if malformed or beyond 64 bits.
 * A fraction of a byte is cut off. */
bool gosize_parse(struct slice text, uint64_t *ret);
/* In powers of 1000 with two digits at most before a unit: "2.6 kB", "512 B", "10 GB". */
void gosize_print(struct buf *out, uint64_t bytes);
