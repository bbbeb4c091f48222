#include "ingester/door/line_level.h"

#include "ingester/door/level_word.h"

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

/* By length; no two have the same. */
static const struct slice fields[] = {
    [3] = SLICE_INIT("lvl"),           [5] = SLICE_INIT("level"),
    [8] = SLICE_INIT("severity"),      [9] = SLICE_INIT("log.level"),
    [12] = SLICE_INIT("severitytext"), [13] = SLICE_INIT("severity_text"),
};

bool line_level_is_field(struct slice name)
{
    return name.len && name.len < ORR_COUNT(fields) && fields[name.len].len &&
           slice_eq_nocase(name, fields[name.len]);
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
    enum line_level_kind k = level_word(value);

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
        while (p < end && level_word_byte(*p))
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

/* The last byte of a field's name: most keys end in others. */
static bool may_end_field(uint8_t c)
{
    return (c | 0x20) == 'l' || (c | 0x20) == 'y' || (c | 0x20) == 't';
}

/* Keys of logfmt. */
static enum line_level_kind of_logfmt(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *eq = start;

    while ((eq = memchr(eq, '=', (size_t)(end - eq)))) {
        const uint8_t *key = eq;
        enum line_level_kind k;

        if (eq == start || !may_end_field(eq[-1])) {
            eq++;
            continue;
        }
        while (key > start && level_word_byte(key[-1]))
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

enum line_level_kind line_level_of_line(struct slice line)
{
    struct slice s = slice_sub(line, 0, LINE_LEVEL_MAX_BYTES);
    const uint8_t *end = s.ptr + s.len, *p = skip_spaces(s.ptr, end);
    enum line_level_kind k;

    if (p < end && *p == '{')
        k = of_json(p, end);
    else
        k = of_logfmt(p, end);
    return k != LINE_LEVEL_UNKNOWN ? k : level_word_first(slice_of(p, (size_t)(end - p)));
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
