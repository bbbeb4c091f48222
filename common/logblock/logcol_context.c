#include "common/base/mem.h"
#include "common/logblock/logcol_internal.h"

/* All of a value, if it is in the column at all. */
static bool is_whole_value(const struct logcol *c, struct slice text)
{
    return c->kind == LOGCOL_HEX && !c->has_affixes && c->hex.len == text.len;
}

static struct slice joined(struct arena *a, struct slice before, struct slice text,
                           struct slice behind)
{
    uint8_t *p = arena_alloc(a, before.len + text.len + behind.len);

    if (before.len)
        memcpy(p, before.ptr, before.len);
    memcpy(p + before.len, text.ptr, text.len);
    if (behind.len)
        memcpy(p + before.len + text.len, behind.ptr, behind.len);
    return slice_of(p, before.len + text.len + behind.len);
}

static bool is_among(const struct slice *list, size_t n, struct slice text)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(list[i], text))
            return true;
    return false;
}

/* Of the template's variables of such columns. False: there are too many. */
static bool add_contexts(struct arena *a, const struct logcol *root,
                         const struct logcol_template *m, const struct logcol_ask *ask,
                         struct slice *ret, size_t *n)
{
    for (uint32_t k = 0; k < m->n_vars; k++) {
        struct logcol *c = &root->cols[m->vars[k].col];
        struct slice text;

        if (!is_whole_value(c, ask->text) || !logcol_may(c, ask))
            continue;
        text = joined(a, m->vars[k].before, ask->text, logcol_behind(m, k));
        if (is_among(ret, *n, text))
            continue;
        if (*n == LOGCOL_MAX_CONTEXTS)
            return false;
        ret[(*n)++] = text;
    }
    return true;
}

size_t logcol_contexts(struct arena *a, struct logcol *root, const struct logcol_ask *ask,
                       struct slice ret[LOGCOL_MAX_CONTEXTS])
{
    size_t n = 0;

    if (root->kind != LOGCOL_WORDS || root->has_affixes || logcol_may_template(root, ask))
        return 0;
    for (uint32_t k = 0; k < root->words.n_cols; k++)
        if (!is_whole_value(&root->cols[k], ask->text) && logcol_may(&root->cols[k], ask))
            return 0;
    for (uint32_t t = 0; t < root->words.n_templates; t++)
        if (!add_contexts(a, root, &root->words.templates[t], ask, ret, &n))
            return 0;
    return n;
}
