/* Segments of log lines as ingesters hand them out: the frames of logblock_fixture.h's streams. */
#pragma once
#include "common/base/fsx.h"
#include "common/logblock/logframe.h"
#include "compactor/logcheck.h"
#include "tests/unit/common/logblock/logblock_fixture.h"

#define LOGSEG_PAGE_ENTRIES 700

/* A frame being put together. */
struct logseg_frame {
    struct logframe_head head;
    VEC(struct logframe_stream) streams;
    VEC(struct logframe_page) pages;
    VEC(struct logpage_entry) page;
    struct buf labels, bytes;
    struct logpage_builder *builder;
};

static inline void logseg_end_page(struct logseg_frame *fr)
{
    struct logframe_page p = {.offset = fr->bytes.len,
                              .entries = (uint32_t)fr->page.len,
                              .min_ns = INT64_MAX,
                              .max_ns = INT64_MIN};

    if (!fr->page.len)
        return;
    CHECK_OK(logpage_build(fr->builder, fr->page.ptr, fr->page.len, 1, &fr->bytes, NULL));
    p.bytes = (uint32_t)(fr->bytes.len - p.offset);
    VEC_FOREACH (e, &fr->page) {
        p.min_ns = ORR_MIN(p.min_ns, e->ts_ns);
        p.max_ns = ORR_MAX(p.max_ns, e->ts_ns);
    }
    vec_push(&fr->pages, p);
    vec_clear(&fr->page);
}

static inline void logseg_add(struct logseg_frame *fr, const struct logpage_entry *e)
{
    struct logframe_stream *s = &vec_last(&fr->streams);
    struct logpage_entry mine = *e;

    if (fr->page.len == LOGSEG_PAGE_ENTRIES)
        logseg_end_page(fr);
    if (!s->entries++) {
        s->min_ns = e->ts_ns;
        s->first_page = (uint32_t)fr->pages.len;
    }
    s->max_ns = e->ts_ns;
    s->last_page = (uint32_t)fr->pages.len;
    s->bytes += e->line.len;
    mine.stream = (uint32_t)fr->streams.len - 1;
    vec_push(&fr->page, mine);
    fr->head.entries++;
    fr->head.bytes += e->line.len;
    fr->head.min_ns = ORR_MIN(fr->head.min_ns, e->ts_ns);
    fr->head.max_ns = ORR_MAX(fr->head.max_ns, e->ts_ns);
}

static inline void logseg_begin_stream(struct logseg_frame *fr, const struct fixture_stream *s)
{
    struct buf canonical = {0};

    vec_push(&fr->streams, ((struct logframe_stream){.fp = s->fp}));
    labels_canonical(&canonical, s->labels);
    buf_lstr(&fr->labels, buf_slice(&canonical));
    buf_done(&canonical);
}

/* Appends it to out. */
static inline void logseg_end(struct logseg_frame *fr, struct slice tenant, struct buf *out)
{
    logseg_end_page(fr);
    fr->head.n_streams = (uint32_t)fr->streams.len;
    fr->head.n_pages = (uint32_t)fr->pages.len;
    CHECK_OK(logframe_build(&fr->head, tenant, fr->streams.ptr, fr->pages.ptr,
                            buf_slice(&fr->labels), buf_slice(&fr->bytes), out));
    logpage_builder_free(fr->builder);
    vec_done(&fr->streams);
    vec_done(&fr->pages);
    vec_done(&fr->page);
    buf_done(&fr->labels);
    buf_done(&fr->bytes);
}

static inline struct logseg_frame logseg_begin(struct ulid segment, uint32_t number)
{
    return (struct logseg_frame){
        .head = {.segment = segment, .number = number, .min_ns = INT64_MAX, .max_ns = INT64_MIN},
        .builder = logpage_builder_new()};
}

/* In n frames: of each stream the k-th of them has the k-th part. gap: of three entries this one is missing; 3: none is. */
static inline void logseg_make(const struct fixture *f, struct ulid segment, size_t gap, size_t n,
                               struct buf *out)
{
    for (size_t k = 0; k < n; k++) {
        struct logseg_frame fr = logseg_begin(segment, (uint32_t)k + 1);

        for (size_t i = 0; i < f->n; i++) {
            const struct fixture_stream *s = &f->s[i];
            bool has_begun = false;

            for (size_t at = s->n * k / n; at < s->n * (k + 1) / n; at++) {
                if (at % 3 == gap)
                    continue;
                if (!has_begun)
                    logseg_begin_stream(&fr, s);
                has_begun = true;
                logseg_add(&fr, &s->e[at]);
            }
        }
        logseg_end(&fr, SLICE("t"), out);
    }
}

/* dir/frames. */
static inline void logseg_write(const struct fixture *f, const char *dir, struct ulid segment,
                                size_t gap, size_t n)
{
    char *path = mem_printf("%s/" LOGCHECK_FRAMES_FILE, dir);
    struct buf b = {0};

    logseg_make(f, segment, gap, n, &b);
    CHECK_OK(fsx_mkdirs(dir));
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
    mem_free(path);
}
