#include "ingester/metrics/head_part.h"

#include <stdlib.h>

#include "common/base/mem.h"

static void add_starts(struct head_part *p, const struct head_ts *ts, uint32_t ref,
                       struct head_row *row)
{
    const struct head_starts *s = head_starts_find(ts, ref);

    if (ORR_LIKELY(!s))
        return;
    row->starts_n = s->n;
    buf_append(&p->blob, s->runs, s->n * sizeof(*s->runs));
}

/* The newest sample as a chunk of its own; false if it has to be looked for in the series' chunks:
 * after the range, none at hand (no open chunk), a histogram, or its start timestamp was closed. */
static bool add_newest(struct head_part *p, const struct head_ts *ts, uint32_t ref,
                       const struct head_live *s, struct head_row *row)
{
    struct chunk_xor_appender app = {0};
    uint8_t *at;

    if (!s->app.n || !s->open.bytes || s->app.t > p->newest_ms ||
        (*head_flags_at(ts, ref) & HEAD_HIST) ||
        ((*head_flags_at(ts, ref) & HEAD_STARTS) && !head_starts_knows(ts, ref, s->app.t)))
        return false;
    if (!(at = buf_reserve(&p->blob, CHUNK_XOR_ROOM)))
        return false;
    chunk_xor_append(&app, at, s->app.t, sample_from_bits(s->app.v));
    row->open_len = (uint32_t)chunk_xor_bytes(&app);
    p->blob.len += row->open_len;
    row->open_min_ms = row->open_max_ms = s->app.t;
    row->open_samples = 1;
    row->open_encoding = CHUNK_XOR;
    row->sealed = 0;
    add_starts(p, ts, ref, row);
    return true;
}

void head_part_add(struct head_part *p, struct head_ts *ts, uint32_t ref, enum head_part_what what)
{
    const struct head_live *s = head_series_at(ts, ref);
    struct slice packed = head_index_packed(&ts->index, s->labels), data;
    const struct head_ooo *o;
    struct head_row *row = vec_add(&p->rows);

    row->fp = s->fp;
    row->ref = ref;
    row->sealed = head_chunks_widen(&ts->shard->chunks, s->sealed);
    if (!p->is_unlabelled) {
        row->labels_len = (uint32_t)packed.len;
        buf_slice_append(&p->blob, packed);
    }
    row->open_at = p->blob.len;
    if (what == HEAD_PART_NEWEST && add_newest(p, ts, ref, s, row))
        return;
    if (what == HEAD_PART_CLOSED)
        return;
    if (head_series_open_range(ts, ref, &row->open_min_ms, &row->open_max_ms)) {
        data = head_series_open_data(ts, ref, &row->open_encoding);
        row->open_samples = s->app.n;
        if (what >= HEAD_PART_ALL) {
            row->open_len = (uint32_t)data.len;
            buf_slice_append(&p->blob, data);
        }
    }
    if ((o = head_ooo_find(ts, ref))) {
        row->ooo_n = o->n;
        buf_append(&p->blob, o->s, o->n * sizeof(*o->s));
    }
    if (what >= HEAD_PART_ALL)
        add_starts(p, ts, ref, row);
}

void head_part_freeze(struct head_part *p, struct head_ts *ts)
{
    p->ts = ts;
    (void)atomic_fetch_add_explicit(&ts->index.pins, 1, memory_order_relaxed);
    p->n_names = ts->index.names.len;
    p->names = mem_new_array(struct head_name *, ts->index.names.len + 1);
    memcpy(p->names, ts->index.names.ptr ? (void *)ts->index.names.ptr : (void *)p->names,
           ts->index.names.len * sizeof(*p->names));
    p->slabs = mem_new_array(struct head_pair *, ts->index.slabs.len + 1);
    memcpy(p->slabs, ts->index.slabs.ptr ? (void *)ts->index.slabs.ptr : (void *)p->slabs,
           ts->index.slabs.len * sizeof(*p->slabs));
    p->n_cuts = ts->cuts.len;
    p->cuts = mem_new_array(struct head_ts_cut, p->n_cuts + 1);
    for (size_t i = 0; i < p->n_cuts; i++)
        p->cuts[i] = ts->cuts.ptr[i];
    head_chunks_view_init(&p->view, &ts->shard->chunks);
    p->is_frozen = true;
}

void head_part_done(struct head_part *p)
{
    if (p->is_frozen) {
        head_chunks_view_done(&p->view);
        (void)atomic_fetch_sub_explicit(&p->ts->index.pins, 1, memory_order_release);
    }
    vec_done(&p->rows);
    buf_done(&p->blob);
    mem_free(p->names);
    mem_free(p->slabs);
    mem_free(p->cuts);
    mem_free(p->order);
    mem_free(p->is_kept);
    *p = (struct head_part){0};
}

/* ---- labels ---- */

static inline const struct head_pair *pair_at(const struct head_part *p, uint32_t id)
{
    return &p->slabs[id / HEAD_PAIR_SLAB][id % HEAD_PAIR_SLAB];
}

static inline const uint8_t *row_labels(const struct head_part *p, const struct head_row *row)
{
    return p->blob.ptr + row->open_at - row->labels_len;
}

static inline uint32_t next_id(const uint8_t **at)
{
    uint32_t v = 0;
    unsigned shift = 0;

    for (; **at & 0x80; shift += 7)
        v |= (uint32_t)(*(*at)++ & 0x7f) << shift;
    return v | (uint32_t) * (*at)++ << shift;
}

static int cmp_pairs(const struct head_part *a, uint32_t x, const struct head_part *b, uint32_t y)
{
    const struct head_pair *p = pair_at(a, x), *q = pair_at(b, y);
    int c;

    if (a == b && p->name == q->name)
        return slice_cmp(head_value_text(p->value), head_value_text(q->value));
    c = slice_cmp(a->names[p->name]->text, b->names[q->name]->text);
    return c ? c : slice_cmp(head_value_text(p->value), head_value_text(q->value));
}

int head_row_cmp(const struct head_part *a, const struct head_row *x, const struct head_part *b,
                 const struct head_row *y)
{
    const uint8_t *p = row_labels(a, x), *q = row_labels(b, y);
    uint32_t n = next_id(&p), m = next_id(&q);

    for (uint32_t i = 0; i < n && i < m; i++) {
        uint32_t u = next_id(&p), v = next_id(&q);
        int c;

        if (a == b && u == v)
            continue;
        if ((c = cmp_pairs(a, u, b, v)))
            return c;
    }
    return (n > m) - (n < m);
}

static int cmp_rows(const void *x, const void *y, void *part)
{
    return head_row_cmp(part, x, part, y);
}

void head_part_sort(struct head_part *p)
{
    if (p->rows.len > 1)
        qsort_r(p->rows.ptr, p->rows.len, sizeof(*p->rows.ptr), cmp_rows, p);
}

struct key_at {
    uint64_t key;
    uint32_t row;
};

/* By the upper half of the keys, in passes of 11 bits; what is then not in order is next to its
 * place. */
static void radix_keys(struct key_at *keys, struct key_at *other, size_t n)
{
    for (unsigned shift = 31; shift < 64; shift += 11) {
        uint32_t at[2048] = {0}, sum = 0;
        struct key_at *swap = keys;

        for (size_t i = 0; i < n; i++)
            at[keys[i].key >> shift & 2047]++;
        for (size_t i = 0; i < ORR_COUNT(at); i++) {
            uint32_t count = at[i];

            at[i] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            other[at[keys[i].key >> shift & 2047]++] = keys[i];
        keys = other;
        other = swap;
    }
}

void head_part_sort_keyed(struct head_part *p, const struct slice *names, size_t n_names)
{
    size_t n = p->rows.len;
    struct key_at *room = mem_new_array(struct key_at, 2 * n + 1), *keys = room + n;

    for (size_t i = 0; i < n; i++)
        room[i] = (struct key_at){p->rows.ptr[i].fp.hi, (uint32_t)i};
    radix_keys(room, keys, n); /* three passes: the result is in the other half */
    p->order = mem_new_array(uint32_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        uint32_t row = keys[i].row;
        size_t k = i;

        for (; k && hash128_cmp(p->rows.ptr[p->order[k - 1]].fp, p->rows.ptr[row].fp) > 0; k--)
            p->order[k] = p->order[k - 1];
        p->order[k] = row;
    }
    mem_free(room);
    p->is_kept = mem_new_array(uint8_t, p->n_names + 1);
    for (size_t i = 0; i < p->n_names; i++)
        for (size_t k = 0; k < n_names; k++)
            p->is_kept[i] |= slice_eq(p->names[i]->text, names[k]);
}

struct labels head_row_labels(const struct head_part *p, const struct head_row *row,
                              struct arena *a)
{
    const uint8_t *at = row_labels(p, row);
    struct label *ls;
    uint32_t n;
    size_t kept = 0;

    if (!row->labels_len)
        return (struct labels){0};
    n = next_id(&at);
    ls = arena_array(a, struct label, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct head_pair *pair = pair_at(p, next_id(&at));

        if (!p->is_kept || p->is_kept[pair->name])
            ls[kept++] = (struct label){p->names[pair->name]->text, head_value_text(pair->value)};
    }
    return (struct labels){ls, kept};
}

/* ---- chunks ---- */

static void push_ooo(struct head_part *p, const struct head_row *row, int64_t min_ms,
                     int64_t max_ms, struct arena *a, struct head_chunk_list *out)
{
    int64_t t[HEAD_OOO_MAX];
    double v[HEAD_OOO_MAX];
    struct buf b = {0};
    uint32_t n = ORR_MIN(row->ooo_n, HEAD_OOO_MAX);

    if (!n)
        return;
    for (uint32_t i = 0; i < n; i++) {
        struct sample s;

        memcpy(&s, p->blob.ptr + row->open_at + row->open_len + i * sizeof(s), sizeof(s));
        t[i] = s.t_ms;
        v[i] = s.v;
    }
    if (t[n - 1] < min_ms || t[0] > max_ms)
        return;
    chunk_xor_encode(&b, t, v, n);
    vec_push(out, ((struct head_chunk){.min_ms = t[0],
                                       .max_ms = t[n - 1],
                                       .encoding = CHUNK_XOR,
                                       .samples = (uint16_t)n,
                                       .data = arena_dup(a, buf_slice(&b))}));
    buf_done(&b);
}

static void push_starts(struct head_part *p, const struct head_row *row, int64_t min_ms,
                        int64_t max_ms, struct arena *a, struct head_chunk_list *out)
{
    uint64_t at = row->open_at + row->open_len + (uint64_t)row->ooo_n * sizeof(struct sample);
    struct start_run runs[HEAD_STARTS_MAX + 2];
    struct chunk c;

    memcpy(runs, p->blob.ptr + at, row->starts_n * sizeof(*runs));
    if (start_runs_chunk(a, runs, row->starts_n, &c) && c.max_t >= min_ms && c.min_t <= max_ms)
        vec_push(
            out,
            ((struct head_chunk){
                .min_ms = c.min_t, .max_ms = c.max_t, .encoding = CHUNK_STARTS, .data = c.data}));
}

void head_row_chunks(struct head_part *p, const struct head_row *row, int64_t min_ms,
                     int64_t max_ms, struct arena *a, struct head_chunk_list *out)
{
    struct head_chunks_record rec;
    bool is_broken = false;

    for (uint64_t pos = row->sealed; head_chunks_read(&p->view, pos, &rec, &is_broken);
         pos = rec.prev) {
        if (rec.max_ms < min_ms || rec.min_ms > max_ms ||
            head_cut_hides(p->cuts, p->n_cuts, pos, rec.max_ms))
            continue;
        vec_push(out, ((struct head_chunk){.min_ms = rec.min_ms,
                                           .max_ms = rec.max_ms,
                                           .encoding = rec.encoding,
                                           .samples = rec.samples,
                                           .data = rec.data}));
    }
    p->broken += is_broken;
    if (row->open_samples && row->open_max_ms >= min_ms && row->open_min_ms <= max_ms)
        vec_push(out, ((struct head_chunk){
                          .min_ms = row->open_min_ms,
                          .max_ms = row->open_max_ms,
                          .encoding = row->open_encoding,
                          .samples = row->open_samples,
                          .data = slice_of(p->blob.ptr + row->open_at, row->open_len)}));
    push_ooo(p, row, min_ms, max_ms, a, out);
    if (ORR_UNLIKELY(row->starts_n))
        push_starts(p, row, min_ms, max_ms, a, out);
}
