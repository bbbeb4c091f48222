#include "ingester/door/influx_line.h"
#include "ingester/door/influx_write.h"
#include "tests/unit/ingester/door/push_text.h"

static struct buf decode(const char *text, int64_t unit_ns, struct influx_write_result *result)
{
    return push_text(influx_write_decode,
                     &(struct influx_write){.unit_ns = unit_ns, .result = result},
                     slice_cstr(text));
}

TEST(influx_line_maps_fields_to_series)
{
    struct influx_write_result r;

    push_text_check(
        decode("# a comment\n\n"
               "cpu,host=a,region=eu usage=1.5,value=2i,idle=3u,on=T,off=false 5000000\n"
               "  disk free=1e3\r\n"
               "m.x,a-b=c\\ d 9f=1,note=\"a, b=\\\"c\\\"\n # d\" 7000000\n",
               1, &r),
        "cpu_usage{host=\"a\", region=\"eu\"} 1.5 @5\n"
        "cpu{host=\"a\", region=\"eu\"} 2 @5\n"
        "cpu_idle{host=\"a\", region=\"eu\"} 3 @5\n"
        "cpu_on{host=\"a\", region=\"eu\"} 1 @5\n"
        "cpu_off{host=\"a\", region=\"eu\"} 0 @5\n"
        "disk_free 1000 @1700000000000\n"
        "m_x_9f{a_b=\"c d\"} 1 @7\n");
    CHECK_INT(r.points, 3);
    CHECK_INT(r.strings, 1);
    CHECK_INT(r.bad, 0);
}

TEST(influx_line_goes_on_behind_a_bad_line)
{
    static const char *const bad[] = {"cpu",
                                      "cpu,host=a",
                                      "cpu x",
                                      "cpu x=",
                                      ",a=b x=1",
                                      "cpu,=b x=1",
                                      "cpu,a= x=1",
                                      "cpu,a x=1",
                                      "cpu x=1 y",
                                      "cpu x=1 1 2",
                                      "cpu x=1.5i",
                                      "cpu x=-1u",
                                      "cpu x=nan",
                                      "cpu x=inf",
                                      "cpu x=1_0",
                                      "cpu x=0x1p4",
                                      "cpu x=1,",
                                      "cpu =1",
                                      "cpu,a=b=c x=1",
                                      "cpu x=tRUE",
                                      "cpu x=1 99999999999999999999999",
                                      "cpu x=9223372036854775808i"};
    char text[256];

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct influx_write_result r;

        (void)snprintf(text, sizeof(text), "a value=1 1000000\n%s\nb value=2 1000000\n", bad[i]);
        push_text_check(decode(text, 1, &r), "a 1 @1\nb 2 @1\nrefused malformed_line: 1\n");
        CHECK_INT(r.bad_line, 2);
        CHECK(r.bad == 1 && r.bad_why);
    }
}

TEST(influx_line_knows_where_lines_are_behind_texts)
{
    struct influx_write_result r;
    struct buf got = decode("a s=\"1\n2\n\"\nbad\n", 1, &r);

    CHECK_INT(r.bad_line, 4);
    buf_done(&got);
}

TEST(influx_line_ends_an_unclosed_text_with_its_line)
{
    static const char *const bad[] = {"i f=\"unclosed", "i f=1,s=\"", "i f=\"x\" \"", "i s=\"\\\""};
    struct influx_write_result r;
    char text[256];

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        (void)snprintf(text, sizeof(text),
                       "a value=1 1000000\n%s\nb value=2 1000000\nc s=\"x\",value=3 1000000\nbad\n",
                       bad[i]);
        push_text_check(decode(text, 1, &r), "a 1 @1\nb 2 @1\nc 3 @1\nrefused malformed_line: 2\n");
        CHECK_INT(r.bad_line, 2);
        CHECK_INT(r.bad, 2);
    }
}

/* Each of these lines leads into the next before it is found to be bad. */
TEST(influx_line_reads_again_within_bounds)
{
    struct buf text = {0};
    struct arena *a = arena_new(0);
    struct influx_line p;
    enum influx_item item;
    size_t bad = 0;

    for (int i = 0; i < 1000; i++)
        buf_str(&text, "i f=\"x\n");
    influx_line_init(&p, a, buf_slice(&text));
    while ((item = influx_line_next(&p)) != INFLUX_END)
        bad += item == INFLUX_BAD;
    CHECK_INT(bad, 1000);
    CHECK(p.reread_bytes > 0 && p.reread_bytes <= INFLUX_MAX_REREAD * text.len);
    CHECK_INT(p.line, 1000);
    arena_free(a);
    buf_done(&text);
}

TEST(influx_line_unescapes_only_what_is_special)
{
    push_text_check(decode("a\\,b\\ c\\=d,t\\=a\\,g=v\\ w\\\\x f\\ g=1 1000000\n", 1, NULL),
                    "a_b_c__d_f_g{t_a_g=\"v w\\\\\\\\x\"} 1 @1\n");
}

TEST(influx_line_counts_time_in_any_unit)
{
    static const struct {
        const char *unit;
        int64_t time, ms;
    } cases[] = {{"ns", 1999999, 1}, {"u", 5999, 5},    {"ms", 7, 7},   {"s", 3, 3000},
                 {"m", 2, 120000},   {"h", 1, 3600000}, {"ns", -1, -1}, {"", 1000000, 1}};
    int64_t ns, ms;

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        CHECK(influx_line_precision(slice_cstr(cases[i].unit), &ns));
        CHECK(influx_line_to_ms(cases[i].time, ns, &ms));
        CHECK_INT(ms, cases[i].ms);
    }
    CHECK(!influx_line_precision(SLICE("d"), &ns));
    CHECK(!influx_line_to_ms(INT64_MAX, 1000000000, &ms));
}
