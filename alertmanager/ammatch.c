#include "alertmanager/ammatch.h"

#include <stdlib.h>

#include "alertmanager/ammatch_internal.h"
#include "common/base/gostr.h"

struct err *ammatch_init(struct arena *a, enum matcher_op op, struct slice name, struct slice value,
                         struct ammatch *ret)
{
    struct ammatch m = {.op = op, .name = arena_dup(a, name), .value = arena_dup(a, value)};

    if (op == MATCHER_RE || op == MATCHER_NRE) {
        /* re.h lets a dot match a line feed when anchored; Alertmanager does not */
        struct slice pattern = slice_cstr(arena_printf(a, "(?-s:%.*s)", SLICE_ARG(value)));
        struct re *bare;
        struct err *e;

        /* alone first, so that "a)(b" is refused */
        if ((e = re_compile(value, 0, &bare)))
            return err_wrap(e, "matcher %.*s", SLICE_ARG(name));
        re_free(bare);
        if ((e = re_compile(pattern, RE_ANCHORED, &m.re)))
            return err_wrap(e, "matcher %.*s", SLICE_ARG(name));
    }
    *ret = m;
    return NULL;
}

void ammatch_done(struct ammatch *m)
{
    re_free(m->re);
    m->re = NULL;
}

void ammatch_list_done(struct ammatch_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        ammatch_done(&l->ptr[i]);
    l->n = 0;
}

static void vec_drop(ammatch_vec *v)
{
    VEC_FOREACH (m, v)
        ammatch_done(m);
    vec_done(v);
}

static int cmp_match(const void *a, const void *b)
{
    const struct ammatch *x = a, *y = b;
    int c = slice_cmp(x->name, y->name);

    if (!c)
        c = slice_cmp(x->value, y->value);
    return c ? c : (x->op > y->op) - (x->op < y->op);
}

void ammatch_list_sort(struct ammatch_list *l)
{
    if (l->n)
        qsort(l->ptr, l->n, sizeof(*l->ptr), cmp_match);
}

bool ammatch_matches(const struct ammatch *m, struct labels ls)
{
    struct slice v = labels_get(ls, m->name);

    switch (m->op) {
    case MATCHER_EQ:
        return slice_eq(v, m->value);
    case MATCHER_NE:
        return !slice_eq(v, m->value);
    case MATCHER_RE:
        return re_match(m->re, v);
    case MATCHER_NRE:
        return !re_match(m->re, v);
    }
    return false;
}

bool ammatch_list_matches(const struct ammatch_list *l, struct labels ls)
{
    for (size_t i = 0; i < l->n; i++)
        if (!ammatch_matches(&l->ptr[i], ls))
            return false;
    return true;
}

/* ---- text ---- */

bool ammatch_is_space(uint32_t r)
{
    return (r >= 9 && r <= 13) || r == ' ' || r == 0x85 || r == 0xa0 || r == 0x1680 ||
           (r >= 0x2000 && r <= 0x200a) || r == 0x2028 || r == 0x2029 || r == 0x202f ||
           r == 0x205f || r == 0x3000;
}

bool ammatch_is_reserved(uint32_t r)
{
    return ammatch_is_space(r) || (r && r < 0x80 && strchr("{}!=~,\\\"'`", (int)r));
}

static bool needs_quotes(struct slice name)
{
    uint32_t r;

    for (; name.len; name = slice_from(name, gostr_rune(name, &r))) {
        (void)gostr_rune(name, &r);
        if (ammatch_is_reserved(r))
            return true;
    }
    return false;
}

static void escaped(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_str(out, "\\n");
        else {
            if (s.ptr[i] == '\\' || s.ptr[i] == '"')
                buf_byte(out, '\\');
            buf_byte(out, s.ptr[i]);
        }
    }
}

void ammatch_text(struct buf *out, const struct ammatch *m)
{
    bool quoted = needs_quotes(m->name);

    if (quoted)
        gostr_quote(out, m->name);
    else
        buf_slice_append(out, m->name);
    buf_str(out, matcher_op_text(m->op));
    if (quoted) {
        gostr_quote(out, m->value);
        return;
    }
    buf_byte(out, '"');
    escaped(out, m->value);
    buf_byte(out, '"');
}

void ammatch_list_text(struct buf *out, const struct ammatch_list *l)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            buf_byte(out, ',');
        ammatch_text(out, &l->ptr[i]);
    }
    buf_byte(out, '}');
}

/* ---- the three ways to read ---- */

static struct err *check_size(struct slice text)
{
    return text.len > AMMATCH_MAX_BYTES ? err_new(ERR_LIMIT, "matcher of %zu bytes, more than %d",
                                                  text.len, AMMATCH_MAX_BYTES)
                                        : NULL;
}

static bool is_same(const struct ammatch *x, const struct ammatch *y)
{
    return cmp_match(x, y) == 0;
}

static struct err *utf8_one(struct arena *a, struct slice text, struct ammatch *ret)
{
    ammatch_vec v = {0};
    struct err *e = ammatch_utf8_list(a, text, &v);

    if (!e && v.len != 1)
        e = err_new(ERR_INVALID, "expected 1 matcher, found %zu", v.len);
    if (!e) {
        *ret = v.ptr[0];
        v.len = 0;
    }
    vec_drop(&v);
    return e;
}

static struct err *fallback_one(struct arena *a, struct slice text, struct ammatch *ret)
{
    struct ammatch mu = {0}, mc = {0};
    struct err *eu = utf8_one(a, text, &mu), *ec = ammatch_classic_one(a, text, &mc);

    if (eu && ec) {
        err_free(eu);
        return ec;
    }
    if (!ec) {
        if (!eu)
            ammatch_done(&mu);
        *ret = mc;
    } else {
        *ret = mu;
    }
    err_free(eu);
    err_free(ec);
    return NULL;
}

struct err *ammatch_parse(struct arena *a, enum ammatch_mode mode, struct slice text,
                          struct ammatch *ret)
{
    struct err *e;

    if ((e = check_size(text)))
        return e;
    if (mode == AMMATCH_CLASSIC)
        return ammatch_classic_one(a, text, ret);
    if (slice_has_prefix(text, SLICE("{")) || slice_has_suffix(text, SLICE("}")))
        return err_new(ERR_INVALID, "unexpected open or close brace: %.*s", SLICE_ARG(text));
    return mode == AMMATCH_UTF8 ? utf8_one(a, text, ret) : fallback_one(a, text, ret);
}

static struct err *fallback_list(struct arena *a, struct slice text, ammatch_vec *ret)
{
    ammatch_vec vu = {0}, vc = {0};
    struct err *eu = ammatch_utf8_list(a, text, &vu), *ec = ammatch_classic_list(a, text, &vc);
    bool takes_utf8 = !eu && (ec || vu.len == vc.len);

    for (size_t i = 0; takes_utf8 && !ec && i < vu.len; i++)
        takes_utf8 = is_same(&vu.ptr[i], &vc.ptr[i]);
    if (eu && ec) {
        vec_drop(&vu);
        vec_drop(&vc);
        err_free(eu);
        return ec;
    }
    *ret = takes_utf8 ? vu : vc;
    vec_drop(takes_utf8 ? &vc : &vu);
    err_free(eu);
    err_free(ec);
    return NULL;
}

struct err *ammatch_parse_list(struct arena *a, enum ammatch_mode mode, struct slice text,
                               struct ammatch_list *ret)
{
    ammatch_vec v = {0};
    struct err *e = check_size(text);

    if (!e)
        e = mode == AMMATCH_CLASSIC ? ammatch_classic_list(a, text, &v)
            : mode == AMMATCH_UTF8  ? ammatch_utf8_list(a, text, &v)
                                    : fallback_list(a, text, &v);
    if (e) {
        vec_drop(&v);
        return e;
    }
    ret->ptr = arena_array(a, struct ammatch, v.len + 1);
    if (v.len)
        memcpy(ret->ptr, v.ptr, v.len * sizeof(*v.ptr));
    ret->n = v.len;
    vec_done(&v);
    return NULL;
}
