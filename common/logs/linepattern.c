#include "common/logs/linepattern.h"

static bool is_name_byte(uint8_t c, bool is_first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!is_first && c >= '0' && c <= '9');
}

/* The bytes of <name> at the front of s; 0: there is none. */
static size_t capture_at(struct slice s)
{
    size_t n = 1;

    if (s.len < 3 || s.ptr[0] != '<')
        return 0;
    while (n < s.len && is_name_byte(s.ptr[n], n == 1))
        n++;
    return n > 1 && n < s.len && s.ptr[n] == '>' ? n + 1 : 0;
}

static struct linepattern_part next_part(struct slice *rest)
{
    size_t n = capture_at(*rest);
    struct linepattern_part part = {.is_capture = n > 0};

    if (n > 0) {
        part.name = slice_sub(*rest, 1, n - 2);
        if (slice_eq_cstr(part.name, "_"))
            part.name = SLICE_EMPTY;
    } else {
        while (n < rest->len && !capture_at(slice_from(*rest, n)))
            n++;
        part.find = textfind_of(slice_sub(*rest, 0, n));
    }
    *rest = slice_from(*rest, n);
    return part;
}

struct err *linepattern_parse(struct arena *a, struct slice text, struct linepattern *ret)
{
    struct slice rest = arena_dup(a, text);
    struct linepattern p = {0};
    struct linepattern_part *parts = NULL;
    size_t cap = 0;

    while (rest.len) {
        struct linepattern_part part = next_part(&rest);

        if (p.n == LINEPATTERN_MAX_PARTS)
            return err_new(ERR_LIMIT, "the pattern has more than %d parts", LINEPATTERN_MAX_PARTS);
        if (part.is_capture && p.n && parts[p.n - 1].is_capture)
            return err_new(ERR_INVALID, "the pattern has two captures with no text between them");
        if (p.n == cap) {
            size_t more = cap ? cap * 2 : 8;

            parts = arena_grow(a, parts, cap * sizeof(*parts), more * sizeof(*parts));
            cap = more;
        }
        parts[p.n++] = part;
        p.n_names += part.name.len > 0;
    }
    p.parts = parts;
    *ret = p;
    return NULL;
}

bool linepattern_is(const struct linepattern *p, struct slice line)
{
    size_t off = 0;

    if (line.len == 0 || p->n == 0)
        return line.len == 0 && p->n == 0;
    for (size_t i = 0; i < p->n; i++) {
        ptrdiff_t at;

        if (p->parts[i].is_capture)
            continue;
        at = textfind_in(&p->parts[i].find, line, off);
        if (at < 0 || (i > 0 && (size_t)at == off))
            return false;
        off = (size_t)at + p->parts[i].find.text.len;
    }
    return p->parts[p->n - 1].is_capture == (off != line.len);
}

size_t linepattern_take(const struct linepattern *p, struct slice line, struct slice *ret)
{
    size_t i = 0, n = 0;

    if (line.len == 0 || p->n == 0)
        return 0;
    if (!p->parts[0].is_capture) {
        struct slice text = p->parts[i++].find.text;

        if (!slice_has_prefix(line, text))
            return 0;
        line = slice_from(line, text.len);
    }
    for (; i < p->n; i += 2) {
        ptrdiff_t at = i + 1 < p->n ? textfind_in(&p->parts[i + 1].find, line, 0) : -1;

        if (p->parts[i].name.len)
            ret[n++] = at < 0 ? line : slice_sub(line, 0, (size_t)at);
        if (at < 0)
            break;
        line = slice_from(line, (size_t)at + p->parts[i + 1].find.text.len);
    }
    return n;
}
