#include "ingester/door/statsd_line.h"

#include <math.h>

#include "common/base/num.h"

void statsd_line_init(struct statsd_line *r, struct slice text)
{
    r->rest = text;
}

static bool fail(struct statsd_line *r, const char *error)
{
    r->error = error;
    return false;
}

/* ---- tags ---- */

static bool add_tag(struct statsd_line *r, struct slice name, struct slice value)
{
    if (name.len == 0)
        return fail(r, "a tag without a name");
    if (r->n_tags == STATSD_MAX_TAGS)
        return fail(r, "too many tags");
    r->tags[r->n_tags++] = (struct label){name, value};
    return true;
}

/* tag<by>value,tag<by>value,tag */
static bool tag_list(struct statsd_line *r, struct slice list, uint8_t by)
{
    struct slice part, name;

    while (slice_split(&list, ',', &part)) {
        struct slice value = part;

        if (part.len == 0)
            continue;
        (void)slice_split(&value, by, &name);
        if (!add_tag(r, name, value.ptr ? value : SLICE("true")))
            return false;
    }
    return true;
}

/* What stands before the first colon: the name, perhaps with Influx's or Librato's tags. */
static bool name_part(struct statsd_line *r, struct slice s)
{
    ptrdiff_t comma = slice_find_byte(s, ',', 0), hash = slice_find_byte(s, '#', 0);
    ptrdiff_t at = comma < 0 || (hash >= 0 && hash < comma) ? hash : comma;

    r->name = at < 0 ? s : slice_sub(s, 0, (size_t)at);
    if (r->name.len == 0)
        return fail(r, "a name is missing");
    return at < 0 || tag_list(r, slice_from(s, (size_t)at + 1), '=');
}

/* ---- values ---- */

static bool parse_value(struct slice s, double *ret)
{
    return num_parse(s, ret) && !isnan(*ret) && !isinf(*ret);
}

bool statsd_line_value(const struct statsd_line *r, struct slice *values, struct slice *ret_text,
                       double *ret, bool *ret_is_change)
{
    if (!values->ptr || !slice_split(values, ':', ret_text))
        return false;
    *ret_is_change = ret_text->len && (ret_text->ptr[0] == '+' || ret_text->ptr[0] == '-');
    *ret = 0;
    if (r->type != STATSD_SET)
        (void)parse_value(*ret_text, ret);
    return true;
}

static bool check_values(struct statsd_line *r)
{
    struct slice rest = r->values, text;
    size_t n = 0;
    double v;

    while (rest.ptr && slice_split(&rest, ':', &text)) {
        if (++n > STATSD_MAX_VALUES)
            return fail(r, "too many values");
        if (text.len == 0)
            return fail(r, "a value is missing");
        if (r->type == STATSD_SET)
            continue;
        if (!parse_value(text, &v))
            return fail(r, "a value that cannot be read");
        if (r->type == STATSD_COUNTER && v < 0)
            return fail(r, "a counter cannot go down");
    }
    return true;
}

/* ---- lines ---- */

static bool type_part(struct statsd_line *r, struct slice s)
{
    static const struct {
        const char *name;
        enum statsd_type type;
    } types[] = {{"c", STATSD_COUNTER},   {"m", STATSD_COUNTER},   {"g", STATSD_GAUGE},
                 {"ms", STATSD_TIMER_MS}, {"h", STATSD_HISTOGRAM}, {"d", STATSD_HISTOGRAM},
                 {"s", STATSD_SET}};

    for (size_t i = 0; i < ORR_COUNT(types); i++)
        if (slice_eq_cstr(s, types[i].name)) {
            r->type = types[i].type;
            return true;
        }
    return fail(r, "an unknown type");
}

static bool option_part(struct statsd_line *r, struct slice s)
{
    uint8_t first = s.len ? s.ptr[0] : 0;

    switch (first) {
    case '@':
        return (parse_value(slice_from(s, 1), &r->rate) && r->rate > 0 && r->rate <= 1) ||
               fail(r, "a sample rate that is not above 0 and at most 1");
    case '#':
        return tag_list(r, slice_from(s, 1), ':');
    case 'c': /* container */
    case 'T': /* time; what is aggregated here is of now */
    case 'e': /* external data */
        return true;
    default:
        return fail(r, "an unknown option");
    }
}

static bool metric(struct statsd_line *r, struct slice line)
{
    ptrdiff_t bar = slice_find_byte(line, '|', 0), colon = slice_find_byte(line, ':', 0);
    struct slice rest, part;

    if (bar < 0 || colon < 0 || colon > bar)
        return fail(r, "not name:value|type");
    r->n_tags = 0;
    r->rate = 1;
    r->values = slice_sub(line, (size_t)colon + 1, (size_t)(bar - colon) - 1);
    rest = slice_from(line, (size_t)bar + 1);
    if (!name_part(r, slice_sub(line, 0, (size_t)colon)) || !slice_split(&rest, '|', &part) ||
        !type_part(r, part))
        return false;
    while (rest.ptr && slice_split(&rest, '|', &part))
        if (!option_part(r, part))
            return false;
    return check_values(r);
}

enum statsd_item statsd_line_next(struct statsd_line *r)
{
    while (r->rest.len) {
        ptrdiff_t end = slice_find_byte(r->rest, '\n', 0);
        size_t n = end < 0 ? r->rest.len : (size_t)end;
        struct slice line = slice_trim(slice_sub(r->rest, 0, n));

        r->rest = slice_from(r->rest, n + 1);
        if (line.len == 0)
            continue;
        if (slice_has_prefix(line, SLICE("_e{")) || slice_has_prefix(line, SLICE("_sc|")))
            return STATSD_OTHER;
        return metric(r, line) ? STATSD_METRIC : STATSD_BAD;
    }
    return STATSD_END;
}
