#include "querier/logs/logremote.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/logs/pipeline.h"
#include "common/model/logs_rpc.h"
#include "querier/logs/logcut.h"
#include "querier/logs/logopened.h"
#include "querier/logs/logpeer.h"
#include "querier/logs/logstretch.h"

#define FRESH_ATTEMPTS 4 /* at a catalogue whose blocks are there */

/* ---- one question, and what is answered to it ---- */

struct question {
    struct rpc_logs_select select;
    const struct logblock_bound *bound; /* NULL: none */
    uint64_t fp_first, fp_last;         /* fp_last 0: all streams */
    const atomic_bool *cancel, *stop;
    int64_t deadline_mono_ms;
    unsigned side_by_side; /* questions, that share the memory to read ahead; 0: 1 */
};

struct answer {
    struct store_query *sq;
    struct arena *arena; /* of the view and the blocks' sets */
    struct fanout *f;
    struct blockset_view blocks;
    struct logopened *ahead; /* blocks that were opened ahead, some of the answer's; NULL: none */
    struct logjoin *join;
};

static int64_t since_ms(const struct logremote *r, int64_t start_ns)
{
    if (r->opts.grace_ns <= 0 || start_ns < 0)
        return 0;
    return ORR_MAX(start_ns / NS_PER_MS - r->opts.grace_ns / NS_PER_MS - 1, (int64_t)0);
}

/* How far back the tenant may look. */
static int64_t bounded_start(const struct store_query *sq, int64_t start_ns, int64_t end_ns)
{
    int64_t min_ns = sq->opts.min_ms * NS_PER_MS;

    return sq->opts.min_ms > 0 && start_ns < min_ns ? ORR_MIN(min_ns, end_ns) : start_ns;
}

/* Waits until each has begun, which fixes what it answers: the header of store.h on the seam. */
static struct err *ask(struct logremote *r, const struct question *q, struct answer *an)
{
    struct buf b = {0};
    struct err *e;

    rpc_logs_select_encode(&b, &q->select);
    e = store_ask_logs(an->sq, "ingester.select_logs", buf_slice(&b),
                       since_ms(r, q->select.from_ns), &an->f);
    buf_done(&b);
    return e ? e : fanout_wait(an->f);
}

static struct logblock_query block_query(const struct question *q)
{
    return (struct logblock_query){.matchers = q->select.matchers,
                                   .from_ns = q->select.from_ns,
                                   .to_ns = q->select.to_ns,
                                   .is_backward = q->select.is_backward,
                                   .needles = q->select.needles,
                                   .n_needles = q->select.n_needles,
                                   .bound = q->bound,
                                   .fp_first = q->fp_first,
                                   .fp_last = q->fp_last,
                                   .max_streams = q->select.max_streams,
                                   .n_readers = q->side_by_side,
                                   .cancel = q->cancel,
                                   .stop = q->stop,
                                   .deadline_mono_ms = q->deadline_mono_ms};
}

/* Takes the blocks, and opens all sources. */
static struct err *join(struct logremote *r, const struct question *q, struct answer *an,
                        struct logsource_stats *stats)
{
    const struct blockset_filter filter = {&q->select.matchers, 1};
    const struct logblock_query bq = block_query(q);
    size_t n_peers = fanout_streams(an->f);
    struct logjoin_origin **origins;
    uint64_t mark = fanout_mark(an->f);
    struct err *e = NULL;

    r->mark = ORR_MAX(r->mark, mark);
    if (!r->opts.has_known_mark || mark > r->opts.known_mark)
        e = store_take_logs(an->sq, an->arena, an->f, logblock_ms(q->select.from_ns),
                            logblock_ms(q->select.to_ns - 1), &filter, &an->blocks);
    if (e)
        return e;
    origins = arena_array(an->arena, struct logjoin_origin *, n_peers + an->blocks.n);
    for (size_t i = 0; i < an->blocks.n; i++) {
        struct logjoin_origin *o = logopened_take(an->ahead, an->blocks.meta[i].ulid);

        if (!o)
            continue;
        origins[n_peers + i] = o;
        stats->ahead++;
    }
    if ((e = logopened_fill(an->sq, an->arena, &an->blocks, &bq, stats, origins + n_peers)))
        return e;
    for (size_t i = 0; i < n_peers; i++)
        origins[i] = logpeer_new(an->sq, an->f, i, &stats->ingester_lines);
    an->join =
        logjoin_new(an->sq->opts.arena, origins, n_peers + an->blocks.n, !q->select.is_backward);
    stats->ingesters += n_peers;
    stats->blocks += an->blocks.n;
    return NULL;
}

static struct err *answer_close(struct answer *an)
{
    struct err *e = logjoin_close(an->join);

    if (an->f)
        an->sq->failed_streams += fanout_failed(an->f);
    fanout_close(an->f);
    store_release_logs(an->sq, &an->blocks);
    arena_free(an->arena);
    logopened_close(an->ahead);
    *an = (struct answer){0};
    return e;
}

/* stats outlive the answer. Takes ahead over, which may be NULL. */
static struct err *answer_open(struct logremote *r, const struct question *q,
                               struct logsource_stats *stats, struct logopened *ahead,
                               struct answer *ret)
{
    struct store_query *sq = r->opts.sq;
    struct answer an = {.sq = sq, .arena = arena_child(sq->opts.arena, 0), .ahead = ahead};
    struct err *e = ask(r, q, &an);

    for (int attempt = 1; !e; attempt++) {
        e = join(r, q, &an, stats);
        if (!e || !err_is(e, ERR_NOT_FOUND))
            break;
        if (attempt == FRESH_ATTEMPTS) {
            e = blockset_gone(e);
            break;
        }
        /* compacted away since the catalogue was read */
        err_free(e);
        e = NULL;
        store_release_logs(sq, &an.blocks);
        store_logs_gone(sq);
    }
    store_count_logs(sq, &(struct store_logs_stats){.selects = 1, .failures = e != NULL});
    if (!e) {
        *ret = an;
        return NULL;
    }
    return err_first(e, answer_close(&an));
}

/* ---- lines ---- */

struct remote_set {
    struct logsource_set set;
    struct logremote *remote;
    struct logsource_request req;
    struct slice needles[RPC_LOGS_MAX_NEEDLES];
    struct logblock_bound bound;
    struct question question; /* but for the range */
    struct logstretch left;
    struct logopened *ahead; /* of the first stretch; NULL: none */
    struct answer answer;    /* of the stretch */
    bool is_open;
    struct err *err; /* the first: nothing is read any more */
    struct logsource_stats stats;
};

static bool failed(struct remote_set *s, struct err *e)
{
    s->err = err_first(s->err, e);
    return s->err != NULL;
}

static struct err *open_stretch(struct remote_set *s)
{
    struct rpc_logs_select *sel = &s->question.select;
    struct err *e;

    if (!logstretch_next(&s->left, &sel->from_ns, &sel->to_ns))
        return NULL;
    e = answer_open(s->remote, &s->question, &s->stats, s->ahead, &s->answer);
    s->ahead = NULL;
    if (e)
        return e;
    s->is_open = true;
    return NULL;
}

static struct err *close_stretch(struct remote_set *s)
{
    if (!s->is_open)
        return NULL;
    s->is_open = false;
    s->stats.duplicates += logjoin_duplicates(s->answer.join);
    return answer_close(&s->answer);
}

/* Pages in which nothing is found, and streams without lines, come to nobody who would look. */
static struct err *look(const struct logsource_request *req)
{
    if ((req->cancel && atomic_load_explicit(req->cancel, memory_order_relaxed)) ||
        (req->stop && atomic_load_explicit(req->stop, memory_order_relaxed)))
        return err_new(ERR_CANCELED, "query was canceled in query execution");
    if (req->deadline_mono_ms && clock_mono_ms(&clock_system) >= req->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "query timed out in query execution (querier.timeout, "
                                    "limits.query-timeout, or the timeout asked for)");
    return NULL;
}

/* Blocks leave out the others by themselves. */
static bool is_of_piece(const struct question *q, struct hash128 fp)
{
    return !q->fp_last || (fp.hi >= q->fp_first && fp.hi <= q->fp_last);
}

static bool set_stream(struct logsource_set *base, struct labels *ret)
{
    struct remote_set *s = (struct remote_set *)base;
    struct logjoin_stream st;

    if (s->err || failed(s, look(&s->req)) || (!s->is_open && failed(s, open_stretch(s))) ||
        !s->is_open)
        return false;
    while (logjoin_stream(s->answer.join, &st)) {
        if (!is_of_piece(&s->question, st.fp))
            continue;
        *ret = st.labels;
        return true;
    }
    (void)failed(s, close_stretch(s));
    return false;
}

static bool set_entry(struct logsource_set *base, struct logsource_entry *ret)
{
    struct remote_set *s = (struct remote_set *)base;
    const struct rpc_logs_select *sel = &s->question.select;

    while (s->is_open && logjoin_entry(s->answer.join, ret))
        if (ret->ts_ns >= sel->from_ns &&
            ret->ts_ns < sel->to_ns) /* else it is another stretch's */
            return true;
    return false;
}

static bool set_more(struct logsource_set *base, int64_t *ret_ns)
{
    struct remote_set *s = (struct remote_set *)base;

    return !s->err && !s->is_open && logstretch_peek(&s->left, ret_ns);
}

static void set_stats(const struct logsource_set *base, struct logsource_stats *ret)
{
    *ret = ((const struct remote_set *)base)->stats;
}

static struct err *set_close(struct logsource_set *base)
{
    struct remote_set *s = (struct remote_set *)base;
    struct err *e = err_first(s->err, close_stretch(s));
    const struct logsource_stats *st = &s->stats;

    logopened_close(s->ahead);
    store_count_logs(s->remote->opts.sq,
                     &(struct store_logs_stats){.pages = st->pages,
                                                .pages_skipped = st->pages_skipped,
                                                .page_bytes = st->page_bytes,
                                                .filter_bytes = st->filter_bytes,
                                                .lines = st->block_lines,
                                                .ahead = st->ahead});
    mem_free(s);
    return e;
}

static int64_t ns_of(int64_t ms)
{
    return ms > INT64_MAX / NS_PER_MS   ? INT64_MAX
           : ms < INT64_MIN / NS_PER_MS ? INT64_MIN
                                        : ms * NS_PER_MS;
}

static struct logstretch plan(struct logremote *r, struct arena *a,
                              const struct logsource_request *req,
                              struct logstretch_block **ret_blocks, size_t *ret_n)
{
    struct store_query *sq = r->opts.sq;
    int64_t from_ns = bounded_start(sq, req->start_ns, req->end_ns), to_ns = req->end_ns;
    const struct blockset_times *times = NULL;
    struct logstretch_block *blocks;
    size_t n = 0;

    if (from_ns < to_ns)
        store_log_times(sq, a, logblock_ms(from_ns), logblock_ms(to_ns - 1), &times, &n);
    blocks = arena_array(a, struct logstretch_block, n);
    for (size_t i = 0; i < n; i++)
        blocks[i] = (struct logstretch_block){ns_of(times[i].min_ms), ns_of(times[i].max_ms),
                                              times[i].bytes, times[i].series};
    *ret_blocks = blocks;
    *ret_n = n;
    return logstretch_plan(a, from_ns, to_ns, req->is_forward, req->wants_first, blocks, n);
}

static bool bound_of(const struct logql_logs *logs, struct logblock_bound *ret)
{
    struct pipeline_bound b;

    if (!pipeline_bound(logs, &b))
        return false;
    *ret = (struct logblock_bound){.stage =
                                       b.parser == LOGQL_STAGE_JSON ? LOGPAGE_JSON : LOGPAGE_LOGFMT,
                                   .name = b.name,
                                   .min = b.min,
                                   .max = b.max};
    return true;
}

/* One stretch, as it is. */
static struct logstretch plan_piece(const struct logsource_piece *p, bool is_forward)
{
    return (struct logstretch){.from_ns = p->from_ns, .to_ns = p->to_ns, .is_forward = is_forward};
}

static size_t remote_cut(struct logsource *src, struct arena *a,
                         const struct logsource_request *req, unsigned lanes,
                         struct logsource_piece **ret)
{
    struct logremote *r = (struct logremote *)src;
    struct slice needles[RPC_LOGS_MAX_NEEDLES];
    struct logstretch_block *blocks;
    struct logblock_bound bound;
    struct logstretch left;
    uint64_t bytes = r->opts.cut_bytes;
    size_t n;

    if (!bytes && req->logs &&
        (bound_of(req->logs, &bound) ||
         pipeline_needles(a, req->logs, needles, ORR_COUNT(needles))))
        bytes = LOGCUT_NEEDLE_BYTES;
    left = plan(r, a, req, &blocks, &n);
    *ret = logcut(a, left, blocks, n, lanes, bytes, &n);
    return n;
}

struct fork {
    struct logremote remote; /* first */
    struct store_query sq;
};

static struct logsource *remote_fork(struct logsource *src, struct arena *a)
{
    struct logremote *r = (struct logremote *)src;
    struct fork *f = mem_new(struct fork);

    store_logs_fork(r->opts.sq, a, &f->sq);
    logremote_init(&f->remote, &r->opts);
    f->remote.opts.sq = &f->sq;
    return &f->remote.source;
}

static void remote_join(struct logsource *src, struct logsource *fork)
{
    struct logremote *r = (struct logremote *)src;
    struct fork *f = (struct fork *)fork;

    r->mark = ORR_MAX(r->mark, f->remote.mark);
    store_logs_join(r->opts.sq, &f->sq);
    mem_free(f);
}

/* But for the range. What it points to lives as long as the three and the arena. */
static void make_question(const struct logremote *r, struct arena *arena,
                          const struct logsource_request *req,
                          struct slice needles[RPC_LOGS_MAX_NEEDLES], struct logblock_bound *bound,
                          struct question *q)
{
    *q = (struct question){.cancel = req->cancel,
                           .stop = req->stop,
                           .deadline_mono_ms = req->deadline_mono_ms,
                           .side_by_side = req->side_by_side};
    q->bound = req->logs && bound_of(req->logs, bound) ? bound : NULL;
    if (req->piece && (req->piece->fp_first || req->piece->fp_last != UINT64_MAX)) {
        q->fp_first = req->piece->fp_first;
        q->fp_last = req->piece->fp_last;
    }
    q->select = (struct rpc_logs_select){.kind = RPC_LOGS_ENTRIES,
                                         .matchers = req->matchers,
                                         .is_backward = !req->is_forward,
                                         .limit = req->max_entries,
                                         .max_streams = r->opts.max_streams,
                                         .needles = needles};
    if (req->logs)
        q->select.n_needles = pipeline_needles(arena, req->logs, needles, RPC_LOGS_MAX_NEEDLES);
}

/* The question's texts outlive the blocks that were opened for it. */
struct logsource_ahead {
    struct logopened *opened;
    struct question question;
    struct slice needles[RPC_LOGS_MAX_NEEDLES];
    struct logblock_bound bound;
};

static struct logopened *take_opened(struct logsource_ahead *ahead)
{
    struct logopened *o = ahead->opened;

    ahead->opened = NULL;
    return o;
}

static struct err *remote_select(struct logsource *src, struct arena *arena,
                                 const struct logsource_request *req, struct logsource_set **ret)
{
    static const struct logsource_set_ops ops = {.stream = set_stream,
                                                 .entry = set_entry,
                                                 .close = set_close,
                                                 .more = set_more,
                                                 .stats = set_stats};
    struct logremote *r = (struct logremote *)src;
    struct remote_set *s = mem_new(struct remote_set);
    struct logstretch_block *blocks;
    struct err *e;
    size_t n;

    s->set.ops = &ops;
    s->remote = r;
    s->req = *req;
    make_question(r, arena, req, s->needles, &s->bound, &s->question);
    if (req->ahead)
        s->ahead = take_opened(req->ahead);
    s->left =
        req->piece ? plan_piece(req->piece, req->is_forward) : plan(r, arena, req, &blocks, &n);
    if ((e = open_stretch(s))) { /* what fails at once fails here */
        mem_free(s);
        return e;
    }
    *ret = &s->set;
    return NULL;
}

static struct job_pool *remote_ahead_pool(struct logsource *src)
{
    return store_logs_jobs(((struct logremote *)src)->opts.sq);
}

static struct logsource_ahead *remote_ahead(struct logsource *src, struct arena *arena,
                                            const struct logsource_request *req)
{
    struct logremote *r = (struct logremote *)src;
    struct logsource_ahead *ahead = arena_new_of(arena, struct logsource_ahead);
    struct rpc_logs_select *sel = &ahead->question.select;
    struct logblock_query bq;
    struct err *e;

    if (req->piece->from_ns >= req->piece->to_ns)
        return NULL;
    make_question(r, arena, req, ahead->needles, &ahead->bound, &ahead->question);
    sel->from_ns = req->piece->from_ns;
    sel->to_ns = req->piece->to_ns;
    bq = block_query(&ahead->question);
    if (!(e = logopened_ahead(r->opts.sq, arena, &bq, &ahead->opened)))
        return ahead;
    err_free(e);
    return NULL;
}

static void remote_ahead_done(struct logsource_ahead *ahead)
{
    logopened_close(ahead->opened);
}

void logremote_init(struct logremote *r, const struct logremote_opts *opts)
{
    static const struct logsource_ops ops = {.select = remote_select,
                                             .cut = remote_cut,
                                             .fork = remote_fork,
                                             .join = remote_join,
                                             .ahead_pool = remote_ahead_pool,
                                             .ahead = remote_ahead,
                                             .ahead_done = remote_ahead_done};

    *r = (struct logremote){.source = {&ops}, .opts = *opts};
}

/* ---- streams ---- */

struct logremote_streams {
    struct answer answer;
    bool is_open; /* else the range is empty */
    struct logsource_stats stats;
};

struct err *logremote_streams(struct logremote *r, struct matchers ms, struct logremote_range range,
                              struct logremote_streams **ret)
{
    struct store_query *sq = r->opts.sq;
    struct question q = {.select = {.kind = RPC_LOGS_STREAMS,
                                    .matchers = ms,
                                    .from_ns = bounded_start(sq, range.start_ns, range.end_ns),
                                    .to_ns = range.end_ns,
                                    .max_streams = r->opts.max_streams},
                         .cancel = sq->opts.cancel,
                         .deadline_mono_ms = sq->opts.deadline_mono_ms};
    struct logremote_streams *s = mem_new(struct logremote_streams);
    struct err *e = NULL;

    s->is_open = q.select.from_ns < q.select.to_ns;
    if (s->is_open && (e = answer_open(r, &q, &s->stats, NULL, &s->answer))) {
        mem_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

bool logremote_streams_next(struct logremote_streams *s, struct logremote_stream *ret)
{
    struct logjoin_stream st;

    if (!s->is_open || !logjoin_stream(s->answer.join, &st))
        return false;
    *ret = (struct logremote_stream){st.fp, st.labels, st.entries, st.bytes};
    return true;
}

struct err *logremote_streams_close(struct logremote_streams *s)
{
    struct err *e = s->is_open ? answer_close(&s->answer) : NULL;

    mem_free(s);
    return e;
}

/* ---- names ---- */

struct err *logremote_names(struct logremote *r, struct matchers ms, struct slice label,
                            struct logremote_range range, struct store_names *ret)
{
    struct store_query *sq = r->opts.sq;
    struct rpc_logs_select select = {.kind = label.ptr ? RPC_LOGS_VALUES : RPC_LOGS_NAMES,
                                     .matchers = ms,
                                     .from_ns = bounded_start(sq, range.start_ns, range.end_ns),
                                     .to_ns = range.end_ns,
                                     .name = label.ptr ? label : SLICE_EMPTY,
                                     .max_streams = r->opts.max_streams};

    if (select.from_ns >= select.to_ns) {
        *ret = (struct store_names){0};
        return NULL;
    }
    return store_log_names(sq, &select, since_ms(r, select.from_ns), ret);
}
