#include "ruler/rule_eval.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/model/fhist.h"
#include "common/template/template_prom.h"
#include "ruler/rule_eval_internal.h"

const char *rule_alert_state_name(enum rule_alert_state s)
{
    static const char *const names[] = {"inactive", "pending", "firing"};

    return names[s];
}

/* ---- life ---- */

struct rule_previous {
    struct labels labels; /* one heap block */
    bool is_histogram;
};

static const struct histogram *stale_histogram(struct arena *a)
{
    struct histogram *h = arena_new_of(a, struct histogram);

    h->sum = sample_from_bits(SAMPLE_STALE_BITS);
    return h;
}

static void previous_clear(struct map *m)
{
    MAP_FOREACH (e, m) {
        struct rule_previous *p = e->value;

        mem_free((void *)p->labels.ptr);
        mem_free(p);
    }
    map_done(m);
}

void rule_alert_free(struct rule_alert *a)
{
    if (!a)
        return;
    mem_free((void *)a->labels.ptr);
    mem_free((void *)a->annotations.ptr);
    mem_free(a);
}

static void active_clear(struct map *m)
{
    MAP_FOREACH (e, m)
        rule_alert_free(e->value);
    map_done(m);
}

struct rule_state *rule_eval_new(const struct rule *r, bool is_restored)
{
    struct rule_state *s = mem_new(struct rule_state);

    s->rule = r;
    s->is_restored = is_restored;
    s->evaluated_ms = RULE_NEVER;
    return s;
}

void rule_eval_free(struct rule_state *s)
{
    if (!s)
        return;
    active_clear(&s->active);
    previous_clear(&s->previous);
    mem_free(s->error);
    mem_free(s);
}

void rule_eval_out_done(struct rule_eval_out *out)
{
    vec_done(&out->series);
    vec_done(&out->alerts);
}

void rule_eval_note(struct rule_state *s, int64_t ts_ms, double duration_s, struct err *e)
{
    mem_free(s->error);
    s->error = e ? mem_strdup(err_msg(e)) : NULL;
    s->was_evaluated = true;
    s->evaluated_ms = ts_ms;
    s->duration_s = duration_s;
    err_free(e);
}

/* ---- series that come and go ---- */

static void put_series(struct rule_eval_out *out, struct labels ls, int64_t t_ms, double v,
                       const struct histogram *h)
{
    vec_push(&out->series, ((struct rule_series){.labels = ls, .t_ms = t_ms, .v = v, .h = h}));
}

/* Remembers what out writes, and adds stale markers for what was written last time and is not now. */
static void mark_stale(struct rule_state *s, struct arena *a, int64_t t_ms,
                       struct rule_eval_out *out)
{
    struct map now = {0};
    struct buf key = {0};

    VEC_FOREACH (w, &out->series) {
        struct rule_previous *p;

        buf_reset(&key);
        labels_canonical(&key, w->labels);
        p = map_del(&s->previous, buf_slice(&key));
        if (!p) {
            p = mem_new(struct rule_previous);
            p->labels = labels_dup_heap(w->labels);
        }
        p->is_histogram = w->h != NULL;
        p = map_put(&now, buf_slice(&key), p);
        ORR_ASSERT(!p); /* two series of one label set were refused before */
    }
    MAP_FOREACH (e, &s->previous) {
        const struct rule_previous *p = e->value;

        put_series(out, labels_dup(a, p->labels), t_ms, sample_from_bits(SAMPLE_STALE_BITS),
                   p->is_histogram ? stale_histogram(a) : NULL);
    }
    previous_clear(&s->previous);
    s->previous = now;
    buf_done(&key);
}

void rule_eval_retire(struct rule_state *s, struct arena *a, int64_t t_ms,
                      struct rule_eval_out *ret)
{
    struct rule_eval_out none = {0};

    mark_stale(s, a, t_ms, &none);
    VEC_FOREACH (w, &none.series)
        vec_push(&ret->series, *w);
    rule_eval_out_done(&none);
}

/* ---- recording rules ---- */

static struct err *run_record(struct rule_state *s, const struct rule_eval_in *in, struct arena *a,
                              struct rule_eval_out *out)
{
    const struct rule *r = s->rule;
    struct map seen = {0};
    struct err *e = NULL;

    for (size_t i = 0; i < in->answer.n && !e; i++) {
        const struct rule_sample *smp = &in->answer.ptr[i];
        struct labels_builder b;
        struct hash128 fp;
        struct labels ls;

        labels_builder_init(&b, a, smp->labels);
        labels_builder_set(&b, SLICE(LABEL_NAME), r->name);
        for (size_t k = 0; k < r->labels.n; k++)
            labels_builder_set(&b, r->labels.ptr[k].name, r->labels.ptr[k].value);
        ls = labels_builder_labels(&b);
        fp = labels_fingerprint(ls);
        if (map_put(&seen, slice_of(&fp, sizeof(fp)), s))
            e = err_new(ERR_EXEC, "vector contains metrics with the same labelset after applying "
                                  "rule labels");
        put_series(out, ls, in->ts_ms - in->query_offset_ms, smp->v, smp->h);
    }
    if (!e && in->limit && in->answer.n > in->limit)
        e = err_new(ERR_EXEC, "exceeded limit of %llu with %zu series",
                    (unsigned long long)in->limit, in->answer.n);
    map_done(&seen);
    return e;
}

/* ---- alerting rules: the alerts of now ---- */

/* The texts of one alert. */
struct expander {
    struct template_prom prom;
    struct template_prom_query query;
    const struct rule_eval_in *in;
    enum rule_lang lang;
    struct arena *a;
};

static struct err *template_query(void *arg, struct arena *a, struct slice text, int64_t now_ms,
                                  struct template_prom_vector *ret)
{
    const struct expander *x = arg;
    struct template_prom_sample *out;
    struct rule_vector v = {0};
    struct err *e;

    if (!x->in->query)
        return err_new(ERR_UNSUPPORTED, "no queries here");
    if ((e = x->in->query(x->in->query_arg, a, x->lang, text, now_ms, &v)))
        return e;
    out = arena_array(a, struct template_prom_sample, v.n + 1);
    for (size_t i = 0; i < v.n; i++)
        out[i] = (struct template_prom_sample){v.ptr[i].labels, v.ptr[i].v};
    *ret = (struct template_prom_vector){out, v.n};
    return NULL;
}

static struct slice expand(struct expander *x, const struct rule *r, struct slice text)
{
    struct buf out = {0};
    struct slice ret;
    struct err *e;

    if (slice_find(text, SLICE("{{"), 0) < 0)
        return text; /* most labels: nothing to expand */
    e = template_prom_expand(&x->prom, text, &out);
    if (e) {
        LOG_WARN(ruler, "template of an alert failed", KV_SLICE("rule", r->name), KV_ERR(e));
        buf_reset(&out);
        buf_printf(&out, "<error expanding template: %s>", err_msg(e));
        err_free(e);
    }
    ret = arena_dup(x->a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static struct slice histogram_text(struct arena *a, const struct histogram *h)
{
    struct buf text = {0};
    struct slice ret;

    fhist_text(&text, a, fhist_from(a, h));
    ret = arena_dup(a, buf_slice(&text));
    buf_done(&text);
    return ret;
}

static struct rule_alert *build_alert(struct expander *x, const struct rule *r,
                                      const struct rule_sample *smp)
{
    struct rule_alert *al = mem_new(struct rule_alert);
    struct label *notes = arena_array(x->a, struct label, r->annotations.n + 1);
    struct labels_builder b;

    x->prom.labels = smp->labels;
    x->prom.value = smp->h ? 0 : smp->v;
    x->prom.histogram = smp->h ? histogram_text(x->a, smp->h) : (struct slice){0};
    labels_builder_init(&b, x->a, smp->labels);
    labels_builder_del(&b, SLICE(LABEL_NAME));
    for (size_t i = 0; i < r->labels.n; i++)
        labels_builder_set(&b, r->labels.ptr[i].name, expand(x, r, r->labels.ptr[i].value));
    labels_builder_set(&b, SLICE("alertname"), r->name);
    for (size_t i = 0; i < r->annotations.n; i++)
        notes[i] =
            (struct label){r->annotations.ptr[i].name, expand(x, r, r->annotations.ptr[i].value)};
    al->labels = labels_dup_heap(labels_builder_labels(&b));
    al->annotations = labels_dup_heap((struct labels){notes, r->annotations.n});
    al->state = RULE_PENDING;
    al->value = x->prom.value;
    al->active_ms = x->in->ts_ms;
    al->fired_ms = al->resolved_ms = al->keep_since_ms = RULE_NEVER;
    al->sent_ms = al->valid_until_ms = RULE_NEVER;
    return al;
}

static struct slice fp_key(const struct hash128 *fp)
{
    return slice_of(fp, sizeof(*fp));
}

/* The alerts of this answer, by fingerprint. */
static struct err *build_alerts(struct rule_state *s, const struct rule_eval_in *in,
                                struct arena *a, struct map *ret)
{
    struct expander x = {.in = in, .lang = s->rule->lang, .a = a};
    char *name = arena_cstr(a, s->rule->name);

    x.query = (struct template_prom_query){template_query, &x};
    x.prom = (struct template_prom){.name = name,
                                    .external_labels = in->external_labels,
                                    .external_url = in->external_url,
                                    .now_ms = in->ts_ms,
                                    .query = &x.query};
    for (size_t i = 0; i < in->answer.n; i++) {
        struct rule_alert *al = build_alert(&x, s->rule, &in->answer.ptr[i]), *was;
        struct hash128 fp = labels_fingerprint(al->labels);

        was = map_put(ret, fp_key(&fp), al);
        if (was) {
            rule_alert_free(was);
            return err_new(ERR_EXEC, "vector contains metrics with the same labelset after "
                                     "applying alert labels");
        }
        if (arena_over(a))
            return err_new(ERR_LIMIT, "the alerts of one rule take more than %zu bytes",
                           arena_limit(a));
    }
    return NULL;
}

/* ---- alerting rules: from the alerts before to those of now ---- */

/* Adds the new ones; of those known, takes value and annotations. now is empty afterwards but for
 * its keys, which say who is there. */
static void merge_alerts(struct rule_state *s, struct map *now)
{
    MAP_FOREACH (e, now) {
        struct rule_alert *al = e->value, *was = map_get(&s->active, e->key);

        if (was && was->state != RULE_INACTIVE) {
            struct labels notes = was->annotations;

            was->value = al->value;
            was->annotations = al->annotations;
            al->annotations = notes;
            rule_alert_free(al);
        } else {
            rule_alert_free(map_put(&s->active, e->key, al));
        }
        e->value = s; /* there, and nobody's */
    }
}

static struct labels state_labels(struct arena *a, const struct rule *r,
                                  const struct rule_alert *al, bool with_state)
{
    struct labels_builder b;

    labels_builder_init(&b, a, r->labels);
    for (size_t i = 0; i < al->labels.n; i++)
        labels_builder_set(&b, al->labels.ptr[i].name, al->labels.ptr[i].value);
    labels_builder_set(&b, SLICE(LABEL_NAME),
                       slice_cstr(with_state ? RULE_ALERTS : RULE_ALERTS_FOR_STATE));
    labels_builder_set(&b, SLICE("alertname"), r->name);
    if (with_state)
        labels_builder_set(&b, SLICE("alertstate"), slice_cstr(rule_alert_state_name(al->state)));
    return labels_builder_labels(&b);
}

/* One alert one evaluation further. Returns whether it is active; *ret_forget: drop it. */
static bool step_alert(const struct rule *r, struct rule_alert *al, bool is_there, int64_t ts_ms,
                       bool *ret_forget)
{
    *ret_forget = false;
    if (is_there) {
        al->keep_since_ms = RULE_NEVER;
    } else {
        bool keeps = false;

        if (al->state == RULE_FIRING && r->keep_firing_ms > 0) {
            if (al->keep_since_ms == RULE_NEVER)
                al->keep_since_ms = ts_ms;
            keeps = ts_ms - al->keep_since_ms < r->keep_firing_ms;
        }
        *ret_forget =
            al->state == RULE_PENDING ||
            (al->resolved_ms != RULE_NEVER && ts_ms - al->resolved_ms > RULE_RESOLVED_RETENTION_MS);
        if (al->state != RULE_INACTIVE && !keeps) {
            al->state = RULE_INACTIVE;
            al->resolved_ms = ts_ms;
        }
        if (!keeps)
            return false;
    }
    if (al->state == RULE_PENDING && ts_ms - al->active_ms >= r->for_ms) {
        al->state = RULE_FIRING;
        al->fired_ms = ts_ms;
    }
    return true;
}

/* All of them; returns how many are active. */
static size_t step_alerts(struct rule_state *s, const struct rule_eval_in *in,
                          const struct map *now, struct arena *a, struct rule_eval_out *out)
{
    int64_t t_ms = in->ts_ms - in->query_offset_ms;
    VEC(struct hash128) forgotten = {0};
    size_t n = 0;

    MAP_FOREACH (e, &s->active) {
        struct rule_alert *al = e->value;
        bool forget;

        if (step_alert(s->rule, al, map_has(now, e->key), in->ts_ms, &forget)) {
            n++;
            if (s->is_restored) {
                put_series(out, state_labels(a, s->rule, al, true), t_ms, 1, NULL);
                put_series(out, state_labels(a, s->rule, al, false), t_ms,
                           floor((double)al->active_ms / 1000), NULL);
            }
        }
        if (forget) {
            struct hash128 fp;

            memcpy(&fp, e->key.ptr, sizeof(fp));
            vec_push(&forgotten, fp);
        }
    }
    VEC_FOREACH (fp, &forgotten)
        rule_alert_free(map_del(&s->active, fp_key(fp)));
    vec_done(&forgotten);
    return n;
}

static bool needs_sending(const struct rule_alert *al, int64_t ts_ms, int64_t resend_ms)
{
    if (al->state == RULE_PENDING)
        return false;
    if (al->sent_ms == RULE_NEVER)
        return true;
    if (al->resolved_ms != RULE_NEVER && al->resolved_ms > al->sent_ms)
        return true; /* ended since */
    return al->sent_ms + resend_ms < ts_ms;
}

static void send_alerts(struct rule_state *s, const struct rule_eval_in *in,
                        struct rule_eval_out *out)
{
    MAP_FOREACH (e, &s->active) {
        struct rule_alert *al = e->value;

        if (!needs_sending(al, in->ts_ms, in->resend_ms))
            continue;
        al->sent_ms = in->ts_ms;
        /* so long that two failures in a row do not end it at the alertmanager */
        al->valid_until_ms = in->ts_ms + 4 * ORR_MAX(in->interval_ms, in->resend_ms);
        vec_push(&out->alerts, al);
    }
}

static struct err *run_alert(struct rule_state *s, const struct rule_eval_in *in, struct arena *a,
                             struct rule_eval_out *out)
{
    struct map now = {0};
    struct err *e = build_alerts(s, in, a, &now);
    size_t n;

    if (e) {
        active_clear(&now);
        return e;
    }
    merge_alerts(s, &now);
    n = step_alerts(s, in, &now, a, out);
    map_done(&now);
    if (in->limit && n > in->limit) {
        active_clear(&s->active);
        return err_new(ERR_EXEC, "exceeded limit of %llu with %zu alerts",
                       (unsigned long long)in->limit, n);
    }
    send_alerts(s, in, out);
    return NULL;
}

struct err *rule_eval_run(struct rule_state *s, const struct rule_eval_in *in, struct arena *a,
                          struct rule_eval_out *ret)
{
    struct rule_eval_out out = {0};
    struct err *e = s->rule->is_alert ? run_alert(s, in, a, &out) : run_record(s, in, a, &out);

    if (e) {
        rule_eval_out_done(&out);
        return e;
    }
    mark_stale(s, a, in->ts_ms - in->query_offset_ms, &out);
    *ret = out;
    return NULL;
}
