/*
 * A batch into the parts of a push, each the record that its shard logs if it takes all of it: from the bytes that
 * replicas send each other, or, of the process that has the door, from the lines where they lie.
 */
#include "common/base/mem.h"
#include "ingester/logs/loghead_push_internal.h"

#define STREAM_ROOM 64 /* of a stream beside its labels and entries, at most */
#define PART_ROOM 4096 /* so that a pair that is longer than most does not make the part move */

struct err *logpush_check_room(struct loghead *h, int64_t bytes)
{
    if (atomic_load(&h->open_bytes) + bytes > h->opts.open_bytes) {
        METRIC_ADD(h->m.budget_refusals, 1);
        return err_new(ERR_UNAVAILABLE, "open log lines fill their memory (%lld bytes), try again",
                       (long long)h->opts.open_bytes);
    }
    if (atomic_load(&h->queued_bytes) + bytes > h->opts.push_queue_bytes)
        return err_new(ERR_UNAVAILABLE, "the ingester's push queue is full (%lld bytes)",
                       (long long)h->opts.push_queue_bytes);
    return NULL;
}

static struct logpush_part *part_of(struct logpush *p, struct hash128 fp)
{
    return &p->parts[fp.lo & (p->head->n_shards - 1)];
}

static void begin_part(struct logpush *p, struct logpush_part *part)
{
    if (!part->bytes.len)
        logrecord_begin(&part->bytes, (uint32_t)(part - p->parts));
}

/* ---- of bytes ---- */

/*
 * A stream of the batch into its part. Structured metadata that the batch has once is written out with
 * each entry: so there has to be room for what it comes to.
 */
static struct err *split_stream(struct logpush *p, struct log_batch_reader *r,
                                const struct log_batch_head *head, uint32_t index)
{
    struct logpush_part *part = part_of(p, head->fp);
    size_t before, at;
    struct log_entry en;
    struct err *e = NULL;
    uint32_t n = 0;

    begin_part(p, part);
    before = part->bytes.len;
    at = logrecord_begin_stream(&part->bytes, head->fp, head->labels);
    for (; !e && log_batch_next_entry(r, &en); n++) {
        logrecord_entry(&part->bytes, en.t_ns, en.line,
                        (struct labels){en.metadata, en.n_metadata});
        e = logpush_check_room(p->head, p->bytes + (int64_t)(part->bytes.len - before));
    }
    if (!n) {
        part->bytes.len = before;
        return NULL;
    }
    logrecord_end_stream(&part->bytes, at, n);
    vec_push(&part->index, index);
    p->bytes += (int64_t)(part->bytes.len - before);
    return e;
}

struct err *logpush_split_bytes(struct logpush *p, struct slice bytes)
{
    struct arena *a = arena_new(0);
    struct log_batch_reader r;
    struct log_batch_head head;
    struct err *e = NULL, *bad;

    log_batch_reader_init(&r, a, bytes);
    for (uint32_t i = 0; !e && log_batch_next_stream(&r, &head); i++)
        e = split_stream(p, &r, &head, i);
    if (!e && (bad = log_batch_reader_end(&r))) {
        e = err_new(ERR_INVALID, "%s", err_msg(bad));
        err_free(bad);
    }
    arena_free(a);
    return e;
}

/* ---- of lines ---- */

static const struct log_stream *item(const struct logpush_items *items, size_t i)
{
    return &items->batch->streams.ptr[items->streams ? items->streams[i] : i];
}

/* Room for all in one go, so that nothing is copied twice. */
static struct err *reserve_items(struct logpush *p, const struct logpush_items *items)
{
    size_t room[LOGHEAD_MAX_SHARDS] = {0}, total = 0;
    struct err *e;

    for (size_t i = 0; i < items->n; i++) {
        const struct log_stream *s = item(items, i);
        size_t n = s->labels.len + STREAM_ROOM + s->bytes + 2 * s->pairs +
                   (size_t)s->n * LOGRECORD_ENTRY_BYTES;

        room[part_of(p, s->fp) - p->parts] += n;
        total += n;
    }
    if ((e = logpush_check_room(p->head, (int64_t)total)))
        return e;
    for (uint32_t i = 0; i < p->head->n_shards; i++)
        if (room[i])
            (void)buf_reserve(&p->parts[i].bytes, room[i] + PART_ROOM);
    return NULL;
}

static void split_item(struct logpush *p, const struct logpush_items *items, size_t i)
{
    const struct log_stream *s = item(items, i);
    struct logpush_part *part = part_of(p, s->fp);
    size_t before, at;

    begin_part(p, part);
    before = part->bytes.len;
    at = logrecord_begin_stream(&part->bytes, s->fp,
                                items->with_labels || !s->is_known ? s->labels : SLICE_EMPTY);
    LOG_BATCH_FOREACH(en, items->batch, s)
    logrecord_entry(&part->bytes, en->t_ns, en->line,
                    (struct labels){en->metadata, en->n_metadata});
    logrecord_end_stream(&part->bytes, at, s->n);
    vec_push(&part->index, (uint32_t)i);
    p->bytes += (int64_t)(part->bytes.len - before);
}

struct err *logpush_split_items(struct logpush *p, const struct logpush_items *items)
{
    struct err *e = reserve_items(p, items);

    for (size_t i = 0; i < items->n && !e; i++)
        if (item(items, i)->n)
            split_item(p, items, i);
    return e;
}
