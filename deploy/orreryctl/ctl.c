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
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_ruleapi.h"

struct command {
    const char *group, *name, *arguments;
    size_t min_args, max_args;
    uint64_t options; /* CTL_BIT() */
    /* an object store; the same, but when its argument is a directory; none */
    enum { CTL_NEEDS_STORE, CTL_LOCAL, CTL_REMOTE } kind;
    ctl_command_fn *run;
    const char *help;
};

#define RULE_OPTIONS (CTL_RULEAPI_OPTIONS | CTL_BIT(CTL_NAMESPACES) | CTL_BIT(CTL_IGNORED))

static const struct command ctl_commands[] = {
    {"bucket", "ls", "[TENANT]", 0, 1, CTL_BIT(CTL_JSON) | CTL_BIT(CTL_OF_SIGNAL), CTL_NEEDS_STORE,
     ctl_bucket_ls, "Tenants of the bucket, or the live blocks of one."},
    {"bucket", "inspect", "TENANT ULID", 2, 2, CTL_BIT(CTL_JSON) | CTL_BIT(CTL_OF_SIGNAL),
     CTL_NEEDS_STORE, ctl_bucket_inspect,
     "All that is known of a block: its meta.json, its files, the sections of its index, its place "
     "in the "
     "catalogue."},
    {"bucket", "verify", "[TENANT [ULID]]", 0, 2, CTL_BIT(CTL_TEMP) | CTL_BIT(CTL_OF_SIGNAL),
     CTL_NEEDS_STORE, ctl_bucket_verify,
     "Reads live blocks whole, every section, chunk and sidecar, compares the catalogue with what "
     "is there, "
     "and names what is wrong."},
    {"bucket", "adopt", "--layout=L [--prefix=P] [--tenant=T] [--dry-run]", 0, 0,
     CTL_BIT(CTL_LAYOUT) | CTL_BIT(CTL_PREFIX) | CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_DRY) |
         CTL_BIT(CTL_FORCE),
     CTL_NEEDS_STORE, ctl_bucket_adopt,
     "Adds the blocks of a Mimir, Cortex or Thanos bucket to the catalogue, in place: no byte is "
     "moved. Blocks "
     "with a deletion mark are left out. Done twice it adds nothing."},
    {"bucket", "rebuild-catalogue", "TENANT", 1, 1,
     CTL_BIT(CTL_DRY) | CTL_BIT(CTL_TEMP) | CTL_BIT(CTL_FORCE), CTL_NEEDS_STORE, ctl_bucket_rebuild,
     "Makes the tenant's catalogue anew from the blocks that are in the bucket. For when it is "
     "lost or "
     "damaged; let no compactor run meanwhile."},
    {"block", "upload", "DIR… --tenant=T", 1, SIZE_MAX, CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_FORCE),
     CTL_NEEDS_STORE, ctl_block_upload,
     "Backfills blocks of Prometheus: verified whole, uploaded, put into the catalogue. What is in "
     "the bucket "
     "already is not sent again."},
    {"tsdb", "analyze", "DIR | ULID", 1, 1,
     CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_LIMIT) | CTL_BIT(CTL_TEMP) | CTL_BIT(CTL_JSON), CTL_LOCAL,
     ctl_tsdb_analyze,
     "Cardinality, churn and chunks of a block, in a directory or (with --tenant) in the bucket."},
    {"tenant", "copy", "FROM TO", 2, 2, CTL_BIT(CTL_DRY) | CTL_BIT(CTL_TEMP) | CTL_BIT(CTL_FORCE),
     CTL_NEEDS_STORE, ctl_tenant_copy,
     "Copies the live metrics blocks of a tenant to another tenant."},
    {"tenant", "delete", "TENANT", 1, 1, CTL_BIT(CTL_DRY) | CTL_BIT(CTL_YES) | CTL_BIT(CTL_FORCE),
     CTL_NEEDS_STORE, ctl_tenant_delete,
     "Deletes every object of a tenant, of all signals, and its rules. Readers see nothing from "
     "its first step on, also of the series and log lines that ingesters still hold, which are "
     "left "
     "out of later blocks. Spans that they hold stay, and come to be in blocks: flush them before. "
     "Ended in between, it goes on when called again."},
    {"rules", "check", "PATH…", 1, SIZE_MAX, CTL_BIT(CTL_JSON), CTL_LOCAL, ctl_rules_check,
     "Rule files as the ruler reads them: PATH is what ruler.rule-path would be, a directory of "
     "tenants (files of LogQL below TENANT/logs), a pattern or a file. Tells what is wrong in "
     "which "
     "file, line, group and rule."},
    {"rules", "lint", "FILE…", 1, SIZE_MAX, CTL_BIT(CTL_LANGUAGE), CTL_REMOTE, ctl_rules_lint,
     "What files of namespaces (or of rules) lack: alerts without the annotations summary and "
     "runbook_url "
     "or without a label owner (or team), recording rules that are not called "
     "level:metric:operations. FILE "
     "may be a directory."},
    {"rules", "test", "FILE…", 1, SIZE_MAX, CTL_BIT(CTL_RUN), CTL_REMOTE, ctl_rules_test,
     "Unit tests of rules, in promtool's format, with its verdicts."},
    {"rules", "list", "[--tenant=T] [--address=URL]", 0, 0, RULE_OPTIONS | CTL_BIT(CTL_JSON),
     CTL_REMOTE, ctl_rules_list, "Groups of a tenant, in the bucket and in files of the rulers."},
    {"rules", "print", "[NAMESPACE]", 0, 1, CTL_RULEAPI_OPTIONS, CTL_REMOTE, ctl_rules_print,
     "A tenant's groups of rules, or those of a namespace, as YAML."},
    {"rules", "get", "NAMESPACE GROUP", 2, 2, CTL_RULEAPI_OPTIONS, CTL_REMOTE, ctl_rules_get,
     "One group as YAML."},
    {"rules", "load", "FILE…", 1, SIZE_MAX, RULE_OPTIONS | CTL_BIT(CTL_DRY), CTL_REMOTE,
     ctl_rules_load,
     "Brings groups of files to the tenant: those that are new or otherwise. FILE has a field "
     "namespace beside its "
     "groups, else the namespace is called as the file is; it may be a directory."},
    {"rules", "diff", "FILE…", 1, SIZE_MAX, RULE_OPTIONS, CTL_REMOTE, ctl_rules_diff,
     "What rules sync would do: + is new, ~ is otherwise, - is in no file. Groups of files of the "
     "rulers have a -, too, though sync leaves them: the API does not tell them apart."},
    {"rules", "sync", "FILE…", 1, SIZE_MAX, RULE_OPTIONS | CTL_BIT(CTL_DRY), CTL_REMOTE,
     ctl_rules_sync,
     "Makes the tenant's groups those of the files: what is in no file is deleted, but in "
     "namespaces that "
     "are not meant, and files of the rulers."},
    {"rules", "delete", "NAMESPACE GROUP", 2, 2, CTL_RULEAPI_OPTIONS, CTL_REMOTE, ctl_rules_delete,
     "Deletes a group."},
    {"rules", "delete-namespace", "NAMESPACE", 1, 1, CTL_RULEAPI_OPTIONS, CTL_REMOTE,
     ctl_rules_delete_namespace, "Deletes all groups of a namespace."},
    {"query", NULL, "QUERY [--language=L] [--since=1h] [--step=30s] [--json]", 1, 1,
     CTL_HTTP_OPTIONS | CTL_BIT(CTL_LANGUAGE) | CTL_BIT(CTL_SINCE) | CTL_BIT(CTL_FROM) |
         CTL_BIT(CTL_TO) | CTL_BIT(CTL_STEP) | CTL_BIT(CTL_LIMIT) | CTL_BIT(CTL_JSON),
     CTL_REMOTE, ctl_query,
     "Asks a running Orrery: --language=promql (default), logql or traceql. PromQL is asked as of "
     "now, or with --since, --from or --step over time, and shown with a plot of each series; "
     "LogQL "
     "shows lines, the newest last; TraceQL shows traces."},
    {"tail", NULL, "QUERY [--for=TIME]", 1, 1, CTL_HTTP_OPTIONS | CTL_BIT(CTL_FOR), CTL_REMOTE,
     ctl_tail, "Log lines as they come, from a minute ago on."},
    {"trace", "show", "ID", 1, 1, CTL_HTTP_OPTIONS | CTL_BIT(CTL_JSON), CTL_REMOTE, ctl_trace_show,
     "A trace as a tree, with the time of each span."},
    {"demo", NULL,
     "[--address=URL] [--rate=N] [--backfill=30m] [--cycle=10m] [--lock-in=1m] [--for=TIME]", 0, 0,
     CTL_BIT(CTL_ADDRESS) | CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_TOKEN) | CTL_BIT(CTL_RATE) |
         CTL_BIT(CTL_BACKFILL) | CTL_BIT(CTL_CYCLE) | CTL_BIT(CTL_LOCK_IN) | CTL_BIT(CTL_FOR),
     CTL_REMOTE, ctl_demo,
     "Sends a running Orrery what a shop of five services would: metrics with exemplars, log "
     "lines, "
     "traces and events, and its alerting rules (namespace demo). In each cycle a batch job locks "
     "the accounts, a deployment is bad, the cache refuses connections, and a label explodes."},
    {"alertmanager", "verify", "CONFIG [TEMPLATE…]", 1, SIZE_MAX, 0, CTL_REMOTE, ctl_am_verify,
     "Reads a configuration of Alertmanager and its templates as alertmanagers read them, and "
     "tells "
     "what is wrong in which line, and what Orrery does not do."},
    {"alertmanager", "load", "CONFIG [TEMPLATE…]", 1, SIZE_MAX, CTL_HTTP_OPTIONS, CTL_REMOTE,
     ctl_am_load,
     "Makes it the tenant's configuration, with these templates, which it names by their files' "
     "names."},
    {"alertmanager", "get", "", 0, 0, CTL_HTTP_OPTIONS, CTL_REMOTE, ctl_am_get,
     "The tenant's configuration and templates as YAML."},
    {"alertmanager", "delete", "", 0, 0, CTL_HTTP_OPTIONS, CTL_REMOTE, ctl_am_delete,
     "Deletes the tenant's configuration: the one for all holds again."},
    {"alertmanager", "routes show", "CONFIG", 1, 1, 0, CTL_REMOTE, ctl_am_routes_show,
     "The tree of routes."},
    {"alertmanager", "routes test", "CONFIG NAME=VALUE… [--verify-receivers=A,B]", 1, SIZE_MAX,
     CTL_BIT(CTL_RECEIVERS), CTL_REMOTE, ctl_am_routes_test,
     "Whom an alert with these labels is for. With --verify-receivers: whether it is for these, in "
     "this order."},
    {"alertmanager", "silence add", "MATCHER… --comment=TEXT [--duration=2h] [--author=NAME]", 1,
     SIZE_MAX,
     CTL_HTTP_OPTIONS | CTL_BIT(CTL_COMMENT) | CTL_BIT(CTL_AUTHOR) | CTL_BIT(CTL_DURATION) |
         CTL_BIT(CTL_START),
     CTL_REMOTE, ctl_am_silence_add,
     "Silences alerts: MATCHER is name=value, name!=value, name=~regex or name!~regex; a first one "
     "without an operator is the alert's name. Prints the silence's id."},
    {"alertmanager", "silence query", "[MATCHER…] [--expired]", 0, SIZE_MAX,
     CTL_HTTP_OPTIONS | CTL_BIT(CTL_EXPIRED) | CTL_BIT(CTL_JSON), CTL_REMOTE, ctl_am_silence_query,
     "Silences that have these matchers."},
    {"alertmanager", "silence expire", "ID…", 1, SIZE_MAX, CTL_HTTP_OPTIONS, CTL_REMOTE,
     ctl_am_silence_expire, "Ends silences."},
    {"alertmanager", "alert query", "[MATCHER…]", 0, SIZE_MAX, CTL_HTTP_OPTIONS | CTL_BIT(CTL_JSON),
     CTL_REMOTE, ctl_am_alert_query, "Alerts with these labels, silenced and inhibited ones, too."},
    {"slo", "generate", "FILE… [--output=DIR]", 1, SIZE_MAX, CTL_BIT(CTL_OUTPUT), CTL_REMOTE,
     ctl_slo_generate,
     "Makes of service level objectives (deploy/orreryctl/ctl_slo.h) recording rules and alerts "
     "for "
     "how fast their error budgets burn, over long windows and short ones. With --output: "
     "DIR/NAME.rules.yml, and unit tests of it in DIR/NAME.test.yml (rules test, promtool test "
     "rules); else the rules go to standard output."},
    {"export", NULL, "--tenant=T [--match=SELECTOR] [--from=TIME] [--to=TIME]", 0, 0,
     CTL_BIT(CTL_TENANT) | CTL_BIT(CTL_MATCH) | CTL_BIT(CTL_FROM) | CTL_BIT(CTL_TO) |
         CTL_BIT(CTL_FORMAT) | CTL_BIT(CTL_TEMP),
     CTL_NEEDS_STORE, ctl_export,
     "Writes samples of the blocks to standard output: as OpenMetrics that promtool reads, as "
     "lines (as promtool tsdb dump), or as JSON, a run of a series per line. OpenMetrics cannot "
     "hold "
     "native histograms: they are counted, and the call fails."},
};

/* ---- help ---- */

static const struct {
    const char *flag, *help;
    bool takes_value;
} option_rows[] = {
#define X(bit, member, kind, flag, help) {flag, help, sizeof(#kind) == sizeof("text")},
    CTL_OPTIONS(X)
#undef X
};

static void put_command(FILE *out, const struct command *k)
{
    fprintf(out, "  orreryctl %s", k->group);
    if (k->name)
        fprintf(out, " %s", k->name);
    if (k->arguments[0])
        fprintf(out, " %s", k->arguments);
    fputc('\n', out);
}

static void command_help(FILE *out, const struct command *k)
{
    fprintf(out, "Usage:\n");
    put_command(out, k);
    fprintf(out, "\n%s\n\n", k->help);
    for (size_t i = 0; i < ORR_COUNT(option_rows); i++)
        if (k->options >> i & 1)
            fprintf(out, "  --%s%s\n      %s\n", option_rows[i].flag,
                    option_rows[i].takes_value ? "=VALUE" : "", option_rows[i].help);
    if (k->kind != CTL_REMOTE)
        fprintf(out, "  --config=FILE, --storage.…, --s3.…\n"
                     "      the object store, as for the roles (orreryctl --help-config)\n");
    fprintf(out, "\nStatus: 0 all is well, 1 something is wrong or was not done, 2 bad usage.\n");
}

static void general_help(FILE *out, const char *group)
{
    fprintf(out, "orreryctl: an Orrery bucket by hand, and the rules and alerts of a running "
                 "Orrery.\n\nUsage:\n");
    for (size_t i = 0; i < ORR_COUNT(ctl_commands); i++)
        if (!group || strcmp(group, ctl_commands[i].group) == 0)
            put_command(out, &ctl_commands[i]);
    fprintf(out, "\n  orreryctl GROUP COMMAND --help   what a command does, and its options\n"
                 "  orreryctl --help-config          the settings of the object store\n"
                 "  orreryctl --version\n\n"
                 "Status: 0 all is well, 1 something is wrong or was not done, 2 bad usage.\n");
}

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
    size_t len = eq ? (size_t)(eq - arg) : strlen(arg);

    *ret_used = 1;
    if (memchr(arg, '.', len)) { /* section.key */
        vec_push(&l->flags, argv[0]);
        return NULL;
    }
    for (size_t i = 0; i <= ORR_COUNT(option_rows); i++) {
        bool is_config = i == ORR_COUNT(option_rows);
        const char *flag = is_config ? "config" : option_rows[i].flag;

        if (strlen(flag) != len || memcmp(flag, arg, len) != 0)
            continue;
        value = eq ? eq + 1 : NULL;
        if (!is_config && !option_rows[i].takes_value) {
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

static const struct command *find_command(const struct line *l, size_t *ret_words)
{
    for (size_t i = 0; i < ORR_COUNT(ctl_commands); i++) {
        const struct command *k = &ctl_commands[i];

        if (begins_with(l, 0, k->group, ret_words) &&
            (!k->name || begins_with(l, *ret_words, k->name, ret_words)))
            return k;
    }
    return NULL;
}

static struct err *check_usage(const struct command *k, const struct line *l, size_t n_args)
{
    if (n_args < k->min_args || n_args > k->max_args)
        return err_new(ERR_INVALID, "wrong number of arguments");
    for (size_t i = 0; i < ORR_COUNT(option_rows); i++)
        if (l->given & ~k->options & UINT64_C(1) << i)
            return err_new(ERR_INVALID, "--%s means nothing here", option_rows[i].flag);
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

static int complain(struct err *e, const struct command *k)
{
    fprintf(stderr, "orreryctl: %s\n", err_msg(e));
    if (k)
        put_command(stderr, k);
    else
        fprintf(stderr, "See orreryctl --help.\n");
    err_free(e);
    return CTL_USAGE;
}

static int run(struct ctl *c, const struct command *k, struct line *l)
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
    const struct command *k = find_command(l, &words);
    struct err *e;

    if (!k && l->wants_help) {
        general_help(stdout, l->args.len ? l->args.ptr[0] : NULL);
        return CTL_OK;
    }
    if (!k)
        return complain(l->args.len ? err_new(ERR_INVALID, "unknown command %s%s%s", l->args.ptr[0],
                                              l->args.len > 1 ? " " : "",
                                              l->args.len > 1 ? l->args.ptr[1] : "")
                                    : err_new(ERR_INVALID, "no command"),
                        NULL);
    if (l->wants_help) {
        command_help(stdout, k);
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
