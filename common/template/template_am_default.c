/* The templates that receivers use when their configuration names no text: Alertmanager's names and
 * outputs. */
#include "common/template/template_am.h"

#define SAME(name, as) "{{define \"" name "\"}}{{template \"" as "\" .}}{{end}}"
#define EMPTY(name) "{{define \"" name "\"}}{{end}}"
/* Blank lines are part of the texts: one before, between and behind the two lists. */
#define LISTS(name, title, list)                                                                   \
    "{{define \"" name "\"}}\n{{if .Alerts.Firing}}\n" title "Alerts Firing:\n{{template \"" list  \
    "\" .Alerts.Firing}}\n{{end}}\n{{if .Alerts.Resolved}}\n" title                                \
    "Alerts Resolved:\n{{template \"" list "\" .Alerts.Resolved}}\n{{end}}\n{{end}}"
#define WITH_ANNOTATIONS(name, as)                                                                 \
    "{{define \"" name "\"}}{{template \"__annotations\" .}}{{template \"" as "\" .}}{{end}}"

static const char texts[] =
    "{{define \"__alertmanager\"}}Alertmanager{{end}}"
    "{{define \"__alertmanagerURL\"}}{{.ExternalURL}}/#/alerts?receiver={{urlquery .Receiver}}"
    "{{end}}"
    "{{define \"__subject\"}}[{{toUpper .Status}}{{with .Alerts.Firing}}:{{len .}}{{end}}] "
    "{{join \" \" .GroupLabels.SortedPairs.Values}} "
    "{{if gt (len .CommonLabels) (len .GroupLabels)}}"
    "({{join \" \" (.CommonLabels.Remove .GroupLabels.Names).Values}}){{end}}{{end}}"
    "{{define \"__annotations\"}}{{join \" \" .CommonAnnotations.SortedPairs.Values}}{{end}}"
    "{{define \"__text_alert_list\"}}{{range .}}Labels:\n"
    "{{range .Labels.SortedPairs}} - {{.Name}} = {{.Value}}\n{{end}}Annotations:\n"
    "{{range .Annotations.SortedPairs}} - {{.Name}} = {{.Value}}\n{{end}}"
    "Source: {{.GeneratorURL}}\n{{end}}{{end}}"
    "{{define \"__text_alert_list_markdown\"}}{{range .}}\nLabels:\n"
    "{{range .Labels.SortedPairs}}  - {{.Name}} = {{.Value}}\n{{end}}\nAnnotations:\n"
    "{{range .Annotations.SortedPairs}}  - {{.Name}} = {{.Value}}\n{{end}}"
    "\nSource: {{.GeneratorURL}}\n{{end}}\n{{end}}"
    /* the lists close together, as in the texts of Opsgenie, VictorOps and WeChat */
    "{{define \"__short_lists\"}}\n{{with .Alerts.Firing}}Alerts Firing:\n"
    "{{template \"__text_alert_list\" .}}{{end}}\n{{with .Alerts.Resolved}}Alerts Resolved:\n"
    "{{template \"__text_alert_list\" .}}{{end}}{{end}}"
    "{{define \"__color\"}}{{if eq .Status \"firing\"}}danger{{else}}good{{end}}{{end}}"
    "{{define \"__subject_link\"}}{{template \"__subject\" .}} | "
    "{{template \"__alertmanagerURL\" .}}{{end}}"
    /* clang-format off */
    LISTS("__lists", "", "__text_alert_list")
    LISTS("__lists_markdown", "# ", "__text_alert_list_markdown")
    SAME("slack.default.title", "__subject")
    SAME("slack.default.username", "__alertmanager")
    SAME("slack.default.fallback", "__subject_link")
    SAME("slack.default.titlelink", "__alertmanagerURL")
    SAME("slack.default.color", "__color")
    EMPTY("slack.default.callbackid") EMPTY("slack.default.pretext")
    EMPTY("slack.default.iconemoji") EMPTY("slack.default.iconurl")
    EMPTY("slack.default.text") EMPTY("slack.default.footer")
    SAME("pagerduty.default.description", "__subject")
    SAME("pagerduty.default.client", "__alertmanager")
    SAME("pagerduty.default.clientURL", "__alertmanagerURL")
    SAME("pagerduty.default.instances", "__text_alert_list")
    SAME("opsgenie.default.message", "__subject")
    SAME("opsgenie.default.source", "__alertmanagerURL")
    WITH_ANNOTATIONS("opsgenie.default.description", "__short_lists")
    "{{define \"wechat.default.message\"}}{{template \"__subject\" .}}\n"
    "{{template \"__annotations\" .}}{{template \"__short_lists\" .}}\nAlertmanagerUrl:\n"
    "{{template \"__alertmanagerURL\" .}}{{end}}"
    EMPTY("wechat.default.to_user") EMPTY("wechat.default.to_party")
    EMPTY("wechat.default.to_tag") EMPTY("wechat.default.agent_id")
    WITH_ANNOTATIONS("victorops.default.state_message", "__short_lists")
    SAME("victorops.default.entity_display_name", "__subject")
    SAME("victorops.default.monitoring_tool", "__alertmanager")
    SAME("pushover.default.title", "__subject")
    WITH_ANNOTATIONS("pushover.default.message", "__short_lists")
    SAME("pushover.default.url", "__alertmanagerURL")
    SAME("sns.default.subject", "__subject")
    WITH_ANNOTATIONS("sns.default.message", "__lists")
    SAME("telegram.default.message", "__lists")
    EMPTY("discord.default.content")
    SAME("discord.default.title", "__subject")
    SAME("discord.default.message", "__lists")
    WITH_ANNOTATIONS("webex.default.message", "__lists")
    SAME("msteams.default.summary", "__subject")
    SAME("msteams.default.title", "__subject")
    SAME("msteams.default.text", "__lists_markdown")
    SAME("msteamsv2.default.title", "__subject")
    SAME("msteamsv2.default.text", "__lists_markdown")
    SAME("jira.default.summary", "__subject")
    SAME("jira.default.description", "__lists_markdown")
    SAME("rocketchat.default.title", "__subject")
    SAME("rocketchat.default.alias", "__alertmanager")
    SAME("rocketchat.default.titlelink", "__alertmanagerURL")
    EMPTY("rocketchat.default.emoji") EMPTY("rocketchat.default.iconurl")
    EMPTY("rocketchat.default.text")
    SAME("mattermost.default.title", "__subject")
    SAME("mattermost.default.username", "__alertmanager")
    SAME("mattermost.default.fallback", "__subject_link")
    SAME("mattermost.default.titlelink", "__alertmanagerURL")
    SAME("mattermost.default.color", "__color")
    SAME("mattermost.default.text", "__lists_markdown")
    SAME("email.default.subject", "__subject");
/* clang-format on */

struct template_set *template_am_new(void)
{
    struct template_set *set = template_new(&template_am_funcs);
    struct err *e = template_parse(set, SLICE("default"), slice_cstr(texts));

    ORR_ASSERT(!e);
    return set;
}
