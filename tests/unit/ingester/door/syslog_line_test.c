#include "ingester/door/syslog_line.h"
#include "tests/unit/ingester/door/log_text.h"

static struct err *decode(struct log_builder *b, const void *arg)
{
    return syslog_line_add(b, slice_cstr(arg));
}

static void check(const char *message, const char *want)
{
    log_text_check(log_text(decode, message, NULL), want);
}

TEST(syslog_line_reads_rfc5424)
{
    check("<165>1 2026-01-01T00:00:00.003Z host app 42 ID47 [id@1 k=\"v\\\"]\\\\\" n=\"2\"][b "
          "x=\"\"] "
          "\xef\xbb\xbfthe text",
          "{app=\"app\", facility=\"local4\", host=\"host\", job=\"syslog\", severity=\"notice\"}\n"
          "  @1767225600003000000 the text {b_x=\"\", id_1_k=\"v\\\"]\\\\\", id_1_n=\"2\", "
          "msgid=\"ID47\", "
          "procid=\"42\"}\n");
    check("<0>1 - - - - - -", "{facility=\"kern\", job=\"syslog\", severity=\"emerg\"}\n"
                              "  @1767225600000000000 \n");
    check("<14>1 - - - - - [not closed text",
          "{facility=\"user\", job=\"syslog\", severity=\"info\"}\n"
          "  @1767225600000000000 [not closed text\n");
}

TEST(syslog_line_reads_what_is_called_rfc3164)
{
    check("<34>Dec 31 22:14:15 mymachine su[230]: 'su root' failed\n",
          "{app=\"su\", facility=\"auth\", host=\"mymachine\", job=\"syslog\", severity=\"crit\"}\n"
          "  @1767219255000000000 'su root' failed {procid=\"230\"}\n");
    check("<13>Jan  1 00:00:01 h app: x",
          "{app=\"app\", facility=\"user\", host=\"h\", job=\"syslog\", severity=\"notice\"}\n"
          "  @1767225601000000000 x\n");
    check("<13>2026-01-01T01:00:00+01:00 h app: x",
          "{app=\"app\", facility=\"user\", host=\"h\", job=\"syslog\", severity=\"notice\"}\n"
          "  @1767225600000000000 x\n");
    check("<13>app: no time",
          "{app=\"app\", facility=\"user\", job=\"syslog\", severity=\"notice\"}\n"
          "  @1767225600000000000 no time\n");
    check("no priority", "{facility=\"user\", job=\"syslog\", severity=\"notice\"}\n"
                         "  @1767225600000000000 no priority\n");
    check("<192>x", "{facility=\"user\", job=\"syslog\", severity=\"notice\"}\n"
                    "  @1767225600000000000 <192>x\n");
    check("", "{facility=\"user\", job=\"syslog\", severity=\"notice\"}\n"
              "  @1767225600000000000 \n");
}
