#include <math.h>

#include "common/template/valuefmt.h"
#include "tests/unit/test.h"

static void check(const char *format, struct value v, const char *want)
{
    struct buf b = {0};

    valuefmt_printf(&b, slice_cstr(format), &v, 1);
    test_check_str(buf_slice(&b), slice_cstr(want), format, __FILE__, __LINE__);
    buf_done(&b);
}

TEST(valuefmt_formats_integers)
{
    check("%d|", value_int(-42), "-42|");
    check("%+5d|%%", value_int(42), "  +42|%");
    check("%-5d|", value_int(42), "42   |");
    check("%05d", value_int(-42), "-0042");
    check("%.4d", value_int(42), "0042");
    check("%#x", value_int(255), "0xff");
    check("%X", value_int(255), "FF");
    check("%o", value_int(8), "10");
    check("%b", value_int(5), "101");
    check("%c", value_int(0x65e5), "日");
    check("%q", value_int('x'), "'x'");
    check("%U", value_int(0x65e5), "U+65E5");
}

TEST(valuefmt_formats_floats)
{
    check("%v", value_float(1e6), "1e+06");
    check("%.2f", value_float(1.005), "1.00");
    check("%8.3f|", value_float(3.14159), "   3.142|");
    check("%08.3f", value_float(-3.14159), "-003.142");
    check("%e", value_float(123456), "1.234560e+05");
    check("%g", value_float(1e21), "1e+21");
    check("%v", value_float((double)INFINITY), "+Inf");
    check("%v", value_float((double)-INFINITY), "-Inf");
    check("%6v|", value_float((double)NAN), "   NaN|");
    check("%#g", value_float(1), "1.00000");
    check("%x", value_float(1), "0x1p+00");
}

TEST(valuefmt_formats_strings_and_containers)
{
    struct value items[] = {value_int(1), value_string(SLICE("a")), value_nil()};

    check("%q", value_string(SLICE("a\"b\n")), "\"a\\\"b\\n\"");
    check("%#q", value_string(SLICE("ab")), "`ab`");
    check("%x", value_string(SLICE("hi")), "6869");
    check("% X", value_string(SLICE("hi")), "68 69");
    check("%5.1s|", value_string(SLICE("日本")), "    日|");
    check("%v", value_list(items, 3), "[1 a <nil>]");
    check("%d", value_list(items, 3), "[1 %!d(string=a) <nil>]");
    check("%#v", value_list(items, 2), "[]interface {}{1, \"a\"}");
    check("%T", value_list(items, 3), "[]interface {}");
    check("%t", value_bool(true), "true");
}

TEST(valuefmt_says_what_is_wrong)
{
    struct value two[] = {value_int(1), value_string(SLICE("x"))};
    struct buf b = {0};

    check("%d", value_string(SLICE("x")), "%!d(string=x)");
    check("%z", value_int(1), "%!z(int=1)");
    check("%d %d", value_int(1), "1 %!d(MISSING)");
    check("x", value_int(1), "x%!(EXTRA int=1)");
    check("%", value_int(1), "%!(NOVERB)%!(EXTRA int=1)");
    check("%[2]d", value_int(1), "%!d(BADINDEX)");
    check("%d", value_nil(), "%!d(<nil>)");
    check("%s", value_int(3), "%!s(int=3)");
    valuefmt_printf(&b, SLICE("%[2]v %[1]v"), two, 2);
    CHECK_SLICE(buf_slice(&b), "x 1");
    buf_done(&b);
}

TEST(valuefmt_print_puts_spaces_where_go_does)
{
    struct value v[] = {value_int(1), value_int(2), value_string(SLICE("a")), value_int(3)};
    struct buf b = {0};

    valuefmt_print(&b, v, 4);
    CHECK_SLICE(buf_slice(&b), "1 2a3");
    buf_reset(&b);
    valuefmt_println(&b, v, 4);
    CHECK_SLICE(buf_slice(&b), "1 2 a 3\n");
    buf_done(&b);
}

TEST(valuefmt_latches_on_values_nested_too_deep)
{
    struct value v[VALUEFMT_MAX_DEPTH + 10];
    struct buf b = {0};

    v[0] = value_int(1);
    for (size_t i = 1; i < ORR_COUNT(v); i++)
        v[i] = value_list(&v[i - 1], 1);
    valuefmt_value(&b, &v[ORR_COUNT(v) - 1]);
    CHECK(!buf_ok(&b));
    buf_done(&b);
}
