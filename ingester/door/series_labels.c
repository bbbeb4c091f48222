#include "ingester/door/series_labels.h"

#include <stdlib.h>

#include "common/base/vec.h"
#include "ingester/door/rw_cursor.h"
#include "ingester/door/rw_wire.h"

#define TAG_LABEL 0x0a /* field 1 of TimeSeries */
#define TAG_NAME 0x0a
#define TAG_VALUE 0x12

static bool is_metric_name(struct slice name)
{
    return slice_eq(name, SLICE(LABEL_NAME));
}

static enum door_reason check_label(const struct label *l, const struct tenant_limits *limits)
{
    if (is_metric_name(l->name) && (l->value.len == 0 || !slice_is_utf8(l->value)))
        return DOOR_INVALID_NAME;
    if (l->name.len == 0 || !slice_is_utf8(l->name))
        return DOOR_INVALID_LABEL;
    if (!slice_is_utf8(l->value))
        return DOOR_INVALID_VALUE;
    if (limits->max_label_name_length && l->name.len > (size_t)limits->max_label_name_length)
        return DOOR_NAME_TOO_LONG;
    if (limits->max_label_value_length && l->value.len > (size_t)limits->max_label_value_length)
        return DOOR_VALUE_TOO_LONG;
    return DOOR_OK;
}

/* A length as an encoder writes it: no byte more than needed. */
static const uint8_t *minimal_length(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
    const uint8_t *q = rw_wire_u32(p, end, ret);

    return q && (q - p == 1 || q[-1] != 0) && *ret <= (size_t)(end - q) ? q : NULL;
}

/* 0x0a len (0x0a nlen name 0x12 vlen value), exactly; NULL if it is anything else. */
static const uint8_t *canonical_label(const uint8_t *p, const uint8_t *end, struct label *ret)
{
    const uint8_t *stop;
    uint32_t len, n;

    if (p == end || *p != TAG_LABEL || !(p = minimal_length(p + 1, end, &len)))
        return NULL;
    stop = p + len;
    if (p == stop || *p != TAG_NAME || !(p = minimal_length(p + 1, stop, &n)))
        return NULL;
    ret->name = slice_of(p, n);
    p += n;
    if (p == stop || *p != TAG_VALUE || !(p = minimal_length(p + 1, stop, &n)))
        return NULL;
    ret->value = slice_of(p, n);
    return p + n == stop ? stop : NULL;
}

enum series_labels_form series_labels_check(struct slice bytes, const struct tenant_limits *limits,
                                            enum door_reason *ret_reason)
{
    const uint8_t *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    enum door_reason reason = DOOR_OK;
    struct label l, last = {0};
    bool has_name = false;
    size_t n = 0;

    for (; p < end; n++, last = l) {
        if (!(p = canonical_label(p, end, &l)) || l.value.len == 0 || l.name.len == 0 ||
            (n && slice_cmp(last.name, l.name) >= 0))
            return SERIES_LABELS_OTHER;
        has_name |= is_metric_name(l.name);
        if (reason == DOOR_OK)
            reason = check_label(&l, limits);
    }
    if (reason == DOOR_OK && !has_name)
        reason = DOOR_MISSING_NAME;
    if (reason == DOOR_OK && limits->max_label_names_per_series &&
        n > (size_t)limits->max_label_names_per_series)
        reason = DOOR_MAX_LABELS;
    *ret_reason = reason;
    return SERIES_LABELS_CANONICAL;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

enum door_reason series_labels_reason(struct labels sorted, const struct tenant_limits *limits)
{
    const struct label *ls = sorted.ptr;
    size_t n = sorted.n;

    if (!labels_has(sorted, SLICE(LABEL_NAME)))
        return DOOR_MISSING_NAME;
    for (size_t i = 0; i < n; i++) {
        enum door_reason r = check_label(&ls[i], limits);

        if (r != DOOR_OK)
            return r;
    }
    for (size_t i = 1; i < n; i++)
        if (slice_eq(ls[i - 1].name, ls[i].name))
            return DOOR_DUPLICATE_LABEL;
    if (limits->max_label_names_per_series && n > (size_t)limits->max_label_names_per_series)
        return DOOR_MAX_LABELS;
    return DOOR_OK;
}

struct err *series_labels_build(struct arena *a, struct slice message,
                                const struct tenant_limits *limits, struct slice *ret,
                                enum door_reason *ret_reason, bool *ret_has_empty)
{
    struct rw_fields f = rw_fields_of(message);
    struct buf out = {0};
    VEC(struct label) ls = {0};
    struct label l;
    size_t kept = 0;

    while (rw_cursor_label(&f, &l))
        vec_push(&ls, l);
    if (f.error) {
        vec_done(&ls);
        return err_new(ERR_INVALID, "%s", f.error);
    }
    if (ls.len)
        qsort(ls.ptr, ls.len, sizeof(struct label), by_name);
    *ret_reason = series_labels_reason((struct labels){ls.ptr, ls.len}, limits);
    for (size_t i = 0; i < ls.len; i++)
        if (ls.ptr[i].value.len || *ret_reason != DOOR_OK)
            ls.ptr[kept++] = ls.ptr[i];
    if (ret_has_empty)
        *ret_has_empty = kept < ls.len;
    labels_canonical(&out, (struct labels){ls.ptr, kept});
    *ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    vec_done(&ls);
    return NULL;
}

void series_labels_text(struct buf *out, struct slice bytes, size_t max_bytes)
{
    struct rw_fields f = rw_fields_of(bytes);
    struct buf text = {0};
    VEC(struct label) ls = {0};
    struct label l;

    while (rw_cursor_label(&f, &l))
        vec_push(&ls, l);
    labels_text(&text, (struct labels){ls.ptr, ls.len});
    buf_append(out, text.ptr, ORR_MIN(text.len, max_bytes));
    if (text.len > max_bytes)
        buf_str(out, "…");
    buf_done(&text);
    vec_done(&ls);
}
