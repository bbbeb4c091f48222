#include "common/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

struct err {
    enum err_code code;
    int errnum;
    char *msg;
};

ORR_PRINTF(1, 0) static char *format(const char *fmt, va_list ap)
{
    va_list again;
    int n;
    char *s;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ORR_ASSERT(n >= 0);
    s = mem_alloc((size_t)n + 1);
    (void)vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

static struct err *make(enum err_code code, int errnum, char *msg)
{
    struct err *e = mem_new(struct err);

    e->code = code;
    e->errnum = errnum;
    e->msg = msg;
    return e;
}

struct err *err_new(enum err_code code, const char *fmt, ...)
{
    va_list ap;
    char *msg;

    va_start(ap, fmt);
    msg = format(fmt, ap);
    va_end(ap);
    return make(code, 0, msg);
}

/* "text: No such file or directory", taking text. */
static char *with_errno(char *text, int errnum)
{
    char reason[128];
    char *msg = mem_printf("%s: %s", text, strerror_r(errnum, reason, sizeof(reason)));

    mem_free(text);
    return msg;
}

struct err *err_errno(enum err_code code, const char *fmt, ...)
{
    int errnum = errno;
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap);
    va_end(ap);
    return make(code, errnum, with_errno(text, errnum));
}

struct err *err_errnum(enum err_code code, int errnum, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = format(fmt, ap);
    va_end(ap);
    return make(code, errnum, with_errno(text, errnum));
}

struct err *err_wrap(struct err *e, const char *fmt, ...)
{
    va_list ap;
    char *context, *msg;

    if (!e)
        return NULL;
    va_start(ap, fmt);
    context = format(fmt, ap);
    va_end(ap);
    msg = mem_printf("%s: %s", context, e->msg);
    mem_free(context);
    mem_free(e->msg);
    e->msg = msg;
    return e;
}

struct err *err_first(struct err *first, struct err *second)
{
    if (!first)
        return second;
    err_free(second);
    return first;
}

struct err *err_copy(const struct err *e)
{
    return e ? make(e->code, e->errnum, mem_strdup(e->msg)) : NULL;
}

void err_free(struct err *e)
{
    if (!e)
        return;
    mem_free(e->msg);
    mem_free(e);
}

enum err_code err_code(const struct err *e)
{
    return e->code;
}

bool err_is(const struct err *e, enum err_code code)
{
    return e && e->code == code;
}

int err_errnum_of(const struct err *e)
{
    return e->errnum;
}

const char *err_msg(const struct err *e)
{
    return e->msg;
}

const char *err_code_name(enum err_code code)
{
    switch (code) {
#define X(sym, name, http, num)                                                                    \
    case sym:                                                                                      \
        return name;
        ERR_CODES(X)
#undef X
    }
    return "internal";
}

int err_code_http(enum err_code code)
{
    switch (code) {
#define X(sym, name, http, num)                                                                    \
    case sym:                                                                                      \
        return http;
        ERR_CODES(X)
#undef X
    }
    return 500;
}

enum err_code err_code_from_wire(uint32_t num)
{
    switch (num) {
#define X(sym, name, http, n)                                                                      \
    case n:                                                                                        \
        return sym;
        ERR_CODES(X)
#undef X
    }
    return ERR_INTERNAL;
}
