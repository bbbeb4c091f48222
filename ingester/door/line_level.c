#include "ingester/door/line_level.h"

struct slice line_level_name(enum line_level_kind level)
{
    static const struct slice names[] = {
#define X(sym, name) SLICE_INIT(name),
        LINE_LEVELS(X)
#undef X
    };

    return names[level];
}

/* ---- names and values ---- */

bool line_level_is_field(struct slice name)
{
    static const char *const names[] = {"level", "lvl", "severity", "severitytext", "log.level"};

    if (name.len < 3 || name.len > 13)
        return false;
    if (slice_eq_nocase(name, SLICE("severity_text")))
        return true;
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_nocase(name, slice_cstr(names[i])))
            return true;
    return false;
}

struct word {
    struct slice text;
    enum line_level_kind level;
};
/* Lower case; those with one first byte stand together. */
static const struct word words[] = {
    {SLICE_INIT("alert"), LINE_LEVEL_CRITICAL},   {SLICE_INIT("critical"), LINE_LEVEL_CRITICAL},
    {SLICE_INIT("crit"), LINE_LEVEL_CRITICAL},    {SLICE_INIT("debug"), LINE_LEVEL_DEBUG},
    {SLICE_INIT("dbg"), LINE_LEVEL_DEBUG},        {SLICE_INIT("emerg"), LINE_LEVEL_FATAL},
    {SLICE_INIT("emergency"), LINE_LEVEL_FATAL},  {SLICE_INIT("error"), LINE_LEVEL_ERROR},
    {SLICE_INIT("err"), LINE_LEVEL_ERROR},        {SLICE_INIT("fatal"), LINE_LEVEL_FATAL},
    {SLICE_INIT("info"), LINE_LEVEL_INFO},        {SLICE_INIT("inf"), LINE_LEVEL_INFO},
    {SLICE_INIT("information"), LINE_LEVEL_INFO}, {SLICE_INIT("notice"), LINE_LEVEL_INFO},
    {SLICE_INIT("panic"), LINE_LEVEL_FATAL},      {SLICE_INIT("trace"), LINE_LEVEL_TRACE},
    {SLICE_INIT("trc"), LINE_LEVEL_TRACE},        {SLICE_INIT("warning"), LINE_LEVEL_WARN},
    {SLICE_INIT("warn"), LINE_LEVEL_WARN},        {SLICE_INIT("wrn"), LINE_LEVEL_WARN},
};
#define MAX_WORD 11

/* By two bytes, either case, whether any word begins so: nearly no word of a line does. */
static const uint32_t second_bytes[32] = {
#define SECOND(c) (1u << ((c)&31))
    ['a' & 31] = SECOND('l'),
    ['c' & 31] = SECOND('r'),
    ['d' & 31] = SECOND('e') | SECOND('b'),
    ['e' & 31] = SECOND('m') | SECOND('r'),
    ['f' & 31] = SECOND('a'),
    ['i' & 31] = SECOND('n'),
    ['n' & 31] = SECOND('o'),
    ['p' & 31] = SECOND('a'),
    ['t' & 31] = SECOND('r'),
    ['w' & 31] = SECOND('a') | SECOND('r'),
#undef SECOND
};

static enum line_level_kind of_word(struct slice w)
{
    if (w.len < 3 || w.len > MAX_WORD || !(second_bytes[w.ptr[0] & 31] >> (w.ptr[1] & 31) & 1))
        return LINE_LEVEL_UNKNOWN;
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (w.len == words[i].text.len && slice_eq_nocase(w, words[i].text))
            return words[i].level;
    return LINE_LEVEL_UNKNOWN;
}

/* Of pino and bunyan: 10 trace … 60 fatal. */
static enum line_level_kind of_number(struct slice v)
{
    uint64_t n;

    if (!slice_to_u64(v, &n) || n % 10 || n < 10 || n > 60)
        return LINE_LEVEL_UNKNOWN;
    return (enum line_level_kind)(n == 60 ? LINE_LEVEL_FATAL : LINE_LEVEL_TRACE + n / 10 - 1);
}

enum line_level_kind line_level_of_text(struct slice value)
{
    enum line_level_kind k = of_word(value);

    return k != LINE_LEVEL_UNKNOWN ? k : of_number(value);
}

enum line_level_kind line_level_of_severity(int64_t number)
{
    if (number < 1 || number > 24)
        return LINE_LEVEL_UNKNOWN;
    if (number >= 21)
        return LINE_LEVEL_FATAL;
    return (enum line_level_kind)(LINE_LEVEL_TRACE + (number - 1) / 4);
}

/* ---- lines ---- */

/* Letters, digits, _ . - and all that is not ASCII. */
static const bool word_bytes[256] = {
    ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,   ['_'] = true,
    ['.'] = true,         ['-'] = true,         [0x80 ... 0xff] = true,
};

static inline bool is_word_byte(uint8_t c)
{
    return word_bytes[c];
}

static const uint8_t *skip_spaces(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* The end of a string whose quote is before p; end if it has none. */
static const uint8_t *string_end(const uint8_t *p, const uint8_t *end)
{
    for (; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p;
}

/* A text, or a bare word or number, at p. */
static struct slice value_at(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;

    if (p < end && *p == '"') {
        start++;
        p = string_end(start, end);
    } else {
        while (p < end && is_word_byte(*p))
            p++;
    }
    return slice_of(start, (size_t)(p - start));
}

static enum line_level_kind of_json(const uint8_t *p, const uint8_t *end)
{
    int depth = 0;

    for (; p < end; p++) {
        const uint8_t *start, *colon;

        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        if (*p != '"')
            continue;
        start = p + 1;
        p = string_end(start, end);
        colon = skip_spaces(p < end ? p + 1 : end, end);
        if (depth != 1 || colon >= end || *colon != ':')
            continue;
        if (line_level_is_field(slice_of(start, (size_t)(p - start))))
            return line_level_of_text(value_at(skip_spaces(colon + 1, end), end));
        p = colon;
    }
    return LINE_LEVEL_UNKNOWN;
}

/* Keys of logfmt. */
static enum line_level_kind of_logfmt(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *eq = start;

    while ((eq = memchr(eq, '=', (size_t)(end - eq)))) {
        const uint8_t *key = eq;
        enum line_level_kind k;

        while (key > start && is_word_byte(key[-1]))
            key--;
        if (line_level_is_field(slice_of(key, (size_t)(eq - key)))) {
            k = line_level_of_text(value_at(eq + 1, end));
            if (k != LINE_LEVEL_UNKNOWN)
                return k;
        }
        eq++;
    }
    return LINE_LEVEL_UNKNOWN;
}

static enum line_level_kind of_words(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *start;
        enum line_level_kind k;

        while (p < end && !is_word_byte(*p))
            p++;
        for (start = p; p < end && is_word_byte(*p);)
            p++;
        k = of_word(slice_of(start, (size_t)(p - start)));
        if (k != LINE_LEVEL_UNKNOWN)
            return k;
    }
    return LINE_LEVEL_UNKNOWN;
}

enum line_level_kind line_level_of_line(struct slice line)
{
    struct slice s = slice_sub(line, 0, LINE_LEVEL_MAX_BYTES);
    const uint8_t *end = s.ptr + s.len, *p = skip_spaces(s.ptr, end);
    enum line_level_kind k;

    if (p < end && *p == '{')
        k = of_json(p, end);
    else
        k = of_logfmt(p, end);
    return k != LINE_LEVEL_UNKNOWN ? k : of_words(p, end);
}

enum line_level_kind line_level_of_labels(struct labels ls)
{
    for (size_t i = 0; i < ls.n; i++)
        if (line_level_is_field(ls.ptr[i].name)) {
            enum line_level_kind k = line_level_of_text(ls.ptr[i].value);

            if (k != LINE_LEVEL_UNKNOWN)
                return k;
        }
    return LINE_LEVEL_UNKNOWN;
}

/* labels_get() needs them sorted. */
static struct slice find(struct labels ls, struct slice name)
{
    for (size_t i = 0; i < ls.n; i++)
        if (slice_eq(ls.ptr[i].name, name))
            return ls.ptr[i].value;
    return SLICE_EMPTY;
}

enum line_level_kind line_level_detect(enum line_level_kind stream, struct labels metadata,
                                       struct slice line)
{
    enum line_level_kind k = line_level_of_labels(metadata);
    int64_t number;

    if (k == LINE_LEVEL_UNKNOWN)
        k = stream;
    if (k == LINE_LEVEL_UNKNOWN && metadata.n &&
        slice_to_i64(find(metadata, SLICE("severity_number")), &number))
        k = line_level_of_severity(number);
    return k != LINE_LEVEL_UNKNOWN ? k : line_level_of_line(line);
}
