#include "alertmanager/silence_json.h"
#include "alertmanager/silences.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A silence of a peer, a state, and the JSON of a post. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct silences *s = silences_new(&(struct silences_opts){.retention_ns = 1000, .seed = 1});
    struct silences *copy = silences_new(&(struct silences_opts){.retention_ns = 1000, .seed = 2});
    struct arena *a = arena_new(0);
    struct silences_spec spec;
    struct buf b = {0};
    struct slice id;
    struct err *e = silence_from_json(a, slice_of(data, n), &spec);

    if (!e)
        e = silences_set(s, SLICE("t"), &spec, NULL, spec.starts_ns, &id);
    err_free(e);
    err_free(silences_merge(s, slice_of(data, n), 0, NULL));
    err_free(silences_merge_state(s, slice_of(data, n), 0));
    silences_write_state(s, &b);
    ORR_ASSERT(!silences_merge_state(copy, buf_slice(&b), 0));
    silences_gc(s, 1000);
    buf_done(&b);
    arena_free(a);
    silences_free(s);
    silences_free(copy);
    return 0;
}
