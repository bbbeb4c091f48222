/*
 * Times as logs write them, as whole numbers and back:
 *
 *   LOGSTAMP_ISO     2026-11-29T10:04:05.123456Z   any byte for T, . or , and up to 9 digits or none
 *   LOGSTAMP_CLF     29/Nov/2026:10:04:05 +0000
 *   LOGSTAMP_CLOCK   10:04:05.123
 *
 * What is behind the digits (a zone) must be the same in all texts of a form: it is the tail. The number
 * counts the smallest unit that is written, from 1970 or midnight; a form and a number give the text
 * exactly.
 *
 * Any thread.
 */
#pragma once
#include "common/base/slice.h"

#define LOGSTAMP_MAX_BYTES 64
#define LOGSTAMP_MAX_TAIL 16

enum logstamp_layout { LOGSTAMP_ISO, LOGSTAMP_CLF, LOGSTAMP_CLOCK, LOGSTAMP_LAYOUTS };

struct logstamp {
    uint8_t layout;
    uint8_t between; /* ISO: the byte between date and time */
    uint8_t point;   /* the byte before the fraction */
    uint8_t digits;  /* of the fraction; 0: none, and no point */
    struct slice tail;
};

/* The form of text, if it is a time; the tail is lent from it. */
bool logstamp_guess(struct slice text, struct logstamp *ret);
/* False unless text has this form, and a number for it: nanoseconds end in 2262. */
bool logstamp_parse(const struct logstamp *f, struct slice text, int64_t *ret);
/* Whether a form that was read is one. */
bool logstamp_is_valid(const struct logstamp *f);
/* Writes at most LOGSTAMP_MAX_BYTES; returns how many. Numbers out of range become some other time. */
size_t logstamp_write(const struct logstamp *f, int64_t v, uint8_t *to);
