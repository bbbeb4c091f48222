/* Any query that parses is drawn as JSON that nests as it does, and names are escaped and read back:
 * the first byte chooses. */
#include <stdlib.h>

#include "querier/api/name_escape.h"
#include "querier/api/prom_ast.h"
#include "querier/api/prom_param.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void draw(struct arena *a, struct slice text)
{
    struct buf out = {0};
    struct promql q;
    struct err *e = promql_parse(a, text, &PROMQL_EVERYTHING, &q);
    long depth = 0;
    bool in_text = false;

    if (e) {
        err_free(e);
        return;
    }
    prom_ast_json(&out, q.root);
    for (size_t i = 0; i < out.len; i++) {
        if (in_text && out.ptr[i] == '\\')
            i++;
        else if (out.ptr[i] == '"')
            in_text = !in_text;
        else if (!in_text)
            depth += (out.ptr[i] == '{') - (out.ptr[i] == '}');
    }
    if (depth != 0 || in_text)
        abort();
    promql_done(&q);
    buf_done(&out);
}

/* What "values" escapes is what /label/{name}/values takes for the same name. */
static void escape(struct arena *a, struct slice name)
{
    struct slice escaped, back;
    struct err *e;

    (void)name_escape(a, NAME_ESCAPE_DOTS, name);
    (void)name_escape(a, NAME_ESCAPE_UNDERSCORES, name);
    if (!name.len || !slice_is_utf8(name) || slice_has_prefix(name, SLICE("U__")))
        return;
    escaped = name_escape(a, NAME_ESCAPE_VALUES, name);
    e = prom_param_label_name(a, escaped, &back);
    if (e || !slice_eq(back, name))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a;

    if (!size)
        return 0;
    a = arena_new(0);
    if (data[0] % 2)
        draw(a, slice_of(data + 1, size - 1));
    else
        escape(a, slice_of(data + 1, size - 1));
    arena_free(a);
    return 0;
}
