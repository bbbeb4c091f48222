#include "ingester/door/graphite_line.h"

#include <math.h>

#include "common/base/num.h"

void graphite_line_init(struct graphite_line *r, struct slice text)
{
    r->rest = text;
    r->line = 0;
    r->n_tags = 0;
}

static bool fail(struct graphite_line *r, const char *error)
{
    r->error = error;
    return false;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line; empty at its end. */
static struct slice word(struct slice *line)
{
    size_t from = 0, to;

    while (from < line->len && is_blank(line->ptr[from]))
        from++;
    for (to = from; to < line->len && !is_blank(line->ptr[to]);)
        to++;
    *line = slice_of(line->ptr + to, line->len - to);
    return slice_of(line->ptr - (to - from), to - from);
}

/* path;tag=value;... */
static bool name_parts(struct graphite_line *r, struct slice path)
{
    struct slice part, key;

    r->n_tags = 0;
    (void)slice_split(&path, ';', &r->path);
    if (r->path.len == 0)
        return fail(r, "a path is missing");
    while (path.ptr && slice_split(&path, ';', &part)) {
        struct slice value = part;

        if (!slice_split(&value, '=', &key) || !value.ptr || key.len == 0)
            return fail(r, "a tag must be name=value");
        if (r->n_tags == GRAPHITE_MAX_TAGS)
            return fail(r, "too many tags");
        r->tags[++r->n_tags] = (struct label){key, value};
    }
    return true;
}

static bool time_of(struct graphite_line *r, struct slice s)
{
    double seconds;

    r->has_time = false;
    if (s.len == 0 || slice_eq_cstr(s, "-1") || slice_eq_cstr(s, "N"))
        return true;
    if (!num_parse(s, &seconds) || !(fabs(seconds) < 1e13))
        return fail(r, "a timestamp that cannot be read");
    r->has_time = true;
    r->t_ms = (int64_t)(seconds * 1000);
    return true;
}

static bool point(struct graphite_line *r, struct slice line)
{
    struct slice path = word(&line), value = word(&line), time = word(&line);

    if (!name_parts(r, path))
        return false;
    if (value.len == 0)
        return fail(r, "a value is missing");
    if (!num_parse(value, &r->value))
        return fail(r, "a value that cannot be read");
    return time_of(r, time) && (word(&line).len == 0 || fail(r, "something behind the timestamp"));
}

enum graphite_item graphite_line_next(struct graphite_line *r)
{
    while (r->rest.len) {
        ptrdiff_t end = slice_find_byte(r->rest, '\n', 0);
        size_t n = end < 0 ? r->rest.len : (size_t)end;
        struct slice line = slice_trim(slice_sub(r->rest, 0, n));

        r->rest = slice_from(r->rest, n + 1);
        r->line++;
        if (line.len == 0)
            continue;
        if (!point(r, line))
            return GRAPHITE_BAD;
        if (!isnan(r->value))
            return GRAPHITE_POINT;
    }
    return GRAPHITE_END;
}
