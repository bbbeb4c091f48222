#include "querier/logs/logjson.h"

#include <stdlib.h>

#include "common/base/gotime.h"
#include "common/base/mem.h"
#include "querier/engine/result_json.h"

/* Open, for what else is said of it. */
static void put_line(struct buf *out, const struct logquery_line *line)
{
    buf_printf(out, "[\"%lld\",", (long long)line->ts_ns);
    buf_json_str(out, line->line);
}

static void put_categories(struct buf *out, const struct logquery_stream *s)
{
    buf_str(out, ",{");
    if (s->metadata.n) {
        buf_str(out, "\"structuredMetadata\":");
        labels_json(out, s->metadata);
    }
    if (s->parsed.n) {
        buf_str(out, s->metadata.n ? ",\"parsed\":" : "\"parsed\":");
        labels_json(out, s->parsed);
    }
    buf_byte(out, '}');
}

void logjson_line(struct buf *out, const struct logquery_stream *s,
                  const struct logquery_line *line, bool categorizes)
{
    put_line(out, line);
    if (categorizes)
        put_categories(out, s);
    buf_byte(out, ']');
}

static void put_streams(struct buf *out, const struct logquery_result *r)
{
    for (size_t i = 0; i < r->n_streams; i++) {
        const struct logquery_stream *s = &r->streams[i];

        buf_str(out, i ? ",{\"stream\":" : "{\"stream\":");
        labels_json(out, s->labels);
        buf_str(out, ",\"values\":[");
        for (size_t k = 0; k < s->n; k++) {
            if (k)
                buf_byte(out, ',');
            logjson_line(out, s, &s->lines[k], false);
        }
        buf_str(out, "]}");
    }
}

/* A line of the answer with categories: those of all streams that have the same labels of their own
 * are one list. */
struct ref {
    const struct logquery_stream *stream;
    const struct logquery_line *line;
    size_t group, order;
};

static int by_own_labels(const void *a, const void *b)
{
    return labels_cmp((*(const struct logquery_stream *const *)a)->stream,
                      (*(const struct logquery_stream *const *)b)->stream);
}

static int by_time(const void *a, const void *b, void *is_forward)
{
    const struct ref *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->line->ts_ns != y->line->ts_ns)
        return (x->line->ts_ns < y->line->ts_ns) == *(const bool *)is_forward ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static struct ref *refs_of(const struct logquery_result *r, size_t *ret_n)
{
    const struct logquery_stream **streams =
        mem_new_array(const struct logquery_stream *, ORR_MAX(r->n_streams, (size_t)1));
    bool is_forward = r->is_forward;
    size_t n = 0, group = 0;
    struct ref *refs;

    for (size_t i = 0; i < r->n_streams; i++) {
        streams[i] = &r->streams[i];
        n += r->streams[i].n;
    }
    qsort(streams, r->n_streams, sizeof(*streams), by_own_labels);
    refs = mem_new_array(struct ref, ORR_MAX(n, (size_t)1));
    n = 0;
    for (size_t i = 0; i < r->n_streams; i++) {
        group += i && !labels_eq(streams[i - 1]->stream, streams[i]->stream);
        for (size_t k = 0; k < streams[i]->n; k++, n++)
            refs[n] = (struct ref){streams[i], &streams[i]->lines[k], group, n};
    }
    qsort_r(refs, n, sizeof(*refs), by_time, &is_forward);
    mem_free(streams);
    *ret_n = n;
    return refs;
}

static void put_categorized(struct buf *out, const struct logquery_result *r)
{
    size_t n;
    struct ref *refs = refs_of(r, &n);

    for (size_t i = 0; i < n && buf_ok(out); i++) {
        if (i)
            buf_byte(out, ',');
        if (i == 0 || refs[i - 1].group != refs[i].group) {
            buf_str(out, "{\"stream\":");
            labels_json(out, refs[i].stream->stream);
            buf_str(out, ",\"values\":[");
        }
        logjson_line(out, refs[i].stream, refs[i].line, true);
        if (i + 1 == n || refs[i + 1].group != refs[i].group)
            buf_str(out, "]}");
    }
    mem_free(refs);
}

static void put_lines(struct buf *out, const struct logquery_result *r, bool categorizes)
{
    buf_str(out, "{\"resultType\":\"streams\",\"result\":[");
    if (categorizes)
        put_categorized(out, r);
    else
        put_streams(out, r);
    buf_byte(out, ']');
    if (categorizes)
        buf_str(out, ",\"encodingFlags\":[\"categorize-labels\"]");
    buf_byte(out, '}');
}

/* What of Loki's statistics has no meaning here, for readers that look for it. */
static void put_no_caches(struct buf *out)
{
    static const char *const names[] = {
        "chunk",        "index",        "result",      "statsResult",
        "volumeResult", "seriesResult", "labelResult", "instantMetricResult"};

    buf_str(out, ",\"cache\":{");
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        buf_printf(out,
                   "%s\"%s\":{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,"
                   "\"bytesReceived\":0,\"bytesSent\":0,\"requests\":0,\"downloadTime\":0,"
                   "\"queryLengthServed\":0}",
                   i ? "," : "", names[i]);
    buf_byte(out, '}');
}

/* A chunk is a page of a block. */
static void put_store(struct buf *out, const struct logsource_stats *s, uint64_t kept)
{
    buf_printf(out,
               "\"store\":{\"totalChunksRef\":%llu,\"totalChunksDownloaded\":%llu,"
               "\"chunksDownloadTime\":0,\"queryReferencedStructuredMetadata\":false,"
               "\"chunk\":{\"headChunkBytes\":0,\"headChunkLines\":0,"
               "\"decompressedBytes\":%llu,\"decompressedLines\":%llu,\"compressedBytes\":%llu,"
               "\"totalDuplicates\":%llu,\"postFilterLines\":%llu,"
               "\"headChunkStructuredMetadataBytes\":0,"
               "\"decompressedStructuredMetadataBytes\":0},\"chunkRefsFetchTime\":0,"
               "\"congestionControlLatency\":0,\"pipelineWrapperFilteredLines\":0}",
               (unsigned long long)(s->pages + s->pages_skipped), (unsigned long long)s->pages,
               (unsigned long long)s->block_bytes, (unsigned long long)s->block_lines,
               (unsigned long long)s->page_bytes, (unsigned long long)s->duplicates,
               (unsigned long long)kept);
}

static void put_source(struct buf *out, const struct logquery_stats *s)
{
    const struct logsource_stats *src = &s->source;

    buf_str(out, ",\"querier\":{");
    put_store(out, src, s->lines_kept);
    buf_printf(out,
               "},\"ingester\":{\"totalReached\":%llu,\"totalChunksMatched\":0,"
               "\"totalBatches\":0,\"totalLinesSent\":%llu,",
               (unsigned long long)src->ingesters, (unsigned long long)src->ingester_lines);
    put_store(out, &(struct logsource_stats){0}, 0);
    buf_byte(out, '}');
    put_no_caches(out);
    buf_printf(out,
               ",\"index\":{\"totalChunks\":%llu,\"postFilterChunks\":%llu,\"shardsDuration\":0,"
               "\"usedBloomFilters\":%s,\"totalStreams\":%llu}",
               (unsigned long long)(src->pages + src->pages_skipped),
               (unsigned long long)src->pages, src->filter_bytes ? "true" : "false",
               (unsigned long long)s->streams);
}

/* The members that Loki's clients show; what our storage has no word for is zero. Shards are pieces that other queriers ran. */
static void put_stats(struct buf *out, const struct logquery_stats *s)
{
    double seconds = (double)s->exec_ns / 1e9;
    double per_second = seconds > 0 ? 1 / seconds : 0;

    buf_printf(out,
               ",\"stats\":{\"summary\":{\"bytesProcessedPerSecond\":%.0f,"
               "\"linesProcessedPerSecond\":%.0f,\"totalBytesProcessed\":%llu,"
               "\"totalLinesProcessed\":%llu,\"execTime\":%.9f,\"queueTime\":%.9f,\"subqueries\":0,"
               "\"totalEntriesReturned\":%llu,\"splits\":0,\"shards\":%llu,"
               "\"totalPostFilterLines\":%llu,\"totalStructuredMetadataBytesProcessed\":0}",
               (double)s->bytes * per_second, (double)s->lines * per_second,
               (unsigned long long)s->bytes, (unsigned long long)s->lines, seconds,
               (double)s->queued_ns / 1e9, (unsigned long long)s->entries,
               (unsigned long long)s->source.away, (unsigned long long)s->lines_kept);
    put_source(out, s);
    buf_byte(out, '}');
}

static void put_time(struct buf *out, int64_t ts_ns)
{
    struct gotime t = gotime_of_ns(ts_ns, NULL);

    buf_byte(out, '"');
    gotime_format(out, &t, SLICE(GOTIME_RFC3339_NANO));
    buf_byte(out, '"');
}

static void put_old_stream(struct buf *out, const struct logquery_stream *s)
{
    struct buf labels = {0};

    labels_text(&labels, s->labels);
    buf_str(out, "{\"labels\":");
    buf_json_str(out, buf_slice(&labels));
    buf_done(&labels);
    buf_str(out, ",\"entries\":[");
    for (size_t i = 0; i < s->n; i++) {
        buf_str(out, i ? ",{\"ts\":" : "{\"ts\":");
        put_time(out, s->lines[i].ts_ns);
        buf_str(out, ",\"line\":");
        buf_json_str(out, s->lines[i].line);
        buf_byte(out, '}');
    }
    buf_str(out, "]}");
}

void logjson_old(struct buf *out, const struct logquery_result *r)
{
    buf_str(out, "{\"streams\":[");
    for (size_t i = 0; i < r->n_streams && buf_ok(out); i++) {
        if (i)
            buf_byte(out, ',');
        put_old_stream(out, &r->streams[i]);
    }
    buf_byte(out, ']');
    put_stats(out, &r->stats);
}

void logjson_data(struct buf *out, const struct logquery_result *r, bool categorizes)
{
    if (r->is_metric)
        result_json_data(out, &r->metric);
    else
        put_lines(out, r, categorizes);
    if (!buf_ok(out)) /* past its bound: for the caller to see */
        return;
    /* The object is closed already: what follows goes inside of it. */
    ORR_ASSERT(out->len && out->ptr[out->len - 1] == '}');
    out->len--;
    put_stats(out, &r->stats);
    buf_byte(out, '}');
}
