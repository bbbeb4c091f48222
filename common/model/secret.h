/*
 * Texts in log lines that should not be stored, by class:
 *
 *   card     13 to 19 digits, single spaces or dashes between groups of them, that begin like a payment
 *            card's and have its check digit (Luhn)
 *   email    local@host.tld
 *   ip       IPv4; IPv6 with a digit in it
 *   bearer   what follows "bearer " (any case), 8 bytes with a digit or 20 bytes; a JWT anywhere
 *
 * A match stands for itself: what letters, digits and the like go on with is none. All take time linear
 * in the text. Any thread.
 */
#pragma once
#include "common/base/slice.h"

#define SECRET_CLASSES(X)                                                                          \
    X(SECRET_CARD, "card")                                                                         \
    X(SECRET_EMAIL, "email")                                                                       \
    X(SECRET_IP, "ip")                                                                             \
    X(SECRET_BEARER, "bearer")
enum secret_class {
#define X(sym, name) sym,
    SECRET_CLASSES(X)
#undef X
        SECRET_CLASS_COUNT
};

bool secret_class_from_name(struct slice name, enum secret_class *ret);
/* The first at or after from: the bytes [*ret_start, *ret_end) of text. */
bool secret_find(enum secret_class c, struct slice text, size_t from, size_t *ret_start,
                 size_t *ret_end);
