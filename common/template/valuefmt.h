/*
 * Go's fmt on dynamic values: Sprint, Sprintln, Sprintf with all verbs, flags, widths, precisions,
 * argument indexes and error forms (%!d(string=x), %!v(MISSING), %!(EXTRA int=1)).
 *
 * Appends to out. Set out->max_bytes: widths and nested values can make texts of any length; past
 * the bound, or for values nested deeper than VALUEFMT_MAX_DEPTH, out latches (buf_ok()).
 */
#pragma once
#include "common/template/value.h"

#define VALUEFMT_MAX_DEPTH 200

void valuefmt_value(struct buf *out, const struct value *v); /* %v */
void valuefmt_print(struct buf *out, const struct value *args, size_t n);
void valuefmt_println(struct buf *out, const struct value *args, size_t n);
void valuefmt_printf(struct buf *out, struct slice format, const struct value *args, size_t n);
