/* A body of _search, a zero byte, lines that line feeds part: what it asks for is done with the lines. */
#include <stdlib.h>

#include "querier/search/esbody.h"
#include "querier/search/esmatch.h"
#include "querier/search/esplan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct label stream[] = {{SLICE_INIT("app"), SLICE_INIT("x")}};
static const struct label metadata[] = {{SLICE_INIT("trace_id"), SLICE_INIT("t")}};

static void search(struct arena *a, const struct esbody *b, struct slice lines)
{
    struct esagg_run *aggs = esagg_run_new(a, &b->aggs);
    struct essort_value value;
    struct buf out = {.max_bytes = 16u << 20};
    struct slice line;
    struct esdoc d;
    int64_t t = 0;

    esdoc_init(&d, a);
    esdoc_stream(&d, (struct labels){stream, 1});
    while (slice_split(&lines, '\n', &line) && !arena_over(a)) {
        struct logsource_entry entry = {
            .ts_ns = t++ * 1000000007, .line = line, .metadata = {metadata, 1}};

        esdoc_line(&d, &entry);
        if (!esmatch_keeps(b->query, &d))
            continue;
        esagg_run_add(aggs, &d);
        for (size_t i = 0; i < b->n_keys; i++)
            essort_value_of(&b->keys[i], &d, a, &value);
        esdoc_source(&d, &b->source, &out);
    }
    err_free(esagg_run_json(aggs, &out, true));
    esagg_run_free(aggs);
    esdoc_done(&d);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64u << 20);
    struct slice text = slice_of(data, size), lines = SLICE_EMPTY;
    ptrdiff_t zero = slice_find_byte(text, 0, 0);
    static struct esplan plan;
    struct jsonval_doc *doc;
    struct jsonval root;
    struct esbody b;
    struct err *e;

    if (zero >= 0) {
        lines = slice_from(text, (size_t)zero + 1);
        text = slice_sub(text, 0, (size_t)zero);
    }
    esbody_init(&b, a, 1767322800000000000);
    if (!(e = jsonval_parse(text, ESBODY_MAX_DEPTH, &doc, &root))) {
        if (!(e = esbody_parse(&b, root)) && !(e = esbody_end(&b, 0)) &&
            !(e = esplan_make(a, b.query, NULL, 0, &plan)))
            search(a, &b, lines);
        esplan_done(&plan);
        plan.n_selects = 0;
        jsonval_free(doc);
    }
    err_free(e);
    esbody_done(&b);
    arena_free(a);
    return 0;
}
