#include "ruler/rule_store.h"

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define HASH_SEED 0x6f626a656374ull

/* ---- what one object holds ---- */

static void ns_free(struct snapshot *s)
{
    struct rule_store_ns *ns = ORR_CONTAINER(s, struct rule_store_ns, snap);

    for (size_t i = 0; i < ns->n; i++)
        rule_file_unref(ns->groups[i].rules);
    arena_free(ns->arena);
    mem_free(ns);
}

static void ns_unref(struct rule_store_ns *ns)
{
    if (ns)
        snapshot_unref(&ns->snap);
}

/* Without groups yet. The key must be one of ours. */
static struct rule_store_ns *ns_new(struct slice key, struct slice *ret_key)
{
    struct rule_store_ns *ns = mem_new(struct rule_store_ns);

    snapshot_init(&ns->snap, ns_free);
    ns->arena = arena_new(0); /* bounded by what an object may be */
    *ret_key = arena_dup(ns->arena, key);
    ORR_ASSERT(rule_object_key_read(ns->arena, *ret_key, &ns->tenant, &ns->lang, &ns->ns));
    return ns;
}

static const struct rule_store_group *find_group(const struct rule_store_ns *ns, struct slice name)
{
    for (size_t i = 0; ns && i < ns->n; i++)
        if (slice_eq(ns->groups[i].name, name))
            return &ns->groups[i];
    return NULL;
}

static void read_group(struct rule_store_ns *ns, const struct rule_object_group *from,
                       const struct rule_store_group *was, struct rule_store_group *g)
{
    char *path;
    struct err *e;

    g->name = arena_dup(ns->arena, from->name);
    g->hash = hash_xxh64(from->yaml, HASH_SEED);
    if (was && was->rules && was->hash == g->hash) {
        g->rules = rule_file_ref(was->rules);
        return;
    }
    path = mem_printf("%.*s/%.*s", SLICE_ARG(ns->ns), SLICE_ARG(from->name));
    e = rule_file_parse_group(path, from->yaml, ns->lang, &g->rules);
    if (!e && !slice_eq(g->rules->groups[0].name, from->name)) {
        rule_file_unref(g->rules);
        g->rules = NULL;
        e = err_new(ERR_CORRUPT, "%s: the group is called otherwise", path);
    }
    if (e) {
        LOG_ERROR(ruler, "group of rules in the bucket refused: what was read before stays",
                  KV_SLICE("tenant", ns->tenant), KV_STR("group", path), KV_ERR(e));
        err_free(e);
        ns->n_bad++;
        g->hash = 0; /* so that it is looked at again, by a version that may know it */
        g->rules = was && was->rules ? rule_file_ref(was->rules) : NULL;
    }
    mem_free(path);
}

static struct err *read_groups(struct rule_store_ns *ns, struct slice bytes,
                               const struct rule_store_ns *was)
{
    struct arena *a = arena_new(0);
    struct rule_object o = {.n = 0};
    struct err *e = rule_object_parse(a, bytes, &o);

    if (!e && !slice_eq(o.ns, ns->ns))
        e = err_new(ERR_CORRUPT, "it is of another namespace");
    if (!e) {
        ns->hash = hash_xxh64(bytes, HASH_SEED);
        ns->groups = arena_array(ns->arena, struct rule_store_group, o.n + 1);
        ns->n = o.n;
        for (size_t i = 0; i < o.n; i++)
            read_group(ns, &o.groups[i], find_group(was, o.groups[i].name), &ns->groups[i]);
    }
    arena_free(a);
    return e;
}

/* ---- loading ---- */

struct load {
    const struct rule_store_opts *opts;
    struct rule_store *next;
    const struct rule_store_entry **was; /* of each entry; NULL: new */
    size_t *wanted;                      /* entries to be read */
    struct err **errs;                   /* of these */
    bool *is_gone;
    size_t n_wanted;
};

/* Of an entry that is to be read; others do theirs meanwhile. */
static void read_entry(void *arg, size_t i)
{
    struct load *l = arg;
    struct rule_store_entry *entry = &l->next->entries[l->wanted[i]];
    const struct rule_store_entry *was = l->was[l->wanted[i]];
    struct slice key = entry->key;
    struct buf bytes = {0};
    struct err *e =
        objstore_get(l->opts->store, key,
                     &(struct objstore_get){.max_bytes = RULE_OBJECT_MAX_BYTES}, &bytes, NULL);

    entry->ns = ns_new(key, &entry->key);
    if (!e && was && was->ns->hash == hash_xxh64(buf_slice(&bytes), HASH_SEED) && !was->ns->n_bad) {
        ns_unref(entry->ns);
        entry->ns = was->ns;
        (void)snapshot_ref(&was->ns->snap);
        entry->key = was->key;
    } else if (!e) {
        e = read_groups(entry->ns, buf_slice(&bytes), was ? was->ns : NULL);
    }
    l->is_gone[i] = err_is(e, ERR_NOT_FOUND); /* since the listing */
    l->errs[i] = e;
    buf_done(&bytes);
}

/* The entry of before with this key. Both lists are in order: at goes on from call to call. */
static const struct rule_store_entry *entry_before(const struct rule_store *before, size_t *at,
                                                   struct slice key)
{
    while (before && *at < before->n && slice_cmp(before->entries[*at].key, key) < 0)
        ++*at;
    return before && *at < before->n && slice_eq(before->entries[*at].key, key)
               ? &before->entries[*at]
               : NULL;
}

/* Whether the object is to be read (again). */
static bool takes_over(struct load *l, struct rule_store_entry *entry,
                       const struct rule_store_entry *was)
{
    bool is_same = was && was->bytes == entry->bytes && was->modified_ms == entry->modified_ms;

    entry->seen_ms = is_same ? was->seen_ms : l->opts->now_ms;
    entry->is_settled = is_same && l->opts->now_ms - entry->seen_ms >= RULE_STORE_SETTLE_MS;
    if (!is_same || was->is_bad || (!was->is_settled && (entry->is_settled || l->opts->is_exact)))
        return false;
    entry->is_settled = was->is_settled;
    entry->ns = was->ns;
    (void)snapshot_ref(&was->ns->snap);
    entry->key = was->key;
    return true;
}

static void take_listing(struct load *l, struct arena *a, const struct objstore_listing *list,
                         const struct rule_store *before)
{
    struct rule_store *s = l->next;
    size_t at = 0;

    s->entries = mem_new_array(struct rule_store_entry, list->n + 1);
    l->was = arena_array(a, const struct rule_store_entry *, list->n + 1);
    l->wanted = arena_array(a, size_t, list->n + 1);
    l->errs = arena_array(a, struct err *, list->n + 1);
    l->is_gone = arena_array(a, bool, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        struct rule_store_entry *entry = &s->entries[s->n];
        struct slice tenant, ns;
        enum rule_lang lang;

        if (!rule_object_key_read(a, list->ptr[i].key, &tenant, &lang, &ns)) {
            LOG_WARN(ruler, "object passed over: no rules are called so",
                     KV_SLICE("path", list->ptr[i].key));
            continue;
        }
        *entry = (struct rule_store_entry){.key = list->ptr[i].key,
                                           .bytes = list->ptr[i].bytes,
                                           .modified_ms = list->ptr[i].modified_ms};
        l->was[s->n] = entry_before(before, &at, entry->key);
        if (!takes_over(l, entry, l->was[s->n]))
            l->wanted[l->n_wanted++] = s->n;
        s->n++;
    }
}

/* What could not be read: as it was, and tried again the next time. */
static void keep_former(struct load *l, size_t i, const struct err *e)
{
    struct rule_store_entry *entry = &l->next->entries[l->wanted[i]];
    const struct rule_store_entry *was = l->was[l->wanted[i]];

    LOG_ERROR(ruler, "rules in the bucket cannot be read: what was read before stays",
              KV_SLICE("path", entry->key), KV_ERR(e));
    entry->is_bad = true;
    if (was) {
        ns_unref(entry->ns);
        entry->ns = was->ns;
        (void)snapshot_ref(&was->ns->snap);
        entry->key = was->key;
    }
}

static void drop_gone(struct load *l)
{
    struct rule_store *s = l->next;
    size_t kept = 0, k = 0;

    for (size_t i = 0; i < s->n; i++) {
        bool is_gone = k < l->n_wanted && l->wanted[k] == i && l->is_gone[k];

        k += k < l->n_wanted && l->wanted[k] == i;
        if (is_gone)
            ns_unref(s->entries[i].ns);
        else
            s->entries[kept++] = s->entries[i];
    }
    s->n = kept;
}

/* *ret: the first thing that ends the load. */
static struct err *judge(struct load *l, bool may_keep)
{
    struct err *ret = NULL;

    for (size_t i = 0; i < l->n_wanted; i++) {
        struct err *e = l->errs[i];

        if (e && !l->is_gone[i] && !may_keep && !err_is(e, ERR_CORRUPT) &&
            !err_is(e, ERR_TOO_LARGE)) {
            ret = err_first(ret, e);
            continue;
        }
        if (e && !l->is_gone[i])
            keep_former(l, i, e);
        err_free(e);
    }
    return ret;
}

static bool is_other(const struct rule_store *s, const struct rule_store *before)
{
    if (!before || before->n != s->n)
        return true;
    for (size_t i = 0; i < s->n; i++)
        if (before->entries[i].ns != s->entries[i].ns)
            return true;
    return false;
}

static void store_free(struct snapshot *snap)
{
    struct rule_store *s = ORR_CONTAINER(snap, struct rule_store, snap);

    for (size_t i = 0; i < s->n; i++)
        ns_unref(s->entries[i].ns);
    mem_free(s->entries);
    mem_free(s);
}

struct err *rule_store_load(const struct rule_store_opts *opts, const struct rule_store *before,
                            struct rule_store **ret, bool *ret_changed)
{
    struct load l = {.opts = opts, .next = mem_new(struct rule_store)};
    struct arena *a = arena_new(0); /* RULE_STORE_MAX_OBJECTS bounds it */
    struct objstore_listing list = {.n = 0};
    struct err *e = objstore_list(
        opts->store, a,
        &(struct objstore_list){.prefix = opts->prefix, .limit = RULE_STORE_MAX_OBJECTS}, &list);

    snapshot_init(&l.next->snap, store_free);
    if (!e && list.is_truncated)
        e = err_new(ERR_LIMIT, "more than %d objects", RULE_STORE_MAX_OBJECTS);
    if (!e) {
        take_listing(&l, a, &list, before);
        if (opts->jobs)
            job_parallel(opts->jobs, l.n_wanted, read_entry, &l);
        for (size_t i = 0; !opts->jobs && i < l.n_wanted; i++)
            read_entry(&l, i);
        e = judge(&l, before && !opts->is_exact);
        drop_gone(&l);
    }
    arena_free(a);
    if (e) {
        rule_store_unref(l.next);
        return err_wrap(e, "rules in the bucket");
    }
    for (size_t i = 0; i < l.next->n; i++)
        l.next->n_bad += l.next->entries[i].is_bad + l.next->entries[i].ns->n_bad;
    *ret_changed = is_other(l.next, before);
    *ret = l.next;
    return NULL;
}

struct rule_store *rule_store_ref(const struct rule_store *s)
{
    return (struct rule_store *)snapshot_ref((struct snapshot *)&s->snap);
}

void rule_store_unref(const struct rule_store *s)
{
    if (s)
        snapshot_unref((struct snapshot *)&s->snap);
}
