#include "deploy/orreryctl/ctl.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/objstore/s3conf.h"
#include "common/process/process_conf.h"
#include "common/process/process_storage.h"
#include "deploy/orreryctl/ctl_command.h"

/* ---- configuration ---- */

static const struct conf_section *const sections[] = {
    &process_server_section, &process_storage_section, &s3conf_section, &limits_section};
/* Of a file or an environment that the roles are given, too. */
static const char *const foreign[] = {"auth",  "ring",         "ingester", "querier", "compactor",
                                      "ruler", "alertmanager", "otlp",     NULL};

static void config_help(FILE *out)
{
    struct buf b = {0};

    conf_help(sections, ORR_COUNT(sections), &b);
    fputs(buf_cstr(&b), out);
    buf_done(&b);
}

struct line { /* the command line, taken apart */
    VEC(char *) flags;
    VEC(const char *) args;
    const char *config;
    uint64_t given;
    bool wants_help;
};

static struct err *set_option(struct ctl *c, struct line *l, size_t i, const char *value)
{
    l->given |= UINT64_C(1) << i;
    switch ((enum ctl_option)i) {
#define text(member) c->opts.member = value
#define truth(member) c->opts.member = true
#define X(bit, member, kind, flag, help)                                                           \
    case bit##_AT:                                                                                 \
        kind(member);                                                                              \
        break;
        CTL_OPTIONS(X)
#undef X
#undef text
#undef truth
    }
    return NULL;
}

/* Of an argument "--name" or "--name=value"; the value may be the next one. *ret_used: how many it took. */
static struct err *take_option(struct ctl *c, struct line *l, char **argv, int *ret_used)
{
    const char *arg = argv[0] + 2, *eq = strchr(arg, '='), *value;
    size_t len = eq ? (size_t)(eq - arg) : strlen(arg), n;
    const struct ctl_option_row *rows = ctl_option_rows(&n);

    *ret_used = 1;
    if (memchr(arg, '.', len)) { /* section.key */
        vec_push(&l->flags, argv[0]);
        return NULL;
    }
    for (size_t i = 0; i <= n; i++) {
        bool is_config = i == n;
        const char *flag = is_config ? "config" : rows[i].flag;

        if (strlen(flag) != len || memcmp(flag, arg, len) != 0)
            continue;
        value = eq ? eq + 1 : NULL;
        if (!is_config && !rows[i].takes_value) {
            return value ? err_new(ERR_INVALID, "--%s takes no value", flag)
                         : set_option(c, l, i, NULL);
        }
        if (!value && (value = argv[1]))
            *ret_used = 2;
        if (!value)
            return err_new(ERR_INVALID, "--%s needs a value", flag);
        if (!is_config)
            return set_option(c, l, i, value);
        l->config = value;
        return NULL;
    }
    return err_new(ERR_INVALID, "unknown option --%.*s", (int)len, arg);
}

static struct err *take_line(struct ctl *c, struct line *l, int argc, char **argv)
{
    for (int i = 1, used; i < argc; i += used) {
        struct err *e;

        used = 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            l->wants_help = true;
        else if (strncmp(argv[i], "--", 2) != 0)
            vec_push(&l->args, argv[i]);
        else if ((e = take_option(c, l, argv + i, &used)))
            return e;
    }
    return NULL;
}

/* Whether the arguments begin with these words. */
static bool begins_with(const struct line *l, size_t from, const char *words, size_t *ret_n)
{
    struct slice rest = slice_cstr(words), word;

    *ret_n = from;
    while (slice_split(&rest, ' ', &word)) {
        if (*ret_n >= l->args.len || !slice_eq_cstr(word, l->args.ptr[*ret_n]))
            return false;
        ++*ret_n;
    }
    return true;
}

static const struct ctl_command *find_command(const struct line *l, size_t *ret_words)
{
    size_t n;
    const struct ctl_command *all = ctl_commands(&n);

    for (size_t i = 0; i < n; i++) {
        const struct ctl_command *k = &all[i];

        if (begins_with(l, 0, k->group, ret_words) &&
            (!k->name || begins_with(l, *ret_words, k->name, ret_words)))
            return k;
    }
    return NULL;
}

static struct err *check_usage(const struct ctl_command *k, const struct line *l, size_t n_args)
{
    size_t n;
    const struct ctl_option_row *rows = ctl_option_rows(&n);

    if (n_args < k->min_args || n_args > k->max_args)
        return err_new(ERR_INVALID, "wrong number of arguments");
    for (size_t i = 0; i < n; i++)
        if (l->given & ~k->options & UINT64_C(1) << i)
            return err_new(ERR_INVALID, "--%s means nothing here", rows[i].flag);
    return NULL;
}

static struct err *load_conf(struct ctl *c, struct line *l)
{
    struct conf_source src = {sections, ORR_COUNT(sections), l->config, environ, NULL, foreign};

    vec_push(&l->flags, NULL);
    src.flags = l->flags.ptr;
    return conf_load(&src, &c->conf);
}

/* A directory that is not there is a wrong path, but for a first upload. */
static struct err *open_store(struct ctl *c, bool may_be_new)
{
    const struct process_server_conf *server = conf_section(c->conf, "server");

    c->root = process_storage_root(c->conf, server->data_dir);
    if (c->root && !may_be_new && !fsx_exists(c->root))
        return err_new(ERR_NOT_FOUND, "there is no directory %s (storage.path)", c->root);
    return process_storage_make(c->conf, server->data_dir, &c->limits, &c->store);
}

/* ---- running ---- */

struct err *ctl_usage(struct ctl *c, const char *what)
{
    c->is_usage = true;
    return err_new(ERR_INVALID, "%s", what);
}

static int complain(struct err *e, const struct ctl_command *k)
{
    fprintf(stderr, "orreryctl: %s\n", err_msg(e));
    if (k)
        ctl_help_usage(stderr, k);
    else
        fprintf(stderr, "See orreryctl --help.\n");
    err_free(e);
    return CTL_USAGE;
}

static int run(struct ctl *c, const struct ctl_command *k, struct line *l)
{
    bool is_alone = k->kind == CTL_REMOTE || (k->kind == CTL_LOCAL && !c->opts.tenant);
    struct err *e;

    if ((e = load_conf(c, l)))
        return complain(e, NULL);
    err_free(log_set_level("warn"));
    if (!is_alone && (e = open_store(c, k->run == ctl_block_upload))) {
        fprintf(stderr, "orreryctl: %s\n", err_msg(e));
        err_free(e);
        return CTL_WRONG;
    }
    if ((k->options & CTL_BIT(CTL_FORCE)) && !c->opts.is_forced && !c->opts.is_dry)
        e = ctl_check_alone(c);
    if (!e)
        e = k->run(c);
    if (fflush(stdout) != 0 && !e)
        e = err_errno(ERR_IO, "standard output");
    if (c->is_usage)
        return complain(e, k);
    if (e)
        fprintf(stderr, "orreryctl: %s\n", err_msg(e));
    if (e || c->wrong) {
        err_free(e);
        return CTL_WRONG;
    }
    return CTL_OK;
}

static int dispatch(struct ctl *c, struct line *l)
{
    size_t words;
    const struct ctl_command *k = find_command(l, &words);
    struct err *e;

    if (!k && l->wants_help) {
        ctl_help_all(stdout, l->args.len ? l->args.ptr[0] : NULL);
        return CTL_OK;
    }
    if (!k)
        return complain(l->args.len ? err_new(ERR_INVALID, "unknown command %s%s%s", l->args.ptr[0],
                                              l->args.len > 1 ? " " : "",
                                              l->args.len > 1 ? l->args.ptr[1] : "")
                                    : err_new(ERR_INVALID, "no command"),
                        NULL);
    if (l->wants_help) {
        ctl_help_command(stdout, k);
        return CTL_OK;
    }
    if ((e = check_usage(k, l, l->args.len - words)))
        return complain(e, k);
    c->args = l->args.ptr + words;
    c->n_args = l->args.len - words;
    return run(c, k, l);
}

int ctl_main(int argc, char **argv)
{
    struct ctl c = {.arena = arena_new(0)};
    struct line l = {.config = NULL};
    struct err *e = NULL;
    int status = CTL_OK;

    fault_arm_from_env();
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        printf("orreryctl %s\n", ORR_VERSION);
    else if (argc == 2 && strcmp(argv[1], "--help-config") == 0)
        config_help(stdout);
    else if ((e = take_line(&c, &l, argc, argv)))
        status = complain(e, NULL);
    else
        status = dispatch(&c, &l);
    objstore_close(c.store);
    limits_free(c.limits);
    conf_unref(c.conf);
    mem_free(c.root);
    vec_done(&l.flags);
    vec_done(&l.args);
    arena_free(c.arena);
    return status;
}
