#include "common/template/template_html.h"

#include <ctype.h>

#include "common/template/valuefmt.h"

#define REFUSED "ZgotmplZ" /* what Go writes for what it will not write */

/* ---- the page as the template has it ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static void name_add(struct template_html *h, uint8_t c)
{
    if (h->n_name + 1 < sizeof(h->name))
        h->name[h->n_name++] = (char)tolower(c);
    h->name[h->n_name] = 0;
}

static enum template_html_kind kind_of_attribute(const char *name)
{
    static const char *const urls[] = {
        "action", "background", "cite",     "data", "formaction", "href",      "icon",
        "poster", "longdesc",   "manifest", "src",  "usemap",     "xlink:href"};

    if (strncmp(name, "on", 2) == 0 && name[2])
        return TEMPLATE_HTML_SCRIPT;
    if (strcmp(name, "style") == 0)
        return TEMPLATE_HTML_STYLE;
    for (size_t i = 0; i < ORR_COUNT(urls); i++)
        if (strcmp(name, urls[i]) == 0)
            return TEMPLATE_HTML_URL;
    return TEMPLATE_HTML_PLAIN;
}

/* Where a tag begins, behind its <: its name's length, 0 when it is none. */
static size_t tag_name(struct slice s, bool *ret_is_end)
{
    size_t at = 0, n = 0;

    *ret_is_end = s.len && s.ptr[0] == '/';
    at = *ret_is_end;
    if (at >= s.len || !isalpha(s.ptr[at]))
        return 0;
    while (at + n < s.len &&
           (isalnum(s.ptr[at + n]) || s.ptr[at + n] == '-' || s.ptr[at + n] == ':'))
        n++;
    return n;
}

static void tag_begins(struct template_html *h, struct slice name, bool is_end)
{
    size_t n = ORR_MIN(name.len, sizeof(h->element) - 1);

    for (size_t i = 0; i < n; i++)
        h->element[i] = (char)tolower(name.ptr[i]);
    h->element[n] = 0;
    h->is_end = is_end;
    h->state = TEMPLATE_HTML_TAG;
    h->kind = TEMPLATE_HTML_PLAIN;
}

static void tag_ends(struct template_html *h)
{
    static const char *const raws[] = {"script", "style", "textarea", "title"};

    h->state = TEMPLATE_HTML_TEXT;
    h->kind = TEMPLATE_HTML_PLAIN;
    h->raw[0] = 0;
    for (size_t i = 0; i < ORR_COUNT(raws) && !h->is_end; i++)
        if (strcmp(h->element, raws[i]) == 0)
            memcpy(h->raw, h->element, sizeof(h->raw));
    if (strcmp(h->raw, "script") == 0)
        h->kind = TEMPLATE_HTML_SCRIPT;
    else if (strcmp(h->raw, "style") == 0)
        h->kind = TEMPLATE_HTML_STYLE;
}

/* A < in text; returns the bytes that it is, and writes what becomes of them. */
static size_t open_angle(struct template_html *h, struct buf *out, struct slice s)
{
    bool is_end;
    size_t n = tag_name(slice_from(s, 1), &is_end);
    struct slice name = slice_sub(s, 1 + is_end, n);

    if (!h->raw[0] && slice_has_prefix(s, SLICE("<!--"))) {
        h->state = TEMPLATE_HTML_COMMENT;
        return 4;
    }
    if (n && (!h->raw[0] || (is_end && slice_eq_nocase(name, slice_cstr(h->raw))))) {
        tag_begins(h, name, is_end);
        buf_slice_append(out, slice_sub(s, 0, 1 + is_end + n));
        return 1 + is_end + n;
    }
    if (h->kind != TEMPLATE_HTML_PLAIN || slice_eq_nocase(slice_sub(s, 0, 9), SLICE("<!DOCTYPE")))
        buf_byte(out, '<');
    else
        buf_str(out, "&lt;");
    return 1;
}

static void in_tag(struct template_html *h, uint8_t c)
{
    if (c == '>') {
        tag_ends(h);
        return;
    }
    switch (h->state) {
    case TEMPLATE_HTML_NAME:
        if (c == '=')
            h->state = TEMPLATE_HTML_BEFORE;
        else if (is_space(c))
            h->state = TEMPLATE_HTML_BEHIND;
        else
            name_add(h, c);
        break;
    case TEMPLATE_HTML_BEHIND:
    case TEMPLATE_HTML_TAG:
        if (c == '=' && h->state == TEMPLATE_HTML_BEHIND) {
            h->state = TEMPLATE_HTML_BEFORE;
        } else if (!is_space(c) && c != '/') {
            h->n_name = 0;
            name_add(h, c);
            h->state = TEMPLATE_HTML_NAME;
        }
        break;
    default: /* BEFORE */
        if (is_space(c))
            break;
        h->quote = c == '"' || c == '\'' ? c : 0;
        h->state = TEMPLATE_HTML_VALUE;
        h->kind = kind_of_attribute(h->name);
        h->is_query = false;
        h->has_value = !h->quote;
        break;
    }
}

static void in_value(struct template_html *h, uint8_t c)
{
    if (h->quote ? c == h->quote : is_space(c) || c == '>') {
        h->state = TEMPLATE_HTML_TAG;
        h->kind = TEMPLATE_HTML_PLAIN;
        if (c == '>')
            tag_ends(h);
        return;
    }
    h->has_value |= !is_space(c); /* which browsers leave out in front of an address */
    h->is_query |= c == '?' || c == '#';
}

void template_html_text(struct template_html *h, struct buf *out, struct slice text)
{
    size_t at = 0;

    while (at < text.len) {
        struct slice rest = slice_from(text, at);

        if (h->state == TEMPLATE_HTML_COMMENT) {
            ptrdiff_t end = slice_find(rest, SLICE("-->"), 0);

            at = end < 0 ? text.len : at + (size_t)end + 3;
            h->state = end < 0 ? TEMPLATE_HTML_COMMENT : TEMPLATE_HTML_TEXT;
            continue;
        }
        if (h->state == TEMPLATE_HTML_TEXT && rest.ptr[0] == '<') {
            at += open_angle(h, out, rest);
            continue;
        }
        if (h->state == TEMPLATE_HTML_VALUE)
            in_value(h, rest.ptr[0]);
        else if (h->state != TEMPLATE_HTML_TEXT)
            in_tag(h, rest.ptr[0]);
        buf_byte(out, rest.ptr[0]);
        at++;
    }
}

/* ---- values ---- */

static void escape(struct buf *out, struct slice s, bool is_unquoted)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == 0)
            buf_str(out, "\xef\xbf\xbd");
        else if (c == '<')
            buf_str(out, "&lt;");
        else if (c == '>')
            buf_str(out, "&gt;");
        else if (c == '&')
            buf_str(out, "&amp;");
        else if (strchr("\"'+", c) || (is_unquoted && strchr("\t\n\v\f\r =`", c)))
            buf_printf(out, "&#%u;", c);
        else
            buf_byte(out, c);
    }
}

/* A scheme that a page may lead to. */
static bool is_good_address(struct slice s)
{
    ptrdiff_t colon = slice_find_byte(s, ':', 0);
    struct slice scheme = slice_sub(s, 0, colon < 0 ? 0 : (size_t)colon);

    return colon < 0 || slice_find_byte(scheme, '/', 0) >= 0 ||
           slice_eq_nocase(scheme, SLICE("http")) || slice_eq_nocase(scheme, SLICE("https")) ||
           slice_eq_nocase(scheme, SLICE("mailto"));
}

static void percent(struct buf *out, struct slice s, bool is_query)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_coded =
            c == '%' && i + 2 < s.len && isxdigit(s.ptr[i + 1]) && isxdigit(s.ptr[i + 2]);

        if (isalnum(c) || (c && strchr("-._~", c)) ||
            (!is_query && ((c && strchr("!#$&*+,/:;=?@[]", c)) || is_coded)))
            buf_byte(out, c);
        else
            buf_printf(out, "%%%02x", c);
    }
}

static void address(struct template_html *h, struct buf *out, struct slice s, bool is_safe)
{
    if (!h->has_value && !is_safe && !is_good_address(s))
        buf_str(out, "#" REFUSED);
    else
        percent(out, s, h->is_query);
    h->is_query |= slice_find_byte(s, '?', 0) >= 0 || slice_find_byte(s, '#', 0) >= 0;
}

/* One value of CSS, with nothing that could end it or run. */
static bool is_good_style(struct slice s)
{
    char id[64];
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == 0 || strchr("\"'()/;@[\\]`{}<>", c) || (c == '-' && i && s.ptr[i - 1] == '-'))
            return false;
        if ((isalnum(c) || c == '_') && n + 1 < sizeof(id))
            id[n++] = (char)tolower(c);
    }
    id[n] = 0;
    return n + 1 < sizeof(id) && !strstr(id, "expression") && !strstr(id, "mozbinding");
}

static void value_text(struct template_html *h, struct buf *out, struct slice s, bool is_safe_url)
{
    bool is_unquoted = h->state == TEMPLATE_HTML_VALUE && !h->quote;
    struct buf b = {.max_bytes = out->max_bytes};

    if (is_unquoted && s.len == 0)
        s = SLICE(REFUSED);
    if (h->kind == TEMPLATE_HTML_STYLE) {
        s = is_good_style(s) ? s : SLICE(REFUSED);
    } else if (h->kind == TEMPLATE_HTML_URL) {
        address(h, &b, s, is_safe_url);
        s = buf_slice(&b);
    }
    escape(out, s, is_unquoted);
    out->is_over |= b.is_over;
    buf_done(&b);
}

/* A name of an attribute that can do no harm, whatever its value; it goes on behind the value. */
static void attribute_name(struct template_html *h, struct buf *out, struct slice s)
{
    char name[64] = "";
    bool is_good = s.len > 0 && s.len < sizeof(name);

    for (size_t i = 0; is_good && i < s.len; i++) {
        is_good = isalnum(s.ptr[i]);
        name[i] = (char)tolower(s.ptr[i]);
    }
    is_good = is_good && kind_of_attribute(name) == TEMPLATE_HTML_PLAIN;
    template_html_text(h, out, is_good ? slice_cstr(name) : SLICE(REFUSED));
}

bool template_html_value(struct template_html *h, struct buf *out, const struct value *v)
{
    struct buf b = {.max_bytes = out->max_bytes};
    bool is_url = v->type && strcmp(v->type->name, "template.URL") == 0;

    if (h->state == TEMPLATE_HTML_COMMENT)
        return true;
    if (h->kind == TEMPLATE_HTML_SCRIPT)
        return false;
    if (h->state == TEMPLATE_HTML_BEFORE) { /* the value begins with it, without quotes */
        in_tag(h, 'x');
        h->has_value = false;
    }
    valuefmt_value(&b, v);
    if (h->state == TEMPLATE_HTML_TAG || h->state == TEMPLATE_HTML_NAME ||
        h->state == TEMPLATE_HTML_BEHIND)
        attribute_name(h, out, buf_slice(&b));
    else if (v->type == &value_type_html && h->state == TEMPLATE_HTML_TEXT &&
             h->kind == TEMPLATE_HTML_PLAIN)
        buf_slice_append(out, buf_slice(&b));
    else
        value_text(h, out, buf_slice(&b), is_url);
    out->is_over |= b.is_over;
    buf_done(&b);
    return true;
}
