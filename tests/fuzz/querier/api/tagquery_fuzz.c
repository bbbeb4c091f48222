/* Bytes as the key and the value of a tag that somebody searches for: whatever they are, the TraceQL of it is one filter, or none at all. */
#include "common/lang/traceql.h"
#include "querier/api/tagquery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_one_filter(struct buf *conditions)
{
    struct arena *a = arena_new(0);
    struct buf text = {0};
    struct traceql q;
    struct err *e;

    buf_str(&text, "{ ");
    buf_slice_append(&text, buf_slice(conditions));
    buf_str(&text, " }");
    if (!(e = traceql_parse(a, buf_slice(&text), &q))) {
        ORR_ASSERT(q.pipeline.n == 1 && !q.metrics);
        ORR_ASSERT(q.pipeline.ptr[0].kind == TRACEQL_SPANSET &&
                   q.pipeline.ptr[0].u.spanset->kind == TRACEQL_FILTER);
    }
    err_free(e);
    buf_done(&text);
    buf_reset(conditions);
    arena_free(a);
}

/* The key ends at the first line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_of(data, size), key = SLICE_EMPTY;
    struct buf b = {0};

    (void)slice_split(&value, '\n', &key);
    tagquery_equals(&b, key, value);
    is_one_filter(&b);
    tagquery_exists(&b, key);
    is_one_filter(&b);
    tagquery_service(&b, value);
    is_one_filter(&b);
    buf_done(&b);
    return 0;
}
