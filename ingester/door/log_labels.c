#include "ingester/door/log_labels.h"

#include "common/base/gostr.h"
#include "common/lang/promql_series.h"

#define FIRST_ROOM 8

static bool is_name_byte(uint8_t c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

static const uint8_t *skip_spaces(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

/* name="value" without escapes; NULL: anything else. */
static const uint8_t *plain_pair(const uint8_t *p, const uint8_t *end, struct label *ret)
{
    const uint8_t *start = p, *quote;

    while (p < end && is_name_byte(*p, p == start))
        p++;
    ret->name = slice_of(start, (size_t)(p - start));
    p = skip_spaces(p, end);
    if (ret->name.len == 0 || p == end || *p != '=')
        return NULL;
    p = skip_spaces(p + 1, end);
    if (p == end || *p != '"')
        return NULL;
    p++;
    quote = memchr(p, '"', (size_t)(end - p));
    if (!quote)
        return NULL;
    ret->value = slice_of(p, (size_t)(quote - p));
    if (memchr(p, '\\', ret->value.len) || memchr(p, '\n', ret->value.len))
        return NULL;
    return quote + 1;
}

/* What nearly all clients write; false: it is left to the parser of PromQL. */
static bool parse_plain(struct arena *a, struct slice text, struct labels *ret)
{
    const uint8_t *p = text.ptr, *end = text.ptr + text.len;
    struct label *ls = arena_array(a, struct label, FIRST_ROOM);
    size_t n = 0, cap = FIRST_ROOM;

    if (p == end || *p++ != '{')
        return false;
    for (;;) {
        p = skip_spaces(p, end);
        if (n == cap) {
            ls = arena_grow(a, ls, cap * sizeof(*ls), 2 * cap * sizeof(*ls));
            cap *= 2;
        }
        if (!(p = plain_pair(p, end, &ls[n])))
            return false;
        if (!slice_is_utf8(ls[n++].value))
            return false;
        p = skip_spaces(p, end);
        if (p == end || (*p != ',' && *p != '}'))
            return false;
        if (*p++ == '}')
            break;
    }
    *ret = (struct labels){ls, n};
    return p == end;
}

struct err *log_labels_parse(struct arena *a, struct slice text, struct labels *ret)
{
    struct promql_series s;
    struct err *e;

    if (text.len == 0) {
        *ret = (struct labels){NULL, 0};
        return NULL;
    }
    if (ORR_LIKELY(parse_plain(a, text, ret)))
        return NULL;
    if ((e = promql_series_parse(a, text, &s)))
        return err_wrap(e, "labels of a stream");
    if (s.n)
        return err_new(ERR_INVALID, "labels of a stream: something follows them");
    *ret = s.labels;
    return NULL;
}

void log_labels_text(struct buf *out, struct slice canonical, size_t max_bytes)
{
    struct reader r = reader_new(canonical);
    struct label l;
    size_t start = out->len;

    buf_byte(out, '{');
    while (labels_next_canonical(&r, &l)) {
        if (out->len > start + 1)
            buf_str(out, ", ");
        buf_printf(out, "%.*s=", SLICE_ARG(l.name));
        buf_json_str(out, l.value);
        if (out->len - start > max_bytes) {
            out->len = start + max_bytes;
            buf_str(out, "…");
            return;
        }
    }
    buf_byte(out, '}');
}

struct slice log_labels_utf8(struct arena *a, struct slice s)
{
    struct buf out = {0};
    struct slice ret;
    uint32_t rune;

    if (ORR_LIKELY(slice_is_utf8(s)))
        return s;
    while (s.len) {
        s = slice_from(s, gostr_rune(s, &rune));
        gostr_put_rune(&out, rune);
    }
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}
