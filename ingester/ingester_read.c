/* RPC methods that read the head: see common/model/metrics_rpc.h. Each is a feed. */
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "ingester/ingester_internal.h"

/* What one read holds. */
struct read {
    struct ingester *ing;
    struct rpc_call *call; /* until it is answered */
    struct arena *arena;
    char *tenant;
    struct rpc_select select; /* matchers compiled into the arena */
    struct slice family;
    struct head_set *set;
    uint64_t sent;
    /* of the others: the whole answer, and how far it was sent */
    struct head_names names;
    struct head_metadata *metadata;
    struct head_exemplars *exemplars;
    struct head_pair_count *pairs;
    uint64_t series;
    bool has_begun;
    size_t n, at;
};

static struct read *read_new(struct ingester *ing, struct rpc_call *call)
{
    struct read *r = mem_new(struct read);

    r->ing = ing;
    r->call = call;
    r->arena = arena_new(0);
    r->tenant = slice_dup(rpc_call_tenant(call));
    return r;
}

static void read_close(void *src)
{
    struct read *r = src;

    if (r->set)
        err_free(head_set_close(r->set));
    matchers_done(r->select.matchers);
    arena_free(r->arena);
    mem_free(r->tenant);
    mem_free(r);
}

static struct head_query query_of(const struct read *r)
{
    const struct rpc_select *s = &r->select;

    return (struct head_query){.tenant = slice_cstr(r->tenant),
                               .matchers = s->matchers,
                               .min_ms = s->min_ms,
                               .max_ms = s->max_ms,
                               .without_chunks = s->kind != RPC_SELECT_CHUNKS,
                               .shard_index = s->shard_index,
                               .shard_count = s->shard_count,
                               .max_series = s->max_series,
                               .max_bytes = s->max_bytes,
                               .is_keyed = s->is_keyed,
                               .names = s->names,
                               .n_names = s->n_names,
                               .newest_only = s->newest_only};
}

/* What is in the answer is fixed from here on; what is not, since it was dropped, the reader finds in the blocks of
 * this version of the catalogue or a later one. */
static struct err *fixed(struct read *r, struct err *e)
{
    rpc_call_mark(r->call, head_dropped_by(r->ing->head, slice_cstr(r->tenant)));
    return e;
}

/* ---- select ---- */

static struct err *select_open(void *src)
{
    struct read *r = src;
    struct head_query q = query_of(r);

    return fixed(r, head_select(r->ing->head, &q, &r->set));
}

static void put_series(struct buf *frame, const struct head_series *s, bool is_keyed)
{
    struct rpc_chunk few[16];
    struct rpc_chunk *chunks =
        s->n_chunks <= ORR_COUNT(few) ? few : mem_new_array(struct rpc_chunk, s->n_chunks);

    for (size_t i = 0; i < s->n_chunks; i++)
        chunks[i] = (struct rpc_chunk){s->chunks[i].min_ms, s->chunks[i].max_ms,
                                       s->chunks[i].encoding, s->chunks[i].data};
    rpc_series_encode(frame, &(struct rpc_series){s->labels, chunks, s->n_chunks, is_keyed, s->fp});
    if (chunks != few)
        mem_free(chunks);
}

static struct err *select_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;
    struct head_set *set = r->set;
    struct head_series s;

    while (frame->len < METRICS_RPC_FRAME_BYTES) {
        if ((r->select.limit && r->sent >= r->select.limit) || !head_set_next(set, &s)) {
            *ret_more = false;
            r->set = NULL;
            return head_set_close(set);
        }
        put_series(frame, &s, r->select.is_keyed);
        r->sent++;
    }
    return NULL;
}

/* ---- names and values ---- */

static struct err *names_open(void *src)
{
    struct read *r = src;
    struct head_query q = query_of(r);
    struct err *e;

    if (r->select.kind == RPC_SELECT_VALUES)
        e = head_label_values(r->ing->head, &q, r->select.name, r->arena, &r->names);
    else
        e = head_label_names(r->ing->head, &q, r->arena, &r->names);
    r->n = r->names.n;
    if (r->select.limit && r->n > r->select.limit)
        r->n = r->select.limit;
    return fixed(r, e);
}

static struct err *names_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;

    while (r->at < r->n && frame->len < METRICS_RPC_FRAME_BYTES)
        buf_lstr(frame, r->names.ptr[r->at++]);
    *ret_more = r->at < r->n;
    return NULL;
}

/* ---- metadata ---- */

static struct err *metadata_open(void *src)
{
    struct read *r = src;

    return fixed(r, head_metadata_list(r->ing->head, slice_cstr(r->tenant), r->family, r->arena,
                                       &r->metadata, &r->n));
}

static struct err *metadata_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;

    while (r->at < r->n && frame->len < METRICS_RPC_FRAME_BYTES) {
        const struct head_metadata *m = &r->metadata[r->at++];

        rpc_metadata_encode(frame, &(struct rpc_metadata){m->family, m->help, m->unit, m->type});
    }
    *ret_more = r->at < r->n;
    return NULL;
}

/* ---- exemplars ---- */

static struct err *exemplars_open(void *src)
{
    struct read *r = src;
    struct head_query q = query_of(r);

    return fixed(r, head_exemplars_list(r->ing->head, &q, r->arena, &r->exemplars, &r->n));
}

static struct err *exemplars_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;

    while (r->at < r->n && frame->len < METRICS_RPC_FRAME_BYTES) {
        const struct head_exemplars *x = &r->exemplars[r->at++];

        rpc_exemplars_encode(frame, &(struct rpc_exemplars){x->labels, x->ptr, x->n});
    }
    *ret_more = r->at < r->n;
    return NULL;
}

/* ---- pairs, and the head as a whole ---- */

static struct err *pairs_open(void *src)
{
    struct read *r = src;
    struct head_query q = query_of(r);
    const struct slice *name = r->select.kind == RPC_SELECT_VALUES ? &r->select.name : NULL;

    return fixed(r,
                 head_pairs_list(r->ing->head, &q, name, r->arena, &r->pairs, &r->n, &r->series));
}

static struct err *pairs_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;

    if (!r->has_begun)
        rpc_pair_encode(frame, &(struct rpc_pair){SLICE_EMPTY, SLICE_EMPTY, r->series});
    r->has_begun = true;
    while (r->at < r->n && frame->len < METRICS_RPC_FRAME_BYTES) {
        const struct head_pair_count *p = &r->pairs[r->at++];

        rpc_pair_encode(frame, &(struct rpc_pair){p->name, p->value, p->series});
    }
    *ret_more = r->at < r->n;
    return NULL;
}

static struct err *head_next(void *src, struct buf *frame, bool *ret_more)
{
    struct read *r = src;
    struct head_tenant_stats st;
    struct rpc_head h = {0};
    struct err *e = head_count(r->ing->head, slice_cstr(r->tenant), &h.pairs, &h.chunks);

    if (e)
        return e;
    head_tenant_stats_get(r->ing->head, slice_cstr(r->tenant), &st);
    h.series = st.series;
    h.appended = st.samples_appended;
    h.rate_milli = st.rate_milli;
    h.min_ms = st.min_ms;
    h.max_ms = st.max_ms;
    rpc_head_encode(frame, &h);
    *ret_more = false;
    return NULL;
}

/* ---- handlers ---- */

static void start(struct ingester *ing, struct rpc_call *call, bool has_select,
                  const struct feed_ops *ops)
{
    struct read *r = read_new(ing, call);
    struct err *e = tenant_check(rpc_call_tenant(call));

    if (!e && has_select)
        e = rpc_select_decode(r->arena, arena_dup(r->arena, rpc_call_payload(call)), &r->select);
    else
        r->family = arena_dup(r->arena, rpc_call_payload(call));
    if (e) {
        read_close(r);
        rpc_reply_err(call, e);
        return;
    }
    feed_start(ing->feeds, call, ops, r);
}

static void on_select(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {select_open, select_next, read_close};

    start(arg, call, true, &ops);
}

static void on_names(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {names_open, names_next, read_close};

    start(arg, call, true, &ops);
}

static void on_metadata(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {metadata_open, metadata_next, read_close};

    start(arg, call, false, &ops);
}

static void on_exemplars(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {exemplars_open, exemplars_next, read_close};

    start(arg, call, true, &ops);
}

static void on_pairs(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {pairs_open, pairs_next, read_close};

    start(arg, call, true, &ops);
}

static void on_head(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {NULL, head_next, read_close};

    start(arg, call, false, &ops);
}

void ingester_read_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    rpc_server_handle(s, "ingester.select", on_select, ing);
    rpc_server_handle(s, "ingester.names", on_names, ing);
    rpc_server_handle(s, "ingester.metadata", on_metadata, ing);
    rpc_server_handle(s, "ingester.exemplars", on_exemplars, ing);
    rpc_server_handle(s, "ingester.pairs", on_pairs, ing);
    rpc_server_handle(s, "ingester.head", on_head, ing);
}
