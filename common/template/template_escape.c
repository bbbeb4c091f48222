#include "common/template/template_escape.h"

#include "common/base/gostr.h"
#include "common/template/template_internal.h"
#include "common/template/valuefmt.h"

void template_escape_html(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.ptr[i]) {
        case 0:
            buf_str(out, "\xef\xbf\xbd");
            break;
        case '"':
            buf_str(out, "&#34;");
            break;
        case '\'':
            buf_str(out, "&#39;");
            break;
        case '&':
            buf_str(out, "&amp;");
            break;
        case '<':
            buf_str(out, "&lt;");
            break;
        case '>':
            buf_str(out, "&gt;");
            break;
        default:
            buf_byte(out, s.ptr[i]);
        }
    }
}

void template_escape_js(struct buf *out, struct slice s)
{
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);
        uint8_t c = s.ptr[0];

        if (c >= 0x80 && gostr_is_print(r)) {
            buf_append(out, s.ptr, n);
        } else if (c == '\\' || c == '\'' || c == '"') {
            buf_byte(out, '\\');
            buf_byte(out, c);
        } else if (c >= 0x80 || c < ' ' || strchr("<>&=", c)) {
            buf_printf(out, "\\u%04X", r);
        } else {
            buf_byte(out, c);
        }
        s = slice_from(s, n);
    }
}

void template_escape_query(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
            (c && strchr("-_.~", c)))
            buf_byte(out, c);
        else if (c == ' ')
            buf_byte(out, '+');
        else
            buf_printf(out, "%%%02X", c);
    }
}

/* What the three functions escape: their one string, or all that print would print. */
static struct err *escaped(struct value_call *call, const struct value *args, size_t n,
                           void (*escape)(struct buf *, struct slice), struct value *ret)
{
    struct buf text = {.max_bytes = call->max_bytes}, out = {.max_bytes = call->max_bytes};
    struct value *printable = arena_array(call->arena, struct value, n);

    for (size_t i = 0; i < n; i++) {
        printable[i] = args[i];
        if (args[i].kind == VALUE_INVALID)
            printable[i] = value_string(SLICE("<no value>"));
        printable[i].is_pointer = false;
    }
    valuefmt_print(&text, printable, n);
    escape(&out, buf_slice(&text));
    if (!buf_ok(&text) || !buf_ok(&out)) {
        buf_done(&text);
        buf_done(&out);
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    }
    buf_done(&text);
    *ret = value_take_text(call->arena, &out);
    return NULL;
}

struct err *template_func_html(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    return escaped(call, args, n, template_escape_html, ret);
}

struct err *template_func_js(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    return escaped(call, args, n, template_escape_js, ret);
}

struct err *template_func_urlquery(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    return escaped(call, args, n, template_escape_query, ret);
}
