/*
 * A page of any bytes is read, searched and asked for a field without harm, within the arena. Checksums would
 * keep all but the header from being looked into, so a page is made of the bytes, too: cut into lines, it comes
 * back as it was, and a search finds what is in it.
 */
#include <stdlib.h>

#include "common/logblock/logpage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_LINES 512
#define BUDGET (64u << 20)

static void read_any(struct slice bytes)
{
    struct arena *a = arena_new(BUDGET);
    struct logpage *p;
    struct err *e = logpage_open(a, bytes, &p);

    if (!e && logpage_n_entries(p) <= MAX_LINES) {
        struct slice lines[MAX_LINES];
        struct labels meta[MAX_LINES];
        uint64_t set[LOGPAGE_WORDS(MAX_LINES)];
        struct slice contexts[LOGPAGE_MAX_CONTEXTS];
        struct logpage_column c;
        const int64_t *times;

        err_free(logpage_times(p, &times));
        err_free(logpage_lines(p, NULL, 0, logpage_n_entries(p), lines));
        err_free(logpage_meta(p, NULL, 0, logpage_n_entries(p), meta));
        err_free(logpage_match(p, SLICE("err"), set));
        (void)logpage_contexts(p, SLICE("0123abcd"), contexts);
        err_free(logpage_column(p, LOGPAGE_JSON, SLICE("a"), &c));
        (void)logpage_column_range(p, LOGPAGE_LOGFMT, SLICE("a"));
    }
    err_free(e);
    arena_free(a);
}

static void must(struct err *e)
{
    if (e)
        abort();
}

static bool holds_any(struct slice line, const struct slice *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_find(line, texts[i], 0) >= 0)
            return true;
    return false;
}

static void roundtrip(const struct logpage_entry *in, size_t n, struct slice needle,
                      struct buf *out)
{
    struct logpage_builder *b = logpage_builder_new();
    struct arena *a = arena_new(0);
    struct slice lines[MAX_LINES];
    struct slice contexts[LOGPAGE_MAX_CONTEXTS];
    uint64_t set[LOGPAGE_WORDS(MAX_LINES)];
    struct logpage *p;
    size_t n_contexts;

    must(logpage_build(b, in, n, 1, out, NULL));
    must(logpage_open(a, buf_slice(out), &p));
    must(logpage_lines(p, NULL, 0, (uint32_t)n, lines));
    must(logpage_match(p, needle, set));
    n_contexts = logpage_contexts(p, needle, contexts);
    for (uint32_t i = 0; n_contexts && i < n; i++)
        if (logpage_has(set, i) && !holds_any(in[i].line, contexts, n_contexts))
            abort();
    for (uint32_t i = 0; i < n; i++)
        if (!slice_eq(lines[i], in[i].line) ||
            logpage_has(set, i) != (slice_find(in[i].line, needle, 0) >= 0))
            abort();
    logpage_builder_free(b);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), line, needle = SLICE("a");
    struct logpage_entry in[MAX_LINES];
    struct buf out = {0};
    size_t n = 0;

    read_any(slice_of(data, size));
    while (n < MAX_LINES && slice_split(&rest, '\r', &line)) {
        needle = n == 1 ? line : needle;
        in[n] = (struct logpage_entry){.ts_ns = (int64_t)n * 1000, .line = line};
        n++;
    }
    if (n)
        roundtrip(in, n, needle, &out);
    if (n && size > 8) { /* one byte of a good page is another one */
        out.ptr[data[0] * 251u % out.len] ^= data[1];
        read_any(buf_slice(&out));
    }
    buf_done(&out);
    return 0;
}
