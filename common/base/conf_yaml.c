#include "common/base/conf_internal.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/base/yaml.h"

struct walk {
    struct conf *conf;
    const char *name;
    struct buf path;
    struct map seen; /* fields set so far, by address, to the key that set them */
};

static struct err *unknown_key(const struct walk *w, unsigned line)
{
    struct buf hint = {0};
    struct err *e;

    conf_suggest(w->conf, buf_slice(&w->path), &hint);
    e = err_new(ERR_INVALID, "%s:%u: unknown key %.*s%s", w->name, line,
                (int)ORR_MIN(w->path.len, (size_t)200), (const char *)w->path.ptr, buf_cstr(&hint));
    buf_done(&hint);
    return e;
}

static struct err *set_sequence(const struct conf_slot *slot, const struct yaml_node *n)
{
    VEC(struct slice) items = {0};
    struct err *e = NULL;

    if (slot->field->type != CONF_T_LIST)
        return err_new(ERR_INVALID, "takes one value, not a list");
    for (size_t i = 0; i < n->n && !e; i++) {
        if (n->items[i]->kind != YAML_KIND_SCALAR)
            e = err_new(ERR_INVALID, "element %zu of the list is not a plain value", i + 1);
        else
            vec_push(&items, n->items[i]->text);
    }
    if (!e)
        e = conf_value_set_list(slot->field, slot->member, items.ptr, items.len);
    vec_done(&items);
    return e;
}

static struct err *set_node(const struct conf_slot *slot, const struct yaml_node *n)
{
    if (n->kind == YAML_KIND_MAP)
        return err_new(ERR_INVALID, "takes a value, not a mapping");
    if (n->kind == YAML_KIND_SEQ)
        return set_sequence(slot, n);
    if (yaml_is_null(n))
        return err_new(ERR_INVALID, "has no value (\"\" is the empty text)");
    return conf_value_set(slot->field, slot->member, n->text);
}

static struct err *set_field(struct walk *w, const struct conf_slot *slot,
                             const struct yaml_key *key, const struct yaml_node *n)
{
    struct yaml_key *first =
        map_put(&w->seen, slice_of(&slot->field, sizeof(slot->field)), (void *)(uintptr_t)key);
    struct err *e;

    /* The same field as a-b and a_b, or nested and in one piece. */
    if (first)
        return err_new(ERR_INVALID, "%s:%u: duplicate key %s.%s (first on line %u)", w->name,
                       key->line, slot->section->name, slot->field->key, first->line);
    if ((e = set_node(slot, n)))
        return err_wrap(e, "%s:%u: %s.%s", w->name,
                        n->kind == YAML_KIND_SCALAR ? key->line : n->line, slot->section->name,
                        slot->field->key);
    return NULL;
}

/* Depth is bounded by yaml.h. */
static struct err *walk_map(struct walk *w, const struct yaml_node *map)
{
    size_t parent_len = w->path.len;

    for (size_t i = 0; i < map->n; i++) {
        const struct yaml_key *key = &map->keys[i];
        const struct yaml_node *n = map->items[i];
        struct conf_slot slot;
        struct err *e = NULL;

        w->path.len = parent_len;
        if (parent_len)
            buf_byte(&w->path, '.');
        buf_slice_append(&w->path, key->text);
        if (conf_find(w->conf, buf_slice(&w->path), &slot))
            e = set_field(w, &slot, key, n);
        else if (!conf_is_prefix(w->conf, buf_slice(&w->path)))
            e = parent_len == 0 && conf_is_foreign(w->conf, key->text) ? NULL
                                                                       : unknown_key(w, key->line);
        else if (n->kind == YAML_KIND_MAP)
            e = walk_map(w, n);
        else if (!yaml_is_null(n)) /* a section with all its keys commented out is null */
            e = err_new(ERR_INVALID, "%s:%u: %.*s is a section: its keys go below it", w->name,
                        key->line, SLICE_ARG(buf_slice(&w->path)));
        if (e)
            return e;
    }
    w->path.len = parent_len;
    return NULL;
}

struct err *conf_yaml_apply(struct conf *c, const char *name, struct slice text)
{
    struct walk w = {.conf = c, .name = name};
    struct arena *a = arena_new(0); /* the text is bounded, and with it the tree */
    struct yaml_node *root = NULL;
    struct err *e;

    e = yaml_load(name, text, a, &root);
    if (!e && root && root->kind != YAML_KIND_MAP)
        e = err_new(ERR_INVALID, "%s:%u: a configuration is a mapping of sections", name,
                    root->line);
    if (!e && root)
        e = walk_map(&w, root);
    buf_done(&w.path);
    map_done(&w.seen);
    arena_free(a);
    return e;
}
