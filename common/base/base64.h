/*
 * Base64 (RFC 4648): the alphabet with + and /, and the one with - and _ for URLs. Pure; any
 * thread.
 */
#pragma once
#include "common/base/buf.h"

/* Appends s decoded. Either alphabet, with padding or without; false when malformed, and then out
 * is as it was before. */
bool base64_decode(struct slice s, struct buf *out);
/* Appends the alphabet with + and /, padded to a multiple of four when is_padded. */
void base64_encode(struct slice s, bool is_padded, struct buf *out);
