#include "common/ring/gossip_kv.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

struct kv_entry {
    uint64_t version;
    struct buf value;
};

struct gossip_kv {
    struct gossip *gossip;
    const char *name;
    size_t max_entries;
    gossip_kv_fn *on_change;
    void *arg;
    struct map entries; /* of struct kv_entry */
    uint64_t refused;
};

static void put_entry(struct buf *out, struct slice key, uint64_t version, struct slice value)
{
    buf_lstr(out, key);
    buf_uvarint(out, version);
    buf_lstr(out, value);
}

enum kv_result { KV_STALE, KV_NEWS, KV_REFUSED };

static enum kv_result put(struct gossip_kv *kv, struct slice key, uint64_t version,
                          struct slice value)
{
    struct kv_entry *e;

    if (key.len == 0 || key.len > GOSSIP_KV_MAX_KEY || value.len > GOSSIP_KV_MAX_VALUE)
        return KV_REFUSED;
    e = map_get(&kv->entries, key);
    if (!e) {
        if (kv->entries.len >= kv->max_entries)
            return KV_REFUSED;
        e = mem_new(struct kv_entry);
        map_put(&kv->entries, key, e);
    } else if (version < e->version ||
               (version == e->version && slice_cmp(value, buf_slice(&e->value)) <= 0)) {
        return KV_STALE;
    }
    e->version = version;
    buf_reset(&e->value);
    buf_slice_append(&e->value, value);
    return KV_NEWS;
}

/* True if something in bytes was new. Malformed bytes end it where they begin. */
static bool merge_entries(struct gossip_kv *kv, struct slice bytes)
{
    struct reader r = reader_new(bytes);
    uint64_t n = reader_uvarint(&r);
    bool is_news = false;

    while (n-- && reader_ok(&r)) {
        struct slice key = reader_lstr(&r);
        uint64_t version = reader_uvarint(&r);
        struct slice value = reader_lstr(&r);
        enum kv_result res;

        if (!reader_ok(&r))
            break;
        res = put(kv, key, version, value);
        kv->refused += res == KV_REFUSED;
        if (res != KV_NEWS)
            continue;
        is_news = true;
        if (kv->on_change)
            kv->on_change(kv->arg, key, version, value);
    }
    kv->refused += !reader_ok(&r);
    return is_news;
}

static bool on_delta(void *arg, struct slice bytes)
{
    return merge_entries(arg, bytes);
}

static void merge_state(void *arg, struct slice bytes)
{
    (void)merge_entries(arg, bytes);
}

static void write_state(void *arg, struct buf *out)
{
    struct gossip_kv *kv = arg;

    if (kv->entries.len == 0)
        return;
    buf_uvarint(out, kv->entries.len);
    MAP_FOREACH (m, &kv->entries) {
        struct kv_entry *e = m->value;

        put_entry(out, m->key, e->version, buf_slice(&e->value));
    }
}

struct err *gossip_kv_new(struct gossip *g, const char *name, size_t max_entries,
                          gossip_kv_fn *on_change, void *arg, struct gossip_kv **ret)
{
    struct gossip_kv *kv = mem_new(struct gossip_kv);
    struct gossip_channel ch = {name, 0, on_delta, write_state, merge_state, kv, false};
    struct err *e;

    kv->gossip = g;
    kv->name = name;
    kv->max_entries = max_entries;
    kv->on_change = on_change;
    kv->arg = arg;
    if ((e = gossip_add_channel(g, &ch))) {
        mem_free(kv);
        return e;
    }
    *ret = kv;
    return NULL;
}

void gossip_kv_free(struct gossip_kv *kv)
{
    if (!kv)
        return;
    gossip_remove_channel(kv->gossip, kv->name);
    MAP_FOREACH (m, &kv->entries) {
        struct kv_entry *e = m->value;

        buf_done(&e->value);
        mem_free(e);
    }
    map_done(&kv->entries);
    mem_free(kv);
}

struct err *gossip_kv_set(struct gossip_kv *kv, struct slice key, uint64_t version,
                          struct slice value, int64_t mono_ns)
{
    struct kv_entry *old = map_get(&kv->entries, key);
    struct buf delta = {0};
    struct err *e = NULL;

    if (old && version < old->version)
        return err_new(ERR_CONFLICT, "kv %.*s: version %llu is older than %llu", SLICE_ARG(key),
                       (unsigned long long)version, (unsigned long long)old->version);
    switch (put(kv, key, version, value)) {
    case KV_STALE:
        return NULL; /* said before */
    case KV_REFUSED:
        return err_new(ERR_LIMIT, "kv %.*s: too long, or more than %zu keys",
                       SLICE_ARG(slice_sub(key, 0, GOSSIP_KV_MAX_KEY)), kv->max_entries);
    case KV_NEWS:
        break;
    }
    buf_uvarint(&delta, 1);
    put_entry(&delta, key, version, value);
    e = gossip_broadcast(kv->gossip, kv->name, key, buf_slice(&delta), mono_ns);
    buf_done(&delta);
    return e;
}

bool gossip_kv_get(const struct gossip_kv *kv, struct slice key, uint64_t *ret_version,
                   struct slice *ret_value)
{
    struct kv_entry *e = map_get(&kv->entries, key);

    if (!e)
        return false;
    *ret_version = e->version;
    *ret_value = buf_slice(&e->value);
    return true;
}

size_t gossip_kv_count(const struct gossip_kv *kv)
{
    return kv->entries.len;
}

uint64_t gossip_kv_refused(const struct gossip_kv *kv)
{
    return kv->refused;
}
