#include "querier/logs/logremote.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/logs/pipeline.h"
#include "querier/logs/logcut.h"
#include "querier/logs/logopened.h"
#include "querier/logs/logpeer.h"
#include "querier/logs/logpiece_ask.h"
#include "querier/logs/logremote_internal.h"
#include "querier/logs/logstretch.h"

#define LOOK_EVERY 1024 /* lines that are deleted */

/* ---- lines ---- */

struct remote_set {
    struct logsource_set set;
    struct logremote *remote;
    struct logsource_request req;
    struct slice needles[RPC_LOGS_MAX_NEEDLES];
    struct logblock_bound bound;
    struct rpc_logs_bound rpc_bound;
    struct logremote_question question; /* but for the range */
    struct logstretch left;
    struct logremote_answer answer; /* of the stretch */
    bool is_open;
    struct logremote_tombs tombs;
    bool is_cut;     /* some of the stream may be */
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
    e = logremote_answer_open(s->remote, &s->question, &s->stats, &s->answer);
    s->question.ahead = NULL;
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
    return logremote_answer_close(&s->answer);
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
static bool is_of_piece(const struct logremote_question *q, struct hash128 fp)
{
    return !q->fp_last || (fp.hi >= q->fp_first && fp.hi <= q->fp_last);
}

static bool set_stream(struct logsource_set *base, struct labels *ret)
{
    struct remote_set *s = (struct remote_set *)base;
    const struct rpc_logs_select *sel = &s->question.select;
    struct logjoin_stream st;

    if (s->err || failed(s, look(&s->req)) || (!s->is_open && failed(s, open_stretch(s))) ||
        !s->is_open)
        return false;
    while (logjoin_stream(s->answer.join, &st)) {
        if (!is_of_piece(&s->question, st.fp))
            continue;
        if (s->tombs.lines && failed(s, linetombs_stream(s->tombs.lines, st.labels, &s->is_cut)))
            return false;
        if (s->is_cut && linetombs_takes_all(s->tombs.lines, sel->from_ns, sel->to_ns))
            continue;
        *ret = st.labels;
        return true;
    }
    (void)failed(s, close_stretch(s));
    return false;
}

/* Who looks at what comes does not see how many do not. */
static bool is_deleted(struct remote_set *s, const struct logsource_entry *en)
{
    if (!s->is_cut || !linetombs_has(s->tombs.lines, en->ts_ns, en->line, en->metadata))
        return false;
    s->stats.deleted++;
    return s->stats.deleted % LOOK_EVERY || !failed(s, look(&s->req));
}

static bool set_entry(struct logsource_set *base, struct logsource_entry *ret)
{
    struct remote_set *s = (struct remote_set *)base;
    const struct rpc_logs_select *sel = &s->question.select;

    while (s->is_open && !s->err && logjoin_entry(s->answer.join, ret))
        if (ret->ts_ns >= sel->from_ns &&
            ret->ts_ns < sel->to_ns && /* else it is another stretch's */
            !is_deleted(s, ret))
            return !s->err;
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

    logopened_close(s->question.ahead);
    store_count_logs(s->remote->opts.sq,
                     &(struct store_logs_stats){.pages = st->pages,
                                                .pages_skipped = st->pages_skipped,
                                                .page_bytes = st->page_bytes,
                                                .filter_bytes = st->filter_bytes,
                                                .lines = st->block_lines,
                                                .ahead = st->ahead,
                                                .deleted = st->deleted});
    logremote_tombs_close(&s->tombs);
    mem_free(s);
    return e;
}

static struct logstretch plan(struct logremote *r, struct arena *a,
                              const struct logsource_request *req,
                              struct logstretch_block **ret_blocks, size_t *ret_n)
{
    struct store_query *sq = r->opts.sq;
    int64_t from_ns = logremote_start(sq, req->start_ns, req->end_ns), to_ns = req->end_ns;
    const struct blockset_times *times = NULL;
    struct logstretch_block *blocks;
    size_t n = 0;

    if (from_ns < to_ns)
        store_log_times(sq, a, logblock_ms(from_ns), logblock_ms(to_ns - 1), &times, &n);
    blocks = arena_array(a, struct logstretch_block, n);
    for (size_t i = 0; i < n; i++)
        blocks[i] =
            (struct logstretch_block){logblock_ns(times[i].min_ms), logblock_ns(times[i].max_ms),
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
                          struct logremote_question *q)
{
    *q = (struct logremote_question){.cancel = req->cancel,
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
    struct logremote_question question;
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
    if (s->question.bound) {
        s->rpc_bound =
            (struct rpc_logs_bound){.is_logfmt = s->question.bound->stage == LOGPAGE_LOGFMT,
                                    .name = s->question.bound->name,
                                    .min = s->question.bound->min,
                                    .max = s->question.bound->max};
        s->question.select.bound = &s->rpc_bound;
    }
    if (req->ahead)
        s->question.ahead = take_opened(req->ahead);
    s->left =
        req->piece ? plan_piece(req->piece, req->is_forward) : plan(r, arena, req, &blocks, &n);
    if (!(e = logremote_tombs_open(r, &req->matchers,
                                   (struct logremote_range){req->start_ns, req->end_ns, 0},
                                   &s->tombs))) {
        if (s->tombs.lines) /* the first ones may be deleted */
            s->question.select.limit = 0;
        e = open_stretch(s); /* what fails at once fails here */
    }
    if (e) {
        logopened_close(s->question.ahead);
        logremote_tombs_close(&s->tombs);
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
    bq = logremote_block_query(&ahead->question);
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
                                             .ahead_done = remote_ahead_done,
                                             .away = &logpiece_ask_ops};

    *r = (struct logremote){.source = {&ops}, .opts = *opts};
}
