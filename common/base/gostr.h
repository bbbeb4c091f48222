/*
 * Strings as Go's strconv writes and reads them ("quoted with \n and é escapes"), runes, and their
 * upper and lower case.
 * Any thread.
 */
#pragma once
#include "common/base/buf.h"

/* strconv.Quote: double quotes, escapes for what is not printable, \x.. for bytes not UTF-8. */
void gostr_quote(struct buf *out, struct slice s);
/* Appends rune as UTF-8; an invalid one (surrogate, above U+10FFFF) as U+FFFD. */
void gostr_put_rune(struct buf *out, uint32_t rune);
/* Decodes the rune at the front of s (which must not be empty) and returns its length in bytes.
 * Malformed bytes give U+FFFD with length 1, as Go's utf8.DecodeRune. */
size_t gostr_rune(struct slice s, uint32_t *ret_rune);
/* unicode.ToUpper, ToLower: one rune for one. */
uint32_t gostr_rune_upper(uint32_t rune);
uint32_t gostr_rune_lower(uint32_t rune);
bool gostr_is_letter(uint32_t rune); /* unicode.IsLetter */
/* The bytes of the letter, or _, at pos of s, also of a digit if that may be; 0 if there is none. */
size_t gostr_word_at(struct slice s, size_t pos, bool with_digits);
/* strings.ToUpper, ToLower: appended to out; malformed bytes become U+FFFD. */
void gostr_upper(struct buf *out, struct slice s);
void gostr_lower(struct buf *out, struct slice s);
/* unicode.IsPrint as strconv sees it: letters, marks, numbers, punctuation, symbols, ASCII space. */
bool gostr_is_print(uint32_t rune);

enum gostr_error { GOSTR_OK, GOSTR_SYNTAX, GOSTR_UNKNOWN_ESCAPE, GOSTR_BAD_RUNE };
/*
 * One piece of the body of a quoted string at *s: a plain rune's bytes or an escape (\a \b \f \n
 * \r \t \v \\ \<quote> \ooo \xhh \uhhhh \Uhhhhhhhh), appended to out. Advances *s on success.
 */
enum gostr_error gostr_unescape_one(struct slice *s, uint8_t quote, struct buf *out);
/* strconv.Unquote for "…", `…` and '…' taken as a string of any length (as PromQL has it). False if
 * malformed; what was appended to out is then undefined. */
bool gostr_unquote(struct slice quoted, struct buf *out);
