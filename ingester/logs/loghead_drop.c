/*
 * A segment goes: the catalogue's version, then marks onto the disk; out of the list; out of the tables, on the shards'
 * threads, in turns. What is lent stays until it is given back.
 */
#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"
#include "ingester/metrics/dropped_by.h"

#define TURN_STREAMS 4096u

struct forgetting { /* in a shard */
    const struct logsegment *segment;
    VEC(struct logsealed *) frames; /* that it had */
    bool has_taken;
    size_t frame;
    uint32_t stream;
};

/* Out of the table: whoever reads from now on does not find them. */
static void take_frames(struct logshard *sh, struct logtable *tb, struct forgetting *fo)
{
    size_t keep = 0;

    VEC_FOREACH (x, &tb->frames) {
        struct logsealed *s = *x;

        if (!ulid_eq(s->frame.head.segment, fo->segment->id)) {
            tb->frames.ptr[keep++] = s;
            continue;
        }
        atomic_store(&s->is_dropped, true);
        logfile_count_dropped(sh, s);
        vec_push(&fo->frames, s);
    }
    tb->frames.len = keep;
    fo->has_taken = true;
}

/* Some streams of the frame at hand; true: it is through. */
static bool let_go(struct logtable *tb, struct forgetting *fo)
{
    const struct logframe *f = &fo->frames.ptr[fo->frame]->frame;
    uint32_t end = (uint32_t)ORR_MIN((uint64_t)fo->stream + TURN_STREAMS, f->head.n_streams);

    for (; fo->stream < end; fo->stream++) {
        uint32_t ref = logtable_find(tb, logframe_stream_at(f, fo->stream).fp);

        ORR_ASSERT(ref != LOGHEAD_NO_REF); /* the frame held it */
        logtable_let_go(tb, &ref, 1);
    }
    return fo->stream == f->head.n_streams;
}

static bool run_forget(struct logshard *sh, void *arg)
{
    struct forgetting *fo = arg;
    struct logtable *tb = fo->segment->tenant->tables[sh->index];

    if (!tb)
        return false;
    if (!fo->has_taken)
        take_frames(sh, tb, fo);
    for (uint32_t n = 0; n < TURN_STREAMS && fo->frame < fo->frames.len;) {
        n += fo->frames.ptr[fo->frame]->frame.head.n_streams;
        if (!let_go(tb, fo))
            return true;
        fo->stream = 0;
        logsealed_unref(fo->frames.ptr[fo->frame++]); /* not the last: the segment has one */
    }
    if (fo->frame < fo->frames.len)
        return true;
    vec_done(&fo->frames);
    return false;
}

static void forget(struct loghead *h, const struct logsegment *g)
{
    struct forgetting fo[LOGHEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < h->n_shards; i++)
        fo[i] = (struct forgetting){.segment = g};
    logshard_call_all(h, run_forget, fo, sizeof(*fo));
}

static void remove_from(struct logsegment **ptr, size_t *len, const struct logsegment *g)
{
    size_t keep = 0;

    for (size_t i = 0; i < *len; i++)
        if (ptr[i] != g)
            ptr[keep++] = ptr[i];
    *len = keep;
}

/* No one finds it any more; false: somebody did it before. */
static bool unlist(struct loghead *h, struct logsegment *g)
{
    struct logsegments *sg = h->segments;
    size_t before;
    bool was_there;

    lock_take(&sg->lock);
    before = sg->all.len;
    remove_from(sg->all.ptr, &sg->all.len, g);
    remove_from(g->tenant->segments.ptr, &g->tenant->segments.len, g);
    was_there = sg->all.len < before;
    if (was_there) {
        METRIC_ADD(h->m.segments, -1);
        METRIC_ADD(h->m.segment_bytes, -(int64_t)g->bytes);
        METRIC_ADD(h->m.segments_dropped, 1);
    }
    lock_release(&sg->lock);
    return was_there;
}

static struct err *drop(struct loghead *h, struct logsegment *g, uint64_t version)
{
    struct logsegments *sg = h->segments;
    struct ulid_text id = ulid_print(g->id);
    struct err *e;

    /* First, so that no read finds the segment gone and does not hear of it. */
    if ((e = dropped_by_raise(sg->dropped_by, g->tenant->slice, version)))
        return e;
    if ((e = logfile_mark_dropped(g->frames.ptr, g->frames.len)))
        return e;
    if (!unlist(h, g))
        return logsegment_not_found(g->tenant->slice, slice_cstr(id.s));
    forget(h, g);
    LOG_INFO(head, "segment of log lines dropped", KV_STR("tenant", g->tenant->id),
             KV_STR("block", id.s), KV_U64("version", version));
    logsegment_unref(h, g); /* of those who listed it */
    return NULL;
}

struct err *loghead_segment_dropped(struct loghead *h, struct slice tenant, struct slice ulid,
                                    uint64_t version)
{
    struct logsegment *g = logsegment_find(h, tenant, ulid);
    struct err *e;

    if (!g)
        return logsegment_not_found(tenant, ulid);
    e = drop(h, g, version);
    logsegment_unref(h, g);
    if (!e || err_is(e, ERR_NOT_FOUND))
        return e;
    METRIC_ADD(h->m.drop_failures, 1);
    return err_wrap(e, "segment %.*s stays", SLICE_ARG(ulid));
}

uint64_t loghead_dropped_by(struct loghead *h, struct slice tenant)
{
    return dropped_by_get(h->segments->dropped_by, tenant);
}
