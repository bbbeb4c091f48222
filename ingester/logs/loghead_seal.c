/*
 * From open lines to a frame: sorted by stream, time and arrival, equal ones once, in pages.
 *
 * A generation that is due is closed for lines by its shard's thread, and sealed by a worker, one
 * of a shard at a time and those of a table in order: it waits until the log has all records in it, builds
 * the frame, writes it; the shard's thread then puts the frame in the generation's place.
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"

/* ---- building ---- */

struct line_ref {
    const struct logline *line;
    int64_t t_ns;
    uint32_t stream; /* index in the frame */
    uint32_t order;  /* of arrival */
};

struct seal_stream {
    struct hash128 fp;
    uint32_t ref;
    uint32_t at; /* of its labels in labels */
    uint32_t len;
};

struct seal {
    struct mailbox_msg msg;
    struct logshard *shard;
    struct logtable *table;
    struct loggen *gen;
    VEC(struct seal_stream) streams; /* by fingerprint */
    struct buf labels;               /* canonical, back to back, as found */
    struct logsealed *sealed;        /* the result, or: */
    struct err *err;
    uint64_t twice;
    uint32_t next_ref; /* capture goes on here */
};

static int cmp_stream(const void *a, const void *b)
{
    return hash128_cmp(((const struct seal_stream *)a)->fp, ((const struct seal_stream *)b)->fp);
}

static int cmp_arrival(const void *a, const void *b)
{
    const struct line_ref *x = a, *y = b;

    return (x->order > y->order) - (x->order < y->order);
}

static bool same_content(const struct logline *a, const struct logline *b)
{
    return a->line_len == b->line_len && a->meta_len == b->meta_len &&
           memcmp(a->bytes, b->bytes, (size_t)a->line_len + a->meta_len) == 0;
}

static int cmp_content(const void *a, const void *b)
{
    const struct line_ref *x = a, *y = b;
    int c = slice_cmp(slice_of(x->line->bytes, (size_t)x->line->line_len + x->line->meta_len),
                      slice_of(y->line->bytes, (size_t)y->line->line_len + y->line->meta_len));

    if (c == 0 && x->line->line_len != y->line->line_len)
        c = x->line->line_len < y->line->line_len ? -1 : 1;
    return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* n lines of one stream and time: the first of equal ones stays, the order too. Returns how many. */
static size_t unite(struct line_ref *l, size_t n)
{
    size_t keep = 1;

    if (n == 1)
        return 1;
    if (n > 8) { /* equal ones beside one another, then back into the order of arrival */
        qsort(l, n, sizeof(*l), cmp_content);
        for (size_t i = 1; i < n; i++)
            if (!same_content(l[keep - 1].line, l[i].line))
                l[keep++] = l[i];
        qsort(l, keep, sizeof(*l), cmp_arrival);
        return keep;
    }
    for (size_t i = 1; i < n; i++) {
        bool is_new = true;

        for (size_t k = 0; k < keep && is_new; k++)
            is_new = !same_content(l[k].line, l[i].line);
        if (is_new)
            l[keep++] = l[i];
    }
    return keep;
}

static size_t unite_all(struct line_ref *l, size_t n)
{
    size_t out = 0;

    for (size_t i = 0, k; i < n; i += k) {
        size_t kept;

        for (k = 1; i + k < n && l[i + k].stream == l[i].stream && l[i + k].t_ns == l[i].t_ns; k++)
            ;
        kept = unite(l + i, k);
        memmove(l + out, l + i, kept * sizeof(*l));
        out += kept;
    }
    return out;
}

static size_t line_bytes(const struct logline *l)
{
    return (sizeof(*l) + l->line_len + l->meta_len + 7) & ~(size_t)7;
}

/* Where the lines that came in order end, of those from start on. */
static size_t end_of_run(const struct line_ref *l, size_t start, size_t n)
{
    size_t end = start + 1;

    while (end < n && l[end - 1].t_ns <= l[end].t_ns)
        end++;
    return end;
}

/* Of l the runs [0, mid) and [mid, n) become one; equal times stay as they came. spare: room for as many. */
static void merge_runs(struct line_ref *l, size_t mid, size_t n, struct line_ref *spare)
{
    size_t i = 0, k = mid, at = 0;

    memcpy(spare, l, mid * sizeof(*l));
    while (i < mid && k < n)
        l[at++] = l[k].t_ns < spare[i].t_ns ? l[k++] : spare[i++];
    memcpy(l + at, spare + i, (mid - i) * sizeof(*l));
}

/* By time and arrival, of one stream, as they arrived: runs of ascending times, few as a rule. */
static void sort_by_time(struct line_ref *l, size_t n, struct line_ref *spare)
{
    size_t first;

    while ((first = end_of_run(l, 0, n)) < n)
        for (size_t at = 0; at < n;) {
            size_t mid = at ? end_of_run(l, at, n) : first, end;

            if (mid == n)
                break;
            end = end_of_run(l, mid, n);
            merge_runs(l + at, mid - at, end - at, spare);
            at = end;
        }
}

/* All lines of the generation, by stream, time and arrival; index: by ref, the stream in the frame. raw: what each stream has. */
static struct line_ref *collect(const struct seal *s, const uint32_t *index, uint64_t *raw,
                                size_t *ret_n)
{
    size_t n = 0, n_streams = s->streams.len, *ends = mem_new_array(size_t, n_streams + 2);
    struct line_ref *all = mem_new_array(struct line_ref, s->gen->entries + 1), *out;

    VEC_FOREACH (b, &s->gen->blocks)
        for (size_t at = 0; at < b->used;) {
            const struct logline *l = (const struct logline *)(const void *)(b->ptr + at);

            all[n] = (struct line_ref){l, l->t_ns, index[l->ref], (uint32_t)n};
            ends[all[n].stream + 2]++;
            raw[all[n].stream] += l->line_len + l->meta_len;
            n++;
            at += line_bytes(l);
        }
    out = mem_new_array(struct line_ref, n + 1);
    for (size_t k = 2; k < n_streams + 2; k++)
        ends[k] += ends[k - 1];
    for (size_t i = 0; i < n; i++)
        out[ends[all[i].stream + 1]++] = all[i];
    for (size_t k = 0; k < n_streams; k++)
        sort_by_time(out + ends[k], ends[k + 1] - ends[k], all);
    mem_free(all);
    mem_free(ends);
    *ret_n = n;
    return out;
}

struct frame_out {
    struct logpage_builder *builder;
    struct logfilter_grams *grams; /* NULL: pages have no filters */
    struct arena *arena;
    VEC(struct logpage_entry) entries; /* of the page being filled */
    size_t page_raw, page_aim;
    struct logframe_head head;
    struct logframe_stream *streams;
    uint64_t *raw; /* of each stream: what it has, those that are there twice counted twice */
    VEC(struct logframe_page) pages;
    struct buf page_bytes;
};

static struct err *end_page(struct frame_out *o)
{
    size_t before = o->page_bytes.len;
    struct logframe_page p = {.offset = before, .min_ns = INT64_MAX, .max_ns = INT64_MIN};
    struct err *e;

    if (!o->entries.len)
        return NULL;
    if ((e = logpage_build(o->builder, o->entries.ptr, o->entries.len, LOGPAGE_LEVEL,
                           &o->page_bytes, o->grams)))
        return e;
    p.bytes = (uint32_t)(o->page_bytes.len - before);
    if (o->grams) {
        struct logfilter_bits bits = logfilter_bits_of(o->grams);

        p.filter_class = bits.size_class;
        p.filter_bytes = (uint32_t)logfilter_bits_bytes(&bits);
        logfilter_bits_write(&bits, &o->page_bytes);
        logfilter_bits_done(&bits);
    }
    p.entries = (uint32_t)o->entries.len;
    VEC_FOREACH (en, &o->entries) {
        p.min_ns = ORR_MIN(p.min_ns, en->ts_ns);
        p.max_ns = ORR_MAX(p.max_ns, en->ts_ns);
    }
    vec_push(&o->pages, p);
    vec_clear(&o->entries);
    arena_reset(o->arena);
    o->page_raw = 0;
    return NULL;
}

static struct err *add_line(struct frame_out *o, const struct line_ref *r)
{
    const struct logline *l = r->line;
    struct logframe_stream *s = &o->streams[r->stream];
    size_t raw = (size_t)l->line_len + l->meta_len;
    struct logpage_entry en = {
        .stream = r->stream, .ts_ns = l->t_ns, .line = slice_of(l->bytes, l->line_len)};
    struct err *e;

    if (o->entries.len &&
        (o->page_raw + raw > o->page_aim || o->entries.len == LOGPAGE_MAX_ENTRIES) &&
        (e = end_page(o)))
        return e;
    if (!logrecord_metadata(o->arena, slice_of(l->bytes + l->line_len, l->meta_len), &en.meta))
        return err_new(ERR_INTERNAL, "structured metadata that was checked is malformed");
    vec_push(&o->entries, en);
    o->page_raw += raw;
    if (!s->entries) {
        s->first_page = (uint32_t)o->pages.len;
        s->min_ns = l->t_ns;
    }
    s->max_ns = l->t_ns;
    s->last_page = (uint32_t)o->pages.len;
    s->entries++;
    s->bytes += raw;
    o->head.entries++;
    o->head.bytes += raw;
    o->head.min_ns = ORR_MIN(o->head.min_ns, l->t_ns);
    o->head.max_ns = ORR_MAX(o->head.max_ns, l->t_ns);
    return NULL;
}

/*
 * The lines of one stream. One that fills half a page or more has pages of its own, all about equally large, so
 * that a block can take them over as they are. The last one has what is left, a little more than its share or less.
 */
static struct err *add_stream(struct frame_out *o, const struct line_ref *l, size_t n)
{
    size_t raw = o->raw[l->stream], n_pages, first;
    bool is_own = raw >= LOGPAGE_AIM_BYTES / 2;
    struct err *e = NULL;

    if (is_own && (e = end_page(o)))
        return e;
    first = o->pages.len;
    n_pages = (raw + LOGPAGE_AIM_BYTES - 1) / LOGPAGE_AIM_BYTES;
    for (size_t i = 0; i < n && !e; i++) {
        o->page_aim = !is_own                              ? LOGPAGE_AIM_BYTES
                      : o->pages.len - first + 1 < n_pages ? raw / n_pages + raw / n / 2 + 1
                                                           : LOGPAGE_AIM_BYTES * 9 / 8;
        e = add_line(o, &l[i]);
    }
    return e || !is_own ? e : end_page(o);
}

static struct err *add_all(struct frame_out *o, const struct line_ref *l, size_t n)
{
    struct err *e = NULL;

    for (size_t i = 0, k; i < n && !e; i += k) {
        for (k = 1; i + k < n && l[i + k].stream == l[i].stream; k++)
            ;
        e = add_stream(o, l + i, k);
    }
    return e ? e : end_page(o);
}

/* The streams in the order of the frame, and where each ref is in it. */
static uint32_t *order_streams(struct seal *s, struct frame_out *o, struct buf *labels)
{
    uint32_t n_refs = 0, *index;

    if (s->streams.len > 1)
        qsort(s->streams.ptr, s->streams.len, sizeof(*s->streams.ptr), cmp_stream);
    VEC_FOREACH (st, &s->streams)
        n_refs = ORR_MAX(n_refs, st->ref + 1);
    index = mem_new_array(uint32_t, n_refs + 1);
    o->streams = mem_new_array(struct logframe_stream, s->streams.len + 1);
    o->raw = mem_new_array(uint64_t, s->streams.len + 1);
    for (uint32_t i = 0; i < s->streams.len; i++) {
        const struct seal_stream *st = &s->streams.ptr[i];

        index[st->ref] = i;
        o->streams[i].fp = st->fp;
        buf_lstr(labels, slice_of(s->labels.ptr + st->at, st->len));
    }
    return index;
}

static struct err *build(struct seal *s, struct buf *out)
{
    struct loghead *h = s->shard->head;
    struct frame_out o = {.arena = arena_new(0),
                          .head = {.shard = s->shard->index,
                                   .n_streams = (uint32_t)s->streams.len,
                                   .min_ns = INT64_MAX,
                                   .max_ns = INT64_MIN,
                                   .epoch = h->epoch,
                                   .through = s->gen->through,
                                   .live_from = s->gen->live_to ? h->live_from : 0,
                                   .live_to = s->gen->live_to,
                                   .segment = s->gen->segment->id,
                                   .window_ms = s->gen->segment->window_ms,
                                   .number = s->gen->number}};
    struct buf labels = {0};
    uint32_t *index = order_streams(s, &o, &labels);
    size_t n, kept;
    struct line_ref *all = collect(s, index, o.raw, &n);
    struct err *e;

    if (!s->shard->builder)
        s->shard->builder = logpage_builder_new();
    o.builder = s->shard->builder;
    o.grams = h->opts.has_filters ? &s->shard->grams : NULL;
    kept = unite_all(all, n);
    s->twice = n - kept;
    e = add_all(&o, all, kept);
    o.head.n_pages = (uint32_t)o.pages.len;
    if (!e)
        e = logframe_build(&o.head, s->table->tenant->slice, o.streams, o.pages.ptr,
                           buf_slice(&labels), buf_slice(&o.page_bytes), out);
    mem_free(all);
    mem_free(index);
    mem_free(o.streams);
    mem_free(o.raw);
    buf_done(&labels);
    buf_done(&o.page_bytes);
    vec_done(&o.entries);
    vec_done(&o.pages);
    arena_free(o.arena);
    return e;
}

/* ---- the sealer ---- */

struct barrier {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    struct err *err;
};

static void on_durable(void *arg, struct err *e)
{
    struct barrier *b = arg;

    (void)pthread_mutex_lock(&b->lock);
    b->err = e;
    b->is_done = true;
    (void)pthread_cond_signal(&b->changed);
    (void)pthread_mutex_unlock(&b->lock);
}

/* A frame may say that it covers records only when these cannot get lost: their numbers would be given again. */
static struct err *wait_durable(struct wal *w)
{
    struct barrier b = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

    wal_barrier(w, on_durable, &b);
    (void)pthread_mutex_lock(&b.lock);
    while (!b.is_done)
        (void)pthread_cond_wait(&b.changed, &b.lock);
    (void)pthread_mutex_unlock(&b.lock);
    return b.err;
}

static void seal_free(struct seal *s)
{
    loggen_unref(s->gen);
    vec_done(&s->streams);
    buf_done(&s->labels);
    mem_free(s);
}

/* On the shard's thread: the frame takes the generation's place, unless readers are capturing. */
static bool run_sealed(void *arg)
{
    struct seal *s = arg;
    struct logshard *sh = s->shard;
    struct logtable *tb = s->table;

    if (s->sealed && tb->captures)
        return true;
    err_free(sh->seal_error);
    sh->seal_error = s->err;
    sh->is_sealing = false;
    tb->is_queued = false;
    if (s->sealed) {
        ORR_ASSERT(tb->gens.ptr[0] == s->gen);
        vec_push(&tb->frames, s->sealed);
        logtable_hold(tb, s->gen->stream_refs.ptr, s->gen->stream_refs.len);
        logfile_count(sh, s->sealed);
        logsegment_add(sh->head, s->gen->segment, s->sealed);
        loggen_unref(s->gen);
        tb->gens.len--;
        memmove(tb->gens.ptr, tb->gens.ptr + 1, tb->gens.len * sizeof(*tb->gens.ptr));
        tb->min_gen = tb->gens.len ? tb->gens.ptr[0]->id : tb->next_gen;
        sh->m.sealed_frames++;
        sh->m.sealed_bytes += s->sealed->frame.bytes.len;
        sh->m.sealed_raw += s->sealed->frame.head.bytes;
        sh->m.sealed_twice += s->twice;
    } else {
        sh->m.seal_failures++;
        LOG_ERROR(head, "log lines cannot be sealed, they stay in memory and in the log",
                  KV_ERR(s->err));
    }
    seal_free(s);
    logfile_reap(sh);
    if (!sh->seal_error) /* else loghead_maintain() tries again */
        logshard_seal_more(sh);
    return false;
}

static void seal_work(void *arg)
{
    struct seal *s = arg;
    struct loghead *h = s->shard->head;
    int64_t began = clock_mono_ns(&clock_system);
    struct buf frame = {0};

    if (!(s->err = wait_durable(h->opts.wal)) && !(s->err = build(s, &frame)))
        s->err =
            logfile_append(s->shard, buf_slice(&frame), s->gen->segment->window_ms, &s->sealed);
    buf_done(&frame);
    metric_hist_observe(&h->m.seal_s, (double)(clock_mono_ns(&clock_system) - began) / 1e9);
    s->msg = (struct mailbox_msg){.fn = run_sealed, .arg = s};
    mailbox_post(&s->shard->box, &s->msg);
}

/* ---- on the shard's thread ---- */

#define CAPTURE_STREAMS 512u

/* Which streams the generation has, in turns: labels can be read here only. */
static bool run_capture(void *arg)
{
    struct seal *s = arg;
    struct logtable *tb = s->table;
    uint32_t end =
        (uint32_t)ORR_MIN((size_t)s->next_ref + CAPTURE_STREAMS, s->gen->stream_refs.len);
    struct err *e;

    for (; s->next_ref < end; s->next_ref++) {
        uint32_t ref = s->gen->stream_refs.ptr[s->next_ref];
        struct seal_stream st = {
            .fp = tb->streams.ptr[ref].fp, .ref = ref, .at = (uint32_t)s->labels.len};

        logtable_canonical(tb, ref, &s->labels);
        st.len = (uint32_t)s->labels.len - st.at;
        vec_push(&s->streams, st);
    }
    if (s->next_ref < s->gen->stream_refs.len)
        return true;
    e = job_run(s->shard->head->sealers, NULL, seal_work, NULL, s);
    if (e) {
        s->err = e;
        return run_sealed(s);
    }
    return false;
}

static void begin(struct logshard *sh, struct logtable *tb)
{
    struct seal *s = mem_new(struct seal);

    *s = (struct seal){.shard = sh, .table = tb, .gen = tb->gens.ptr[0]};
    loggen_ref(s->gen);
    s->msg = (struct mailbox_msg){.fn = run_capture, .arg = s};
    mailbox_post(&sh->box, &s->msg);
}

static bool has_closed(const struct logtable *tb)
{
    return tb->gens.len > (size_t)tb->is_open;
}

void logshard_seal_more(struct logshard *sh)
{
    if (sh->is_sealing || !atomic_load(&sh->head->is_loaded) || atomic_load(&sh->head->is_closing))
        return;
    VEC_FOREACH (tb, &sh->tables)
        if (!(*tb)->is_queued && has_closed(*tb)) {
            (*tb)->is_queued = true;
            vec_push(&sh->to_seal, *tb);
        }
    if (!sh->to_seal.len)
        return;
    sh->is_sealing = true;
    begin(sh, sh->to_seal.ptr[0]);
    sh->to_seal.len--;
    memmove(sh->to_seal.ptr, sh->to_seal.ptr + 1, sh->to_seal.len * sizeof(*sh->to_seal.ptr));
}

bool logtable_is_past(const struct logtable *tb, int64_t now_ms)
{
    return tb->is_open && atomic_load(&tb->shard->head->is_loaded) &&
           loghead_window(vec_last(&tb->gens)->opened_ms) != loghead_window(now_ms);
}

bool logtable_is_due(const struct logtable *tb, int64_t now_ms)
{
    const struct loghead_opts *o = &tb->shard->head->opts;
    const struct loggen *g = tb->is_open ? vec_last(&tb->gens) : NULL;

    if (!g || !atomic_load(&tb->shard->head->is_loaded))
        return false;
    if (g->bytes >= o->seal_bytes)
        return true;
    return now_ms && (now_ms - g->opened_ms >= o->seal_age_ms ||
                      (int64_t)(atomic_load(&tb->shard->head->logged_bytes) - g->logged_at) >=
                          o->seal_wal_bytes ||
                      logtable_is_past(tb, now_ms));
}

void logtable_close_open(struct logtable *tb)
{
    struct loghead *h = tb->shard->head;
    struct loggen *g;

    if (!tb->is_open)
        return;
    g = vec_last(&tb->gens);
    tb->is_open = false;
    tb->defs++; /* the log tells each generation's labels anew: frames may be given up any time */
    if (atomic_load(&h->is_ready)) {
        g->through = ORR_MAX(tb->last_seq, ORR_MAX(tb->replayed_seq, tb->through));
    } else {
        g->through = ORR_MAX(tb->replayed_seq, tb->through);
        g->live_to = tb->last_seq;
    }
    g->segment = logsegment_join(tb->tenant, h, loghead_window(g->opened_ms), &g->number);
    logshard_seal_more(tb->shard);
}
