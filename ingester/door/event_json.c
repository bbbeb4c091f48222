#include "ingester/door/event_json.h"

#include "common/logs/jsonline.h"
#include "common/model/event.h"
#include "ingester/door/json_lines.h"

#define MAX_DEPTH 4

struct event {
    int64_t t_ns, end_ns;
    bool has_end;
    struct slice kind, title, service;
    struct label metadata[EVENT_JSON_MAX_ATTRIBUTES + 2];
    size_t n;
};

static struct err *text_of(struct log_builder *b, const char *what, struct jsonval v, size_t max,
                           struct slice *ret)
{
    if (jsonval_kind(v) != JSONVAL_TEXT || !jsonval_text(v).len || jsonval_text(v).len > max)
        return err_new(ERR_INVALID, "%s must be a text of 1 to %zu bytes", what, max);
    *ret = arena_dup(log_builder_arena(b), jsonval_text(v));
    return NULL;
}

static struct err *time_of(const char *what, struct jsonval v, int64_t *ret)
{
    if (json_lines_time(v, ret))
        return NULL;
    return err_new(ERR_INVALID, "%s must be a time: RFC 3339, or Unix seconds to nanoseconds",
                   what);
}

static struct err *check_kind(struct slice kind)
{
    for (size_t i = 0; i < kind.len; i++) {
        uint8_t c = kind.ptr[i], low = c | 0x20;

        if (!((c >= '0' && c <= '9') || (low >= 'a' && low <= 'z') || strchr("_.-", c)) || !c)
            return err_new(ERR_INVALID, "kind must be of letters, digits, _ . and -");
    }
    return NULL;
}

static struct err *add_attribute(struct log_builder *b, struct slice name, struct jsonval v,
                                 struct event *ev)
{
    struct slice value = json_lines_text(log_builder_arena(b), v);
    struct buf legal = {0};

    if (!name.len || !value.ptr)
        return err_new(ERR_INVALID, "attributes must be texts, numbers or truths, with names");
    if (ev->n == EVENT_JSON_MAX_ATTRIBUTES)
        return err_new(ERR_LIMIT, "more than %d attributes", EVENT_JSON_MAX_ATTRIBUTES);
    jsonline_label_name(&legal, name, true);
    ev->metadata[ev->n++] =
        (struct label){arena_dup(log_builder_arena(b), buf_slice(&legal)), value};
    buf_done(&legal);
    return NULL;
}

static struct err *attributes_of(struct log_builder *b, struct jsonval v, struct event *ev)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct err *e = NULL;
    struct jsonval item;
    struct slice name;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return err_new(ERR_INVALID, "attributes must be an object");
    while (!e && jsonval_next(&it, &name, &item))
        e = add_attribute(b, name, item, ev);
    return e;
}

static struct err *member(struct log_builder *b, struct slice name, struct jsonval v,
                          struct event *ev)
{
    struct err *e;

    if (slice_eq_cstr(name, "kind"))
        return (e = text_of(b, "kind", v, EVENT_JSON_MAX_KIND, &ev->kind)) ? e
                                                                           : check_kind(ev->kind);
    if (slice_eq_cstr(name, "title"))
        return text_of(b, "title", v, EVENT_JSON_MAX_TITLE, &ev->title);
    if (slice_eq_cstr(name, "service"))
        return text_of(b, "service", v, EVENT_JSON_MAX_TITLE, &ev->service);
    if (slice_eq_cstr(name, "time"))
        return time_of("time", v, &ev->t_ns);
    if (slice_eq_cstr(name, "end")) {
        ev->has_end = true;
        return time_of("end", v, &ev->end_ns);
    }
    if (slice_eq_cstr(name, "attributes"))
        return attributes_of(b, v, ev);
    return err_new(ERR_INVALID, "an event has no member [%.*s]",
                   SLICE_ARG(slice_sub(name, 0, 100)));
}

static struct err *event_of(struct log_builder *b, struct jsonval v, struct event *ev)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct err *e = NULL;
    struct jsonval item;
    struct slice name;

    *ev = (struct event){.t_ns = b->now_ns};
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return err_new(ERR_INVALID, "an object is expected");
    while (!e && jsonval_next(&it, &name, &item))
        e = member(b, name, item, ev);
    if (!e && (!ev->kind.len || !ev->title.len))
        e = err_new(ERR_INVALID, "kind and title must be there");
    if (!e && ev->has_end && ev->end_ns < ev->t_ns)
        e = err_new(ERR_INVALID, "end is before time");
    return e;
}

static struct err *add_event(struct log_builder *b, struct event *ev)
{
    struct label kind = {SLICE(EVENT_LABEL), ev->kind};
    struct log_builder_at at = log_builder_stream(b, (struct labels){&kind, 1});

    if (ev->service.len)
        ev->metadata[ev->n++] = (struct label){SLICE(EVENT_SERVICE), ev->service};
    if (ev->has_end)
        ev->metadata[ev->n++] = (struct label){
            SLICE(EVENT_END),
            slice_cstr(arena_printf(log_builder_arena(b), "%lld", (long long)ev->end_ns))};
    return log_builder_entry(
        b, &at,
        &(struct log_in){
            .t_ns = ev->t_ns, .line = ev->title, .metadata = ev->metadata, .n_metadata = ev->n});
}

static struct err *add_all(struct log_builder *b, struct jsonval root)
{
    struct jsonval_iter it = jsonval_iter(root);
    bool is_list = jsonval_kind(root) == JSONVAL_LIST;
    size_t n = is_list ? jsonval_count(root) : 1, i = 0;
    struct event *all;
    struct jsonval item = root;
    struct slice key;
    struct err *e = NULL;

    if (n > EVENT_JSON_MAX)
        return err_new(ERR_LIMIT, "events: more than %d in one request", EVENT_JSON_MAX);
    /* All are read before the first is taken. */
    all = arena_array(log_builder_arena(b), struct event, n + 1);
    for (; i < n && !e; i++)
        if (!is_list || jsonval_next(&it, &key, &item))
            e = event_of(b, item, &all[i]);
    if (e)
        return err_wrap(e, "event %zu", i);
    for (i = 0; i < n && !e; i++)
        e = add_event(b, &all[i]);
    return e;
}

struct err *event_json_decode(struct log_builder *b, struct slice body)
{
    struct jsonval_doc *doc;
    struct jsonval root;
    struct err *e;

    if (body.len > EVENT_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "events: more than %u bytes", EVENT_JSON_MAX_BYTES);
    if ((e = jsonval_parse(body, MAX_DEPTH, &doc, &root)))
        return err_wrap(e, "events");
    e = add_all(b, root);
    jsonval_free(doc);
    return e;
}
