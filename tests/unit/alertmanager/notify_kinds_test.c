/* What each receiver's provider asks for, and what its answers mean. Whole bodies: tests/conformance. */
#include <time.h>

#include "tests/unit/alertmanager/notify_bench.h"

#define SLACK "slack_configs: [{api_url: 'http://h', title: '{{ .CommonAnnotations.summary }}'}]"

TEST(notify_slack)
{
    notify_bench_sends(
        "slack_configs: [{app_token: xoxb, channel: '#c', message_text: m, short_fields: true, "
        "link_names: true, mrkdwn_in: [text], fields: [{title: a, value: b}], actions: [{type: "
        "button, text: t, name: n, confirm: {text: sure}}]}]",
        true, "s", "POST https://slack.com/api/chat.postMessage\nAuthorization: Bearer xoxb\n",
        "\"fields\":[{\"title\":\"a\",\"value\":\"b\",\"short\":true}],\"actions\":[{\"type\":"
        "\"button\",\"text\":\"t\",\"name\":\"n\",\"confirm\":{\"text\":\"sure\"}}],\"footer\":"
        "\"\",\"color\":\"danger\",\"mrkdwn_in\":[\"text\"]}]}");
    notify_bench_sends(
        "slack_configs: [{app_token: xoxb, channel: '#c', message_text: m, link_names: true}]",
        false, "s", "POST https://slack.com/api/chat.postMessage\nAuthorization: Bearer xoxb\n",
        "{\"channel\":\"#c\",\"username\":\"Alertmanager\",\"text\":\"m\",\"link_names\":true,");
    notify_bench_cuts(SLACK, "title", 1024);
    notify_bench_judges(SLACK, 200, "text/plain", "ok", true, false);
    notify_bench_judges(SLACK, 200, "text/html", "no_text", false, false);
    notify_bench_judges(SLACK, 200, "application/json; charset=utf-8", "{\"ok\":true}", true,
                        false);
    notify_bench_judges(SLACK, 200, "application/json", "{\"ok\":false,\"error\":\"x\"}", false,
                        false);
    notify_bench_judges(SLACK, 200, "application/json", "{\"ok\":", false, true);
    notify_bench_judges(SLACK, 500, "text/plain", "ok", false, true);
    notify_bench_judges(SLACK, 429, "text/plain", "", false, true);
    notify_bench_judges(SLACK, 404, "text/plain", "no_channel", false, false);
}

#define PD "pagerduty_configs: [{routing_key: k, description: '{{ .CommonAnnotations.summary }}'}]"
#define PD1 "pagerduty_configs: [{service_key: k, details: {a: '{{ .Status }}'}}]"

TEST(notify_pagerduty)
{
    struct notify_bench *t;
    char *big = notify_bench_runes("x", 300000);

    notify_bench_sends(
        PD, true, "s", "POST https://events.pagerduty.com/v2/enqueue\n",
        "{\"routing_key\":\"k\",\"event_action\":\"trigger\",\"dedup_key\":\"" NOTIFY_BENCH_HASH
        "\",");
    notify_bench_sends(
        PD1, false, "s", "POST https://events.pagerduty.com/generic/2010-04-15/create_event.json\n",
        "{\"service_key\":\"k\",\"event_type\":\"resolve\",\"incident_key\":\"" NOTIFY_BENCH_HASH
        "\",");
    notify_bench_sends(PD1, true, "s",
                       "POST https://events.pagerduty.com/generic/2010-04-15/create_event.json\n",
                       "\"num_firing\":2,\"num_resolved\":0,\"a\":\"firing\"}}");
    notify_bench_cuts(PD, "summary", 1024);
    t = notify_bench_told(notify_bench_conf(PD), true, big); /* more than an event may have */
    (void)notify_bench_next(t);
    CHECK(t->request->body.len < 4000 && notify_bench_has(t, "\"custom_details\":{\"error\":"));
    notify_bench_free(t);
    mem_free(big);
    t = notify_bench("pagerduty_configs: [{routing_key: '{{ .CommonLabels.nope }}'}]");
    CHECK_ERR(notify_bench_error(t), ERR_INVALID, "routing_key is empty");
    notify_bench_free(t);
    notify_bench_judges(PD, 202, "application/json", "{}", true, false);
    notify_bench_judges(PD, 403, "", "", false, false);
    notify_bench_judges(PD1, 403, "", "", false, true);
    notify_bench_judges(PD, 429, "", "", false, true);
    notify_bench_judges(PD, 400, "application/json", "{\"message\":\"x\"}", false, false);
}

#define OG                                                                                         \
    "opsgenie_configs: [{api_url: 'http://h', api_key: k, message: '{{ "                           \
    ".CommonAnnotations.summary "                                                                  \
    "}}', update_alerts: true, description: d, source: x}]"

TEST(notify_opsgenie)
{
    struct notify_bench *t = notify_bench(OG);

    CHECK_STR(notify_bench_next(t), "POST http://h/v2/alerts\nAuthorization: GenieKey k\n");
    CHECK(notify_bench_has(t, "{\"alias\":\"" NOTIFY_BENCH_HASH
                              "\",\"message\":\"sum\",\"description\":\"d\","
                              "\"details\":{\"s\":\"x\"},\"source\":\"x\"}"));
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t),
              "PUT http://h/v2/alerts/" NOTIFY_BENCH_HASH "/message?identifierType=alias\n"
              "Authorization: GenieKey k\n");
    CHECK_SLICE(t->request->body, "{\"message\":\"sum\"}");
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t),
              "PUT http://h/v2/alerts/" NOTIFY_BENCH_HASH "/description?identifierType=alias\n"
              "Authorization: GenieKey k\n");
    CHECK_SLICE(t->request->body, "{\"description\":\"d\"}");
    CHECK_OK(notify_bench_answer(t, 202, "", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
    notify_bench_sends(OG, false, "s",
                       "POST http://h/v2/alerts/" NOTIFY_BENCH_HASH
                       "/close?identifierType=alias\nAuthorization: GenieKey k\n",
                       "{\"source\":\"x\"}");
    notify_bench_sends(
        "opsgenie_configs: [{api_key: k, details: {s: over, z: '{{ .Status }}'}, tags: 'a,,b', "
        "responders: [{name: '{{ .CommonLabels.no }}', type: '{{ .CommonLabels.no }}'}, {name: "
        "'x,y', type: teams}, {id: i, type: user}]}]",
        true, "s", "POST https://api.opsgenie.com/v2/alerts\nAuthorization: GenieKey k\n",
        "\"responders\":[{\"name\":\"x\",\"type\":\"team\"},{\"name\":\"y\",\"type\":\"team\"},{"
        "\"id\":\"i\",\"type\":\"user\"}],\"tags\":[\"a\",\"b\"]");
    notify_bench_cuts(OG, "message", 130);
    notify_bench_judges(OG, 422, "", "", false, false);
    notify_bench_judges(OG, 429, "", "", false, true);
}

#define VO                                                                                         \
    "victorops_configs: [{api_key: k, routing_key: t, message_type: '{{ "                          \
    ".CommonAnnotations.summary "                                                                  \
    "}}', state_message: '{{ .CommonAnnotations.summary }}', custom_fields: {f: '{{ .Status "      \
    "}}'}}]"
#define VO_URL "POST https://alert.victorops.com/integrations/generic/20131114/alert/k/t\n"

TEST(notify_victorops)
{
    notify_bench_sends(VO, true, "INFO", VO_URL,
                       "{\"message_type\":\"INFO\",\"entity_id\":\"" NOTIFY_BENCH_HASH "\",");
    notify_bench_sends(VO, true, "RECOVERY", VO_URL, "{\"message_type\":\"CRITICAL\",");
    notify_bench_sends(VO, false, "INFO", VO_URL, "{\"message_type\":\"RECOVERY\",");
    notify_bench_sends(VO, false, "INFO", VO_URL, "\"f\":\"resolved\"}");
    notify_bench_cuts(VO, "state_message", 20480);
    notify_bench_judges(VO, 401, "", "", false, false);
}

/* As many as a configuration of 1 MiB holds: not looked up one by one, which took half a minute. */
TEST(notify_takes_many_fields_at_once)
{
    struct buf text = {0};
    struct notify_bench *t;
    clock_t start;

    buf_str(&text, "victorops_configs: [{api_key: k, routing_key: r, custom_fields: {");
    for (int i = 0; i < 80000; i++)
        buf_printf(&text, "k%05d: x, ", i);
    buf_str(&text, "}}]");
    t = notify_bench(buf_cstr(&text));
    start = clock();
    (void)notify_bench_next(t);
    CHECK(clock() - start < 5 * CLOCKS_PER_SEC);
    CHECK(notify_bench_has(t, "\"k79999\":\"x\"}"));
    notify_bench_free(t);
    buf_done(&text);
}

TEST(notify_discord)
{
    const char *hook =
        "discord_configs: [{webhook_url: 'http://h', title: '{{ "
        ".CommonAnnotations.summary }}', message: '{{ .CommonAnnotations.summary }}', "
        "content: '{{ .CommonAnnotations.summary }}', username: u, avatar_url: a}]";

    notify_bench_sends(
        hook, true, "s", "POST http://h\n",
        "{\"content\":\"s\",\"embeds\":[{\"title\":\"s\",\"description\":\"s\",\"color\":10038562}]"
        ",\"username\":\"u\",\"avatar_url\":\"a\"}");
    notify_bench_cuts(hook, "title", 256);
    notify_bench_cuts(hook, "description", 4096);
    notify_bench_cuts(hook, "content", 2000);
    notify_bench_judges(hook, 204, "", "", true, false);
    notify_bench_judges(hook, 429, "application/json", "{\"retry_after\":1}", false, true);
}

TEST(notify_msteams)
{
    notify_bench_sends(
        "msteams_configs: [{webhook_url: 'http://h', title: t, summary: s, text: x}]", false, "s",
        "POST http://h\n",
        "\"title\":\"t\",\"summary\":\"s\",\"text\":\"x\",\"themeColor\":\"2DC72D\"}");
    notify_bench_sends("msteamsv2_configs: [{webhook_url: 'http://h', title: t, text: x}]", true,
                       "s", "POST http://h\n",
                       "\"text\":\"t\",\"color\":\"Attention\"},{\"type\":\"TextBlock\"");
    notify_bench_judges("msteamsv2_configs: [{webhook_url: 'http://h'}]", 202, "", "", true, false);
}

#define WEBEX                                                                                      \
    "webex_configs: [{room_id: r, message: '{{ .CommonAnnotations.summary }}', http_config: "      \
    "{authorization: {credentials: c}}}]"

TEST(notify_webex)
{
    char *text = notify_bench_runes("\xc3\xbc", 3720), *kept = notify_bench_runes("\xc3\xbc", 3718);
    char *want = mem_printf("{\"markdown\":\"%s\xe2\x80\xa6\",\"roomId\":\"r\"}", kept);

    notify_bench_sends(WEBEX, true, "s",
                       "POST https://webexapis.com/v1/messages\nAuthorization: Bearer c\n",
                       "{\"markdown\":\"s\",\"roomId\":\"r\"}");
    /* 7440 bytes where 7439 are taken */
    notify_bench_sends(WEBEX, true, text,
                       "POST https://webexapis.com/v1/messages\nAuthorization: Bearer c\n", want);
    mem_free(text);
    mem_free(kept);
    mem_free(want);
}

#define TG(mode)                                                                                   \
    "telegram_configs: [{bot_token: t, chat_id: -7, message_thread_id: 3, disable_notifications: " \
    "true, parse_mode: " mode ", message: '{{ .CommonAnnotations.summary }}'}]"

TEST(notify_telegram)
{
    char *long_text = notify_bench_runes("&", 4096), *longer = notify_bench_runes("&", 4097);

    notify_bench_sends(TG("HTML"), true, "<b>", "POST https://api.telegram.org/bott/sendMessage\n",
                       "{\"chat_id\":\"-7\",\"text\":\"&lt;b&gt;\",\"parse_mode\":\"HTML\","
                       "\"disable_web_page_preview\":\"true\",\"disable_notification\":\"true\","
                       "\"message_thread_id\":\"3\"}");
    notify_bench_sends(TG("''"), true, "<b>", "POST https://api.telegram.org/bott/sendMessage\n",
                       "\"text\":\"<b>\",\"disable_web_page_preview\"");
    notify_bench_sends(TG("HTML"), true, long_text,
                       "POST https://api.telegram.org/bott/sendMessage\n",
                       "&amp;&amp;\""); /* an entity is one rune */
    notify_bench_sends(TG("HTML"), true, longer, "POST https://api.telegram.org/bott/sendMessage\n",
                       "longer than Telegram takes");
    notify_bench_cuts(TG("Markdown"), "text", 4096);
    notify_bench_judges(TG("HTML"), 400, "application/json", "{\"ok\":false}", false, false);
    notify_bench_judges(TG("HTML"), 429, "application/json", "{\"ok\":false}", false, true);
    mem_free(long_text);
    mem_free(longer);
}
