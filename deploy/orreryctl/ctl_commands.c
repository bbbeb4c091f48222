#include "deploy/orreryctl/ctl_command.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_ruleapi.h"

#define RULE_OPTIONS (CTL_RULEAPI_OPTIONS | CTL_BIT(CTL_NAMESPACES) | CTL_BIT(CTL_IGNORED))

static const struct ctl_command commands[] = {
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
    {"completion", NULL, "bash | zsh", 1, 1, 0, CTL_REMOTE, ctl_completion,
     "Writes what makes the shell complete orreryctl's commands and options: source <(orreryctl "
     "completion bash), or for zsh a file _orreryctl in its fpath."},
    {"man", NULL, "", 0, 0, 0, CTL_REMOTE, ctl_man,
     "Writes the manual page: orreryctl man > orreryctl.1."},
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

const struct ctl_command *ctl_commands(size_t *ret_n)
{
    *ret_n = ORR_COUNT(commands);
    return commands;
}

const struct ctl_option_row *ctl_option_rows(size_t *ret_n)
{
    static const struct ctl_option_row rows[] = {
#define X(bit, member, kind, flag, help) {flag, help, sizeof(#kind) == sizeof("text")},
        CTL_OPTIONS(X)
#undef X
    };

    *ret_n = ORR_COUNT(rows);
    return rows;
}
