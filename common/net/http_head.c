#include "common/net/http_head.h"

#define SKIP_BYTES_MAX 8 /* empty lines some clients send after a body */

static const struct http_head_fault no_fault;

static struct http_head_fault fault(int status, const char *why)
{
    return (struct http_head_fault){status, why};
}

enum http_head_found http_head_scan(struct http_head_scan *s, struct slice in,
                                    const struct http_head_limits *limits,
                                    struct http_head_fault *ret_fault)
{
    size_t max = ORR_MIN(in.len, limits->max_bytes + s->skip);

    for (; s->scanned < max; s->scanned++) {
        size_t i = s->scanned;

        if (in.ptr[i] != '\n')
            continue;
        if (i == 0 || in.ptr[i - 1] != '\r') {
            *ret_fault = fault(400, "a line ends in LF without CR");
            return HTTP_HEAD_BAD;
        }
        if (i - 1 > s->line_start) {
            s->has_request_line = true;
            s->line_start = i + 1;
            continue;
        }
        s->line_start = i + 1;
        if (s->has_request_line) {
            s->end = s->scanned = i + 1;
            return HTTP_HEAD_FOUND;
        }
        s->skip = i + 1;
        if (s->skip > SKIP_BYTES_MAX) {
            *ret_fault = fault(400, "empty lines instead of a request");
            return HTTP_HEAD_BAD;
        }
        max = ORR_MIN(in.len, limits->max_bytes + s->skip);
    }
    if (in.len < limits->max_bytes + s->skip)
        return HTTP_HEAD_MORE;
    *ret_fault = s->has_request_line ? fault(431, "the headers are too large")
                                     : fault(414, "the request line is too long");
    return HTTP_HEAD_BAD;
}

static bool is_token_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c > 0 && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_head_is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_byte(s.ptr[i]))
            return false;
    return s.len > 0;
}

/* Visible ASCII and, as many clients send them unescaped, bytes above it. */
static bool is_target(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0;
}

bool http_head_is_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* The next line without its CRLF; the scan has made sure that each LF follows a CR. */
static struct slice next_line(struct slice *rest)
{
    ptrdiff_t lf = slice_find_byte(*rest, '\n', 0);
    struct slice line;

    if (lf < 1) {
        line = *rest;
        *rest = slice_from(*rest, rest->len);
        return line;
    }
    line = slice_sub(*rest, 0, (size_t)lf - 1);
    *rest = slice_from(*rest, (size_t)lf + 1);
    return line;
}

static struct http_head_fault parse_version(struct slice s, int *ret_minor)
{
    if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[5] < '0' || s.ptr[5] > '9' ||
        s.ptr[6] != '.' || s.ptr[7] < '0' || s.ptr[7] > '9')
        return fault(400, "malformed request line");
    if (s.ptr[5] != '1')
        return fault(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    *ret_minor = s.ptr[7] == '0' ? 0 : 1;
    return no_fault;
}

/* "http://host/path" (as to a proxy) is cut down to its path. */
struct http_head_fault http_head_split_target(struct http_head *h)
{
    struct slice t = h->target;
    ptrdiff_t q, hash;

    if (!is_target(t))
        return fault(400, "malformed target");
    if (slice_eq(t, SLICE("*"))) {
        h->path_raw = t;
        h->query = SLICE_EMPTY;
        return h->method == HTTP_OPTIONS ? no_fault : fault(400, "malformed target");
    }
    if (slice_has_prefix(t, SLICE("http://")) || slice_has_prefix(t, SLICE("https://"))) {
        size_t i = (size_t)slice_find(t, SLICE("://"), 0) + 3;

        while (i < t.len && t.ptr[i] != '/' && t.ptr[i] != '?')
            i++;
        t = slice_from(t, i);
        if (t.len == 0 || t.ptr[0] == '?')
            return fault(400, "the target has no path");
    }
    if (t.ptr[0] != '/')
        return fault(400, "malformed target");
    hash = slice_find_byte(t, '#', 0);
    if (hash >= 0)
        return fault(400, "the target has a fragment");
    q = slice_find_byte(t, '?', 0);
    h->path_raw = q < 0 ? t : slice_sub(t, 0, (size_t)q);
    h->query = q < 0 ? SLICE_EMPTY : slice_from(t, (size_t)q + 1);
    return no_fault;
}

static struct http_head_fault parse_request_line(struct slice line, struct http_head *h)
{
    ptrdiff_t a = slice_find_byte(line, ' ', 0);
    ptrdiff_t b = a < 0 ? -1 : slice_find_byte(line, ' ', (size_t)a + 1);
    struct http_head_fault f;
    struct slice method;

    if (b < 0 || !http_head_is_token(method = slice_sub(line, 0, (size_t)a)))
        return fault(400, "malformed request line");
    h->target = slice_sub(line, (size_t)a + 1, (size_t)(b - a - 1));
    if ((f = parse_version(slice_from(line, (size_t)b + 1), &h->minor)).status)
        return f;
    if (!http_method_from_name(method, &h->method))
        return is_target(h->target) ? fault(501, "unknown method") : fault(400, "malformed target");
    return http_head_split_target(h);
}

static struct http_head_fault parse_header(struct slice line, struct http_header *ret)
{
    ptrdiff_t colon = slice_find_byte(line, ':', 0);

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return fault(400, "a folded header");
    if (colon < 0)
        return fault(400, "a header without a colon");
    ret->name = slice_sub(line, 0, (size_t)colon);
    ret->value = slice_trim(slice_from(line, (size_t)colon + 1));
    if (!http_head_is_token(ret->name))
        return fault(400, "malformed header name");
    if (!http_head_is_value(ret->value))
        return fault(400, "a control byte in a header");
    return no_fault;
}

static struct http_head_fault parse_headers(struct arena *a, struct slice rest,
                                            const struct http_head_limits *limits,
                                            struct http_head *h)
{
    size_t count = 0;

    for (size_t i = 0; i < rest.len; i++)
        count += rest.ptr[i] == '\n';
    count = count ? count - 1 : 0; /* the empty line */
    if (count > limits->max_headers)
        return fault(431, "too many headers");
    h->headers = arena_array(a, struct http_header, count);
    while (rest.len) {
        struct slice line = next_line(&rest);
        struct http_head_fault f;

        if (line.len == 0)
            break;
        if (h->header_count == count)
            return fault(400, "malformed headers");
        if ((f = parse_header(line, &h->headers[h->header_count])).status)
            return f;
        h->header_count++;
    }
    return no_fault;
}

/* Framing headers, as first seen; a second one is a fault or is joined to nothing. */
struct framing {
    struct slice length, coding;
    int hosts;
};

static bool take_once(struct slice *slot, struct slice value)
{
    bool is_first = slot->ptr == NULL;

    *slot = value;
    return is_first;
}

static struct http_head_fault note_header(struct http_head *h, struct framing *fr,
                                          const struct http_header *hd)
{
    if (slice_eq_nocase(hd->name, SLICE("host"))) {
        h->host = hd->value;
        if (++fr->hosts > 1)
            return fault(400, "more than one Host");
    } else if (slice_eq_nocase(hd->name, SLICE("content-length"))) {
        if (!take_once(&fr->length, hd->value))
            return fault(400, "more than one Content-Length");
    } else if (slice_eq_nocase(hd->name, SLICE("transfer-encoding"))) {
        if (!take_once(&fr->coding, hd->value))
            return fault(400, "more than one Transfer-Encoding");
    } else if (slice_eq_nocase(hd->name, SLICE("content-encoding"))) {
        if (!take_once(&h->content_encoding, hd->value))
            return fault(400, "more than one Content-Encoding");
    } else if (slice_eq_nocase(hd->name, SLICE("connection"))) {
        if (http_header_has_token(hd->value, "close"))
            h->is_keep_alive = false;
        else if (h->minor == 0 && http_header_has_token(hd->value, "keep-alive"))
            h->is_keep_alive = true;
    } else if (slice_eq_nocase(hd->name, SLICE("expect"))) {
        if (!slice_eq_nocase(hd->value, SLICE("100-continue")))
            return fault(417, "unknown expectation");
        h->expects_continue = h->minor == 1;
    }
    return no_fault;
}

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

static struct http_head_fault check_framing(struct http_head *h, const struct framing *fr)
{
    if (h->minor == 1 && fr->hosts == 0)
        return fault(400, "no Host");
    if (fr->coding.ptr) {
        if (fr->length.ptr)
            return fault(400, "both Content-Length and Transfer-Encoding");
        if (h->minor == 0)
            return fault(400, "Transfer-Encoding in HTTP/1.0");
        if (!slice_eq_nocase(fr->coding, SLICE("chunked")))
            return fault(501, "unknown Transfer-Encoding");
        h->has_body = h->is_chunked = true;
    } else if (fr->length.ptr) {
        if (!is_digits(fr->length) || !slice_to_u64(fr->length, &h->content_length))
            return fault(400, "malformed Content-Length");
        h->has_body = h->content_length > 0;
    }
    return no_fault;
}

struct http_head_fault http_head_note_headers(struct http_head *h)
{
    struct framing fr = {0};
    struct http_head_fault f;

    for (size_t i = 0; i < h->header_count; i++)
        if ((f = note_header(h, &fr, &h->headers[i])).status)
            return f;
    return check_framing(h, &fr);
}

struct http_head_fault http_head_parse(struct arena *a, struct slice head,
                                       const struct http_head_limits *limits, struct http_head *ret)
{
    struct http_head_fault f;
    struct slice rest = head;

    *ret = (struct http_head){0};
    if ((f = parse_request_line(next_line(&rest), ret)).status ||
        (f = parse_headers(a, rest, limits, ret)).status)
        return f;
    ret->is_keep_alive = ret->minor == 1;
    return http_head_note_headers(ret);
}
