/*
 * The tree of a page's columns of any bytes: read, loaded, searched and written out without harm and within the
 * arena. First two bytes: values, bytes of tree / 8; then the tree, then payloads. (In a page checksums are in
 * front of all this; a short payload lies in the tree, and has none.)
 */
#include "common/logblock/logcol_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUDGET (64u << 20)

static struct err *fetch(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    const struct slice *all = arg;

    *ret = slice_sub(*all, (size_t)off, len);
    return NULL;
}

static void use(const struct logcol_source *src, struct logcol *c, struct slice needle)
{
    uint8_t room[4096];
    uint64_t set[4] = {0};
    struct logcol_ask ask = logcol_ask_of(LOGCOL_HOLDS, needle);
    struct err *e = logcol_match(src, c, &ask, set);

    err_free(e);
    e = logcol_load_all(src, c);
    for (uint32_t i = 0; !e && i < c->n; i++) {
        struct buf out = {.ptr = room, .cap = sizeof(room), .max_bytes = sizeof(room)};

        logcol_put(c, i, &out);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a;
    struct slice tree, payloads;
    struct logcol c = {0};
    struct reader r;
    struct err *e;

    if (size < 2)
        return 0;
    a = arena_new(BUDGET);
    tree = slice_sub(slice_of(data, size), 2, 8u * data[1]);
    payloads = slice_from(slice_of(data, size), 2 + 8u * (size_t)data[1]);
    r = reader_new(tree);
    e = logcol_read(a, &r, data[0], 4096, &c);
    if (!e) {
        struct logcol_source src = {.arena = a,
                                    .fetch = fetch,
                                    .arg = &payloads,
                                    .size = payloads.len,
                                    .max_bytes = 65536,
                                    .max_text = 65536};

        use(&src, &c, slice_sub(tree, tree.len / 2, 3));
    }
    err_free(e);
    arena_free(a);
    return 0;
}
