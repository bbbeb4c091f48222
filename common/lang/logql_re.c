#include "common/lang/logql_re.h"

#define MAX_NESTING 20

struct scan {
    struct slice s;
    size_t pos;
    unsigned depth;
};

static int peek(const struct scan *sc, size_t ahead)
{
    return sc->pos + ahead < sc->s.len ? sc->s.ptr[sc->pos + ahead] : -1;
}

static bool is_at(const struct scan *sc, const char *text)
{
    return slice_has_prefix(slice_from(sc->s, sc->pos), slice_cstr(text));
}

/* One literal character; false at what is none, or is repeated. */
static bool take_literal(struct scan *sc)
{
    int c = peek(sc, 0);
    size_t n = c == '\\' ? 2 : 1;

    if (c < 0 || strchr(".+*?()|[]{}^$", c))
        return false;
    if (c == '\\') {
        int e = peek(sc, 1);

        if (e < 0 || (e >= '0' && e <= '9') || (e >= 'a' && e <= 'z') || (e >= 'A' && e <= 'Z'))
            return false;
    }
    c = peek(sc, n);
    if (c > 0 && strchr("*+?{", c))
        return false;
    sc->pos += n;
    return true;
}

static bool take_alternatives(struct scan *sc);

/* ( … ), with its flags; only those that leave a group a group. */
static bool take_group(struct scan *sc)
{
    if (is_at(sc, "(?:"))
        sc->pos += 3;
    else if (is_at(sc, "(?"))
        return false;
    else
        sc->pos++;
    if (!take_alternatives(sc) || peek(sc, 0) != ')')
        return false;
    sc->pos++;
    return peek(sc, 0) < 0 || !strchr("*+?{", peek(sc, 0));
}

/* Up to three parts: one text, .* on its sides, and alternatives behind the text. */
static bool take_sequence(struct scan *sc)
{
    size_t n_parts = 0, n_texts = 0, n_stars = 0, n_groups = 0, n_plus = 0;

    for (int c; (c = peek(sc, 0)) >= 0 && c != '|' && c != ')'; n_parts++) {
        if (is_at(sc, ".*") && !is_at(sc, ".*?")) {
            sc->pos += 2;
            n_stars++;
        } else if (is_at(sc, ".+") && !is_at(sc, ".+?")) {
            sc->pos += 2;
            n_plus++;
        } else if (c == '(') {
            if (!take_group(sc))
                return false;
            n_groups++;
        } else {
            if (!take_literal(sc))
                return false;
            while (take_literal(sc))
                ;
            n_texts++;
        }
    }
    if (n_parts <= 1)
        return true;
    return n_parts <= 3 && n_plus == 0 && n_texts <= 1 && n_groups <= 1 &&
           (n_groups == 0 || n_texts == 1) && n_texts + n_groups > 0;
}

static bool take_alternatives(struct scan *sc)
{
    if (++sc->depth > MAX_NESTING || !take_sequence(sc))
        return false;
    while (peek(sc, 0) == '|') {
        sc->pos++;
        if (!take_sequence(sc))
            return false;
    }
    sc->depth--;
    return true;
}

bool logql_re_is_simple(struct slice regex)
{
    struct scan sc = {.s = regex};

    if (is_at(&sc, "(?i)"))
        sc.pos = 4;
    return take_alternatives(&sc) && sc.pos == regex.len;
}
