/* A query_string (the first byte chooses the form), a zero byte, a line: a query that parses has a plan, and what it keeps of the line is
 * in one of the plan's selects. */
#include <stdlib.h>

#include "querier/search/esmatch.h"
#include "querier/search/esplan.h"
#include "querier/search/lucene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct label stream[] = {{SLICE_INIT("app"), SLICE_INIT("x")},
                                      {SLICE_INIT("index"), SLICE_INIT("logs")}};

static bool is_in_plan(const struct esplan *plan, struct labels ls)
{
    for (size_t i = 0; i < plan->n_selects; i++)
        if (matchers_match(plan->selects[i].logs.matchers, ls))
            return true;
    return false;
}

static void run(struct arena *a, const struct esquery *q, struct slice line)
{
    struct logsource_entry entry = {.ts_ns = 1000, .line = line};
    struct labels ls = {stream, 2};
    static struct esplan plan;
    struct buf out = {0};
    struct esdoc d;
    struct err *e = esplan_make(a, q, NULL, 0, &plan);

    if (!e) {
        esdoc_init(&d, a);
        esdoc_stream(&d, ls);
        esdoc_line(&d, &entry);
        if (esmatch_keeps(q, &d) && (plan.is_nothing || !is_in_plan(&plan, ls)))
            abort();
        esdoc_source(&d, &(struct esdoc_wants){0}, &out);
        buf_done(&out);
        esdoc_done(&d);
    }
    err_free(e);
    esplan_done(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64u << 20);
    struct lucene_opts o = {.is_simple = size && data[0] & 1,
                            .joins_with_and = size && data[0] & 2};
    struct slice text = slice_of(data + (size ? 1 : 0), size ? size - 1 : 0), line = SLICE_EMPTY;
    ptrdiff_t zero = slice_find_byte(text, 0, 0);
    struct esquery_parser p;
    struct esquery *q;
    struct err *e;

    if (zero >= 0) {
        line = slice_from(text, (size_t)zero + 1);
        text = slice_sub(text, 0, (size_t)zero);
    }
    esquery_parser_init(&p, a, 1);
    if (!(e = lucene_parse(&p, text, &o, &q)))
        run(a, q, line);
    err_free(e);
    esquery_parser_done(&p);
    arena_free(a);
    return 0;
}
