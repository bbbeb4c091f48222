/* Numeric constants as text/template reads them: each is an int, uint, float or complex, or several
 * of these at once. */
#include "common/template/template_number.h"

#include "common/base/gonum.h"
#include "common/base/gostr.h"

static bool rune_constant(struct slice text, struct template_number *ret)
{
    struct slice s = slice_sub(text, 1, text.len - 1);
    struct buf b = {0};
    uint32_t r = 0;
    bool is_byte, is_good;

    /* '\xff' and '\377' are the number, not a piece of UTF-8 */
    is_byte =
        s.len > 2 && s.ptr[0] == '\\' && (s.ptr[1] == 'x' || (s.ptr[1] >= '0' && s.ptr[1] <= '7'));
    is_good = s.len && s.ptr[0] != '\'' && gostr_unescape_one(&s, '\'', &b) == GOSTR_OK &&
              slice_eq_cstr(s, "'");
    if (is_good && is_byte)
        r = b.ptr[0];
    else if (is_good)
        (void)gostr_rune(buf_slice(&b), &r);
    buf_done(&b);
    *ret = (struct template_number){
        .is_int = true, .is_uint = true, .is_float = true, .i = (int64_t)r, .u = r, .f = (double)r};
    return is_good;
}

/* A complex number without an imaginary part is a float too, and so on. */
static void simplify_complex(struct template_number *n)
{
    n->is_float = n->im == 0;
    if (n->is_float && n->f >= -9223372036854775808.0 && n->f < 9223372036854775808.0) {
        n->i = (int64_t)n->f;
        n->is_int = (double)n->i == n->f;
        n->u = (uint64_t)n->i;
        n->is_uint = n->is_int && n->i >= 0;
    }
}

/* 1+2i: the second sign parts it. */
static bool complex_constant(struct slice text, struct template_number *ret)
{
    size_t split = 0;

    for (size_t i = 1; i + 1 < text.len; i++)
        if ((text.ptr[i] == '+' || text.ptr[i] == '-') && !strchr("eEpP", text.ptr[i - 1]))
            split = i;
    *ret = (struct template_number){.is_complex = true};
    if (split && !gonum_float(slice_sub(text, 0, split), &ret->f))
        return false;
    if (!gonum_float(slice_sub(text, split, text.len - 1 - split), &ret->im))
        return false;
    simplify_complex(ret);
    return true;
}

/* ParseUint(s, 0, 64). */
static bool unsigned_constant(struct slice text, uint64_t *ret)
{
    unsigned base = 10;
    uint64_t v = 0;
    size_t at = 0;
    int64_t i;

    if (text.len && (text.ptr[0] == '+' || text.ptr[0] == '-'))
        return false;
    if (gonum_int(text, &i)) {
        *ret = (uint64_t)i;
        return i >= 0;
    }
    if (text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] | 0x20) == 'x')
        base = 16, at = 2;
    for (; at < text.len; at++) {
        uint8_t c = text.ptr[at];
        unsigned d = c <= '9' ? (unsigned)c - '0' : (c | 0x20u) - 'a' + 10;

        if (c == '_')
            continue;
        if (d >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
            return false;
    }
    *ret = v;
    return text.len > 0;
}

static bool has_any(struct slice text, const char *set)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] && strchr(set, text.ptr[i]))
            return true;
    return false;
}

const char *template_number_parse(struct slice text, enum template_token_kind kind,
                                  struct template_number *ret)
{
    struct template_number n = {0};
    bool is_hex;

    if (kind == TOKEN_RUNE)
        return rune_constant(text, ret) ? NULL : "malformed character constant";
    if (kind == TOKEN_COMPLEX || text.ptr[text.len - 1] == 'i')
        return complex_constant(text, ret) ? NULL : "illegal number syntax";
    n.is_uint = unsigned_constant(text, &n.u);
    n.is_int = gonum_int(text, &n.i);
    if (n.is_int && n.i == 0)
        n.is_uint = true; /* -0 */
    if (n.is_int || n.is_uint) {
        n.is_float = true;
        n.f = n.is_int ? (double)n.i : (double)n.u;
    } else if (gonum_float(text, &n.f)) {
        if (!has_any(text, ".eEpP"))
            return "integer overflow";
        n.is_float = true;
        if (n.f >= -9223372036854775808.0 && n.f < 9223372036854775808.0) {
            n.i = (int64_t)n.f;
            n.is_int = (double)n.i == n.f;
        }
        if (n.f >= 0 && n.f < 18446744073709551616.0) {
            n.u = (uint64_t)n.f;
            n.is_uint = (double)n.u == n.f;
        }
    }
    if (!n.is_int && !n.is_uint && !n.is_float)
        return "illegal number syntax";
    is_hex =
        text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] | 0x20) == 'x' && !has_any(text, "pP");
    n.looks_float = n.is_float && !is_hex && has_any(text, ".eEpP");
    *ret = n;
    return NULL;
}
