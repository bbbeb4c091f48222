#include <fcntl.h>
#include <unistd.h>

#include "common/base/conf.h"
#include "common/base/fsx.h"
#include "tests/unit/test.h"

enum mode { MODE_FAST, MODE_SAFE };

struct ingester_config {
    int64_t chunk_age_ns, wal_bytes, shards;
    double ratio;
    bool is_enabled;
    char *dir, *password;
    int mode; /* enum mode */
    struct conf_list signals;
};

static const struct conf_field ingester_fields[] = {
    CONF_DURATION(struct ingester_config, chunk_age_ns, "chunk-age", "15m", "1s", "24h",
                  CONF_RELOAD, "Age at which an open chunk is cut."),
    CONF_BYTES(struct ingester_config, wal_bytes, "wal-bytes", "64MiB", "1MiB", NULL, CONF_FIXED,
               "Size of a segment."),
    CONF_INT(struct ingester_config, shards, "shards", "0", "0", "128", CONF_FIXED,
             "Shards of a head."),
    CONF_FLOAT(struct ingester_config, ratio, "ratio", "0.5", "0", "1", CONF_RELOAD,
               "Share of something."),
    CONF_BOOL(struct ingester_config, is_enabled, "enabled", "false", CONF_RELOAD, "Whether to."),
    CONF_STRING(struct ingester_config, dir, "dir", "./data", CONF_FIXED, "Where data is kept."),
    CONF_STRING(struct ingester_config, password, "password", "", CONF_RELOAD | CONF_SECRET,
                "What opens the door."),
    CONF_ENUM(struct ingester_config, mode, "mode", "safe", "fast|safe", CONF_RELOAD, "How."),
    CONF_LIST(
        struct ingester_config, signals, "signals", "metrics,logs", CONF_RELOAD,
        "What is taken in. This help text is long enough that it must be wrapped at a hundred "
        "columns by whoever prints it."),
};
static const struct conf_section ingester_section = {"ingester", "Settings of orrery-ingester.",
                                                     sizeof(struct ingester_config),
                                                     ingester_fields, ORR_COUNT(ingester_fields)};

struct net_config {
    int64_t port;
};
static const struct conf_field net_fields[] = {
    CONF_INT(struct net_config, port, "http-port", "9009", "0", "65535", CONF_FIXED, "Port."),
};
static const struct conf_section net_section = {"net", "Sockets.", sizeof(struct net_config),
                                                net_fields, ORR_COUNT(net_fields)};

static const struct conf_section *const sections[] = {&ingester_section, &net_section};

static struct err *load_all(const char *yaml, char **env, char **flags, struct conf **ret)
{
    static const char *const foreign[] = {"ruler", NULL};
    struct conf_source src = {sections, ORR_COUNT(sections), NULL, env, flags, foreign};

    return conf_load_text(&src, "o.yaml", slice_cstr(yaml), ret);
}

static struct err *load(const char *yaml)
{
    struct conf *c = NULL;
    struct err *e = load_all(yaml, NULL, NULL, &c);

    conf_unref(c);
    return e;
}

static struct err *load_env(char *variable)
{
    struct conf *c = NULL;
    struct err *e = load_all("", (char *[]){variable, NULL}, NULL, &c);

    conf_unref(c);
    return e;
}

static struct err *load_flag(char *flag)
{
    struct conf *c = NULL;
    struct err *e = load_all("", NULL, (char *[]){flag, NULL}, &c);

    conf_unref(c);
    return e;
}

#define TEXT(literal) ((char[]){literal})

TEST(conf_starts_from_the_defaults)
{
    const struct ingester_config *i;
    struct conf *c;

    CHECK_OK(load_all("", NULL, NULL, &c));
    i = conf_section(c, "ingester");
    CHECK_INT(i->chunk_age_ns, 15ll * 60 * 1000000000);
    CHECK_INT(i->wal_bytes, 64 << 20);
    CHECK(i->ratio > 0.49 && i->ratio < 0.51 && !i->is_enabled);
    CHECK_STR(i->dir, "./data");
    CHECK_STR(i->password, "");
    CHECK_INT(i->mode, MODE_SAFE);
    CHECK_INT(i->signals.n, 2);
    CHECK_STR(i->signals.items[1], "logs");
    CHECK_INT(((const struct net_config *)conf_section(c, "net"))->port, 9009);
    conf_unref(c);
}

TEST(conf_later_sources_win)
{
    char *env[] = {TEXT("PATH=/bin"),
                   TEXT("ORRERY_INGESTER_CHUNK_AGE=2m"),
                   TEXT("ORRERY_INGESTER_SHARDS=7"),
                   TEXT("ORRERY_DATA=/x"),
                   TEXT("ORRERY_FAULT=a=EIO"),
                   NULL};
    char *flags[] = {TEXT("--ingester.shards=8"), TEXT("--ingester.enabled"),
                     TEXT("--ingester.signals=traces, profiles"), TEXT("--net.http_port=0"), NULL};
    const struct ingester_config *i;
    struct conf *c;

    CHECK_OK(load_all("ingester:\n  chunk_age: 1m\n  shards: 6\n  ratio: 1e-1\n  dir: \"\"\n"
                      "  signals: [logs]\n",
                      env, flags, &c));
    i = conf_section(c, "ingester");
    CHECK_INT(i->chunk_age_ns, 120ll * 1000000000);
    CHECK_INT(i->shards, 8);
    CHECK(i->ratio < 0.11 && i->is_enabled);
    CHECK_STR(i->dir, "");
    CHECK_INT(i->signals.n, 2);
    CHECK_STR(i->signals.items[1], "profiles");
    CHECK_INT(((const struct net_config *)conf_section(c, "net"))->port, 0);
    conf_unref(c);
}

TEST(conf_takes_sections_empty_and_keys_in_one_piece)
{
    CHECK_OK(load("# nothing\n"));
    CHECK_OK(load("ingester:\n  # chunk-age: 15m\nnet: ~\n"));
    CHECK_OK(load("ingester.chunk-age: 15m\n"));
    CHECK_OK(load("ingester:\n  signals:\n"
                  "    - logs\n    - traces\n"));
    CHECK_OK(load("ingester: {signals: []}\n"));
}

TEST(conf_refuses_unknown_keys_with_line_and_nearest)
{
    CHECK_ERR(load("net:\n  http-port: 1\ningester:\n  chunk-aeg: 5m\n"), ERR_INVALID,
              "o.yaml:4: unknown key ingester.chunk-aeg (did you mean ingester.chunk-age?)");
    CHECK_ERR(load("ingestr: {}\n"), ERR_INVALID,
              "o.yaml:1: unknown key ingestr (did you mean ingester?)");
    CHECK_ERR(load("\nchunk-age: 5m\n"), ERR_INVALID,
              "o.yaml:2: unknown key chunk-age (did you mean ingester.chunk-age?)");
    CHECK_ERR(load("net: {chunk_age: 5m}\n"), ERR_INVALID,
              "unknown key net.chunk_age (did you mean ingester.chunk-age?)");
    CHECK_ERR(load("ingester: {Chunk-Age: 5m}\n"), ERR_INVALID, "did you mean ingester.chunk-age?");
    CHECK_ERR(load_env(TEXT("ORRERY_INGESTER_CHUNK_AEG=5m")), ERR_INVALID,
              "unknown variable ORRERY_INGESTER_CHUNK_AEG (did you mean "
              "ORRERY_INGESTER_CHUNK_AGE?)");
    CHECK_ERR(load_flag(TEXT("--ingester.chunkage=5m")), ERR_INVALID,
              "unknown flag --ingester.chunkage (did you mean ingester.chunk-age?)");
    CHECK_ERR(load_flag(TEXT("ingester.chunk-age=5m")), ERR_INVALID, "is not a flag");
    /* Nothing is near: no guess. */
    struct err *e = load("zebra: 1\n");

    CHECK_STR(err_msg(e), "o.yaml:1: unknown key zebra");
    err_free(e);
}

TEST(conf_refuses_a_key_given_twice)
{
    char *twice[] = {TEXT("--net.http-port=1"), TEXT("--net.http_port=2"), NULL};
    struct conf *c = NULL;

    CHECK_ERR(load("net:\n  http-port: 1\n  http-port: 2\n"), ERR_INVALID,
              "o.yaml:3: duplicate key http-port (first on line 2)");
    CHECK_ERR(load("net:\n  http-port: 1\n  http_port: 2\n"), ERR_INVALID,
              "o.yaml:3: duplicate key net.http-port (first on line 2)");
    CHECK_ERR(load("net: {}\ningester: {}\nnet: {}\n"), ERR_INVALID,
              "o.yaml:3: duplicate key net (first on line 1)");
    CHECK_ERR(load_all("", NULL, twice, &c), ERR_INVALID, "--net.http-port is given twice");
}

TEST(conf_type_errors_name_place_key_value_and_range)
{
    CHECK_ERR(load("ingester:\n  chunk-age: 48h\n"), ERR_INVALID,
              "o.yaml:2: ingester.chunk-age: \"48h\" is out of range (1s to 24h)");
    CHECK_ERR(load("ingester: {chunk-age: 15}"), ERR_INVALID, "\"15\" is not a duration");
    CHECK_ERR(load("ingester: {wal-bytes: 1KiB}"), ERR_INVALID, "out of range (at least 1MiB)");
    CHECK_ERR(load("ingester: {shards: 1.5}"), ERR_INVALID,
              "\"1.5\" is not a whole number (0 to 128)");
    CHECK_ERR(load("ingester: {ratio: nan}"), ERR_INVALID, "is not a number (0 to 1)");
    CHECK_ERR(load("ingester: {enabled: 2}"), ERR_INVALID, "\"2\" is not true or false");
    CHECK_ERR(load("ingester: {mode: slow}"), ERR_INVALID, "\"slow\" is not one of fast|safe");
    CHECK_ERR(load("ingester: {dir: [a]}"), ERR_INVALID, "takes one value, not a list");
    CHECK_ERR(load("ingester:\n  dir: {a: b}"), ERR_INVALID,
              "o.yaml:2: ingester.dir: takes a value");
    CHECK_ERR(load("ingester: {dir: }"), ERR_INVALID, "has no value");
    CHECK_ERR(load("ingester: 5"), ERR_INVALID, "ingester is a section");
    CHECK_ERR(load("ingester: {signals: [[a]]}"), ERR_INVALID, "element 1 of the list");
    CHECK_ERR(load("ingester: {signals: 'a,,b'}"), ERR_INVALID, "element 2 of the list is empty");
    CHECK_ERR(load("- a\n"), ERR_INVALID, "o.yaml:1: a configuration is a mapping");
    CHECK_ERR(load_env(TEXT("ORRERY_NET_HTTP_PORT=70000")), ERR_INVALID,
              "environment: ORRERY_NET_HTTP_PORT (net.http-port): \"70000\" is out of range (0 to "
              "65535)");
    CHECK_ERR(load_flag(TEXT("--net.http-port=x")), ERR_INVALID,
              "command line: --net.http-port: \"x\" is not a whole number (0 to 65535)");
    CHECK_ERR(load_flag(TEXT("--net.http-port")), ERR_INVALID,
              "needs a value (--net.http-port=INT)");
    CHECK_ERR(load_flag(TEXT("--ingester.dir=\xff")), ERR_INVALID, "is not UTF-8");
}

TEST(conf_prints_what_it_can_read_back_and_no_secret)
{
    char *flags[] = {TEXT("--ingester.password=hunter2"),
                     TEXT("--ingester.dir=a: \"b\" #\n\xc2\xb5"), TEXT("--ingester.chunk-age=1h1s"),
                     NULL};
    const struct ingester_config *i;
    struct buf text = {0}, again = {0};
    struct conf *c, *d;

    CHECK_OK(
        load_all("ingester: {signals: ['true', \"1\", a b], wal-bytes: 1500000}", NULL, flags, &c));
    conf_print(c, &text);
    CHECK(!strstr(buf_cstr(&text), "hunter2"));
    CHECK(strstr(buf_cstr(&text), "  password: <secret>\n"));
    CHECK(strstr(buf_cstr(&text), "  chunk-age: 1h1s\n  wal-bytes: 1500000\n"));
    CHECK(strstr(buf_cstr(&text), "  mode: safe\n  signals: [\"true\", \"1\", \"a b\"]\n"));
    CHECK_OK(load_all(buf_cstr(&text), NULL, NULL, &d));
    i = conf_section(d, "ingester");
    CHECK_STR(i->dir, "a: \"b\" #\n\xc2\xb5");
    conf_print(d, &again);
    CHECK_SLICE(buf_slice(&again), buf_cstr(&text));
    conf_unref(c);
    conf_unref(d);
    buf_done(&text);
    buf_done(&again);
}

TEST(conf_reload_refuses_what_needs_a_restart)
{
    struct conf *c, *d, *same;

    CHECK_OK(load_all("ingester: {chunk-age: 1m}", NULL, NULL, &c));
    CHECK_OK(load_all("ingester: {chunk-age: 2m, signals: [a], password: x}", NULL, NULL, &same));
    CHECK_OK(load_all("net: {http-port: 80}", NULL, NULL, &d));
    CHECK_OK(conf_check_reload(c, same));
    CHECK_ERR(conf_check_reload(c, d), ERR_CONFLICT,
              "net.http-port cannot change without a restart (it is 9009, the new configuration "
              "says 80)");
    conf_unref(conf_ref(c));
    conf_unref(c);
    conf_unref(d);
    conf_unref(same);
}

TEST(conf_help_names_every_key_and_fits_the_width)
{
    struct buf text = {0};
    struct slice rest, line;

    conf_help(sections, ORR_COUNT(sections), &text);
    CHECK(strstr(buf_cstr(&text), "  --ingester.chunk-age=DURATION\n"
                                  "      Age at which an open chunk is cut. Default 15m (1s to "
                                  "24h). Changes on reload.\n"));
    CHECK(strstr(buf_cstr(&text), "  --ingester.mode=fast|safe\n"));
    CHECK(strstr(buf_cstr(&text), "\nnet\n  Sockets.\n"));
    rest = buf_slice(&text);
    while (slice_split(&rest, '\n', &line))
        CHECK(line.len <= 100);
    buf_done(&text);
}

static struct err *duration(const char *s, int64_t *ret)
{
    return conf_parse_duration(slice_cstr(s), ret);
}

static struct err *bytes(const char *s, int64_t *ret)
{
    return conf_parse_bytes(slice_cstr(s), ret);
}

TEST(conf_durations)
{
    static const struct {
        const char *text;
        int64_t ns;
        const char *printed;
    } good[] = {{"0", 0, "0s"},
                {"0s", 0, "0s"},
                {"1h30m", 5400000000000, "1h30m"},
                {" 15s ", 15000000000, "15s"},
                {"500ms", 500000000, "500ms"},
                {"1.5h", 5400000000000, "1h30m"},
                {"1d", 86400000000000, "1d"},
                {"2w", 14 * 86400000000000, "14d"},
                {"1y1ns", 365 * 86400000000000 + 1, "365d1ns"},
                {"3us", 3000, "3us"},
                {"3\xc2\xb5s", 3000, "3us"}};
    static const char *const bad[] = {"",
                                      "5",
                                      "-1s",
                                      "1s1h",
                                      "1s1s",
                                      "s",
                                      "1 s",
                                      "1x",
                                      "1e3s",
                                      "1.s",
                                      "300y",
                                      "inf",
                                      "99999999999999999999s"};
    int64_t ns;

    for (size_t i = 0; i < ORR_COUNT(good); i++) {
        struct buf text = {0};

        CHECK_OK(duration(good[i].text, &ns));
        CHECK_INT(ns, good[i].ns);
        conf_format_duration(&text, ns);
        CHECK_STR(buf_cstr(&text), good[i].printed);
        buf_done(&text);
    }
    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(duration(bad[i], &ns), ERR_INVALID, "is not a duration");
}

TEST(conf_sizes)
{
    static const struct {
        const char *text;
        int64_t bytes;
        const char *printed;
    } good[] = {{"0", 0, "0"},
                {"64MiB", 64 << 20, "64MiB"},
                {"64mi", 64 << 20, "64MiB"},
                {"10KB", 10000, "10000"},
                {"10 kB", 10000, "10000"},
                {"1e6", 1000000, "1000000"},
                {"1.5GiB", 1610612736, "1536MiB"},
                {"7b", 7, "7"},
                {"9223372036854775807", INT64_MAX, "9223372036854775807"}};
    static const char *const bad[] = {"",        "x",    "-1", "1XB", "1e", "9223372036854775808",
                                      "8192PiB", "1e30", "MiB"};
    int64_t v;

    for (size_t i = 0; i < ORR_COUNT(good); i++) {
        struct buf text = {0};

        CHECK_OK(bytes(good[i].text, &v));
        CHECK_INT(v, good[i].bytes);
        conf_format_bytes(&text, v);
        CHECK_STR(buf_cstr(&text), good[i].printed);
        buf_done(&text);
    }
    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(bytes(bad[i], &v), ERR_INVALID, "is not a size");
}

/* Runs the command line with stdout or stderr going to a file. */
static bool run_cli(int argc, char **argv, struct conf **ret, int *ret_status, struct buf *ret_out)
{
    static const struct conf_cli cli = {"orrery-test", "Tests.", sections, ORR_COUNT(sections),
                                        NULL};
    const char *path = tmp_path("out");
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600), saved[2];
    bool go_on;

    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(i + 1);
        CHECK(dup2(fd, i + 1) >= 0);
    }
    go_on = conf_cli_run(&cli, argc, argv, ret, ret_status);
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        CHECK(dup2(saved[i], i + 1) >= 0);
        close(saved[i]);
    }
    close(fd);
    CHECK_OK(fsx_read(path, 1 << 20, ret_out));
    return go_on;
}

TEST(conf_command_line)
{
    static const struct conf_cli cli = {"orrery-test", "Tests.", sections, ORR_COUNT(sections),
                                        NULL};
    char *file = mem_printf("--config=%s", tmp_path("c.yaml"));
    char *go[] = {TEXT("x"), file, TEXT("--ingester.shards=3"), NULL};
    struct conf *c = NULL, *next = NULL;
    struct buf out = {0};
    int status = -1;

    CHECK_OK(fsx_write_atomic(tmp_path("c.yaml"), SLICE("net: {http-port: 1}\n")));
    CHECK(run_cli(3, go, &c, &status, &out));
    CHECK_INT(status, 0);
    CHECK_INT(((const struct net_config *)conf_section(c, "net"))->port, 1);
    CHECK_INT(((const struct ingester_config *)conf_section(c, "ingester"))->shards, 3);
    CHECK_OK(
        fsx_write_atomic(tmp_path("c.yaml"), SLICE("net: {http-port: 1}\ningester: {ratio: 1}\n")));
    CHECK_OK(conf_cli_reload(&cli, 3, go, c, &next));
    conf_unref(next);
    CHECK_OK(fsx_write_atomic(tmp_path("c.yaml"), SLICE("net: {http-port: 2}\n")));
    CHECK_ERR(conf_cli_reload(&cli, 3, go, c, &next), ERR_CONFLICT, "net.http-port");
    conf_unref(c);

    CHECK(!run_cli(3,
                   (char *[]){TEXT("x"), TEXT("--print-config"), TEXT("--net.http-port=5"), NULL},
                   &c, &status, &out));
    CHECK_INT(status, 0);
    CHECK(strstr(buf_cstr(&out), "net:\n  http-port: 5\n"));
    CHECK(!run_cli(2, (char *[]){TEXT("x"), TEXT("--help"), NULL}, &c, &status, &out));
    CHECK_INT(status, 0);
    CHECK(strstr(buf_cstr(&out), "Usage: orrery-test"));
    CHECK(!run_cli(2, (char *[]){TEXT("x"), TEXT("--version"), NULL}, &c, &status, &out));
    CHECK(strstr(buf_cstr(&out), "orrery-test " ORR_VERSION "\n"));
    CHECK(!run_cli(2, (char *[]){TEXT("x"), TEXT("--net.port=5"), NULL}, &c, &status, &out));
    CHECK_INT(status, 2);
    CHECK(strstr(buf_cstr(&out), "unknown flag --net.port (did you mean net.http-port?)"));
    CHECK(!run_cli(2, (char *[]){TEXT("x"), TEXT("--config"), NULL}, &c, &status, &out));
    CHECK_INT(status, 2);
    CHECK(!run_cli(3, (char *[]){TEXT("x"), TEXT("--config"), TEXT("/nowhere"), NULL}, &c, &status,
                   &out));
    CHECK(strstr(buf_cstr(&out), "/nowhere"));
    buf_done(&out);
    mem_free(file);
}

TEST(conf_passes_over_the_sections_of_other_programs)
{
    char *env[] = {TEXT("ORRERY_RULER_RULE_PATH=/x"), NULL};
    char *wrong[] = {TEXT("ORRERY_RULERS=1"), NULL};
    char *flags[] = {TEXT("--ruler.rule-path=/x"), NULL};
    struct conf *c;

    CHECK_OK(load_all("ruler: {rule-path: /x, deep: {er: 1}}", env, NULL, &c));
    conf_unref(c);
    CHECK_ERR(load_all("", wrong, NULL, &c), ERR_INVALID, "ORRERY_RULERS");
    CHECK_ERR(load_all("", NULL, flags, &c), ERR_INVALID, "unknown flag --ruler.rule-path");
}
