#include "common/net/http.h"

#include "common/base/hex.h"

const char *http_method_name(enum http_method m)
{
    switch (m) {
#define X(sym, name, bit)                                                                          \
    case sym:                                                                                      \
        return name;
        HTTP_METHODS(X)
#undef X
    }
    return "UNKNOWN";
}

bool http_method_from_name(struct slice name, enum http_method *ret)
{
#define X(sym, text, bit)                                                                          \
    if (slice_eq_cstr(name, text)) {                                                               \
        *ret = sym;                                                                                \
        return true;                                                                               \
    }
    HTTP_METHODS(X)
#undef X
    return false;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

struct slice http_header_get(const struct http_header *headers, size_t n, const char *name)
{
    struct slice want = slice_cstr(name);

    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(headers[i].name, want))
            return headers[i].value;
    return (struct slice){NULL, 0};
}

bool http_header_has_token(struct slice value, const char *token)
{
    struct slice want = slice_cstr(token), rest = value, part;

    while (rest.ptr && slice_split(&rest, ',', &part))
        if (slice_eq_nocase(slice_trim(part), want))
            return true;
    return false;
}

/* dst may be s.ptr itself; returns the decoded length, never more than s.len. */
static size_t unescape(struct slice s, bool plus_is_space, uint8_t *dst, bool *ret_ok)
{
    size_t n = 0;

    *ret_ok = true;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == '%') {
            int hi = s.len - i > 2 ? hex_digit(s.ptr[i + 1]) : -1;
            int lo = s.len - i > 2 ? hex_digit(s.ptr[i + 2]) : -1;

            if (hi < 0 || lo < 0) {
                *ret_ok = false;
            } else {
                c = (uint8_t)(hi * 16 + lo);
                i += 2;
            }
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        dst[n++] = c;
    }
    return n;
}

bool http_unescape(struct slice s, bool plus_is_space, struct buf *out)
{
    uint8_t *dst = buf_reserve(out, s.len);
    bool ok;

    if (!dst)
        return true; /* out remembers that it is over */
    out->len += unescape(s, plus_is_space, dst, &ok);
    return ok;
}

bool http_unescape_arena(struct arena *a, struct slice s, bool plus_is_space, struct slice *ret)
{
    uint8_t *dst;
    bool ok;

    if (slice_find_byte(s, '%', 0) < 0 && (!plus_is_space || slice_find_byte(s, '+', 0) < 0)) {
        *ret = s;
        return true;
    }
    dst = arena_alloc(a, s.len);
    *ret = slice_of(dst, unescape(s, plus_is_space, dst, &ok));
    return ok;
}

void http_escape(struct slice s, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            c == '-' || c == '_' || c == '.' || c == '~') {
            buf_byte(out, c);
        } else {
            buf_byte(out, '%');
            buf_byte(out, (uint8_t)hex[c >> 4]);
            buf_byte(out, (uint8_t)hex[c & 15]);
        }
    }
}

static void params_add(struct arena *a, struct http_params *params, struct http_param p)
{
    if (params->len == params->cap) {
        size_t cap = params->cap ? params->cap * 2 : 8;

        params->items = arena_grow(a, params->items, params->cap * sizeof(*params->items),
                                   cap * sizeof(*params->items));
        params->cap = cap;
    }
    params->items[params->len++] = p;
}

bool http_params_parse(struct arena *a, struct slice text, struct http_params *params)
{
    struct slice rest = text, part;
    bool ok = true;

    while (rest.ptr && slice_split(&rest, '&', &part)) {
        ptrdiff_t eq = slice_find_byte(part, '=', 0);
        struct http_param p;

        if (part.len == 0)
            continue;
        if (params->len == HTTP_PARAMS_MAX)
            return false;
        ok &= http_unescape_arena(a, eq < 0 ? part : slice_sub(part, 0, (size_t)eq), true, &p.name);
        p.value = SLICE_EMPTY;
        if (eq >= 0)
            ok &= http_unescape_arena(a, slice_from(part, (size_t)eq + 1), true, &p.value);
        params_add(a, params, p);
    }
    return ok;
}
