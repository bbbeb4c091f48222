/* A block in an object store, read through a cache of pages. */
#include "common/block/block_files.h"
#include "common/block/block_source.h"

#define MAX_WHOLE (1u << 30)   /* of a file that is read whole */
#define MAX_ROOM (8u << 20)    /* held at a time by one who reads */
#define MIN_ROOM OBJPAGES_PAGE /* however little memory is left: else nothing would ever be read */

struct pages_source {
    struct block_source base;
    struct objpages *pages;
    struct block_files files;
};

static struct slice key_of(struct pages_source *s, struct arena *a, const char *name)
{
    return slice_cstr(arena_printf(a, "%s/%s", s->base.name, name));
}

/* The first page says how long the object is. */
static struct err *pages_file(struct block_source *base, const char *name, struct slice *ret)
{
    struct pages_source *s = (struct pages_source *)base;
    struct arena *a;
    struct slice key;
    struct buf b = {0}, rest = {0};
    uint64_t bytes;
    struct err *e;

    if (block_files_find(&s->files, name, ret))
        return NULL;
    a = arena_new(0);
    key = key_of(s, a, name);
    e = objpages_read(s->pages, key, 0, OBJPAGES_PAGE, &b, &bytes);
    if (!e && bytes > MAX_WHOLE)
        e = err_new(ERR_TOO_LARGE, "%s/%s is too large to be read whole", base->name, name);
    if (!e && bytes > b.len &&
        !(e = objpages_read(s->pages, key, b.len, (size_t)(bytes - b.len), &rest, NULL)))
        buf_slice_append(&b, buf_slice(&rest));
    arena_free(a);
    buf_done(&rest);
    if (e)
        buf_done(&b);
    else
        *ret = block_files_keep(&s->files, name, &b);
    return e;
}

static struct err *pages_range(struct block_source *base, const char *name, uint64_t off,
                               size_t len, struct buf *scratch, struct slice *ret)
{
    struct pages_source *s = (struct pages_source *)base;
    struct arena *a = arena_new(0);
    struct err *e = objpages_read(s->pages, key_of(s, a, name), off, len, scratch, NULL);

    arena_free(a);
    if (!e)
        *ret = buf_slice(scratch);
    return e;
}

static struct err *pages_hold(struct block_source *base, const struct block_source_range *ranges,
                              size_t n, struct objpages_hold **ret)
{
    struct pages_source *s = (struct pages_source *)base;
    struct objpages_range *out = mem_new_array(struct objpages_range, n);
    struct arena *a = arena_new(0);
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        bool is_same = i && strcmp(ranges[i].name, ranges[i - 1].name) == 0;

        out[i] = (struct objpages_range){is_same ? out[i - 1].object : key_of(s, a, ranges[i].name),
                                         ranges[i].off, ranges[i].len, ranges[i].is_ahead};
    }
    e = objpages_hold(s->pages, out, n, ret);
    arena_free(a);
    mem_free(out);
    return e;
}

static void pages_unhold(struct block_source *base, struct objpages_hold *h)
{
    objpages_unhold(((struct pages_source *)base)->pages, h);
}

static struct slice pages_held(struct block_source *base, const struct objpages_hold *h,
                               const char *name, uint64_t off)
{
    char rest[64] = "/";

    if (strlen(name) > sizeof(rest) - 2) /* it is read in the other way */
        return SLICE_EMPTY;
    strcpy(rest + 1, name);
    return objpages_held(h, slice_cstr(base->name), slice_cstr(rest), off);
}

/* Who reads holds so much of the index and so much of the chunks, and has about as much in hand: three quarters
 * of what is free, all together; the rest is for who comes next. */
static size_t pages_room(struct block_source *base, size_t n_users)
{
    size_t room = objpages_room(((struct pages_source *)base)->pages) / 4 / ORR_MAX(n_users, 1u);

    return ORR_MAX(ORR_MIN(room, MAX_ROOM), MIN_ROOM);
}

static bool pages_keeps_ahead(struct block_source *base)
{
    return objpages_keeps_ahead(((struct pages_source *)base)->pages);
}

static struct err *pages_size(struct block_source *base, const char *name, uint64_t *ret)
{
    struct pages_source *s = (struct pages_source *)base;
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct err *e = objpages_read(s->pages, key_of(s, a, name), 0, 1, &b, ret);

    buf_done(&b);
    arena_free(a);
    return e;
}

static void pages_distrust(struct block_source *base)
{
    struct arena *a = arena_new(0);

    objpages_distrust(((struct pages_source *)base)->pages,
                      slice_cstr(arena_printf(a, "%s/", base->name)));
    arena_free(a);
}

static void pages_close(struct block_source *base)
{
    struct pages_source *s = (struct pages_source *)base;

    block_files_done(&s->files);
    mem_free(s->base.name);
    mem_free(s);
}

struct block_source *block_source_pages(struct objpages *pages, struct block_heads *heads,
                                        struct slice prefix)
{
    static const struct block_source_ops ops = {
        .file = pages_file,
        .range = pages_range,
        .close = pages_close,
        .hold = pages_hold,
        .unhold = pages_unhold,
        .held = pages_held,
        .room = pages_room,
        .keeps_ahead = pages_keeps_ahead,
        .size = pages_size,
        .distrust = pages_distrust,
    };
    struct pages_source *s = mem_new(struct pages_source);

    s->base.ops = &ops;
    s->base.name = slice_dup(prefix);
    s->base.heads = heads;
    s->pages = pages;
    block_files_init(&s->files);
    return &s->base;
}
