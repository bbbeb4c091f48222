/*
 * WeChat (Work): a token of the corporation is fetched and kept, the message is sent with it. Both answer 200 and say in
 * JSON how it went: a token that has expired may be tried again (with another), the rest is final.
 */
#include "alertmanager/notify_internal.h"

#define API_URL "https://qyapi.weixin.qq.com/cgi-bin/"
#define TOKEN_LIFETIME_S 7200
#define TOKEN_INVALID 40014
#define TOKEN_EXPIRED 42001

static struct slice token_key(struct notify_render *r)
{
    static const char *const keys[][2] = {{"corp_id", "wechat_api_corp_id"},
                                          {"api_url", "wechat_api_url"},
                                          {"api_secret", "wechat_api_secret"},
                                          {"api_secret_file", "wechat_api_secret_file"}};
    struct buf b = {0};
    struct slice ret;

    buf_str(&b, "wechat");
    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        buf_lstr(&b, notify_raw(r->settings, keys[i][0], NULL));
        buf_lstr(&b, notify_raw(r->conf->global, keys[i][1], NULL));
    }
    ret = arena_dup(r->arena, buf_slice(&b));
    buf_done(&b);
    return ret;
}

static struct slice base(struct notify_render *r)
{
    struct slice s = notify_address(r, "api_url", "wechat_api_url", API_URL);

    if (slice_has_suffix(s, SLICE("/")))
        s.len--;
    return s;
}

static void fetch(struct notify_render *r)
{
    struct slice secret = notify_secret(r, "api_secret", "wechat_api_secret");
    struct slice corp = notify_raw(r->settings, "corp_id", NULL);
    struct buf query = {0};

    corp = corp.len ? corp : notify_raw(r->conf->global, "wechat_api_corp_id", NULL);
    notify_form(&query, "corpid", notify_expand(r, "corp_id", corp, false));
    notify_form(&query, "corpsecret", notify_expand(r, "api_secret", secret, false));
    r->request.method = "GET";
    r->request.url = slice_cstr(arena_printf(r->arena, "%.*s/gettoken?%.*s", SLICE_ARG(base(r)),
                                             SLICE_ARG(buf_slice(&query))));
    r->is_kinds_fetch = true;
    buf_done(&query);
}

static void send(struct notify_render *r)
{
    static const char *const who[][3] = {
        {"touser", "to_user", "{{ template \"wechat.default.to_user\" . }}"},
        {"toparty", "to_party", "{{ template \"wechat.default.to_party\" . }}"},
        {"totag", "to_tag", "{{ template \"wechat.default.to_tag\" . }}"},
        {"agentid", "agent_id", "{{ template \"wechat.default.agent_id\" . }}"},
    };
    struct slice type = notify_raw(r->settings, "message_type", "text");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY}, query = {0};

    type = slice_eq_cstr(type, "markdown") ? type : SLICE("text");
    buf_byte(&b, '{');
    for (size_t i = 0; i < ORR_COUNT(who); i++)
        notify_json_some(&b, who[i][0], notify_text(r, who[i][1], who[i][2]));
    notify_json(&b, "msgtype", type);
    notify_json(&b, "safe", SLICE("0"));
    notify_json_key(&b, arena_cstr(r->arena, type));
    buf_byte(&b, '{');
    notify_json(&b, "content",
                notify_text(r, "message", "{{ template \"wechat.default.message\" . }}"));
    buf_str(&b, "}}");
    notify_form(&query, "access_token", r->token);
    notify_post(r,
                slice_cstr(arena_printf(r->arena, "%.*s/message/send?%.*s", SLICE_ARG(base(r)),
                                        SLICE_ARG(buf_slice(&query)))),
                &b);
    r->is_kinds_fetch = false;
    buf_done(&query);
}

static void build(struct notify_render *r)
{
    if ((r->is_told = r->step > 0 && !r->is_kinds_fetch))
        return;
    if (r->token.len)
        send(r);
    else
        fetch(r);
}

/* The answer's JSON, or why there is none. */
static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    json_t *root, *token, *code;
    struct err *e = NULL;
    json_int_t n;

    if (a->status != 200)
        return NULL;
    root = notify_answer_json(a);
    token = json_object_get(root, "access_token");
    code = json_object_get(root, "errcode");
    n = json_integer_value(code);
    if (!root || (!r->is_kinds_fetch && !json_is_integer(code))) {
        *may_retry = true;
        e = err_new(ERR_NET, "wechat answered 200 without saying how it went");
    } else if (n || (r->is_kinds_fetch && !json_string_length(token))) {
        const char *text = json_string_value(json_object_get(root, "errmsg"));

        r->is_token_bad = *may_retry =
            !r->is_kinds_fetch && (n == TOKEN_EXPIRED || n == TOKEN_INVALID);
        e = err_new(ERR_NET, "wechat refused: %lld %.200s", (long long)n, text ? text : "");
    } else if (r->is_kinds_fetch) {
        notify_token(r, slice_of(json_string_value(token), json_string_length(token)),
                     TOKEN_LIFETIME_S);
    }
    json_decref(root);
    return e;
}

const struct notify_kind notify_kind_wechat = {
    .name = "wechat", .build = build, .judge = judge, .token_key = token_key};
