/* What the two halves of valuefmt share: the flags of a verb, and the numbers. */
#pragma once
#include "common/template/valuefmt.h"

struct valuefmt {
    struct buf *out;
    bool has_width, has_prec, minus, plus, sharp, space, zero, plus_v, sharp_v;
    int width, prec;
    unsigned depth;
};

/* Pads a text of the width in runes it has. */
void valuefmt_pad(struct valuefmt *f, struct slice text);
void valuefmt_integer(struct valuefmt *f, uint64_t u, unsigned base, bool is_signed, uint32_t verb,
                      bool is_upper);
void valuefmt_float(struct valuefmt *f, double v, uint32_t verb, int prec);
void valuefmt_rune(struct valuefmt *f, uint64_t u);        /* %c */
void valuefmt_quoted_rune(struct valuefmt *f, uint64_t u); /* %q */
void valuefmt_unicode(struct valuefmt *f, uint64_t u);     /* %U */
void valuefmt_hex(struct valuefmt *f, struct slice s, bool is_upper);
void valuefmt_quoted(struct valuefmt *f, struct slice s);
void valuefmt_text(struct valuefmt *f, struct slice s); /* %s */
