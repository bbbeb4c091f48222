/* Lines, up to each newline, to patterns: |> takes every one, they are within their bound, and no line is lost. */
#include <stdlib.h>

#include "common/logs/linepattern.h"
#include "querier/logs/logpatterns.h"

#define MAX_PATTERNS 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *a, struct logpatterns *p, uint64_t lines)
{
    uint64_t got = logpatterns_left_out(p);
    struct logpattern *list;
    struct linepattern pattern;
    size_t n;

    logpatterns_list(p, &list, &n);
    if (n > MAX_PATTERNS)
        abort();
    for (size_t i = 0; i < n; i++) {
        struct err *e = linepattern_parse(a, list[i].text, &pattern);

        if (e)
            abort();
        got += list[i].lines;
    }
    if (got != lines)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct logpatterns *p =
        logpatterns_new(a, &(struct logpatterns_opts){.step_ns = 7, .max_patterns = MAX_PATTERNS});
    struct slice rest = slice_of(data, size), line;
    int64_t lines = 0;

    while (slice_split(&rest, '\n', &line)) {
        logpatterns_add(p, slice_sub(line, 0, 1), (lines * 31) & 63, line);
        lines++;
    }
    check(a, p, (uint64_t)lines);
    logpatterns_free(p);
    arena_free(a);
    return 0;
}
