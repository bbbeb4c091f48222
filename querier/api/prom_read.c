/*
 * POST /api/v1/read: Prometheus' remote read. The body is snappy; the first kind of answer that the
 * client accepts and we have is given: all samples in one message, or chunks in frames that go out
 * while the series are read. Chunks are made anew of the merged samples, so replicas, blocks and
 * deletions need not concern the client.
 */
#include "common/block/chunk_build.h"
#include "common/net/codec.h"
#include "querier/api/prom_api_internal.h"
#include "querier/api/remote_read_wire.h"

#define READ_SAMPLES_TYPE "application/x-protobuf"
#define READ_CHUNKS_TYPE "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
#define READ_FRAME_BYTES (1u << 20) /* a series goes on in the next frame beyond this */

struct reading {
    struct prom_task *t;
    struct remote_read request;
    uint64_t samples;
    struct buf series, message, results;
    struct chunk_build build;
    struct arena *arena; /* chunks of one series */
};

static struct err *count_samples(struct reading *rd, size_t n)
{
    uint64_t max = (uint64_t)rd->t->limits.max_samples_per_query;

    rd->samples += n;
    if (max && rd->samples > max)
        return err_new(ERR_LIMIT,
                       "the query reads more than %llu samples (limits.max-samples-per-query)",
                       (unsigned long long)max);
    return NULL;
}

/* ---- samples ---- */

static struct err *add_samples(struct reading *rd, const struct storage_series *s)
{
    size_t max = prom_tasks_opts(rd->t->tasks)->max_response_bytes;

    buf_reset(&rd->series);
    remote_read_labels(&rd->series, s->labels);
    for (size_t i = 0; i < s->n; i++)
        if (!s->h || !s->h[i])
            remote_read_sample(&rd->series, s->t_ms[i], s->v[i]);
    for (size_t i = 0; s->h && i < s->n; i++)
        if (s->h[i])
            remote_read_histogram(&rd->series, s->t_ms[i], s->h[i]);
    remote_read_nest(&rd->message, 1, buf_slice(&rd->series));
    if (rd->results.len + rd->message.len > max)
        return err_new(ERR_LIMIT, "the answer is larger than %zu bytes (querier.max-response)",
                       max);
    return NULL;
}

static struct err *end_samples(struct reading *rd)
{
    rd->t->content_type = READ_SAMPLES_TYPE;
    rd->t->content_encoding = "snappy";
    return codec_encode(CODEC_SNAPPY, 0, buf_slice(&rd->results), &rd->t->out);
}

/* ---- chunks ---- */

static void build_chunks(struct reading *rd, const struct storage_series *s)
{
    arena_reset(rd->arena);
    chunk_build_begin(&rd->build, rd->arena);
    for (size_t i = 0; i < s->n; i++) {
        if (s->h && s->h[i])
            chunk_build_histogram(&rd->build, s->t_ms[i], s->h[i]);
        else
            chunk_build_float(&rd->build, s->t_ms[i], s->v[i]);
    }
    chunk_build_end(&rd->build);
}

static struct err *add_chunks(struct reading *rd, const struct storage_series *s, size_t query)
{
    struct err *e = NULL;
    size_t begun = 0;

    build_chunks(rd, s);
    buf_reset(&rd->series);
    for (size_t i = 0; !e && i < rd->build.chunks.len; i++) {
        if (i == begun) {
            buf_reset(&rd->series);
            remote_read_labels(&rd->series, s->labels);
        }
        remote_read_chunk(&rd->series, &rd->build.chunks.ptr[i]);
        if (i + 1 < rd->build.chunks.len && rd->series.len < READ_FRAME_BYTES)
            continue;
        remote_read_frame(&rd->t->out, buf_slice(&rd->series), query);
        begun = i + 1;
        e = prom_task_flush(rd->t);
    }
    return e;
}

/* ---- both ---- */

static struct err *read_one(struct reading *rd, size_t i)
{
    const struct remote_read_query *q = &rd->request.queries[i];
    struct storage_request req = {.matchers = q->matchers,
                                  .start_ms = ORR_MAX(q->min_ms, -PROM_TIME_MAX_MS),
                                  .end_ms = ORR_MIN(q->max_ms, PROM_TIME_MAX_MS),
                                  .step_ms = q->step_ms,
                                  .range_ms = q->range_ms,
                                  .func = q->func.ptr ? q->func : SLICE_EMPTY,
                                  .deadline_mono_ms = rd->t->deadline_mono_ms,
                                  .cancel = &rd->t->cancel};
    struct storage_series s;
    struct series_set *set;
    struct err *e;

    buf_reset(&rd->message);
    if ((e = storage_select(&rd->t->data.storage, rd->t->arena, &req, &set)))
        return e;
    while (!e && series_set_next(set, &s)) {
        if (!s.n || (e = count_samples(rd, s.n)))
            continue;
        e = rd->request.kind == REMOTE_READ_CHUNKS ? add_chunks(rd, &s, i) : add_samples(rd, &s);
    }
    e = err_first(e, series_set_close(set));
    if (rd->request.kind == REMOTE_READ_SAMPLES)
        remote_read_nest(&rd->results, 1, buf_slice(&rd->message));
    return e;
}

static struct err *read_all(struct reading *rd)
{
    struct err *e = NULL;

    rd->t->content_type = READ_CHUNKS_TYPE;
    for (size_t i = 0; !e && i < rd->request.n; i++)
        e = read_one(rd, i);
    if (!e && rd->request.kind == REMOTE_READ_SAMPLES)
        e = end_samples(rd);
    return e;
}

static struct err *run_read(struct prom_task *t)
{
    const struct slice *body = t->params;
    struct reading rd = {.t = t};
    struct buf plain = {0};
    struct err *e = codec_decode(CODEC_SNAPPY, *body, REMOTE_READ_MAX_BYTES, &plain);

    /* a frame may be the last of a long answer, so its bound is the pipe's */
    t->out.max_bytes = 0;
    if (!e)
        e = remote_read_decode(t->arena, buf_slice(&plain), &rd.request);
    if (!e) {
        rd.arena = arena_new(0);
        chunk_build_init(&rd.build);
        e = read_all(&rd);
        chunk_build_done(&rd.build);
        arena_free(rd.arena);
    }
    remote_read_done(&rd.request);
    buf_done(&rd.series);
    buf_done(&rd.message);
    buf_done(&rd.results);
    buf_done(&plain);
    return err_is(e, ERR_UNSUPPORTED) || err_is(e, ERR_TOO_LARGE)
               ? err_first(err_new(ERR_INVALID, "%s", err_msg(e)), e)
               : e;
}

void prom_read(struct http_request *r)
{
    struct slice *body = arena_new_of(r->arena, struct slice);
    struct slice tenant;
    struct err *e = prom_api_tenants(r, &tenant);

    if (e) {
        prom_reply_text_err(r, e);
        return;
    }
    *body = r->body;
    prom_task_raw(prom_api_of(r)->tasks, r, tenant, 0, run_read, body);
}
