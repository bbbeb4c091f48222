/* Stages that make lines and labels anew: line_format, label_format, decolorize, drop, keep. */
#include "common/base/gore.h"
#include "common/logs/pipeline_internal.h"
#include "common/template/template_loki.h"

/* ---- templates ---- */

static struct err *parse_template(struct slice name, struct slice text, struct template_set **ret)
{
    *ret = template_new(&template_loki_funcs);
    return template_parse(*ret, name, text);
}

/* Into s->text; false: it failed, and the line says so. */
static bool execute(struct pipeline_state *s, const struct template_set *set, struct slice name,
                    struct value dot)
{
    struct template_loki loki = {s->line, s->ts_ns, s->now_ns};
    struct template_run run = {.arena = s->tmp, .ctx = &loki, .missing = TEMPLATE_MISSING_ZERO};
    struct err *e;

    buf_reset(&s->text);
    e = template_execute(set, name, dot, &run, &s->text);
    if (!e)
        return true;
    linelabels_fail(&s->labels, SLICE("TemplateFormatErr"),
                    linelabels_keep(&s->labels, slice_cstr(err_msg(e))));
    err_free(e);
    return false;
}

static struct value dot_of(struct pipeline_state *s)
{
    return value_labels(s->tmp, linelabels_all(&s->labels, s->tmp));
}

/* ---- line_format ---- */

static bool run_line_format(struct pipeline_state *s, const struct pipeline_step *step)
{
    if (execute(s, step->template, SLICE("line"), dot_of(s)))
        s->line = linelabels_keep(&s->labels, buf_slice(&s->text));
    return true;
}

struct err *pipeline_make_line_format(struct pipeline *p, struct pipeline_step *step)
{
    (void)p;
    step->run = run_line_format;
    return parse_template(SLICE("line"), step->stage->text, &step->template);
}

/* ---- label_format ---- */

static void set_plain(struct pipeline_state *s, struct pipeline_name name,
                      enum linelabels_from from, struct slice value)
{
    if (name.special == PIPELINE_LABEL) {
        linelabels_del(&s->labels, name.id); /* whatever it was */
        linelabels_set(&s->labels, name.id, from, value);
    } else if (name.special == PIPELINE_ERROR) {
        s->labels.error = value;
    } else {
        s->labels.details = value;
    }
}

static void rename_label(struct pipeline_state *s, const struct pipeline_pair *pair)
{
    enum linelabels_from from;
    struct slice value;

    if (pair->src.special != PIPELINE_LABEL)
        return;
    from = linelabels_get(&s->labels, pair->src.id, &value);
    if (from == LINELABELS_NOWHERE)
        return;
    set_plain(s, pair->dst, from, value);
    linelabels_del(&s->labels, pair->src.id);
}

static bool run_label_format(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct value dot = value_none();

    for (size_t i = 0; i < step->n_pairs; i++) {
        const struct pipeline_pair *pair = &step->pairs[i];

        if (!pair->template) {
            rename_label(s, pair);
            continue;
        }
        if (dot.kind == VALUE_INVALID)
            dot = dot_of(s); /* the labels as the first template finds them */
        if (execute(s, pair->template, SLICE("label"), dot))
            set_plain(s, pair->dst, LINELABELS_PARSED,
                      linelabels_keep(&s->labels, buf_slice(&s->text)));
    }
    return true;
}

struct err *pipeline_make_label_format(struct pipeline *p, struct pipeline_step *step)
{
    const struct logql_stage *stage = step->stage;
    struct err *e = NULL;

    step->run = run_label_format;
    step->pairs = arena_array(p->arena, struct pipeline_pair, stage->n_pairs);
    for (; step->n_pairs < stage->n_pairs && !e; step->n_pairs++) {
        const struct logql_pair *from = &stage->pairs[step->n_pairs];
        struct pipeline_pair *to = &step->pairs[step->n_pairs];

        to->dst = pipeline_name(p, from->dst);
        if (from->is_name)
            to->src = pipeline_name(p, from->src);
        else
            e = parse_template(SLICE("label"), from->src, &to->template);
    }
    return e;
}

void pipeline_format_done(struct pipeline_step *step)
{
    template_free(step->template);
    for (size_t i = 0; i < step->n_pairs; i++)
        template_free(step->pairs[i].template);
}

/* ---- decolorize ---- */

/* What terminals take for colours and cursor movements: an escape, parameters, a final byte; or a
 * title that a bell ends. */
#define ESCAPES                                                                                    \
    "[\\x{1b}\\x{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[-a-zA-Z\\d/#&.:=?%@~_]*)*)?\\x07)|"   \
    "(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PR-TZcf-ntqry=><~]))"

static bool run_decolorize(struct pipeline_state *s, const struct pipeline_step *step)
{
    if (slice_find_byte(s->line, 0x1b, 0) < 0 && slice_find_byte(s->line, 0x9b, 0) < 0)
        return true;
    buf_reset(&s->text);
    gore_replace_all(&s->text, step->re, s->line, SLICE_EMPTY);
    s->line = linelabels_keep(&s->labels, buf_slice(&s->text));
    return true;
}

struct err *pipeline_make_decolorize(struct pipeline *p, struct pipeline_step *step)
{
    step->run = run_decolorize;
    return linefilter_regex(p->arena, SLICE(ESCAPES), &step->re);
}

/* ---- drop and keep ---- */

static void drop(struct pipeline_state *s, struct pipeline_name name)
{
    struct slice unused;

    if (name.special == PIPELINE_ERROR)
        s->labels.error = SLICE_EMPTY;
    else if (name.special == PIPELINE_DETAILS)
        s->labels.details = SLICE_EMPTY;
    else if (linelabels_get(&s->labels, name.id, &unused) != LINELABELS_NOWHERE)
        linelabels_del(&s->labels, name.id);
}

static bool run_drop(struct pipeline_state *s, const struct pipeline_step *step)
{
    for (size_t i = 0; i < step->n_pairs; i++) {
        const struct pipeline_pair *pair = &step->pairs[i];

        if (!pair->matcher || matcher_matches(pair->matcher, pipeline_value(s, pair->dst)))
            drop(s, pair->dst);
    }
    return true;
}

static bool is_kept(const struct pipeline_step *step, uint32_t id, struct slice value)
{
    for (size_t i = 0; i < step->n_pairs; i++) {
        const struct pipeline_pair *pair = &step->pairs[i];

        if (pair->dst.special == PIPELINE_LABEL && pair->dst.id == id &&
            (!pair->matcher || matcher_matches(pair->matcher, value)))
            return true;
    }
    return false;
}

static void keep_only(struct pipeline_state *s, const struct pipeline_step *step, uint32_t id)
{
    struct slice value;

    if (linelabels_get(&s->labels, id, &value) != LINELABELS_NOWHERE && !is_kept(step, id, value))
        linelabels_del(&s->labels, id);
}

static bool run_keep(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct linelabels *l = &s->labels;
    uint32_t n_touched = l->n_touched; /* deleting adds to them */

    for (uint32_t i = 0; i < n_touched; i++)
        keep_only(s, step, l->touched[i]);
    for (uint32_t i = 0; i < l->n_base; i++)
        keep_only(s, step, l->base[i]);
    return true;
}

static void take_pairs(struct pipeline *p, struct pipeline_step *step)
{
    const struct logql_stage *stage = step->stage;

    step->pairs = arena_array(p->arena, struct pipeline_pair, stage->n_pairs);
    for (; step->n_pairs < stage->n_pairs; step->n_pairs++)
        step->pairs[step->n_pairs] =
            (struct pipeline_pair){.dst = pipeline_name(p, stage->pairs[step->n_pairs].dst),
                                   .matcher = stage->pairs[step->n_pairs].matcher};
}

struct err *pipeline_make_drop(struct pipeline *p, struct pipeline_step *step)
{
    step->run = run_drop;
    take_pairs(p, step);
    return NULL;
}

struct err *pipeline_make_keep(struct pipeline *p, struct pipeline_step *step)
{
    step->run = run_keep;
    take_pairs(p, step);
    return NULL;
}
