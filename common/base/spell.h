/*
 * Spells of trouble in the log. A bucket or a peer that is away for an hour fails whoever needs it
 * again and again, and each of them ends its error; a spell tells which of these are worth a line:
 *
 *   spell_tells(&s, "flush", e, now_ms, &left_out)
 *
 * is true for an error that says something of its own (corrupt, invalid, limit …) always; for an
 * outage (unavailable, net, timeout, forbidden, unauthorized) when it is the first of this kind and
 * doing, and then once in SPELL_REMIND_MS, with how many were left out meanwhile. Counting all of
 * them is the caller's metrics' affair.
 *
 * {0} is a spell without history. Any thread.
 */
#pragma once
#include "common/base/err.h"

#define SPELL_KINDS 16
#define SPELL_REMIND_MS (10ll * 60 * 1000)

struct spell {
    struct {
        const char *doing; /* a constant */
        enum err_code code;
        int64_t told_ms;
        uint64_t left_out;
    } kinds[SPELL_KINDS]; /* those in use first; once full, further kinds always tell */
};

bool spell_tells(struct spell *s, const char *doing, const struct err *e, int64_t now_mono_ms,
                 uint64_t *ret_left_out);
