/*
 * The shortest decimal digits that read back as the same double, the nearest of them if there are
 * several. Most bytes of an answer of PromQL are such digits; std::to_chars takes several times as
 * long for them.
 *
 * Algorithm: Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles", 2020): three
 * products of 64 with 128 bits, no loop. Its table of powers of ten (10 KiB) is computed at first use.
 *
 * Any thread.
 */
#pragma once
#include <stdint.h>

struct num_short {
    uint64_t digits; /* at most 17 of them, the last not 0 */
    int exp10;       /* value = digits x 10^exp10 */
};

/* v: finite and above 0. */
struct num_short num_shortest(double v);
