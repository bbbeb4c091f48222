#include "common/template/valuefmt.h"

#include "common/base/gostr.h"
#include "common/template/valuefmt_internal.h"

#define NUMBER_TOO_LARGE 1000000 /* Go's bound of widths and precisions */

static void print_arg(struct valuefmt *f, const struct value *v, uint32_t verb);

static void clear_flags(struct valuefmt *f)
{
    *f = (struct valuefmt){.out = f->out, .depth = f->depth};
}

static void bad_verb(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    buf_str(f->out, "%!");
    gostr_put_rune(f->out, verb);
    buf_byte(f->out, '(');
    if (v->kind == VALUE_INVALID) {
        buf_str(f->out, "<nil>");
    } else {
        struct value plain = *v;

        value_type_name(f->out, v);
        buf_byte(f->out, '=');
        print_arg(f, &plain, 'v');
    }
    buf_byte(f->out, ')');
}

static void print_integer(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    bool is_signed = v->kind == VALUE_INT;
    uint64_t u = is_signed ? (uint64_t)v->i : v->u;

    switch (verb) {
    case 'v':
        if (f->sharp_v && !is_signed) {
            bool sharp = f->sharp;

            f->sharp = true;
            valuefmt_integer(f, u, 16, false, 'v', false);
            f->sharp = sharp;
            break;
        }
        valuefmt_integer(f, u, 10, is_signed, verb, false);
        break;
    case 'd':
        valuefmt_integer(f, u, 10, is_signed, verb, false);
        break;
    case 'b':
        valuefmt_integer(f, u, 2, is_signed, verb, false);
        break;
    case 'o':
    case 'O':
        valuefmt_integer(f, u, 8, is_signed, verb, false);
        break;
    case 'x':
        valuefmt_integer(f, u, 16, is_signed, verb, false);
        break;
    case 'X':
        valuefmt_integer(f, u, 16, is_signed, verb, true);
        break;
    case 'c':
        valuefmt_rune(f, u);
        break;
    case 'q':
        valuefmt_quoted_rune(f, u);
        break;
    case 'U':
        valuefmt_unicode(f, u);
        break;
    default:
        bad_verb(f, v, verb);
    }
}

/* False if the verb is not one of floats. */
static bool print_float(struct valuefmt *f, double d, uint32_t verb)
{
    if (verb == 'v')
        valuefmt_float(f, d, 'g', -1);
    else if (verb == 'g' || verb == 'G' || verb == 'b' || verb == 'x' || verb == 'X')
        valuefmt_float(f, d, verb, -1);
    else if (verb == 'e' || verb == 'E' || verb == 'f' || verb == 'F')
        valuefmt_float(f, d, verb, 6);
    else
        return false;
    return true;
}

static void print_complex(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    bool plus = f->plus;

    if (!verb || verb > 0x7f || !strchr("vbgGxXfFeE", (int)verb)) {
        bad_verb(f, v, verb);
        return;
    }
    buf_byte(f->out, '(');
    (void)print_float(f, v->c.re, verb);
    f->plus = true;
    (void)print_float(f, v->c.im, verb);
    f->plus = plus;
    buf_str(f->out, "i)");
}

/* False if the verb is not one of strings. */
static bool print_text(struct valuefmt *f, struct slice s, uint32_t verb)
{
    switch (verb) {
    case 'v':
        if (f->sharp_v)
            valuefmt_quoted(f, s);
        else
            valuefmt_text(f, s);
        return true;
    case 's':
        valuefmt_text(f, s);
        return true;
    case 'x':
    case 'X':
        valuefmt_hex(f, s, verb == 'X');
        return true;
    case 'q':
        valuefmt_quoted(f, s);
        return true;
    default:
        return false;
    }
}

static void print_list(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    if (f->sharp_v)
        value_type_name(f->out, v);
    buf_byte(f->out, f->sharp_v ? '{' : '[');
    for (size_t i = 0; i < v->list.n && buf_ok(f->out); i++) {
        if (i)
            buf_str(f->out, f->sharp_v ? ", " : " ");
        print_arg(f, &v->list.items[i], verb);
    }
    buf_byte(f->out, f->sharp_v ? '}' : ']');
}

static void print_map(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    if (f->sharp_v)
        value_type_name(f->out, v);
    buf_str(f->out, f->sharp_v ? "{" : "map[");
    for (size_t i = 0; i < v->map.n && buf_ok(f->out); i++) {
        struct value key = value_string(v->map.members[i].name);

        if (i)
            buf_str(f->out, f->sharp_v ? ", " : " ");
        print_arg(f, &key, verb);
        buf_byte(f->out, ':');
        print_arg(f, &v->map.members[i].value, verb);
    }
    buf_byte(f->out, f->sharp_v ? '}' : ']');
}

static void print_struct(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    if (v->is_pointer)
        buf_byte(f->out, '&');
    if (f->sharp_v && v->type)
        buf_str(f->out, v->type->name);
    buf_byte(f->out, '{');
    for (size_t i = 0; i < v->map.n && buf_ok(f->out); i++) {
        if (i)
            buf_str(f->out, f->sharp_v ? ", " : " ");
        if (f->plus_v || f->sharp_v) {
            buf_slice_append(f->out, v->map.members[i].name);
            buf_byte(f->out, ':');
        }
        print_arg(f, &v->map.members[i].value, verb);
    }
    buf_byte(f->out, '}');
}

static void print_plain(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    switch (v->kind) {
    case VALUE_BOOL:
        if (verb == 't' || verb == 'v')
            valuefmt_pad(f, v->b ? SLICE("true") : SLICE("false"));
        else
            bad_verb(f, v, verb);
        break;
    case VALUE_INT:
    case VALUE_UINT:
        print_integer(f, v, verb);
        break;
    case VALUE_FLOAT:
        if (!print_float(f, v->f, verb))
            bad_verb(f, v, verb);
        break;
    case VALUE_COMPLEX:
        print_complex(f, v, verb);
        break;
    case VALUE_STRING:
        if (!print_text(f, v->s, verb))
            bad_verb(f, v, verb);
        break;
    case VALUE_LIST:
        print_list(f, v, verb);
        break;
    case VALUE_MAP:
        print_map(f, v, verb);
        break;
    case VALUE_STRUCT:
        print_struct(f, v, verb);
        break;
    case VALUE_TIME:
    case VALUE_INVALID:
        bad_verb(f, v, verb);
        break;
    }
}

static void print_nil(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    if (f->depth > 1)
        buf_str(f->out, "<nil>"); /* inside a list or map Go looks at neither verb nor width */
    else if (verb == 'T' || verb == 'v')
        valuefmt_pad(f, SLICE("<nil>"));
    else
        bad_verb(f, v, verb);
}

static void print_type(struct valuefmt *f, const struct value *v)
{
    struct buf b = {0};

    value_type_name(&b, v);
    valuefmt_text(f, buf_slice(&b));
    buf_done(&b);
}

static void print_arg(struct valuefmt *f, const struct value *v, uint32_t verb)
{
    if (f->depth >= VALUEFMT_MAX_DEPTH) {
        f->out->is_over = true;
        return;
    }
    f->depth++;
    if (v->kind == VALUE_INVALID) {
        print_nil(f, v, verb);
    } else if (verb == 'T') {
        print_type(f, v);
    } else if (v->type && v->type->print && !f->sharp_v && verb < 0x80 && verb &&
               strchr("vsxXq", (int)verb)) {
        struct buf b = {.max_bytes = f->out->max_bytes};

        v->type->print(&b, v);
        (void)print_text(f, buf_slice(&b), verb);
        buf_done(&b);
    } else {
        print_plain(f, v, verb);
    }
    f->depth--;
}

void valuefmt_value(struct buf *out, const struct value *v)
{
    struct valuefmt f = {.out = out};

    print_arg(&f, v, 'v');
}

void valuefmt_print(struct buf *out, const struct value *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* a space between two that are both not strings */
        if (i && args[i].kind != VALUE_STRING && args[i - 1].kind != VALUE_STRING)
            buf_byte(out, ' ');
        valuefmt_value(out, &args[i]);
    }
}

void valuefmt_println(struct buf *out, const struct value *args, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ' ');
        valuefmt_value(out, &args[i]);
    }
    buf_byte(out, '\n');
}

/* The state of one Sprintf. */
struct formatting {
    struct valuefmt f;
    struct slice text;
    size_t at; /* in text */
    const struct value *args;
    size_t n, arg;
    bool is_reordered, is_good, is_after_index;
};

static int peek(const struct formatting *p)
{
    return p->at < p->text.len ? p->text.ptr[p->at] : -1;
}

/* A number at p->at, before end. */
static bool parse_number(struct formatting *p, size_t end, int *ret)
{
    size_t start = p->at;
    int v = 0;

    while (p->at < end && p->text.ptr[p->at] >= '0' && p->text.ptr[p->at] <= '9') {
        if (v > NUMBER_TOO_LARGE) {
            p->at = end;
            return false;
        }
        v = v * 10 + (p->text.ptr[p->at++] - '0');
    }
    *ret = v;
    return p->at > start;
}

/* [n] before a verb, width or precision. */
static void arg_index(struct formatting *p)
{
    ptrdiff_t close;
    int index = 0;
    size_t start = p->at;

    p->is_after_index = false;
    if (peek(p) != '[')
        return;
    p->is_reordered = true;
    close = p->text.len - p->at < 3 ? -1 : slice_find_byte(p->text, ']', p->at + 1);
    if (close < 0) {
        p->is_good = false;
        p->at = start + 1;
        return;
    }
    p->at++;
    if (!parse_number(p, (size_t)close, &index) || p->at != (size_t)close) {
        p->is_good = false;
    } else {
        p->is_after_index = true;
        if (index >= 1 && (size_t)index <= p->n)
            p->arg = (size_t)index - 1;
        else
            p->is_good = false;
    }
    p->at = (size_t)close + 1;
}

/* The number that * takes from the arguments. */
static bool number_from_arg(struct formatting *p, int *ret)
{
    const struct value *v = p->arg < p->n ? &p->args[p->arg] : NULL;

    if (!v)
        return false;
    p->arg++;
    if ((v->kind != VALUE_INT && v->kind != VALUE_UINT) || v->i > NUMBER_TOO_LARGE ||
        v->i < -NUMBER_TOO_LARGE)
        return false;
    *ret = (int)v->i;
    return true;
}

static void parse_width(struct formatting *p)
{
    struct valuefmt *f = &p->f;

    if (peek(p) == '*') {
        p->at++;
        f->has_width = number_from_arg(p, &f->width);
        if (!f->has_width)
            buf_str(f->out, "%!(BADWIDTH)");
        if (f->width < 0) {
            f->width = -f->width;
            f->minus = true;
            f->zero = false;
        }
        p->is_after_index = false;
        return;
    }
    f->has_width = parse_number(p, p->text.len, &f->width);
    if (p->is_after_index && f->has_width)
        p->is_good = false;
}

static void parse_precision(struct formatting *p)
{
    struct valuefmt *f = &p->f;

    if (peek(p) != '.')
        return;
    p->at++;
    if (p->is_after_index)
        p->is_good = false;
    arg_index(p);
    if (peek(p) == '*') {
        p->at++;
        f->has_prec = number_from_arg(p, &f->prec);
        if (f->prec < 0) {
            f->prec = 0;
            f->has_prec = false;
        }
        if (!f->has_prec)
            buf_str(f->out, "%!(BADPREC)");
        p->is_after_index = false;
        return;
    }
    if (!parse_number(p, p->text.len, &f->prec))
        f->prec = 0;
    f->has_prec = true;
}

static void parse_flags(struct formatting *p)
{
    struct valuefmt *f = &p->f;

    for (;; p->at++) {
        switch (peek(p)) {
        case '#':
            f->sharp = true;
            break;
        case '0':
            f->zero = true;
            break;
        case '+':
            f->plus = true;
            break;
        case '-':
            f->minus = true;
            break;
        case ' ':
            f->space = true;
            break;
        default:
            return;
        }
    }
}

static void bad_argument(struct formatting *p, uint32_t verb, const char *what)
{
    buf_str(p->f.out, "%!");
    gostr_put_rune(p->f.out, verb);
    buf_str(p->f.out, what);
}

/* One verb, behind its %. */
static void format_verb(struct formatting *p)
{
    struct valuefmt *f = &p->f;
    uint32_t verb;

    clear_flags(f);
    p->is_good = true;
    parse_flags(p);
    arg_index(p);
    parse_width(p);
    parse_precision(p);
    if (!p->is_after_index)
        arg_index(p);
    if (p->at >= p->text.len) {
        buf_str(f->out, "%!(NOVERB)");
        return;
    }
    p->at += gostr_rune(slice_from(p->text, p->at), &verb);
    if (verb == '%') {
        buf_byte(f->out, '%');
    } else if (!p->is_good) {
        bad_argument(p, verb, "(BADINDEX)");
    } else if (p->arg >= p->n) {
        bad_argument(p, verb, "(MISSING)");
    } else {
        if (verb == 'v') {
            f->sharp_v = f->sharp;
            f->plus_v = f->plus;
            f->sharp = f->plus = false;
        }
        print_arg(f, &p->args[p->arg++], verb);
    }
}

static void print_extra(struct formatting *p)
{
    clear_flags(&p->f);
    buf_str(p->f.out, "%!(EXTRA ");
    for (size_t i = p->arg; i < p->n; i++) {
        if (i > p->arg)
            buf_str(p->f.out, ", ");
        if (p->args[i].kind == VALUE_INVALID) {
            buf_str(p->f.out, "<nil>");
            continue;
        }
        value_type_name(p->f.out, &p->args[i]);
        buf_byte(p->f.out, '=');
        print_arg(&p->f, &p->args[i], 'v');
    }
    buf_byte(p->f.out, ')');
}

void valuefmt_printf(struct buf *out, struct slice format, const struct value *args, size_t n)
{
    struct formatting p = {.f = {.out = out}, .text = format, .args = args, .n = n};

    while (p.at < format.len && buf_ok(out)) {
        ptrdiff_t percent = slice_find_byte(format, '%', p.at);
        size_t end = percent < 0 ? format.len : (size_t)percent;

        buf_append(out, format.ptr + p.at, end - p.at);
        p.at = end + 1;
        if (percent >= 0)
            format_verb(&p);
    }
    if (!p.is_reordered && p.arg < n)
        print_extra(&p);
}
