#include "ruler/rule_store.h"

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/vec.h"

#define LIST_PAGE 10000
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

/* Its groups by name. */
static void index_groups(const struct rule_store_ns *ns, struct map *ret)
{
    for (size_t i = 0; ns && i < ns->n; i++)
        (void)map_put(ret, ns->groups[i].name, &ns->groups[i]);
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
    struct map before = {0};
    struct rule_object o = {.n = 0};
    struct err *e = rule_object_parse(a, bytes, &o);

    if (!e && !slice_eq(o.ns, ns->ns))
        e = err_new(ERR_CORRUPT, "it is of another namespace");
    if (!e) {
        index_groups(was, &before);
        ns->hash = hash_xxh64(bytes, HASH_SEED);
        ns->groups = arena_array(ns->arena, struct rule_store_group, o.n + 1);
        ns->n = o.n;
        for (size_t i = 0; i < o.n; i++)
            read_group(ns, &o.groups[i], map_get(&before, o.groups[i].name), &ns->groups[i]);
    }
    map_done(&before);
    arena_free(a);
    return e;
}

/* ---- loading ---- */

/* An entry that is to be read. */
struct wanted {
    size_t at;                          /* in the list of entries */
    const struct rule_store_entry *was; /* NULL: new */
    struct err *error;
    bool is_gone; /* since the listing */
};
struct load {
    const struct rule_store_opts *opts;
    const struct rule_store *before;
    size_t at_before; /* entries of before that are behind us: both lists are in order */
    struct arena *arena;
    VEC(struct rule_store_entry) entries;
    VEC(struct wanted) wanted;
    size_t n_listed;     /* objects that count for RULE_STORE_MAX_OBJECTS */
    struct slice tenant; /* of the last entry */
    enum rule_lang lang;
    size_t n_of_tenant; /* entries of that tenant in that language */
    bool is_cut;        /* he has more than he may */
    size_t n_cut;       /* how often something was passed over for there is too much */
};

/* Both have what was. */
static void keep(struct rule_store_entry *entry, const struct rule_store_entry *was)
{
    entry->ns = was->ns;
    (void)snapshot_ref(&was->ns->snap);
    entry->key = was->key;
}

/* Of an entry that is to be read; others do theirs meanwhile. */
static void read_entry(void *arg, size_t i)
{
    struct load *l = arg;
    struct wanted *w = &l->wanted.ptr[i];
    struct rule_store_entry *entry = &l->entries.ptr[w->at];
    const struct rule_store_entry *was = w->was;
    struct slice key = entry->key;
    struct buf bytes = {0};
    struct err *e =
        objstore_get(l->opts->store, key,
                     &(struct objstore_get){.max_bytes = RULE_OBJECT_MAX_BYTES}, &bytes, NULL);

    if (!e && was && was->ns->hash == hash_xxh64(buf_slice(&bytes), HASH_SEED) && !was->ns->n_bad) {
        keep(entry, was);
    } else {
        entry->ns = ns_new(key, &entry->key);
        if (!e)
            e = read_groups(entry->ns, buf_slice(&bytes), was ? was->ns : NULL);
    }
    w->is_gone = err_is(e, ERR_NOT_FOUND);
    w->error = e;
    buf_done(&bytes);
}

/* The entry of before with this key. */
static const struct rule_store_entry *entry_before(struct load *l, struct slice key)
{
    const struct rule_store *before = l->before;
    size_t *at = &l->at_before;

    while (before && *at < before->n && slice_cmp(before->entries[*at].key, key) < 0)
        ++*at;
    return before && *at < before->n && slice_eq(before->entries[*at].key, key)
               ? &before->entries[*at]
               : NULL;
}

/* Whether the object need not be read (again). */
static bool takes_over(struct load *l, struct rule_store_entry *entry,
                       const struct rule_store_entry *was)
{
    bool is_same = was && was->bytes == entry->bytes && was->modified_ms == entry->modified_ms;

    entry->seen_ms = is_same ? was->seen_ms : l->opts->now_ms;
    entry->is_settled = is_same && l->opts->now_ms - entry->seen_ms >= RULE_STORE_SETTLE_MS;
    if (!is_same || was->is_bad || (!was->is_settled && (entry->is_settled || l->opts->is_exact)))
        return false;
    entry->is_settled = was->is_settled;
    keep(entry, was);
    return true;
}

static void pass_over(struct load *l, struct slice key, const char *why)
{
    LOG_ERROR(ruler, "too many objects with rules: those from this one on are passed over",
              KV_SLICE("path", key), KV_STR("reason", why));
    l->n_cut++;
}

/* Whether its tenant may have one more. */
static bool counts_in(struct load *l, struct slice key, struct slice tenant, enum rule_lang lang)
{
    if (!slice_eq(tenant, l->tenant) || lang != l->lang) {
        l->tenant = tenant;
        l->lang = lang;
        l->n_of_tenant = 0;
        l->is_cut = false;
    }
    if (l->n_of_tenant < RULE_STORE_MAX_NAMESPACES) {
        l->n_of_tenant++;
        return true;
    }
    if (!l->is_cut)
        pass_over(l, key, "namespaces");
    l->is_cut = true;
    return false;
}

static void add_listed(struct load *l, const struct objstore_entry *listed)
{
    struct rule_store_entry entry = {
        .key = listed->key, .bytes = listed->bytes, .modified_ms = listed->modified_ms};
    const struct rule_store_entry *was;
    struct slice tenant, ns;
    enum rule_lang lang;

    if (!rule_object_key_read(l->arena, listed->key, &tenant, &lang, &ns)) {
        LOG_WARN(ruler, "object passed over: no rules are called so",
                 KV_SLICE("path", listed->key));
        l->n_listed++;
        return;
    }
    if (!counts_in(l, listed->key, tenant, lang))
        return;
    l->n_listed++;
    was = entry_before(l, entry.key);
    if (!takes_over(l, &entry, was))
        vec_push(&l->wanted, ((struct wanted){.at = l->entries.len, .was = was}));
    vec_push(&l->entries, entry);
}

/* Behind all keys of the last entry's tenant and language. */
static struct slice behind_tenant(struct load *l)
{
    struct slice prefix = rule_object_lang_prefix(l->arena, l->tenant, l->lang);

    return slice_cstr(
        arena_printf(l->arena, "%.*s%c", SLICE_ARG(slice_sub(prefix, 0, prefix.len - 1)), '/' + 1));
}

/* By pages, so that what one tenant has too much of is not even listed. */
static struct err *list(struct load *l)
{
    struct objstore_list ask = {.prefix = l->opts->prefix, .limit = LIST_PAGE};
    struct objstore_listing page;
    struct err *e;

    do {
        if ((e = objstore_list(l->opts->store, l->arena, &ask, &page)))
            return e;
        for (size_t i = 0; i < page.n; i++) {
            if (l->n_listed == RULE_STORE_MAX_OBJECTS) {
                pass_over(l, page.ptr[i].key, "objects");
                return NULL;
            }
            add_listed(l, &page.ptr[i]);
        }
        if (page.n)
            ask.start_after = l->is_cut ? behind_tenant(l) : page.ptr[page.n - 1].key;
    } while (page.is_truncated && page.n);
    return NULL;
}

/* What could not be read: as it was, and tried again the next time. */
static void keep_former(struct load *l, const struct wanted *w)
{
    struct rule_store_entry *entry = &l->entries.ptr[w->at];

    LOG_ERROR(ruler, "rules in the bucket cannot be read: what was read before stays",
              KV_SLICE("path", entry->key), KV_ERR(w->error));
    entry->is_bad = true;
    if (w->was) {
        ns_unref(entry->ns);
        keep(entry, w->was);
    }
}

static void drop_gone(struct load *l)
{
    size_t kept = 0, k = 0;

    for (size_t i = 0; i < l->entries.len; i++) {
        bool is_wanted = k < l->wanted.len && l->wanted.ptr[k].at == i;

        if (is_wanted && l->wanted.ptr[k++].is_gone)
            ns_unref(l->entries.ptr[i].ns);
        else
            l->entries.ptr[kept++] = l->entries.ptr[i];
    }
    l->entries.len = kept;
}

/* The store answered, but with what cannot be rules. */
static bool is_of_content(const struct err *e)
{
    return err_is(e, ERR_CORRUPT) || err_is(e, ERR_TOO_LARGE);
}

/* Whether an object that cannot be fetched may be passed over: not by who asks what is there now; nor when nothing at all can be
 * fetched, of a bucket of which nothing is known yet. */
static bool may_lack(const struct load *l)
{
    if (l->opts->is_exact)
        return false;
    if (l->before)
        return true;
    VEC_FOREACH (w, &l->wanted)
        if (!w->error || is_of_content(w->error))
            return true;
    return false;
}

/* The first thing that ends the load. */
static struct err *judge(struct load *l)
{
    bool may = may_lack(l);
    struct err *ret = NULL;

    VEC_FOREACH (w, &l->wanted) {
        if (w->error && !w->is_gone && !may && !is_of_content(w->error)) {
            ret = err_first(ret, w->error);
            continue;
        }
        if (w->error && !w->is_gone)
            keep_former(l, w);
        err_free(w->error);
    }
    return ret;
}

static struct err *load(struct load *l)
{
    struct err *e = list(l);

    if (e)
        return e;
    if (l->opts->jobs)
        job_parallel(l->opts->jobs, l->wanted.len, read_entry, l);
    for (size_t i = 0; !l->opts->jobs && i < l->wanted.len; i++)
        read_entry(l, i);
    e = judge(l);
    drop_gone(l);
    return e;
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

/* Takes the entries. */
static struct rule_store *store_new(const struct load *l)
{
    struct rule_store *s = mem_new(struct rule_store);

    snapshot_init(&s->snap, store_free);
    s->entries = l->entries.ptr;
    s->n = l->entries.len;
    s->n_bad = l->n_cut;
    for (size_t i = 0; i < s->n; i++)
        if (s->entries[i].ns)
            s->n_bad += s->entries[i].is_bad + s->entries[i].ns->n_bad;
    return s;
}

struct err *rule_store_load(const struct rule_store_opts *opts, const struct rule_store *before,
                            struct rule_store **ret, bool *ret_changed)
{
    struct load l = {.opts = opts,
                     .before = before,
                     .arena = arena_new(0)}; /* RULE_STORE_MAX_OBJECTS bounds it */
    struct err *e = load(&l);
    struct rule_store *s = store_new(&l);

    vec_done(&l.wanted);
    arena_free(l.arena);
    if (e) {
        rule_store_unref(s);
        return err_wrap(e, "rules in the bucket");
    }
    *ret_changed = is_other(s, before);
    *ret = s;
    return NULL;
}

bool rule_store_is_unread(const struct rule_store *s, struct slice key)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(s->entries[mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && slice_eq(s->entries[lo].key, key) && s->entries[lo].is_bad &&
           s->entries[lo].ns->n == 0;
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
