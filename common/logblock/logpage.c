#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/logblock/logpage_internal.h"

#define FRONT_BYTES 4096 /* header and most trees are in it: of logfmt they end at 2,400 */

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "log page: %s", what);
}

static struct err *fetch_counted(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    struct logpage *p = arg;

    if (off > p->size || len > p->size - off)
        return corrupt("a section that cannot be");
    if (off + len <= p->front.len) {
        *ret = slice_sub(p->front, (size_t)off, len);
        return NULL;
    }
    p->touched += len;
    return p->fetch(p->arg, off, len, ret);
}

static struct err *read_section(struct logpage *p, enum logpage_section which, size_t max_bytes,
                                struct slice *ret)
{
    const struct logpage_place *at = &p->places[which];
    struct slice stored;
    struct err *e;

    if (at->bytes > max_bytes || at->stored > at->bytes)
        return corrupt("a section is too large");
    if ((e = fetch_counted(p, at->off, at->stored, &stored)))
        return e;
    if (stored.len != at->stored || hash_crc32c(stored) != at->crc)
        return corrupt("checksum of a section");
    return logcol_unpack(p->arena, stored, at->bytes, ret);
}

static struct err *read_tree(struct logpage *p, enum logpage_section tree,
                             enum logpage_section columns, struct logpage_tree *ret)
{
    const struct logpage_place *at = &p->places[columns];
    struct logcol *root;
    struct slice bytes;
    struct reader r;
    struct err *e = read_section(p, tree, 2 * (size_t)LOGPAGE_MAX_BYTES, &bytes);

    if (e)
        return e;
    root = arena_new_of(p->arena, struct logcol);
    r = reader_new(bytes);
    if ((e = logcol_read(p->arena, &r, p->n, p->raw_bytes + p->n, root)))
        return e;
    if (reader_left(&r) || root->kind != LOGCOL_WORDS)
        return corrupt("a tree");
    ret->root = root;
    ret->src = (struct logcol_source){.arena = p->arena,
                                      .fetch = fetch_counted,
                                      .arg = p,
                                      .base = at->off,
                                      .size = at->stored,
                                      .max_bytes = 16 * (p->raw_bytes + p->n),
                                      .max_text = p->raw_bytes};
    return NULL;
}

static struct err *read_header(struct logpage *p)
{
    struct reader r = reader_new(slice_sub(p->front, 0, LOGPAGE_HEADER_BYTES));
    struct slice magic = reader_bytes(&r, LOGPAGE_MAGIC_BYTES);

    if (p->front.len < LOGPAGE_HEADER_BYTES || memcmp(magic.ptr, LOGPAGE_MAGIC, magic.len) != 0)
        return corrupt("it is none");
    p->n = reader_u32le(&r);
    p->n_runs = reader_u32le(&r);
    p->raw_bytes = reader_u64le(&r);
    p->min_ns = (int64_t)reader_u64le(&r);
    p->max_ns = (int64_t)reader_u64le(&r);
    for (int k = 0; k < LOGPAGE_SECTIONS; k++) {
        p->places[k].off = reader_u32le(&r);
        p->places[k].stored = reader_u32le(&r);
        p->places[k].bytes = reader_u32le(&r);
        p->places[k].crc = reader_u32le(&r);
        if ((uint64_t)p->places[k].off + p->places[k].stored > p->size)
            return corrupt("a section lies outside");
    }
    if (reader_u32le(&r) != hash_crc32c(slice_sub(p->front, 0, LOGPAGE_HEADER_BYTES - 4)))
        return corrupt("checksum of the header");
    if (p->n == 0 || p->n > LOGPAGE_MAX_ENTRIES || p->n_runs == 0 || p->n_runs > p->n ||
        p->raw_bytes > LOGPAGE_MAX_BYTES)
        return corrupt("its counts");
    return NULL;
}

struct err *logpage_peek(struct slice page, struct logpage_about *ret)
{
    struct logpage p = {.size = page.len, .front = page};
    struct err *e = read_header(&p);

    if (!e)
        *ret = (struct logpage_about){p.n, p.n_runs, p.raw_bytes, p.min_ns, p.max_ns};
    return e;
}

/* The runs may be of another length then, so what is behind them moves. */
struct err *logpage_renumber(struct slice page, uint32_t stream, struct buf *out)
{
    struct logpage p = {.size = page.len, .front = page};
    struct logpage_place *runs = &p.places[LOGPAGE_RUNS];
    struct buf run = {0};
    uint32_t end;
    struct err *e = read_header(&p);

    if (e)
        return e;
    end = runs->off + runs->stored;
    if (p.n_runs != 1 || runs->off < LOGPAGE_HEADER_BYTES)
        return corrupt("its one run");
    buf_uvarint(&run, stream);
    buf_uvarint(&run, p.n);
    for (int k = 0; k < LOGPAGE_SECTIONS; k++) {
        struct logpage_place *at = &p.places[k];

        if (at == runs || (at->stored == 0 && at->off == 0))
            continue;
        if (at->off < end && at->off + at->stored > runs->off) {
            buf_done(&run);
            return corrupt("sections overlap");
        }
        if (at->off >= end)
            at->off += (uint32_t)run.len - runs->stored;
    }
    *runs = (struct logpage_place){runs->off, (uint32_t)run.len, (uint32_t)run.len,
                                   hash_crc32c(buf_slice(&run))};
    logpage_put_header(&p, out);
    buf_slice_append(out, slice_sub(page, LOGPAGE_HEADER_BYTES, runs->off - LOGPAGE_HEADER_BYTES));
    buf_slice_append(out, buf_slice(&run));
    buf_slice_append(out, slice_from(page, end));
    buf_done(&run);
    return NULL;
}

static struct err *open_page(struct logpage *p, struct logpage **ret)
{
    struct err *e = read_header(p);

    if (!e)
        e = read_tree(p, LOGPAGE_TREE, LOGPAGE_COLUMNS, &p->lines);
    if (!e)
        *ret = p;
    return e;
}

struct err *logpage_open(struct arena *a, struct slice bytes, struct logpage **ret)
{
    struct logpage *p = arena_new_of(a, struct logpage);

    p->arena = a;
    p->size = p->touched = bytes.len;
    p->front = bytes; /* all of it: fetch is not called */
    return open_page(p, ret);
}

struct err *logpage_open_ranged(struct arena *a, uint64_t size, logpage_fetch_fn *fetch, void *arg,
                                struct logpage **ret)
{
    struct logpage *p = arena_new_of(a, struct logpage);
    size_t front = (size_t)ORR_MIN(size, (uint64_t)FRONT_BYTES);
    struct err *e;

    p->arena = a;
    p->size = size;
    p->fetch = fetch;
    p->arg = arg;
    p->touched = front;
    if ((e = fetch(arg, 0, front, &p->front)))
        return e;
    return open_page(p, ret);
}

uint32_t logpage_n_entries(const struct logpage *p)
{
    return p->n;
}

uint64_t logpage_raw_bytes(const struct logpage *p)
{
    return p->raw_bytes;
}

int64_t logpage_min_ns(const struct logpage *p)
{
    return p->min_ns;
}

int64_t logpage_max_ns(const struct logpage *p)
{
    return p->max_ns;
}

uint64_t logpage_touched_bytes(const struct logpage *p)
{
    return p->touched;
}

struct err *logpage_runs(struct logpage *p, const struct logpage_run **ret, size_t *ret_n)
{
    struct logpage_run *runs;
    struct slice bytes;
    struct reader r;
    uint64_t first = 0;
    struct err *e = NULL;

    if (!p->runs) {
        if ((e = read_section(p, LOGPAGE_RUNS, (size_t)p->n_runs * 10, &bytes)))
            return e;
        r = reader_new(bytes);
        runs = arena_array(p->arena, struct logpage_run, p->n_runs);
        for (uint32_t k = 0; k < p->n_runs; k++) {
            uint64_t stream = reader_uvarint(&r), n = reader_uvarint(&r);

            if (stream > UINT32_MAX || n == 0 || n > p->n - first ||
                (k && stream <= runs[k - 1].stream))
                return corrupt("its runs");
            runs[k] = (struct logpage_run){(uint32_t)stream, (uint32_t)first, (uint32_t)n};
            first += n;
        }
        if (!reader_ok(&r) || reader_left(&r) || first != p->n)
            return corrupt("its runs");
        p->runs = runs;
    }
    *ret = p->runs;
    *ret_n = p->n_runs;
    return NULL;
}

struct err *logpage_times(struct logpage *p, const int64_t **ret)
{
    struct intplanes c;
    struct slice bytes;
    struct reader r;
    int64_t *t;
    struct err *e;

    if (!p->times) {
        if ((e = read_section(p, LOGPAGE_TIMES, 32 + (size_t)p->n * 8, &bytes)))
            return e;
        r = reader_new(bytes);
        if (!intplanes_read(&r, &c) || reader_left(&r) != intplanes_bytes(&c, p->n))
            return corrupt("its times");
        t = arena_alloc(p->arena, p->n * sizeof(*t));
        intplanes_decode(&c, r.ptr, p->n, t);
        p->times = t;
    }
    *ret = p->times;
    return NULL;
}

const struct logpage_run *logpage_find_run(const struct logpage_run *runs, size_t n,
                                           uint32_t stream)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (runs[mid].stream == stream)
            return &runs[mid];
        if (runs[mid].stream < stream)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

uint32_t logpage_find_time(const int64_t *times, uint32_t first, uint32_t end, int64_t t)
{
    while (first < end) {
        uint32_t mid = first + (end - first) / 2;

        if (times[mid] < t)
            first = mid + 1;
        else
            end = mid;
    }
    return first;
}

/* ---- what comes out ---- */

/* More than any value that is written at once may leave unused. */
#define SLACK 256

static void new_buf(struct logpage_out *o, size_t bytes)
{
    o->buf = (struct buf){.ptr = arena_alloc(o->arena, bytes), .cap = bytes, .max_bytes = bytes};
}

void logpage_out_init(struct logpage_out *o, struct logpage *p, size_t likely_bytes)
{
    o->arena = p->arena;
    o->left = p->raw_bytes;
    new_buf(o, (size_t)ORR_MIN((uint64_t)likely_bytes, p->raw_bytes) + SLACK);
}

struct err *logpage_out_put(struct logpage_out *o, const struct logcol *c, uint32_t i,
                            struct slice *ret)
{
    size_t start = o->buf.len, most = (size_t)o->left + SLACK;

    logcol_put(c, i, &o->buf);
    while (!buf_ok(&o->buf)) {
        size_t next = ORR_MAX(o->buf.cap * 2, (size_t)4096);

        if (start == 0 && o->buf.cap >= most)
            return corrupt("more comes out than it says");
        new_buf(o, ORR_MIN(next, most));
        start = 0;
        logcol_put(c, i, &o->buf);
    }
    *ret = slice_of(o->buf.ptr + start, o->buf.len - start);
    if (ret->len > o->left)
        return corrupt("more comes out than it says");
    o->left -= ret->len;
    return arena_over(o->arena)
               ? err_new(ERR_LIMIT, "log lines need more memory than the query may hold")
               : NULL;
}

static uint32_t count_wanted(const uint64_t *want, uint32_t first, uint32_t n)
{
    uint32_t k = 0;

    for (uint32_t i = first; want && i < first + n; i++)
        k += logpage_has(want, i);
    return want ? k : n;
}

struct err *logpage_lines(struct logpage *p, const uint64_t *want, uint32_t first, uint32_t n,
                          struct slice *ret)
{
    uint64_t k = count_wanted(want, first, n);
    struct logpage_out o;
    struct err *e;

    ORR_ASSERT(first <= p->n && n <= p->n - first);
    memset(ret, 0, n * sizeof(*ret));
    if (k == 0)
        return NULL;
    if ((e = logcol_load_all(&p->lines.src, p->lines.root)))
        return e;
    logpage_out_init(&o, p, (size_t)(k == p->n ? p->raw_bytes : p->raw_bytes / p->n * (k + 1)));
    for (uint32_t i = 0; !e && i < n; i++)
        if (!want || logpage_has(want, first + i))
            e = logpage_out_put(&o, p->lines.root, first + i, &ret[i]);
    return e;
}

static struct err *labels_at(struct logpage *p, struct logpage_out *o, uint32_t i,
                             struct labels *ret)
{
    const struct logcol *c = p->meta.root;
    const struct logcol_template *m = &c->words.templates[c->which ? c->which[i] : 0];
    uint32_t rank = c->rank ? c->rank[i] : i;
    struct label *l;
    struct slice text;
    struct err *e = NULL;

    if (m->kind == LOGSKEL_WHOLE) {
        if ((e = logpage_out_put(o, c, i, &text)))
            return e;
        return labels_of_canonical(p->arena, text, ret) ? NULL : corrupt("structured metadata");
    }
    l = arena_array(p->arena, struct label, m->n_vars);
    for (uint32_t k = 0; !e && k < m->n_vars; k++) {
        l[k].name = m->vars[k].before;
        e = logpage_out_put(o, &c->cols[m->vars[k].col], m->vars[k].base + rank, &l[k].value);
    }
    *ret = (struct labels){l, m->n_vars};
    return e;
}

static struct err *open_meta(struct logpage *p)
{
    return p->meta.root ? NULL : read_tree(p, LOGPAGE_META_TREE, LOGPAGE_META_COLUMNS, &p->meta);
}

struct err *logpage_meta_may_have(struct logpage *p, struct slice name, bool *ret)
{
    const struct logcol *c;
    struct err *e;

    *ret = false;
    if (p->places[LOGPAGE_META_TREE].bytes == 0)
        return NULL;
    if ((e = open_meta(p)))
        return e;
    c = p->meta.root;
    for (uint32_t t = 0; !*ret && t < c->words.n_templates; t++) {
        const struct logcol_template *m = &c->words.templates[t];

        *ret = m->kind == LOGSKEL_WHOLE && m->n > 0;
        for (uint32_t k = 0; !*ret && k < m->n_vars; k++)
            *ret = slice_eq(m->vars[k].before, name);
    }
    return NULL;
}

struct err *logpage_meta(struct logpage *p, const uint64_t *want, uint32_t first, uint32_t n,
                         struct labels *ret)
{
    struct logpage_out o;
    struct err *e = NULL;

    ORR_ASSERT(first <= p->n && n <= p->n - first);
    memset(ret, 0, n * sizeof(*ret));
    if (p->places[LOGPAGE_META_TREE].bytes == 0 || count_wanted(want, first, n) == 0)
        return NULL;
    if (!(e = open_meta(p)))
        e = logcol_load_all(&p->meta.src, p->meta.root);
    if (e)
        return e;
    logpage_out_init(&o, p, 4096);
    for (uint32_t i = 0; !e && i < n; i++)
        if (!want || logpage_has(want, first + i))
            e = labels_at(p, &o, first + i, &ret[i]);
    return e;
}

/* ---- search ---- */

struct err *logpage_match(struct logpage *p, struct slice needle, uint64_t *ret)
{
    struct logcol_ask ask = logcol_ask_of(LOGCOL_HOLDS, needle);

    memset(ret, 0, LOGPAGE_WORDS(p->n) * sizeof(*ret));
    return logcol_match(&p->lines.src, p->lines.root, &ask, ret);
}

struct err *logpage_match_all(struct logpage *p, const struct slice *needles, size_t n,
                              uint64_t *ret, bool *ret_has)
{
    uint32_t words = LOGPAGE_WORDS(p->n);
    uint64_t *set = arena_array(p->arena, uint64_t, words), any = 1;
    struct err *e = NULL;

    memset(ret, 255, words * sizeof(*ret));
    for (size_t k = 0; !e && any && k < n; k++) {
        e = logpage_match(p, needles[k], set);
        any = 0;
        for (uint32_t i = 0; i < words; i++)
            any |= ret[i] &= set[i];
    }
    *ret_has = any != 0;
    return e;
}

bool logpage_lacks(struct logpage *p, struct slice needle)
{
    struct logcol_ask ask = logcol_ask_of(LOGCOL_HOLDS, needle);

    return !logcol_may(p->lines.root, &ask);
}

size_t logpage_contexts(struct logpage *p, struct slice needle,
                        struct slice ret[LOGPAGE_MAX_CONTEXTS])
{
    struct logcol_ask ask = logcol_ask_of(LOGCOL_HOLDS, needle);

    static_assert(LOGPAGE_MAX_CONTEXTS == LOGCOL_MAX_CONTEXTS, "one array for both");
    return logcol_contexts(p->arena, p->lines.root, &ask, ret);
}
