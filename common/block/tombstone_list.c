#include "common/block/tombstone_list.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/vec.h"

#define MAGIC "ORRTMB\0" /* and the version of the format */
#define MAGIC_BYTES 8
#define CRC_BYTES 4
#define UPDATE_TRIES 50

struct tombstone_list {
    struct snapshot base;
    struct arena *arena;
    uint64_t version;
    struct slice tenant;
    VEC(struct tombstone) all;
};

static void list_free(struct snapshot *s)
{
    struct tombstone_list *l = (struct tombstone_list *)s;

    VEC_FOREACH (t, &l->all)
        matchers_done(t->matchers);
    vec_done(&l->all);
    arena_free(l->arena);
    mem_free(l);
}

struct tombstone_list *tombstone_list_new(struct slice tenant)
{
    struct tombstone_list *l = mem_new(struct tombstone_list);

    snapshot_init(&l->base, list_free);
    l->arena = arena_new(0);
    l->tenant = arena_dup(l->arena, tenant);
    return l;
}

struct tombstone_list *tombstone_list_ref(struct tombstone_list *l)
{
    return (struct tombstone_list *)snapshot_ref(&l->base);
}

void tombstone_list_unref(struct tombstone_list *l)
{
    if (l)
        snapshot_unref(&l->base);
}

uint64_t tombstone_list_version(const struct tombstone_list *l)
{
    return l->version;
}

struct slice tombstone_list_tenant(const struct tombstone_list *l)
{
    return l->tenant;
}

const struct tombstone *tombstone_list_all(const struct tombstone_list *l, size_t *ret_n)
{
    *ret_n = l->all.len;
    return l->all.ptr;
}

static struct tombstone *tombstone_of(const struct tombstone_list *l, struct ulid ulid)
{
    VEC_FOREACH (t, &l->all)
        if (ulid_eq(t->ulid, ulid))
            return t;
    return NULL;
}

const struct tombstone *tombstone_list_find(const struct tombstone_list *l, struct ulid ulid)
{
    return tombstone_of(l, ulid);
}

/* Takes the encoded matchers into the list's arena and compiles them there. */
static struct err *push(struct tombstone_list *l, struct tombstone t, struct slice matchers)
{
    struct err *e = matchers_decode(l->arena, arena_dup(l->arena, matchers), &t.matchers);

    if (!e)
        vec_push(&l->all, t);
    return e;
}

struct err *tombstone_list_add(struct tombstone_list *l, const struct tombstone *t)
{
    struct tombstone copy = *t;
    struct buf b = {0};
    struct err *e;

    if (tombstone_of(l, t->ulid))
        return NULL;
    if (l->all.len >= TOMBSTONE_LIST_MAX)
        return err_new(ERR_LIMIT, "tenant %.*s has %zu tombstones, and may have no more",
                       SLICE_ARG(l->tenant), l->all.len);
    matchers_encode(&b, t->matchers);
    copy.query = arena_dup(l->arena, t->query);
    e = push(l, copy, buf_slice(&b));
    buf_done(&b);
    return e;
}

bool tombstone_list_remove(struct tombstone_list *l, struct ulid ulid)
{
    struct tombstone *t = tombstone_of(l, ulid);

    if (!t)
        return false;
    matchers_done(t->matchers);
    l->all.len--;
    memmove(t, t + 1, (l->all.len - (size_t)(t - l->all.ptr)) * sizeof(*t));
    return true;
}

bool tombstone_list_advance(struct tombstone_list *l, struct ulid ulid, enum tombstone_state state,
                            int64_t now_ms)
{
    struct tombstone *t = tombstone_of(l, ulid);

    if (!t || t->state >= state)
        return false;
    t->state = state;
    if (state == TOMBSTONE_PROCESSED)
        t->processed_ms = now_ms;
    return true;
}

/* Roughly, what it takes when it is written: matchers are in the query, too. */
static size_t bytes_of(const struct tombstone *t)
{
    return 64 + 2 * t->query.len;
}

bool tombstone_list_forget(struct tombstone_list *l, int64_t before_ms)
{
    size_t before = l->all.len, n = before, kept = 0, bytes = 0;

    VEC_FOREACH (t, &l->all)
        bytes += bytes_of(t);
    for (size_t i = 0; i < before; i++) {
        struct tombstone *t = &l->all.ptr[i];

        if (t->state == TOMBSTONE_PROCESSED &&
            (t->processed_ms < before_ms || n > TOMBSTONE_LIST_MAX / 2 ||
             bytes > TOMBSTONE_LIST_MAX_BYTES / 2)) {
            matchers_done(t->matchers);
            bytes -= bytes_of(t);
            n--;
        } else {
            l->all.ptr[kept++] = *t;
        }
    }
    l->all.len = kept;
    return kept != before;
}

size_t tombstone_list_open(const struct tombstone_list *l)
{
    size_t n = 0;

    VEC_FOREACH (t, &l->all)
        n += t->state != TOMBSTONE_PROCESSED;
    return n;
}

void tombstone_list_keep_begun(struct tombstone_list *l)
{
    size_t kept = 0;

    VEC_FOREACH (t, &l->all) {
        if (t->state == TOMBSTONE_BEGUN)
            l->all.ptr[kept++] = *t;
        else
            matchers_done(t->matchers);
    }
    l->all.len = kept;
}

/* ---- bytes ---- */

/* Which versions of old know is written as they know it. */
static uint8_t version_of(const struct tombstone_list *l)
{
    VEC_FOREACH (t, &l->all)
        if (t->query.len || t->state != TOMBSTONE_RECEIVED)
            return 2;
    return 1;
}

void tombstone_list_write(struct buf *out, const struct tombstone_list *l)
{
    uint8_t version = version_of(l);
    size_t start = out->len;
    struct buf m = {0};

    buf_append(out, MAGIC, MAGIC_BYTES - 1);
    buf_byte(out, version);
    buf_uvarint(out, l->version);
    buf_lstr(out, l->tenant);
    buf_uvarint(out, l->all.len);
    VEC_FOREACH (t, &l->all) {
        buf_append(out, t->ulid.bytes, sizeof(t->ulid.bytes));
        buf_varint(out, t->created_ms);
        buf_varint(out, t->min_ms);
        buf_varint(out, t->max_ms);
        buf_reset(&m);
        matchers_encode(&m, t->matchers);
        buf_lstr(out, buf_slice(&m));
        if (version == 1)
            continue;
        buf_lstr(out, t->query);
        buf_byte(out, (uint8_t)t->state);
        buf_varint(out, t->processed_ms);
    }
    buf_done(&m);
    buf_u32le(out, hash_crc32c(slice_from(buf_slice(out), start)));
}

static struct err *parse_one(struct tombstone_list *l, struct reader *r, uint8_t version)
{
    struct slice id = reader_bytes(r, sizeof(struct ulid)), matchers;
    struct tombstone t = {.created_ms = reader_varint(r)};

    t.min_ms = reader_varint(r);
    t.max_ms = reader_varint(r);
    matchers = reader_lstr(r);
    if (version > 1) {
        t.query = arena_dup(l->arena, reader_lstr(r));
        t.state = (enum tombstone_state)reader_u8(r);
        t.processed_ms = reader_varint(r);
    }
    if (!reader_ok(r) || t.min_ms > t.max_ms || t.state >= TOMBSTONE_STATE_COUNT)
        return err_new(ERR_CORRUPT, "malformed entry");
    memcpy(t.ulid.bytes, id.ptr, sizeof(t.ulid.bytes));
    return push(l, t, matchers);
}

static struct err *parse_all(struct tombstone_list *l, struct slice bytes, uint8_t version)
{
    struct reader r = reader_new(bytes);
    struct err *e = NULL;
    uint64_t n;

    l->version = reader_uvarint(&r);
    l->tenant = arena_dup(l->arena, reader_lstr(&r));
    n = reader_uvarint(&r);
    if (!reader_ok(&r) || n > TOMBSTONE_LIST_MAX)
        return err_new(ERR_CORRUPT, "malformed head");
    for (uint64_t i = 0; i < n && !e; i++)
        e = parse_one(l, &r, version);
    if (!e && reader_left(&r))
        e = err_new(ERR_CORRUPT, "bytes behind the end");
    return e;
}

struct err *tombstone_list_parse(struct slice bytes, struct tombstone_list **ret)
{
    struct tombstone_list *l;
    struct reader tail;
    struct err *e;

    if (bytes.len > TOMBSTONE_LIST_MAX_BYTES || bytes.len < MAGIC_BYTES + CRC_BYTES ||
        memcmp(bytes.ptr, MAGIC, MAGIC_BYTES - 1) != 0 || bytes.ptr[MAGIC_BYTES - 1] < 1 ||
        bytes.ptr[MAGIC_BYTES - 1] > 2)
        return err_new(ERR_CORRUPT, "tombstones: not the format we know");
    tail = reader_new(slice_from(bytes, bytes.len - CRC_BYTES));
    bytes.len -= CRC_BYTES;
    if (reader_u32le(&tail) != hash_crc32c(bytes))
        return err_new(ERR_CORRUPT, "tombstones: checksum is wrong");
    l = tombstone_list_new(SLICE_EMPTY);
    if ((e = parse_all(l, slice_from(bytes, MAGIC_BYTES), bytes.ptr[MAGIC_BYTES - 1]))) {
        tombstone_list_unref(l);
        return err_wrap(e, "tombstones");
    }
    *ret = l;
    return NULL;
}

/* ---- the object ---- */

char *tombstone_list_key(struct arena *a, struct slice signal, struct slice tenant)
{
    return arena_printf(a, "%.*s/%.*s/tombstones", SLICE_ARG(signal), SLICE_ARG(tenant));
}

struct err *tombstone_list_load(struct objstore *store, struct slice signal, struct slice tenant,
                                struct tombstone_list **ret, char *ret_etag)
{
    struct objstore_get get = {.max_bytes = TOMBSTONE_LIST_MAX_BYTES};
    struct arena *a = arena_new(0);
    char *key = tombstone_list_key(a, signal, tenant);
    struct objstore_info info = {0};
    struct buf b = {0};
    struct err *e = objstore_get(store, slice_cstr(key), &get, &b, &info);

    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
        info = (struct objstore_info){0};
        *ret = tombstone_list_new(tenant);
    } else if (!e) {
        e = err_wrap(tombstone_list_parse(buf_slice(&b), ret), "%s", key);
    }
    if (ret_etag)
        memcpy(ret_etag, info.etag, OBJSTORE_ETAG_BYTES);
    buf_done(&b);
    arena_free(a);
    return e;
}

struct err *tombstone_list_stat(struct objstore *store, struct slice signal, struct slice tenant,
                                char *ret_etag)
{
    struct arena *a = arena_new(0);
    struct err *e =
        objstore_etag(store, slice_cstr(tombstone_list_key(a, signal, tenant)), ret_etag);

    arena_free(a);
    return e;
}

/* One round: load, edit, put. ERR_CONFLICT when another was faster. */
static struct err *try_update(struct objstore *store, struct slice signal, struct slice tenant,
                              tombstone_list_edit_fn *edit, void *arg, struct tombstone_list **ret)
{
    struct arena *a = arena_new(0);
    char etag[OBJSTORE_ETAG_BYTES];
    struct tombstone_list *l = NULL;
    struct objstore_put put = {.etag = etag};
    struct buf b = {0};
    bool changed = false;
    struct err *e = tombstone_list_load(store, signal, tenant, &l, etag);

    if (!e && !etag[0]) /* taken for an empty one it would be lost */
        e = objstore_check_absent(store, slice_cstr(tombstone_list_key(a, signal, tenant)));
    if (!e)
        e = edit(arg, l, &changed);
    if (!e && changed) {
        l->version++;
        tombstone_list_write(&b, l);
        put.cond = etag[0] ? OBJSTORE_IF_MATCH : OBJSTORE_IF_ABSENT;
        if (b.len > TOMBSTONE_LIST_MAX_BYTES)
            e = err_new(ERR_LIMIT, "tombstones of %zu bytes, more than %u", b.len,
                        TOMBSTONE_LIST_MAX_BYTES);
        else
            e = objstore_put(store, slice_cstr(tombstone_list_key(a, signal, tenant)),
                             buf_slice(&b), &put, NULL);
    }
    buf_done(&b);
    arena_free(a);
    if (e)
        tombstone_list_unref(l);
    else
        *ret = l;
    return e;
}

struct err *tombstone_list_update(struct objstore *store, struct slice signal, struct slice tenant,
                                  tombstone_list_edit_fn *edit, void *arg,
                                  struct tombstone_list **ret)
{
    struct tombstone_list *l = NULL;
    struct err *e = NULL;

    for (int i = 0; i < UPDATE_TRIES; i++) {
        err_free(e);
        e = try_update(store, signal, tenant, edit, arg, &l);
        if (!err_is(e, ERR_CONFLICT))
            break;
    }
    if (e)
        return err_wrap(e, "update the tombstones of %.*s", SLICE_ARG(tenant));
    if (ret)
        *ret = l;
    else
        tombstone_list_unref(l);
    return NULL;
}

/* ---- changes that another makes ---- */

void tombstone_change_encode(struct buf *out, const struct tombstone_change *change)
{
    buf_uvarint(out, 2 * change->n_gone + change->is_forced);
    for (size_t i = 0; i < change->n_gone; i++)
        buf_append(out, change->gone[i].bytes, sizeof(change->gone[i].bytes));
    if (change->add)
        tombstone_list_write(out, change->add);
}

static struct err *take_off(struct tombstone_list *l, struct ulid id, bool is_forced,
                            bool *ret_changed)
{
    const struct tombstone *t = tombstone_of(l, id);

    if (t && (t->state == TOMBSTONE_PROCESSED || (t->state == TOMBSTONE_BEGUN && !is_forced)))
        return err_new(ERR_INVALID, "deletion %s is in process or already processed",
                       ulid_print(id).s);
    if (tombstone_list_remove(l, id))
        *ret_changed = true;
    return NULL;
}

struct err *tombstone_change_apply(struct slice change, struct tombstone_list *l, bool *ret_changed)
{
    struct reader r = reader_new(change);
    struct tombstone_list *add = NULL;
    uint64_t head = reader_uvarint(&r), n = head / 2;
    struct slice ids;
    struct err *e = NULL;

    if (!reader_ok(&r) || n > TOMBSTONE_LIST_MAX)
        return err_new(ERR_INVALID, "a change of more tombstones than there can be");
    ids = reader_bytes(&r, n * sizeof(struct ulid));
    if (!reader_ok(&r))
        return err_new(ERR_INVALID, "a change of tombstones ends early");
    if (reader_left(&r)) {
        size_t before = l->all.len;

        if ((e = tombstone_list_parse(reader_rest(&r), &add)))
            return e;
        for (size_t i = 0; i < add->all.len && !e; i++)
            e = tombstone_list_add(l, &add->all.ptr[i]);
        tombstone_list_unref(add);
        if (e)
            return e;
        *ret_changed = *ret_changed || l->all.len != before;
    }
    for (uint64_t i = 0; !e && i < n; i++) {
        struct ulid id;

        memcpy(id.bytes, ids.ptr + i * sizeof(id.bytes), sizeof(id.bytes));
        e = take_off(l, id, head & 1, ret_changed);
    }
    return e;
}

/* ---- samples against tombstones ---- */

bool tombstone_list_reaches(const struct tombstone_list *l, int64_t min_ms, int64_t max_ms)
{
    VEC_FOREACH (t, &l->all)
        if (tombstone_reaches(t, min_ms, max_ms))
            return true;
    return false;
}

/* Whether one asks for a value that the other does not accept. */
static bool are_apart(const struct matchers *x, const struct matchers *y)
{
    for (size_t i = 0; i < x->n; i++)
        for (size_t k = 0; k < y->n; k++)
            if (x->ptr[i].op == MATCHER_EQ && slice_eq(x->ptr[i].name, y->ptr[k].name) &&
                !matcher_matches(&y->ptr[k], x->ptr[i].value))
                return true;
    return false;
}

bool tombstone_may_mean(const struct tombstone *t, const struct matchers *ms)
{
    return !are_apart(&t->matchers, ms) && !are_apart(ms, &t->matchers);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t *tombstone_list_edges(const struct tombstone_list *l, struct arena *a,
                              const struct matchers *ms, int64_t min_ms, int64_t max_ms,
                              size_t *ret_n)
{
    int64_t *out = arena_array(a, int64_t, 2 * l->all.len);
    size_t n = 0, kept = 0;

    VEC_FOREACH (t, &l->all) {
        if (!tombstone_reaches(t, min_ms, max_ms))
            continue;
        if (ms && !tombstone_may_mean(t, ms))
            continue;
        if (t->min_ms >= min_ms)
            out[n++] = t->min_ms;
        if (t->max_ms < max_ms)
            out[n++] = t->max_ms + 1;
    }
    if (n)
        qsort(out, n, sizeof(*out), by_value);
    for (size_t i = 0; i < n; i++)
        if (!kept || out[kept - 1] != out[i])
            out[kept++] = out[i];
    *ret_n = kept;
    return out;
}

static int by_start(const void *a, const void *b)
{
    const struct tombstone_span *x = a, *y = b;

    return (x->min_ms > y->min_ms) - (x->min_ms < y->min_ms);
}

size_t tombstone_spans_join(struct tombstone_span *spans, size_t n)
{
    size_t out = 0;

    if (n > 1)
        qsort(spans, n, sizeof(*spans), by_start);
    for (size_t i = 0; i < n; i++) {
        if (out &&
            (spans[out - 1].max_ms == INT64_MAX || spans[i].min_ms <= spans[out - 1].max_ms + 1))
            spans[out - 1].max_ms = ORR_MAX(spans[out - 1].max_ms, spans[i].max_ms);
        else
            spans[out++] = spans[i];
    }
    return out;
}

struct tombstone_span *tombstone_list_spans(const struct tombstone_list *l, struct arena *a,
                                            struct labels ls, int64_t min_ms, int64_t max_ms,
                                            size_t *ret_n)
{
    struct tombstone_span *spans = NULL;
    size_t n = 0;

    VEC_FOREACH (t, &l->all) {
        if (!tombstone_reaches(t, min_ms, max_ms) || !matchers_match(t->matchers, ls))
            continue;
        if (!spans)
            spans = arena_array(a, struct tombstone_span, l->all.len);
        spans[n++] = (struct tombstone_span){t->min_ms, t->max_ms};
    }
    *ret_n = tombstone_spans_join(spans, n);
    return spans;
}

bool tombstone_spans_have(const struct tombstone_span *spans, size_t n, int64_t t_ms)
{
    for (size_t i = 0; i < n && spans[i].min_ms <= t_ms; i++)
        if (t_ms <= spans[i].max_ms)
            return true;
    return false;
}

int64_t tombstone_list_after_ns(const struct tombstone_list *l)
{
    int64_t ret = 0;
    size_t n;
    const struct tombstone *all = tombstone_list_all(l, &n);

    for (size_t i = 0; i < n; i++)
        ret = ORR_MAX(ret, tombstone_after_ns(&all[i]));
    return ret;
}
