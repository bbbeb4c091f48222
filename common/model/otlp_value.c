#include "common/model/otlp_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/base64.h"
#include "common/base/num.h"

/* ---- scalars ---- */

static size_t digits(int64_t v, char out[24])
{
    return (size_t)snprintf(out, 24, "%lld", (long long)v);
}

/* ECMAScript's form, which Go's encoding/json writes: exponents of two digits lose a leading 0. */
static void put_double(struct buf *out, double v)
{
    double size = fabs(v);
    bool has_exponent = size != 0 && (size < 1e-6 || size >= 1e21);

    num_format(out, v, has_exponent ? 'e' : 'f', -1);
    if (has_exponent && out->len >= 4 && out->ptr[out->len - 4] == 'e' &&
        out->ptr[out->len - 3] == '-' && out->ptr[out->len - 2] == '0') {
        out->ptr[out->len - 2] = out->ptr[out->len - 1];
        out->len--;
    }
}

/* ---- lists and maps, as JSON ---- */

static bool is_html(uint8_t c)
{
    return c == '<' || c == '>' || c == '&';
}

/* With what Go escapes for the sake of HTML: from the end, so that each byte moves once. */
static void put_string(struct buf *out, struct slice s)
{
    size_t from = out->len, more = 0, to;

    buf_json_str(out, s);
    for (size_t i = from; i < out->len; i++)
        more += is_html(out->ptr[i]) ? 5 : 0;
    if (!more)
        return;
    to = out->len + more;
    buf_fill(out, 0, more);
    for (size_t i = to - more; i-- > from;) {
        char escape[7];

        if (!is_html(out->ptr[i])) {
            out->ptr[--to] = out->ptr[i];
            continue;
        }
        (void)snprintf(escape, sizeof(escape), "\\u%04x", out->ptr[i]);
        to -= 6;
        memcpy(out->ptr + to, escape, 6);
    }
}

static int by_key(const void *a, const void *b)
{
    const struct otlp_member *x = *(struct otlp_member *const *)a;
    const struct otlp_member *y = *(struct otlp_member *const *)b;
    int c = slice_cmp(x->key, y->key);

    return c ? c : (x > y) - (x < y); /* of equal ones the last is the last */
}

static bool put_json(struct arena *a, struct buf *out, struct otlp_value *v);

static bool put_map(struct arena *a, struct buf *out, struct otlp_value *v)
{
    struct otlp_member **order = arena_array(a, struct otlp_member *, v->n);
    bool is_first = true;

    for (size_t i = 0; i < v->n; i++)
        order[i] = &v->members[i];
    qsort(order, v->n, sizeof(*order), by_key);
    buf_byte(out, '{');
    for (size_t i = 0; i < v->n; i++) {
        if (i + 1 < v->n && slice_eq(order[i]->key, order[i + 1]->key))
            continue;
        if (!is_first)
            buf_byte(out, ',');
        is_first = false;
        put_string(out, order[i]->key);
        buf_byte(out, ':');
        if (!put_json(a, out, &order[i]->value))
            return false;
    }
    buf_byte(out, '}');
    return true;
}

static bool put_list(struct arena *a, struct buf *out, struct otlp_value *v)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            buf_byte(out, ',');
        if (!put_json(a, out, &v->members[i].value))
            return false;
    }
    buf_byte(out, ']');
    return true;
}

/* False for what JSON cannot hold: NaN, infinities. Depth is bounded by who made v. */
static bool put_json(struct arena *a, struct buf *out, struct otlp_value *v)
{
    char number[24];

    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        buf_str(out, "null");
        return true;
    case OTLP_VALUE_TEXT:
        put_string(out, v->text);
        return true;
    case OTLP_VALUE_BOOL:
        buf_str(out, v->b ? "true" : "false");
        return true;
    case OTLP_VALUE_INT:
        buf_append(out, number, digits(v->i, number));
        return true;
    case OTLP_VALUE_DOUBLE:
        if (!isfinite(v->d))
            return false;
        put_double(out, v->d);
        return true;
    case OTLP_VALUE_BYTES:
        buf_byte(out, '"');
        base64_encode(v->text, true, out);
        buf_byte(out, '"');
        return true;
    case OTLP_VALUE_LIST:
        return put_list(a, out, v);
    case OTLP_VALUE_MAP:
        return put_map(a, out, v);
    }
    return false;
}

struct slice otlp_value_text(struct arena *a, struct otlp_value *v)
{
    struct buf out = {0};
    struct slice text;
    char number[24];

    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        return SLICE_EMPTY;
    case OTLP_VALUE_TEXT:
        return v->text;
    case OTLP_VALUE_BOOL:
        return v->b ? SLICE("true") : SLICE("false");
    case OTLP_VALUE_INT:
        return arena_dup(a, slice_of(number, digits(v->i, number)));
    case OTLP_VALUE_DOUBLE:
        if (!isfinite(v->d))
            buf_str(&out, "json: unsupported value: ");
        put_double(&out, v->d);
        break;
    case OTLP_VALUE_BYTES:
        base64_encode(v->text, true, &out);
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        if (!put_json(a, &out, v))
            buf_reset(&out);
        break;
    }
    text = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return text;
}
