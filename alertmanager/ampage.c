/*
 * Pages for people without a UI: alerts by group, silences (to set and to end), status. Nothing in them comes from
 * elsewhere, and no script runs.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "alertmanager/amapi_internal.h"
#include "common/base/mem.h"
#include "common/net/http.h"

#define MAX_SHOWN 1000 /* alerts, silences */

static void begin(struct amapi_question *q, const char *title)
{
    buf_printf(q->out,
               "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>"
               "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
               "td,th{padding:3px 10px;border-bottom:1px solid #ccc;text-align:left;"
               "vertical-align:top}form{display:inline}.quiet{color:#777}code{background:#eee}"
               "pre{white-space:pre-wrap}</style></head><body><h1>%s</h1><p>"
               "<a href=\"alerts\">alerts</a> <a href=\"silences\">silences</a> "
               "<a href=\"status\">status</a></p>\n",
               title, title);
}

static void end(struct amapi_question *q)
{
    buf_str(q->out, "</body></html>\n");
}

static void put_time(struct buf *o, int64_t ns)
{
    buf_str(o, "<td>");
    alert_time_api(o, ns);
    buf_str(o, "</td>");
}

/* How many of how many are shown, if not all. */
static void put_rest(struct amapi_question *q, size_t n)
{
    if (n > MAX_SHOWN)
        buf_printf(q->out, "<p>%d of %zu are shown: a filter shows others.</p>\n", MAX_SHOWN, n);
}

/* The matchers that the reader has written into the form; none if there is none. */
static struct err *read_wanted(struct amapi_question *q, struct ammatch_list *ret)
{
    struct slice text = amapi_param(q, "matchers");

    *ret = (struct ammatch_list){0};
    return text.len ? ammatch_parse_list(q->arena, AMMATCH_FALLBACK, text, ret) : NULL;
}

static void put_filter(struct amapi_question *q, const char *page)
{
    buf_printf(q->out,
               "<form action=\"%s\"><input name=\"matchers\" size=\"60\" "
               "placeholder=\"alertname=&quot;X&quot;, team=~&quot;db.*&quot;\" value=\"",
               page);
    buf_html(q->out, amapi_param(q, "matchers"));
    buf_str(q->out, "\"> <button>filter</button></form>\n");
}

/* ---- alerts ---- */

struct listing {
    struct amapi_question *q;
    struct ammatch_list wanted;
    size_t n;
};

static void put_labels(struct buf *o, struct labels ls)
{
    struct buf b = {0};

    for (size_t i = 0; i < ls.n; i++) {
        struct ammatch m = {.op = MATCHER_EQ, .name = ls.ptr[i].name, .value = ls.ptr[i].value};

        buf_reset(&b);
        ammatch_text(&b, &m);
        buf_str(o, i ? " <code>" : "<code>");
        buf_html(o, buf_slice(&b));
        buf_str(o, "</code>");
    }
    buf_done(&b);
}

/* A link to the form with the alert's labels in it. */
static void put_silence_link(struct buf *o, struct labels ls)
{
    struct buf b = {0};

    for (size_t i = 0; i < ls.n; i++) {
        struct ammatch m = {.op = MATCHER_EQ, .name = ls.ptr[i].name, .value = ls.ptr[i].value};

        buf_str(&b, i ? "," : "");
        ammatch_text(&b, &m);
    }
    buf_str(o, "<td><a href=\"silences?new=");
    http_escape(buf_slice(&b), o);
    buf_str(o, "\">silence</a></td>");
    buf_done(&b);
}

static void put_state(struct amapi_question *q, const struct alert *a)
{
    const struct amapi_view *v = q->view;
    const struct alert *by = dispatch_inhibitor(v->dispatch, a->labels, v->now_ns);
    silence_vec silences = {0};

    buf_str(q->out, "<td>");
    (void)dispatch_silencers(v->dispatch, a, v->now_ns, &silences);
    if (by)
        buf_printf(q->out, "inhibited by %016" PRIx64 " ", by->fingerprint);
    VEC_FOREACH (s, &silences) {
        buf_str(q->out, "<a href=\"silences#");
        buf_html(q->out, (*s)->id);
        buf_str(q->out, "\">silenced</a> ");
    }
    buf_str(q->out, by || silences.len ? "</td>" : "active</td>");
    vec_done(&silences);
}

static void put_alert(struct amapi_question *q, const struct alert *a)
{
    buf_str(q->out, "<tr><td>");
    put_labels(q->out, a->labels);
    for (size_t i = 0; i < a->annotations.n; i++) {
        buf_str(q->out, "<br><span class=\"quiet\">");
        buf_html(q->out, a->annotations.ptr[i].name);
        buf_str(q->out, "</span> ");
        buf_html(q->out, a->annotations.ptr[i].value);
    }
    buf_str(q->out, "</td>");
    put_time(q->out, a->starts_ns);
    put_state(q, a);
    put_silence_link(q->out, a->labels);
    buf_str(q->out, "</tr>\n");
}

static void put_group(void *arg, const struct dispatch_group_view *g)
{
    struct listing *l = arg;
    struct amapi_question *q = l->q;
    bool any = false;

    MAP_FOREACH (e, g->alerts) {
        const struct alert *a = e->value;

        if (alert_is_resolved(a, q->view->now_ns) || !ammatch_list_matches(&l->wanted, a->labels) ||
            l->n++ >= MAX_SHOWN)
            continue;
        if (!any) {
            buf_str(q->out, "<h3>");
            put_labels(q->out, g->labels);
            buf_str(q->out, " to ");
            buf_html(q->out, g->route->receiver->name);
            buf_str(q->out, "</h3><table><tr><th>alert</th><th>since</th><th>state</th><th></th>"
                            "</tr>\n");
        }
        any = true;
        put_alert(q, a);
    }
    buf_str(q->out, any ? "</table>\n" : "");
}

struct err *ampage_alerts(struct amapi_question *q)
{
    struct listing l = {.q = q};
    struct err *e = read_wanted(q, &l.wanted);

    if (e)
        return e;
    begin(q, "Alerts");
    put_filter(q, "alerts");
    if (q->view->dispatch)
        dispatch_each_group(q->view->dispatch, put_group, &l);
    if (!l.n)
        buf_str(q->out, "<p>No alert.</p>\n");
    put_rest(q, l.n);
    end(q);
    ammatch_list_done(&l.wanted);
    return NULL;
}

/* ---- silences ---- */

static void put_form(struct amapi_question *q)
{
    buf_str(q->out, "<h3>New silence</h3><form method=\"post\" action=\"silences\"><p>"
                    "<input name=\"matchers\" size=\"80\" required "
                    "placeholder=\"alertname=&quot;X&quot;\" value=\"");
    buf_html(q->out, amapi_param(q, "new"));
    buf_str(
        q->out,
        "\"> matchers</p><p><input name=\"duration\" value=\"2h\" size=\"8\" required> duration "
        "<input name=\"createdBy\" size=\"20\" required> your name</p><p><input "
        "name=\"comment\" size=\"80\" required> comment <button>silence</button></p></form>\n");
}

static void put_silence(struct amapi_question *q, const struct silence *s)
{
    enum silence_state state = silence_state(s, q->view->now_ns);
    struct buf b = {0};

    ammatch_list_text(&b, &s->matchers);
    buf_str(q->out, "<tr id=\"");
    buf_html(q->out, s->id);
    buf_printf(q->out, "\"%s><td>%s</td><td><code>",
               state == SILENCE_EXPIRED ? " class=\"quiet\"" : "", silence_state_name(state));
    buf_html(q->out, buf_slice(&b));
    buf_str(q->out, "</code></td>");
    put_time(q->out, s->starts_ns);
    put_time(q->out, s->ends_ns);
    buf_str(q->out, "<td>");
    buf_html(q->out, s->created_by);
    buf_str(q->out, "</td><td>");
    buf_html(q->out, s->comment);
    buf_str(q->out, "</td><td>");
    if (state != SILENCE_EXPIRED) {
        buf_str(q->out,
                "<form method=\"post\" action=\"silences/expire\"><button name=\"id\" value=\"");
        buf_html(q->out, s->id);
        buf_str(q->out, "\">expire</button></form>");
    }
    buf_str(q->out, "</td></tr>\n");
    buf_done(&b);
}

struct err *ampage_silences(struct amapi_question *q)
{
    const struct amapi_view *v = q->view;
    silence_vec all = {0};

    begin(q, "Silences");
    put_form(q);
    silences_list(v->silences, v->tenant, v->now_ns, &all);
    buf_str(q->out, "<table><tr><th>state</th><th>matchers</th><th>from</th><th>to</th><th>by</th>"
                    "<th>comment</th><th></th></tr>\n");
    for (size_t i = 0; i < all.len && i < MAX_SHOWN; i++)
        put_silence(q, all.ptr[i]);
    buf_str(q->out, "</table>\n");
    put_rest(q, all.len);
    vec_done(&all);
    end(q);
    return NULL;
}

/* ---- status ---- */

struct err *ampage_status(struct amapi_question *q)
{
    const struct amapi_view *v = q->view;

    begin(q, "Status");
    buf_str(q->out, "<p>");
    buf_html(q->out, slice_cstr(v->instance));
    buf_printf(q->out, ", %s, version %s, since ", v->is_ready ? "ready" : "settling", ORR_VERSION);
    alert_time_api(q->out, v->start_ns);
    buf_str(q->out, "</p><table><tr><th>peer</th><th>address</th></tr>\n");
    for (size_t i = 0; i < v->n_peers; i++) {
        buf_str(q->out, "<tr><td>");
        buf_html(q->out, slice_cstr(v->peers[i].name));
        buf_str(q->out, "</td><td>");
        buf_html(q->out, slice_cstr(v->peers[i].address));
        buf_str(q->out, "</td></tr>\n");
    }
    buf_str(q->out, "</table><h3>Configuration</h3><pre>");
    buf_html(q->out, v->conf->shown);
    buf_str(q->out, "</pre>\n");
    end(q);
    return NULL;
}
