#include "deploy/orreryctl/ctl_logline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/vec.h"
#include "common/net/http.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_show.h"

#define TAIL_LIMIT 1000 /* lines of one question */
#define TAIL_MS 1000
#define TAIL_BACK_MS 60000 /* what is shown first */

struct line {
    int64_t ns;
    const char *labels, *text;
};

bool ctl_logline_is_asked(const char *query)
{
    return query[strspn(query, " \t\r\n")] == '{';
}

/* A line may have zeros in it. */
static const char *text_of(struct arena *a, json_t *v)
{
    struct slice text = slice_of(json_string_value(v), json_string_length(v));

    return slice_find_byte(text, 0, 0) < 0 ? ctl_json_text(v) : ctl_plain(a, text);
}

static int oldest_first(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return (x->ns > y->ns) - (x->ns < y->ns);
}

void ctl_logline_show(json_t *streams, int64_t *ret_last_ns)
{
    VEC(struct line) lines = {0};
    struct arena *a = arena_new(0); /* of its own: a tail does not end */
    json_t *stream, *value;
    size_t i, k;

    json_array_foreach(streams, i, stream)
    {
        const char *labels = ctl_json_labels(a, json_object_get(stream, "stream"));

        json_array_foreach(json_object_get(stream, "values"), k, value) vec_push(
            &lines, ((struct line){strtoll(ctl_json_text(json_array_get(value, 0)), NULL, 10),
                                   labels, text_of(a, json_array_get(value, 1))}));
    }
    if (lines.len)
        qsort(lines.ptr, lines.len, sizeof(lines.ptr[0]), oldest_first);
    for (i = 0; i < lines.len; i++)
        ctl_say("%s %s %s", ctl_time(a, lines.ptr[i].ns / NS_PER_MS), lines.ptr[i].labels,
                lines.ptr[i].text);
    if (lines.len && ret_last_ns)
        *ret_last_ns = lines.ptr[lines.len - 1].ns;
    vec_done(&lines);
    arena_free(a);
}

/* ---- tail ---- */

static size_t count_lines(json_t *streams)
{
    json_t *stream;
    size_t i, n = 0;

    json_array_foreach(streams, i, stream) n += json_array_size(json_object_get(stream, "values"));
    return n;
}

/* What came behind since_ns. ret_is_full: there may be more already. */
static struct err *ask_more(struct ctl *c, int64_t *since_ns, bool *ret_is_full)
{
    struct buf path = {0};
    json_t *answer, *streams;
    struct err *e;

    buf_printf(&path, "/loki/api/v1/query_range?limit=%d&direction=forward&query=", TAIL_LIMIT);
    http_escape(slice_cstr(c->args[0]), &path);
    buf_printf(&path, "&start=%" PRId64 "&end=%" PRId64, *since_ns + 1,
               (int64_t)(clock_wall_ms(&clock_system) * NS_PER_MS));
    e = ctl_json_get(c, buf_slice(&path), false, &answer);
    streams = json_object_get(json_object_get(answer, "data"), "result");
    *ret_is_full = count_lines(streams) >= TAIL_LIMIT;
    if (!e)
        ctl_logline_show(streams, since_ns);
    json_decref(answer);
    buf_done(&path);
    return e;
}

struct err *ctl_tail(struct ctl *c)
{
    int64_t since_ns = (clock_wall_ms(&clock_system) - TAIL_BACK_MS) * NS_PER_MS,
            until_ms = INT64_MAX, for_ns;
    struct err *e = NULL;

    if (!ctl_logline_is_asked(c->args[0]))
        return ctl_usage(c, "a tail is of lines: the query begins with a selector, {…}");
    if (c->opts.how_long) {
        if ((e = conf_parse_duration(slice_cstr(c->opts.how_long), &for_ns)))
            return err_wrap(e, "--for");
        until_ms = clock_wall_ms(&clock_system) + for_ns / NS_PER_MS;
    }
    while (!e && clock_wall_ms(&clock_system) < until_ms) {
        bool is_full;

        e = ask_more(c, &since_ns, &is_full);
        if (fflush(stdout) != 0 && !e)
            e = err_errno(ERR_IO, "standard output");
        if (!e && !is_full) /* else it would never keep up with more than a thousand a second */
            (void)usleep(TAIL_MS * 1000);
    }
    return e;
}
