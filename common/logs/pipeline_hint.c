/*
 * What parsers are to give: computed once from the query, as Loki computes it, for it shows: a parser
 * that has all it was asked for does not come to what is malformed further on.
 */
#include "common/logs/pipeline_internal.h"

struct hints {
    struct pipeline *p;
    uint32_t *ids;
    size_t n, cap;
    bool has_error, has_details;
};

static void add_id(struct hints *h, uint32_t id)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->ids[i] == id)
            return;
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;

        h->ids = arena_grow(h->p->arena, h->ids, h->cap * sizeof(*h->ids), cap * sizeof(*h->ids));
        h->cap = cap;
    }
    h->ids[h->n++] = id;
}

/* A label that stands beside the stream's is parsed under the name without _extracted. */
static void add_name(void *arg, struct slice name)
{
    struct hints *h = arg;
    struct slice suffix = SLICE(LINELABELS_EXTRACTED);
    struct pipeline_name n = pipeline_name(h->p, name);

    h->has_error |= n.special == PIPELINE_ERROR;
    h->has_details |= n.special == PIPELINE_DETAILS;
    if (n.special != PIPELINE_LABEL)
        return;
    add_id(h, n.id);
    if (slice_has_suffix(name, suffix))
        add_id(h, pipeline_label_id(h->p, slice_sub(name, 0, name.len - suffix.len)));
}

static void add_filter(struct hints *h, const struct logql_filter *f)
{
    if (f->kind == LOGQL_FILTER_AND || f->kind == LOGQL_FILTER_OR) {
        add_filter(h, f->lhs);
        add_filter(h, f->rhs);
        return;
    }
    add_name(h, f->name);
}

static void add_step(struct hints *h, const struct pipeline_step *step)
{
    if (!step->stage)
        return;
    if (step->stage->kind == LOGQL_STAGE_FILTER)
        add_filter(h, step->stage->filter);
    if (step->template)
        template_fields(step->template, add_name, h);
    for (size_t i = 0; step->stage->kind == LOGQL_STAGE_LABEL_FORMAT && i < step->n_pairs; i++) {
        if (step->pairs[i].template)
            template_fields(step->pairs[i].template, add_name, h);
        else
            add_name(h, step->stage->pairs[i].src);
    }
}

static void add_groups(struct hints *h, const struct logql_grouping *g)
{
    struct pipeline *p = h->p;

    p->groups = arena_array(p->arena, uint32_t, g->labels.n + 1);
    for (size_t i = 0; i < g->labels.n; i++)
        p->groups[p->n_groups++] = pipeline_label_id(p, g->labels.ptr[i]);
    /* by name: few */
    for (size_t i = 1; i < p->n_groups; i++)
        for (size_t k = i;
             k > 0 && slice_cmp(p->names[p->groups[k - 1]], p->names[p->groups[k]]) > 0; k--) {
            uint32_t id = p->groups[k];

            p->groups[k] = p->groups[k - 1];
            p->groups[k - 1] = id;
        }
    for (size_t i = 0; i < g->labels.n; i++)
        add_name(h, g->labels.ptr[i]);
}

/* Filters on one label that parsers may ask once they have it. */
static void find_stops(struct pipeline *p)
{
    p->stops = arena_array(p->arena, const struct pipeline_filter *, p->n_names);
    for (size_t i = 0; i < p->n; i++) {
        const struct pipeline_filter *f = p->steps[i].filter;

        if (f && f->kind != LOGQL_FILTER_AND && f->kind != LOGQL_FILTER_OR &&
            f->name.special == PIPELINE_LABEL && !p->stops[f->name.id])
            p->stops[f->name.id] = f;
    }
}

static void require(struct pipeline *p, const struct hints *h)
{
    for (size_t i = 0; i < h->n; i++)
        p->is_required[h->ids[i]] = true;
    p->n_required = (uint32_t)h->n + h->has_error + h->has_details;
}

void pipeline_hint(struct pipeline *p, const struct pipeline_opts *opts)
{
    const struct logql_range *r = opts->range;
    const struct logql_grouping *g = r && r->grouping.is_given ? &r->grouping : opts->sum;
    struct hints h = {.p = p};
    bool is_one;

    if (r) {
        for (size_t i = 0; i < p->n; i++)
            add_step(&h, &p->steps[i]);
        for (size_t i = 0; i < r->n_unwrap_filters; i++)
            add_filter(&h, r->unwrap_filters[i]);
        if (g)
            add_groups(&h, g);
        if (r->unwrap != LOGQL_UNWRAP_NONE)
            add_id(&h, p->unwrap_id);
    }
    p->is_required = arena_array(p->arena, bool, p->n_names);
    find_stops(p);
    if (!r)
        return;
    p->preserves_error = h.has_error;
    p->is_without = !g || g->is_without;
    is_one = g && !g->is_without && g->labels.n == 0;
    if (r->unwrap != LOGQL_UNWRAP_NONE && p->is_without) {
        if (!p->groups)
            p->groups = arena_array(p->arena, uint32_t, 1);
        p->groups[p->n_groups++] = p->unwrap_id;
    }
    if (is_one && h.n == 0 && !h.has_error && !h.has_details)
        p->has_no_labels = true;
    else if (is_one || (g && !g->is_without))
        require(p, &h);
}
