/* Silences as API v2 writes and reads them. */
#include "alertmanager/silence_json.h"

#include <jansson.h>

#include "alertmanager/alert.h"
#include "common/base/clock.h"
#include "common/base/gotime.h"

#define MAX_ANNOTATIONS 256

void silence_json(struct buf *out, const struct silence *s, int64_t now_ns)
{
    buf_str(out, "{\"id\":");
    buf_json_str(out, s->id);
    buf_printf(out, ",\"status\":{\"state\":\"%s\"},\"updatedAt\":\"",
               silence_state_name(silence_state(s, now_ns)));
    alert_time_api(out, s->updated_ns);
    buf_str(out, "\",\"annotations\":");
    labels_json(out, s->annotations);
    buf_str(out, ",\"comment\":");
    buf_json_str(out, s->comment);
    buf_str(out, ",\"createdBy\":");
    buf_json_str(out, s->created_by);
    buf_str(out, ",\"endsAt\":\"");
    alert_time_api(out, s->ends_ns);
    buf_str(out, "\",\"matchers\":[");
    for (size_t i = 0; i < s->matchers.n; i++) {
        const struct ammatch *m = &s->matchers.ptr[i];

        buf_printf(out, "%s{\"isEqual\":%s,\"isRegex\":%s,\"name\":", i ? "," : "",
                   m->op == MATCHER_EQ || m->op == MATCHER_RE ? "true" : "false",
                   m->op == MATCHER_RE || m->op == MATCHER_NRE ? "true" : "false");
        buf_json_str(out, m->name);
        buf_str(out, ",\"value\":");
        buf_json_str(out, m->value);
        buf_byte(out, '}');
    }
    buf_str(out, "],\"startsAt\":\"");
    alert_time_api(out, s->starts_ns);
    buf_str(out, "\"}");
}

/* ---- reading ---- */

/* The text of a member, in the arena. */
static struct err *read_text(struct arena *a, const json_t *o, const char *key, bool is_required,
                             struct slice *ret)
{
    const json_t *v = json_object_get(o, key);

    *ret = SLICE_EMPTY;
    if (!v || json_is_null(v))
        return is_required ? err_new(ERR_INVALID, "%s is required", key) : NULL;
    if (!json_is_string(v))
        return err_new(ERR_INVALID, "%s: a string is wanted", key);
    *ret = arena_dup(a, slice_of(json_string_value(v), json_string_length(v)));
    return NULL;
}

static struct err *read_truth(const json_t *o, const char *key, bool def, bool *ret)
{
    const json_t *v = json_object_get(o, key);

    *ret = v && !json_is_null(v) ? json_is_true(v) : def;
    return v && !json_is_null(v) && !json_is_boolean(v)
               ? err_new(ERR_INVALID, "%s: true or false is wanted", key)
               : NULL;
}

static struct err *read_time(struct arena *a, const json_t *o, const char *key, int64_t *ret_ns)
{
    const int64_t max_s = SILENCES_MAX_NS / NS_PER_S - 1;
    struct slice text;
    struct gotime t;
    struct err *e;

    if ((e = read_text(a, o, key, true, &text)))
        return e;
    if ((e = gotime_parse(SLICE(GOTIME_RFC3339), text, NULL, &t)))
        return err_wrap(e, "%s", key);
    /* who writes the year 9999 means for ever; the year 1 is Go's zero time */
    *ret_ns = ORR_MIN(ORR_MAX(t.unix_s, -max_s), max_s) * NS_PER_S + t.ns;
    return NULL;
}

static struct err *read_matcher(struct arena *a, const json_t *o, struct silences_matcher *ret)
{
    bool is_regex, is_equal;
    struct err *e;

    if (!json_is_object(o))
        return err_new(ERR_INVALID, "an object is wanted");
    if ((e = read_text(a, o, "name", true, &ret->name)) ||
        (e = read_text(a, o, "value", true, &ret->value)) ||
        (e = read_truth(o, "isRegex", false, &is_regex)) ||
        (e = read_truth(o, "isEqual", true, &is_equal)))
        return e;
    if (is_regex)
        ret->op = is_equal ? MATCHER_RE : MATCHER_NRE;
    else
        ret->op = is_equal ? MATCHER_EQ : MATCHER_NE;
    return NULL;
}

static struct err *read_matchers(struct arena *a, const json_t *list, struct silences_spec *ret)
{
    struct silences_matcher *ms = arena_array(a, struct silences_matcher, SILENCES_MAX_MATCHERS);
    struct err *e = NULL;
    json_t *o;
    size_t i;

    if (!json_is_array(list))
        return err_new(ERR_INVALID, "matchers: a list is required");
    if (json_array_size(list) > SILENCES_MAX_MATCHERS)
        return err_new(ERR_LIMIT, "more than %d matchers", SILENCES_MAX_MATCHERS);
    json_array_foreach(list, i, o)
    {
        if ((e = read_matcher(a, o, &ms[i])))
            return err_wrap(e, "matcher %zu", i);
    }
    ret->matchers = ms;
    ret->n_matchers = json_array_size(list);
    return NULL;
}

static struct err *read_annotations(struct arena *a, const json_t *o, struct labels *ret)
{
    struct label *ls;
    struct slice dup;
    const char *key;
    json_t *v;
    size_t n = 0;

    if (!o || json_is_null(o))
        return NULL;
    if (!json_is_object(o) || json_object_size(o) > MAX_ANNOTATIONS)
        return err_new(ERR_INVALID, "annotations: an object of at most %d is wanted",
                       MAX_ANNOTATIONS);
    ls = arena_array(a, struct label, json_object_size(o) + 1);
    json_object_foreach((json_t *)o, key, v)
    {
        if (!json_is_string(v))
            return err_new(ERR_INVALID, "annotations: %s: a string is wanted", key);
        ls[n].name = arena_dup(a, slice_cstr(key));
        ls[n++].value = arena_dup(a, slice_of(json_string_value(v), json_string_length(v)));
    }
    (void)labels_sort(ls, n, &dup); /* names of an object are unique */
    *ret = (struct labels){ls, n};
    return NULL;
}

static struct err *read_spec(struct arena *a, const json_t *o, struct silences_spec *ret)
{
    struct err *e;

    if (!json_is_object(o))
        return err_new(ERR_INVALID, "a silence is wanted");
    if ((e = read_text(a, o, "id", false, &ret->id)) ||
        (e = read_text(a, o, "createdBy", true, &ret->created_by)) ||
        (e = read_text(a, o, "comment", true, &ret->comment)) ||
        (e = read_time(a, o, "startsAt", &ret->starts_ns)) ||
        (e = read_time(a, o, "endsAt", &ret->ends_ns)) ||
        (e = read_matchers(a, json_object_get(o, "matchers"), ret)))
        return e;
    return read_annotations(a, json_object_get(o, "annotations"), &ret->annotations);
}

struct err *silence_from_json(struct arena *a, struct slice body, struct silences_spec *ret)
{
    struct silences_spec spec = {0};
    json_error_t je;
    json_t *doc = json_loadb((const char *)body.ptr, body.len, 0, &je);
    struct err *e;

    if (!doc)
        return err_new(ERR_INVALID, "body: line %d: %s", je.line, je.text);
    if (!(e = read_spec(a, doc, &spec)))
        *ret = spec;
    json_decref(doc);
    return e;
}
