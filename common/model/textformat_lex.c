#include "common/model/textformat_internal.h"

/*
 * NUL is where Prometheus' lexers end: at it no class of bytes matches. In label values, help texts
 * and comments it is stepped over instead, but for their first byte.
 */
static int byte_at(const struct textformat *t, size_t i)
{
    if (i < t->input.len)
        return t->input.ptr[i];
    return i < t->end ? '\n' : 0;
}

static int next_odd(struct textformat *t)
{
    t->pos++;
    if (t->state == TEXTFORMAT_S_LVALUE || t->state == TEXTFORMAT_S_META2 ||
        t->state == TEXTFORMAT_S_COMMENT)
        while (t->pos < t->end && byte_at(t, t->pos) == 0)
            t->pos++;
    return t->pos < t->end ? byte_at(t, t->pos) : 0;
}

static inline int next(struct textformat *t)
{
    size_t i = t->pos + 1;

    if (ORR_LIKELY(i < t->input.len && t->input.ptr[i])) {
        t->pos = i;
        return t->input.ptr[i];
    }
    return next_odd(t);
}

static bool is_label_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_start(int c)
{
    return is_label_start(c) || c == ':';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t';
}

/* One byte that is the whole token. */
static enum textformat_token single(struct textformat *t, enum textformat_token token,
                                    enum textformat_state state)
{
    (void)next(t);
    t->state = state;
    return token;
}

static enum textformat_token name(struct textformat *t, enum textformat_state state)
{
    int c = byte_at(t, t->pos);

    while (is_name_start(c) || is_digit(c))
        c = next(t);
    t->state = state;
    return TEXTFORMAT_T_NAME;
}

static enum textformat_token label_name(struct textformat *t)
{
    int c = byte_at(t, t->pos);

    while (is_label_start(c) || is_digit(c))
        c = next(t);
    return TEXTFORMAT_T_LNAME;
}

/* From the opening quote on. */
static enum textformat_token quoted(struct textformat *t, enum textformat_token token,
                                    enum textformat_state state, bool may_span_lines)
{
    int c = next(t);

    while (c != '"') {
        if (c == '\\' && ((c = next(t)) == 0 || c == '\n'))
            return TEXTFORMAT_T_INVALID;
        if (c == 0 || (c == '\n' && !may_span_lines))
            return TEXTFORMAT_T_INVALID;
        c = next(t);
    }
    (void)next(t);
    t->state = state;
    return token;
}

/* A run of bytes up to a blank or newline; c is the first of them. */
static enum textformat_token word(struct textformat *t, int c, enum textformat_token token,
                                  enum textformat_state state)
{
    if (c == 0 || c == ' ' || c == '\n')
        return TEXTFORMAT_T_INVALID;
    while (c != 0 && c != ' ' && c != '\n')
        c = next(t);
    t->state = state;
    return token;
}

/* Does the rest match lit? c is the current byte and moves on; stops at what differs. */
static bool literal(struct textformat *t, const char *lit, int *c)
{
    for (; *lit; lit++) {
        if (*c != *lit)
            return false;
        *c = next(t);
    }
    return true;
}

static enum textformat_token labels_common(struct textformat *t, int c)
{
    if (is_label_start(c))
        return label_name(t);
    switch (c) {
    case '"':
        return quoted(t, TEXTFORMAT_T_QSTRING, t->state, t->state == TEXTFORMAT_S_LABELS);
    case ',':
        return single(t, TEXTFORMAT_T_COMMA, t->state);
    case '}':
        return single(t, TEXTFORMAT_T_CLOSE,
                      t->state == TEXTFORMAT_S_LABELS ? TEXTFORMAT_S_VALUE : TEXTFORMAT_S_EVALUE);
    case '=':
        return single(t, TEXTFORMAT_T_EQUAL,
                      t->state == TEXTFORMAT_S_LABELS ? TEXTFORMAT_S_LVALUE : TEXTFORMAT_S_EVALUE);
    default:
        return TEXTFORMAT_T_INVALID;
    }
}

static enum textformat_token meta_name(struct textformat *t, int c)
{
    if (c == '"')
        return quoted(t, TEXTFORMAT_T_NAME, TEXTFORMAT_S_META2, true);
    return is_name_start(c) ? name(t, TEXTFORMAT_S_META2) : TEXTFORMAT_T_INVALID;
}

/* ---- 0.0.4 ---- */

/* A comment ends before its newline. */
static enum textformat_token prom_comment_rest(struct textformat *t)
{
    int c = t->pos < t->end ? byte_at(t, t->pos) : 0;

    while (c != 0 && c != '\n')
        c = next(t);
    if (c == 0)
        return TEXTFORMAT_T_EOF;
    t->state = TEXTFORMAT_S_INIT;
    return TEXTFORMAT_T_COMMENT;
}

static enum textformat_token prom_comment(struct textformat *t)
{
    int c = next(t);
    enum textformat_token token;

    if (!is_blank(c))
        return prom_comment_rest(t);
    while (is_blank(c))
        c = next(t);
    t->state = TEXTFORMAT_S_COMMENT;
    token = c == 'H' ? TEXTFORMAT_T_HELP : TEXTFORMAT_T_TYPE;
    if (!literal(t, c == 'H' ? "HELP" : "TYPE", &c) || !is_blank(c))
        return prom_comment_rest(t);
    while (is_blank(c))
        c = next(t);
    t->state = TEXTFORMAT_S_META1;
    return token;
}

static enum textformat_token prom_init(struct textformat *t, int c)
{
    switch (c) {
    case 0:
        return TEXTFORMAT_T_EOF;
    case '\n':
        return single(t, TEXTFORMAT_T_LINEBREAK, TEXTFORMAT_S_INIT);
    case '#':
        return prom_comment(t);
    case '{':
        return single(t, TEXTFORMAT_T_OPEN, TEXTFORMAT_S_LABELS);
    default:
        return is_name_start(c) ? name(t, TEXTFORMAT_S_VALUE) : TEXTFORMAT_T_INVALID;
    }
}

static enum textformat_token prom_value(struct textformat *t, int c)
{
    if (c == '{')
        return single(t, TEXTFORMAT_T_OPEN, TEXTFORMAT_S_LABELS);
    if (c == 0 || c == '\n')
        return TEXTFORMAT_T_INVALID;
    while (c != 0 && c != '{' && c != '\n' && !is_blank(c))
        c = next(t);
    t->state = TEXTFORMAT_S_TIMESTAMP;
    return TEXTFORMAT_T_VALUE;
}

static enum textformat_token prom_timestamp(struct textformat *t, int c)
{
    if (c == '\n')
        return single(t, TEXTFORMAT_T_LINEBREAK, TEXTFORMAT_S_INIT);
    if (!is_digit(c))
        return TEXTFORMAT_T_INVALID;
    while (is_digit(c))
        c = next(t);
    return TEXTFORMAT_T_TIMESTAMP;
}

static enum textformat_token prom_text(struct textformat *t, int c)
{
    bool is_all_blank = is_blank(c);

    while (c != 0 && c != '\n') {
        is_all_blank &= is_blank(c);
        c = next(t);
    }
    if (is_all_blank)
        return TEXTFORMAT_T_SPACE;
    t->state = TEXTFORMAT_S_INIT;
    return TEXTFORMAT_T_TEXT;
}

static enum textformat_token prom_lex(struct textformat *t)
{
    int c;

    t->token = t->pos;
    if (t->pos >= t->end)
        return TEXTFORMAT_T_EOF;
    c = byte_at(t, t->pos);
    if (is_blank(c) && t->state != TEXTFORMAT_S_META2) {
        while (is_blank(c))
            c = next(t);
        return TEXTFORMAT_T_SPACE;
    }
    switch (t->state) {
    case TEXTFORMAT_S_INIT:
        return prom_init(t, c);
    case TEXTFORMAT_S_META1:
        return meta_name(t, c);
    case TEXTFORMAT_S_META2:
        return prom_text(t, c);
    case TEXTFORMAT_S_LABELS:
        return labels_common(t, c);
    case TEXTFORMAT_S_LVALUE:
        return c == '"' ? quoted(t, TEXTFORMAT_T_LVALUE, TEXTFORMAT_S_LABELS, true)
                        : TEXTFORMAT_T_INVALID;
    case TEXTFORMAT_S_VALUE:
        return prom_value(t, c);
    default:
        return prom_timestamp(t, c);
    }
}

/* ---- OpenMetrics ---- */

static enum textformat_token om_comment(struct textformat *t)
{
    static const struct {
        const char *word;
        enum textformat_token token;
    } words[] = {{"HELP ", TEXTFORMAT_T_HELP},
                 {"TYPE ", TEXTFORMAT_T_TYPE},
                 {"UNIT ", TEXTFORMAT_T_UNIT},
                 {"EOF", TEXTFORMAT_T_EOF_WORD}};
    int c = next(t);

    if (c != ' ')
        return TEXTFORMAT_T_INVALID;
    c = next(t);
    t->state = TEXTFORMAT_S_COMMENT;
    for (size_t i = 0; i < ORR_COUNT(words); i++) {
        if (c != words[i].word[0])
            continue;
        if (!literal(t, words[i].word, &c))
            return TEXTFORMAT_T_INVALID;
        if (words[i].token == TEXTFORMAT_T_EOF_WORD && c == '\n')
            (void)next(t);
        t->state = words[i].token == TEXTFORMAT_T_EOF_WORD ? TEXTFORMAT_S_INIT : TEXTFORMAT_S_META1;
        return words[i].token;
    }
    return TEXTFORMAT_T_INVALID;
}

static enum textformat_token om_init(struct textformat *t, int c)
{
    if (c == '#')
        return om_comment(t);
    if (c == '{')
        return single(t, TEXTFORMAT_T_OPEN, TEXTFORMAT_S_LABELS);
    return is_name_start(c) ? name(t, TEXTFORMAT_S_VALUE) : TEXTFORMAT_T_INVALID;
}

static enum textformat_token om_text(struct textformat *t, int c)
{
    if (c != ' ')
        return TEXTFORMAT_T_INVALID;
    while (c != 0 && c != '\n')
        c = next(t);
    return c == '\n' ? single(t, TEXTFORMAT_T_TEXT, TEXTFORMAT_S_INIT) : TEXTFORMAT_T_INVALID;
}

static enum textformat_token om_timestamp(struct textformat *t, int c)
{
    if (c == '\n')
        return single(t, TEXTFORMAT_T_LINEBREAK, TEXTFORMAT_S_INIT);
    if (c != ' ')
        return TEXTFORMAT_T_INVALID;
    if ((c = next(t)) != '#')
        return word(t, c, TEXTFORMAT_T_TIMESTAMP, TEXTFORMAT_S_TIMESTAMP);
    if ((c = next(t)) != ' ')
        return c == 0 || c == '\n'
                   ? TEXTFORMAT_T_TIMESTAMP /* a "#" is one, until it is read as a number */
                   : word(t, c, TEXTFORMAT_T_TIMESTAMP, TEXTFORMAT_S_TIMESTAMP);
    if (next(t) != '{')
        return TEXTFORMAT_T_INVALID;
    return single(t, TEXTFORMAT_T_COMMENT, TEXTFORMAT_S_EXEMPLAR);
}

static enum textformat_token om_lex(struct textformat *t)
{
    int c;

    t->token = t->pos;
    if (t->pos >= t->end)
        return TEXTFORMAT_T_EOF;
    c = byte_at(t, t->pos);
    switch (t->state) {
    case TEXTFORMAT_S_INIT:
        return om_init(t, c);
    case TEXTFORMAT_S_META1:
        return meta_name(t, c);
    case TEXTFORMAT_S_META2:
        return om_text(t, c);
    case TEXTFORMAT_S_LABELS:
    case TEXTFORMAT_S_EXEMPLAR:
        return labels_common(t, c);
    case TEXTFORMAT_S_LVALUE:
        return c == '"' ? quoted(t, TEXTFORMAT_T_LVALUE, TEXTFORMAT_S_LABELS, false)
                        : TEXTFORMAT_T_INVALID;
    case TEXTFORMAT_S_VALUE:
        if (c == '{')
            return single(t, TEXTFORMAT_T_OPEN, TEXTFORMAT_S_LABELS);
        return c == ' ' ? word(t, next(t), TEXTFORMAT_T_VALUE, TEXTFORMAT_S_TIMESTAMP)
                        : TEXTFORMAT_T_INVALID;
    case TEXTFORMAT_S_TIMESTAMP:
        return om_timestamp(t, c);
    case TEXTFORMAT_S_EVALUE:
        if (c == '"')
            return quoted(t, TEXTFORMAT_T_LVALUE, TEXTFORMAT_S_EXEMPLAR, false);
        return c == ' ' ? word(t, next(t), TEXTFORMAT_T_VALUE, TEXTFORMAT_S_ETIMESTAMP)
                        : TEXTFORMAT_T_INVALID;
    case TEXTFORMAT_S_ETIMESTAMP:
        if (c == '\n')
            return single(t, TEXTFORMAT_T_LINEBREAK, TEXTFORMAT_S_INIT);
        return c == ' ' ? word(t, next(t), TEXTFORMAT_T_TIMESTAMP, TEXTFORMAT_S_ETIMESTAMP)
                        : TEXTFORMAT_T_INVALID;
    default:
        return TEXTFORMAT_T_INVALID; /* within a comment that could not be read */
    }
}

enum textformat_token textformat_lex(struct textformat *t)
{
    enum textformat_token token;

    if (t->kind == TEXTFORMAT_OPENMETRICS)
        return om_lex(t);
    do
        token = prom_lex(t);
    while (token == TEXTFORMAT_T_SPACE);
    return token;
}
