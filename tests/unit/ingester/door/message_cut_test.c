#include "ingester/door/message_cut.h"
#include "tests/unit/test.h"

static void take(void *arg, struct slice m)
{
    buf_printf(arg, "|%.*s", SLICE_ARG(m));
}

/* The messages of a stream that comes in pieces of so many bytes, each behind a bar; then how many
 * were dropped and cut. */
static void check_pieces(const struct message_cut_opts *opts, struct slice s, size_t piece,
                         const char *want)
{
    struct message_cut c;
    struct buf got = {0};

    message_cut_init(&c, opts);
    for (size_t at = 0; at < s.len; at += piece)
        message_cut_put(&c, slice_sub(s, at, ORR_MIN(piece, s.len - at)), take, &got);
    buf_byte(&got, '/');
    message_cut_end(&c, take, &got);
    buf_printf(&got, " %llu %llu", (unsigned long long)c.dropped, (unsigned long long)c.cut);
    CHECK_STR(buf_cstr(&got), want);
    message_cut_done(&c);
    buf_done(&got);
}

static void check(const struct message_cut_opts *opts, struct slice s, const char *want)
{
    for (size_t piece = 1; piece <= s.len + 1; piece++)
        check_pieces(opts, s, piece, want);
}

TEST(message_cut_finds_both_framings_of_syslog)
{
    struct message_cut_opts o = {MESSAGE_SYSLOG, 20, false};

    check(&o, SLICE("<1>a\n<1>b\n\n<1>c"), "|<1>a|<1>b/|<1>c 0 0");
    check(&o, SLICE("5 <1>a\n4 <1>b2 <"), "|<1>a\n|<1>b/ 1 0");
    check(&o, SLICE("5 <1>a\n4 <1>b2 <1>"), "|<1>a\n|<1>b|<1/|> 0 0");
    check(&o,
          SLICE("5 <1>a\n\n<1>x\0"
                "4 <1>b\n4 <1>"),
          "|<1>a\n|<1>x|<1>b/ 1 0");
    /* numbers that count nothing */
    check(&o, SLICE("2026 text\n12\n1234567890 <1>\n0 <1>\n"),
          "|2026 text|12|1234567890 <1>|0 <1>/ 0 0");
    check(&o, SLICE("12"), "/|12 0 0");
    check(&o, SLICE("12 "), "/|12  0 0");
    check(&o, SLICE(""), "/ 0 0");
}

/* Else who sends byte by byte has all that came looked at again for each. */
TEST(message_cut_looks_at_each_byte_once)
{
    struct message_cut_opts o = {MESSAGE_SYSLOG, 20, false};
    struct message_cut c;
    struct buf got = {0};

    message_cut_init(&c, &o);
    message_cut_put(&c, SLICE("<1>ab"), take, &got);
    CHECK_INT(c.looked, 5);
    message_cut_put(&c, SLICE("c"), take, &got);
    CHECK_INT(c.looked, 6);
    message_cut_put(&c, SLICE("d\n<2>e"), take, &got);
    CHECK_INT(c.looked, 4);
    message_cut_put(&c, SLICE("\n"), take, &got);
    CHECK_INT(c.looked, 0);
    CHECK_INT(c.in.len, 0);
    CHECK_STR(buf_cstr(&got), "|<1>abcd|<2>e");
    message_cut_done(&c);
    buf_done(&got);
}

TEST(message_cut_passes_over_what_is_too_long)
{
    struct message_cut_opts o = {MESSAGE_SYSLOG, 8, false};

    check(&o, SLICE("<1>45678\n<1>456789\n<1>x\n"), "|<1>45678|<1>x/ 1 0");
    check(&o, SLICE("8 <1>456789 <1>4567894 <1>x"), "|<1>45678|<1>x/ 1 0");
    check(&o, SLICE("99999999 <1>456789\n<1>x\n"), "/ 1 0"); /* all of it is still that one */
    o.truncates = true;
    check(&o, SLICE("<1>45678\n<1>456789012\n<1>x\n"), "|<1>45678|<1>45678|<1>x/ 0 1");
    check(&o, SLICE("12 <1>4567890124 <1>x"), "|<1>45678|<1>x/ 0 1");
    check(&o, SLICE("<1>4567890"), "|<1>45678/ 0 1");
}

TEST(message_cut_at_nuls)
{
    struct message_cut_opts o = {MESSAGE_NUL, 8, false};

    check(&o,
          SLICE("{\n}\0"
                "5 <1>\0\0{}\0"
                "123456789\0x"),
          "|{\n}|5 <1>|{}/|x 1 0");
}
