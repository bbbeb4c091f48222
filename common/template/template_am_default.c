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
    "{{define \"__jira_priority\"}}{{$p := \"\"}}{{range .}}{{$s := .Labels.severity}}"
    "{{if eq $s \"critical\"}}{{$p = \"High\"}}"
    "{{else if and (eq $s \"warning\") (ne $p \"High\")}}{{$p = \"Medium\"}}"
    "{{else if and (eq $s \"info\") (eq $p \"\")}}{{$p = \"Low\"}}{{end}}{{end}}{{$p}}{{end}}"
    "{{define \"jira.default.priority\"}}{{if .Alerts.Firing}}{{template \"__jira_priority\" .Alerts.Firing}}"
    "{{else}}{{template \"__jira_priority\" .Alerts.Resolved}}{{end}}{{end}}"
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
    SAME("email.default.subject", "__subject")
    "{{define \"__html_pairs\"}}{{range .}}<tr><td style=\"padding:1px 12px 1px 0;color:#555\">"
    "{{.Name}}</td><td style=\"padding:1px 0;white-space:pre-wrap\">{{.Value}}</td></tr>\n{{end}}{{end}}"
    "{{define \"__html_alerts\"}}{{range .}}<table style=\"margin:0 0 14px;font-size:14px;"
    "border-collapse:collapse\">\n{{template \"__html_pairs\" .Labels.SortedPairs}}"
    "{{template \"__html_pairs\" .Annotations.SortedPairs}}</table>\n"
    "{{if .GeneratorURL}}<p style=\"margin:-10px 0 18px;font-size:13px\"><a href=\"{{.GeneratorURL}}\">"
    "Source</a></p>\n{{end}}{{end}}{{end}}"
    "{{define \"email.default.html\"}}<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">"
    "<title>{{template \"__subject\" .}}</title></head>\n"
    "<body style=\"margin:0;padding:24px;background:#f5f5f5;font-family:Helvetica,Arial,sans-serif\">\n"
    "<div style=\"max-width:640px;margin:0 auto;background:#fff;border:1px solid #ddd\">\n"
    "<div style=\"padding:14px 20px;color:#fff;{{if .Alerts.Firing}}background:#b3261e{{else}}background:#2e7d32"
    "{{end}}\">{{len .Alerts}} alert{{if gt (len .Alerts) 1}}s{{end}} for "
    "{{range .GroupLabels.SortedPairs}}{{.Name}}={{.Value}} {{end}}</div>\n"
    "<div style=\"padding:18px 20px\">\n<p><a href=\"{{template \"__alertmanagerURL\" .}}\">View in "
    "{{template \"__alertmanager\" .}}</a></p>\n"
    "{{if .Alerts.Firing}}<h3>[{{len .Alerts.Firing}}] Firing</h3>\n"
    "{{template \"__html_alerts\" .Alerts.Firing}}{{end}}"
    "{{if .Alerts.Resolved}}<h3>[{{len .Alerts.Resolved}}] Resolved</h3>\n"
    "{{template \"__html_alerts\" .Alerts.Resolved}}{{end}}"
    "</div>\n<div style=\"padding:10px 20px;font-size:12px;color:#777\"><a href=\"{{.ExternalURL}}\">Sent by "
    "{{template \"__alertmanager\" .}}</a></div>\n</div>\n</body></html>\n{{end}}";
/* clang-format on */

struct template_set *template_am_new(void)
{
    struct template_set *set = template_new(&template_am_funcs);
    struct err *e = template_parse(set, SLICE("default"), slice_cstr(texts));

    ORR_ASSERT(!e);
    return set;
}
