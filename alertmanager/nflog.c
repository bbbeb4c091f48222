#include "alertmanager/nflog.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/vec.h"

#define FORMAT 1
#define RECORD_MIN_BYTES 11

enum state { GONE, RESOLVED, FIRING };
struct record {
    uint64_t alert, version;
    int64_t expires_ms;
    enum state state;
};
struct entry {
    int64_t notified_ms, expires_ms;
    VEC(struct record) records; /* ascending by alert */
    size_t n_firing;
};
struct nflog {
    struct map entries; /* key → struct entry */
    struct map dirty;   /* keys */
};

struct nflog *nflog_new(void)
{
    return mem_new(struct nflog);
}

static void entry_free(struct entry *en)
{
    if (!en)
        return;
    vec_done(&en->records);
    mem_free(en);
}

void nflog_free(struct nflog *l)
{
    if (!l)
        return;
    MAP_FOREACH (e, &l->entries)
        entry_free(e->value);
    map_done(&l->entries);
    map_done(&l->dirty);
    mem_free(l);
}

size_t nflog_count(const struct nflog *l)
{
    return l->entries.len;
}

void nflog_key(struct buf *out, struct slice tenant, struct slice group_key, struct slice receiver,
               const char *kind, size_t index)
{
    buf_lstr(out, tenant);
    buf_lstr(out, group_key);
    buf_lstr(out, receiver);
    buf_lstr(out, slice_cstr(kind));
    buf_uvarint(out, index);
}

const char *nflog_reason_text(enum nflog_reason r)
{
    static const char *const names[] = {
#define X(sym, text) text,
        NFLOG_REASONS(X)
#undef X
    };
    return names[r];
}

/* ---- records ---- */

static size_t place(const struct entry *en, uint64_t alert)
{
    size_t lo = 0, hi = en->records.len;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (en->records.ptr[mid].alert < alert)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct record *find(const struct entry *en, uint64_t alert)
{
    size_t i = place(en, alert);

    return i < en->records.len && en->records.ptr[i].alert == alert ? &en->records.ptr[i] : NULL;
}

static void count_firing(struct entry *en)
{
    en->n_firing = 0;
    VEC_FOREACH (r, &en->records)
        en->n_firing += r->state == FIRING;
}

static int rank(const struct record *a, const struct record *b)
{
    if (a->version != b->version)
        return a->version > b->version ? 1 : -1;
    if (a->state != b->state)
        return a->state > b->state ? 1 : -1;
    return (a->expires_ms > b->expires_ms) - (a->expires_ms < b->expires_ms);
}

/* Whether it changed anything. */
static bool put(struct entry *en, struct record r)
{
    size_t i = place(en, r.alert);

    if (i < en->records.len && en->records.ptr[i].alert == r.alert) {
        if (rank(&r, &en->records.ptr[i]) <= 0)
            return false;
        en->records.ptr[i] = r;
        return true;
    }
    (void)vec_add(&en->records);
    memmove(&en->records.ptr[i + 1], &en->records.ptr[i], (en->records.len - 1 - i) * sizeof(r));
    en->records.ptr[i] = r;
    return true;
}

static void mark(struct nflog *l, struct slice key)
{
    (void)map_put(&l->dirty, key, l);
}

/* ---- asking and telling ---- */

static bool all_in(const struct entry *en, const uint64_t *alerts, size_t n, enum state state)
{
    for (size_t i = 0; i < n; i++) {
        const struct record *r = find(en, alerts[i]);

        if (!r || r->state != state)
            return false;
    }
    return true;
}

enum nflog_reason nflog_check(const struct nflog *l, struct slice key, const struct nflog_alerts *a,
                              bool send_resolved, int64_t repeat_ms, int64_t wall_ms)
{
    const struct entry *en = map_get(&l->entries, key);

    if (!en)
        return a->n_firing ? NFLOG_FIRST : NFLOG_NONE;
    if (!all_in(en, a->firing, a->n_firing, FIRING))
        return en->n_firing ? NFLOG_NEW : NFLOG_FIRST;
    /* also to receivers that do not want to hear of it, so that the log knows it is over */
    if (!a->n_firing)
        return en->n_firing ? NFLOG_ALL_RESOLVED : NFLOG_NONE;
    if (send_resolved && !all_in(en, a->resolved, a->n_resolved, RESOLVED))
        return NFLOG_RESOLVED;
    return en->notified_ms < wall_ms - repeat_ms ? NFLOG_REPEAT : NFLOG_NONE;
}

static uint64_t max_version(const struct entry *en)
{
    uint64_t version = 0;

    VEC_FOREACH (r, &en->records)
        version = ORR_MAX(version, r->version);
    return version;
}

uint64_t nflog_version(const struct nflog *l, struct slice key)
{
    const struct entry *en = map_get(&l->entries, key);

    return en ? max_version(en) : 0;
}

static struct entry *entry_of(struct nflog *l, struct slice key)
{
    void **slot = map_slot(&l->entries, key);

    if (!*slot)
        *slot = mem_new(struct entry);
    return *slot;
}

void nflog_set(struct nflog *l, struct slice key, const struct nflog_alerts *a, int64_t wall_ms,
               int64_t keep_ms)
{
    struct entry *en = entry_of(l, key);
    int64_t expires = wall_ms + keep_ms;
    uint64_t version = max_version(en) + 1;

    VEC_FOREACH (r, &en->records)
        if (r->state != GONE) {
            r->state = GONE;
            r->version = version;
            r->expires_ms = expires;
        }
    for (size_t i = 0; i < a->n_resolved; i++)
        (void)put(en, (struct record){a->resolved[i], version, expires, RESOLVED});
    for (size_t i = 0; i < a->n_firing; i++)
        (void)put(en, (struct record){a->firing[i], version, expires, FIRING});
    en->notified_ms = ORR_MAX(en->notified_ms, wall_ms);
    en->expires_ms = ORR_MAX(en->expires_ms, expires);
    count_firing(en);
    mark(l, key);
}

/* ---- bytes ---- */

static void encode(struct buf *out, struct slice key, const struct entry *en)
{
    buf_byte(out, FORMAT);
    buf_lstr(out, key);
    buf_varint(out, en->notified_ms);
    buf_varint(out, en->expires_ms);
    buf_uvarint(out, en->records.len);
    VEC_FOREACH (r, &en->records) {
        buf_u64le(out, r->alert);
        buf_byte(out, (uint8_t)r->state);
        buf_uvarint(out, r->version);
        buf_varint(out, r->expires_ms);
    }
}

void nflog_entry(const struct nflog *l, struct slice key, struct buf *out)
{
    const struct entry *en = map_get(&l->entries, key);

    if (en)
        encode(out, key, en);
}

static struct err *decode(struct slice bytes, struct slice *ret_key, struct entry *ret)
{
    struct reader r = reader_new(bytes);
    uint8_t format = reader_u8(&r);
    uint64_t n;

    if (format != FORMAT)
        return err_new(ERR_UNSUPPORTED, "notification log: format %u", format);
    *ret_key = reader_lstr(&r);
    ret->notified_ms = reader_varint(&r);
    ret->expires_ms = reader_varint(&r);
    n = reader_uvarint(&r);
    if (!reader_ok(&r) || !ret_key->len || n > NFLOG_MAX_RECORDS ||
        n > reader_left(&r) / RECORD_MIN_BYTES)
        return err_new(ERR_INVALID, "notification log: malformed entry");
    for (uint64_t i = 0; i < n; i++) {
        struct record rec = {.alert = reader_u64le(&r)};
        uint8_t state = reader_u8(&r);

        rec.state = (enum state)state;
        rec.version = reader_uvarint(&r);
        rec.expires_ms = reader_varint(&r);
        if (!reader_ok(&r) || state > FIRING || rec.version > INT64_MAX ||
            (i && rec.alert <= vec_last(&ret->records).alert))
            return err_new(ERR_INVALID, "notification log: malformed entry");
        vec_push(&ret->records, rec);
    }
    return NULL;
}

struct err *nflog_merge(struct nflog *l, struct slice bytes, int64_t wall_ms, bool *ret_news)
{
    struct entry theirs = {0}, *ours;
    struct slice key;
    bool news = false;
    struct err *e = decode(bytes, &key, &theirs);

    if (!e && theirs.expires_ms > wall_ms) {
        news = !map_has(&l->entries, key);
        ours = entry_of(l, key);
        news |= theirs.notified_ms > ours->notified_ms || theirs.expires_ms > ours->expires_ms;
        ours->notified_ms = ORR_MAX(ours->notified_ms, theirs.notified_ms);
        ours->expires_ms = ORR_MAX(ours->expires_ms, theirs.expires_ms);
        VEC_FOREACH (r, &theirs.records)
            if (r->expires_ms > wall_ms)
                news |= put(ours, *r);
        count_firing(ours);
        if (news)
            mark(l, key);
    }
    vec_done(&theirs.records);
    if (!e && ret_news)
        *ret_news = news;
    return e;
}

void nflog_write_state(const struct nflog *l, struct buf *out)
{
    struct buf b = {0};

    MAP_FOREACH (e, &l->entries) {
        buf_reset(&b);
        encode(&b, e->key, e->value);
        buf_lstr(out, buf_slice(&b));
    }
    buf_done(&b);
}

struct err *nflog_merge_state(struct nflog *l, struct slice bytes, int64_t wall_ms)
{
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    while (!e && reader_ok(&r) && reader_left(&r)) {
        struct slice entry = reader_lstr(&r);

        e = reader_ok(&r) ? nflog_merge(l, entry, wall_ms, NULL)
                          : err_new(ERR_INVALID, "notification log: malformed state");
    }
    return e;
}

/* ---- housekeeping ---- */

static void drop_records(struct entry *en, int64_t wall_ms)
{
    size_t kept = 0;

    for (size_t i = 0; i < en->records.len; i++)
        if (en->records.ptr[i].expires_ms > wall_ms)
            en->records.ptr[kept++] = en->records.ptr[i];
    en->records.len = kept;
    count_firing(en);
}

void nflog_gc(struct nflog *l, int64_t wall_ms)
{
    VEC(struct slice) dead = {0};

    MAP_FOREACH (e, &l->entries) {
        struct entry *en = e->value;
        size_t before = en->records.len;

        if (en->expires_ms <= wall_ms) {
            vec_push(&dead, e->key);
            continue;
        }
        drop_records(en, wall_ms);
        if (en->records.len != before)
            mark(l, e->key);
    }
    VEC_FOREACH (k, &dead) {
        mark(l, *k);
        entry_free(map_del(&l->entries, *k)); /* frees the bytes of *k */
    }
    vec_done(&dead);
}

void nflog_take_dirty(struct nflog *l, nflog_dirty_fn *fn, void *arg)
{
    struct buf b = {0};

    MAP_FOREACH (e, &l->dirty) {
        const struct entry *en = map_get(&l->entries, e->key);

        buf_reset(&b);
        if (en)
            encode(&b, e->key, en);
        fn(arg, e->key, buf_slice(&b));
    }
    buf_done(&b);
    map_done(&l->dirty);
}

void nflog_mark_dirty(struct nflog *l, struct slice key)
{
    mark(l, key);
}
