#include "querier/logs/logcut.h"

#define PAGE_BYTES (128u << 10) /* of a page as stored, about */
#define PAGES_A_CUT 8           /* of a stream, so that what is read twice is not much */
#define PIECES_A_LANE 4         /* so that lanes end at about the same time */

struct cut {
    const struct logstretch_block *blocks;
    size_t n_blocks, max; /* max: pieces of a stretch */
    uint64_t bytes;       /* of a piece at least */
    struct logsource_piece *out;
    size_t n;
    bool is_forward;
};

static size_t count_stretches(struct logstretch left)
{
    int64_t from_ns, to_ns;
    size_t n = 0;

    while (logstretch_next(&left, &from_ns, &to_ns))
        n++;
    return n;
}

/* What the blocks have in the stretch if lines come evenly: the sum, and the most. */
struct weight {
    double bytes, of_stream; /* of_stream: bytes */
    uint64_t streams;
};

static struct weight weigh(const struct cut *c, int64_t from_ns, int64_t to_ns)
{
    struct weight w = {0};

    for (size_t i = 0; i < c->n_blocks; i++) {
        const struct logstretch_block *b = &c->blocks[i];
        double from = (double)ORR_MAX(b->min_ns, from_ns), to = (double)ORR_MIN(b->max_ns, to_ns);
        double share, bytes;

        if (to <= from)
            continue;
        share = (to - from) / ((double)b->max_ns - (double)b->min_ns);
        bytes = (double)b->bytes * share;
        w.bytes += bytes;
        w.of_stream = ORR_MAX(w.of_stream, bytes / (double)ORR_MAX(b->streams, (uint64_t)1));
        w.streams = ORR_MAX(w.streams, b->streams);
    }
    return w;
}

static void put_by_time(struct cut *c, int64_t from_ns, int64_t to_ns, size_t n)
{
    uint64_t width = ((uint64_t)to_ns - (uint64_t)from_ns) / n;

    for (size_t i = 0; i < n; i++) {
        size_t k = c->is_forward ? i : n - 1 - i;
        int64_t from = (int64_t)((uint64_t)from_ns + k * width);
        int64_t to = k == n - 1 ? to_ns : (int64_t)((uint64_t)from_ns + (k + 1) * width);

        c->out[c->n++] = (struct logsource_piece){from, to, 0, UINT64_MAX};
    }
}

static void put_by_streams(struct cut *c, int64_t from_ns, int64_t to_ns, size_t n)
{
    uint64_t width = UINT64_MAX / n + 1;

    for (size_t i = 0; i < n; i++)
        c->out[c->n++] = (struct logsource_piece){from_ns, to_ns, i * width,
                                                  i == n - 1 ? UINT64_MAX : (i + 1) * width - 1};
}

static void put_stretch(struct cut *c, int64_t from_ns, int64_t to_ns)
{
    struct weight w = c->max > 1 ? weigh(c, from_ns, to_ns) : (struct weight){0};
    size_t n = (size_t)ORR_MIN(w.bytes / (double)c->bytes, (double)c->max);
    size_t by_time = (size_t)ORR_MIN(w.of_stream / (PAGES_A_CUT * PAGE_BYTES), (double)n);
    size_t by_streams = (size_t)ORR_MIN(w.streams / 2, (uint64_t)n);

    if (by_time > 1 && by_time >= by_streams && (uint64_t)to_ns - (uint64_t)from_ns >= by_time)
        put_by_time(c, from_ns, to_ns, by_time);
    else if (by_streams > 1)
        put_by_streams(c, from_ns, to_ns, by_streams);
    else
        c->out[c->n++] = (struct logsource_piece){from_ns, to_ns, 0, UINT64_MAX};
}

struct logsource_piece *logcut(struct arena *a, struct logstretch left,
                               const struct logstretch_block *blocks, size_t n, unsigned lanes,
                               uint64_t bytes, size_t *ret_n)
{
    size_t stretches = count_stretches(left), wanted = (size_t)lanes * PIECES_A_LANE;
    struct cut c = {.blocks = blocks,
                    .n_blocks = n,
                    .max = stretches >= 2 * wanted ? 1 : wanted,
                    .bytes = bytes ? bytes : LOGCUT_BYTES,
                    .is_forward = left.is_forward};
    int64_t from_ns, to_ns;

    c.out = arena_array(a, struct logsource_piece, stretches * c.max + 1);
    while (logstretch_next(&left, &from_ns, &to_ns))
        put_stretch(&c, from_ns, to_ns);
    *ret_n = c.n;
    return c.out;
}
