#include "ingester/door/influx_line.h"

#include <math.h>

#include "common/base/num.h"

void influx_line_init(struct influx_line *r, struct arena *a, struct slice text)
{
    *r = (struct influx_line){.arena = a, .input = text, .next_line = 1};
}

static int peek(const struct influx_line *r)
{
    return r->pos < r->input.len ? r->input.ptr[r->pos] : '\n';
}

static bool fail(struct influx_line *r, const char *error)
{
    r->error = error;
    return false;
}

/* ---- words ---- */

/* A backslash before one of these is an escape; before anything else it is itself. */
static struct slice unescape(struct influx_line *r, struct slice s, const char *escapable)
{
    uint8_t *out;
    size_t n = 0;

    if (ORR_LIKELY(!r->has_backslash))
        return s;
    out = arena_alloc(r->arena, s.len);
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' && i + 1 < s.len && strchr(escapable, s.ptr[i + 1]) && s.ptr[i + 1])
            i++;
        out[n++] = s.ptr[i];
    }
    return slice_of(out, n);
}

/* Up to one of , blank newline, or = where that ends a word, none of them behind a backslash. */
static struct slice word(struct influx_line *r, bool ends_at_equal)
{
    size_t from = r->pos;

    for (; r->pos < r->input.len; r->pos++) {
        uint8_t c = r->input.ptr[r->pos];

        if (c == '\\' && r->pos + 1 < r->input.len && r->input.ptr[r->pos + 1] != '\n')
            r->pos++, r->has_backslash = true;
        else if (c == ',' || c == ' ' || c == '\n' || (c == '=' && ends_at_equal))
            break;
    }
    return slice_sub(r->input, from, r->pos - from);
}

/* ---- tags ---- */

static bool add_tag(struct influx_line *r, struct slice key, struct slice value)
{
    if (r->n_tags == INFLUX_MAX_PARTS)
        return fail(r, "too many tags");
    if (r->n_tags == r->cap_tags) {
        size_t cap = r->cap_tags ? 2 * r->cap_tags : 32, each = sizeof(*r->tag_array);

        r->tag_array = arena_grow(r->arena, r->tag_array, r->cap_tags * each, cap * each);
        r->cap_tags = cap;
    }
    r->tag_array[r->n_tags++] = (struct label){key, value};
    return true;
}

static bool tag(struct influx_line *r)
{
    struct slice key, value;

    r->pos++; /* the comma */
    key = word(r, true);
    if (key.len == 0)
        return fail(r, "missing tag key");
    if (peek(r) != '=')
        return fail(r, "missing tag value");
    r->pos++;
    value = word(r, true);
    if (value.len == 0)
        return fail(r, "missing tag value");
    if (peek(r) == '=')
        return fail(r, "an = within a tag value must be escaped");
    return add_tag(r, unescape(r, key, ", ="), unescape(r, value, ", ="));
}

/* ---- fields ---- */

static bool is_float_text(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || strchr("+-.eE", s.ptr[i])) || !s.ptr[i])
            return false;
    return s.len > 0;
}

static bool truth(struct slice s, double *ret)
{
    static const char *const yes[] = {"t", "T", "true", "True", "TRUE"}, *const no[] = {
                                                                             "f", "F", "false",
                                                                             "False", "FALSE"};

    for (size_t i = 0; i < ORR_COUNT(yes); i++) {
        if (slice_eq_cstr(s, yes[i]) || slice_eq_cstr(s, no[i])) {
            *ret = slice_eq_cstr(s, yes[i]);
            return true;
        }
    }
    return false;
}

static bool number(struct influx_line *r, struct slice s, double *ret)
{
    struct slice digits = slice_sub(s, 0, s.len ? s.len - 1 : 0);
    uint8_t last = s.len ? s.ptr[s.len - 1] : 0;
    int64_t i;
    uint64_t u;

    if (s.len == 0)
        return fail(r, "missing field value");
    if (last == 'i') {
        *ret = slice_to_i64(digits, &i) ? (double)i : NAN;
        return !isnan(*ret) || fail(r, "an integer that cannot be read");
    }
    if (last == 'u') {
        *ret = slice_to_u64(digits, &u) ? (double)u : NAN;
        return !isnan(*ret) || fail(r, "an unsigned integer that cannot be read");
    }
    if (truth(s, ret))
        return true;
    return (is_float_text(s) && num_parse(s, ret)) || fail(r, "a field value that cannot be read");
}

/* From the opening quote on; newlines within count. */
static bool skip_text(struct influx_line *r)
{
    for (r->pos++; r->pos < r->input.len; r->pos++) {
        uint8_t c = r->input.ptr[r->pos];

        if (c == '\\' && r->pos + 1 < r->input.len)
            c = r->input.ptr[++r->pos] == '\n' ? '\n' : 0;
        if (c == '\n')
            r->next_line++;
        if (c == '"') {
            r->pos++;
            return true;
        }
    }
    return fail(r, "a text without its closing quote");
}

static bool add_field(struct influx_line *r, struct influx_field f)
{
    if (r->n_fields == INFLUX_MAX_PARTS)
        return fail(r, "too many fields");
    if (r->n_fields == r->cap_fields) {
        size_t cap = r->cap_fields ? 2 * r->cap_fields : 32, each = sizeof(*r->field_array);

        r->field_array = arena_grow(r->arena, r->field_array, r->cap_fields * each, cap * each);
        r->cap_fields = cap;
    }
    r->field_array[r->n_fields++] = f;
    return true;
}

/* The end of a word that is a number: \r belongs to the line's end. */
static struct slice number_word(struct influx_line *r)
{
    size_t from = r->pos;
    int c;

    while ((c = peek(r)) != ',' && c != ' ' && c != '\n' && c != '\r')
        r->pos++;
    return slice_sub(r->input, from, r->pos - from);
}

static bool field(struct influx_line *r)
{
    struct influx_field f = {.kind = INFLUX_NUMBER};
    struct slice key = word(r, true);

    if (key.len == 0)
        return fail(r, "missing field key");
    if (peek(r) != '=')
        return fail(r, "missing field value");
    r->pos++;
    f.key = unescape(r, key, ", =");
    if (peek(r) == '"') {
        f.kind = INFLUX_STRING;
        if (!skip_text(r))
            return false;
    } else if (!number(r, number_word(r), &f.value)) {
        return false;
    }
    return add_field(r, f);
}

/* ---- points ---- */

static void skip_blanks(struct influx_line *r)
{
    while (r->pos < r->input.len && (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\r'))
        r->pos++;
}

/* To behind the newline. */
static void skip_line(struct influx_line *r)
{
    ptrdiff_t end = slice_find_byte(r->input, '\n', r->pos);

    r->pos = end < 0 ? r->input.len : (size_t)end + 1;
    r->next_line++;
}

static bool timestamp(struct influx_line *r)
{
    struct slice s;

    skip_blanks(r);
    if (peek(r) == '\n')
        return true;
    s = number_word(r);
    if (!slice_to_i64(s, &r->time))
        return fail(r, "bad timestamp");
    r->has_time = true;
    skip_blanks(r);
    return peek(r) == '\n' || fail(r, "something behind the timestamp");
}

static bool point(struct influx_line *r)
{
    struct slice name = word(r, false);

    if (name.len == 0)
        return fail(r, "missing measurement");
    r->measurement = unescape(r, name, ", ");
    while (peek(r) == ',')
        if (!tag(r))
            return false;
    if (peek(r) != ' ')
        return fail(r, "missing fields");
    skip_blanks(r);
    if (peek(r) == '\n')
        return fail(r, "missing fields");
    if (!field(r))
        return false;
    while (peek(r) == ',') {
        r->pos++;
        if (!field(r))
            return false;
    }
    return timestamp(r);
}

/* To the end of the line on which the bad point at from began. */
static void go_back(struct influx_line *r, size_t from)
{
    ptrdiff_t end = slice_find_byte(r->input, '\n', from);
    size_t again;

    if (end < 0 || (size_t)end >= r->pos)
        return;
    again = r->pos - (size_t)end;
    if (again > INFLUX_MAX_REREAD * r->input.len - r->reread_bytes)
        return;
    r->reread_bytes += again;
    r->pos = (size_t)end;
    r->next_line = r->line;
}

enum influx_item influx_line_next(struct influx_line *r)
{
    bool is_good;
    size_t from;

    for (;;) {
        skip_blanks(r);
        if (r->pos >= r->input.len)
            return INFLUX_END;
        if (peek(r) != '#' && peek(r) != '\n')
            break;
        skip_line(r);
    }
    r->n_tags = r->n_fields = 0;
    r->has_time = r->has_backslash = false;
    r->line = r->next_line;
    from = r->pos;
    is_good = point(r);
    if (!is_good)
        go_back(r, from);
    skip_line(r);
    r->tags = r->tag_array;
    r->fields = r->field_array;
    return is_good ? INFLUX_POINT : INFLUX_BAD;
}

/* ---- time ---- */

bool influx_line_precision(struct slice name, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"", 1},
                 {"n", 1},
                 {"ns", 1},
                 {"u", 1000},
                 {"us", 1000},
                 {"\xc2\xb5", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", 60 * 1000000000ll},
                 {"h", 3600 * 1000000000ll}};

    for (size_t i = 0; i < ORR_COUNT(units); i++)
        if (slice_eq_cstr(name, units[i].name)) {
            *ret_ns = units[i].ns;
            return true;
        }
    return false;
}

bool influx_line_to_ms(int64_t time, int64_t unit_ns, int64_t *ret_ms)
{
    const int64_t ms = 1000000;

    if (unit_ns >= ms)
        return !__builtin_mul_overflow(time, unit_ns / ms, ret_ms);
    *ret_ms = time / (ms / unit_ns) - (time % (ms / unit_ns) < 0);
    return true;
}
