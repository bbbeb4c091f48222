#include "common/block/block_summary.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define MAGIC SLICE("ORRSUM\0\2")
#define MAGIC_1 SLICE("ORRSUM\0\1")
#define HEADER_BYTES 32
#define SEEDS 64 /* most serve: that none of so many does is not going to be seen */

enum key_kind { KEY_NAME, KEY_PAIR, KEY_OPEN };

static uint64_t key_of(enum key_kind kind, struct slice name, struct slice value)
{
    char few[512];
    struct buf b = {0};
    size_t n = 1 + name.len + (kind == KEY_PAIR ? 1 + value.len : 0);
    uint64_t h;

    if (n <= sizeof(few)) {
        few[0] = (char)kind;
        memcpy(few + 1, name.ptr, name.len);
        if (kind == KEY_PAIR) {
            few[1 + name.len] = (char)0xff;
            memcpy(few + 2 + name.len, value.ptr, value.len);
        }
        return hash_xxh64(slice_of(few, n), 0);
    }
    buf_byte(&b, (uint8_t)kind);
    buf_slice_append(&b, name);
    if (kind == KEY_PAIR) {
        buf_byte(&b, 0xff);
        buf_slice_append(&b, value);
    }
    h = hash_xxh64(buf_slice(&b), 0);
    buf_done(&b);
    return h;
}

/* ---- where a key is ---- */

/* Turns 64 bits into others, each input into another output: keys that differ still do. */
static uint64_t mix(uint64_t key, uint32_t seed)
{
    uint64_t h = key + (seed + 1) * 0x9e3779b97f4a7c15ull;

    h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
    h = (h ^ h >> 29) * 0xd6e8feb86659fd93ull;
    return h ^ h >> 32;
}

static uint32_t cell_of(uint64_t h, unsigned i, uint32_t third)
{
    uint64_t turned = i ? h << 21 * i | h >> (64 - 21 * i) : h;

    return (uint32_t)((turned & UINT32_MAX) * third >> 32) + i * third;
}

static uint8_t print_of(uint64_t h)
{
    return (uint8_t)(h >> 56 ^ h >> 24);
}

static bool has(const struct block_summary *s, uint64_t key)
{
    uint64_t h = mix(key, s->seed);

    return (s->cells[cell_of(h, 0, s->third)] ^ s->cells[cell_of(h, 1, s->third)] ^
            s->cells[cell_of(h, 2, s->third)]) == print_of(h);
}

/* ---- build ---- */

static uint32_t third_of(size_t keys)
{
    return (uint32_t)((keys + keys * 23 / 100 + 32) / 3 + 1);
}

static size_t file_bytes(size_t keys)
{
    return HEADER_BYTES + (size_t)3 * third_of(keys) + sizeof(uint32_t);
}

size_t block_summary_room(uint64_t block_bytes)
{
    uint64_t part = block_bytes / BLOCK_SUMMARY_PART;

    return (size_t)ORR_MIN(ORR_MAX(part, BLOCK_SUMMARY_MIN_BYTES), BLOCK_SUMMARY_MAX_BYTES);
}

/* What is in a cell while keys are taken off: how many, and the xor of their hashes. */
struct pile {
    uint64_t hashes;
    uint32_t n;
};
struct taken {
    uint64_t h;
    uint32_t cell; /* that it had for itself */
};
struct filling {
    uint32_t third;
    struct pile *piles;  /* a cell's */
    uint32_t *alone;     /* cells that held one key when they were noted */
    struct taken *order; /* keys, those first that were taken off first */
    size_t n_alone, n_taken;
};

static void pile_up(struct filling *f, const uint64_t *keys, size_t n, uint32_t seed)
{
    memset(f->piles, 0, (size_t)3 * f->third * sizeof(*f->piles));
    for (size_t k = 0; k < n; k++) {
        uint64_t h = mix(keys[k], seed);

        for (unsigned i = 0; i < 3; i++) {
            struct pile *p = &f->piles[cell_of(h, i, f->third)];

            p->hashes ^= h;
            p->n++;
        }
    }
}

static void take_off(struct filling *f, uint64_t h)
{
    for (unsigned i = 0; i < 3; i++) {
        uint32_t cell = cell_of(h, i, f->third);

        f->piles[cell].hashes ^= h;
        if (--f->piles[cell].n == 1)
            f->alone[f->n_alone++] = cell;
    }
}

/* Takes off keys that have a cell to themselves until none has; false: some are left. */
static bool take_all(struct filling *f, size_t n)
{
    f->n_alone = f->n_taken = 0;
    for (uint32_t c = 0; c < 3 * f->third; c++)
        if (f->piles[c].n == 1)
            f->alone[f->n_alone++] = c;
    while (f->n_alone) {
        uint32_t cell = f->alone[--f->n_alone];
        uint64_t h = f->piles[cell].hashes;

        if (f->piles[cell].n != 1) /* it was the last key's, too */
            continue;
        f->order[f->n_taken++] = (struct taken){h, cell};
        take_off(f, h);
    }
    return f->n_taken == n;
}

/* Backwards, so that the cell a key had for itself is set when the others of its cells are. */
static void fill_cells(const struct filling *f, uint8_t *cells)
{
    for (size_t k = f->n_taken; k-- > 0;) {
        const struct taken *t = &f->order[k];
        uint8_t x = print_of(t->h);

        for (unsigned i = 0; i < 3; i++) {
            uint32_t cell = cell_of(t->h, i, f->third);

            x ^= cell == t->cell ? 0 : cells[cell];
        }
        cells[t->cell] = x;
    }
}

static void put_filter(struct ulid block, const uint64_t *keys, size_t n, struct buf *out)
{
    struct filling f = {.third = third_of(n)};
    size_t n_cells = (size_t)3 * f.third;
    uint8_t *cells = mem_zalloc(n_cells);
    uint32_t seed = 0;

    f.piles = mem_new_array(struct pile, n_cells);
    f.alone = mem_new_array(uint32_t, n_cells + 3 * n);
    f.order = mem_new_array(struct taken, n + 1);
    for (pile_up(&f, keys, n, seed); seed < SEEDS && !take_all(&f, n);)
        pile_up(&f, keys, n, ++seed);
    if (seed < SEEDS) {
        fill_cells(&f, cells);
        buf_slice_append(out, MAGIC);
        buf_append(out, block.bytes, sizeof(block.bytes));
        buf_u32le(out, seed);
        buf_u32le(out, f.third);
        buf_append(out, cells, n_cells);
        buf_u32le(out, hash_crc32c(buf_slice(out)));
    }
    mem_free(f.piles);
    mem_free(f.alone);
    mem_free(f.order);
    mem_free(cells);
}

struct name {
    struct slice text;
    uint32_t id;
    size_t values;
};

static bool is_metric(const struct name *n)
{
    return slice_eq(n->text, SLICE(LABEL_NAME));
}

static int by_rank(const void *a, const void *b)
{
    const struct name *x = a, *y = b;

    if (is_metric(x) != is_metric(y))
        return is_metric(x) ? -1 : 1;
    if (x->values != y->values)
        return x->values < y->values ? -1 : 1;
    return slice_cmp(x->text, y->text);
}

static struct name *names_of(const struct block_summary_pair *pairs, size_t n, size_t n_ids,
                             size_t *ret_n)
{
    struct name *names = mem_new_array(struct name, n_ids + 1);
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        struct name *x = &names[pairs[i].name_id];

        x->text = pairs[i].name;
        x->id = pairs[i].name_id;
        x->values++;
    }
    for (size_t i = 0; i < n_ids; i++)
        if (names[i].values)
            names[used++] = names[i];
    if (used > 1)
        qsort(names, used, sizeof(*names), by_rank);
    *ret_n = used;
    return names;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sorted, each once. */
static size_t tidy(uint64_t *keys, size_t n)
{
    size_t kept = 0;

    if (n > 1)
        qsort(keys, n, sizeof(*keys), by_key);
    for (size_t i = 0; i < n; i++)
        if (!kept || keys[kept - 1] != keys[i])
            keys[kept++] = keys[i];
    return kept;
}

/* The names whose values have room; returns how many keys there are, all together at most. 0: there is no room. */
static size_t choose(const struct name *names, size_t n_names, size_t max_bytes, bool *is_in)
{
    size_t total = 2 * n_names; /* each name, and that its values are left out */

    if (file_bytes(total) > max_bytes)
        return 0;
    for (size_t i = 0; i < n_names; i++)
        if (file_bytes(total - 1 + names[i].values) <= max_bytes) {
            is_in[names[i].id] = true;
            total += names[i].values - 1;
        }
    return total;
}

void block_summary_build(struct ulid block, const struct block_summary_pair *pairs, size_t n,
                         size_t n_ids, size_t max_bytes, struct buf *out)
{
    size_t n_names, total, used = 0;
    struct name *names = names_of(pairs, n, n_ids, &n_names);
    bool *is_in = mem_new_array(bool, n_ids + 1);
    uint64_t *keys;

    buf_reset(out);
    total = choose(names, n_names, max_bytes, is_in);
    keys = mem_new_array(uint64_t, total + 1);
    for (size_t i = 0; i < n_names && total; i++) {
        keys[used++] = key_of(KEY_NAME, names[i].text, SLICE_EMPTY);
        if (!is_in[names[i].id])
            keys[used++] = key_of(KEY_OPEN, names[i].text, SLICE_EMPTY);
    }
    for (size_t i = 0; i < n; i++)
        if (is_in[pairs[i].name_id])
            keys[used++] = key_of(KEY_PAIR, pairs[i].name, pairs[i].value);
    if (total || (!n_names && file_bytes(0) <= max_bytes))
        put_filter(block, keys, tidy(keys, used), out);
    mem_free(keys);
    mem_free(is_in);
    mem_free(names);
}

/* ---- read ---- */

struct err *block_summary_open(struct slice bytes, struct ulid block, struct block_summary *ret)
{
    struct reader r = reader_new(bytes);
    struct slice magic = reader_bytes(&r, MAGIC.len), whose = reader_bytes(&r, sizeof(block.bytes));
    struct block_summary s = {.seed = reader_u32le(&r), .third = reader_u32le(&r)};
    struct slice cells;
    struct ulid is;

    if (slice_eq(magic, MAGIC_1))
        return err_new(ERR_UNSUPPORTED,
                       "summary of a block: version 1, which does not say of which block it is");
    if (!reader_ok(&r) || !slice_eq(magic, MAGIC) || !s.third ||
        s.third > BLOCK_SUMMARY_MAX_BYTES / 3)
        return err_new(ERR_CORRUPT, "summary of a block: no header of one");
    cells = reader_bytes(&r, (size_t)3 * s.third);
    s.cells = cells.ptr;
    if (reader_u32le(&r) != hash_crc32c(slice_sub(bytes, 0, HEADER_BYTES + cells.len)) ||
        !reader_ok(&r) || reader_left(&r))
        return err_new(ERR_CORRUPT, "summary of a block: checksum or length is wrong");
    memcpy(is.bytes, whose.ptr, sizeof(is.bytes));
    if (!ulid_eq(is, block))
        return err_new(ERR_CORRUPT, "summary of a block: it is of block %s, not of %s",
                       ulid_print(is).s, ulid_print(block).s);
    *ret = s;
    return NULL;
}

bool block_summary_has_name(const struct block_summary *s, struct slice name)
{
    return has(s, key_of(KEY_NAME, name, SLICE_EMPTY));
}

bool block_summary_has_pair(const struct block_summary *s, struct slice name, struct slice value)
{
    return block_summary_has_name(s, name) &&
           (has(s, key_of(KEY_OPEN, name, SLICE_EMPTY)) || has(s, key_of(KEY_PAIR, name, value)));
}

/* m does not accept series without the label. */
static bool has_any(const struct block_summary *s, const struct matcher *m)
{
    if (!block_summary_has_name(s, m->name))
        return false;
    if (m->op == MATCHER_EQ)
        return block_summary_has_pair(s, m->name, m->value);
    if (m->op != MATCHER_RE || !m->set)
        return true;
    for (size_t i = 0; i < m->set_n; i++)
        if (block_summary_has_pair(s, m->name, m->set[i]))
            return true;
    return false;
}

bool block_summary_may_match(const struct block_summary *s, struct labels external,
                             struct matchers ms)
{
    for (size_t i = 0; i < ms.n; i++)
        if (!labels_get(external, ms.ptr[i].name).len && !matcher_matches_empty(&ms.ptr[i]) &&
            !has_any(s, &ms.ptr[i]))
            return false;
    return true;
}
