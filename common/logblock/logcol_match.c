#include "common/logblock/logcol_internal.h"

struct logcol_ask logcol_ask_of(enum logcol_op op, struct slice text)
{
    struct logcol_ask a = {.op = op, .text = text};

    if (op == LOGCOL_HOLDS)
        a.find = textfind_of(text);
    return a;
}

bool logcol_is_so(const struct logcol_ask *ask, struct slice s)
{
    switch (ask->op) {
    case LOGCOL_HOLDS:
        return textfind_in(&ask->find, s, 0) >= 0;
    case LOGCOL_BEGINS:
        return slice_has_prefix(s, ask->text);
    case LOGCOL_ENDS:
        return slice_has_suffix(s, ask->text);
    default:
        return slice_eq(s, ask->text);
    }
}

void logcol_set_range(uint64_t *set, uint32_t first, uint32_t n)
{
    uint32_t i = first, end = first + n;

    for (; i < end && i % 64; i++)
        logcol_set(set, i);
    for (; i + 64 <= end; i += 64)
        set[i >> 6] = UINT64_MAX;
    for (; i < end; i++)
        logcol_set(set, i);
}

uint64_t *logcol_new_set(const struct logcol_source *src, uint32_t n)
{
    return arena_array(src->arena, uint64_t, ((size_t)n + 63) / 64);
}

/* ---- what a column cannot hold ---- */

/* Of places that vary, half a byte each: what has to be there. */
struct hex_lie {
    size_t n; /* bytes of a value */
    uint8_t mask[LOGCOL_MAX_HEX / 2], want[LOGCOL_MAX_HEX / 2];
};

/* The text from this place on. False: no value has it there, whatever those places hold that vary. */
static bool hex_lie_at(const struct logcol *c, struct slice text, size_t first, struct hex_lie *ret)
{
    const uint8_t *still = c->hex.still;

    *ret = (struct hex_lie){.n = (c->hex.n_vary + 1u) / 2};
    for (size_t k = 0, at = 0; k < first + text.len; k++) {
        bool is_asked = k >= first;
        int digit = is_asked ? logcol_hex_digits[c->hex.is_upper][text.ptr[k - first]] - 1 : 0;
        unsigned shift = at % 2 ? 0 : 4;

        if (!c->hex.vary[k]) {
            if (is_asked && *still != text.ptr[k - first])
                return false;
            still++;
            continue;
        }
        if (digit < 0)
            return false;
        if (is_asked) {
            ret->mask[at / 2] |= (uint8_t)(15u << shift);
            ret->want[at / 2] |= (uint8_t)((unsigned)digit << shift);
        }
        at++;
    }
    return true;
}

/* The places where a text may begin, as far as lengths tell: from … to - 1. */
static void hex_places(const struct logcol *c, const struct logcol_ask *ask, size_t *ret_from,
                       size_t *ret_to)
{
    size_t len = ask->text.len, last = c->hex.len - ORR_MIN(len, (size_t)c->hex.len);

    *ret_from = ask->op == LOGCOL_ENDS ? last : 0;
    *ret_to = ask->op == LOGCOL_HOLDS || ask->op == LOGCOL_ENDS ? last + 1 : 1;
    if (len > c->hex.len || (ask->op == LOGCOL_IS && len != c->hex.len))
        *ret_to = *ret_from;
}

static bool may_hex(const struct logcol *c, const struct logcol_ask *ask)
{
    size_t from, to;
    struct hex_lie lie;

    for (hex_places(c, ask, &from, &to); from < to; from++)
        if (hex_lie_at(c, ask->text, from, &lie))
            return true;
    return false;
}

/* The bytes that texts of a kind are made of. */
static void add_bytes(bool *set, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        set[s.ptr[i]] = true;
}

static bool is_of_its_bytes(const struct logcol *c, const struct logcol_ask *ask)
{
    bool set[256] = {0};

    add_bytes(set, SLICE("0123456789"));
    switch (c->kind) {
    case LOGCOL_NUMBER:
        add_bytes(set, SLICE("-."));
        break;
    case LOGCOL_ADDRESS:
        add_bytes(set, SLICE("."));
        break;
    case LOGCOL_HEX:
        add_bytes(set, c->hex.is_upper ? SLICE("ABCDEF") : SLICE("abcdef"));
        add_bytes(set, slice_of(c->hex.still, c->hex.len - c->hex.n_vary));
        break;
    default:
        add_bytes(set, SLICE("-:/JanFebMarAprMayJunJulAugSepOctNovDec"));
        set[c->stamp.form.between] = set[c->stamp.form.point] = true;
        add_bytes(set, c->stamp.form.tail);
    }
    add_bytes(set, c->prefix);
    add_bytes(set, c->suffix);
    for (size_t i = 0; i < ask->text.len; i++)
        if (!set[ask->text.ptr[i]])
            return false;
    return true;
}

/* By the dictionary as it stands in the tree. */
static bool may_dict(const struct logcol *c, const struct logcol_ask *ask)
{
    struct reader lengths = reader_new(c->dict.texts), texts = lengths;

    for (uint32_t i = 0; i < c->n_texts; i++)
        (void)reader_uvarint(&texts);
    for (uint32_t i = 0; i < c->n_texts; i++)
        if (logcol_is_so(ask, reader_bytes(&texts, reader_uvarint(&lengths))))
            return true;
    return !reader_ok(&texts); /* broken: whoever loads it will say so */
}

static bool may_words(struct logcol *c, const struct logcol_ask *ask)
{
    if (ask->op != LOGCOL_HOLDS)
        return true;
    for (uint32_t k = 0; k < c->words.n_cols; k++)
        if (logcol_may(&c->cols[k], ask))
            return true;
    return logcol_may_template(c, ask);
}

/* Whether the text can lie over the end of a line. */
static bool touches(struct slice separator, struct slice text)
{
    for (size_t i = 0; i < separator.len; i++)
        if (memchr(text.ptr, separator.ptr[i], text.len))
            return true;
    return false;
}

bool logcol_may(struct logcol *c, const struct logcol_ask *ask)
{
    if (ask->text.len == 0)
        return c->n > 0;
    switch (c->kind) {
    case LOGCOL_NONE:
        return false;
    case LOGCOL_CONST:
        return c->has_affixes || logcol_is_so(ask, c->value);
    case LOGCOL_DICT:
        return c->has_affixes || may_dict(c, ask);
    case LOGCOL_TEXT:
        return true;
    case LOGCOL_LINES:
        return ask->op != LOGCOL_HOLDS || touches(c->lines.separator, ask->text) ||
               c->has_affixes || logcol_may(c->cols, ask);
    case LOGCOL_WORDS:
        return c->has_affixes || may_words(c, ask);
    case LOGCOL_HEX:
        return c->has_affixes ? is_of_its_bytes(c, ask) : may_hex(c, ask);
    default:
        return is_of_its_bytes(c, ask);
    }
}

/* ---- the values that do ---- */

static struct err *check_memory(const struct logcol_source *src)
{
    return arena_over(src->arena)
               ? err_new(ERR_LIMIT, "log search needs more memory than the query may hold")
               : NULL;
}

struct err *logcol_match_texts(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, const uint64_t *only, uint64_t *set)
{
    struct buf text = {0};
    struct err *e = check_memory(src);

    if (!e)
        e = logcol_load_all(src, c);
    text.max_bytes = src->max_text + 1024; /* some is asked for and not used */
    for (uint32_t i = 0; !e && i < c->n; i++) {
        if (only && !logcol_has(only, i))
            continue;
        buf_reset(&text);
        logcol_put(c, i, &text);
        if (!buf_ok(&text))
            e = err_new(ERR_CORRUPT, "log column: a value is longer than it can be");
        else if (logcol_is_so(ask, buf_slice(&text)))
            logcol_set(set, i);
    }
    buf_done(&text);
    return e;
}

static struct err *match_dict(const struct logcol_source *src, struct logcol *c,
                              const struct logcol_ask *ask, uint64_t *set)
{
    bool *hits;
    struct err *e = logcol_load(src, c);

    if (e)
        return e;
    hits = arena_array(src->arena, bool, c->n_texts);
    for (uint32_t k = 0; k < c->n_texts; k++)
        hits[k] = logcol_is_so(ask, logcol_text(c, k));
    for (uint32_t i = 0; i < c->n; i++)
        set[i >> 6] |= (uint64_t)hits[c->which[i]] << (i & 63);
    return NULL;
}

/* All texts in one go; what lies over the end of one is none. */
static void hold_text(const struct logcol *c, const struct logcol_ask *ask, uint64_t *set)
{
    struct slice all = slice_of(c->bytes, c->ends[c->n - 1]);
    size_t at = 0;
    uint32_t i = 0;
    ptrdiff_t hit;

    while ((hit = textfind_in(&ask->find, all, at)) >= 0) {
        while (c->ends[i] <= (size_t)hit)
            i++;
        if ((size_t)hit + ask->text.len <= c->ends[i]) {
            logcol_set(set, i);
            at = c->ends[i];
        } else {
            at = (size_t)hit + 1;
        }
    }
}

static struct err *match_text(const struct logcol_source *src, struct logcol *c,
                              const struct logcol_ask *ask, uint64_t *set)
{
    struct err *e = logcol_load(src, c);

    if (e)
        return e;
    if (ask->op == LOGCOL_HOLDS)
        hold_text(c, ask, set);
    else
        for (uint32_t i = 0; i < c->n; i++)
            if (logcol_is_so(ask, logcol_text(c, i)))
                logcol_set(set, i);
    return NULL;
}

static bool has_lie(const struct hex_lie *lie, const uint8_t *value)
{
    for (size_t i = 0; i < lie->n; i++)
        if ((value[i] & lie->mask[i]) != lie->want[i])
            return false;
    return true;
}

/* What a value would be stored as that is this text, if it is one at all. */
static bool int_of(const struct logcol *c, struct slice text, int64_t *ret)
{
    uint64_t v = 0, part = 0;
    bool is_negative = text.len && text.ptr[0] == '-';

    if (c->kind == LOGCOL_STAMP)
        return logstamp_parse(&c->stamp.form, text, ret);
    for (size_t i = is_negative; i < text.len; i++) {
        unsigned digit = (unsigned)text.ptr[i] - '0';

        if (digit > 9 && text.ptr[i] != '.')
            return false;
        if (digit > 9 && c->kind == LOGCOL_ADDRESS) {
            v = v << 8 | part;
            part = 0;
        } else if (digit <= 9) {
            part = part * 10 + digit;
        }
    }
    v = c->kind == LOGCOL_ADDRESS ? v << 8 | part : part;
    *ret = (int64_t)(is_negative ? 0 - v : v);
    return true;
}

/* The whole value: most are told apart as they are stored. */
static struct err *match_int(const struct logcol_source *src, struct logcol *c,
                             const struct logcol_ask *ask, uint64_t *set)
{
    uint64_t *only = logcol_new_set(src, c->n);
    struct err *e = logcol_load(src, c);
    bool has = false;
    int64_t v;

    if (e || !int_of(c, ask->text, &v))
        return e;
    for (uint32_t i = 0; i < c->n; i++) {
        only[i >> 6] |= (uint64_t)(c->ints[i] == v) << (i & 63);
        has |= c->ints[i] == v;
    }
    return has ? logcol_match_texts(src, c, ask, only, set) : NULL;
}

/* Values as they are stored, and not as texts: that is most of what a search for an id does. */
static struct err *match_hex(const struct logcol_source *src, struct logcol *c,
                             const struct logcol_ask *ask, uint64_t *set)
{
    struct err *e = logcol_load(src, c);
    struct hex_lie lie;
    size_t from, to;

    for (hex_places(c, ask, &from, &to); !e && from < to; from++) {
        if (!hex_lie_at(c, ask->text, from, &lie))
            continue;
        for (uint32_t i = 0; i < c->n; i++)
            if (has_lie(&lie, c->bytes + (size_t)i * lie.n))
                logcol_set(set, i);
    }
    return e;
}

static struct err *match_lines(const struct logcol_source *src, struct logcol *c,
                               const struct logcol_ask *ask, uint64_t *set)
{
    uint64_t *lines = logcol_new_set(src, c->lines.n);
    struct err *e = logcol_match(src, c->cols, ask, lines);

    if (!e)
        e = logcol_load(src, c);
    for (uint32_t i = 0, k = 0; !e && i < c->n; i++)
        for (; k < c->ends[i]; k++)
            if (logcol_has(lines, k))
                logcol_set(set, i);
    return e;
}

struct err *logcol_match(const struct logcol_source *src, struct logcol *c,
                         const struct logcol_ask *ask, uint64_t *set)
{
    struct err *e = check_memory(src);

    if (e)
        return e;
    if (ask->text.len == 0 && ask->op != LOGCOL_IS) {
        logcol_set_range(set, 0, c->n);
        return NULL;
    }
    if (!logcol_may(c, ask))
        return NULL;
    if (c->has_affixes)
        return logcol_match_texts(src, c, ask, NULL, set);
    switch (c->kind) {
    case LOGCOL_NONE:
        return NULL;
    case LOGCOL_CONST:
        if (logcol_is_so(ask, c->value))
            logcol_set_range(set, 0, c->n);
        return NULL;
    case LOGCOL_DICT:
        return match_dict(src, c, ask, set);
    case LOGCOL_TEXT:
        return match_text(src, c, ask, set);
    case LOGCOL_LINES:
        if (ask->op == LOGCOL_HOLDS && !touches(c->lines.separator, ask->text))
            return match_lines(src, c, ask, set);
        return logcol_match_texts(src, c, ask, NULL, set);
    case LOGCOL_WORDS:
        if (ask->op == LOGCOL_HOLDS)
            return logcol_match_words(src, c, ask, set);
        return logcol_match_texts(src, c, ask, NULL, set);
    case LOGCOL_HEX:
        return match_hex(src, c, ask, set);
    default:
        return ask->op == LOGCOL_IS ? match_int(src, c, ask, set)
                                    : logcol_match_texts(src, c, ask, NULL, set);
    }
}
