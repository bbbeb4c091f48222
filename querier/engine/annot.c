#include "querier/engine/annot.h"

#include <stdio.h>

#include "common/base/buf.h"

void annot_init(struct annots *as, struct arena *a, struct slice expr)
{
    *as = (struct annots){.arena = a, .expr = expr};
}

void annot_done(struct annots *as)
{
    map_done(&as->seen);
    vec_done(&as->list[ANNOT_WARNING]);
    vec_done(&as->list[ANNOT_INFO]);
}

static void position_of(struct slice expr, uint32_t pos, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1, column = 1;

    for (uint32_t i = 0; i < pos && i < expr.len; i++) {
        column++;
        if (expr.ptr[i] == '\n') {
            line++;
            column = 1;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

void annot_add_text(struct annots *as, enum annot_kind kind, struct slice text)
{
    if (map_has(&as->seen, text))
        return;
    if (as->list[kind].len >= ANNOT_MAX) {
        as->dropped[kind]++;
        return;
    }
    (void)map_put(&as->seen, text, as);
    vec_push(&as->list[kind], arena_dup(as->arena, text));
}

void annot_add(struct annots *as, enum annot_kind kind, uint32_t pos, const char *fmt, ...)
{
    struct buf b = {0};
    unsigned line, column;
    va_list ap;

    position_of(as->expr, pos, &line, &column);
    buf_str(&b, kind == ANNOT_WARNING ? "PromQL warning: " : "PromQL info: ");
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    buf_printf(&b, " (%u:%u)", line, column);
    annot_add_text(as, kind, buf_slice(&b));
    buf_done(&b);
}

size_t annot_list(struct annots *as, enum annot_kind kind, const struct slice **ret)
{
    size_t n = as->list[kind].len;
    size_t shown = ORR_MIN(n, (size_t)ANNOT_SHOWN);
    uint64_t more = n - shown + as->dropped[kind];
    struct slice *out = arena_array(as->arena, struct slice, shown + 1);

    for (size_t i = 0; i < shown; i++)
        out[i] = as->list[kind].ptr[i];
    if (more)
        out[shown++] = slice_cstr(arena_printf(as->arena, "%llu more %s annotations omitted",
                                               (unsigned long long)more,
                                               kind == ANNOT_WARNING ? "warning" : "info"));
    *ret = out;
    return shown;
}
