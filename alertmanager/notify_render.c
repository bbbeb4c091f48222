#include "alertmanager/notify_render.h"

#include "alertmanager/amroute.h"
#include "alertmanager/notify_internal.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/objstore/sigv4.h"

static const struct notify_kind *const kinds[] = {
    &notify_kind_webhook,    &notify_kind_slack,      &notify_kind_pagerduty,
    &notify_kind_opsgenie,   &notify_kind_victorops,  &notify_kind_discord,
    &notify_kind_msteams,    &notify_kind_msteamsv2,  &notify_kind_webex,
    &notify_kind_telegram,   &notify_kind_email,      &notify_kind_pushover,
    &notify_kind_sns,        &notify_kind_wechat,     &notify_kind_jira,
    &notify_kind_rocketchat, &notify_kind_mattermost, &notify_kind_incidentio,
};

const struct notify_kind *notify_kind_find(const char *name)
{
    for (size_t i = 0; i < ORR_COUNT(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

void notify_fail(struct notify_render *r, struct err *e)
{
    if (r->e)
        err_free(e);
    else
        r->e = e;
}

/* ---- life ---- */

static struct labels copy_labels(struct arena *a, struct labels ls)
{
    struct label *copy = arena_array(a, struct label, ls.n + 1);

    for (size_t i = 0; i < ls.n; i++)
        copy[i] = (struct label){arena_dup(a, ls.ptr[i].name), arena_dup(a, ls.ptr[i].value)};
    return (struct labels){copy, ls.n};
}

static struct gotime time_of(int64_t ns)
{
    int64_t s = ns / NS_PER_S - (ns % NS_PER_S < 0);

    return (struct gotime){.unix_s = s, .ns = (int32_t)(ns - s * NS_PER_S)};
}

static void fill_data(struct notify_render *r, int64_t now_ns)
{
    struct template_am_alert *list =
        arena_array(r->arena, struct template_am_alert, r->alerts.len + 1);

    for (size_t i = 0; i < r->alerts.len; i++) {
        const struct alert *a = r->alerts.ptr[i];

        list[i] = (struct template_am_alert){
            .labels = a->labels,
            .annotations = a->annotations,
            .starts_at = time_of(a->starts_ns),
            .ends_at = time_of(a->ends_ns),
            .is_resolved = alert_is_resolved(a, r->note.now_ns),
            .generator_url = a->generator_url,
            .fingerprint = a->fingerprint,
        };
        r->is_firing |= !list[i].is_resolved;
    }
    r->data = (struct template_am){
        .receiver = r->note.receiver,
        .external_url = r->external_url,
        .reason = slice_cstr(nflog_reason_text(r->note.reason)),
        .group_labels = r->note.group_labels,
        .alerts = list,
        .n_alerts = r->alerts.len,
        .now_ns = now_ns,
    };
}

/* Templates: on the worker. */
static void fill_route_labels(struct notify_render *r)
{
    uint64_t steps = AMROUTE_LABEL_STEPS;

    if (r->note.route && !r->has_route_labels)
        r->note.route_labels = r->data.route_labels =
            amroute_labels(r->arena, r->conf, r->note.route, &r->data, &steps);
    r->has_route_labels = true;
}

/* Hashed: it is kept as long as a token, and made of secrets, however long they are. */
static struct slice token_key(struct notify_render *r)
{
    struct slice s =
        r->kind && r->kind->token_key ? r->kind->token_key(r) : notify_http_token_key(r);
    char hex[SIGV4_HEX_BYTES];

    if (!s.len)
        return s;
    sigv4_sha256_hex(s, hex);
    return slice_cstr(arena_strdup(r->arena, hex));
}

struct notify_render *notify_render_new(struct amconf *conf, const struct dispatch_note *note,
                                        struct slice external_url, int64_t now_ns)
{
    struct notify_render *r = mem_new(struct notify_render);

    r->arena = arena_new(NOTIFY_MAX_BYTES);
    r->conf = amconf_ref(conf);
    r->integration = note->integration;
    r->settings = note->integration->settings;
    r->kind = notify_kind_find(note->integration->kind);
    r->external_url = arena_dup(r->arena, external_url);
    r->note = *note;
    r->note.conf = conf;
    r->note.group_key = arena_dup(r->arena, note->group_key);
    r->note.receiver = arena_dup(r->arena, note->receiver);
    r->note.group_labels = copy_labels(r->arena, note->group_labels);
    VEC_FOREACH (a, note->alerts)
        vec_push(&r->alerts, alert_ref(*a));
    r->note.alerts = &r->alerts;
    fill_data(r, now_ns);
    r->token_key = token_key(r);
    return r;
}

void notify_render_free(struct notify_render *r)
{
    if (!r)
        return;
    alert_vec_done(&r->alerts);
    amconf_unref(r->conf);
    err_free(r->e);
    arena_free(r->arena);
    mem_free(r);
}

/* ---- requests and answers ---- */

struct err *notify_render_next(struct notify_render *r, const struct notify_request **ret,
                               bool *ret_may_retry)
{
    struct err *e;

    *ret_may_retry = false;
    if (!r->kind)
        return err_new(ERR_UNSUPPORTED, "%s: receivers of this kind are not supported",
                       r->integration->kind);
    fill_route_labels(r);
    r->request = (struct notify_request){.method = "POST"};
    r->is_fetching = r->token_key.len && !r->token.len && !r->kind->token_key;
    if (r->is_fetching)
        notify_http_fetch(r);
    else if (!r->is_told)
        r->kind->build(r);
    if (!r->e && !r->is_told && !r->request.mail)
        notify_http(r);
    if (!r->e && arena_over(r->arena))
        r->e = err_new(ERR_LIMIT, "the notification needs more than %u bytes of memory",
                       NOTIFY_MAX_BYTES);
    r->step += !r->is_fetching;
    if (!r->e && ++r->requests > NOTIFY_MAX_REQUESTS)
        r->e = err_new(ERR_LIMIT, "more than %d requests", NOTIFY_MAX_REQUESTS);
    if ((e = r->e)) {
        r->e = NULL;
        *ret_may_retry = r->may_retry;
        return err_wrap(e, "%s", r->integration->kind);
    }
    *ret = r->is_told ? NULL : &r->request;
    return NULL;
}

struct slice notify_render_token_key(const struct notify_render *r)
{
    return r->token_key;
}

void notify_render_give_token(struct notify_render *r, struct slice token)
{
    r->token = arena_dup(r->arena, token);
    r->was_given = true;
}

struct slice notify_render_fetched_token(struct notify_render *r, int64_t *ret_lifetime_s)
{
    bool was_fetched = r->was_fetched;

    r->was_fetched = false;
    *ret_lifetime_s = r->token_lifetime_s;
    return was_fetched && r->token.len <= NOTIFY_MAX_TOKEN ? r->token : SLICE_EMPTY;
}

bool notify_render_token_is_bad(const struct notify_render *r)
{
    return r->is_token_bad;
}

/* Of an answer, for the log: its beginning, in one line. */
static struct slice excerpt(struct notify_render *r, struct slice body)
{
    struct slice s = arena_dup(r->arena, slice_sub(slice_trim(body), 0, 200));
    uint8_t *p = (uint8_t *)(uintptr_t)s.ptr;

    for (size_t i = 0; i < s.len; i++)
        p[i] = p[i] < ' ' || p[i] >= 0x7f ? ' ' : p[i];
    return s;
}

struct err *notify_render_judge(struct notify_render *r, const struct notify_answer *a,
                                bool *ret_may_retry)
{
    struct err *e = NULL;

    *ret_may_retry = a->status / 100 == 5 || a->status == 429;
    if (r->is_fetching)
        return notify_http_fetched(r, a, ret_may_retry);
    r->is_token_bad = a->status == 401 && r->token.len;
    if (r->is_token_bad && r->was_given)
        *ret_may_retry = true; /* it may have been taken back meanwhile */
    if (r->kind->judge && (e = r->kind->judge(r, a, ret_may_retry)))
        return e;
    if (a->status / 100 == 2)
        return NULL;
    if (a->body.len)
        return err_new(ERR_NET, "%s answered %d: %.*s", r->kind->name, a->status,
                       SLICE_ARG(excerpt(r, a->body)));
    return err_new(ERR_NET, "%s answered %d", r->kind->name, a->status);
}

void notify_post(struct notify_render *r, struct slice url, struct buf *body)
{
    if (!buf_ok(body))
        notify_fail(r, err_new(ERR_LIMIT, "the request is larger than %u bytes", NOTIFY_MAX_BODY));
    r->request.url = notify_url(r, url);
    r->request.content_type = "application/json";
    r->request.body = arena_dup(r->arena, buf_slice(body));
    buf_done(body);
}

void notify_header(struct notify_render *r, const char *name, struct slice value)
{
    struct notify_request *q = &r->request;

    q->headers = arena_more(r->arena, q->headers, q->n_headers);
    q->headers[q->n_headers++] = arena_printf(r->arena, "%s: %.*s", name, SLICE_ARG(value));
}
