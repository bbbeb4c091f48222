#include <stdio.h>
#include <unistd.h>

#include "common/base/conf_internal.h"
#include "common/base/log.h"
#include "common/base/vec.h"

#define HELP_COLUMNS 100

/* ---- help ---- */

static size_t columns_of(struct slice word)
{
    size_t n = 0;

    for (size_t i = 0; i < word.len; i++)
        n += (word.ptr[i] & 0xc0) != 0x80; /* a UTF-8 sequence counts once */
    return n;
}

/* Words of text, each line indented. */
static void wrap(struct buf *out, const char *text, size_t indent)
{
    struct slice rest = slice_cstr(text), word;
    size_t column = 0;

    while (slice_split(&rest, ' ', &word)) {
        size_t width = columns_of(word);

        if (column && column + 1 + width > HELP_COLUMNS) {
            buf_byte(out, '\n');
            column = 0;
        }
        if (column) {
            buf_byte(out, ' ');
            column++;
        } else {
            buf_fill(out, ' ', indent);
            column = indent;
        }
        buf_slice_append(out, word);
        column += width;
    }
    buf_byte(out, '\n');
}

static void put_field_help(struct buf *out, const struct conf_section *s,
                           const struct conf_field *f)
{
    struct buf text = {0}, range = {0};

    buf_printf(out, "  --%s.%s=%s\n", s->name, f->key, conf_value_kind(f));
    conf_value_range(f, &range);
    buf_str(&text, f->help);
    if (f->flags & CONF_SECRET)
        buf_printf(&text, " Secret.");
    else if (f->def && f->def[0])
        buf_printf(&text, " Default %s%s.", f->def, buf_cstr(&range));
    else
        buf_printf(&text, " Default: empty%s.", buf_cstr(&range));
    if (f->flags & CONF_RELOAD)
        buf_str(&text, " Changes on reload.");
    wrap(out, buf_cstr(&text), 6);
    buf_done(&range);
    buf_done(&text);
}

void conf_help(const struct conf_section *const *sections, size_t n, struct buf *out)
{
    wrap(out,
         "Each key below can be set in four ways; a later one wins: its default, the YAML file, "
         "an environment variable, a flag. The key ingester.chunk-age is ingester: {chunk-age: "
         "15m} in YAML, ORRERY_INGESTER_CHUNK_AGE=15m in the environment and "
         "--ingester.chunk-age=15m as a flag.",
         0);
    wrap(out,
         "DURATION is 1h30m, 15s or 500ms; BYTES is 64MiB, 10KB or 1e6; a list is a YAML sequence, "
         "or its elements with commas between. Keys marked \"Changes on reload\" are read again "
         "on SIGHUP; the others need a restart.",
         0);
    for (size_t i = 0; i < n; i++) {
        buf_byte(out, '\n');
        buf_printf(out, "%s\n", sections[i]->name);
        wrap(out, sections[i]->help, 2);
        for (size_t j = 0; j < sections[i]->field_count; j++)
            put_field_help(out, sections[i], &sections[i]->fields[j]);
    }
}

static void put_usage(const struct conf_cli *cli, struct buf *out)
{
    buf_printf(out, "Usage: %s [--config FILE] [--section.key=value ...]\n\n", cli->program);
    wrap(out, cli->about, 0);
    buf_str(out, "\n  --config FILE     read settings from this YAML file\n"
                 "  --print-config    print the settings in force as YAML, and exit\n"
                 "  --version         print the version, and exit\n"
                 "  --help            print this, and exit\n\n");
    conf_help(cli->sections, cli->section_count, out);
}

/* ---- command line ---- */

struct args {
    const char *config;
    bool wants_help, wants_version, wants_print;
    VEC(char *) flags;
};

static struct err *take_config(struct args *a, const char *path)
{
    if (!path || !path[0])
        return err_new(ERR_INVALID, "command line: --config needs a file");
    if (a->config)
        return err_new(ERR_INVALID, "command line: --config is given twice");
    a->config = path;
    return NULL;
}

static struct err *read_args(struct args *a, int argc, char **argv)
{
    struct err *e = NULL;

    for (int i = 1; i < argc && !e; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            a->wants_help = true;
        else if (strcmp(argv[i], "--version") == 0)
            a->wants_version = true;
        else if (strcmp(argv[i], "--print-config") == 0)
            a->wants_print = true;
        else if (strcmp(argv[i], "--config") == 0)
            e = take_config(a, ++i < argc ? argv[i] : NULL);
        else if (strncmp(argv[i], "--config=", 9) == 0)
            e = take_config(a, argv[i] + 9);
        else
            vec_push(&a->flags, argv[i]);
    }
    vec_push(&a->flags, NULL);
    return e;
}

static struct err *load_args(const struct conf_cli *cli, const struct args *a, struct conf **ret)
{
    struct conf_source src = {cli->sections, cli->section_count, a->config,
                              environ,       a->flags.ptr,       cli->foreign};

    return conf_load(&src, ret);
}

struct err *conf_cli_reload(const struct conf_cli *cli, int argc, char **argv,
                            const struct conf *now, struct conf **ret)
{
    struct args a = {0};
    struct conf *next = NULL;
    struct err *e = read_args(&a, argc, argv);

    if (!e && !(e = load_args(cli, &a, &next)))
        e = conf_check_reload(now, next);
    vec_done(&a.flags);
    if (e)
        conf_unref(next);
    else
        *ret = next;
    return e;
}

static int print_out(const struct buf *text)
{
    bool is_ok = fwrite(text->ptr, 1, text->len, stdout) == text->len && fflush(stdout) == 0;

    return is_ok ? 0 : 1;
}

bool conf_cli_run(const struct conf_cli *cli, int argc, char **argv, struct conf **ret,
                  int *ret_status)
{
    struct args a = {0};
    struct buf text = {0};
    struct conf *c = NULL;
    struct err *e = read_args(&a, argc, argv);
    bool go_on = false;

    if (!e && a.wants_help) {
        put_usage(cli, &text);
    } else if (!e && a.wants_version) {
        buf_printf(&text, "%s %s\n", cli->program, ORR_VERSION);
    } else if (!e) {
        e = load_args(cli, &a, &c);
        if (!e && a.wants_print)
            conf_print(c, &text);
        else
            go_on = !e;
    }
    if (e)
        fprintf(stderr, "%s: %s\nTry %s --help.\n", cli->program, err_msg(e), cli->program);
    *ret_status = e ? 2 : text.len ? print_out(&text) : 0;
    if (go_on)
        *ret = c;
    else
        conf_unref(c);
    err_free(e);
    buf_done(&text);
    vec_done(&a.flags);
    return go_on;
}
