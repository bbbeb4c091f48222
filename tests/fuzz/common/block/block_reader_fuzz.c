/*
 * The input is an index file (and a chunk file, and a tombstones file). Its checksums are put right
 * first where they can be found, since no fuzzer guesses a CRC.
 */
#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/block/block_merge.h"
#include "tests/fuzz/common/block/indexfix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
    struct block_source base;
    uint8_t *bytes;
    size_t len;
};

static struct err *get_file(struct block_source *base, const char *name, struct slice *ret)
{
    struct source *s = (struct source *)base;

    if (strcmp(name, "meta.json") == 0)
        *ret = SLICE("{\"ulid\":\"01M80PK43WF9AX58HTBGJTW8ZC\",\"minTime\":0,"
                     "\"maxTime\":9000000000000,\"version\":1}");
    else if (strcmp(name, "tombstones") == 0 && s->len % 2)
        return err_new(ERR_NOT_FOUND, "none");
    else
        *ret = slice_of(s->bytes, s->len);
    return NULL;
}

static struct err *get_range(struct block_source *base, const char *name, uint64_t off, size_t len,
                             struct buf *scratch, struct slice *ret)
{
    struct source *s = (struct source *)base;

    (void)name;
    (void)scratch;
    *ret = off > s->len ? SLICE_EMPTY : slice_sub(slice_of(s->bytes, s->len), (size_t)off, len);
    return NULL;
}

static void close_source(struct block_source *base)
{
    struct source *s = (struct source *)base;

    mem_free(s->bytes);
    mem_free(s);
}

static const struct block_source_ops ops = {
    .file = get_file, .range = get_range, .close = close_source};

/* The same, read by parts: what is at hand is copied, so that a read past it is seen. */
static struct err *get_part(struct block_source *base, const char *name, uint64_t off, size_t len,
                            struct buf *scratch, struct slice *ret)
{
    struct err *e = get_range(base, name, off, len, scratch, ret);

    buf_reset(scratch);
    buf_slice_append(scratch, *ret);
    *ret = buf_slice(scratch);
    return e;
}

static struct err *hold(struct block_source *s, const struct block_source_range *ranges, size_t n,
                        struct objpages_hold **ret)
{
    (void)s;
    for (size_t i = 0; i < n; i++)
        ORR_ASSERT(ranges[i].len <= UINT64_MAX - ranges[i].off);
    *ret = NULL;
    return NULL;
}

static struct err *size_of(struct block_source *base, const char *name, uint64_t *ret)
{
    (void)name;
    *ret = ((struct source *)base)->len;
    return NULL;
}

static const struct block_source_ops part_ops = {
    .file = get_file, .range = get_part, .close = close_source, .hold = hold, .size = size_of};

static void use(struct block_reader *r)
{
    struct arena *a = arena_new(64u << 20);
    struct block_stream *stream = block_stream_of_reader(r);
    struct block_names names, values;
    struct block_refs refs;
    struct block_series series;
    struct matcher m[2];
    bool more = true;
    struct err *e;

    err_free(block_reader_label_names(r, a, &names));
    for (size_t i = 0; i < names.n && i < 8; i++) {
        err_free(block_reader_label_values(r, a, names.ptr[i], &values));
        e = matcher_init(a, MATCHER_RE, names.ptr[i], SLICE(".*a.*"), &m[0]);
        if (!e) {
            e = matcher_init(a, MATCHER_NE, names.ptr[i], SLICE("x"), &m[1]);
            if (!e) {
                e = block_reader_select_range(r, a, (struct matchers){m, 2}, 0, INT64_MAX, &refs);
                if (!e)
                    e = block_reader_names_of(r, a, refs, &values);
                matcher_done(&m[1]);
            }
            matcher_done(&m[0]);
        }
        err_free(e);
    }
    for (int i = 0; more && i < 1000; i++) {
        e = stream->ops->next(stream, &series, &more);
        if (e)
            more = i < 10; /* go on behind a broken series, for a while */
        err_free(e);
    }
    block_stream_close(stream);
    arena_free(a);
}

/* Labels that replace some of the corpus' and stand between others. */
static const struct label external[] = {{SLICE_INIT("a"), SLICE_INIT("of all")},
                                        {SLICE_INIT("job"), SLICE_INIT("x")},
                                        {SLICE_INIT("zone"), SLICE_INIT("z")}};

static void open_and_use(const uint8_t *data, size_t size, const struct block_reader_opts *opts,
                         const struct block_source_ops *how)
{
    struct source *s = mem_new(struct source);
    char name[] = "fuzz";
    struct block_reader *r;
    struct err *e;

    s->base = (struct block_source){.ops = how, .name = name};
    s->bytes = mem_alloc(size + 1);
    s->len = size;
    if (size)
        memcpy(s->bytes, data, size);
    indexfix(s->bytes, s->len);
    e = block_reader_open(&s->base, opts, &r);
    if (!e) {
        use(r);
        block_reader_close(r);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct block_reader_opts external_opts = {.external = {external, ORR_COUNT(external)}};

    open_and_use(data, size, NULL, &ops);
    open_and_use(data, size, &external_opts, &ops);
    open_and_use(data, size, &external_opts, &part_ops);
    return 0;
}
