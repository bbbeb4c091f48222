/*
 * What the receivers share. One is a struct notify_kind in a file of its own: build() writes the next request from the
 * settings, judge() says what an answer means. Errors latch in the struct notify_render: what is called after one gives
 * nothing, and build() is asked once at its end.
 */
#pragma once
#include "alertmanager/notify_render.h"
#include "common/base/clock.h"
#include "common/template/template_am.h"

struct notify_kind {
    const char *name;
    /* Request number r->step, from 0, into r->request; sets r->is_told when there is none. */
    void (*build)(struct notify_render *r);
    /* Why an answer is a refusal; NULL: as its status says. *may_retry, whether another attempt may help, comes in as
     * the status says, too. NULL: the status alone. */
    struct err *(*judge)(struct notify_render *r, const struct notify_answer *a, bool *may_retry);
    /* A token of the kind's own, which its build() fetches when r->token is empty; NULL: none. */
    struct slice (*token_key)(struct notify_render *r);
};
extern const struct notify_kind notify_kind_webhook, notify_kind_slack, notify_kind_pagerduty,
    notify_kind_opsgenie, notify_kind_victorops, notify_kind_discord, notify_kind_msteams,
    notify_kind_msteamsv2, notify_kind_webex, notify_kind_telegram, notify_kind_email,
    notify_kind_pushover, notify_kind_sns, notify_kind_wechat, notify_kind_jira,
    notify_kind_rocketchat, notify_kind_mattermost, notify_kind_incidentio;
/* NULL: no such receiver can be told yet. */
const struct notify_kind *notify_kind_find(const char *name);

struct notify_render {
    struct arena *arena;
    struct amconf *conf;
    const struct notify_kind *kind;
    const struct amconf_integration *integration;
    const struct yaml_node *settings; /* the receiver's */
    struct dispatch_note note;
    alert_vec alerts;
    struct slice external_url;
    bool is_firing; /* any of the alerts is */
    struct template_am data;
    struct value dot; /* data, once it is needed */
    bool has_dot, has_route_labels;
    uint64_t steps; /* of templates */
    unsigned step;  /* requests built by the kind */
    unsigned requests;
    struct notify_request request;
    void *state; /* what the kind keeps from request to request, in the arena */
    bool is_told, may_retry;
    /* a token to speak with */
    struct slice token_key, token;
    int64_t token_lifetime_s;
    bool is_fetching;    /* the request is for one */
    bool was_fetched;    /* this token, and nobody has asked for it yet */
    bool was_given;      /* it is somebody else's */
    bool is_token_bad;   /* it was refused */
    bool is_kinds_fetch; /* the request is for the kind's own token */
    bool sends_secret;   /* in the form: the server did not take it as basic auth */
    struct err *e;
};

/* Takes e; the first stays. */
void notify_fail(struct notify_render *r, struct err *e);

/* ---- settings ---- */

/* The text of a setting as it stands, def when there is none. node: the receiver's settings, or a part of them. */
struct slice notify_raw(const struct yaml_node *node, const char *key, const char *def);
bool notify_bool(const struct yaml_node *node, const char *key, bool def);
/* Expanded. */
struct slice notify_text(struct notify_render *r, const char *key, const char *def);
struct slice notify_text_of(struct notify_render *r, const struct yaml_node *node, const char *key,
                            const char *def);
/* Item i of a mapping, expanded: looking each up by its name would be quadratic. */
struct slice notify_text_at(struct notify_render *r, const struct yaml_node *map, size_t i);
/* Expands a text; what: for errors. is_html: its values are escaped. */
struct slice notify_expand(struct notify_render *r, const char *what, struct slice text,
                           bool is_html);
/* A setting or, trimmed, the file that KEY_file names; the receiver's, or when it has neither that of global_key (NULL:
 * none) in global. Not expanded. "" when there is none. */
struct slice notify_secret(struct notify_render *r, const char *key, const char *global_key);
struct slice notify_secret_of(struct notify_render *r, const struct yaml_node *node,
                              const char *key);
struct slice notify_file(struct notify_render *r, struct slice path); /* trimmed */
/* The receiver's, global's, or def. */
struct slice notify_address(struct notify_render *r, const char *key, const char *global_key,
                            const char *def);
/* A list of mappings: the number of its items, 0 when absent. */
size_t notify_items(const struct yaml_node *list);

/* ---- requests ---- */

/* A POST of JSON; takes the body's bytes. */
void notify_post(struct notify_render *r, struct slice url, struct buf *body);
void notify_header(struct notify_render *r, const char *name, struct slice value);
/* The "fields" of Slack's attachments, which others took over. */
void notify_slack_fields(struct notify_render *r, struct buf *b, const struct yaml_node *node);
/* A token was fetched. */
void notify_token(struct notify_render *r, struct slice token, int64_t lifetime_s);
/* How http_config has requests sent. */
void notify_http(struct notify_render *r);
const struct http_client_tls *notify_http_tls(struct notify_render *r, const struct yaml_node *tls);
/* Which token http_config needs, and the request for it. */
struct slice notify_http_token_key(struct notify_render *r);
void notify_http_fetch(struct notify_render *r);
/* An answer with a token: {"access_token": …, "expires_in": …}. */
struct err *notify_http_fetched(struct notify_render *r, const struct notify_answer *a,
                                bool *ret_may_retry);
/* &name=value, encoded as in a form. */
void notify_form(struct buf *b, const char *name, struct slice value);
/* ,"key":"text" */
void notify_json(struct buf *b, const char *key, struct slice text);
void notify_json_some(struct buf *b, const char *key, struct slice text); /* "": left out */
void notify_json_key(struct buf *b, const char *key);                     /* ,"key": */
/* A value of the configuration as JSON, its texts expanded; a text that then reads as YAML of another kind (a number, a
 * list) is that, as Alertmanager has it. */
void notify_value(struct notify_render *r, struct buf *b, const char *what,
                  const struct yaml_node *n);
/* Reads a text as notify_value does. */
void notify_value_text(struct notify_render *r, struct buf *b, struct slice text);
/* NULL when the answer is no JSON; json_decref() it. */
struct json_t *notify_answer_json(const struct notify_answer *a);
/* Of an answer that refuses, or not, in JSON: told if the member is true, else "error" says why, for good; broken JSON may be tried again. */
ORR_CHECKED struct err *notify_judge_json(const struct notify_answer *a, const char *who,
                                          const char *member, bool *may_retry);

/* SHA-256 of the group's key in hexadecimal: what tells groups apart elsewhere. */
struct slice notify_key_hash(struct notify_render *r);
/* At most max runes (or bytes), the last of them an ellipsis when something was cut. */
struct slice notify_cut_runes(struct notify_render *r, struct slice s, size_t max);
struct slice notify_cut_bytes(struct notify_render *r, struct slice s, size_t max);
/* Percent-encodes what an address cannot hold as it stands. */
struct slice notify_url(struct notify_render *r, struct slice s);

/* The addresses of "name <address>, …"; fails when one is none, or there is none. */
const char **notify_mail_addresses(struct notify_render *r, const char *what, struct slice list,
                                   size_t *ret_n);
/* "Name: value\r\n", in encoded words when the value is not plain ASCII of one line. */
void notify_mail_header(struct buf *b, const char *name, struct slice value);
/* In quoted-printable, with a line break at its end. */
void notify_mail_body(struct buf *b, struct slice s);

/* The body of Alertmanager's webhook. max_alerts 0: all. */
void notify_webhook_body(struct buf *out, const struct dispatch_note *note,
                         struct slice external_url, size_t max_alerts, const char *version);
