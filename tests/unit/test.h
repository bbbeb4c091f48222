/*
 * Unit tests on cmocka. A test file holds TESTs and nothing else that is not static:
 *
 *     TEST(segment_refuses_an_existing_file)
 *     {
 *         CHECK_OK(segment_create(tmp_path("seg"), 1, &seg));
 *         CHECK(...);
 *     }
 *
 * tests/unit/test_main.c collects and runs them; with arguments, only those whose name contains
 * one of them. Each test has its own temporary directory, removed when the test passes.
 */
#pragma once
/* cmocka.h needs these first, in this order. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/fault.h"
#include "common/base/mem.h"

typedef void test_fn(void);
void test_register(const char *name, test_fn *fn);

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void test_register_##name(void)                            \
    {                                                                                              \
        test_register(#name, test_##name);                                                         \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "CHECK(%s)", #cond);                                     \
    } while (0)
/* An expression of type struct err * that must be NULL. */
#define CHECK_OK(expr) test_check_ok((expr), #expr, __FILE__, __LINE__)
/* One that must fail with this code, and whose message must contain text ("" for any). */
#define CHECK_ERR(expr, code, text)                                                                \
    test_check_err((expr), (code), (text), #expr, __FILE__, __LINE__)
#define CHECK_INT(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            test_fail(__FILE__, __LINE__, "%s is %lld, not %s = %lld", #a, a_, #b, b_);            \
    } while (0)
#define CHECK_STR(a, b) test_check_str(slice_cstr(a), slice_cstr(b), #a, __FILE__, __LINE__)
#define CHECK_SLICE(s, cstr) test_check_str((s), slice_cstr(cstr), #s, __FILE__, __LINE__)

ORR_NORETURN void test_fail(const char *file, int line, const char *fmt, ...) ORR_PRINTF(3, 4);
void test_check_ok(struct err *e, const char *expr, const char *file, int line);
void test_check_err(struct err *e, enum err_code code, const char *text, const char *expr,
                    const char *file, int line);
void test_check_str(struct slice got, struct slice want, const char *expr, const char *file,
                    int line);
/* A path in this test's temporary directory; valid until the test ends. "" is the directory. */
const char *tmp_path(const char *name);
