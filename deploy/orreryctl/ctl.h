/*
 * orreryctl: commands on the bucket, beside processes that run or without them, and on the rules and alerts of those that run.
 *
 *   orreryctl GROUP COMMAND [ARGUMENT…] [--option[=value]…] [--config FILE] [--section.key=value…]
 *
 * The object store is what the sections storage, s3 and limits say, as for the roles: give it the file and the flags
 * that they get. Lists go to standard output, as a table or as JSON (--json); progress and log lines go to standard
 * error: a bar on a terminal, else a line now and then.
 *
 * Status: 0 all is well; 1 something is wrong, or it could not be done; 2 the command line is.
 *
 * A command is a function over struct ctl and a row of ctl_commands[] (ctl.c). Catalogues are changed by conditional
 * puts, as compactors do, so every command may run beside a cluster. Where the bucket has none, no command that
 * changes something (those that take --force) may run beside a compactor. They see that by the leases (common/block/writelease.h)
 * and end with an error while any is held; with s3.one-writer off there are none, and nobody can tell. All block; one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/conf.h"
#include "common/model/limits.h"
#include "common/objstore/objstore.h"

#define CTL_SIGNAL SLICE("metrics") /* what commands without --signal are about */

enum ctl_status { CTL_OK, CTL_WRONG, CTL_USAGE };

/* X(bit, member, kind, flag, help); kind: text or truth */
#define CTL_OPTIONS(X)                                                                             \
    X(CTL_TENANT, tenant, text, "tenant", "the tenant")                                            \
    X(CTL_PREFIX, prefix, text, "prefix", "where in the bucket to look; empty: at its top")        \
    X(CTL_LAYOUT, layout, text, "layout", "mimir (Cortex, too), thanos or orrery")                 \
    X(CTL_MATCH, match, text, "match", "selector of series, as {job=\"a\"}; default: all")         \
    X(CTL_FROM, from, text, "from", "start: RFC 3339 or Unix seconds; default: all")               \
    X(CTL_TO, to, text, "to", "end, inclusive; default: all")                                      \
    X(CTL_LIMIT, limit, text, "limit", "rows of each list; default 10")                            \
    X(CTL_TEMP, temp_dir, text, "temp-dir",                                                        \
      "where blocks of a remote store are put while they "                                         \
      "are read; default: $TMPDIR or /tmp")                                                        \
    X(CTL_FORMAT, format, text, "format", "openmetrics (default), lines or json")                  \
    X(CTL_ADDRESS, address, text, "address",                                                       \
      "a querier or ruler: URL or host:port; default: http://127.0.0.1:9009")                      \
    X(CTL_LANGUAGE, language, text, "language",                                                    \
      "promql (default) or logql; of queries traceql, too")                                        \
    X(CTL_TOKEN, token, text, "token", "sent as bearer token")                                     \
    X(CTL_NAMESPACES, namespaces, text, "namespaces", "a,b: only these")                           \
    X(CTL_IGNORED, ignored_namespaces, text, "ignored-namespaces", "a,b: all but these")           \
    X(CTL_RUN, run, text, "run", "only tests whose name contains this")                            \
    X(CTL_RECEIVERS, receivers, text, "verify-receivers", "a,b: whom the alert must be for")       \
    X(CTL_COMMENT, comment, text, "comment", "why")                                                \
    X(CTL_AUTHOR, author, text, "author", "who; default: $USER")                                   \
    X(CTL_DURATION, duration, text, "duration", "how long, as 2h; default 1h")                     \
    X(CTL_START, start, text, "start", "when it begins: RFC 3339 or Unix seconds; default: now")   \
    X(CTL_EXPIRED, is_expired, truth, "expired", "also what is over")                              \
    X(CTL_OUTPUT, output, text, "output", "directory for the files that are made")                 \
    X(CTL_OF_SIGNAL, signal, text, "signal", "metrics (default), logs or traces")                  \
    X(CTL_SINCE, since, text, "since", "how far back, as 1h")                                      \
    X(CTL_STEP, step, text, "step", "distance of points, as 30s; default: 120 points")             \
    X(CTL_RATE, rate, text, "rate", "requests a second; default 4")                                \
    X(CTL_BACKFILL, backfill, text, "backfill", "how much of the past is sent first; default 30m") \
    X(CTL_CYCLE, cycle, text, "cycle", "how long until all incidents come again; default 10m")     \
    X(CTL_LOCK_IN, lock_in, text, "lock-in", "when the accounts are locked next; default 1m")      \
    X(CTL_FOR, how_long, text, "for", "how long to go on, as 10m; default: until ctrl-c")          \
    X(CTL_DRY, is_dry, truth, "dry-run", "say what would be done, and do nothing")                 \
    X(CTL_JSON, is_json, truth, "json", "print JSON instead of a table")                           \
    X(CTL_YES, is_yes, truth, "yes", "do it without asking")                                       \
    X(CTL_FORCE, is_forced, truth, "force",                                                        \
      "write to a bucket without conditional puts though a compactor has a lease (s3.one-writer)")

enum ctl_option {
#define X(bit, member, kind, flag, help) bit##_AT,
    CTL_OPTIONS(X)
#undef X
};
#define CTL_BIT(o) (UINT64_C(1) << (o##_AT))

typedef const char *ctl_text;
typedef bool ctl_truth;
struct ctl_opts {
#define X(bit, member, kind, flag, help) ctl_##kind member;
    CTL_OPTIONS(X)
#undef X
};

struct ctl {
    struct ctl_opts opts; /* a text that was not given is NULL */
    const char **args;
    size_t n_args;
    struct arena *arena; /* of the whole call */
    struct conf *conf;
    struct limits *limits;
    struct objstore *store; /* NULL: the command needs none */
    char *root;             /* its directory, if it is one */
    uint64_t wrong;         /* things that were found wrong and said */
    bool is_usage;          /* ctl_usage() */
};

typedef struct err *ctl_command_fn(struct ctl *c);

int ctl_main(int argc, char **argv);
/* What a command returns when its arguments make no sense: the call ends with CTL_USAGE. */
ORR_CHECKED struct err *ctl_usage(struct ctl *c, const char *what);

/* ctl_alone.c: whether nobody holds a lease of a bucket without conditional puts, whatever s3.one-writer is here;
 * ERR_CONFLICT names who. */
ORR_CHECKED struct err *ctl_check_alone(struct ctl *c);
/* ctl_bucket.c */
ORR_CHECKED struct err *ctl_bucket_ls(struct ctl *c);
ORR_CHECKED struct err *ctl_bucket_inspect(struct ctl *c);
/* the file of their name */
ORR_CHECKED struct err *ctl_bucket_verify(struct ctl *c);
ORR_CHECKED struct err *ctl_bucket_adopt(struct ctl *c);
ORR_CHECKED struct err *ctl_bucket_rebuild(struct ctl *c);
ORR_CHECKED struct err *ctl_block_upload(struct ctl *c);
ORR_CHECKED struct err *ctl_tsdb_analyze(struct ctl *c);
/* ctl_tenant.c */
ORR_CHECKED struct err *ctl_tenant_copy(struct ctl *c);
ORR_CHECKED struct err *ctl_tenant_delete(struct ctl *c);
ORR_CHECKED struct err *ctl_export(struct ctl *c);
ORR_CHECKED struct err *ctl_query(struct ctl *c);
ORR_CHECKED struct err *ctl_tail(struct ctl *c); /* ctl_logline.c */
ORR_CHECKED struct err *ctl_trace_show(struct ctl *c);
ORR_CHECKED struct err *ctl_demo(struct ctl *c);
/* ctl_rules.c, ctl_rulelint.c, ctl_rulesync.c, ctl_ruletest.c */
ORR_CHECKED struct err *ctl_rules_check(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_test(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_lint(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_list(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_print(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_get(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_load(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_diff(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_sync(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_delete(struct ctl *c);
ORR_CHECKED struct err *ctl_rules_delete_namespace(struct ctl *c);
/* ctl_amconf.c, ctl_amload.c, ctl_amask.c */
ORR_CHECKED struct err *ctl_am_verify(struct ctl *c);
ORR_CHECKED struct err *ctl_am_routes_show(struct ctl *c);
ORR_CHECKED struct err *ctl_am_routes_test(struct ctl *c);
ORR_CHECKED struct err *ctl_am_load(struct ctl *c);
ORR_CHECKED struct err *ctl_am_get(struct ctl *c);
ORR_CHECKED struct err *ctl_am_delete(struct ctl *c);
ORR_CHECKED struct err *ctl_am_silence_add(struct ctl *c);
ORR_CHECKED struct err *ctl_am_silence_query(struct ctl *c);
ORR_CHECKED struct err *ctl_am_silence_expire(struct ctl *c);
ORR_CHECKED struct err *ctl_am_alert_query(struct ctl *c);
/* ctl_slogen.c */
ORR_CHECKED struct err *ctl_slo_generate(struct ctl *c);
