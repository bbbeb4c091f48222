#include "ruler/rule_view.h"

#include <time.h>

#include "common/base/num.h"
#include "common/net/http.h"

void rule_view_time(struct buf *out, int64_t t_ms)
{
    int64_t ms = t_ms == RULE_NEVER ? 0 : ((t_ms % 1000) + 1000) % 1000;
    time_t s = t_ms == RULE_NEVER ? 0 : (time_t)((t_ms - ms) / 1000);
    struct tm tm;
    char text[64];

    if (t_ms == RULE_NEVER || !gmtime_r(&s, &tm)) {
        buf_str(out, "0001-01-01T00:00:00Z");
        return;
    }
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_str(out, text);
    if (ms) {
        buf_printf(out, ".%03d", (int)ms);
        while (out->ptr[out->len - 1] == '0')
            out->len--;
    }
    buf_byte(out, 'Z');
}

static void put_time(struct buf *out, const char *key, int64_t t_ms)
{
    buf_printf(out, ",\"%s\":\"", key);
    rule_view_time(out, t_ms);
    buf_byte(out, '"');
}

static void put_seconds(struct buf *out, const char *key, double s)
{
    buf_printf(out, ",\"%s\":", key);
    buf_f64_text(out, s);
}

static void put_labels(struct buf *out, const char *key, struct labels ls)
{
    buf_printf(out, ",\"%s\":", key);
    labels_json(out, ls);
}

static void put_alert(struct buf *out, const struct rule_alert *al)
{
    buf_str(out, "{\"labels\":");
    labels_json(out, al->labels);
    put_labels(out, "annotations", al->annotations);
    buf_printf(out, ",\"state\":\"%s\"", rule_alert_state_name(al->state));
    put_time(out, "activeAt", al->active_ms);
    if (al->keep_since_ms != RULE_NEVER)
        put_time(out, "keepFiringSince", al->keep_since_ms);
    buf_str(out, ",\"value\":\"");
    num_format(out, al->value, 'e', -1);
    buf_str(out, "\"}");
}

static void put_alerting(struct buf *out, const struct rule_state *s)
{
    enum rule_alert_state state = RULE_INACTIVE;
    struct buf alerts = {0};

    MAP_FOREACH (e, &s->active) {
        const struct rule_alert *al = e->value;

        if (al->state == RULE_INACTIVE)
            continue;
        state = ORR_MAX(state, al->state);
        if (alerts.len)
            buf_byte(&alerts, ',');
        put_alert(&alerts, al);
    }
    buf_printf(out, ",\"state\":\"%s\"", rule_alert_state_name(state));
    put_seconds(out, "duration", (double)s->rule->for_ms / 1000);
    put_seconds(out, "keepFiringFor", (double)s->rule->keep_firing_ms / 1000);
    put_labels(out, "annotations", s->rule->annotations);
    buf_str(out, ",\"alerts\":[");
    buf_slice_append(out, buf_slice(&alerts));
    buf_str(out, "]");
    buf_done(&alerts);
}

static void put_rule(struct buf *out, const struct rule_state *s)
{
    buf_str(out, "{\"name\":");
    buf_json_str(out, s->rule->name);
    buf_str(out, ",\"query\":");
    buf_json_str(out, s->rule->query);
    put_labels(out, "labels", s->rule->labels);
    if (s->rule->is_alert)
        put_alerting(out, s);
    buf_printf(out, ",\"health\":\"%s\"", !s->was_evaluated ? "unknown" : s->error ? "err" : "ok");
    if (s->error) {
        buf_str(out, ",\"lastError\":");
        buf_json_str(out, slice_cstr(s->error));
    }
    put_seconds(out, "evaluationTime", s->duration_s);
    put_time(out, "lastEvaluation", s->evaluated_ms);
    buf_printf(out, ",\"type\":\"%s\"}", s->rule->is_alert ? "alerting" : "recording");
}

/* As Mimir calls it. */
static void put_sources(struct buf *out, const struct rule_group *g)
{
    if (!g->n_sources)
        return;
    buf_str(out, ",\"sourceTenants\":[");
    for (size_t i = 0; i < g->n_sources; i++) {
        buf_json_comma(out);
        buf_json_str(out, g->sources[i]);
    }
    buf_byte(out, ']');
}

void rule_view_group(struct buf *out, const struct rule_group_run *g, struct slice file,
                     const struct rule_group_settings *set)
{
    buf_str(out, "{\"name\":");
    buf_json_str(out, g->group->name);
    buf_str(out, ",\"file\":");
    buf_json_str(out, file);
    if (g->group->lang != RULE_PROMQL)
        buf_printf(out, ",\"language\":\"%s\"", rule_lang_name(g->group->lang));
    buf_str(out, ",\"rules\":[");
    for (size_t i = 0; i < g->group->n_rules; i++) {
        if (i)
            buf_byte(out, ',');
        put_rule(out, g->states[i]);
    }
    buf_str(out, "]");
    put_seconds(out, "interval", (double)rule_group_interval_ms(g, set) / 1000);
    buf_printf(out, ",\"limit\":%llu", (unsigned long long)g->group->limit);
    put_sources(out, g->group);
    put_seconds(out, "evaluationTime", g->duration_s);
    put_time(out, "lastEvaluation", g->evaluated_ms);
    buf_byte(out, '}');
}

/* As a value of a form. */
static void put_escaped(struct buf *out, struct slice text)
{
    struct buf esc = {0};

    http_escape(text, &esc);
    /* a form, where a space is a plus; a % of the query itself has become %25 */
    for (size_t i = 0; i < esc.len; i++) {
        if (esc.len - i >= 3 && memcmp(esc.ptr + i, "%20", 3) == 0) {
            buf_byte(out, '+');
            i += 2;
        } else {
            buf_byte(out, esc.ptr[i]);
        }
    }
    buf_done(&esc);
}

static void put_explore(struct buf *out, const struct rule_group_settings *set, struct slice query)
{
    struct buf left = {0};

    buf_str(&left, "{\"queries\":[{\"expr\":");
    buf_json_str(&left, query);
    buf_str(&left, ",\"queryType\":\"range\"");
    if (set->logs_datasource.len) {
        buf_str(&left, ",\"datasource\":{\"type\":\"loki\",\"uid\":");
        buf_json_str(&left, set->logs_datasource);
        buf_byte(&left, '}');
    }
    buf_str(&left, "}]}");
    buf_str(out, "/explore?left=");
    put_escaped(out, buf_slice(&left));
    buf_done(&left);
}

void rule_view_link(struct buf *out, const struct rule_group_settings *set, enum rule_lang lang,
                    struct slice query)
{
    buf_slice_append(out, set->external_url);
    if (lang == RULE_LOGQL) {
        put_explore(out, set, query);
        return;
    }
    buf_str(out, "/graph?g0.expr=");
    put_escaped(out, query);
    buf_str(out, "&g0.tab=1");
}

int64_t rule_view_ends_ms(const struct rule_alert *al)
{
    return al->resolved_ms != RULE_NEVER ? al->resolved_ms : al->valid_until_ms;
}

void rule_view_postable(struct buf *out, const struct rule *r, const struct rule_alert *al,
                        const struct rule_group_settings *set)
{
    struct arena *a = arena_new(0);
    struct labels_builder b;
    struct buf link = {0};

    labels_builder_init(&b, a, al->labels);
    for (size_t i = 0; i < set->external_labels.n; i++)
        if (!labels_has(al->labels, set->external_labels.ptr[i].name))
            labels_builder_set(&b, set->external_labels.ptr[i].name,
                               set->external_labels.ptr[i].value);
    buf_str(out, "{\"labels\":");
    labels_json(out, labels_builder_labels(&b));
    put_labels(out, "annotations", al->annotations);
    put_time(out, "startsAt", al->fired_ms);
    put_time(out, "endsAt", rule_view_ends_ms(al));
    rule_view_link(&link, set, r->lang, r->query);
    buf_str(out, ",\"generatorURL\":");
    buf_json_str(out, buf_slice(&link));
    buf_byte(out, '}');
    buf_done(&link);
    arena_free(a);
}
