/*
 * Compiler attributes and the two asserts.
 *
 * ORR_ASSERT() is for our own bugs and stays on in release. Bytes from a peer, a disk or a user
 * never reach it unchecked: those are answered with an error.
 */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORR_CHECKED __attribute__((warn_unused_result))
#define ORR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define ORR_LIKELY(x) __builtin_expect(!!(x), 1)
#define ORR_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Never returns NULL: tells gcc that `if ((e = err_new(...)))` is taken. */
#define ORR_NONNULL __attribute__((returns_nonnull))
#define ORR_NORETURN __attribute__((noreturn))

#define ORR_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ORR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ORR_MAX(a, b) ((a) > (b) ? (a) : (b))
/* The object that holds member at ptr. */
#define ORR_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define ORR_ASSERT(cond)                                                                           \
    (ORR_LIKELY(cond) ? (void)0 : attr_assert_failed(#cond, __FILE__, __LINE__))

/* Writes one line to stderr and aborts. */
ORR_NORETURN void attr_assert_failed(const char *cond, const char *file, int line);
