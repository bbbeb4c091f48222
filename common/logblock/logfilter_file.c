#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/logblock/logfilter_internal.h"

#define MAGIC "ORRLFL\0\2"
#define MAGIC_OF_OTHER_GRAMS "ORRLFL\0\1"
#define MAGIC_BYTES 8
#define FOOTER_BYTES (8 + 4 + 4 + MAGIC_BYTES)
#define MAX_PENDING_BYTES (64u << 20) /* past it the class that holds most is written */
#define STRIPE_BYTES(n) ((size_t)LOGFILTER_STRIPE / 8 * (n))
#define GROUP_WORDS (LOGFILTER_GROUP / 64)
#define AHEAD_GRAMS 4 /* few pages that do not hold a needle are left after as many */
/* So few pages that have so many grams are searched: the next gram has more bytes than they. */
#define ENOUGH_GRAMS 8
#define ENOUGH_PAGES 2
#define MOST_GRAMS 24 /* of a needle that are looked for: more tell nothing more */

static_assert(LOGFILTER_STRIPE % 64 == 0, "a page's stripe is whole words");

/* ---- writing ---- */

struct pending {
    struct logfilter_bits bits[LOGFILTER_GROUP];
    uint32_t pages[LOGFILTER_GROUP];
    uint32_t n;
};

struct logfilter_out {
    struct pending *of_class[LOGFILTER_MAX_CLASS + 1];
    size_t pending_bytes;
    uint64_t written;
    uint32_t n_pages, n_groups;
    struct buf table;
};

struct logfilter_out *logfilter_out_new(void)
{
    return mem_new(struct logfilter_out);
}

void logfilter_out_free(struct logfilter_out *o)
{
    if (!o)
        return;
    for (size_t c = 0; c <= LOGFILTER_MAX_CLASS; c++) {
        for (uint32_t k = 0; o->of_class[c] && k < o->of_class[c]->n; k++)
            logfilter_bits_done(&o->of_class[c]->bits[k]);
        mem_free(o->of_class[c]);
    }
    buf_done(&o->table);
    mem_free(o);
}

/* One stripe of all pages of the group: row after row, a bit for each page. */
static void slice_stripe(const struct pending *p, uint32_t stripe, uint8_t *to)
{
    memset(to, 0, STRIPE_BYTES(p->n));
    for (uint32_t k = 0; k < p->n; k++) {
        const uint64_t *words = p->bits[k].words + (size_t)stripe * (LOGFILTER_STRIPE / 64);

        for (uint32_t w = 0; w < LOGFILTER_STRIPE / 64; w++)
            for (uint64_t x = words[w]; x; x &= x - 1) {
                size_t at = ((size_t)w * 64 + (size_t)__builtin_ctzll(x)) * p->n + k;

                to[at / 8] |= (uint8_t)(1 << (at % 8));
            }
    }
}

static void put_group(struct logfilter_out *o, uint32_t size_class, struct buf *out)
{
    struct pending *p = o->of_class[size_class];
    uint32_t n_stripes = logfilter_stripes(size_class), before = 0;
    size_t bytes = STRIPE_BYTES(p->n);

    buf_uvarint(&o->table, o->written);
    buf_uvarint(&o->table, size_class);
    buf_uvarint(&o->table, p->n);
    for (uint32_t k = 0; k < p->n; k++) {
        buf_uvarint(&o->table, p->pages[k] - before);
        before = p->pages[k] + 1;
    }
    for (uint32_t s = 0; s < n_stripes; s++) {
        uint8_t *to = buf_reserve(out, bytes);

        if (!to)
            break;
        slice_stripe(p, s, to);
        out->len += bytes;
        buf_u32le(&o->table, hash_crc32c(slice_of(to, bytes)));
    }
    o->written += bytes * n_stripes;
    o->n_groups++;
    for (uint32_t k = 0; k < p->n; k++) {
        o->pending_bytes -= logfilter_bits_bytes(&p->bits[k]);
        logfilter_bits_done(&p->bits[k]);
    }
    p->n = 0;
}

static uint32_t fullest(const struct logfilter_out *o)
{
    size_t most = 0;
    uint32_t best = 0;

    for (uint32_t c = 0; c <= LOGFILTER_MAX_CLASS; c++) {
        size_t bytes = o->of_class[c] ? (size_t)o->of_class[c]->n * logfilter_stripes(c) : 0;

        if (bytes > most) {
            most = bytes;
            best = c;
        }
    }
    return best;
}

void logfilter_out_add(struct logfilter_out *o, struct logfilter_bits *f, struct buf *out)
{
    struct pending **at = &o->of_class[f->size_class], *p;

    if (!*at)
        *at = mem_new(struct pending);
    p = *at;
    o->pending_bytes += logfilter_bits_bytes(f);
    p->pages[p->n] = o->n_pages++;
    p->bits[p->n++] = *f;
    *f = (struct logfilter_bits){0};
    if (p->n == LOGFILTER_GROUP)
        put_group(o, (uint32_t)(at - o->of_class), out);
    else if (o->pending_bytes > MAX_PENDING_BYTES)
        put_group(o, fullest(o), out);
}

void logfilter_out_end(struct logfilter_out *o, struct buf *out)
{
    struct buf table = {0};

    for (uint32_t c = 0; c <= LOGFILTER_MAX_CLASS; c++)
        if (o->of_class[c] && o->of_class[c]->n)
            put_group(o, c, out);
    buf_uvarint(&table, o->n_groups);
    buf_slice_append(&table, buf_slice(&o->table));
    buf_slice_append(out, buf_slice(&table));
    buf_u64le(out, o->written);
    buf_u32le(out, (uint32_t)table.len);
    buf_u32le(out, hash_crc32c(buf_slice(&table)));
    buf_append(out, MAGIC, MAGIC_BYTES);
    buf_done(&table);
}

/* ---- reading ---- */

struct group {
    uint64_t off;
    uint32_t size_class, n;
    uint32_t *pages;
    const uint8_t *crcs; /* u32 of each stripe */
};

struct logfilter {
    struct group *groups;
    size_t n_groups;
    uint32_t n_pages;
};

void logfilter_sizes(const struct logfilter *f, size_t *ret_groups, size_t *ret_words)
{
    *ret_groups = f->n_groups;
    *ret_words = ((size_t)f->n_pages + 63) / 64;
}

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "needle filters: %s", what);
}

/* seen: of pages, those of the groups before. */
static struct err *read_group(struct arena *a, struct reader *r, uint64_t end, uint32_t n_pages,
                              uint64_t *seen, struct group *g)
{
    uint64_t size_class, n, next = 0;
    uint32_t n_stripes;

    g->off = reader_uvarint(r);
    size_class = reader_uvarint(r);
    n = reader_uvarint(r);
    if (!reader_ok(r) || size_class > LOGFILTER_MAX_CLASS || n == 0 || n > LOGFILTER_GROUP)
        return corrupt("a group");
    g->size_class = (uint32_t)size_class;
    g->n = (uint32_t)n;
    n_stripes = logfilter_stripes(g->size_class);
    g->pages = arena_array(a, uint32_t, g->n);
    for (uint32_t k = 0; k < g->n; k++) {
        uint64_t step = reader_uvarint(r), page = next + step;

        if (step >= n_pages || page >= n_pages || seen[page >> 6] >> (page & 63) & 1)
            return corrupt("the number of a page");
        seen[page >> 6] |= 1ull << (page & 63);
        g->pages[k] = (uint32_t)page;
        next = page + 1;
    }
    g->crcs = reader_bytes(r, (size_t)n_stripes * 4).ptr;
    if (!reader_ok(r) || g->off > end || STRIPE_BYTES(g->n) * n_stripes > end - g->off)
        return corrupt("a group lies outside");
    return NULL;
}

static struct err *read_table(struct arena *a, struct slice table, uint64_t end, uint32_t n_pages,
                              struct logfilter *f)
{
    struct reader r = reader_new(table);
    uint64_t sum = 0, *seen;
    struct err *e = NULL;

    if (n_pages > table.len)
        return corrupt("its table");
    seen = arena_array(a, uint64_t, ((size_t)n_pages + 63) / 64);
    f->n_groups = reader_count(&r, 8);
    f->groups = arena_array(a, struct group, f->n_groups);
    for (size_t k = 0; !e && k < f->n_groups; k++) {
        e = read_group(a, &r, end, n_pages, seen, &f->groups[k]);
        sum += f->groups[k].n;
    }
    /* Each once, so all of them: a page that is in no group would be hidden. */
    if (!e && (!reader_ok(&r) || reader_left(&r) || sum != n_pages || arena_over(a)))
        e = corrupt("its table");
    return e;
}

bool logfilter_is_of_before(struct slice end)
{
    return slice_has_suffix(end, slice_of(MAGIC_OF_OTHER_GRAMS, MAGIC_BYTES));
}

struct err *logfilter_open(struct arena *a, uint64_t size, uint32_t n_pages,
                           const struct logfilter_io *io, struct logfilter **ret)
{
    struct logfilter *f = arena_new_of(a, struct logfilter);
    struct slice footer, table;
    struct reader r;
    uint64_t off;
    uint32_t bytes, crc;
    struct err *e;

    if (size < FOOTER_BYTES)
        return corrupt("cut short");
    if ((e = io->fetch(io->arg, size - FOOTER_BYTES, FOOTER_BYTES, &footer)))
        return e;
    if (footer.len != FOOTER_BYTES)
        return corrupt("cut short");
    r = reader_new(footer);
    off = reader_u64le(&r);
    bytes = reader_u32le(&r);
    crc = reader_u32le(&r);
    f->n_pages = n_pages;
    *ret = f;
    if (slice_eq(reader_rest(&r), slice_of(MAGIC_OF_OTHER_GRAMS, MAGIC_BYTES)))
        return NULL; /* no groups: it takes nothing out */
    if (!slice_eq(reader_rest(&r), slice_of(MAGIC, MAGIC_BYTES)) || off > size - FOOTER_BYTES ||
        bytes != size - FOOTER_BYTES - off)
        return corrupt("its footer");
    if ((e = io->fetch(io->arg, off, bytes, &table)))
        return e;
    if (table.len != bytes || hash_crc32c(table) != crc)
        return corrupt("checksum of its table");
    return read_table(a, arena_dup(a, table), off, n_pages, f);
}

/* n bits from bit at on. */
static void and_row(const uint8_t *stripe, size_t at, uint32_t n, uint64_t *words)
{
    const uint8_t *p = stripe + at / 8;
    unsigned shift = at % 8;

    for (uint32_t i = 0; i < n; i += 8, p++) {
        unsigned x = p[0] >> shift;

        if (shift && n - i > 8 - shift)
            x |= (unsigned)p[1] << (8 - shift);
        words[i / 64] &= ~(255ull << (i % 64)) | (uint64_t)(x & 255) << (i % 64);
    }
}

struct gram_at {
    uint32_t stripe, rows[LOGFILTER_HASHES];
    struct logfilter_range range;
};

static struct gram_at gram_at(const struct group *g, uint32_t hash)
{
    struct gram_at at;

    logfilter_rows(hash, logfilter_stripes(g->size_class), at.rows);
    at.stripe = at.rows[0] / LOGFILTER_STRIPE;
    at.range.len = STRIPE_BYTES(g->n);
    at.range.off = g->off + at.range.len * at.stripe;
    return at;
}

static struct err *and_gram(const struct logfilter_io *io, const struct group *g, uint32_t hash,
                            uint64_t *words, uint64_t *touched)
{
    struct gram_at at = gram_at(g, hash);
    struct slice s;
    struct reader crc;
    struct err *e = io->fetch(io->arg, at.range.off, at.range.len, &s);

    if (e)
        return e;
    *touched += at.range.len;
    crc = reader_new(slice_of(g->crcs + (size_t)at.stripe * 4, 4));
    if (s.len != at.range.len || hash_crc32c(s) != reader_u32le(&crc))
        return corrupt("checksum of a stripe");
    for (int k = 0; k < LOGFILTER_HASHES; k++)
        and_row(s.ptr, (size_t)(at.rows[k] % LOGFILTER_STRIPE) * g->n, g->n, words);
    return NULL;
}

static size_t count_common(const uint64_t *a, const uint64_t *b)
{
    size_t n = 0;

    for (int i = 0; i < GROUP_WORDS; i++)
        n += (size_t)__builtin_popcountll(a[i] & b[i]);
    return n;
}

/* The pages of the group that are in the set. */
static void pages_of(const struct group *g, const uint64_t *set, uint64_t *words)
{
    memset(words, 0, GROUP_WORDS * sizeof(*words));
    for (uint32_t i = 0; i < g->n; i++)
        words[i / 64] |= (set[g->pages[i] >> 6] >> (g->pages[i] & 63) & 1) << (i % 64);
}

static void take_out(const struct group *g, const uint64_t *words, uint64_t *set)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (!(words[i / 64] >> (i % 64) & 1))
            set[g->pages[i] >> 6] &= ~(1ull << (g->pages[i] & 63));
}

/* A needle that is looked for in some pages. */
struct narrowing {
    const struct logfilter *f;
    const struct logfilter_io *io;
    const struct logfilter_grams *needle;
    struct logfilter_known *known;
    uint64_t *set, *touched;
    size_t n_grams, limit; /* of the needle that are used; that are looked for in this pass */
};

/* Of a long needle those that are used are from all over it. */
static uint32_t gram_of(const struct narrowing *n, size_t i)
{
    return n->needle->hashes.ptr[i * n->needle->hashes.len / n->n_grams];
}

static bool is_worth_a_gram(const struct narrowing *n, const uint64_t *wanted, const uint64_t *left)
{
    return count_common(wanted, left) > (n->limit > ENOUGH_GRAMS ? ENOUGH_PAGES : 0);
}

/* Of the group's pages that are wanted, those that can hold the needle as far as is known. False: it is left at that. */
static bool left_of(const struct narrowing *n, const struct group *g, uint64_t *wanted,
                    uint64_t *left)
{
    pages_of(g, n->set, wanted);
    pages_of(g, n->known->left, left);
    return is_worth_a_gram(n, wanted, left);
}

/* Tells of the next stripes of the groups from first on; *ret_end: how far that reaches. */
static struct err *tell_ahead(const struct narrowing *n, size_t first, size_t *ret_end)
{
    VEC(struct logfilter_range) ranges = {0};
    uint64_t wanted[GROUP_WORDS], left[GROUP_WORDS];
    size_t k = first;
    struct err *e;

    for (; k < n->f->n_groups && (k == first || ranges.len + n->limit <= n->io->ahead_max); k++) {
        const struct group *g = &n->f->groups[k];
        size_t h = n->known->done[k],
               end = ORR_MIN(n->limit, h + ORR_MAX(n->io->ahead_max, (size_t)1));

        for (end = left_of(n, g, wanted, left) ? end : h; h < end; h++)
            vec_push(&ranges, gram_at(g, gram_of(n, h)).range);
    }
    e = n->io->ahead(n->io->arg, ranges.ptr, ranges.len);
    vec_done(&ranges);
    *ret_end = k;
    return e;
}

/* A stripe says it of all pages of its group, so what is known is of all of them; but no more is read than the wanted ones need. */
static struct err *narrow_group(struct narrowing *n, size_t k)
{
    const struct group *g = &n->f->groups[k];
    uint64_t wanted[GROUP_WORDS], left[GROUP_WORDS];
    uint32_t *done = &n->known->done[k];
    bool may = left_of(n, g, wanted, left);
    struct err *e = NULL;

    while (!e && may && *done < n->limit) {
        e = and_gram(n->io, g, gram_of(n, *done), left, n->touched);
        if (!e)
            ++*done;
        may = is_worth_a_gram(n, wanted, left);
    }
    take_out(g, left, n->known->left);
    take_out(g, left, n->set);
    return e;
}

/* By grams up to the limit. */
static struct err *narrow_groups(struct narrowing *n, size_t limit)
{
    size_t told = n->io->ahead ? 0 : n->f->n_groups;
    struct err *e = NULL;

    n->limit = limit;
    for (size_t k = 0; !e && k < n->f->n_groups; k++) {
        if (k == told)
            e = tell_ahead(n, k, &told);
        if (!e)
            e = narrow_group(n, k);
    }
    return e;
}

struct err *logfilter_narrow(const struct logfilter *f, const struct logfilter_io *io,
                             const struct logfilter_grams *needle, struct logfilter_memo *memo,
                             uint64_t *set, uint64_t *touched)
{
    /* What is left after the first ones is there, as a rule: then others are of use, and come together. */
    static const size_t passes[] = {AHEAD_GRAMS, ENOUGH_GRAMS, MOST_GRAMS};
    struct narrowing n = {.f = f, .io = io, .needle = needle, .set = set, .touched = touched};
    struct logfilter_known own, *known = NULL;
    size_t n_groups, n_words;
    struct err *e = NULL;

    if (!needle->hashes.len)
        return NULL;
    if (memo)
        known = logfilter_memo_take(memo, needle);
    if (!known) {
        logfilter_sizes(f, &n_groups, &n_words);
        logfilter_known_init(&own, n_groups, n_words);
    }
    n.known = known ? known : &own;
    n.n_grams = ORR_MIN(needle->hashes.len, (size_t)MOST_GRAMS);
    for (size_t i = 0; !e && n.limit < n.n_grams; i++)
        e = narrow_groups(&n, ORR_MIN(n.n_grams, passes[i]));
    if (known)
        logfilter_memo_give(memo, known);
    else
        logfilter_known_done(&own);
    return e;
}
