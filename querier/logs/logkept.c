#include "querier/logs/logkept.h"

#include "common/base/mem.h"

/* ---- the heap ---- */

/* Whether a comes before b in the answer. */
static bool is_before(const struct logkept *l, const struct logkept_line *a,
                      const struct logkept_line *b)
{
    if (a->ts_ns != b->ts_ns)
        return (a->ts_ns < b->ts_ns) == l->is_forward;
    return a->order < b->order;
}

static void swap(struct logkept *l, size_t a, size_t b)
{
    struct logkept_line *k = l->heap[a];

    l->heap[a] = l->heap[b];
    l->heap[b] = k;
}

static void sift_down(struct logkept *l, size_t i)
{
    for (;;) {
        size_t worst = i;

        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < l->n; c++)
            if (is_before(l, l->heap[worst], l->heap[c]))
                worst = c;
        if (worst == i)
            return;
        swap(l, i, worst);
        i = worst;
    }
}

static void sift_up(struct logkept *l, size_t i)
{
    while (i > 0 && is_before(l, l->heap[(i - 1) / 2], l->heap[i])) {
        swap(l, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static size_t size_of(const struct logkept_line *k)
{
    return sizeof(*k) + k->key_len + k->line_len;
}

static void charge(struct logkept *l, int64_t bytes)
{
    arena_charge(l->run->arena, bytes);
    l->charged += (size_t)bytes;
}

/* Takes it, behind those that are there. */
static void append(struct logkept *l, struct logkept_line *k)
{
    charge(l, (int64_t)size_of(k));
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->heap = mem_reallocarray(l->heap, l->cap, sizeof(*l->heap));
    }
    l->heap[l->n++] = k;
}

/* Takes it. There is room for it. */
static void put(struct logkept *l, struct logkept_line *k)
{
    k->order = l->order++;
    if (l->n < l->limit) {
        append(l, k);
        sift_up(l, l->n - 1);
        return;
    }
    charge(l, (int64_t)size_of(k) - (int64_t)size_of(l->heap[0]));
    mem_free(l->heap[0]);
    l->heap[0] = k;
    sift_down(l, 0);
}

static struct logkept_line *line_new(int64_t ts_ns, struct slice key, struct slice line)
{
    struct logkept_line *k = mem_alloc(sizeof(*k) + key.len + line.len);

    *k = (struct logkept_line){.ts_ns = ts_ns, .key_len = key.len, .line_len = line.len};
    memcpy(k->bytes, key.ptr, key.len);
    if (line.len)
        memcpy(k->bytes + key.len, line.ptr, line.len);
    return k;
}

void logkept_add(struct logkept *l, int64_t ts_ns, struct slice key, struct slice line)
{
    put(l, line_new(ts_ns, key, line));
}

void logkept_sort(struct logkept *l)
{
    size_t n = l->n;

    while (l->n > 1) {
        swap(l, 0, l->n - 1);
        l->n--;
        sift_down(l, 0);
    }
    l->n = n;
}

void logkept_thin(struct logkept *l, int64_t interval_ns, size_t limit)
{
    int64_t last = 0;
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct logkept_line *k = l->heap[i];
        int64_t gap = l->is_forward ? k->ts_ns - last : last - k->ts_ns;

        if (n == limit || (n > 0 && gap < interval_ns)) {
            mem_free(k);
            continue;
        }
        last = k->ts_ns;
        l->heap[n++] = k;
    }
    l->n = n;
}

/* Of one moment those that were there come first. */
void logkept_take(struct logkept *l, struct logkept *of)
{
    size_t i;

    for (i = 0; i < of->n && logkept_has_room(l, of->heap[i]->ts_ns); i++) {
        charge(of, -(int64_t)size_of(of->heap[i]));
        put(l, of->heap[i]);
    }
    if (i) /* without lines there is no heap */
        memmove(of->heap, of->heap + i, (of->n - i) * sizeof(*of->heap));
    of->n -= i;
}

void logkept_done(struct logkept *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->heap[i]);
    mem_free(l->heap);
    if (l->charged)
        charge(l, -(int64_t)l->charged);
}

/* ---- bytes ---- */

void logkept_put_key(struct buf *out, struct pipeline_labels labels)
{
    labels_put(out, labels.stream);
    labels_put(out, labels.metadata);
    labels_put(out, labels.parsed);
}

struct pipeline_labels logkept_labels(struct arena *a, struct slice key)
{
    struct reader r = reader_new(key);
    struct pipeline_labels ls = {.stream = labels_read(a, &r)};

    ls.metadata = labels_read(a, &r);
    ls.parsed = labels_read(a, &r);
    return ls;
}

void logkept_save(const struct logkept *l, struct buf *out)
{
    struct slice last = SLICE_EMPTY;
    int64_t last_ns = 0;

    buf_uvarint(out, l->n);
    for (size_t i = 0; i < l->n; i++) {
        const struct logkept_line *k = l->heap[i];
        struct slice key = logkept_key(k);

        buf_varint(out, (int64_t)((uint64_t)k->ts_ns - (uint64_t)last_ns));
        buf_lstr(out, slice_eq(key, last) ? SLICE_EMPTY : key);
        buf_lstr(out, logkept_text(k));
        last = key;
        last_ns = k->ts_ns;
    }
}

static bool is_key(struct slice key)
{
    struct reader r = reader_new(key);

    for (int set = 0; set < 3; set++)
        for (size_t n = reader_count(&r, 2); n > 0; n--) {
            (void)reader_lstr(&r);
            (void)reader_lstr(&r);
        }
    return reader_ok(&r) && !reader_left(&r);
}

static void load_line(struct logkept *l, const struct logsource_piece *at, int64_t *io_ns,
                      struct slice *io_key, struct reader *r)
{
    int64_t ts_ns = (int64_t)((uint64_t)*io_ns + (uint64_t)reader_varint(r));
    struct slice key = reader_lstr(r), line = reader_lstr(r);
    bool is_in_order = !l->n || (l->is_forward ? ts_ns >= *io_ns : ts_ns <= *io_ns);

    if (!key.len)
        key = *io_key;
    else if (!is_key(key))
        reader_fail(r);
    if (!key.len || !is_in_order || ts_ns < at->from_ns || ts_ns >= at->to_ns || l->n == l->limit)
        reader_fail(r);
    if (!reader_ok(r))
        return;
    append(l, line_new(ts_ns, key, line)); /* they come in order */
    *io_ns = ts_ns;
    *io_key = key;
}

struct err *logkept_load(struct logkept *l, const struct logsource_piece *at, struct reader *r)
{
    struct slice key = SLICE_EMPTY;
    int64_t ns = 0;
    struct err *e = NULL;

    /* one key may stand for many lines, each of which takes it */
    for (size_t n = reader_count(r, 3); n > 0 && reader_ok(r) && !e; n--) {
        load_line(l, at, &ns, &key, r);
        e = logquery_run_memory(l->run);
    }
    return e;
}
