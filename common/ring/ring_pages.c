#include "common/ring/ring_pages.h"

#include <time.h>

#include "common/base/mem.h"
#include "common/net/http_server.h"
#include "common/ring/membership_internal.h"
#include "common/ring/tokens.h"

static const uint32_t page_roles[] = {
#define X(sym, name, bit) sym,
    MEMBER_ROLES(X)
#undef X
};

/* ---- rendering ---- */

static void put_time(struct buf *out, int64_t ms)
{
    char text[32];
    time_t s = (time_t)(ms / MS_PER_S);
    struct tm tm;

    if (ms && gmtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        buf_str(out, text);
}

static void html_begin(struct buf *out, const char *title)
{
    buf_printf(out,
               "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>"
               "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
               "td,th{padding:3px 10px;border-bottom:1px solid #ccc;text-align:left}"
               ".bad{color:#b00}</style></head><body><h1>%s</h1>"
               "<p><a href=\"ring\">ring</a> <a href=\"memberlist\">memberlist</a></p>\n",
               title, title);
}

static void html_end(struct buf *out)
{
    buf_str(out, "</body></html>\n");
}

static void html_forget(struct buf *out, const char *page, const struct member *m)
{
    buf_printf(out, "<td><form method=\"post\" action=\"%s\"><button name=\"forget\" value=\"",
               page);
    buf_html(out, slice_cstr(m->instance));
    buf_str(out, "\">forget</button></form></td>");
}

static void json_field(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\":", name);
    buf_json_str(out, slice_cstr(value));
    buf_byte(out, ',');
}

/* Shares of the ring among the instances of one zone. */
static double *shares_of(const struct ring *r)
{
    size_t n = ring_size(r);
    double *ret = mem_new_array(double, n + 1), *zone_shares = mem_new_array(double, n + 1);
    struct tokens_owner *owners = mem_new_array(struct tokens_owner, n + 1);

    for (size_t first = 0; first < n; first++) {
        size_t k = 0;

        if (ret[first] > 0 || !ring_member(r, first)->n_tokens)
            continue;
        for (size_t i = first; i < n; i++)
            if (ring_zone(r, i) == ring_zone(r, first))
                owners[k++] =
                    (struct tokens_owner){ring_member(r, i)->tokens, ring_member(r, i)->n_tokens};
        tokens_shares(owners, k, zone_shares);
        k = 0;
        for (size_t i = first; i < n; i++)
            if (ring_zone(r, i) == ring_zone(r, first))
                ret[i] = zone_shares[k++];
    }
    mem_free(owners);
    mem_free(zone_shares);
    return ret;
}

static void html_instance(struct buf *out, const struct ring *r, size_t i, double share)
{
    const struct member *m = ring_member(r, i);

    buf_str(out, "<tr><td>");
    buf_html(out, slice_cstr(m->instance));
    buf_str(out, "</td><td>");
    buf_html(out, slice_cstr(m->zone));
    buf_printf(out, "</td><td>%s</td><td%s</td><td>", member_state_name(m->state),
               ring_is_healthy(r, i) ? ">healthy" : " class=\"bad\">unhealthy");
    buf_html(out, slice_cstr(m->rpc_addr));
    buf_str(out, "</td><td>");
    buf_html(out, slice_cstr(m->http_addr));
    buf_printf(out, "</td><td>%zu</td><td>%.2f%%</td><td>", m->n_tokens, share * 100);
    put_time(out, m->registered_ms);
    buf_str(out, "</td><td>");
    put_time(out, m->state_ms);
    buf_str(out, "</td>");
    html_forget(out, "ring", m);
    buf_str(out, "</tr>\n");
}

static void json_instance(struct buf *out, const struct ring *r, size_t i, double share)
{
    const struct member *m = ring_member(r, i);
    struct buf roles = {0};

    member_roles_text(&roles, m->roles);
    buf_byte(out, '{');
    json_field(out, "instance", m->instance);
    json_field(out, "zone", m->zone);
    json_field(out, "roles", buf_cstr(&roles));
    json_field(out, "state", member_state_name(m->state));
    json_field(out, "rpc", m->rpc_addr);
    json_field(out, "http", m->http_addr);
    buf_printf(out, "\"healthy\":%s,\"tokens\":%zu,\"share\":%.6f,\"registered\":\"",
               ring_is_healthy(r, i) ? "true" : "false", m->n_tokens, share);
    put_time(out, m->registered_ms);
    buf_str(out, "\",\"since\":\"");
    put_time(out, m->state_ms);
    buf_str(out, "\"}");
    buf_done(&roles);
}

static void html_ring(struct buf *out, const struct ring *r, const char *title)
{
    double *shares = shares_of(r);

    buf_printf(out,
               "<h2>%s</h2><p>replication factor %u, %zu active of %zu, %zu zones</p>"
               "<table><tr><th>instance<th>zone<th>state<th>health<th>rpc<th>http<th>tokens"
               "<th>share of its zone<th>registered<th>state since<th></tr>\n",
               title, ring_rf(r), ring_active(r), ring_size(r), ring_zones(r));
    for (size_t i = 0; i < ring_size(r); i++)
        html_instance(out, r, i, shares[i]);
    buf_str(out, "</table>\n");
    mem_free(shares);
}

static void json_ring(struct buf *out, const struct ring *r, const char *role, const char *signals)
{
    double *shares = shares_of(r);

    buf_byte(out, '{');
    json_field(out, "role", role);
    json_field(out, "signals", signals);
    buf_printf(out, "\"rf\":%u,\"active\":%zu,\"zones\":%zu,\"instances\":[", ring_rf(r),
               ring_active(r), ring_zones(r));
    for (size_t i = 0; i < ring_size(r); i++) {
        if (i)
            buf_byte(out, ',');
        json_instance(out, r, i, shares[i]);
    }
    buf_str(out, "]}");
    mem_free(shares);
}

static void put_ring(struct membership *ms, uint32_t role, uint32_t signal, bool as_json,
                     bool is_first, struct buf *out)
{
    struct ring *r = membership_ring(ms, role, signal);
    struct buf role_text = {0}, signal_text = {0}, title = {0};

    member_roles_text(&role_text, role);
    member_signals_text(&signal_text, signal);
    if (as_json) {
        if (!is_first)
            buf_byte(out, ',');
        json_ring(out, r, buf_cstr(&role_text), buf_cstr(&signal_text));
    } else if (ring_size(r)) {
        buf_printf(&title, "%s %s", buf_cstr(&role_text), buf_cstr(&signal_text));
        html_ring(out, r, buf_cstr(&title));
    }
    buf_done(&role_text);
    buf_done(&signal_text);
    buf_done(&title);
    ring_unref(r);
}

void ring_pages_ring(struct membership *ms, uint32_t role, bool as_json, struct buf *out)
{
    bool is_first = true;

    if (as_json)
        buf_str(out, "{\"rings\":[");
    else
        html_begin(out, "Ring");
    for (size_t k = 0; k < ORR_COUNT(page_roles); k++) {
        if (role && role != page_roles[k])
            continue;
        for (uint32_t signal = 1; signal <= MEMBER_PROFILES; signal <<= 1) {
            bool is_ingester = page_roles[k] == MEMBER_INGESTER;

            put_ring(ms, page_roles[k], is_ingester ? signal : 0, as_json, is_first, out);
            is_first = false;
            if (!is_ingester)
                break;
        }
    }
    if (as_json)
        buf_str(out, "]}\n");
    else
        html_end(out);
}

static void json_counters(struct buf *out, const struct gossip_metrics *c)
{
    buf_printf(
        out,
        "{\"sent\":%llu,\"received\":%llu,\"refused\":%llu,\"merged\":%llu,\"refuted\":%llu,"
        "\"forgotten\":%llu,\"deltas\":%llu,\"deltas_dropped\":%llu,\"name_conflicts\":%llu}",
        (unsigned long long)c->sent, (unsigned long long)c->received,
        (unsigned long long)c->refused, (unsigned long long)c->merged,
        (unsigned long long)c->refuted, (unsigned long long)c->forgotten,
        (unsigned long long)c->deltas_queued, (unsigned long long)c->deltas_dropped,
        (unsigned long long)c->name_conflicts);
}

static void json_memberlist(struct membership *ms, struct buf *out)
{
    const struct gossip *g = ms->gossip;

    buf_byte(out, '{');
    json_field(out, "cluster", ms->opts.gossip.cluster ? ms->opts.gossip.cluster : "");
    json_field(out, "self", gossip_self(g)->instance);
    buf_str(out, "\"members\":[");
    for (size_t i = 0; i < gossip_count(g); i++) {
        struct gossip_entry e = gossip_entry(g, i);

        buf_str(out, i ? ",{" : "{");
        json_field(out, "instance", e.member->instance);
        json_field(out, "zone", e.member->zone);
        json_field(out, "state", member_state_name(e.member->state));
        buf_printf(out,
                   "\"healthy\":%s,\"incarnation\":%llu,\"version\":%llu,\"heartbeat\":%llu,"
                   "\"heartbeat_age_seconds\":%.3f}",
                   e.is_healthy ? "true" : "false", (unsigned long long)e.member->incarnation,
                   (unsigned long long)e.member->version, (unsigned long long)e.heartbeat,
                   (double)(membership_mono(ms) - e.progress_ns) / NS_PER_S);
    }
    buf_str(out, "],\"counters\":");
    json_counters(out, gossip_metrics(g));
    buf_str(out, "}\n");
}

static void html_memberlist(struct membership *ms, struct buf *out)
{
    const struct gossip *g = ms->gossip;

    html_begin(out, "Members");
    buf_str(out, "<table><tr><th>instance<th>zone<th>roles<th>state<th>health<th>incarnation"
                 "<th>version<th>heartbeat<th>seen<th></tr>\n");
    for (size_t i = 0; i < gossip_count(g); i++) {
        struct gossip_entry e = gossip_entry(g, i);

        buf_str(out, "<tr><td>");
        buf_html(out, slice_cstr(e.member->instance));
        buf_str(out, "</td><td>");
        buf_html(out, slice_cstr(e.member->zone));
        buf_str(out, "</td><td>");
        member_roles_text(out, e.member->roles);
        buf_printf(out,
                   "</td><td>%s</td><td%s</td><td>%llu</td><td>%llu</td><td>%llu</td>"
                   "<td>%.1f s ago</td>",
                   member_state_name(e.member->state),
                   e.is_healthy ? ">healthy" : " class=\"bad\">unhealthy",
                   (unsigned long long)e.member->incarnation,
                   (unsigned long long)(e.member->version & ~MEMBER_FORGOTTEN),
                   (unsigned long long)e.heartbeat,
                   (double)(membership_mono(ms) - e.progress_ns) / NS_PER_S);
        if (!e.is_self && e.member->state != MEMBER_LEFT)
            html_forget(out, "memberlist", e.member);
        buf_str(out, "</tr>\n");
    }
    buf_str(out, "</table><pre>");
    json_counters(out, gossip_metrics(g));
    buf_str(out, "</pre>\n");
    html_end(out);
}

void ring_pages_memberlist(struct membership *ms, bool as_json, struct buf *out)
{
    if (as_json)
        json_memberlist(ms, out);
    else
        html_memberlist(ms, out);
}

struct err *ring_pages_forget(struct membership *ms, struct slice instance, bool force)
{
    struct gossip_entry e;

    if (!force && gossip_find(ms->gossip, instance, &e) && !e.is_self && e.is_healthy &&
        e.member->state != MEMBER_LEFT)
        return err_new(ERR_CONFLICT, "%.*s is healthy: stop it first, or pass force=true",
                       SLICE_ARG(instance));
    return gossip_forget(ms->gossip, instance, membership_mono(ms), membership_wall(ms));
}

/* ---- HTTP ---- */

/* A request on its way to the membership's loop and back to its own. */
struct page_trip {
    struct membership *ms;
    struct http_request *request;
    struct loop *home;
    bool is_memberlist, as_json, is_post, force;
    uint32_t role;
    struct buf forget, body;
    struct err *e;
};

static void send_page(void *arg)
{
    struct page_trip *t = arg;
    struct http_request *r = t->request;

    if (t->e) {
        http_reply_err(r, t->e);
    } else if (t->is_post && !t->as_json) { /* back to the page, so that a reload posts nothing */
        http_reply_header(r, "Location", t->is_memberlist ? SLICE("memberlist") : SLICE("ring"));
        http_reply(r, 303, NULL, SLICE_EMPTY);
    } else {
        http_reply_buf(r, 200, t->as_json ? HTTP_JSON : HTTP_HTML, &t->body);
    }
    buf_done(&t->forget);
    buf_done(&t->body);
    mem_free(t);
}

static void make_page(void *arg)
{
    struct page_trip *t = arg;

    if (t->is_post)
        t->e = ring_pages_forget(t->ms, buf_slice(&t->forget), t->force);
    if (!t->e && t->is_memberlist)
        ring_pages_memberlist(t->ms, t->as_json, &t->body);
    else if (!t->e)
        ring_pages_ring(t->ms, t->role, t->as_json, &t->body);
    loop_post(t->home, send_page, t);
}

static void start_trip(struct http_request *r, bool is_memberlist)
{
    struct page_trip *t;
    struct slice accept = http_request_header(r, "Accept");
    struct slice role = http_param(r, "role"), forget = http_param(r, "forget");
    bool is_post = r->method == HTTP_POST;

    if (is_post && forget.len == 0) {
        http_reply_err(r, err_new(ERR_INVALID, "forget=INSTANCE is missing"));
        return;
    }
    if (role.len && !member_role_from_name(role)) {
        http_reply_err(r, err_new(ERR_INVALID, "unknown role %.*s", SLICE_ARG(role)));
        return;
    }
    t = mem_new(struct page_trip);
    t->ms = r->arg;
    t->request = r;
    t->home = r->loop;
    t->is_memberlist = is_memberlist;
    t->is_post = is_post;
    t->force = slice_eq_cstr(http_param(r, "force"), "true");
    t->as_json = slice_find(accept, SLICE("application/json"), 0) >= 0;
    t->role = member_role_from_name(role);
    buf_slice_append(&t->forget, forget);
    loop_post(t->ms->opts.loop, make_page, t);
}

static void on_ring(struct http_request *r)
{
    start_trip(r, false);
}

static void on_memberlist(struct http_request *r)
{
    start_trip(r, true);
}

void ring_pages_routes(struct membership *ms, struct http_server *srv)
{
    struct http_route route = {
        .methods = HTTP_GET | HTTP_POST, .max_body_bytes = 64 << 10, .arg = ms};

    route.pattern = "/ring";
    route.handler = on_ring;
    http_server_route(srv, &route);
    route.pattern = "/memberlist";
    route.handler = on_memberlist;
    http_server_route(srv, &route);
}
