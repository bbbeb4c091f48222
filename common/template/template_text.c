#include "common/template/template_text.h"

#include <arpa/inet.h>

#include "common/base/gore.h"
#include "common/base/gostr.h"
#include "common/base/hex.h"
#include "common/template/template_escape.h"

enum letters { UPPER, LOWER };

static struct err *change_letters(struct value_call *call, struct slice s, enum letters how,
                                  struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        gostr_put_rune(&b, how == LOWER ? gostr_rune_lower(r) : gostr_rune_upper(r));
        s = slice_from(s, n);
    }
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

struct err *template_text_upper(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)n;
    return change_letters(call, args[0].s, UPPER, ret);
}

struct err *template_text_lower(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)n;
    return change_letters(call, args[0].s, LOWER, ret);
}

static bool is_digit(uint32_t r)
{
    return r >= '0' && r <= '9';
}

/* Unicode's word boundaries (UAX 29): a word goes on over ' . : between letters and , . ; ' between
 * digits, and over _ anywhere. */
static bool joins(uint32_t prev, uint32_t r, uint32_t next)
{
    if (gostr_is_letter(r) || is_digit(r) || r == '_')
        return true;
    if (gostr_is_letter(prev) && gostr_is_letter(next))
        return r == '\'' || r == '.' || r == ':' || r == 0xb7 || r == 0x2018 || r == 0x2019 ||
               r == 0x2024 || r == 0x2027;
    if (is_digit(prev) && is_digit(next))
        return r == '\'' || r == '.' || r == ',' || r == ';' || r == 0x2018 || r == 0x2019;
    return false;
}

/* The first letter of a word that has a case is made upper, the rest lower or left as it is. */
static void put_title(struct buf *out, struct slice s, bool lowers)
{
    bool is_titled = false;
    uint32_t prev = ' ', next = ' ';

    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);
        bool is_cased = gostr_rune_upper(r) != r || gostr_rune_lower(r) != r || r == 0xdf;

        s = slice_from(s, n);
        next = ' ';
        if (s.len)
            (void)gostr_rune(s, &next);
        if (!joins(prev, r, next))
            is_titled = false;
        if (is_cased && !is_titled && r == 0xdf)
            buf_str(out, "Ss"); /* the sharp s has no capital of its own here */
        else
            gostr_put_rune(out, !is_cased    ? r
                                : !is_titled ? gostr_rune_upper(r)
                                : lowers     ? gostr_rune_lower(r)
                                             : r);
        is_titled |= is_cased;
        prev = r;
    }
}

static struct err *titled(struct value_call *call, struct slice s, bool lowers, struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    put_title(&b, s, lowers);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

struct err *template_text_title(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)n;
    return titled(call, args[0].s, false, ret);
}

struct err *template_text_title_lower(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    (void)n;
    return titled(call, args[0].s, true, ret);
}

struct err *template_text_match(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    struct re *re;
    int spans[2];
    struct err *e = re_compile(args[0].s, 0, &re);

    (void)call, (void)n;
    if (e)
        return e;
    *ret = value_bool(re_find(re, args[1].s, 0, spans, 2));
    re_free(re);
    return NULL;
}

struct err *template_text_replace_all(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};
    struct re *re;
    struct err *e = re_compile(args[0].s, 0, &re);

    (void)n;
    if (e)
        return e;
    gore_replace_all(&b, re, args[2].s, args[1].s);
    re_free(re);
    if (!buf_ok(&b)) {
        buf_done(&b);
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    }
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

struct err *template_text_safe_html(struct value_call *call, const struct value *args, size_t n,
                                    struct value *ret)
{
    (void)call, (void)n;
    *ret = args[0];
    ret->type = &value_type_html;
    return NULL;
}

struct err *template_text_query_escape(struct value_call *call, const struct value *args, size_t n,
                                       struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    template_escape_query(&b, args[0].s);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

struct err *template_text_query_unescape(struct value_call *call, const struct value *args,
                                         size_t n, struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};
    struct slice s = args[0].s;

    (void)n;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%') {
            buf_byte(&b, s.ptr[i] == '+' ? ' ' : s.ptr[i]);
            continue;
        }
        if (i + 2 >= s.len || hex_digit(s.ptr[i + 1]) < 0 || hex_digit(s.ptr[i + 2]) < 0) {
            buf_done(&b);
            return err_new(ERR_EXEC, "invalid URL escape");
        }
        buf_byte(&b, (uint8_t)(hex_digit(s.ptr[i + 1]) << 4 | hex_digit(s.ptr[i + 2])));
        i += 2;
    }
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

/* net.SplitHostPort. False if there is no port, or brackets or colons are where they may not. */
static bool split_host_port(struct slice s, struct slice *ret_host, struct slice *ret_port)
{
    ptrdiff_t colon = -1, close;
    size_t host_from = 0, host_end;

    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    if (colon < 0)
        return false;
    host_end = (size_t)colon;
    if (s.ptr[0] == '[') {
        close = slice_find_byte(s, ']', 0);
        if (close < 0 || close + 1 != colon)
            return false;
        host_from = 1;
        host_end = (size_t)close;
    } else if (slice_find_byte(slice_sub(s, 0, host_end), ':', 0) >= 0) {
        return false;
    }
    *ret_host = slice_sub(s, host_from, host_end - host_from);
    *ret_port = slice_from(s, (size_t)colon + 1);
    return slice_find_byte(slice_from(s, host_from), '[', 0) < 0 &&
           slice_find_byte(*ret_port, ']', 0) < 0 &&
           (host_from || slice_find_byte(*ret_host, ']', 0) < 0);
}

struct err *template_text_strip_port(struct value_call *call, const struct value *args, size_t n,
                                     struct value *ret)
{
    struct slice host, port;

    (void)call, (void)n;
    *ret = value_string(split_host_port(args[0].s, &host, &port) ? host : args[0].s);
    return NULL;
}

static bool is_ip(struct arena *a, struct slice host)
{
    char *text = arena_cstr(a, host);
    uint8_t bytes[16];

    return strlen(text) == host.len &&
           (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

struct err *template_text_strip_domain(struct value_call *call, const struct value *args, size_t n,
                                       struct value *ret)
{
    struct slice host = args[0].s, port = SLICE_EMPTY, first;
    struct buf b = {0};
    ptrdiff_t dot;

    (void)n;
    if (!split_host_port(args[0].s, &host, &port)) {
        host = args[0].s;
        port = SLICE_EMPTY;
    }
    *ret = args[0];
    if (is_ip(call->arena, host))
        return NULL;
    dot = slice_find_byte(host, '.', 0);
    first = dot < 0 ? host : slice_sub(host, 0, (size_t)dot);
    if (!port.len) {
        *ret = value_string(first);
        return NULL;
    }
    if (slice_find_byte(first, ':', 0) >= 0)
        buf_printf(&b, "[%.*s]:%.*s", SLICE_ARG(first), SLICE_ARG(port));
    else
        buf_printf(&b, "%.*s:%.*s", SLICE_ARG(first), SLICE_ARG(port));
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct value_member *)a)->name,
                     ((const struct value_member *)b)->name);
}

struct err *template_text_args(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct value_member *members = arena_array(call->arena, struct value_member, n);

    for (size_t i = 0; i < n; i++) {
        members[i].name = slice_cstr(arena_printf(call->arena, "arg%zu", i));
        members[i].value = args[i];
        members[i].value.is_any = true;
    }
    qsort(members, n, sizeof(*members), by_name);
    *ret = value_map(members, n);
    return NULL;
}
