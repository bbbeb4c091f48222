#include "ingester/door/log_batch.h"

#include "common/base/mem.h"

#define MIN_SLOTS 16
#define MIN_STREAM_BYTES 18 /* fingerprint, no labels, no entries */
#define MIN_ENTRY_BYTES 3
#define MAX_EXPECTED 65536
#define STREAM_ROOM 32 /* what most streams and entries take beside their texts, at most */
#define ENTRY_ROOM 10

struct log_batch *log_batch_new(struct slice tenant, const struct tenant_limits *limits)
{
    struct log_batch *b = mem_new(struct log_batch);

    b->refs = 1;
    b->arena = arena_new(0);
    b->tenant = arena_dup(b->arena, tenant);
    b->limits = *limits;
    return b;
}

void log_batch_ref(struct log_batch *b)
{
    b->refs++;
}

void log_batch_free(struct log_batch *b)
{
    if (!b || --b->refs)
        return;
    vec_done(&b->streams);
    vec_done(&b->entries);
    mem_free(b->slots);
    buf_done(&b->scratch);
    buf_done(&b->body);
    VEC_FOREACH (k, &b->kept)
        k->release(k->what);
    vec_done(&b->kept);
    arena_free(b->arena);
    mem_free(b);
}

void log_batch_keep(struct log_batch *b, void (*release)(void *what), void *what, size_t bytes)
{
    b->kept_bytes += bytes;
    vec_push(&b->kept, ((struct log_batch_kept){release, what}));
}

void log_batch_own(struct log_batch *b, struct slice *io)
{
    struct buf copy = {0};

    if (b->body.ptr && io->ptr >= b->body.ptr && io->ptr <= b->body.ptr + b->body.len)
        return;
    buf_slice_append(&copy, *io);
    buf_done(&b->body);
    b->body = copy;
    *io = buf_slice(&b->body);
}

size_t log_batch_memory(const struct log_batch *b)
{
    return sizeof(*b) + b->body.cap + b->kept_bytes + arena_used(b->arena) +
           b->streams.cap * sizeof(*b->streams.ptr) + b->entries.cap * sizeof(*b->entries.ptr) +
           b->n_slots * sizeof(*b->slots);
}

/* ---- filling ---- */

static size_t slot_of(const struct log_batch *b, struct hash128 fp)
{
    size_t i = fp.lo & (b->n_slots - 1);

    while (b->slots[i] && !hash128_eq(b->streams.ptr[b->slots[i] - 1].fp, fp))
        i = (i + 1) & (b->n_slots - 1);
    return i;
}

static void grow_slots(struct log_batch *b)
{
    size_t n = b->n_slots ? 2 * b->n_slots : MIN_SLOTS;

    mem_free(b->slots);
    b->slots = mem_new_array(uint32_t, n);
    b->n_slots = n;
    for (size_t i = 0; i < b->streams.len; i++)
        b->slots[slot_of(b, b->streams.ptr[i].fp)] = (uint32_t)i + 1;
}

uint32_t log_batch_find(const struct log_batch *b, struct hash128 fp)
{
    return b->n_slots ? b->slots[slot_of(b, fp)] - 1 : LOG_BATCH_NONE;
}

uint32_t log_batch_put(struct log_batch *b, struct hash128 fp, struct slice labels)
{
    if (2 * (b->streams.len + 1) > b->n_slots)
        grow_slots(b);
    vec_push(&b->streams,
             ((struct log_stream){
                 .fp = fp, .labels = labels, .first = LOG_BATCH_NONE, .last = LOG_BATCH_NONE}));
    b->slots[slot_of(b, fp)] = (uint32_t)b->streams.len;
    return (uint32_t)b->streams.len - 1;
}

void log_batch_expect(struct log_batch *b, size_t entries)
{
    vec_reserve(&b->entries, ORR_MIN(entries, (size_t)MAX_EXPECTED));
}

static uint64_t entry_bytes(const struct log_entry *e)
{
    uint64_t n = e->line.len;

    for (size_t i = 0; i < e->n_metadata; i++)
        n += e->metadata[i].name.len + e->metadata[i].value.len;
    return n;
}

void log_batch_add(struct log_batch *b, uint32_t stream, const struct log_entry *e)
{
    struct log_stream *s = &b->streams.ptr[stream];
    uint32_t at = (uint32_t)b->entries.len;
    uint64_t bytes = entry_bytes(e);

    ORR_ASSERT(b->entries.len < LOG_BATCH_NONE);
    vec_push(&b->entries, *e);
    b->entries.ptr[at].next = LOG_BATCH_NONE;
    if (s->n)
        b->entries.ptr[s->last].next = at;
    else
        s->first = at;
    s->last = at;
    s->n++;
    s->bytes += bytes;
    s->pairs += e->n_metadata;
    b->bytes += bytes;
}

void log_batch_split(struct log_batch *b, uint32_t stream, uint64_t bytes)
{
    struct log_stream s = b->streams.ptr[stream], piece = s;
    uint32_t next;

    piece.n = 0;
    piece.bytes = piece.pairs = 0;
    for (uint32_t at = s.first; s.n && at != LOG_BATCH_NONE; at = next) {
        struct log_entry *en = &b->entries.ptr[at];

        next = en->next;
        if (!piece.n)
            piece.first = at;
        piece.last = at;
        piece.n++;
        piece.bytes += entry_bytes(en);
        piece.pairs += en->n_metadata;
        if (next != LOG_BATCH_NONE &&
            (piece.bytes < bytes || b->entries.ptr[next].t_ns == en->t_ns))
            continue;
        en->next = LOG_BATCH_NONE;
        if (piece.first == s.first)
            b->streams.ptr[stream] = piece;
        else
            vec_push(&b->streams, piece);
        piece.n = 0;
        piece.bytes = piece.pairs = 0;
    }
}

/* ---- writing ---- */

/* Pairs that were written, to be meant again. */
struct pairs {
    const struct label *of[LOG_BATCH_MAX_PAIRS];
    uint16_t slots[2 * LOG_BATCH_MAX_PAIRS]; /* index + 1 */
    size_t n;
};

static uint64_t pair_hash(const struct label *l)
{
    return hash_xxh64(l->value, hash_xxh64(l->name, LABELS_SEED));
}

static void put_pair(struct buf *out, struct pairs *ps, const struct label *l)
{
    size_t mask = ORR_COUNT(ps->slots) - 1, i = pair_hash(l) & mask;

    for (; ps->slots[i]; i = (i + 1) & mask) {
        const struct label *old = ps->of[ps->slots[i] - 1];

        if (slice_eq(old->name, l->name) && slice_eq(old->value, l->value)) {
            buf_uvarint(out, ps->slots[i]);
            return;
        }
    }
    buf_byte(out, 0);
    buf_lstr(out, l->name);
    buf_lstr(out, l->value);
    if (ps->n == LOG_BATCH_MAX_PAIRS)
        return;
    ps->of[ps->n++] = l;
    ps->slots[i] = (uint16_t)ps->n;
}

static void put_stream(const struct log_batch *b, const struct log_stream *s, bool with_labels,
                       struct pairs **ps, struct buf *out)
{
    uint64_t t = 0;

    buf_u64le(out, s->fp.lo);
    buf_u64le(out, s->fp.hi);
    buf_lstr(out, with_labels || !s->is_known ? s->labels : SLICE_EMPTY);
    buf_uvarint(out, s->n);
    LOG_BATCH_FOREACH(e, b, s)
    {
        buf_varint(out, (int64_t)((uint64_t)e->t_ns - t));
        t = (uint64_t)e->t_ns;
        buf_lstr(out, e->line);
        buf_uvarint(out, e->n_metadata);
        if (e->n_metadata && !*ps)
            *ps = mem_new(struct pairs);
        for (size_t i = 0; i < e->n_metadata; i++)
            put_pair(out, *ps, &e->metadata[i]);
    }
}

void log_batch_encode(const struct log_batch *b, const uint32_t *streams, size_t n,
                      bool with_labels, struct buf *out)
{
    struct pairs *ps = NULL;
    size_t count = streams ? n : b->streams.len, full = 0, room = 0;

    for (size_t i = 0; i < count; i++) {
        const struct log_stream *s = &b->streams.ptr[streams ? streams[i] : i];

        full += s->n != 0;
        room += STREAM_ROOM + s->labels.len + s->bytes + (size_t)s->n * ENTRY_ROOM;
    }
    (void)buf_reserve(out, room); /* about; so that it grows once at most */
    buf_byte(out, LOG_BATCH_VERSION);
    buf_uvarint(out, full);
    for (size_t i = 0; i < count; i++) {
        const struct log_stream *s = &b->streams.ptr[streams ? streams[i] : i];

        if (s->n)
            put_stream(b, s, with_labels, &ps, out);
    }
    mem_free(ps);
}

/* ---- reading ---- */

void log_batch_reader_init(struct log_batch_reader *r, struct arena *a, struct slice bytes)
{
    *r = (struct log_batch_reader){.r = reader_new(bytes), .arena = a};
    if (reader_u8(&r->r) != LOG_BATCH_VERSION)
        reader_fail(&r->r);
    r->streams_left = reader_count(&r->r, MIN_STREAM_BYTES);
}

bool log_batch_next_stream(struct log_batch_reader *r, struct log_batch_head *ret)
{
    struct log_entry e;

    while (log_batch_next_entry(r, &e)) {
    }
    if (!reader_ok(&r->r) || r->streams_left == 0)
        return false;
    r->streams_left--;
    ret->fp.lo = reader_u64le(&r->r);
    ret->fp.hi = reader_u64le(&r->r);
    ret->labels = reader_lstr(&r->r);
    ret->n_entries = r->entries_left = reader_count(&r->r, MIN_ENTRY_BYTES);
    r->t_ns = 0;
    return reader_ok(&r->r);
}

static void remember(struct log_batch_reader *r, struct label l)
{
    if (r->n_pairs == LOG_BATCH_MAX_PAIRS)
        return;
    if (r->n_pairs == r->cap_pairs) {
        size_t cap = r->cap_pairs ? 2 * r->cap_pairs : 16;

        r->pairs = arena_grow(r->arena, r->pairs, r->cap_pairs * sizeof(*r->pairs),
                              cap * sizeof(*r->pairs));
        r->cap_pairs = cap;
    }
    r->pairs[r->n_pairs++] = l;
}

static bool read_pair(struct log_batch_reader *r, struct label *ret)
{
    uint64_t ref = reader_uvarint(&r->r);

    if (ref) {
        if (ref > r->n_pairs)
            reader_fail(&r->r);
        else
            *ret = r->pairs[ref - 1];
    } else {
        ret->name = reader_lstr(&r->r);
        ret->value = reader_lstr(&r->r);
        remember(r, *ret);
    }
    return reader_ok(&r->r);
}

static bool read_metadata(struct log_batch_reader *r, size_t n)
{
    if (n > LOG_BATCH_MAX_METADATA)
        reader_fail(&r->r);
    else if (n > r->cap_metadata) {
        r->cap_metadata = ORR_MAX(2 * n, (size_t)16);
        r->metadata = arena_array(r->arena, struct label, r->cap_metadata);
    }
    for (size_t i = 0; i < n && reader_ok(&r->r); i++)
        if (read_pair(r, &r->metadata[i]) && i > 0 &&
            slice_cmp(r->metadata[i - 1].name, r->metadata[i].name) >= 0)
            reader_fail(&r->r);
    return reader_ok(&r->r);
}

bool log_batch_next_entry(struct log_batch_reader *r, struct log_entry *ret)
{
    size_t n;

    if (!reader_ok(&r->r) || r->entries_left == 0)
        return false;
    r->entries_left--;
    r->t_ns += (uint64_t)reader_varint(&r->r);
    *ret = (struct log_entry){.t_ns = (int64_t)r->t_ns, .next = LOG_BATCH_NONE};
    ret->line = reader_lstr(&r->r);
    n = reader_count(&r->r, 1);
    if (!reader_ok(&r->r) || !read_metadata(r, n))
        return false;
    ret->metadata = r->metadata;
    ret->n_metadata = (uint32_t)n;
    return true;
}

struct err *log_batch_reader_end(const struct log_batch_reader *r)
{
    if (reader_ok(&r->r) && r->streams_left == 0 && r->entries_left == 0 && reader_left(&r->r) == 0)
        return NULL;
    return err_new(ERR_CORRUPT, "batch of log lines: malformed near byte %zu", reader_pos(&r->r));
}
