/*
 * Tokens of the two text formats. What is a token depends on where in a line one is; the states
 * are those of Prometheus' lexers, because what is refused where follows from them.
 */
#pragma once
#include "common/model/textformat.h"

enum textformat_state {
    TEXTFORMAT_S_INIT,
    TEXTFORMAT_S_COMMENT, /* behind "# " */
    TEXTFORMAT_S_META1,   /* behind HELP, TYPE, UNIT */
    TEXTFORMAT_S_META2,   /* behind the family's name */
    TEXTFORMAT_S_LABELS,
    TEXTFORMAT_S_LVALUE,
    TEXTFORMAT_S_VALUE,
    TEXTFORMAT_S_TIMESTAMP,
    TEXTFORMAT_S_EXEMPLAR,
    TEXTFORMAT_S_EVALUE,
    TEXTFORMAT_S_ETIMESTAMP,
};

enum textformat_token {
    TEXTFORMAT_T_INVALID,
    TEXTFORMAT_T_EOF,
    TEXTFORMAT_T_LINEBREAK,
    TEXTFORMAT_T_SPACE,
    TEXTFORMAT_T_HELP,
    TEXTFORMAT_T_TYPE,
    TEXTFORMAT_T_UNIT,
    TEXTFORMAT_T_EOF_WORD,
    TEXTFORMAT_T_TEXT,
    TEXTFORMAT_T_COMMENT, /* OpenMetrics: "# {" before an exemplar */
    TEXTFORMAT_T_NAME,
    TEXTFORMAT_T_OPEN,
    TEXTFORMAT_T_CLOSE,
    TEXTFORMAT_T_LNAME,
    TEXTFORMAT_T_QSTRING,
    TEXTFORMAT_T_LVALUE,
    TEXTFORMAT_T_COMMA,
    TEXTFORMAT_T_EQUAL,
    TEXTFORMAT_T_VALUE,
    TEXTFORMAT_T_TIMESTAMP,
};

/* The next token, input[token, pos). Spaces of 0.0.4 are skipped. After INVALID pos is at the byte
 * that did not fit. */
enum textformat_token textformat_lex(struct textformat *t);
static inline struct slice textformat_token_text(const struct textformat *t)
{
    /* pos may be one past the input: the newline that 0.0.4 sees at the end. */
    size_t to = t->pos < t->input.len ? t->pos : t->input.len;

    return slice_of(t->input.ptr + t->token, to > t->token ? to - t->token : 0);
}
