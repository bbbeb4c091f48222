/* YAML as relabel rules, applied to a few labels: what comes out is sorted and has no empty value. */
#include "common/base/arena.h"
#include "common/model/relabel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct label input[] = {{SLICE_INIT("__name__"), SLICE_INIT("up")},
                                         {SLICE_INIT("foo"), SLICE_INIT("a;b")},
                                         {SLICE_INIT("instance"), SLICE_INIT("10.0.0.1:9090")},
                                         {SLICE_INIT("job"), SLICE_INIT("x")}};
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct relabel *r = NULL;
    struct labels after;
    struct err *e = yaml_load("fuzz", slice_of(data, size), a, &root);

    if (!e)
        e = relabel_parse("fuzz", root, &r);
    if (!e && relabel_rules(r) < 50 &&
        relabel_apply(r, a, (struct labels){input, ORR_COUNT(input)}, &after))
        for (size_t i = 0; i < after.n; i++)
            ORR_ASSERT(after.ptr[i].value.len &&
                       (i == 0 || slice_cmp(after.ptr[i - 1].name, after.ptr[i].name) < 0));
    relabel_free(r);
    err_free(e);
    arena_free(a);
    return 0;
}
