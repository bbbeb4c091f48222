#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "tests/unit/test.h"

static struct buf lines;

static void keep(void *arg, struct slice line)
{
    (void)arg;
    buf_slice_append(&lines, line);
    buf_byte(&lines, '\n');
}

static void start(enum log_format f)
{
    buf_reset(&lines);
    log_set_format(f);
    log_set_sink(keep, NULL);
}

/* The lines so far, without their time stamp. */
static const char *stop(void)
{
    const char *text = buf_cstr(&lines), *at;

    log_set_sink(NULL, NULL);
    log_set_format(LOG_LOGFMT);
    at = strstr(text, "Z");
    return at ? at + 1 : "";
}

TEST(log_logfmt_quotes_only_where_needed)
{
    struct err *e = err_new(ERR_IO, "write: disk \"a\" is full");

    start(LOG_LOGFMT);
    LOG_WARN(wal, "segment truncated", KV_STR("path", "/data/wal-1"), KV_U64("offset", 96),
             KV_I64("count", -5), KV_F64("value", 0.25), KV_BOOL("state", true),
             KV_STR("reason", ""), KV_STR("key", "a=b"), KV_STR("role", NULL),
             KV_SLICE("peer", SLICE("tab\there\x01\xff")), KV_ERR(e), KV_ERR(NULL));
    CHECK_STR(stop(), " level=warn module=wal msg=\"segment truncated\" path=/data/wal-1 offset=96 "
                      "count=-5 value=0.25 state=true reason=\"\" key=\"a=b\" role=\"\" "
                      "peer=\"tab\\there\\u0001\\ufffd\" "
                      "err=\"write: disk \\\"a\\\" is full\"\n");
    err_free(e);
    buf_done(&lines);
}

TEST(log_json_is_json)
{
    start(LOG_JSON);
    LOG_ERROR(main, "it broke", KV_STR("path", "a\"b"), KV_F64("value", NAN), KV_U64("count", 1));
    CHECK_STR(stop(), "\",\"level\":\"error\",\"module\":\"main\",\"msg\":\"it broke\",\"path\":"
                      "\"a\\\"b\",\"value\":\"NaN\",\"count\":1}\n");
    CHECK(strncmp((char *)lines.ptr, "{\"ts\":\"20", 9) == 0);
    buf_done(&lines);
}

TEST(log_time_is_rfc3339_utc_with_milliseconds)
{
    static const char shape[] = "ts=dddd-dd-ddTdd:dd:dd.dddZ level=";

    start(LOG_LOGFMT);
    LOG_INFO(main, "now");
    (void)stop();
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] == 'd' && i < 26)
            CHECK(isdigit(lines.ptr[i]));
        else
            CHECK_INT(lines.ptr[i], shape[i]);
    }
    buf_done(&lines);
}

TEST(log_cuts_a_long_value_and_says_so)
{
    struct buf value = {0};

    buf_fill(&value, 'x', LOG_VALUE_MAX_BYTES - 1);
    buf_str(&value, "\xc2\xb5yy"); /* the cut would go through the first character */
    start(LOG_LOGFMT);
    LOG_INFO(main, "long", KV_SLICE("value", buf_slice(&value)));
    CHECK(strstr(stop(), "x... (4 more bytes)\"\n"));
    buf_done(&value);
    buf_done(&lines);
}

TEST(log_levels_are_per_module)
{
    struct buf spec = {0};

    CHECK_OK(log_set_level("warn, wal=debug,rpc=error"));
    log_get_level(&spec);
    CHECK_STR(buf_cstr(&spec), "warn,rpc=error,wal=debug");
    start(LOG_LOGFMT);
    LOG_DEBUG(wal, "seen");
    LOG_INFO(main, "not seen");
    LOG_WARN(rpc, "not seen");
    LOG_WARN(main, "seen too");
    CHECK(strstr(stop(), "module=wal msg=seen\n"));
    CHECK(strstr(buf_cstr(&lines), "module=main msg=\"seen too\"\n"));
    CHECK(!strstr(buf_cstr(&lines), "not seen"));
    /* A bad spec changes nothing. */
    CHECK_ERR(log_set_level("info,wall=debug"), ERR_INVALID, "unknown log module \"wall\"");
    CHECK_ERR(log_set_level("debug,wal=loud"), ERR_INVALID, "unknown log level \"loud\"");
    CHECK_ERR(log_set_level(""), ERR_INVALID, "unknown log level");
    buf_reset(&spec);
    log_get_level(&spec);
    CHECK_STR(buf_cstr(&spec), "warn,rpc=error,wal=debug");
    CHECK_OK(log_set_level("info"));
    buf_done(&spec);
    buf_done(&lines);
}

TEST(log_repeats_of_a_site_are_left_out_and_counted)
{
    struct log_site site = {0};
    uint64_t dropped = log_lines_dropped(), written = log_lines(LOG_INFO_LEVEL);
    size_t shown = 0;

    start(LOG_LOGFMT);
    for (int i = 0; i < 1000; i++)
        log_write(&site, LOG_INFO_LEVEL, LOG_MODULE_main, "again", NULL, 0);
    (void)stop();
    for (size_t i = 0; i < lines.len; i++)
        shown += lines.ptr[i] == '\n';
    CHECK(shown >= LOG_REPEATS_PER_S && shown < 1000);
    CHECK_INT(log_lines(LOG_INFO_LEVEL) - written, shown);
    CHECK_INT(log_lines_dropped() - dropped, 1000 - shown);
    /* A second later. */
    site.second--;
    site.dropped = 987;
    start(LOG_LOGFMT);
    log_write(&site, LOG_INFO_LEVEL, LOG_MODULE_main, "again", NULL, 0);
    CHECK_STR(stop(), " level=info module=main msg=again dropped_repeats=987\n");
    buf_done(&lines);
}

TEST(log_writes_to_stderr_a_line_at_a_time)
{
    const char *path = tmp_path("log");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), saved = dup(STDERR_FILENO);
    struct buf text = {0};

    CHECK(dup2(fd, STDERR_FILENO) >= 0);
    errno = ENOENT;
    LOG_INFO(main, "to stderr", KV_STR("role", "test"));
    CHECK_INT(errno, ENOENT);
    CHECK(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fd);
    CHECK_OK(fsx_read(path, 4096, &text));
    CHECK(strstr(buf_cstr(&text), " level=info module=main msg=\"to stderr\" role=test\n"));
    buf_done(&text);
}

/* ---- the tree's field names ---- */

struct names {
    struct map known;
    struct buf unknown;
};

/* Names in x("name" of text that follows one of the macros. */
static void check_fields(struct names *names, const char *path, struct slice text,
                         const char *macro)
{
    struct slice needle = slice_cstr(macro);

    for (ptrdiff_t at = 0; (at = slice_find(text, needle, (size_t)at)) >= 0;) {
        size_t from = (size_t)at + needle.len;
        ptrdiff_t end = slice_find_byte(text, '"', from);

        at = (ptrdiff_t)from;
        if (end < 0)
            return;
        struct slice name = slice_sub(text, from, (size_t)end - from);

        if (!map_has(&names->known, name))
            buf_printf(&names->unknown, "%s: %.*s\n", path, SLICE_ARG(name));
    }
}

static void check_file(struct names *names, const char *path)
{
    static const char *const macros[] = {"KV_STR(\"",        "KV_SLICE(\"", "KV_I64(\"",
                                         "KV_U64(\"",        "KV_F64(\"",   "KV_BOOL(\"",
                                         "log_set_common(\""};
    struct buf text = {0};

    CHECK_OK(fsx_read(path, 4 << 20, &text));
    for (size_t i = 0; i < ORR_COUNT(macros); i++)
        check_fields(names, path, buf_slice(&text), macros[i]);
    buf_done(&text);
}

static void check_tree(struct names *names, const char *dir)
{
    char **entries;
    size_t n;

    CHECK_OK(fsx_list(dir, &entries, &n));
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", dir, entries[i]);
        struct slice name = slice_cstr(entries[i]);
        int fd = open(path, O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0) {
            close(fd);
            check_tree(names, path);
        } else if (slice_has_suffix(name, SLICE(".c")) || slice_has_suffix(name, SLICE(".cc"))) {
            check_file(names, path);
        }
        mem_free(path);
    }
    fsx_names_free(entries, n);
}

TEST(log_fields_of_the_whole_tree_are_in_log_fields_def)
{
    static const char *const dirs[] = {"common", "ingester",     "querier", "compactor",
                                       "ruler",  "alertmanager", "deploy"};
    struct names names = {0};

#define FIELD(name, help) map_put(&names.known, SLICE(#name), &names);
#include "common/base/log_fields.def"
#undef FIELD
    CHECK(fsx_exists("common/base/log_fields.def")); /* the tests run from the root of the tree */
    for (size_t i = 0; i < ORR_COUNT(dirs); i++)
        check_tree(&names, dirs[i]);
    CHECK_STR(buf_cstr(&names.unknown), "");
    map_done(&names.known);
    buf_done(&names.unknown);
}
