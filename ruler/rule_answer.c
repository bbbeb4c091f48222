#include "ruler/rule_answer.h"

#include <jansson.h>
#include <math.h>

#include "common/base/base64.h"
#include "common/base/num.h"
#include "common/model/hist_wire.h"

static struct slice text_of(const json_t *j)
{
    return json_is_string(j) ? slice_of(json_string_value(j), json_string_length(j)) : SLICE_EMPTY;
}

static struct err *malformed(const char *what)
{
    return err_new(ERR_INTERNAL, "answer of a querier: %s", what);
}

/* *ret_root is to be json_decref()ed, also after an error. */
static struct err *open_answer(struct slice json, json_t **ret_root, const char **ret_type,
                               const json_t **ret_result)
{
    json_t *root = json_loadb((const char *)json.ptr, json.len, 0, NULL);
    const json_t *data = json_object_get(root, "data");
    const char *status = json_string_value(json_object_get(root, "status"));

    *ret_root = root;
    if (!root || !status)
        return malformed("not what a query answers");
    if (strcmp(status, "success") != 0) {
        const char *type = json_string_value(json_object_get(root, "errorType"));
        struct slice text = text_of(json_object_get(root, "error"));
        enum err_code code = ERR_EXEC;

        if (type && strcmp(type, "timeout") == 0)
            code = ERR_TIMEOUT;
        if (type && strcmp(type, "unavailable") == 0)
            code = ERR_UNAVAILABLE;
        return err_new(code, "%.*s", SLICE_ARG(text));
    }
    *ret_type = json_string_value(json_object_get(data, "resultType"));
    *ret_result = json_object_get(data, "result");
    if (!*ret_type || !*ret_result)
        return malformed("no result");
    return NULL;
}

/* [1.5, "2"] */
static bool read_point(const json_t *j, struct sample *ret)
{
    const json_t *t = json_array_get(j, 0);
    struct slice text = text_of(json_array_get(j, 1));
    double v;

    if (!json_is_number(t) || text.len == 0 || !num_parse(text, &v))
        return false;
    *ret = (struct sample){(int64_t)llround(json_number_value(t) * 1000), v};
    if (isnan(v))
        ret->v = sample_from_bits(SAMPLE_NAN_BITS);
    return true;
}

static struct err *read_labels(struct arena *a, const json_t *j, struct labels *ret)
{
    size_t n = json_object_size(j), i = 0;
    struct label *ls = arena_array(a, struct label, n + 1);
    const char *key;
    json_t *value;
    struct slice dup;

    json_object_foreach((json_t *)j, key, value)
    {
        if (json_string_length(value))
            ls[i++] = (struct label){arena_dup(a, slice_cstr(key)), arena_dup(a, text_of(value))};
    }
    if (!labels_sort(ls, i, &dup))
        return malformed("a label twice");
    *ret = (struct labels){ls, i};
    return NULL;
}

/* [1.5, "base64"] */
static const struct histogram *read_histogram(struct arena *a, const json_t *j)
{
    const struct histogram *h = NULL;
    struct buf bytes = {0};

    if (base64_decode(text_of(json_array_get(j, 1)), &bytes)) {
        struct reader r = reader_new(buf_slice(&bytes));

        h = hist_wire_decode(a, &r);
        if (!reader_ok(&r) || reader_left(&r))
            h = NULL;
    }
    buf_done(&bytes);
    return h;
}

static struct err *read_vector(struct arena *a, const json_t *result, struct rule_vector *ret)
{
    size_t n = json_array_size(result);
    struct rule_sample *out = arena_array(a, struct rule_sample, n + 1);
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(result, i);
        const json_t *histogram = json_object_get(item, "histogram");
        struct sample s = {0};

        if (histogram && !(out[i].h = read_histogram(a, histogram)))
            return malformed("a histogram that is not its bytes in base64");
        if (!histogram && !read_point(json_object_get(item, "value"), &s))
            return malformed("an element without a value");
        out[i].v = s.v;
        if ((e = read_labels(a, json_object_get(item, "metric"), &out[i].labels)))
            return e;
    }
    *ret = (struct rule_vector){out, n};
    return NULL;
}

struct err *rule_answer_vector(struct arena *a, struct slice json, struct rule_vector *ret)
{
    json_t *root = NULL;
    const json_t *result;
    const char *type;
    struct err *e = open_answer(json, &root, &type, &result);
    struct sample s;

    if (e) {
        json_decref(root);
        return e;
    }
    if (strcmp(type, "vector") == 0) {
        e = read_vector(a, result, ret);
    } else if (strcmp(type, "scalar") == 0) {
        struct rule_sample *one = arena_array(a, struct rule_sample, 1);

        if (!read_point(result, &s))
            e = malformed("a scalar without a value");
        one->v = e ? 0 : s.v;
        *ret = (struct rule_vector){one, 1};
    } else {
        e = err_new(ERR_EXEC, "rule result is not a vector or scalar");
    }
    json_decref(root);
    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT, "the answer of a query takes more than %zu bytes", arena_limit(a));
    return e;
}

struct err *rule_answer_matrix(struct arena *a, struct slice json, struct rule_points **ret,
                               size_t *ret_n)
{
    json_t *root = NULL;
    const json_t *result;
    const char *type;
    struct err *e = open_answer(json, &root, &type, &result);

    if (!e && strcmp(type, "matrix") != 0)
        e = err_new(ERR_EXEC, "result is no matrix");
    if (!e) {
        size_t n = json_array_size(result);
        struct rule_points *out = arena_array(a, struct rule_points, n + 1);

        for (size_t i = 0; i < n && !e; i++) {
            const json_t *item = json_array_get(result, i);
            const json_t *values = json_object_get(item, "values");
            size_t points = json_array_size(values);
            struct sample *s = arena_array(a, struct sample, points + 1);

            e = read_labels(a, json_object_get(item, "metric"), &out[i].labels);
            for (size_t k = 0; k < points && !e; k++)
                if (!read_point(json_array_get(values, k), &s[k]))
                    e = malformed("a point without a value");
            out[i].ptr = s;
            out[i].n = points;
        }
        *ret = out;
        *ret_n = n;
    }
    json_decref(root);
    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT, "the answer of a query takes more than %zu bytes", arena_limit(a));
    return e;
}
