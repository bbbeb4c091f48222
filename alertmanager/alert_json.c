#include <jansson.h>

#include "alertmanager/alert.h"
#include "common/base/gotime.h"

struct post {
    int64_t now_ns, resolve_ns;
    alert_vec *ret;
    struct err *bad;
};

static struct slice text_of(const json_t *s)
{
    return slice_of(json_string_value(s), json_string_length(s));
}

/* Empty values are left out, as Alertmanager does. */
static struct err *read_labels(const json_t *o, const char *what, struct label *ls,
                               struct labels *ret)
{
    const char *key;
    json_t *value;
    struct slice dup;
    size_t n = 0;

    if (o && !json_is_null(o) && !json_is_object(o))
        return err_new(ERR_INVALID, "%s: an object is wanted", what);
    json_object_foreach((json_t *)o, key, value)
    {
        if (!json_is_string(value))
            return err_new(ERR_INVALID, "%s: %s: a string is wanted", what, key);
        if (json_string_length(value) == 0)
            continue;
        if (n == ALERT_MAX_LABELS)
            return err_new(ERR_LIMIT, "%s: more than %d", what, ALERT_MAX_LABELS);
        if (!*key)
            return err_new(ERR_INVALID, "%s: an empty name", what);
        ls[n++] = (struct label){slice_cstr(key), text_of(value)};
    }
    *ret = (struct labels){ls, n};
    return labels_sort(ls, n, &dup) ? NULL : err_new(ERR_INVALID, "%s: a name twice", what);
}

/* Absent, null and the zero time are INT64_MIN. */
static struct err *read_time(const json_t *o, const char *key, int64_t *ret_ns)
{
    const json_t *v = json_object_get(o, key);
    struct gotime t;
    struct err *e;

    *ret_ns = INT64_MIN;
    if (!v || json_is_null(v))
        return NULL;
    if (!json_is_string(v))
        return err_new(ERR_INVALID, "%s: a time is wanted", key);
    if (json_string_length(v) == 0 || slice_has_prefix(text_of(v), SLICE("0001-01-01T00:00:00")))
        return NULL;
    if ((e = gotime_parse(SLICE(GOTIME_RFC3339), text_of(v), NULL, &t)))
        return err_wrap(e, "%s", key);
    if (t.unix_s < -9000000000ll || t.unix_s > 9000000000ll)
        return err_new(ERR_INVALID, "%s: out of range", key);
    *ret_ns = t.unix_s * 1000000000ll + t.ns;
    return NULL;
}

static size_t bytes_of(struct labels ls)
{
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        n += ls.ptr[i].name.len + ls.ptr[i].value.len;
    return n;
}

static struct err *read_alert(struct post *p, const json_t *o)
{
    struct label ls[ALERT_MAX_LABELS], as[ALERT_MAX_LABELS];
    const json_t *url = json_object_get(o, "generatorURL");
    struct labels labels, annotations;
    int64_t starts, ends;
    bool is_timeout = false;
    struct alert *a;
    struct err *e;

    if (!json_is_object(o))
        return err_new(ERR_INVALID, "an object is wanted");
    if ((e = read_labels(json_object_get(o, "labels"), "labels", ls, &labels)) ||
        (e = read_labels(json_object_get(o, "annotations"), "annotations", as, &annotations)) ||
        (e = read_time(o, "startsAt", &starts)) || (e = read_time(o, "endsAt", &ends)))
        return e;
    if (!labels.n)
        return err_new(ERR_INVALID, "at least one label pair required");
    if (bytes_of(labels) + bytes_of(annotations) + json_string_length(url) > ALERT_MAX_BYTES)
        return err_new(ERR_LIMIT, "an alert of more than %d bytes", ALERT_MAX_BYTES);
    if (starts == INT64_MIN)
        starts = ends == INT64_MIN ? p->now_ns : ends;
    if (ends == INT64_MIN) {
        is_timeout = true;
        ends = p->now_ns + p->resolve_ns;
    }
    if (ends < starts)
        return err_new(ERR_INVALID, "start time must be before end time");
    a = alert_new(labels, annotations, json_is_string(url) ? text_of(url) : SLICE_EMPTY);
    a->starts_ns = starts;
    a->ends_ns = ends;
    a->updated_ns = p->now_ns;
    a->is_timeout = is_timeout;
    vec_push(p->ret, a);
    return NULL;
}

struct err *alert_from_json(struct slice body, int64_t now_ns, int64_t resolve_ns, alert_vec *ret,
                            struct err **ret_bad)
{
    struct post p = {.now_ns = now_ns, .resolve_ns = resolve_ns, .ret = ret};
    json_error_t je;
    json_t *doc = json_loadb((const char *)body.ptr, body.len, 0, &je), *o;
    struct err *e = NULL;
    size_t i;

    if (!doc)
        return err_new(ERR_INVALID, "body: line %d: %s", je.line, je.text);
    if (!json_is_array(doc))
        e = err_new(ERR_INVALID, "body: a list of alerts is wanted");
    else if (json_array_size(doc) > ALERT_MAX_POST)
        e = err_new(ERR_LIMIT, "more than %d alerts in one request", ALERT_MAX_POST);
    if (!e)
        json_array_foreach(doc, i, o) p.bad =
            err_first(p.bad, err_wrap(read_alert(&p, o), "alert %zu", i));
    json_decref(doc);
    if (ret_bad)
        *ret_bad = p.bad;
    else
        err_free(p.bad);
    return e;
}
