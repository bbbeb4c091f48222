/*
 * export: samples of a tenant's blocks, series by series, merged over the blocks. What ingesters hold and have not handed over yet
 * is not in it. Memory: the refs of the selected series, one series' chunks.
 *
 * Two samples at one time: the one that a merge keeps (block_merge.h). Stale markers are left out of OpenMetrics, which
 * has no word for them. Native histograms, which neither form can hold, and blocks of downsampled points are
 * counted and said.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/block/tombstone_list.h"
#include "common/lang/promql.h"
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_show.h"

struct input {
    struct ctl_copy copy;
    struct block_reader *r;
    struct arena *all, *one; /* refs; labels and chunk metas of the current series */
    struct block_refs refs;
    size_t next;
    struct block_reader_series cur;
    uint32_t ref;
    bool has_cur;
};

struct point {
    int64_t t;
    double v;
};

struct exporting {
    struct ctl *c;
    struct matchers ms;
    int64_t min_t, max_t; /* both inclusive */
    bool is_lines;
    VEC(struct input) in;
    struct tombstone_list *tombs;
    struct arena *arena; /* of the current series */
    VEC(struct point) samples;
    struct buf out;
    uint64_t series, written, histograms, downsampled;
};

/* ---- inputs ---- */

static struct err *open_input(struct exporting *x, const struct catalogue *cat,
                              const struct catalogue_block *b)
{
    const struct block_reader_opts opts = {.external = b->labels};
    struct slice dir = block_store_dir(x->c->arena, cat, b->ulid, b->dir);
    struct input *in = vec_add(&x->in);
    struct block_source *src;
    struct err *e;

    in->all = arena_new(0);
    in->one = arena_new(0);
    if (!(e = ctl_copy_make(x->c, dir, b->ulid, &in->copy)) &&
        !(e = block_source_dir(in->copy.path, &src)) &&
        !(e = block_reader_open(src, &opts, &in->r)))
        e = block_reader_select_range(in->r, in->all, x->ms, x->min_t, x->max_t, &in->refs);
    return err_wrap(e, "block %s", ulid_print(b->ulid).s);
}

static struct err *advance(struct input *in)
{
    in->has_cur = in->next < in->refs.n;
    if (!in->has_cur)
        return NULL;
    arena_reset(in->one);
    in->ref = in->refs.ptr[in->next++];
    return block_reader_series(in->r, in->one, in->ref, &in->cur);
}

static struct err *open_inputs(struct exporting *x, const struct catalogue *cat)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(cat, &n);
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++)
        if (b[i].min_t <= x->max_t && b[i].max_t > x->min_t) {
            if (b[i].resolution_ms)
                x->downsampled++;
            else
                e = open_input(x, cat, &b[i]);
        }
    for (size_t i = 0; i < x->in.len && !e; i++)
        e = advance(&x->in.ptr[i]);
    return e;
}

static struct input *least(struct exporting *x)
{
    struct input *best = NULL;

    VEC_FOREACH (in, &x->in)
        if (in->has_cur && (!best || labels_cmp(in->cur.labels, best->cur.labels) < 0))
            best = in;
    return best;
}

/* ---- samples of one series ---- */

static bool is_deleted(const struct block_interval *d, size_t n, int64_t t)
{
    for (size_t i = 0; i < n; i++)
        if (t >= d[i].min_t && t <= d[i].max_t)
            return true;
    return false;
}

static void take_columns(struct exporting *x, const struct input *in,
                         const struct chunk_columns *cols, const struct tombstone_span *gone,
                         size_t n_gone)
{
    size_t n_deleted;
    const struct block_interval *deleted = block_reader_tombstones(in->r, in->ref, &n_deleted);

    for (size_t i = 0; i < cols->n; i++) {
        int64_t t = cols->t[i];

        if (t < x->min_t || t > x->max_t || is_deleted(deleted, n_deleted, t) ||
            tombstone_spans_have(gone, n_gone, t))
            continue;
        if (cols->v)
            vec_push(&x->samples, ((struct point){t, cols->v[i]}));
        else
            x->histograms++;
    }
}

static struct err *take_series(struct exporting *x, struct input *in,
                               const struct tombstone_span *gone, size_t n_gone)
{
    const struct block_reader_series *s = &in->cur;
    struct err *e = NULL;

    for (size_t i = 0; i < s->n_chunks && !e; i++) {
        struct chunk_columns cols;
        struct chunk c;

        if (s->chunks[i].max_t < x->min_t || s->chunks[i].min_t > x->max_t)
            continue;
        if (!(e = block_reader_chunks(in->r, x->arena, &s->chunks[i], 1, &c)) &&
            !(e = chunk_decode(x->arena, c.encoding, c.data, &cols)))
            take_columns(x, in, &cols, gone, n_gone);
    }
    return e ? e : advance(in);
}

/* By time; of one time the winner last. */
static int by_time(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    int c = (x->t > y->t) - (x->t < y->t);

    if (c == 0)
        c = (int)sample_is_stale(y->v) - (int)sample_is_stale(x->v);
    if (c == 0)
        c = (sample_bits(x->v) > sample_bits(y->v)) - (sample_bits(x->v) < sample_bits(y->v));
    return c;
}

/* ---- writing ---- */

static void put_value_text(struct buf *b, struct slice s)
{
    buf_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_str(b, "\\n");
        else if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_printf(b, "\\%c", s.ptr[i]);
        else
            buf_byte(b, s.ptr[i]);
    }
    buf_byte(b, '"');
}

/* name{a="b",c="d"}, without the spaces that OpenMetrics does not allow. */
static void put_name(struct buf *b, struct labels ls)
{
    struct slice name = labels_get(ls, SLICE(LABEL_NAME));
    bool is_plain = labels_is_legacy_metric(name), is_first = true;

    if (is_plain)
        buf_slice_append(b, name);
    if (is_plain && ls.n == 1)
        return;
    buf_byte(b, '{');
    if (!is_plain && name.len) {
        put_value_text(b, name);
        is_first = false;
    }
    for (size_t i = 0; i < ls.n; i++) {
        if (slice_eq_cstr(ls.ptr[i].name, LABEL_NAME))
            continue;
        if (!is_first)
            buf_byte(b, ',');
        is_first = false;
        if (labels_is_legacy_name(ls.ptr[i].name))
            buf_slice_append(b, ls.ptr[i].name);
        else
            put_value_text(b, ls.ptr[i].name);
        buf_byte(b, '=');
        put_value_text(b, ls.ptr[i].value);
    }
    buf_byte(b, '}');
}

static void put_sample(struct exporting *x, struct slice name, const struct point *s)
{
    buf_slice_append(&x->out, name);
    buf_byte(&x->out, ' ');
    buf_f64_text(&x->out, s->v);
    if (x->is_lines)
        buf_printf(&x->out, " %lld\n", (long long)s->t);
    else /* seconds; the sign apart, so that -0.5 keeps it */
        buf_printf(&x->out, " %s%lld.%03lld\n", s->t < 0 ? "-" : "", llabs(s->t / MS_PER_S),
                   llabs(s->t % MS_PER_S));
}

static struct err *flush(struct exporting *x)
{
    struct err *e = NULL;

    if (fwrite(x->out.ptr, 1, x->out.len, stdout) != x->out.len)
        e = err_errno(ERR_IO, "standard output");
    buf_reset(&x->out);
    return e;
}

static struct err *write_series(struct exporting *x, struct labels ls)
{
    struct buf name = {0};
    struct err *e = NULL;
    size_t n = x->samples.len;

    if (n)
        qsort(x->samples.ptr, n, sizeof(*x->samples.ptr), by_time);
    put_name(&name, ls);
    for (size_t i = 0; i < n && !e; i++) {
        const struct point *s = &x->samples.ptr[i];

        if ((i + 1 < n && s[1].t == s->t) || (!x->is_lines && sample_is_stale(s->v)))
            continue;
        put_sample(x, buf_slice(&name), s);
        x->written++;
        if (x->out.len > 256u << 10)
            e = flush(x);
    }
    x->series += n != 0;
    buf_done(&name);
    return e;
}

static struct err *export_next(struct exporting *x, struct input *first)
{
    struct tombstone_span *gone;
    struct labels ls;
    size_t n_gone;
    struct err *e = NULL;

    arena_reset(x->arena);
    vec_clear(&x->samples);
    ls = labels_dup(x->arena, first->cur.labels);
    gone = tombstone_list_spans(x->tombs, x->arena, ls, x->min_t, x->max_t, &n_gone);
    VEC_FOREACH (in, &x->in)
        if (!e && in->has_cur && labels_cmp(in->cur.labels, ls) == 0)
            e = take_series(x, in, gone, n_gone);
    return e ? e : write_series(x, ls);
}

static struct err *export_all(struct exporting *x)
{
    struct input *in;
    struct err *e = NULL;

    while (!e && (in = least(x)))
        e = export_next(x, in);
    if (!e && !x->is_lines)
        buf_str(&x->out, "# EOF\n");
    return e ? e : flush(x);
}

static void done(struct exporting *x)
{
    VEC_FOREACH (in, &x->in) {
        block_reader_close(in->r);
        ctl_copy_done(&in->copy);
        arena_free(in->all);
        arena_free(in->one);
    }
    vec_done(&x->in);
    vec_done(&x->samples);
    buf_done(&x->out);
    tombstone_list_unref(x->tombs);
    matchers_done(x->ms);
    arena_free(x->arena);
}

/* ---- what is asked for ---- */

static struct err *parse_time(struct ctl *c, const char *text, int64_t def, int64_t *ret)
{
    struct err *e = NULL;

    *ret = def;
    if (text && (e = gotime_parse_api(slice_cstr(text), ret)))
        c->is_usage = true;
    return e;
}

static struct err *parse(struct exporting *x)
{
    struct ctl *c = x->c;
    const char *format = c->opts.format ? c->opts.format : "openmetrics";
    struct err *e;

    x->is_lines = strcmp(format, "lines") == 0;
    if (!c->opts.tenant)
        return ctl_usage(c, "--tenant is missing");
    if (!x->is_lines && strcmp(format, "openmetrics") != 0)
        return ctl_usage(c, "--format is openmetrics or lines");
    if ((e = parse_time(c, c->opts.from, INT64_MIN / 2, &x->min_t)) ||
        (e = parse_time(c, c->opts.to, INT64_MAX / 2, &x->max_t)))
        return e;
    if (c->opts.match && (e = promql_parse_selector(c->arena, slice_cstr(c->opts.match), &x->ms))) {
        c->is_usage = true;
        return e;
    }
    return NULL;
}

struct err *ctl_export(struct ctl *c)
{
    struct exporting x = {.c = c, .arena = arena_new(0)};
    struct catalogue *cat = NULL;
    struct slice tenant;
    struct err *e = parse(&x);

    tenant = slice_cstr(c->opts.tenant ? c->opts.tenant : "");
    if (!e && !(e = tombstone_list_load(c->store, CTL_SIGNAL, tenant, &x.tombs, NULL)) &&
        !(e = catalogue_load(c->store, CTL_SIGNAL, tenant, &cat)) && !(e = open_inputs(&x, cat)))
        e = export_all(&x);
    if (!e && x.histograms) {
        fprintf(stderr, "orreryctl: %llu samples of native histograms were left out\n",
                (unsigned long long)x.histograms);
        c->wrong++;
    }
    if (!e && x.downsampled)
        fprintf(stderr, "orreryctl: %llu blocks of downsampled points were left out\n",
                (unsigned long long)x.downsampled);
    catalogue_free(cat);
    done(&x);
    return e;
}
