#include "ingester/door/otlp_name.h"

#include "common/base/gostr.h"

/* ---- text under way: the room is known before ---- */

struct text {
    uint8_t *ptr;
    size_t n;
};

static struct text text_new(struct arena *a, size_t room)
{
    return (struct text){arena_alloc(a, room + 1), 0};
}

static void put(struct text *t, struct slice s)
{
    if (s.len)
        memcpy(t->ptr + t->n, s.ptr, s.len);
    t->n += s.len;
}

static void put_byte(struct text *t, uint8_t c)
{
    t->ptr[t->n++] = c;
}

static struct slice text_slice(const struct text *t)
{
    return slice_of(t->ptr, t->n);
}

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool only_underscores(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '_')
            return false;
    return true;
}

/* ---- units ---- */

struct unit_row {
    const char *otlp, *name;
};
static const struct unit_row units[] = {
    {"d", "days"},
    {"h", "hours"},
    {"min", "minutes"},
    {"s", "seconds"},
    {"ms", "milliseconds"},
    {"us", "microseconds"},
    {"ns", "nanoseconds"},
    {"By", "bytes"},
    {"KiBy", "kibibytes"},
    {"MiBy", "mebibytes"},
    {"GiBy", "gibibytes"},
    {"TiBy", "tibibytes"},
    {"KBy", "kilobytes"},
    {"MBy", "megabytes"},
    {"GBy", "gigabytes"},
    {"TBy", "terabytes"},
    {"m", "meters"},
    {"V", "volts"},
    {"A", "amperes"},
    {"J", "joules"},
    {"W", "watts"},
    {"g", "grams"},
    {"Cel", "celsius"},
    {"Hz", "hertz"},
    {"1", ""},
    {"%", "percent"},
};
static const struct unit_row per_units[] = {
    {"s", "second"}, {"m", "minute"}, {"h", "hour"}, {"d", "day"},
    {"w", "week"},   {"mo", "month"}, {"y", "year"},
};

static struct slice unit_lookup(const struct unit_row *rows, size_t n, struct slice unit)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_cstr(unit, rows[i].otlp))
            return slice_cstr(rows[i].name);
    return unit;
}

/* What is in braces says what is counted, and is no unit. */
static bool is_annotation(struct slice unit)
{
    return slice_find_byte(unit, '{', 0) >= 0 || slice_find_byte(unit, '}', 0) >= 0;
}

/* "By/s" → bytes, per_second; both may be empty. */
static void split_unit(struct arena *a, struct slice unit, struct slice *ret_main,
                       struct slice *ret_per)
{
    ptrdiff_t slash = slice_find_byte(unit, '/', 0);
    struct slice main_unit = slice_trim(slash < 0 ? unit : slice_sub(unit, 0, (size_t)slash));
    struct slice per = slash < 0 ? SLICE_EMPTY : slice_trim(slice_from(unit, (size_t)slash + 1));

    *ret_main = *ret_per = SLICE_EMPTY;
    if (main_unit.len && !is_annotation(main_unit))
        *ret_main = unit_lookup(units, ORR_COUNT(units), main_unit);
    if (per.len && !is_annotation(per)) {
        struct slice name = unit_lookup(per_units, ORR_COUNT(per_units), per);
        struct text t = text_new(a, name.len + 4);

        put(&t, SLICE("per_"));
        put(&t, name);
        *ret_per = text_slice(&t);
    }
}

/* Runs of what may not stand in a metric's name become one underscore; none in front. */
static struct slice clean_unit(struct arena *a, struct slice unit)
{
    struct text t = text_new(a, unit.len);

    for (size_t i = 0; i < unit.len; i++) {
        uint8_t c = unit.ptr[i];

        if (is_alnum(c) || c == ':')
            put_byte(&t, c);
        else if (t.n == 0 || t.ptr[t.n - 1] != '_')
            put_byte(&t, '_');
    }
    return slice_has_prefix(text_slice(&t), SLICE("_")) ? slice_from(text_slice(&t), 1)
                                                        : text_slice(&t);
}

static struct slice trim_underscore(struct slice s)
{
    return s.len && s.ptr[s.len - 1] == '_' ? slice_sub(s, 0, s.len - 1) : s;
}

struct slice otlp_name_unit(struct arena *a, bool is_utf8, struct slice unit)
{
    struct slice main_unit, per, all;
    struct text t;

    split_unit(a, unit, &main_unit, &per);
    if (!is_utf8) {
        main_unit = clean_unit(a, main_unit);
        per = clean_unit(a, per);
    }
    t = text_new(a, main_unit.len + per.len + 1);
    put(&t, main_unit);
    if (main_unit.len && per.len)
        put_byte(&t, '_');
    put(&t, per);
    all = text_slice(&t);
    return trim_underscore(slice_has_prefix(all, SLICE("_")) ? slice_from(all, 1) : all);
}

/* ---- metric names, escaped ---- */

/* The next run of letters, digits and colons of *rest. */
static bool next_token(struct slice *rest, struct slice *ret)
{
    size_t i = 0, n = 0;

    while (i < rest->len && !is_alnum(rest->ptr[i]) && rest->ptr[i] != ':')
        i++;
    while (i + n < rest->len && (is_alnum(rest->ptr[i + n]) || rest->ptr[i + n] == ':'))
        n++;
    *ret = slice_sub(*rest, i, n);
    *rest = slice_from(*rest, i + n);
    return n > 0;
}

static bool has_token(struct slice name, struct slice token)
{
    struct slice t;

    while (next_token(&name, &t))
        if (slice_eq(t, token))
            return true;
    return false;
}

/* Behind what stands after the first byte, with an underscore between; an empty part is none. */
static void put_part(struct text *t, struct slice part)
{
    if (part.len && t->n > 1)
        put_byte(t, '_');
    put(t, part);
}

/* The suffix that a type brings, moved to the end when the name has it already. */
static struct slice type_suffix(enum otlp_name_type type, struct slice unit)
{
    if (type == OTLP_NAME_COUNTER)
        return SLICE("total");
    if (type == OTLP_NAME_GAUGE && slice_eq_cstr(unit, "1"))
        return SLICE("ratio");
    return SLICE_EMPTY;
}

static struct slice escaped_with_suffixes(struct arena *a, struct slice prefix, struct slice name,
                                          struct slice unit, enum otlp_name_type type)
{
    struct slice main_unit, per, token, rest = name, last = type_suffix(type, unit);
    struct text t;

    split_unit(a, unit, &main_unit, &per);
    main_unit = clean_unit(a, main_unit);
    per = clean_unit(a, per);
    if (has_token(name, main_unit))
        main_unit = SLICE_EMPTY;
    per = slice_eq_cstr(per, "per_") ? SLICE_EMPTY : trim_underscore(per);
    if (has_token(name, per))
        per = SLICE_EMPTY;
    if (per.len)
        main_unit = trim_underscore(main_unit);

    t = text_new(a, 1 + prefix.len + 1 + name.len + 1 + main_unit.len + 1 + per.len + 1 + last.len);
    put_byte(&t, '_'); /* kept only before a digit */
    put_part(&t, prefix);
    while (next_token(&rest, &token))
        if (!slice_eq(token, last))
            put_part(&t, token);
    if (!slice_eq(main_unit, last))
        put_part(&t, main_unit);
    put_part(&t, per);
    put_part(&t, last);
    return t.n > 1 && is_digit(t.ptr[1]) ? text_slice(&t) : slice_from(text_slice(&t), 1);
}

/* Runs of bytes that may stand in a metric's name, underscores too, joined by underscores. */
static void put_fields(struct text *t, struct slice name)
{
    bool is_first = true, in_field = false;

    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        if (!is_alnum(c) && c != ':' && c != '_') {
            in_field = false;
            continue;
        }
        if (!in_field && !is_first)
            put_byte(t, '_');
        in_field = true;
        is_first = false;
        put_byte(t, c);
    }
}

static struct slice escaped(struct arena *a, struct slice prefix, struct slice name)
{
    struct text t = text_new(a, 1 + prefix.len + 1 + name.len);

    put_byte(&t, '_');
    if (prefix.len) {
        put_fields(&t, prefix);
        put_byte(&t, '_');
    }
    put_fields(&t, name);
    return !prefix.len && t.n > 1 && is_digit(t.ptr[1]) ? text_slice(&t)
                                                        : slice_from(text_slice(&t), 1);
}

/* ---- metric names as they are ---- */

/* Takes the suffix off, and the byte before it, which is taken for a delimiter. */
static struct slice trim_suffix(struct slice name, struct slice suffix)
{
    return suffix.len && slice_has_suffix(name, suffix) && name.len > suffix.len + 1
               ? slice_sub(name, 0, name.len - suffix.len - 1)
               : name;
}

static struct slice utf8_with_suffixes(struct arena *a, struct slice name, struct slice unit,
                                       enum otlp_name_type type)
{
    struct slice main_unit, per, last = type_suffix(type, unit);
    struct text t;

    split_unit(a, unit, &main_unit, &per);
    name = trim_suffix(name, last);
    name = trim_suffix(name, per);
    if (slice_has_suffix(name, main_unit))
        main_unit = SLICE_EMPTY;
    t = text_new(a, name.len + 1 + main_unit.len + 1 + per.len + 1 + last.len);
    put(&t, name);
    if (main_unit.len) {
        put_byte(&t, '_');
        put(&t, main_unit);
    }
    if (per.len) {
        put_byte(&t, '_');
        put(&t, per);
    }
    if (last.len) {
        put_byte(&t, '_');
        put(&t, last);
    }
    return text_slice(&t);
}

static struct slice with_prefix(struct arena *a, struct slice prefix, struct slice name)
{
    struct text t;

    if (!prefix.len)
        return name;
    t = text_new(a, prefix.len + 1 + name.len);
    put(&t, prefix);
    put_byte(&t, '_');
    put(&t, name);
    return text_slice(&t);
}

struct err *otlp_name_metric(struct arena *a, enum otlp_strategy strategy, struct slice prefix,
                             struct slice name, struct slice unit, enum otlp_name_type type,
                             struct slice *ret)
{
    switch (strategy) {
    case OTLP_NO_TRANSLATION:
        *ret = with_prefix(a, prefix, name);
        return NULL;
    case OTLP_UTF8_WITH_SUFFIXES:
        *ret = utf8_with_suffixes(a, with_prefix(a, prefix, name), unit, type);
        return NULL;
    case OTLP_UNDERSCORES:
        *ret = escaped(a, prefix, name);
        break;
    case OTLP_UNDERSCORES_WITH_SUFFIXES:
        *ret = escaped_with_suffixes(a, prefix, name, unit, type);
        break;
    }
    if (ret->len == 0 || (!slice_eq(*ret, name) && only_underscores(*ret)))
        return err_new(ERR_INVALID,
                       "nothing is left of the metric name \"%.*s\" when it is escaped",
                       SLICE_ARG(slice_sub(name, 0, OTLP_NAME_TOLD)));
    return NULL;
}

/* ---- labels ---- */

/* Each rune that may not stand becomes an underscore. */
static void put_label(struct text *t, struct slice name, bool keeps_underscores)
{
    bool was_underscore = false;

    while (name.len) {
        uint32_t rune;
        size_t n = gostr_rune(name, &rune);

        if (n == 1 && is_alnum(*name.ptr)) {
            put_byte(t, *name.ptr);
            was_underscore = false;
        } else if (keeps_underscores || !was_underscore) {
            put_byte(t, '_');
            was_underscore = true;
        }
        name = slice_from(name, n);
    }
}

static bool is_reserved(struct slice name)
{
    return name.len >= 4 && slice_has_prefix(name, SLICE("__")) &&
           slice_has_suffix(name, SLICE("__"));
}

bool otlp_name_label_stands(const struct otlp_name_labels *how, struct slice name)
{
    bool has_other = false;

    if (name.len == 0)
        return false;
    if (how->is_utf8)
        return !only_underscores(name);
    if (is_digit(name.ptr[0]) ||
        (name.ptr[0] == '_' && (how->has_key_prefix || !how->keeps_underscores)))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '_') {
            if (!how->keeps_underscores && i && name.ptr[i - 1] == '_')
                return false;
            continue;
        }
        if (!is_alnum(name.ptr[i]))
            return false;
        has_other = true;
    }
    return has_other;
}

struct err *otlp_name_label(struct arena *a, const struct otlp_name_labels *how, struct slice name,
                            struct slice *ret)
{
    struct text t;
    struct slice s;

    if (name.len == 0)
        return err_new(ERR_INVALID, "an attribute without a name");
    if (otlp_name_label_stands(how, name)) {
        *ret = name;
        return NULL;
    }
    t = text_new(a, 4 + name.len);
    if (!how->is_utf8) {
        t.n = 4; /* room for key_ */
        if (!how->keeps_underscores && is_reserved(name)) {
            put(&t, SLICE("__"));
            put_label(&t, slice_sub(name, 2, name.len - 4), false);
            put(&t, SLICE("__"));
        } else {
            put_label(&t, name, how->keeps_underscores);
        }
        s = slice_from(text_slice(&t), 4);
        if (is_digit(s.ptr[0])) {
            memcpy(t.ptr, "key_", 4);
            s = text_slice(&t);
        } else if (how->has_key_prefix && s.ptr[0] == '_' && !slice_has_prefix(s, SLICE("__"))) {
            memcpy(t.ptr + 1, "key", 3);
            s = slice_from(text_slice(&t), 1);
        }
        if (!only_underscores(s)) {
            *ret = s;
            return NULL;
        }
    }
    return err_new(ERR_INVALID, "nothing is left of the attribute name \"%.*s\" when it is escaped",
                   SLICE_ARG(slice_sub(name, 0, OTLP_NAME_TOLD)));
}
