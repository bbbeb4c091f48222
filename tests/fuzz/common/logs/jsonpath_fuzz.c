/* A path, a zero byte, a line: what is found lies in the line, and each path is found once at most. */
#include <stdlib.h>

#include "common/logs/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct found {
    struct slice line;
    size_t n[2];
};

static void note(void *arg, size_t path, struct slice value)
{
    struct found *f = arg;

    if (path > 1 || f->n[path]++)
        abort();
    if (value.len && (value.ptr < f->line.ptr || value.ptr + value.len > f->line.ptr + f->line.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    ptrdiff_t zero = slice_find_byte(all, 0, 0);
    struct slice paths[2] = {slice_sub(all, 0, zero < 0 ? size : (size_t)zero), SLICE("a[1].b")};
    struct found f = {.line = zero < 0 ? SLICE_EMPTY : slice_from(all, (size_t)zero + 1)};
    struct arena *a = arena_new(0);
    struct jsonpaths *p;
    struct err *e = jsonpaths_make(a, paths, 2, &p);

    if (!e && jsonpaths_each(p, f.line, note, &f) != f.n[0] + f.n[1])
        abort();
    err_free(e);
    arena_free(a);
    return 0;
}
