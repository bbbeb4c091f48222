#include "deploy/orreryctl/ctl_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "deploy/orreryctl/ctl_http.h"

struct err *ctl_json_get(struct ctl *c, struct slice path, bool raw, json_t **ret)
{
    struct buf text = {0};
    json_error_t why;
    struct err *e = ctl_http(c, "GET", path, NULL, SLICE_EMPTY, &text);

    *ret = NULL;
    if (!e && raw)
        (void)fwrite(text.ptr, 1, text.len, stdout);
    else if (!e && !(*ret = json_loadb((const char *)text.ptr, text.len, JSON_ALLOW_NUL, &why)))
        e = err_new(ERR_INVALID, "the answer is no JSON: %s at byte %d", why.text, why.position);
    buf_done(&text);
    return e;
}

const char *ctl_json_text(const json_t *v)
{
    static char digits[32];

    if (json_is_string(v))
        return json_string_value(v);
    if (!json_is_number(v))
        return "";
    if (json_is_integer(v))
        (void)snprintf(digits, sizeof(digits), "%lld", (long long)json_integer_value(v));
    else
        (void)snprintf(digits, sizeof(digits), "%.17g", json_real_value(v));
    return digits;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *ctl_json_labels(struct arena *a, json_t *labels)
{
    const char **names = arena_array(a, const char *, json_object_size(labels) + 1), *name;
    struct buf out = {0};
    const char *text;
    size_t n = 0;
    json_t *v;

    json_object_foreach(labels, name, v)
    {
        if (strcmp(name, "__name__") == 0)
            buf_str(&out, ctl_json_text(v));
        else
            names[n++] = name;
    }
    qsort(names, n, sizeof(names[0]), by_name);
    if (n || !out.len)
        buf_byte(&out, '{');
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, i ? ", %s=" : "%s=", names[i]);
        buf_json_str(&out, slice_cstr(ctl_json_text(json_object_get(labels, names[i]))));
    }
    if (n || slice_eq_cstr(buf_slice(&out), "{"))
        buf_byte(&out, '}');
    text = arena_cstr(a, buf_slice(&out));
    buf_done(&out);
    return text;
}
