#include "common/logblock/logskel_internal.h"
#include "common/logs/bytescan.h"
#include "common/logs/jsonscan.h"

/* How the value behind a piece ends. */
enum value_how { JSON_STRING, JSON_WORD, JSON_LIST, LOGFMT_WORD, QUOTED, COARSE_WORD, FINE_WORD };

struct piece {
    const uint8_t *ptr; /* PADDING bytes behind it can be read */
    uint32_t len;
    uint8_t how; /* of the value behind it */
};

struct logskel_form {
    uint32_t n_vars;
    bool is_of_one_line;  /* of several lines it would be whole */
    struct piece *pieces; /* n_vars, and what is behind the last */
};
#define PADDING 16

static int last_of(struct slice s)
{
    return s.len ? s.ptr[s.len - 1] : -1;
}

static uint8_t json_value(struct slice before)
{
    switch (last_of(before)) {
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_LIST;
    default:
        return JSON_WORD;
    }
}

/* Between words a quote opens or closes, in turns: there are no backslashes. */
static uint8_t words_value(struct slice before, struct slice behind, size_t n_quotes, bool is_fine)
{
    bool is_quoted = n_quotes % 2 && last_of(before) == '"' && behind.len && behind.ptr[0] == '"';

    return is_quoted ? QUOTED : is_fine ? FINE_WORD : COARSE_WORD;
}

static size_t count_quotes(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == '"';
    return n;
}

static struct slice piece_of(struct slice text, const struct logskel_span *spans, uint32_t n,
                             uint32_t k)
{
    size_t start = k ? (size_t)spans[k - 1].at + spans[k - 1].len : 0,
           end = k < n ? spans[k].at : text.len;

    return slice_sub(text, start, end - start);
}

/* Whether its values have a say in whether it is JSON, or logfmt: an escape in a key, a byte that is not ASCII. */
static bool is_nearly_of_fields(struct slice text)
{
    size_t at = 0, key = bytescan_word(text, 0);

    return jsonscan_space(text, &at) == '{' || (key > 0 && key < text.len && text.ptr[key] == '=');
}

struct logskel_form *logskel_form_of(struct arena *a, struct slice text,
                                     const struct logskel_span *spans, uint32_t n,
                                     enum logskel_kind kind, bool is_line)
{
    bool is_words = kind == LOGSKEL_COARSE || kind == LOGSKEL_FINE;
    struct logskel_form *f;
    size_t n_quotes = 0;
    uint8_t *to;

    if (!(is_words || kind == LOGSKEL_JSON || kind == LOGSKEL_LOGFMT_PAIRS) ||
        n >= LOGSKEL_MAX_VARS)
        return NULL;
    if (text.len == 0)
        return NULL;
    if (is_words && memchr(text.ptr, '\\', text.len))
        return NULL;
    if (is_words && is_line && is_nearly_of_fields(text))
        return NULL;
    f = arena_alloc(a, sizeof(*f));
    *f = (struct logskel_form){.n_vars = n, .is_of_one_line = is_words && is_line};
    f->pieces = arena_array(a, struct piece, n + 1);
    to = arena_alloc(a, text.len + PADDING);
    for (uint32_t k = 0; k <= n; k++) {
        struct slice s = piece_of(text, spans, n, k),
                     behind = k < n ? piece_of(text, spans, n, k + 1) : SLICE_EMPTY;
        struct piece *p = &f->pieces[k];

        p->ptr = to;
        p->len = (uint32_t)s.len;
        memcpy(to, s.ptr, s.len);
        to += s.len;
        n_quotes += count_quotes(s);
        if (kind == LOGSKEL_JSON)
            p->how = json_value(s);
        else if (kind == LOGSKEL_LOGFMT_PAIRS)
            p->how = last_of(s) == '"' ? QUOTED : LOGFMT_WORD;
        else
            p->how = words_value(s, behind, n_quotes, kind == LOGSKEL_FINE);
    }
    memset(to, 0, PADDING);
    return f;
}

/* ---- comparing ---- */

static bool begins_with(struct slice text, size_t at, const struct piece *p)
{
#ifdef __SSE2__
    if (at + PADDING <= text.len && p->len <= PADDING) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + at)),
                y = _mm_loadu_si128((const __m128i *)(const void *)p->ptr);
        unsigned same = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y)),
                 want = (1u << p->len) - 1;

        return (same & want) == want;
    }
#endif
    return p->len <= text.len - at && memcmp(text.ptr + at, p->ptr, p->len) == 0;
}

static bool end_of_word(struct slice text, size_t *at, uint8_t sign)
{
    size_t i = *at;
    uint8_t seen = 0;

    for (; i < text.len && !(logskel_classes[text.ptr[i]] & sign); i++)
        seen |= logskel_classes[text.ptr[i]];
    *at = i;
    return seen & LOGSKEL_DIGIT;
}

/* The quote that opens it is in front of *at. */
static bool end_of_string(struct slice text, size_t *at, bool may_have_escapes)
{
    size_t i = *at - 1;
    bool has_escapes;

    if (!jsonscan_string(text, &i, &has_escapes) || (has_escapes && !may_have_escapes))
        return false;
    *at = i - 1;
    return true;
}

/* Moves *at past the value there. False: there is none of the kind, or whoever looks at it whole has to say. */
static bool end_of_value(struct slice text, size_t *at, uint8_t how)
{
    struct slice word;

    switch (how) {
    case JSON_STRING:
        return end_of_string(text, at, true);
    case JSON_WORD:
        return jsonscan_word(text, at, &word);
    case JSON_LIST:
        --*at;
        if (jsonscan_block(text, at, '[', ']'))
            return false;
        --*at;
        return true;
    case LOGFMT_WORD:
        *at = bytescan_word(text, *at);
        return true;
    case QUOTED:
        return end_of_string(text, at, false);
    default:
        return end_of_word(text, at, how == FINE_WORD ? LOGSKEL_FINE_SIGN : LOGSKEL_COARSE_SIGN);
    }
}

bool logskel_like(struct logskel *s, struct slice text, const struct logskel_form *f)
{
    struct logskel_span *span;
    size_t at = 0;

    if (text.len == 0)
        return false;
    vec_reserve(&s->spans, f->n_vars);
    span = f->n_vars ? s->spans.ptr + s->spans.len : NULL;
    for (uint32_t k = 0; k < f->n_vars; k++) {
        size_t start;

        if (!begins_with(text, at, &f->pieces[k]))
            return false;
        start = at += f->pieces[k].len;
        if (!end_of_value(text, &at, f->pieces[k].how))
            return false;
        *span++ = (struct logskel_span){(uint32_t)start, (uint32_t)(at - start)};
    }
    if (text.len - at != f->pieces[f->n_vars].len ||
        !begins_with(text, at, &f->pieces[f->n_vars]) ||
        (f->is_of_one_line && text.len > 1 && memchr(text.ptr, '\n', text.len - 1)))
        return false;
    s->spans.len += f->n_vars;
    return true;
}
