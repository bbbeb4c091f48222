#include <math.h>

#include "common/base/conf_internal.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/vec.h"

/* ---- one value ---- */

const char *conf_value_kind(const struct conf_field *f)
{
    switch (f->type) {
    case CONF_T_BOOL:
        return "true|false";
    case CONF_T_INT:
        return "INT";
    case CONF_T_FLOAT:
        return "NUMBER";
    case CONF_T_STRING:
        return "TEXT";
    case CONF_T_DURATION:
        return "DURATION";
    case CONF_T_BYTES:
        return "BYTES";
    case CONF_T_ENUM:
        return f->max;
    case CONF_T_LIST:
        return "A,B,...";
    }
    return "VALUE";
}

void conf_value_range(const struct conf_field *f, struct buf *out)
{
    if (f->type == CONF_T_ENUM || (!f->min && !f->max))
        return;
    if (f->min && f->max)
        buf_printf(out, " (%s to %s)", f->min, f->max);
    else if (f->min)
        buf_printf(out, " (at least %s)", f->min);
    else
        buf_printf(out, " (at most %s)", f->max);
}

static struct err *bad_value(const struct conf_field *f, struct slice text, const char *what)
{
    struct buf range = {0};
    struct err *e;

    conf_value_range(f, &range);
    if (f->flags & CONF_SECRET)
        e = err_new(ERR_INVALID, "the value %s%s", what, buf_cstr(&range));
    else
        e = err_new(ERR_INVALID, "\"%.*s\" %s%s", (int)ORR_MIN(text.len, (size_t)200),
                    (const char *)text.ptr, what, buf_cstr(&range));
    buf_done(&range);
    return e;
}

static bool parse_bool(struct slice s, bool *ret)
{
    static const char *const on[] = {"true", "yes", "on"}, *const off[] = {"false", "no", "off"};

    for (size_t i = 0; i < ORR_COUNT(on); i++) {
        bool is_on = slice_eq_nocase(s, slice_cstr(on[i]));

        if (is_on || slice_eq_nocase(s, slice_cstr(off[i]))) {
            *ret = is_on;
            return true;
        }
    }
    return false;
}

static bool parse_enum(const char *names, struct slice s, int *ret)
{
    struct slice rest = slice_cstr(names), name;

    for (int i = 0; slice_split(&rest, '|', &name); i++) {
        if (slice_eq_nocase(name, s)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static struct slice enum_name(const char *names, int index)
{
    struct slice rest = slice_cstr(names), name = SLICE_EMPTY;

    while (index-- >= 0 && slice_split(&rest, '|', &name))
        ;
    return name;
}

/* Numbers of the three kinds that have ranges. */
static bool parse_number(enum conf_type type, struct slice s, int64_t *ret)
{
    struct err *e = NULL;

    if (type == CONF_T_INT)
        return slice_to_i64(s, ret);
    e = type == CONF_T_DURATION ? conf_parse_duration(s, ret) : conf_parse_bytes(s, ret);
    if (!e)
        return true;
    err_free(e);
    return false;
}

static const char *not_a_number(enum conf_type type)
{
    switch (type) {
    case CONF_T_INT:
        return "is not a whole number";
    case CONF_T_DURATION:
        return "is not a duration such as 1h30m, 15s or 500ms";
    default:
        return "is not a size such as 64MiB, 10KB or 1e6";
    }
}

static struct err *set_number(const struct conf_field *f, int64_t *member, struct slice text)
{
    int64_t v, bound;

    if (!parse_number(f->type, text, &v))
        return bad_value(f, text, not_a_number(f->type));
    if ((f->min && parse_number(f->type, slice_cstr(f->min), &bound) && v < bound) ||
        (f->max && parse_number(f->type, slice_cstr(f->max), &bound) && v > bound))
        return bad_value(f, text, "is out of range");
    *member = v;
    return NULL;
}

static struct err *set_float(const struct conf_field *f, double *member, struct slice text)
{
    double v, bound;

    if (!num_parse(text, &v) || !isfinite(v))
        return bad_value(f, text, "is not a number");
    if ((f->min && num_parse(slice_cstr(f->min), &bound) && v < bound) ||
        (f->max && num_parse(slice_cstr(f->max), &bound) && v > bound))
        return bad_value(f, text, "is out of range");
    *member = v;
    return NULL;
}

static struct err *set_string(const struct conf_field *f, char **member, struct slice text)
{
    if (!slice_is_utf8(text) || slice_find_byte(text, 0, 0) >= 0)
        return bad_value(f, SLICE_EMPTY, "is not UTF-8 text");
    mem_free(*member);
    *member = slice_dup(text);
    return NULL;
}

static struct err *set_list(const struct conf_field *f, void *member, struct slice text)
{
    VEC(struct slice) items = {0};
    struct slice rest = text, item;
    struct err *e;

    if (slice_trim(text).len)
        while (slice_split(&rest, ',', &item))
            vec_push(&items, slice_trim(item));
    e = conf_value_set_list(f, member, items.ptr, items.len);
    vec_done(&items);
    return e;
}

struct err *conf_value_set(const struct conf_field *f, void *member, struct slice text)
{
    struct slice word = slice_trim(text);

    switch (f->type) {
    case CONF_T_BOOL:
        return parse_bool(word, member) ? NULL : bad_value(f, text, "is not true or false");
    case CONF_T_INT:
    case CONF_T_DURATION:
    case CONF_T_BYTES:
        return set_number(f, member, word);
    case CONF_T_FLOAT:
        return set_float(f, member, word);
    case CONF_T_STRING:
        return set_string(f, member, text);
    case CONF_T_ENUM:
        if (parse_enum(f->max, word, member))
            return NULL;
        return err_new(ERR_INVALID, "\"%.*s\" is not one of %s",
                       (int)ORR_MIN(text.len, (size_t)200), (const char *)text.ptr, f->max);
    case CONF_T_LIST:
        return set_list(f, member, text);
    }
    return err_new(ERR_INTERNAL, "field %s has no type", f->key);
}

struct err *conf_value_set_list(const struct conf_field *f, void *member, const struct slice *items,
                                size_t n)
{
    struct conf_list *list = member;

    for (size_t i = 0; i < n; i++) {
        if (items[i].len == 0)
            return err_new(ERR_INVALID, "element %zu of the list is empty", i + 1);
        if (!slice_is_utf8(items[i]) || slice_find_byte(items[i], 0, 0) >= 0)
            return err_new(ERR_INVALID, "element %zu of the list is not UTF-8 text", i + 1);
    }
    conf_value_done(f, member);
    list->items = n ? mem_new_array(char *, n) : NULL;
    for (; list->n < n; list->n++)
        list->items[list->n] = slice_dup(items[list->n]);
    return NULL;
}

void conf_value_done(const struct conf_field *f, void *member)
{
    if (f->type == CONF_T_STRING) {
        mem_free(*(char **)member);
        *(char **)member = NULL;
    } else if (f->type == CONF_T_LIST) {
        struct conf_list *list = member;

        for (size_t i = 0; i < list->n; i++)
            mem_free(list->items[i]);
        mem_free(list->items);
        *list = (struct conf_list){0};
    }
}

static bool list_eq(const struct conf_list *a, const struct conf_list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

bool conf_value_eq(const struct conf_field *f, const void *a, const void *b)
{
    switch (f->type) {
    case CONF_T_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case CONF_T_INT:
    case CONF_T_DURATION:
    case CONF_T_BYTES:
        return *(const int64_t *)a == *(const int64_t *)b;
    case CONF_T_FLOAT:
        return !(*(const double *)a < *(const double *)b) &&
               !(*(const double *)a > *(const double *)b);
    case CONF_T_STRING:
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    case CONF_T_ENUM:
        return *(const int *)a == *(const int *)b;
    case CONF_T_LIST:
        return list_eq(a, b);
    }
    return false;
}

/* ---- printing ---- */

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Text that YAML reads back as this text without quotes. */
static bool is_plain(struct slice s)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};

    if (s.len == 0 || (!is_letter(s.ptr[0]) && s.ptr[0] != '/'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (!is_letter(c) && !(c >= '0' && c <= '9') && !strchr("/._-", c))
            return false;
    }
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_eq_nocase(s, slice_cstr(words[i])))
            return false;
    return true;
}

static void print_text(const char *text, struct buf *out)
{
    struct slice s = slice_cstr(text);

    if (is_plain(s))
        buf_slice_append(out, s);
    else
        buf_json_str(out, s);
}

static void print_list(const struct conf_list *list, struct buf *out)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (i)
            buf_str(out, ", ");
        print_text(list->items[i], out);
    }
    buf_byte(out, ']');
}

static bool is_empty(const struct conf_field *f, const void *member)
{
    return (f->type == CONF_T_STRING && !(*(char *const *)member)[0]) ||
           (f->type == CONF_T_LIST && ((const struct conf_list *)member)->n == 0);
}

void conf_value_print(const struct conf_field *f, const void *member, struct buf *out)
{
    if ((f->flags & CONF_SECRET) && !is_empty(f, member)) {
        buf_str(out, "<secret>");
        return;
    }
    switch (f->type) {
    case CONF_T_BOOL:
        buf_str(out, *(const bool *)member ? "true" : "false");
        break;
    case CONF_T_INT:
        buf_printf(out, "%lld", (long long)*(const int64_t *)member);
        break;
    case CONF_T_FLOAT:
        buf_f64_text(out, *(const double *)member);
        break;
    case CONF_T_STRING:
        print_text(*(char *const *)member, out);
        break;
    case CONF_T_DURATION:
        conf_format_duration(out, *(const int64_t *)member);
        break;
    case CONF_T_BYTES:
        conf_format_bytes(out, *(const int64_t *)member);
        break;
    case CONF_T_ENUM:
        buf_slice_append(out, enum_name(f->max, *(const int *)member));
        break;
    case CONF_T_LIST:
        print_list(member, out);
        break;
    }
}
