#include "tests/conformance/conformance.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "tests/conformance/conformance_internal.h"

void conformance_fail(struct conformance *c, const char *what, const char *fmt, ...)
{
    va_list ap;

    if (c->has_failed)
        return;
    c->has_failed = true;
    buf_reset(&c->detail);
    buf_printf(&c->detail, "%s: ", what);
    va_start(ap, fmt);
    buf_vprintf(&c->detail, fmt, ap);
    va_end(ap);
}

void conformance_skip(struct conformance *c, const char *fmt, ...)
{
    va_list ap;

    if (c->has_failed || c->is_skipped)
        return;
    c->is_skipped = true;
    va_start(ap, fmt);
    buf_vprintf(&c->detail, fmt, ap);
    va_end(ap);
}

bool conformance_check_text(struct conformance *c, const char *what, struct slice got,
                            struct slice want)
{
    if (slice_eq(got, want))
        return true;
    conformance_fail(c, what, "%.*s / %.*s", SLICE_ARG(got), SLICE_ARG(want));
    return false;
}

bool conformance_check_int(struct conformance *c, const char *what, int64_t got, int64_t want)
{
    if (got == want)
        return true;
    conformance_fail(c, what, "%lld / %lld", (long long)got, (long long)want);
    return false;
}

bool conformance_check_bool(struct conformance *c, const char *what, bool got, bool want)
{
    if (got == want)
        return true;
    conformance_fail(c, what, "%s / %s", got ? "true" : "false", want ? "true" : "false");
    return false;
}

bool conformance_check_ok(struct conformance *c, const char *what, struct err *e, bool want_ok)
{
    bool is_right = (e == NULL) == want_ok;

    if (!is_right)
        conformance_fail(c, what, "%s / %s", e ? err_msg(e) : "accepted",
                         want_ok ? "accepted" : "refused");
    err_free(e);
    return is_right;
}

bool conformance_check_json(struct conformance *c, const char *what, const json_t *got,
                            const json_t *want)
{
    char *a, *b;

    if (json_equal(got, want))
        return true;
    a = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    b = json_dumps(want, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    conformance_fail(c, what, "%s / %s", a ? a : "nothing", b ? b : "nothing");
    free(a);
    free(b);
    return false;
}

static int base64_digit(char ch)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = ch ? strchr(digits, ch) : NULL;

    return p ? (int)(p - digits) : -1;
}

static struct slice base64(struct arena *a, const char *text, size_t n)
{
    uint8_t *out = arena_alloc(a, n / 4 * 3 + 4);
    uint32_t bits = 0;
    size_t len = 0;
    int have = 0;

    for (size_t i = 0; i < n; i++) {
        int d = base64_digit(text[i]);

        if (d < 0)
            continue;
        bits = bits << 6 | (uint32_t)d;
        if ((have += 6) >= 8) {
            have -= 8;
            out[len++] = (uint8_t)(bits >> have);
        }
    }
    return slice_of(out, len);
}

struct slice conformance_text_of(struct arena *a, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    if (!v && (v = json_object_get(object, arena_printf(a, "%s_b64", key))))
        return base64(a, json_string_value(v), json_string_length(v));
    return json_is_string(v) ? slice_of(json_string_value(v), json_string_length(v))
                             : (struct slice){0};
}

struct slice conformance_text(struct conformance *c, const char *key)
{
    return conformance_text_of(c->arena, c->json, key);
}

bool conformance_has(const struct conformance *c, const char *key)
{
    return json_object_get(c->json, key) != NULL;
}

bool conformance_bool(const struct conformance *c, const char *key)
{
    return json_is_true(json_object_get(c->json, key));
}

int64_t conformance_int(const struct conformance *c, const char *key)
{
    const json_t *v = json_object_get(c->json, key);

    if (json_is_string(v))
        return strtoll(json_string_value(v), NULL, 10);
    return json_is_real(v) ? (int64_t)json_real_value(v) : (int64_t)json_integer_value(v);
}

const json_t *conformance_get(const struct conformance *c, const char *key)
{
    return json_object_get(c->json, key);
}

struct err *conformance_read_file(const char *path, struct buf *ret)
{
    FILE *f = fopen(path, "rb");
    struct err *e = NULL;
    size_t got;

    if (!f)
        return err_errno(ERR_NOT_FOUND, "open %s", path);
    do {
        uint8_t *room = buf_reserve(ret, 1 << 16);

        got = fread(room, 1, 1 << 16, f);
        ret->len += got;
    } while (got);
    if (ferror(f))
        e = err_errno(ERR_IO, "read %s", path);
    (void)fclose(f);
    return e;
}

struct err *conformance_read(struct conformance *c, const char *name, struct slice *ret)
{
    struct buf b = {0};
    struct err *e = conformance_read_file(arena_printf(c->arena, "%s/%s", c->dir, name), &b);

    if (!e)
        *ret = arena_dup(c->arena, buf_slice(&b));
    buf_done(&b);
    return e;
}
