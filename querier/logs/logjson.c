#include "querier/logs/logjson.h"

#include "querier/engine/result_json.h"

static void put_line(struct buf *out, const struct logquery_stream *s,
                     const struct logquery_line *line, bool categorizes)
{
    buf_printf(out, "[\"%lld\",", (long long)line->ts_ns);
    buf_json_str(out, line->line);
    if (categorizes) {
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
    buf_byte(out, ']');
}

static void put_lines(struct buf *out, const struct logquery_stream *s, bool categorizes,
                      bool *is_first)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!*is_first)
            buf_byte(out, ',');
        *is_first = false;
        put_line(out, s, &s->lines[i], categorizes);
    }
}

/* The streams from i that have the same labels of their own are one when labels are categorized;
 * returns the one behind them. They are sorted by all labels, so others may lie between: those come
 * as a stream again, as Loki's do. */
static size_t put_stream(struct buf *out, const struct logquery_result *r, size_t i,
                         bool categorizes)
{
    const struct logquery_stream *s = &r->streams[i];
    bool is_first = true;
    size_t end = i + 1;

    buf_str(out, "{\"stream\":");
    labels_json(out, categorizes ? s->stream : s->labels);
    buf_str(out, ",\"values\":[");
    put_lines(out, s, categorizes, &is_first);
    for (; categorizes && end < r->n_streams && labels_eq(r->streams[end].stream, s->stream); end++)
        put_lines(out, &r->streams[end], true, &is_first);
    buf_str(out, "]}");
    return end;
}

static struct err *put_streams(struct buf *out, const struct logquery_result *r,
                               const struct logjson_opts *opts)
{
    struct err *e;

    buf_str(out, "{\"resultType\":\"streams\",\"result\":[");
    for (size_t i = 0; i < r->n_streams;) {
        if (i)
            buf_byte(out, ',');
        i = put_stream(out, r, i, opts->categorizes);
        if (opts->on_series && (e = opts->on_series(opts->arg)))
            return e;
    }
    buf_str(out, "]}");
    return NULL;
}

/* The members that Loki's clients show; what our storage has no word for is zero. */
static void put_stats(struct buf *out, const struct logquery_stats *s)
{
    double seconds = (double)s->exec_ns / 1e9;
    double per_second = seconds > 0 ? 1 / seconds : 0;

    buf_printf(out,
               ",\"stats\":{\"summary\":{\"bytesProcessedPerSecond\":%.0f,"
               "\"linesProcessedPerSecond\":%.0f,\"totalBytesProcessed\":%llu,"
               "\"totalLinesProcessed\":%llu,\"execTime\":%.9f,\"queueTime\":0,\"subqueries\":0,"
               "\"totalEntriesReturned\":%llu,\"splits\":0,\"shards\":0,"
               "\"totalPostFilterLines\":%llu,\"totalStructuredMetadataBytesProcessed\":0}}",
               (double)s->bytes * per_second, (double)s->lines * per_second,
               (unsigned long long)s->bytes, (unsigned long long)s->lines, seconds,
               (unsigned long long)s->entries, (unsigned long long)s->lines_kept);
}

struct err *logjson_data(struct buf *out, const struct logquery_result *r,
                         const struct logjson_opts *opts)
{
    static const struct logjson_opts none;
    struct result_json_opts metric_opts = {0};
    struct err *e;

    if (!opts)
        opts = &none;
    metric_opts.on_series = opts->on_series;
    metric_opts.arg = opts->arg;
    e = r->is_metric ? result_json_pieces(out, &r->metric, &metric_opts)
                     : put_streams(out, r, opts);
    if (e)
        return e;
    /* The object is closed already: what follows goes inside of it. */
    ORR_ASSERT(out->len && out->ptr[out->len - 1] == '}');
    out->len--;
    if (opts->categorizes && !r->is_metric)
        buf_str(out, ",\"encodingFlags\":[\"categorize-labels\"]");
    put_stats(out, &r->stats);
    buf_byte(out, '}');
    return NULL;
}
