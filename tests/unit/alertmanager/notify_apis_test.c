/* Receivers of forms, tokens and several requests: Pushover, SNS, WeChat, Jira; and the other chats. */
#include <stdlib.h>

#include "tests/unit/alertmanager/notify_bench.h"

#define HASH NOTIFY_BENCH_HASH
#define PUSHOVER                                                                                   \
    "pushover_configs: [{user_key: u, token: t, title: '{{ .CommonAnnotations.summary }}', "       \
    "message: '{{ .CommonAnnotations.summary }}', retry: 2m, ttl: 3m, url: '', sound: s, html: "   \
    "true}]"

TEST(notify_pushover)
{
    struct notify_bench *t = notify_bench_told(notify_bench_conf(PUSHOVER), true, "a & <b>");

    CHECK_STR(notify_bench_next(t), "POST https://api.pushover.net/1/messages.json\n");
    CHECK_STR(t->request->content_type, "application/x-www-form-urlencoded");
    CHECK_SLICE(
        t->request->body,
        "token=t&user=u&title=a+%26+%3Cb%3E&message=a+%26amp%3B+%26lt%3Bb%26gt%3B&html=1&url="
        "&priority=2&retry=120&expire=3600&ttl=180&sound=s");
    notify_bench_free(t);
    t = notify_bench_told(notify_bench_conf(PUSHOVER), false, " ");
    (void)notify_bench_next(t);
    CHECK(notify_bench_has(t, "&message=%28no+details%29&") && notify_bench_has(t, "&priority=0&"));
    notify_bench_free(t);
    notify_bench_judges(PUSHOVER, 400, "application/json", "{\"status\":0}", false, false);
    notify_bench_judges(PUSHOVER, 429, "", "", false, false); /* the month is used up */
    notify_bench_judges(PUSHOVER, 500, "", "", false, true);
}

#define SNS(target)                                                                                \
    "sns_configs: [{" target                                                                       \
    ", sigv4: {access_key: AK, secret_key: SK}, subject: s, message: '{{ "                         \
    ".CommonAnnotations.summary }}', attributes: {k: '{{ .Status }}'}}]"

TEST(notify_sns)
{
    struct notify_bench *t = notify_bench_told(
        notify_bench_conf(SNS("topic_arn: 'arn:aws:sns:eu-west-1:1:t.fifo'")), true, "m");
    char *text = notify_bench_runes("\xc3\xbc", 801);

    CHECK_STR(notify_bench_next(t),
              "POST https://sns.eu-west-1.amazonaws.com\nX-Amz-Date: 19700101T001640Z\n"
              "Authorization: AWS4-HMAC-SHA256 Credential=AK/19700101/eu-west-1/sns/aws4_request, "
              "SignedHeaders=content-type;host;x-amz-date, "
              "Signature=714ea2ad7235dae046a06f56975ea39e33241d717758a5bbb1957e2d5256ae87\n");
    CHECK_SLICE(
        t->request->body,
        "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A1%3At.fifo"
        "&MessageGroupId=" HASH "&MessageDeduplicationId=" HASH "&Subject=s&Message=m"
        "&MessageAttributes.entry.1.Name=k&MessageAttributes.entry.1.Value.DataType=String"
        "&MessageAttributes.entry.1.Value.StringValue=firing");
    notify_bench_free(t);
    t = notify_bench_told(
        notify_bench_conf(
            "sns_configs: [{phone_number: '+1', api_url: 'http://h/', sigv4: {region: r, "
            "access_key: a, secret_key: b}, message: '{{ .CommonAnnotations.summary }}'}]"),
        true, text);
    (void)notify_bench_next(t);
    CHECK_SLICE(t->request->url, "http://h/");
    CHECK(notify_bench_has(t, "PhoneNumber=%2B1&Message=") &&
          notify_bench_has(t, "%E2%80%A6&MessageAttributes.entry.1.Name=truncated"));
    notify_bench_free(t);
    mem_free(text);
    CHECK_INT(unsetenv("AWS_ACCESS_KEY_ID"), 0);
    t = notify_bench("sns_configs: [{topic_arn: 'arn:aws:sns:r:1:t'}]");
    CHECK_ERR(notify_bench_error(t), ERR_UNAUTHORIZED, "access_key");
    notify_bench_free(t);
    /* what this process has is not for tenants */
    CHECK_INT(setenv("AWS_REGION", "here", 1) | setenv("AWS_ACCESS_KEY_ID", "AK", 1) |
                  setenv("AWS_SECRET_ACCESS_KEY", "SK", 1),
              0);
    for (int is_key = 0; is_key < 2; is_key++) {
        struct amconf *conf = notify_bench_conf_of(
            AMCONF_OF_TENANT, is_key ? "sns_configs: [{topic_arn: 'arn:aws:sns:r:1:t'}]"
                                     : "sns_configs: [{topic_arn: t}]");

        t = notify_bench_of(conf);
        CHECK_ERR(notify_bench_error(t), is_key ? ERR_UNAUTHORIZED : ERR_INVALID,
                  is_key ? "no access_key" : "no region");
        notify_bench_free(t);
    }
    CHECK_INT(unsetenv("AWS_REGION") | unsetenv("AWS_ACCESS_KEY_ID"), 0);
    notify_bench_judges(SNS("target_arn: 'arn:aws:sns:r:1:t'"), 403, "", "", false, false);
    notify_bench_judges(SNS("target_arn: 'arn:aws:sns:r:1:t'"), 503, "", "", false, true);
}

#define WECHAT                                                                                     \
    "wechat_configs: [{api_url: 'http://h/', corp_id: c, api_secret: 's&', message: m, agent_id: " \
    "'7'}]"

TEST(notify_wechat)
{
    struct notify_bench *t = notify_bench(WECHAT);
    int64_t lifetime;

    CHECK_STR(notify_bench_next(t), "GET http://h/gettoken?corpid=c&corpsecret=s%26\n");
    CHECK_OK(notify_bench_answer(t, 200, "", "{\"errcode\":0,\"access_token\":\"T\"}"));
    CHECK_SLICE(notify_render_fetched_token(t->render, &lifetime), "T");
    CHECK_INT(lifetime, 7200);
    CHECK_STR(notify_bench_next(t), "POST http://h/message/send?access_token=T\n");
    CHECK_SLICE(
        t->request->body,
        "{\"agentid\":\"7\",\"msgtype\":\"text\",\"safe\":\"0\",\"text\":{\"content\":\"m\"}}");
    CHECK_OK(notify_bench_answer(t, 200, "", "{\"errcode\":0}"));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);

    t = notify_bench(WECHAT);
    notify_render_give_token(t->render, SLICE("old"));
    CHECK_STR(notify_bench_next(t), "POST http://h/message/send?access_token=old\n");
    CHECK_ERR(notify_bench_answer(t, 200, "", "{\"errcode\":42001,\"errmsg\":\"expired\"}"),
              ERR_NET, "42001");
    CHECK(t->may_retry && notify_render_token_is_bad(t->render));
    CHECK_ERR(notify_bench_answer(t, 200, "", "{\"errcode\":60011}"), ERR_NET, "60011");
    CHECK(!t->may_retry);
    CHECK_ERR(notify_bench_answer(t, 200, "", "{"), ERR_NET, "without saying");
    CHECK(t->may_retry);
    CHECK_ERR(notify_bench_answer(t, 502, "", ""), ERR_NET, "502");
    CHECK(t->may_retry);
    notify_bench_free(t);
}

#define JIRA                                                                                       \
    "jira_configs: [{api_url: 'http://h/rest/api/2', project: P, issue_type: Bug, summary: s, "    \
    "description: {template: d, enable_update: false}, labels: [z], priority: '', "                \
    "resolve_transition: "                                                                         \
    "Close, reopen_transition: Open, reopen_duration: 1h, wont_fix_resolution: \"Won't\", "        \
    "fields: "                                                                                     \
    "{customfield_1: {value: '{{ .Status }}'}, n2: 5}}]"
#define ISSUE(status)                                                                              \
    "{\"issues\":[{\"key\":\"P-1\",\"fields\":{\"status\":{\"statusCategory\":{\"key\":\"" status  \
    "\"}}}}]}"
#define HEAD(method, path) method " http://h/rest/api/2" path "\nAccept-Language: en\n"

static struct notify_bench *jira(bool is_firing, const char *found)
{
    struct notify_bench *t = notify_bench_told(notify_bench_conf(JIRA), is_firing, "s");

    CHECK_STR(notify_bench_next(t), HEAD("POST", "/search"));
    CHECK_OK(notify_bench_answer(t, 200, "application/json", found));
    return t;
}

TEST(notify_jira_creates_an_issue)
{
    struct notify_bench *t = notify_bench_told(notify_bench_conf(JIRA), true, "s");

    CHECK_STR(notify_bench_next(t), HEAD("POST", "/search"));
    CHECK_SLICE(
        t->request->body,
        "{\"jql\":\"resolution != \\\"Won't\\\" and (resolutiondate is EMPTY OR resolutiondate >= "
        "-60m) and project=\\\"P\\\" and labels=\\\"ALERT{" HASH "}\\\" order by status "
        "ASC,resolutiondate DESC\",\"maxResults\":2,\"fields\":[\"status\"]}");
    CHECK_OK(notify_bench_answer(t, 200, "application/json", "{\"issues\":[]}"));
    CHECK_STR(notify_bench_next(t), HEAD("POST", "/issue"));
    CHECK_SLICE(t->request->body, "{\"fields\":{\"project\":{\"key\":\"P\"},\"issuetype\":{"
                                  "\"name\":\"Bug\"},\"summary\":\"s\","
                                  "\"description\":\"d\",\"labels\":[\"ALERT{" HASH
                                  "}\",\"z\"],\"customfield_1\":{\"value\":"
                                  "\"firing\"},\"n2\":5}}");
    CHECK_OK(notify_bench_answer(t, 201, "application/json", "{}"));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
    t = jira(false, "{\"issues\":[]}"); /* nothing for what is over */
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
}

TEST(notify_jira_moves_an_issue)
{
    struct notify_bench *t = jira(false, ISSUE("new"));

    CHECK_STR(notify_bench_next(t), HEAD("PUT", "/issue/P-1"));
    CHECK(slice_find(t->request->body, SLICE("description"), 0) < 0);
    CHECK_OK(notify_bench_answer(t, 204, "", ""));
    CHECK_STR(notify_bench_next(t), HEAD("GET", "/issue/P-1/transitions"));
    CHECK_OK(notify_bench_answer(
        t, 200, "application/json",
        "{\"transitions\":[{\"id\":\"3\",\"name\":\"x\"},{\"id\":\"4\",\"name\":\"Close\"}]}"));
    CHECK_STR(notify_bench_next(t), HEAD("POST", "/issue/P-1/transitions"));
    CHECK_SLICE(t->request->body, "{\"transition\":{\"id\":\"4\"}}");
    CHECK_OK(notify_bench_answer(t, 204, "", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
    t = jira(true, ISSUE("new")); /* it is as it should be */
    (void)notify_bench_next(t);
    CHECK_OK(notify_bench_answer(t, 204, "", ""));
    CHECK_STR(notify_bench_next(t), "");
    notify_bench_free(t);
    t = jira(true, ISSUE("done"));
    (void)notify_bench_next(t);
    CHECK_OK(notify_bench_answer(t, 204, "", ""));
    (void)notify_bench_next(t);
    CHECK_ERR(notify_bench_answer(t, 200, "", "{\"transitions\":[]}"), ERR_NET,
              "no transition Open of P-1");
    CHECK(!t->may_retry);
    notify_bench_free(t);
}

TEST(notify_jira_trusts_no_answer)
{
    static const char *const bad[] = {"", "[]", "{\"issues\":7}", "{\"issues\":[7]}",
                                      "{\"issues\":[{\"key\":\"../x\"}]}"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct notify_bench *t = notify_bench(JIRA);

        (void)notify_bench_next(t);
        CHECK_ERR(notify_bench_answer(t, 200, "application/json", bad[i]), ERR_NET, "jira");
        CHECK(!t->may_retry);
        notify_bench_free(t);
    }
    notify_bench_judges(JIRA, 429, "", "", false, true);
    notify_bench_judges(JIRA, 401, "", "", false, false);
}

TEST(notify_jira_speaks_to_the_cloud)
{
    struct notify_bench *t =
        notify_bench("jira_configs: [{api_url: 'https://x.atlassian.net/rest/api/3', project: P, "
                     "issue_type: Bug}]");

    CHECK_STR(notify_bench_next(t),
              "POST https://x.atlassian.net/rest/api/3/search/jql\nAccept-Language: en\n");
    CHECK_OK(notify_bench_answer(t, 200, "", "{\"issues\":[]}"));
    (void)notify_bench_next(t);
    CHECK(notify_bench_has(t, "\"description\":{\"type\":\"doc\",\"version\":1,"));
    notify_bench_free(t);
}

#define ROCKET                                                                                     \
    "rocketchat_configs: [{api_url: 'http://h', token: t, token_id: i, channel: c, title: '{{ "    \
    ".CommonAnnotations.summary }}', fields: [{title: a, value: b}], actions: [{text: x, msg: "    \
    "y}]}]"

TEST(notify_rocketchat)
{
    notify_bench_sends(
        ROCKET, true, "s", "POST http://h/api/v1/chat.postMessage\nX-Auth-Token: t\nX-User-Id: i\n",
        "\"color\":\"red\",\"fields\":[{\"title\":\"a\",\"value\":\"b\",\"short\":false}],"
        "\"actions\":[{\"type\":\"button\",\"text\":\"x\",\"msg\":\"y\"}]}]}");
    notify_bench_cuts(ROCKET, "title", 1024);
    notify_bench_judges(ROCKET, 200, "", "{\"success\":true}", true, false);
    notify_bench_judges(ROCKET, 200, "", "{\"success\":false}", false, false);
    notify_bench_judges(ROCKET, 200, "", "<html>", false, true);
}

#define MATTERMOST                                                                                 \
    "mattermost_configs: [{webhook_url: 'http://h', text: '{{ .CommonAnnotations.summary }}', "    \
    "channel: c, attachments: [{title: t, text: x, fields: [{title: a, value: b, short: "          \
    "true}]}], "                                                                                   \
    "props: {card: k}, priority: {priority: IMPORTANT, requested_ack: true, "                      \
    "persistent_notifications: true}}]"

TEST(notify_mattermost)
{
    notify_bench_sends(MATTERMOST, true, "s", "POST http://h\n",
                       "{\"text\":\"s\",\"username\":\"Alertmanager\",\"channel\":\"c\","
                       "\"attachments\":[{\"title\":\"t\","
                       "\"text\":\"x\",\"fields\":[{\"title\":\"a\",\"value\":\"b\",\"short\":true}"
                       "]}],\"props\":{\"card\":"
                       "\"k\"},\"priority\":{\"priority\":\"important\",\"requested_ack\":true}}");
    notify_bench_sends("mattermost_configs: [{webhook_url: 'http://h', text: x, color: '#fff'}]",
                       true, "s", "POST http://h\n", "\"attachments\":[{\"color\":\"#fff\"}]}");
    notify_bench_cuts(MATTERMOST, "text", 16383);
}

TEST(notify_incidentio)
{
    const char *hook =
        "incidentio_configs: [{url: 'http://h', alert_source_token: t, metadata: {team: '{{ "
        ".Receiver }}'}}]";
    char *big = notify_bench_runes("x", 200000);
    struct notify_bench *t = notify_bench_told(notify_bench_conf(hook), true, big);

    (void)notify_bench_next(t); /* twice in each alert's and once in the common annotations */
    CHECK(notify_bench_has(t, "\"truncatedAlerts\":1,\"metadata\":{\"team\":\"r\"}}"));
    notify_bench_free(t);
    mem_free(big);
    notify_bench_sends(hook, true, "s", "POST http://h\nAuthorization: Bearer t\n",
                       "\"version\":\"1\",\"groupKey\":\"g\",\"truncatedAlerts\":0,");
    notify_bench_judges(hook, 202, "", "", true, false);
    notify_bench_judges(hook, 429, "", "", false, true);
}
