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

/* Appends the literal character at the front to out. */
static bool put_literal(struct scan *sc, struct buf *out)
{
    size_t start = sc->pos;

    if (!take_literal(sc))
        return false;
    start += sc->s.ptr[start] == '\\';
    buf_append(out, sc->s.ptr + start, sc->pos - start);
    return true;
}

/* Under (?i): letters beyond ASCII have cases too, and so have k and s, to which K (Kelvin) and a
 * long s are equal. */
static bool fold(struct buf *text)
{
    for (size_t i = 0; i < text->len; i++) {
        uint8_t c = text->ptr[i];

        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c >= 0x80 || c == 'k' || c == 's')
            return false;
        text->ptr[i] = c;
    }
    return true;
}

static bool skip_star(struct scan *sc)
{
    if (!is_at(sc, ".*") || is_at(sc, ".*?"))
        return false;
    sc->pos += 2;
    return true;
}

static bool put_texts(struct arena *a, struct scan *sc, size_t max, struct slice *texts,
                      bool *has_star, size_t *n, bool ignores_case)
{
    struct buf b = {0};
    bool is_ok = true;

    while (is_ok) {
        bool is_starred = skip_star(sc);

        buf_reset(&b);
        while (put_literal(sc, &b))
            ;
        is_starred |= skip_star(sc);
        is_ok = *n < max && (!ignores_case || fold(&b));
        if (is_ok) {
            has_star[*n] = is_starred;
            texts[(*n)++] = arena_dup(a, buf_slice(&b));
        }
        if (peek(sc, 0) != '|')
            break;
        sc->pos++;
    }
    buf_done(&b);
    return is_ok && sc->pos == sc->s.len;
}

bool logql_re_texts(struct arena *a, struct slice regex, size_t max, struct logql_re_texts *ret)
{
    bool ignores_case = slice_has_prefix(regex, SLICE("(?i)"));
    struct scan sc = {.s = slice_from(regex, ignores_case ? 4 : 0)};
    struct slice *texts = arena_array(a, struct slice, max);
    bool *has_star = arena_array(a, bool, max);
    size_t n = 0;

    if (is_at(&sc, "(?:") || (is_at(&sc, "(") && !is_at(&sc, "(?"))) {
        size_t skip = is_at(&sc, "(?:") ? 3 : 1;

        if (!slice_has_suffix(sc.s, SLICE(")")) || slice_has_suffix(sc.s, SLICE("\\)")))
            return false;
        sc.s = slice_sub(sc.s, skip, sc.s.len - skip - 1);
    }
    if (!put_texts(a, &sc, max, texts, has_star, &n, ignores_case))
        return false;
    *ret = (struct logql_re_texts){texts, n, ignores_case, has_star};
    return true;
}

/* Past the class or group at pos; false if it is not understood. */
static bool skip_class(struct scan *sc)
{
    sc->pos++;
    if (peek(sc, 0) == '^')
        sc->pos++;
    if (peek(sc, 0) == ']')
        sc->pos++;
    for (int c; (c = peek(sc, 0)) >= 0 && c != ']';) {
        if (is_at(sc, "[:"))
            return false;
        sc->pos += c == '\\' ? 2 : 1;
    }
    sc->pos++;
    return sc->pos <= sc->s.len;
}

static bool skip_group(struct scan *sc)
{
    size_t depth = 0;

    do {
        int c = peek(sc, 0);

        if (c < 0 || is_at(sc, "\\Q"))
            return false;
        if (c == '[') {
            if (!skip_class(sc))
                return false;
            continue;
        }
        depth += c == '(';
        depth -= c == ')';
        sc->pos += c == '\\' ? 2 : 1;
    } while (depth > 0);
    return sc->pos <= sc->s.len;
}

/* A run of literals ends: the longest stays. */
static void end_run(struct buf *run, struct buf *best)
{
    if (run->len > best->len) {
        buf_reset(best);
        buf_append(best, run->ptr, run->len);
    }
    buf_reset(run);
}

static void drop_rune(struct buf *run)
{
    while (run->len > 1 && (run->ptr[run->len - 1] & 0xc0) == 0x80)
        run->len--;
    if (run->len)
        run->len--;
}

/* One step of the search at the outermost level; false where it gives up. */
static bool step_required(struct scan *sc, struct buf *run, struct buf *best)
{
    int c = peek(sc, 0), next = peek(sc, 1);

    if (c == '|' || (is_at(sc, "(?") && !is_at(sc, "(?:") && !is_at(sc, "(?P<")))
        return false;
    if (c == '*' || c == '?' || c == '{') { /* the character before may be missing */
        drop_rune(run);
        end_run(run, best);
        if (c == '{')
            while (peek(sc, 0) == '{' || peek(sc, 0) == ',' ||
                   (peek(sc, 0) >= '0' && peek(sc, 0) <= '9'))
                sc->pos++;
        sc->pos += c != '{' || peek(sc, 0) == '}';
        return true;
    }
    if (c == '(' || c == '[') {
        end_run(run, best);
        return c == '(' ? skip_group(sc) : skip_class(sc);
    }
    if (c == '\\' && ((next >= '0' && next <= '9') || next < 0 || strchr("xpPQEC", next)))
        return false;
    if (strchr(".+^$", c) || (c == '\\' && ((next | 0x20) >= 'a' && (next | 0x20) <= 'z'))) {
        end_run(run, best);
        sc->pos += c == '\\' ? 2 : 1;
        return true;
    }
    sc->pos += c == '\\';
    buf_byte(run, (uint8_t)peek(sc, 0));
    sc->pos++;
    return true;
}

struct slice logql_re_required(struct arena *a, struct slice regex)
{
    struct scan sc = {.s = regex};
    struct buf run = {0}, best = {0};
    struct slice ret = SLICE_EMPTY;
    bool is_ok = true;

    while (is_ok && sc.pos < regex.len)
        is_ok = peek(&sc, 0) != 0 && step_required(&sc, &run, &best);
    end_run(&run, &best);
    if (is_ok)
        ret = arena_dup(a, buf_slice(&best));
    buf_done(&run);
    buf_done(&best);
    return ret;
}
