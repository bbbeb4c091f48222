#include "common/base/yaml.h"

#include <yaml.h>

#include "common/base/map.h"
#include "common/base/vec.h"

struct loader {
    const char *name;
    struct arena *arena;
    yaml_parser_t parser;
    struct map anchors; /* to nodes that are complete, so no alias can contain itself */
    size_t events;
};

static struct slice text_of(const yaml_char_t *s)
{
    return slice_cstr((const char *)s);
}

static unsigned line_of(const yaml_event_t *ev)
{
    return (unsigned)ev->start_mark.line + 1;
}

static struct err *bad(const struct loader *l, unsigned line, const char *what)
{
    return err_new(ERR_INVALID, "%s:%u: %s", l->name, line, what);
}

static struct err *parser_error(const struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    unsigned line = (unsigned)p->problem_mark.line + 1;

    if (p->error == YAML_READER_ERROR)
        return err_new(ERR_INVALID, "%s: %s at byte %zu", l->name,
                       p->problem ? p->problem : "unreadable text", p->problem_offset);
    if (p->context)
        return err_new(ERR_INVALID, "%s:%u: not YAML: %s (%s, line %u)", l->name, line,
                       p->problem ? p->problem : "syntax error", p->context,
                       (unsigned)p->context_mark.line + 1);
    return err_new(ERR_INVALID, "%s:%u: not YAML: %s", l->name, line,
                   p->problem ? p->problem : "syntax error");
}

/* The caller deletes *ev, on success. */
static struct err *next(struct loader *l, yaml_event_t *ev)
{
    if (!yaml_parser_parse(&l->parser, ev))
        return parser_error(l);
    if (++l->events > 2 * YAML_MAX_NODES) {
        struct err *e = err_new(ERR_TOO_LARGE, "%s:%u: more than %d nodes", l->name, line_of(ev),
                                YAML_MAX_NODES);

        yaml_event_delete(ev);
        return e;
    }
    return NULL;
}

/* ---- checks on one event ---- */

static struct err *check_tag(const struct loader *l, const yaml_event_t *ev, const yaml_char_t *tag)
{
    /* !!str and the like say what we assume anyway; "!" makes a scalar a string, as quotes do. */
    if (!tag || slice_has_prefix(text_of(tag), SLICE("tag:yaml.org,2002:")) ||
        slice_eq_cstr(text_of(tag), "!"))
        return NULL;
    return err_new(ERR_UNSUPPORTED, "%s:%u: tag %s is not supported", l->name, line_of(ev),
                   (const char *)tag);
}

static struct err *check_weight(const struct loader *l, const struct yaml_node *n, unsigned depth)
{
    if (n->weight > YAML_MAX_NODES)
        return err_new(ERR_TOO_LARGE, "%s:%u: more than %d nodes", l->name, n->line,
                       YAML_MAX_NODES);
    if (depth + n->height > YAML_MAX_DEPTH)
        return err_new(ERR_TOO_LARGE, "%s:%u: more than %d levels deep", l->name, n->line,
                       YAML_MAX_DEPTH);
    return NULL;
}

/* ---- nodes ---- */

static struct err *load_node(struct loader *l, yaml_event_t *ev, unsigned depth,
                             struct yaml_node **ret);

static struct yaml_node *new_node(struct loader *l, const yaml_event_t *ev, enum yaml_kind kind)
{
    struct yaml_node *n = arena_new_of(l->arena, struct yaml_node);

    n->kind = kind;
    n->line = line_of(ev);
    n->weight = n->height = 1;
    return n;
}

/* Long texts weigh more: many aliases of one are small as nodes, not as what is made of them. */
static size_t text_weight(struct slice text)
{
    return text.len / YAML_TEXT_WEIGHT;
}

static void adopt(struct yaml_node *parent, const struct yaml_node *child)
{
    /* Each is at most YAML_MAX_NODES when it comes here, so sums stay far from overflow. */
    parent->weight += child->weight;
    parent->height = ORR_MAX(parent->height, child->height + 1);
}

static struct err *load_scalar(struct loader *l, const yaml_event_t *ev, struct yaml_node **ret)
{
    struct slice text = slice_of(ev->data.scalar.value, ev->data.scalar.length);
    const yaml_char_t *tag = ev->data.scalar.tag;
    struct err *e;

    if ((e = check_tag(l, ev, tag)))
        return e;
    if (slice_find_byte(text, 0, 0) >= 0)
        return bad(l, line_of(ev), "a text contains a NUL byte");
    *ret = new_node(l, ev, YAML_KIND_SCALAR);
    (*ret)->text = arena_dup(l->arena, text);
    (*ret)->weight += text_weight(text);
    (*ret)->is_plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tag;
    return NULL;
}

typedef VEC(struct yaml_node *) node_list;
typedef VEC(struct yaml_key) key_list;

static struct err *load_items(struct loader *l, struct yaml_node *seq, unsigned depth,
                              node_list *items)
{
    for (;;) {
        yaml_event_t ev;
        struct yaml_node *item;
        struct err *e;
        bool is_end;

        if ((e = next(l, &ev)))
            return e;
        is_end = ev.type == YAML_SEQUENCE_END_EVENT;
        e = is_end ? NULL : load_node(l, &ev, depth + 1, &item);
        yaml_event_delete(&ev);
        if (is_end || e)
            return e;
        adopt(seq, item);
        vec_push(items, item);
        if ((e = check_weight(l, seq, depth)))
            return e;
    }
}

/* A mapping while it is read. */
struct mapping {
    struct yaml_node *node;
    unsigned depth;
    struct map seen; /* key to the scalar node that has it */
    node_list items;
    key_list keys;
    struct yaml_node *merged; /* value of <<; NULL: none */
};

struct pair {
    struct yaml_key key;
    struct yaml_node *value;
    bool is_merge;
};

static struct err *load_key(struct loader *l, const yaml_event_t *ev, struct map *seen,
                            struct pair *ret)
{
    struct yaml_node *n;
    struct err *e;
    void **slot;

    if (ev->type == YAML_ALIAS_EVENT)
        return err_new(ERR_UNSUPPORTED, "%s:%u: an alias as a key is not supported", l->name,
                       line_of(ev));
    if (ev->type != YAML_SCALAR_EVENT)
        return bad(l, line_of(ev), "a key must be a plain word");
    if ((e = load_scalar(l, ev, &n)))
        return e;
    slot = map_slot(seen, n->text);
    if (*slot)
        return err_new(ERR_INVALID, "%s:%u: duplicate key %.*s (first on line %u)", l->name,
                       n->line, (int)ORR_MIN(n->text.len, (size_t)100), (const char *)n->text.ptr,
                       ((struct yaml_node *)*slot)->line);
    *slot = n;
    ret->key = (struct yaml_key){n->text, n->line, n->is_plain};
    ret->is_merge = n->is_plain && slice_eq_cstr(n->text, "<<");
    return NULL;
}

/* One key and its value; *ret_is_end at the end of the mapping. */
static struct err *load_pair(struct loader *l, struct mapping *m, bool *ret_is_end,
                             struct pair *ret)
{
    yaml_event_t ev;
    struct err *e;

    if ((e = next(l, &ev)))
        return e;
    *ret_is_end = ev.type == YAML_MAPPING_END_EVENT;
    e = *ret_is_end ? NULL : load_key(l, &ev, &m->seen, ret);
    yaml_event_delete(&ev);
    if (*ret_is_end || e || (e = next(l, &ev)))
        return e;
    e = load_node(l, &ev, m->depth + 1, &ret->value);
    yaml_event_delete(&ev);
    return e;
}

static struct err *add_pair(struct loader *l, struct mapping *m, struct yaml_key key,
                            struct yaml_node *value)
{
    adopt(m->node, value);
    m->node->weight += text_weight(key.text);
    vec_push(&m->keys, key);
    vec_push(&m->items, value);
    return check_weight(l, m->node, m->depth);
}

/* The pairs of from whose keys are new. What is merged counts as a part of the mapping besides, so
 * that mappings made of mappings cannot grow past the bound. */
static struct err *merge_mapping(struct loader *l, struct mapping *m, const struct yaml_node *from)
{
    struct err *e;

    if (from->kind != YAML_KIND_MAP)
        return bad(l, from->line, "a merge key (<<) takes a mapping or a list of mappings");
    m->node->weight += from->weight;
    if ((e = check_weight(l, m->node, m->depth)))
        return e;
    for (size_t i = 0; i < from->n && !e; i++) {
        void **slot = map_slot(&m->seen, from->keys[i].text);

        if (*slot)
            continue;
        *slot = from->items[i];
        e = add_pair(l, m, from->keys[i], from->items[i]);
    }
    return e;
}

static struct err *merge(struct loader *l, struct mapping *m)
{
    const struct yaml_node *from = m->merged;
    struct err *e = NULL;

    if (!from)
        return NULL;
    if (from->kind != YAML_KIND_SEQ)
        return merge_mapping(l, m, from);
    for (size_t i = 0; i < from->n && !e; i++)
        e = merge_mapping(l, m, from->items[i]);
    return e;
}

static struct err *load_pairs(struct loader *l, struct mapping *m)
{
    for (;;) {
        struct pair pair;
        struct err *e;
        bool is_end;

        if ((e = load_pair(l, m, &is_end, &pair)))
            return e;
        if (is_end)
            return merge(l, m);
        if (pair.is_merge)
            m->merged = pair.value;
        else if ((e = add_pair(l, m, pair.key, pair.value)))
            return e;
    }
}

static struct err *load_mapping(struct loader *l, struct yaml_node *n, unsigned depth)
{
    struct mapping m = {.node = n, .depth = depth};
    struct err *e = load_pairs(l, &m);

    if (!e && m.items.len) {
        n->n = m.items.len;
        n->items = arena_array(l->arena, struct yaml_node *, n->n);
        memcpy(n->items, m.items.ptr, n->n * sizeof(*m.items.ptr));
        n->keys = arena_array(l->arena, struct yaml_key, n->n);
        memcpy(n->keys, m.keys.ptr, n->n * sizeof(*m.keys.ptr));
    }
    vec_done(&m.items);
    vec_done(&m.keys);
    map_done(&m.seen);
    return e;
}

static struct err *load_sequence(struct loader *l, struct yaml_node *n, unsigned depth)
{
    node_list items = {0};
    struct err *e = load_items(l, n, depth, &items);

    if (!e && items.len) {
        n->n = items.len;
        n->items = arena_array(l->arena, struct yaml_node *, n->n);
        memcpy(n->items, items.ptr, n->n * sizeof(*items.ptr));
    }
    vec_done(&items);
    return e;
}

static struct err *load_collection(struct loader *l, const yaml_event_t *ev, unsigned depth,
                                   struct yaml_node **ret)
{
    bool is_map = ev->type == YAML_MAPPING_START_EVENT;
    struct yaml_node *n;
    struct err *e;

    if ((e = check_tag(l, ev, is_map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag)))
        return e;
    n = new_node(l, ev, is_map ? YAML_KIND_MAP : YAML_KIND_SEQ);
    if ((e = check_weight(l, n, depth)))
        return e;
    e = is_map ? load_mapping(l, n, depth) : load_sequence(l, n, depth);
    if (!e)
        *ret = n;
    return e;
}

static struct err *load_alias(struct loader *l, const yaml_event_t *ev, struct yaml_node **ret)
{
    struct yaml_node *n = map_get(&l->anchors, text_of(ev->data.alias.anchor));

    if (!n)
        return err_new(ERR_INVALID, "%s:%u: *%.100s names no anchor above it", l->name, line_of(ev),
                       (const char *)ev->data.alias.anchor);
    *ret = n;
    return NULL;
}

static struct err *load_node(struct loader *l, yaml_event_t *ev, unsigned depth,
                             struct yaml_node **ret)
{
    const yaml_char_t *anchor = NULL;
    struct err *e;

    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return load_alias(l, ev, ret);
    case YAML_SCALAR_EVENT:
        anchor = ev->data.scalar.anchor;
        e = load_scalar(l, ev, ret);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = ev->data.mapping_start.anchor;
        e = load_collection(l, ev, depth, ret);
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = ev->data.sequence_start.anchor;
        e = load_collection(l, ev, depth, ret);
        break;
    default:
        return bad(l, line_of(ev), "not YAML: a value was expected");
    }
    if (!e && anchor)
        (void)map_put(&l->anchors, text_of(anchor), *ret);
    return e;
}

/* ---- the document ---- */

/* Stream start, at most one document, stream end. */
static struct err *load_stream(struct loader *l, struct yaml_node **ret)
{
    unsigned documents = 0;

    for (;;) {
        yaml_event_t ev;
        struct err *e = next(l, &ev);
        bool is_end = false;

        if (e)
            return e;
        if (ev.type == YAML_STREAM_END_EVENT)
            is_end = true;
        else if (ev.type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
            e = bad(l, line_of(&ev), "more than one document");
        else if (ev.type != YAML_STREAM_START_EVENT && ev.type != YAML_DOCUMENT_START_EVENT &&
                 ev.type != YAML_DOCUMENT_END_EVENT)
            e = load_node(l, &ev, 0, ret);
        yaml_event_delete(&ev);
        if (e || is_end)
            return e;
    }
}

struct err *yaml_load(const char *name, struct slice text, struct arena *a, struct yaml_node **ret)
{
    struct loader l = {.name = name, .arena = a};
    struct yaml_node *root = NULL;
    struct err *e;

    if (text.len > YAML_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "%s: %zu bytes, at most %u are read", name, text.len,
                       YAML_MAX_BYTES);
    if (!yaml_parser_initialize(&l.parser))
        return err_new(ERR_INTERNAL, "%s: libyaml gives no parser", name);
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, text.ptr ? text.ptr : (const uint8_t *)"", text.len);
    e = load_stream(&l, &root);
    yaml_parser_delete(&l.parser);
    map_done(&l.anchors);
    if (e)
        return e;
    if (arena_over(a))
        return err_new(ERR_LIMIT, "%s: needs more memory than its budget", name);
    *ret = yaml_is_null(root) ? NULL : root;
    return NULL;
}

struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
    if (!node || node->kind != YAML_KIND_MAP)
        return NULL;
    for (size_t i = 0; i < node->n; i++)
        if (slice_eq_cstr(node->keys[i].text, key))
            return node->items[i];
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (!node)
        return true;
    if (node->kind != YAML_KIND_SCALAR || !node->is_plain)
        return false;
    return node->text.len == 0 || slice_eq_cstr(node->text, "~") ||
           slice_eq_nocase(node->text, SLICE("null"));
}

bool yaml_bool(const struct yaml_node *node, bool *ret)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};

    if (!node || node->kind != YAML_KIND_SCALAR)
        return false;
    for (size_t i = 0; i < ORR_COUNT(words); i++) {
        if (slice_eq_nocase(node->text, slice_cstr(words[i].text))) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}
