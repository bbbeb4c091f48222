/*
 * Words that say how severe a log line is: "error", "WARN", "emerg" (line_level.h). A word is a run of letters, digits, _ . -
 * and bytes that are not ASCII; it says so in either case, and only as a whole.
 *
 * A text is searched 32 bytes at a time where the processor can (AVX2): for two letters with which such a word begins, behind
 * what is no letter. Few places of a line are such.
 *
 * Pure; any thread.
 */
#pragma once
#include "ingester/door/line_level.h"

extern const bool level_word_bytes[256];
static inline bool level_word_byte(uint8_t c)
{
    return level_word_bytes[c];
}
/* What the word says; LINE_LEVEL_UNKNOWN if nothing. */
enum line_level_kind level_word(struct slice word);
/* What the first word of the text says that says something; else LINE_LEVEL_UNKNOWN. */
enum line_level_kind level_word_first(struct slice text);
