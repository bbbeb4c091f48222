/*
 * Amazon SNS: Publish of its query API, signed with Signature Version 4. A topic, a phone or an endpoint; what is too long
 * is cut (bytes) and said so in the attribute "truncated". The keys are those of sigv4, or of the environment.
 */
#include <stdlib.h>

#include "alertmanager/notify_internal.h"
#include "common/objstore/sigv4.h"

#define MAX_BYTES (256u * 1024)
#define MAX_SMS_BYTES 1600
#define MAX_SUBJECT_BYTES 100

struct target {
    struct slice topic, phone, endpoint;
    struct slice region, url;
};

/* arn:aws:sns:REGION:… */
static struct slice region_of(struct slice arn)
{
    struct slice part = SLICE_EMPTY;

    for (int i = 0; i < 4; i++)
        if (!slice_split(&arn, ':', &part))
            return SLICE_EMPTY;
    return part;
}

/* Of this process; not for tenants. */
static struct slice environment(const struct notify_render *r, const char *name)
{
    return slice_cstr(r->conf->is_of_tenant ? NULL : getenv(name));
}

static struct target target_of(struct notify_render *r)
{
    const struct yaml_node *sigv4 = yaml_get(r->settings, "sigv4");
    struct target t = {.topic = notify_text(r, "topic_arn", NULL),
                       .phone = notify_text(r, "phone_number", NULL),
                       .endpoint = notify_text(r, "target_arn", NULL),
                       .region = notify_raw(sigv4, "region", NULL),
                       .url = notify_text(r, "api_url", NULL)};

    if (!t.region.len)
        t.region = region_of(t.topic.len ? t.topic : t.endpoint);
    if (!t.region.len)
        t.region = arena_dup(r->arena, environment(r, "AWS_REGION"));
    if (!t.url.len && t.region.len)
        t.url = slice_cstr(
            arena_printf(r->arena, "https://sns.%.*s.amazonaws.com", SLICE_ARG(t.region)));
    if (!r->e && !t.region.len)
        notify_fail(r, err_new(ERR_INVALID, "sigv4: no region"));
    return t;
}

static void add_attribute(struct buf *b, size_t i, struct slice name, struct slice value)
{
    char key[80];

    snprintf(key, sizeof(key), "MessageAttributes.entry.%zu.Name", i);
    notify_form(b, key, name);
    snprintf(key, sizeof(key), "MessageAttributes.entry.%zu.Value.DataType", i);
    notify_form(b, key, SLICE("String"));
    snprintf(key, sizeof(key), "MessageAttributes.entry.%zu.Value.StringValue", i);
    notify_form(b, key, value);
}

static void add_message(struct notify_render *r, struct buf *b, const struct target *t)
{
    const struct yaml_node *attributes = yaml_get(r->settings, "attributes");
    struct slice text = notify_text(r, "message", "{{ template \"sns.default.message\" . }}");
    struct slice subject = notify_text(r, "subject", "{{ template \"sns.default.subject\" . }}");
    struct slice cut = notify_cut_bytes(r, text, t->phone.len ? MAX_SMS_BYTES : MAX_BYTES);
    size_t n = 0;

    if (subject.len && !t->phone.len)
        notify_form(b, "Subject", notify_cut_bytes(r, subject, MAX_SUBJECT_BYTES));
    notify_form(b, "Message", cut);
    for (size_t i = 0; attributes && attributes->kind == YAML_KIND_MAP && i < attributes->n; i++) {
        struct slice name = attributes->keys[i].text;

        add_attribute(b, ++n, notify_expand(r, "attributes", name, false),
                      notify_text_at(r, attributes, i));
    }
    if (cut.len != text.len)
        add_attribute(b, ++n, SLICE("truncated"), SLICE("true"));
}

static void add_target(struct notify_render *r, struct buf *b, const struct target *t)
{
    if (t->topic.len)
        notify_form(b, "TopicArn", t->topic);
    if (t->phone.len)
        notify_form(b, "PhoneNumber", t->phone);
    if (t->endpoint.len)
        notify_form(b, "TargetArn", t->endpoint);
    if (slice_has_suffix(t->topic, SLICE(".fifo"))) {
        notify_form(b, "MessageGroupId", notify_key_hash(r));
        notify_form(b, "MessageDeduplicationId", notify_key_hash(r));
    }
}

static struct slice key_of(const struct notify_render *r, const char *key, const char *variable)
{
    struct slice s = notify_raw(yaml_get(r->settings, "sigv4"), key, NULL);

    return s.len ? s : environment(r, variable);
}

static void sign(struct notify_render *r, const struct target *t)
{
    const struct yaml_node *sigv4 = yaml_get(r->settings, "sigv4");
    struct slice rest = r->request.url, host, token = SLICE_EMPTY;
    ptrdiff_t scheme = slice_find(rest, SLICE("://"), 0), slash;
    char hash[SIGV4_HEX_BYTES], date[SIGV4_DATE_BYTES];
    struct sigv4_key key = {key_of(r, "access_key", "AWS_ACCESS_KEY_ID"),
                            key_of(r, "secret_key", "AWS_SECRET_ACCESS_KEY"), t->region,
                            SLICE("sns")};
    struct sigv4_signed signature;
    struct buf path = {0}, authorization = {0};

    if (!key.access.len || !key.secret.len) {
        notify_fail(r, err_new(ERR_UNAUTHORIZED, "sigv4: no access_key and secret_key"));
        return;
    }
    if (!notify_raw(sigv4, "access_key", NULL).len)
        token = environment(r, "AWS_SESSION_TOKEN");
    rest = slice_from(rest, scheme < 0 ? 0 : (size_t)scheme + 3);
    slash = slice_find_byte(rest, '/', 0);
    host = slash < 0 ? rest : slice_sub(rest, 0, (size_t)slash);
    sigv4_encode(&path, slash < 0 ? SLICE("/") : slice_from(rest, (size_t)slash));
    sigv4_sha256_hex(r->request.body, hash);
    sigv4_date(r->data.now_ns / NS_PER_S, date);
    {
        struct sigv4_pair headers[] = {
            {SLICE("content-type"), slice_cstr(r->request.content_type)},
            {SLICE("host"), host},
            {SLICE("x-amz-date"), slice_cstr(date)},
            {SLICE("x-amz-security-token"), token},
        };
        struct sigv4_request q = {.method = "POST",
                                  .path = buf_slice(&path),
                                  .headers = headers,
                                  .n_headers = token.len ? 4 : 3,
                                  .payload_hash = slice_cstr(hash)};

        sigv4_sign(&key, &q, date, &authorization, &signature);
    }
    notify_header(r, "X-Amz-Date", slice_cstr(date));
    if (token.len)
        notify_header(r, "X-Amz-Security-Token", token);
    notify_header(r, "Authorization", buf_slice(&authorization));
    buf_done(&path);
    buf_done(&authorization);
}

static void build(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct target t;

    if ((r->is_told = r->step > 0))
        return;
    t = target_of(r);
    notify_form(&b, "Action", SLICE("Publish"));
    notify_form(&b, "Version", SLICE("2010-03-31"));
    add_target(r, &b, &t);
    add_message(r, &b, &t);
    notify_post(r, t.url, &b);
    r->request.content_type = "application/x-www-form-urlencoded";
    if (!r->e)
        sign(r, &t);
}

const struct notify_kind notify_kind_sns = {.name = "sns", .build = build};
