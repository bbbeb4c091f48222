#include "alertmanager/ammatch_internal.h"
#include "common/base/gostr.h"

/* Go's \s */
static bool is_re_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static struct slice trim_re(struct slice s)
{
    while (s.len && is_re_space(s.ptr[0]))
        s = slice_from(s, 1);
    while (s.len && is_re_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool is_name_byte(uint8_t c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!is_first && c >= '0' && c <= '9');
}

static bool cut_op(struct slice *s, enum matcher_op *ret)
{
    static const struct {
        struct slice text;
        enum matcher_op op;
    } ops[] = {{SLICE_INIT("=~"), MATCHER_RE},
               {SLICE_INIT("="), MATCHER_EQ},
               {SLICE_INIT("!="), MATCHER_NE},
               {SLICE_INIT("!~"), MATCHER_NRE}};

    for (size_t i = 0; i < ORR_COUNT(ops); i++)
        if (slice_has_prefix(*s, ops[i].text)) {
            *ret = ops[i].op;
            *s = slice_from(*s, ops[i].text.len);
            return true;
        }
    return false;
}

static struct err *unescape(struct slice raw, struct buf *out)
{
    bool expects_quote = raw.len && raw.ptr[0] == '"', is_escaped = false;
    struct slice s = expects_quote ? slice_from(raw, 1) : raw;
    size_t last = s.len ? s.len - 1 : 0;

    if (!slice_is_utf8(s))
        return err_new(ERR_INVALID, "matcher value is not valid UTF-8");
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (is_escaped) {
            is_escaped = false;
            if (c == 'n') {
                buf_byte(out, '\n');
                continue;
            }
            if (c != '"' && c != '\\')
                buf_byte(out, '\\'); /* no escape after all */
            buf_byte(out, c);
        } else if (c == '\\' && i < last) {
            is_escaped = true;
        } else if (c == '"') {
            if (!expects_quote || i < last)
                return err_new(ERR_INVALID, "matcher value contains unescaped double quote: %.*s",
                               SLICE_ARG(raw));
            expects_quote = false;
        } else {
            buf_byte(out, c);
        }
    }
    return expects_quote
               ? err_new(ERR_INVALID, "matcher value contains unescaped double quote: %.*s",
                         SLICE_ARG(raw))
               : NULL;
}

struct err *ammatch_classic_one(struct arena *a, struct slice text, struct ammatch *ret)
{
    struct slice s = trim_re(text), name = s;
    struct buf value = {0};
    enum matcher_op op;
    struct err *e;
    size_t n = 0;

    while (n < s.len && is_name_byte(s.ptr[n], n == 0))
        n++;
    name.len = n;
    s = slice_from(s, n);
    while (s.len && is_re_space(s.ptr[0]))
        s = slice_from(s, 1);
    if (!n || !cut_op(&s, &op))
        return err_new(ERR_INVALID, "bad matcher format: %.*s", SLICE_ARG(text));
    if (!(e = unescape(trim_re(s), &value)))
        e = ammatch_init(a, op, name, buf_slice(&value), ret);
    buf_done(&value);
    return e;
}

static struct slice trim_unicode(struct slice s)
{
    uint32_t r;

    while (s.len) {
        size_t n = gostr_rune(s, &r);

        if (!ammatch_is_space(r))
            break;
        s = slice_from(s, n);
    }
    for (;;) {
        size_t at = s.len;

        if (!at)
            return s;
        while (at-- > 1 && (s.ptr[at] & 0xc0) == 0x80)
            ;
        (void)gostr_rune(slice_from(s, at), &r);
        if (!ammatch_is_space(r))
            return s;
        s.len = at;
    }
}

static struct err *add(struct arena *a, struct slice token, ammatch_vec *ret)
{
    struct ammatch m;
    struct err *e = ammatch_classic_one(a, token, &m);

    if (!e)
        vec_push(ret, m);
    return e;
}

struct err *ammatch_classic_list(struct arena *a, struct slice s, ammatch_vec *ret)
{
    bool in_quotes = false, is_escaped = false;
    size_t start = 0;
    struct err *e;

    if (s.len && s.ptr[0] == '{')
        s = slice_from(s, 1);
    if (s.len && s.ptr[s.len - 1] == '}')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == ',' && !in_quotes) {
            if ((e = add(a, slice_sub(s, start, i - start), ret)))
                return e;
            start = i + 1;
            continue;
        }
        if (c == '"') {
            if (!is_escaped)
                in_quotes = !in_quotes;
            is_escaped = false;
        } else {
            is_escaped = c == '\\' && !is_escaped;
        }
    }
    s = trim_unicode(slice_from(s, start));
    return s.len ? add(a, s, ret) : NULL;
}
