#include "common/logs/jsonpath.h"

#include "common/base/buf.h"
#include "common/logs/jsonline.h"
#include "common/logs/jsonscan.h"

/* A step is a member's name, or an element's number. */
struct step {
    struct slice name;
    uint64_t index;
    bool is_index;
};
struct path {
    struct step *steps;
    size_t n;
};
struct jsonpaths {
    struct path *paths;
    size_t n;
};

static bool is_name_byte(uint8_t c, bool is_first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!is_first && c >= '0' && c <= '9');
}

static size_t name_at(struct slice s, size_t at)
{
    size_t n = 0;

    while (at + n < s.len && is_name_byte(s.ptr[at + n], n == 0))
        n++;
    return n;
}

/* ["name"] or [0] with *at at the bracket. */
static bool parse_bracket(struct arena *a, struct slice s, size_t *at, struct step *ret)
{
    size_t start = *at + 1, i = start;

    if (i < s.len && s.ptr[i] == '"') {
        struct buf b = {0};
        bool is_ok, has_escapes;

        if (!jsonscan_string(s, &i, &has_escapes))
            return false;
        is_ok = jsonline_unescape(slice_sub(s, start + 1, i - start - 2), &b);
        ret->name = arena_dup(a, buf_slice(&b));
        buf_done(&b);
        if (!is_ok)
            return false;
    } else {
        ptrdiff_t end;

        if ((end = slice_find_byte(s, ']', i)) < 0 ||
            !slice_to_u64(slice_sub(s, i, (size_t)end - i), &ret->index))
            return false;
        ret->is_index = true;
        i = (size_t)end;
    }
    *at = i + 1;
    return i < s.len && s.ptr[i] == ']';
}

static bool parse_path(struct arena *a, struct slice s, struct path *ret)
{
    ret->steps = arena_array(a, struct step, JSONPATH_MAX_STEPS);
    for (size_t at = 0; at < s.len;) {
        struct step *step = &ret->steps[ret->n];
        size_t len;

        if (ret->n++ == JSONPATH_MAX_STEPS)
            return false;
        if (s.ptr[at] == '[') {
            if (!parse_bracket(a, s, &at, step))
                return false;
            continue;
        }
        if (s.ptr[at] == '.' && ret->n > 1)
            at++;
        else if (ret->n > 1)
            return false;
        if ((len = name_at(s, at)) == 0)
            return false;
        step->name = arena_dup(a, slice_sub(s, at, len));
        at += len;
    }
    return ret->n > 0;
}

struct err *jsonpaths_make(struct arena *a, const struct slice *paths, size_t n,
                           struct jsonpaths **ret)
{
    struct jsonpaths *p = arena_new_of(a, struct jsonpaths);

    if (n > JSONPATH_MAX_PATHS)
        return err_new(ERR_LIMIT, "more than %d paths", JSONPATH_MAX_PATHS);
    p->paths = arena_array(a, struct path, n);
    for (; p->n < n; p->n++)
        if (!parse_path(a, paths[p->n], &p->paths[p->n]))
            return err_new(ERR_INVALID, "\"%.*s\" is no path into JSON (a.b[0][\"c d\"])",
                           SLICE_ARG(slice_sub(paths[p->n], 0, 200)));
    *ret = p;
    return NULL;
}

struct walk {
    const struct jsonpaths *p;
    struct slice s;
    size_t pos, n_found;
    bool is_found[JSONPATH_MAX_PATHS];
    jsonpath_fn *fn;
    void *arg;
};

static int skip_space(struct walk *w)
{
    return jsonscan_space(w->s, &w->pos);
}

/* Past the string at pos; false: it does not end. */
static bool skip_string(struct walk *w)
{
    bool has_escapes;

    return jsonscan_string(w->s, &w->pos, &has_escapes);
}

static bool skip_block(struct walk *w)
{
    size_t depth = 0;

    while (w->pos < w->s.len) {
        uint8_t c = w->s.ptr[w->pos];

        if (c == '"') {
            if (!skip_string(w))
                return false;
            continue;
        }
        w->pos++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

/* The value at pos, and past it. */
static bool take_value(struct walk *w, struct slice *ret)
{
    int c = skip_space(w);
    size_t start = w->pos;

    if (c == '"') {
        if (!skip_string(w))
            return false;
        *ret = slice_sub(w->s, start + 1, w->pos - start - 2);
        return true;
    }
    if (c == '{' || c == '[') {
        if (!skip_block(w))
            return false;
    } else {
        while (w->pos < w->s.len && w->s.ptr[w->pos] > ' ' && w->s.ptr[w->pos] != ',' &&
               w->s.ptr[w->pos] != '}' && w->s.ptr[w->pos] != ']')
            w->pos++;
        if (w->pos == start)
            return false;
    }
    *ret = slice_sub(w->s, start, w->pos - start);
    return true;
}

static bool walk_value(struct walk *w, const bool *is_open, size_t depth);

/* A member or an element: some paths go through it, some end there. */
static bool meet(struct walk *w, const bool *is_open, size_t depth, struct slice name,
                 uint64_t index, bool is_index)
{
    bool goes_on[JSONPATH_MAX_PATHS], ends[JSONPATH_MAX_PATHS];
    bool has_any = false, has_end = false;
    size_t start = w->pos;
    struct slice value;

    for (size_t i = 0; i < w->p->n; i++) {
        const struct path *p = &w->p->paths[i];
        const struct step *step = depth < p->n ? &p->steps[depth] : NULL;
        bool fits = is_open[i] && !w->is_found[i] && step && step->is_index == is_index &&
                    (is_index ? step->index == index : slice_eq(step->name, name));

        goes_on[i] = fits && depth + 1 < p->n;
        ends[i] = fits && depth + 1 == p->n;
        has_any |= goes_on[i];
        has_end |= ends[i];
    }
    if (has_any && !walk_value(w, goes_on, depth + 1))
        return false;
    if (has_any && !has_end)
        return true;
    w->pos = start;
    if (!take_value(w, &value))
        return false;
    for (size_t i = 0; has_end && i < w->p->n; i++) {
        if (!ends[i])
            continue;
        w->is_found[i] = true;
        w->n_found++;
        w->fn(w->arg, i, value);
    }
    return w->n_found < w->p->n;
}

/* A name may be written with escapes. */
static bool meet_member(struct walk *w, const bool *is_open, size_t depth, struct slice quoted)
{
    struct slice name = slice_sub(quoted, 1, quoted.len - 2);
    struct buf b = {0};
    bool goes_on, is_name = true;

    if (memchr(name.ptr, '\\', name.len)) {
        is_name = jsonline_unescape(name, &b);
        name = buf_slice(&b);
    }
    goes_on = is_name && meet(w, is_open, depth, name, 0, false);
    buf_done(&b);
    return goes_on;
}

static bool walk_object(struct walk *w, const bool *is_open, size_t depth)
{
    int c;

    w->pos++;
    if (skip_space(w) == '}') {
        w->pos++;
        return true;
    }
    do {
        struct slice quoted;
        size_t start;

        if (skip_space(w) != '"')
            return false;
        start = w->pos;
        if (!skip_string(w))
            return false;
        quoted = slice_sub(w->s, start, w->pos - start);
        if (skip_space(w) != ':')
            return false;
        w->pos++;
        if (!meet_member(w, is_open, depth, quoted))
            return false;
        c = skip_space(w);
        w->pos++;
    } while (c == ',');
    return c == '}';
}

static bool walk_list(struct walk *w, const bool *is_open, size_t depth)
{
    int c;

    w->pos++;
    if (skip_space(w) == ']') {
        w->pos++;
        return true;
    }
    for (uint64_t i = 0;; i++) {
        if (!meet(w, is_open, depth, SLICE_EMPTY, i, true))
            return false;
        c = skip_space(w);
        w->pos++;
        if (c != ',')
            return c == ']';
    }
}

/* Into the value at pos; false: that was all. */
static bool walk_value(struct walk *w, const bool *is_open, size_t depth)
{
    struct slice value;

    switch (skip_space(w)) {
    case '{':
        return walk_object(w, is_open, depth);
    case '[':
        return walk_list(w, is_open, depth);
    default:
        return take_value(w, &value);
    }
}

size_t jsonpaths_each(const struct jsonpaths *p, struct slice line, jsonpath_fn *fn, void *arg)
{
    struct walk w = {.p = p, .s = line, .fn = fn, .arg = arg};
    bool is_open[JSONPATH_MAX_PATHS];

    for (size_t i = 0; i < p->n; i++)
        is_open[i] = true;
    (void)walk_value(&w, is_open, 0);
    return w.n_found;
}
