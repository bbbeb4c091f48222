/* The overrides file: a table of limits as keys, read and printed. */
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/yaml.h"
#include "common/model/limits_internal.h"
#include "common/model/tenant.h"

/* ---- the table ---- */

enum limit_kind { LIMIT_RATE, LIMIT_COUNT, LIMIT_BYTES, LIMIT_DURATION, LIMIT_BOOL };

struct limit_row {
    enum limit_kind kind;
    const char *name; /* as in Mimir's overrides */
    const char *key;  /* as in the configuration */
    size_t offset;    /* in struct tenant_limits */
};

#define MEMBER_RATE(name) name
#define MEMBER_COUNT(name) name
#define MEMBER_BYTES(name) name
#define MEMBER_DURATION(name) name##_ns
#define MEMBER_BOOL(name) name

static const struct limit_row rows[] = {
#define X(kind, name, key, def, help)                                                              \
    {LIMIT_##kind, #name, key, offsetof(struct tenant_limits, MEMBER_##kind(name))},
    LIMITS(X)
#undef X
};
static_assert(ORR_COUNT(rows) == LIMITS_ROWS, "a row each");

/* ---- memory ---- */

void limits_override_free(struct override *o)
{
    if (!o)
        return;
    tenant_rules_unref(o->rules);
    mem_free(o);
}

static void overrides_free(struct snapshot *s)
{
    struct overrides *o = (struct overrides *)s;

    MAP_FOREACH (en, &o->tenants)
        limits_override_free(en->value);
    map_done(&o->tenants);
    tenant_rules_unref(o->rules);
    mem_free(o);
}

/* Takes rules. */
struct overrides *limits_overrides_new(const struct tenant_limits *defaults,
                                       struct tenant_rules *rules)
{
    struct overrides *o = mem_new(struct overrides);

    snapshot_init(&o->snap, overrides_free);
    o->defaults = *defaults;
    o->rules = rules;
    return o;
}

/* ---- reading ---- */

static struct err *parse_value(const struct limit_row *row, const struct yaml_node *node,
                               struct tenant_limits *ret)
{
    void *p = (char *)ret + row->offset;
    struct err *e = NULL;
    uint64_t u;
    double d;

    if (!node || node->kind != YAML_KIND_SCALAR || yaml_is_null(node))
        return err_new(ERR_INVALID, "%s: not a value", row->name);
    switch (row->kind) {
    case LIMIT_RATE:
        if (!num_parse(node->text, &d) || !(d >= 0 && d <= 1e12))
            return err_new(ERR_INVALID, "%s: %.*s is not a number from 0 to 1e12", row->name,
                           SLICE_ARG(node->text));
        *(double *)p = d;
        break;
    case LIMIT_COUNT:
        if (!slice_to_u64(node->text, &u) || u > 1000000000000ull)
            return err_new(ERR_INVALID, "%s: %.*s is not a whole number from 0 to 1000000000000",
                           row->name, SLICE_ARG(node->text));
        *(int64_t *)p = (int64_t)u;
        break;
    case LIMIT_BYTES:
        e = conf_parse_bytes(node->text, (int64_t *)p);
        break;
    case LIMIT_DURATION:
        e = conf_parse_duration(node->text, (int64_t *)p);
        break;
    case LIMIT_BOOL:
        if (!yaml_bool(node, (bool *)p))
            return err_new(ERR_INVALID, "%s: %.*s is not true or false", row->name,
                           SLICE_ARG(node->text));
        break;
    }
    return err_wrap(e, "%s", row->name);
}

/* As Tempo calls what elsewhere would be taken for another thing. */
static const struct {
    const char *name, *ours;
} others[] = {{"block_retention", "traces_retention_period"},
              {"compaction_block_retention", "traces_retention_period"}};

static const struct limit_row *find_row(struct slice name)
{
    for (size_t i = 0; i < ORR_COUNT(others); i++)
        if (slice_eq_cstr(name, others[i].name))
            name = slice_cstr(others[i].ours);
    for (size_t i = 0; i < ORR_COUNT(rows); i++)
        if (slice_eq_cstr(name, rows[i].name) || slice_eq_cstr(name, rows[i].key))
            return &rows[i];
    return NULL;
}

/* Keys below which Loki and Tempo have limits; ours are named after both. */
static const char *const nests[] = {"shard_streams", "compaction"};

static bool is_nest(struct slice key, const struct yaml_node *node)
{
    for (size_t i = 0; i < ORR_COUNT(nests); i++)
        if (slice_eq_cstr(key, nests[i]))
            return node->kind == YAML_KIND_MAP;
    return false;
}

static struct err *parse_nest(const char *name, struct slice key, const struct yaml_node *node,
                              struct override *o)
{
    for (size_t i = 0; i < node->n; i++) {
        struct buf full = {0};
        const struct limit_row *row;
        struct err *e;

        buf_printf(&full, "%.*s_%.*s", SLICE_ARG(key), SLICE_ARG(node->keys[i].text));
        row = find_row(buf_slice(&full));
        buf_done(&full);
        if (!row)
            return err_new(ERR_INVALID, "%s:%u: unknown limit %.*s: %.*s", name, node->keys[i].line,
                           SLICE_ARG(key), SLICE_ARG(node->keys[i].text));
        if ((e = parse_value(row, node->items[i], &o->values)))
            return err_wrap(e, "%s:%u", name, node->keys[i].line);
        o->is_set[row - rows] = true;
    }
    return NULL;
}

static struct err *parse_tenant(const char *name, const struct yaml_node *node, struct override *o)
{
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_MAP)
        return err_new(ERR_INVALID, "%s:%u: a tenant has a mapping of limits", name, node->line);
    for (size_t i = 0; i < node->n; i++) {
        const struct limit_row *row = find_row(node->keys[i].text);
        bool is_rule = false;
        struct err *e;

        if (!row && is_nest(node->keys[i].text, node->items[i])) {
            if ((e = parse_nest(name, node->keys[i].text, node->items[i], o)))
                return e;
            continue;
        }
        if (!row &&
            (e = tenant_rules_read(o->rules, name, &node->keys[i], node->items[i], &is_rule)))
            return e;
        if (is_rule)
            continue;
        if (!row)
            return err_new(ERR_INVALID, "%s:%u: unknown limit %.*s", name, node->keys[i].line,
                           SLICE_ARG(node->keys[i].text));
        if ((e = parse_value(row, node->items[i], &o->values)))
            return err_wrap(e, "%s:%u", name, node->keys[i].line);
        o->is_set[row - rows] = true;
    }
    return NULL;
}

static struct err *parse_tenants(const char *name, const struct yaml_node *node,
                                 struct overrides *o)
{
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_MAP)
        return err_new(ERR_INVALID, "%s:%u: overrides is a mapping of tenants", name, node->line);
    for (size_t i = 0; i < node->n; i++) {
        struct override *ov = mem_new(struct override);
        struct err *e = tenant_check(node->keys[i].text);

        ov->rules = tenant_rules_new(o->rules);
        if (e)
            e = err_wrap(e, "%s:%u", name, node->keys[i].line);
        else
            e = parse_tenant(name, node->items[i], ov);
        if (e) {
            limits_override_free(ov);
            return e;
        }
        limits_override_free(map_put(&o->tenants, node->keys[i].text, ov));
    }
    return NULL;
}

struct err *limits_overrides_parse(const char *path, struct slice text, struct overrides *o)
{
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct err *e = yaml_load(path, text, a, &root);

    if (!e && !yaml_is_null(root) && root->kind != YAML_KIND_MAP)
        e = err_new(ERR_INVALID, "%s:%u: not a mapping", path, root->line);
    for (size_t i = 0; !e && root && root->kind == YAML_KIND_MAP && i < root->n; i++) {
        if (slice_eq_cstr(root->keys[i].text, "overrides"))
            e = parse_tenants(path, root->items[i], o);
        else
            e = err_new(ERR_INVALID, "%s:%u: unknown key %.*s; known is overrides", path,
                        root->keys[i].line, SLICE_ARG(root->keys[i].text));
    }
    arena_free(a);
    return e;
}

/* ---- the tenant ---- */

static_assert(sizeof(double) == 8, "members are truths or have 8 bytes");

void limits_override_apply(const struct override *o, struct tenant_limits *ret)
{
    for (size_t i = 0; i < ORR_COUNT(rows); i++)
        if (o->is_set[i])
            memcpy((char *)ret + rows[i].offset, (const char *)&o->values + rows[i].offset,
                   rows[i].kind == LIMIT_BOOL ? sizeof(bool) : 8);
}

/* ---- printing ---- */

static void print_row(struct buf *out, const struct limit_row *row, const struct tenant_limits *v)
{
    const void *p = (const char *)v + row->offset;

    buf_printf(out, "%s: ", row->name);
    switch (row->kind) {
    case LIMIT_RATE:
        buf_f64_text(out, *(const double *)p);
        break;
    case LIMIT_COUNT:
        buf_printf(out, "%lld", (long long)*(const int64_t *)p);
        break;
    case LIMIT_BYTES:
        conf_format_bytes(out, *(const int64_t *)p);
        break;
    case LIMIT_DURATION:
        conf_format_duration(out, *(const int64_t *)p);
        break;
    case LIMIT_BOOL:
        buf_str(out, *(const bool *)p ? "true" : "false");
        break;
    }
    buf_byte(out, '\n');
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp((*(struct map_entry *const *)a)->key, (*(struct map_entry *const *)b)->key);
}

static void print_override(struct buf *out, const struct map_entry *en)
{
    const struct override *o = en->value;

    buf_str(out, "  ");
    buf_json_str(out, en->key); /* JSON strings are YAML */
    buf_str(out, ":\n");
    for (size_t i = 0; i < ORR_COUNT(rows); i++)
        if (o->is_set[i]) {
            buf_str(out, "    ");
            print_row(out, &rows[i], &o->values);
        }
    tenant_rules_print(o->rules, out, "    ", true);
}

void limits_overrides_print(const struct overrides *now, struct buf *out)
{
    struct map_entry **sorted = mem_new_array(struct map_entry *, now->tenants.len + 1);
    size_t n = 0;

    buf_str(out, "defaults:\n");
    for (size_t i = 0; i < ORR_COUNT(rows); i++) {
        buf_str(out, "  ");
        print_row(out, &rows[i], &now->defaults);
    }
    tenant_rules_print(now->rules, out, "  ", false);
    MAP_FOREACH (en, &now->tenants)
        sorted[n++] = en;
    qsort(sorted, n, sizeof(struct map_entry *), by_key);
    buf_str(out, n ? "overrides:\n" : "overrides: {}\n");
    for (size_t i = 0; i < n; i++)
        print_override(out, sorted[i]);
    mem_free(sorted);
}
