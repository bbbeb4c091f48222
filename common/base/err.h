/*
 * The only error type. NULL is success.
 *
 * An error has a code (what a caller may act on), a message (what a person reads, outside in:
 * "push tenant=a: append to wal: write: No space left on device"), and the errno it came from.
 * Whoever receives one either returns it or ends it: replies or logs, then err_free().
 *
 * Owner: whoever holds the pointer. Not shared between threads; may be moved to another one.
 */
#pragma once
#include "common/base/attr.h"

/* X(symbol, name, HTTP status, rpc-stable number). Numbers are on the wire: never reuse one. */
#define ERR_CODES(X)                                                                               \
    X(ERR_INTERNAL, "internal", 500, 1)   /* our own bug or an impossible state */                 \
    X(ERR_INVALID, "invalid", 400, 2)     /* malformed input */                                    \
    X(ERR_LIMIT, "limit", 422, 3)         /* over a budget or limit of tenant or query */          \
    X(ERR_RATE, "rate", 429, 4)           /* too fast; retry later */                              \
    X(ERR_NOT_FOUND, "not_found", 404, 5) /* names a thing that is not there */                    \
    X(ERR_UNAVAILABLE, "unavailable", 503,                                                         \
      6)                                 /* try again or elsewhere; no quorum, shutting down */    \
    X(ERR_TIMEOUT, "timeout", 504, 7)    /* deadline passed */                                     \
    X(ERR_CANCELED, "canceled", 499, 8)  /* the asker went away */                                 \
    X(ERR_IO, "io", 503, 9)              /* disk or object store */                                \
    X(ERR_NET, "net", 503, 10)           /* connection refused, reset, closed */                   \
    X(ERR_CORRUPT, "corrupt", 500, 11)   /* stored bytes fail a checksum or their format */        \
    X(ERR_CONFLICT, "conflict", 409, 12) /* version or precondition does not hold */               \
    X(ERR_UNAUTHORIZED, "unauthorized", 401, 13)                                                   \
    X(ERR_FORBIDDEN, "forbidden", 403, 14)                                                         \
    X(ERR_TOO_LARGE, "too_large", 413, 15)     /* body or message over its size bound */           \
    X(ERR_UNSUPPORTED, "unsupported", 422, 16) /* valid, but Orrery does not do it (yet) */        \
    X(ERR_MEDIA_TYPE, "media_type", 415, 17)                                                       \
    X(ERR_EXEC, "execution", 422, 18) /* a query failed while running */                           \
    X(ERR_METHOD, "method", 405, 19)

enum err_code {
#define X(sym, name, http, num) sym = num,
    ERR_CODES(X)
#undef X
};

struct err;

ORR_CHECKED ORR_NONNULL struct err *err_new(enum err_code code, const char *fmt, ...)
    ORR_PRINTF(2, 3);
/* As err_new, and appends ": " and the text of the current errno, which it keeps. */
ORR_CHECKED ORR_NONNULL struct err *err_errno(enum err_code code, const char *fmt, ...)
    ORR_PRINTF(2, 3);
/* Same with an explicit errno (io_uring results, pthread calls). */
ORR_CHECKED ORR_NONNULL struct err *err_errnum(enum err_code code, int errnum, const char *fmt, ...)
    ORR_PRINTF(3, 4);
/* Puts "context: " in front. Takes e, returns it. NULL stays NULL. */
ORR_CHECKED struct err *err_wrap(struct err *e, const char *fmt, ...) ORR_PRINTF(2, 3);
/* Keeps the first that is not NULL, frees the other. */
ORR_CHECKED struct err *err_first(struct err *first, struct err *second);
/* A copy owned by the caller (NULL for NULL). */
ORR_CHECKED struct err *err_copy(const struct err *e);
void err_free(struct err *e);

enum err_code err_code(const struct err *e);
bool err_is(const struct err *e, enum err_code code); /* false for NULL */
int err_errnum_of(const struct err *e);               /* 0 if it came from no system call */
/* NUL-terminated, lent until the error is wrapped or freed. */
const char *err_msg(const struct err *e);
const char *err_code_name(enum err_code code);
int err_code_http(enum err_code code);
/* The code with this wire number, ERR_INTERNAL if there is none. */
enum err_code err_code_from_wire(uint32_t num);
