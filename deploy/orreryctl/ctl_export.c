/*
 * export: samples of a tenant's blocks, series by series, merged over the blocks. What ingesters hold and have not handed over yet
 * is not in it, nor exemplars. Memory: the refs of the selected series, one series' chunks.
 * The forms: ctl_point.h.
 *
 * Two samples at one time: the one that a merge keeps (block_merge.h). OpenMetrics can hold neither stale markers nor native
 * histograms: both are counted and said, and with histograms the call fails. So are blocks of downsampled points.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/vec.h"
#include "common/block/block_merge.h"
#include "common/block/block_store.h"
#include "common/block/tombstone_list.h"
#include "common/lang/promql.h"
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_point.h"
#include "deploy/orreryctl/ctl_show.h"

#define RUN 1000 /* samples of a line of JSON */

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

struct exporting {
    struct ctl *c;
    struct matchers ms;
    int64_t min_t, max_t; /* both inclusive */
    enum ctl_format format;
    VEC(struct input) in;
    struct tombstone_list *tombs;
    struct arena *arena; /* of the current series */
    struct arena *tmp;   /* of the current sample */
    VEC(struct ctl_point) samples;
    struct buf out;
    uint64_t histograms, stale, downsampled; /* left out */
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
        vec_push(&x->samples,
                 ((struct ctl_point){t, cols->v ? cols->v[i] : 0, cols->h ? &cols->h[i] : NULL}));
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
    const struct ctl_point *x = a, *y = b;
    int c = (x->t > y->t) - (x->t < y->t);

    return c ? c : block_merge_cmp(x->v, x->h, y->v, y->h);
}

/* One sample of each time, in order. */
static void sort_samples(struct exporting *x)
{
    size_t n = x->samples.len, out = 0;

    if (n)
        qsort(x->samples.ptr, n, sizeof(*x->samples.ptr), by_time);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || x->samples.ptr[i + 1].t != x->samples.ptr[i].t)
            x->samples.ptr[out++] = x->samples.ptr[i];
    x->samples.len = out;
}

/* ---- writing ---- */

static struct err *flush(struct exporting *x)
{
    struct err *e = NULL;

    if (fwrite(x->out.ptr, 1, x->out.len, stdout) != x->out.len)
        e = err_errno(ERR_IO, "standard output");
    buf_reset(&x->out);
    return e;
}

static struct err *flush_some(struct exporting *x)
{
    return x->out.len > 256u << 10 ? flush(x) : NULL;
}

static struct err *write_texts(struct exporting *x, struct labels ls)
{
    struct buf name = {0};
    struct err *e = NULL;

    ctl_point_name(&name, ls);
    VEC_FOREACH (s, &x->samples) {
        if (x->format == CTL_FORMAT_OPENMETRICS && (s->h || ctl_point_is_stale(s))) {
            *(s->h ? &x->histograms : &x->stale) += 1;
            continue;
        }
        arena_reset(x->tmp);
        ctl_point_text(&x->out, x->tmp, x->format, buf_slice(&name), s);
        if ((e = flush_some(x)))
            break;
    }
    buf_done(&name);
    return e;
}

static struct err *write_json(struct exporting *x, struct labels ls)
{
    const struct ctl_point *s = x->samples.ptr;
    struct err *e = NULL;
    size_t n;

    for (size_t i = 0; i < x->samples.len && !e; i += n) {
        for (n = 1; n < RUN && i + n < x->samples.len && !s[i + n].h == !s[i].h; n++)
            ;
        ctl_point_json(&x->out, ls, &s[i], n);
        e = flush_some(x);
    }
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
    if (e)
        return e;
    sort_samples(x);
    return x->format == CTL_FORMAT_JSON ? write_json(x, ls) : write_texts(x, ls);
}

static struct err *export_all(struct exporting *x)
{
    struct input *in;
    struct err *e = NULL;

    while (!e && (in = least(x)))
        e = export_next(x, in);
    if (!e && x->format == CTL_FORMAT_OPENMETRICS)
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
    arena_free(x->tmp);
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

    if (!c->opts.tenant)
        return ctl_usage(c, "--tenant is missing");
    if (!ctl_format_parse(format, &x->format))
        return ctl_usage(c, "--format is openmetrics, lines or json");
    if ((e = parse_time(c, c->opts.from, INT64_MIN / 2, &x->min_t)) ||
        (e = parse_time(c, c->opts.to, INT64_MAX / 2, &x->max_t)))
        return e;
    if (c->opts.match && (e = promql_parse_selector(c->arena, slice_cstr(c->opts.match), &x->ms))) {
        c->is_usage = true;
        return e;
    }
    return NULL;
}

static void say_left_out(struct exporting *x)
{
    if (x->histograms) {
        fprintf(stderr,
                "orreryctl: %llu samples of native histograms were left out: OpenMetrics has no "
                "form for "
                "them, --format=lines and --format=json do\n",
                (unsigned long long)x->histograms);
        x->c->wrong++;
    }
    if (x->stale)
        fprintf(stderr,
                "orreryctl: %llu stale markers were left out: OpenMetrics has no form for them, "
                "--format=lines and --format=json do\n",
                (unsigned long long)x->stale);
    if (x->downsampled)
        fprintf(stderr, "orreryctl: %llu blocks of downsampled points were left out\n",
                (unsigned long long)x->downsampled);
}

struct err *ctl_export(struct ctl *c)
{
    struct exporting x = {.c = c, .arena = arena_new(0), .tmp = arena_new(0)};
    struct catalogue *cat = NULL;
    struct slice tenant;
    struct err *e = parse(&x);

    tenant = slice_cstr(c->opts.tenant ? c->opts.tenant : "");
    if (!e && !(e = tombstone_list_load(c->store, CTL_SIGNAL, tenant, &x.tombs, NULL)) &&
        !(e = catalogue_load(c->store, CTL_SIGNAL, tenant, &cat)) && !(e = open_inputs(&x, cat)))
        e = export_all(&x);
    if (!e)
        say_left_out(&x);
    catalogue_free(cat);
    done(&x);
    return e;
}
