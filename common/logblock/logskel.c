#include "common/logblock/logskel_internal.h"
#include "common/logs/bytescan.h"
#include "common/logs/jsonline.h"
#include "common/logs/jsonscan.h"
#include "common/logs/logfmt.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Walks one text; with names wanted, it appends to vars and names, else to spans. */
struct walk {
    struct logskel *s;
    struct slice text;
    size_t pos;
    unsigned depth, n_vars;
    struct arena *names_in; /* NULL: spans are wanted */
};

void logskel_done(struct logskel *s)
{
    vec_done(&s->spans);
    vec_done(&s->vars);
    vec_done(&s->names);
    buf_done(&s->key);
    buf_done(&s->scratch);
}

static bool put_var(struct walk *w, enum logskel_var var, size_t start, size_t end)
{
    if (++w->n_vars > LOGSKEL_MAX_VARS)
        return false;
    if (w->names_in) {
        vec_push(&w->s->vars, (uint8_t)var);
        vec_push(&w->s->names, var == LOGSKEL_PLAIN
                                   ? SLICE_EMPTY
                                   : arena_dup(w->names_in, buf_slice(&w->s->key)));
        return true;
    }
    vec_push(&w->s->spans, ((struct logskel_span){(uint32_t)start, (uint32_t)(end - start)}));
    return true;
}

static int byte_at(const struct walk *w)
{
    return w->pos < w->text.len ? w->text.ptr[w->pos] : -1;
}

static int skip_space(struct walk *w)
{
    return jsonscan_space(w->text, &w->pos);
}

/* At the quote; false if there is none that closes. What is in them is [*start, pos - 1). */
static bool take_string(struct walk *w, size_t *start, bool *has_escapes)
{
    *start = w->pos + 1;
    return jsonscan_string(w->text, &w->pos, has_escapes);
}

static bool take_word(struct walk *w)
{
    size_t start = w->pos;
    struct slice word;

    return jsonscan_word(w->text, &w->pos, &word) && put_var(w, LOGSKEL_JSON_WORD, start, w->pos);
}

static bool take_object(struct walk *w);

static bool take_value(struct walk *w)
{
    size_t start = w->pos;
    bool has_escapes;

    switch (byte_at(w)) {
    case '"':
        return take_string(w, &start, &has_escapes) &&
               put_var(w, LOGSKEL_JSON_STRING, start, w->pos - 1);
    case '{':
        return take_object(w);
    case '[':
        /* The bracket is the template's, so that no number has the same one. */
        return !jsonscan_block(w->text, &w->pos, '[', ']') &&
               put_var(w, LOGSKEL_JSON_LIST, start + 1, w->pos - 1);
    default:
        return take_word(w);
    }
}

static bool take_member(struct walk *w)
{
    struct buf *key = &w->s->key;
    size_t prefix = key->len, start, end;
    bool has_escapes;

    if (skip_space(w) != '"' || !take_string(w, &start, &has_escapes) || has_escapes)
        return false;
    end = w->pos - 1;
    if (end == start)
        return false;
    if (w->names_in) {
        if (prefix)
            buf_byte(key, '_');
        jsonline_label_name(key, slice_sub(w->text, start, end - start), prefix == 0);
    }
    if (skip_space(w) != ':')
        return false;
    w->pos++;
    (void)skip_space(w);
    if (!take_value(w))
        return false;
    key->len = prefix;
    return true;
}

/* At the brace. */
static bool take_object(struct walk *w)
{
    int c;

    if (++w->depth > LOGSKEL_MAX_DEPTH)
        return false;
    w->pos++;
    if (skip_space(w) != '}') {
        do {
            if (!take_member(w))
                return false;
            c = skip_space(w);
            w->pos++;
        } while (c == ',');
        if (c != '}')
            return false;
    } else {
        w->pos++;
    }
    w->depth--;
    return true;
}

static bool take_json(struct walk *w)
{
    if (skip_space(w) != '{')
        return false;
    buf_reset(&w->s->key);
    return take_object(w) && skip_space(w) < 0;
}

/* ---- logfmt ---- */

static bool take_quoted(struct walk *w)
{
    size_t start;
    bool has_escapes;

    if (!take_string(w, &start, &has_escapes))
        return false;
    if (has_escapes && !w->names_in) {
        buf_reset(&w->s->scratch);
        if (!logfmt_unquote(slice_sub(w->text, start - 1, w->pos - start + 1), &w->s->scratch))
            return false;
    }
    return put_var(w, LOGSKEL_LOGFMT_QUOTED, start, w->pos - 1);
}

static bool take_pair(struct walk *w)
{
    size_t start = w->pos;
    struct slice key;

    w->pos = bytescan_word(w->text, start);
    key = slice_sub(w->text, start, w->pos - start);
    if (byte_at(w) != '=' || key.len == 0 || !bytescan_is_ascii(key))
        return false;
    if (w->names_in) {
        buf_reset(&w->s->key);
        jsonline_label_name(&w->s->key, key, true);
    }
    start = ++w->pos;
    if (byte_at(w) == '"')
        return take_quoted(w) && byte_at(w) <= ' ';
    w->pos = bytescan_word(w->text, start);
    return byte_at(w) <= ' ' && put_var(w, LOGSKEL_LOGFMT, start, w->pos);
}

static bool take_logfmt(struct walk *w)
{
    int c;

    do {
        while ((c = byte_at(w)) >= 0 && c <= ' ')
            w->pos++;
        if (c >= 0 && !take_pair(w))
            return false;
    } while (c >= 0);
    return w->n_vars > 0;
}

/* ---- words ---- */

const uint8_t logskel_classes[256] = {
    ['0' ... '9'] = LOGSKEL_DIGIT,
    [0 ... 32] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['"'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['\''] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['('] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [')'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['['] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [']'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['{'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['}'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['<'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['>'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [','] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    [';'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['='] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['|'] = LOGSKEL_COARSE_SIGN | LOGSKEL_FINE_SIGN,
    ['!'] = LOGSKEL_FINE_SIGN,
    ['#'] = LOGSKEL_FINE_SIGN,
    ['$'] = LOGSKEL_FINE_SIGN,
    ['%'] = LOGSKEL_FINE_SIGN,
    ['&'] = LOGSKEL_FINE_SIGN,
    ['*'] = LOGSKEL_FINE_SIGN,
    ['+'] = LOGSKEL_FINE_SIGN,
    ['-'] = LOGSKEL_FINE_SIGN,
    ['.'] = LOGSKEL_FINE_SIGN,
    ['/'] = LOGSKEL_FINE_SIGN,
    [':'] = LOGSKEL_FINE_SIGN,
    ['?'] = LOGSKEL_FINE_SIGN,
    ['@'] = LOGSKEL_FINE_SIGN,
    ['\\'] = LOGSKEL_FINE_SIGN,
    ['^'] = LOGSKEL_FINE_SIGN,
    ['_'] = LOGSKEL_FINE_SIGN,
    ['`'] = LOGSKEL_FINE_SIGN,
    ['~'] = LOGSKEL_FINE_SIGN,
};

/* At a quote: what is up to the next one is a variable. False: there is none. */
static bool take_quotation(struct walk *w)
{
    size_t start;
    bool has_escapes;

    if (!take_string(w, &start, &has_escapes))
        return false;
    (void)put_var(w, LOGSKEL_PLAIN, start, w->pos - 1);
    return true;
}

static void take_words_plain(struct walk *w, bool is_fine)
{
    const uint8_t *p = w->text.ptr, sign = is_fine ? LOGSKEL_FINE_SIGN : LOGSKEL_COARSE_SIGN;
    size_t len = w->text.len;
    bool has_quotes = true;

    while (w->pos < len && w->n_vars < LOGSKEL_MAX_VARS) {
        size_t start = w->pos, at = start;
        uint8_t seen = 0;

        if (p[at] == '"' && has_quotes) {
            has_quotes = take_quotation(w);
            if (has_quotes)
                continue;
        }
        for (; at < len && !(logskel_classes[p[at]] & sign); at++)
            seen |= logskel_classes[p[at]];
        if (seen & LOGSKEL_DIGIT)
            (void)put_var(w, LOGSKEL_PLAIN, start, at);
        if (at < len && (p[at] != '"' || at == start)) /* at start: a quote that none closes */
            at++;
        w->pos = at;
    }
}

static struct walk walk_of(struct logskel *s, struct slice text, struct arena *names_in)
{
    return (struct walk){.s = s, .text = text, .names_in = names_in};
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

/* What 64 bytes of a text, from base on, are: a bit each. What is behind the text is a sign. */
struct classes {
    uint64_t signs, digits, quotes;
};

/* By the lower half of a byte: for which upper halves it is a sign, a bit each. */
static const uint8_t sign_halves[2][16] = {{0x07, 0x03, 0x07, 0x03, 0x03, 0x03, 0x03, 0x07, 0x07,
                                            0x07, 0x03, 0xab, 0x8f, 0xab, 0x0b, 0x03},
                                           {0x57, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07, 0x07,
                                            0x07, 0x0f, 0xaf, 0xaf, 0xaf, 0xaf, 0x2f}};

AVX2 static inline uint64_t bits32(__m256i x)
{
    return (uint32_t)_mm256_movemask_epi8(x);
}

AVX2 static inline struct classes classes32(__m256i x, __m256i halves)
{
    const __m256i upper_bit = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i low = _mm256_set1_epi8(15), nine = _mm256_set1_epi8(9);
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
    __m256i sign = _mm256_and_si256(_mm256_shuffle_epi8(halves, _mm256_and_si256(x, low)),
                                    _mm256_shuffle_epi8(upper_bit, upper));
    __m256i digit = _mm256_sub_epi8(x, _mm256_set1_epi8('0'));

    return (struct classes){
        .signs = (uint32_t)~bits32(_mm256_cmpeq_epi8(sign, _mm256_setzero_si256())),
        .digits = bits32(_mm256_cmpeq_epi8(_mm256_min_epu8(digit, nine), digit)),
        .quotes = bits32(_mm256_cmpeq_epi8(x, _mm256_set1_epi8('"')))};
}

AVX2 static inline struct classes classes_at(struct slice text, size_t base, __m256i halves)
{
    uint8_t rest[64] = {0};
    const uint8_t *p = text.ptr + base;
    struct classes a, b;

    if (text.len - base < 64) {
        memcpy(rest, p, text.len - base);
        p = rest;
    }
    a = classes32(_mm256_loadu_si256((const __m256i *)(const void *)p), halves);
    b = classes32(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)), halves);
    return (struct classes){a.signs | b.signs << 32, a.digits | b.digits << 32,
                            a.quotes | b.quotes << 32};
}

/* As take_words_plain(), by what is worth a look: digits and quotes. */
AVX2 static void take_words_avx2(struct walk *w, bool is_fine)
{
    const __m256i halves = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)sign_halves[is_fine]));
    struct slice text = w->text;
    size_t base = 0, pos = 0, start = 0; /* start: of the word that pos is in */
    bool has_quotes = true;
    struct classes c;

    if (text.len == 0)
        return;
    c = classes_at(text, 0, halves);
    while (w->n_vars < LOGSKEL_MAX_VARS) {
        uint64_t behind = UINT64_MAX << (pos - base), signs = c.signs & behind,
                 look = (c.digits | (has_quotes ? c.quotes : 0)) & behind, bit = look & -look;
        size_t at = base;

        if (look)
            signs &= bit - 1;
        if (signs)
            start = base + 64 - (size_t)__builtin_clzll(signs);
        if (!look) {
            if ((base += 64) >= text.len)
                break;
            c = classes_at(text, base, halves);
            pos = base;
            continue;
        }
        at += (size_t)__builtin_ctzll(look);
        if (c.quotes & bit) {
            w->pos = at;
            has_quotes = take_quotation(w);
            pos = start = has_quotes ? w->pos : at + 1;
        } else {
            for (signs = c.signs & -bit; !signs && (base += 64) < text.len; signs = c.signs)
                c = classes_at(text, base, halves);
            pos = signs ? ORR_MIN(base + (size_t)__builtin_ctzll(signs), text.len) : text.len;
            (void)put_var(w, LOGSKEL_PLAIN, start, pos);
            start = pos;
        }
        if (pos >= text.len)
            break;
        if (pos - base >= 64) {
            base = pos;
            c = classes_at(text, base, halves);
        }
    }
}
#endif

static void take_words(struct walk *w, bool is_fine)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) {
        take_words_avx2(w, is_fine);
        return;
    }
#endif
    take_words_plain(w, is_fine);
}

/* For tests: the words of a text without AVX2. */
void logskel_words_plain(struct logskel *s, struct slice text, bool is_fine)
{
    struct walk w = walk_of(s, text, NULL);

    take_words_plain(&w, is_fine);
}

static bool is_of_pairs(struct slice text)
{
    size_t i = bytescan_word(text, 0);

    return i > 0 && i < text.len && text.ptr[i] == '=';
}

enum logskel_kind logskel_line(struct logskel *s, struct slice text)
{
    size_t before = s->spans.len;
    struct walk w = walk_of(s, text, NULL);
    int c = skip_space(&w);

    w.pos = 0;
    if (c == '{' && take_json(&w))
        return LOGSKEL_JSON;
    s->spans.len = before;
    w = walk_of(s, text, NULL);
    if (is_of_pairs(text) && take_logfmt(&w))
        return LOGSKEL_LOGFMT_PAIRS;
    s->spans.len = before;
    if (text.len > 1 && memchr(text.ptr, '\n', text.len - 1)) {
        vec_push(&s->spans, ((struct logskel_span){0, (uint32_t)text.len}));
        return LOGSKEL_WHOLE;
    }
    logskel_words(s, text, false);
    return LOGSKEL_COARSE;
}

void logskel_words(struct logskel *s, struct slice text, bool is_fine)
{
    struct walk w = walk_of(s, text, NULL);

    take_words(&w, is_fine);
}

void logskel_name(struct logskel *s, struct slice text, enum logskel_kind kind, struct arena *a)
{
    struct walk w = walk_of(s, text, a);
    bool is_ok = true;

    vec_clear(&s->vars);
    vec_clear(&s->names);
    if (kind == LOGSKEL_WHOLE)
        is_ok = put_var(&w, LOGSKEL_PLAIN, 0, text.len);
    else if (kind == LOGSKEL_JSON)
        is_ok = take_json(&w);
    else if (kind == LOGSKEL_LOGFMT_PAIRS)
        is_ok = take_logfmt(&w);
    else
        take_words(&w, kind == LOGSKEL_FINE);
    ORR_ASSERT(is_ok);
}
