#include "ruler/rule_set.h"

#include "common/base/mem.h"

static void set_free(struct snapshot *snap)
{
    struct rule_set *s = ORR_CONTAINER(snap, struct rule_set, snap);

    rule_dir_unref(s->dir);
    rule_store_unref(s->store);
    mem_free(s->groups);
    arena_free(s->arena);
    mem_free(s);
}

static struct slice ns_of(const struct rule_dir_file *f)
{
    const char *slash = strrchr(f->name, '/');

    return slice_cstr(slash ? slash + 1 : f->name);
}

static void add_file(struct rule_set *s, const struct rule_dir_file *f)
{
    for (size_t i = 0; f->rules && i < f->rules->n_groups; i++)
        s->groups[s->n++] =
            (struct rule_set_group){.key = arena_printf(s->arena, "%s/%s/%.*s", f->tenant, f->name,
                                                        SLICE_ARG(f->rules->groups[i].name)),
                                    .tenant = f->tenant,
                                    .file = f->name,
                                    .ns = ns_of(f),
                                    .lang = f->lang,
                                    .rules = f->rules,
                                    .index = i};
}

static void add_stored(struct rule_set *s, const struct rule_store_entry *entry)
{
    const struct rule_store_ns *ns = entry->ns;
    const char *tenant = arena_cstr(s->arena, ns->tenant), *file = arena_cstr(s->arena, ns->ns);

    for (size_t i = 0; i < ns->n; i++) {
        if (!ns->groups[i].rules)
            continue;
        s->groups[s->n++] = (struct rule_set_group){
            .key = arena_printf(s->arena, "@%.*s/%.*s", SLICE_ARG(entry->key),
                                SLICE_ARG(ns->groups[i].name)),
            .tenant = tenant,
            .file = file,
            .ns = ns->ns,
            .lang = ns->lang,
            .is_stored = true,
            .rules = ns->groups[i].rules};
    }
}

static size_t count(const struct rule_dir *dir, const struct rule_store *store)
{
    size_t n = 0;

    for (size_t i = 0; dir && i < dir->n; i++)
        n += dir->files[i].rules ? dir->files[i].rules->n_groups : 0;
    for (size_t i = 0; store && i < store->n; i++)
        n += store->entries[i].ns->n;
    return n;
}

struct rule_set *rule_set_new(const struct rule_dir *dir, const struct rule_store *store)
{
    struct rule_set *s = mem_new(struct rule_set);

    snapshot_init(&s->snap, set_free);
    s->arena = arena_new(0); /* bounded by what files and objects may hold */
    s->dir = dir ? rule_dir_ref(dir) : NULL;
    s->store = store ? rule_store_ref(store) : NULL;
    s->groups = mem_new_array(struct rule_set_group, count(dir, store) + 1);
    for (size_t i = 0; dir && i < dir->n; i++)
        add_file(s, &dir->files[i]);
    for (size_t i = 0; store && i < store->n; i++)
        add_stored(s, &store->entries[i]);
    return s;
}

struct rule_set *rule_set_ref(const struct rule_set *s)
{
    return (struct rule_set *)snapshot_ref((struct snapshot *)&s->snap);
}

void rule_set_unref(const struct rule_set *s)
{
    if (s)
        snapshot_unref((struct snapshot *)&s->snap);
}

bool rule_set_is_unread(const struct rule_set *s, const struct rule_set_group *g)
{
    struct slice key = slice_cstr(g->key + 1); /* behind the @: the object's, "/", the name */

    key = slice_sub(key, 0, key.len - rule_set_group_of(g)->name.len - 1);
    return s->store && rule_store_is_unread(s->store, key);
}

bool rule_set_is_file(const struct rule_set *s, struct slice tenant, enum rule_lang lang,
                      struct slice ns)
{
    for (size_t i = 0; s->dir && i < s->dir->n; i++) {
        const struct rule_dir_file *f = &s->dir->files[i];

        if (f->lang == lang && slice_eq_cstr(tenant, f->tenant) && slice_eq(ns, ns_of(f)))
            return true;
    }
    return false;
}
