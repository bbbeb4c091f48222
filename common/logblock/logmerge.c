#include "common/logblock/logmerge.h"

#include "common/base/mem.h"
#include "common/base/vec.h"

struct head {
    struct logmerge_source source;
    struct logpage_entry e;
    bool is_end, is_used; /* used: given out; the next one is to be asked for */
    bool is_waiting;      /* it was asked for none yet */
};

struct logmerge {
    struct head *heads;
    size_t n, at; /* at: whose entries of the present time come */
    uint32_t stream;
    int64_t ts_ns;
    bool has_begun;
    VEC(struct hash128) seen; /* of the present time */
    uint32_t *slots;          /* index into seen + 1; open addressing */
    size_t n_slots;
    struct buf scratch;
    uint64_t duplicates;
};

struct logmerge *logmerge_new(const struct logmerge_source *sources, size_t n)
{
    struct logmerge *m = mem_new(struct logmerge);

    m->heads = mem_new_array(struct head, n);
    m->n = m->at = n;
    m->n_slots = 64;
    m->slots = mem_new_array(uint32_t, m->n_slots);
    for (size_t k = 0; k < n; k++)
        m->heads[k] = (struct head){
            .source = sources[k], .is_used = true, .is_waiting = sources[k].from_ns != INT64_MIN};
    return m;
}

void logmerge_free(struct logmerge *m)
{
    if (!m)
        return;
    mem_free(m->heads);
    mem_free(m->slots);
    vec_done(&m->seen);
    buf_done(&m->scratch);
    mem_free(m);
}

uint64_t logmerge_duplicates(const struct logmerge *m)
{
    return m->duplicates;
}

static bool is_before(const struct logpage_entry *a, uint32_t stream, int64_t ts_ns)
{
    return a->stream != stream ? a->stream < stream : a->ts_ns < ts_ns;
}

static struct err *refill(struct logmerge *m, struct head *h)
{
    struct err *e;

    if (!h->is_used || h->is_end || h->is_waiting)
        return NULL;
    h->is_used = false;
    if ((e = h->source.next(h->source.arg, &h->e, &h->is_end)))
        return e;
    if (!h->is_end && m->has_begun && is_before(&h->e, m->stream, m->ts_ns))
        return err_new(ERR_CORRUPT, "log merge: a source is out of order");
    return NULL;
}

static uint32_t *slot_of(const struct logmerge *m, struct hash128 h)
{
    for (size_t at = h.lo;; at++) {
        uint32_t *slot = &m->slots[at & (m->n_slots - 1)];

        if (!*slot || hash128_eq(m->seen.ptr[*slot - 1], h))
            return slot;
    }
}

/* The last one first: so those before it are found. The table may be large, and times of many entries are few. */
static void forget_seen(struct logmerge *m)
{
    while (m->seen.len)
        *slot_of(m, m->seen.ptr[--m->seen.len]) = 0;
}

static const struct head *least_of(const struct logmerge *m)
{
    const struct head *least = NULL;

    for (size_t k = 0; k < m->n; k++) {
        const struct head *h = &m->heads[k];

        if (!h->is_end && !h->is_waiting &&
            (!least || is_before(&h->e, least->e.stream, least->e.ts_ns)))
            least = h;
    }
    return least;
}

/* Of heads that wait, the one whose time comes first, if it comes before that of least or with it. */
static struct head *next_waiting(struct logmerge *m, const struct head *least)
{
    struct head *next = NULL;

    for (size_t k = 0; k < m->n; k++) {
        struct head *h = &m->heads[k];

        if (h->is_waiting && (!least || h->source.from_ns <= least->e.ts_ns) &&
            (!next || h->source.from_ns < next->source.from_ns))
            next = h;
    }
    return next;
}

/* The least stream and time of all heads; *ret_is_end: there is none. */
static struct err *next_time(struct logmerge *m, bool *ret_is_end)
{
    const struct head *least = least_of(m);
    struct head *waiting;
    struct err *e;

    while ((waiting = next_waiting(m, least))) {
        waiting->is_waiting = false;
        if ((e = refill(m, waiting)))
            return e;
        least = least_of(m);
    }
    *ret_is_end = !least;
    if (!least)
        return NULL;
    forget_seen(m);
    m->stream = least->e.stream;
    m->ts_ns = least->e.ts_ns;
    m->has_begun = true;
    m->at = 0;
    return NULL;
}

static struct hash128 hash_of(struct logmerge *m, const struct logpage_entry *e)
{
    struct hash128 of_line = hash_xxh128(e->line, 0);

    if (e->meta.n == 0)
        return of_line;
    buf_reset(&m->scratch);
    buf_u64le(&m->scratch, of_line.lo);
    buf_u64le(&m->scratch, of_line.hi);
    labels_canonical(&m->scratch, e->meta);
    return hash_xxh128(buf_slice(&m->scratch), 0);
}

static void grow(struct logmerge *m)
{
    mem_free(m->slots);
    m->n_slots *= 2;
    m->slots = mem_new_array(uint32_t, m->n_slots);
    for (size_t k = 0; k < m->seen.len; k++)
        *slot_of(m, m->seen.ptr[k]) = (uint32_t)k + 1;
}

static bool is_new(struct logmerge *m, const struct logpage_entry *e)
{
    struct hash128 h = hash_of(m, e);
    uint32_t *slot = slot_of(m, h);

    if (*slot) {
        m->duplicates++;
        return false;
    }
    vec_push(&m->seen, h);
    *slot = (uint32_t)m->seen.len;
    if (m->seen.len * 2 > m->n_slots)
        grow(m);
    return true;
}

static struct err *refill_all(struct logmerge *m)
{
    struct err *e = NULL;

    for (size_t k = 0; !e && k < m->n; k++)
        e = refill(m, &m->heads[k]);
    return e;
}

struct err *logmerge_next(struct logmerge *m, struct logpage_entry *ret, bool *ret_is_end)
{
    struct err *e;

    *ret_is_end = false;
    for (;;) {
        struct head *h;

        if (m->at == m->n) {
            if ((e = refill_all(m)) || (e = next_time(m, ret_is_end)) || *ret_is_end)
                return e;
        }
        h = &m->heads[m->at];
        if ((e = refill(m, h)))
            return e;
        if (h->is_end || h->is_waiting || h->e.stream != m->stream || h->e.ts_ns != m->ts_ns) {
            m->at++;
            continue;
        }
        h->is_used = true;
        if (is_new(m, &h->e)) {
            *ret = h->e;
            return NULL;
        }
    }
}

/* ---- a page as a source ---- */

struct of_page {
    const struct logpage_run *run, *end;
    const int64_t *times;
    struct slice *lines;
    struct labels *meta;
    uint32_t at;
};

static struct err *next_of_page(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct of_page *o = arg;

    if (o->run < o->end && o->at == o->run->first + o->run->n)
        o->run++;
    *ret_is_end = o->run == o->end;
    if (*ret_is_end)
        return NULL;
    *ret = (struct logpage_entry){o->run->stream, o->times[o->at], o->lines[o->at], o->meta[o->at]};
    o->at++;
    return NULL;
}

struct err *logmerge_page(struct arena *a, struct logpage *p, struct logmerge_source *ret)
{
    struct of_page *o = arena_new_of(a, struct of_page);
    uint32_t n = logpage_n_entries(p);
    size_t n_runs;
    struct err *e;

    o->lines = arena_array(a, struct slice, n);
    o->meta = arena_array(a, struct labels, n);
    if ((e = logpage_runs(p, &o->run, &n_runs)) || (e = logpage_times(p, &o->times)) ||
        (e = logpage_lines(p, NULL, 0, n, o->lines)) || (e = logpage_meta(p, NULL, 0, n, o->meta)))
        return e;
    o->end = o->run + n_runs;
    *ret = (struct logmerge_source){next_of_page, o, INT64_MIN};
    return NULL;
}
