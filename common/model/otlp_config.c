#include "common/model/otlp_config.h"

/* ---- the table, as configuration and as override ---- */

enum row_kind { ROW_BOOL, ROW_ENUM, ROW_TEXT, ROW_LIST };

struct row {
    enum row_kind kind;
    const char *key, *names;
    size_t offset;
};
static const struct row rows[] = {
#define X(kind, name, key, def, names, help)                                                       \
    {ROW_##kind, key, names, offsetof(struct otlp_config, name)},
    OTLP_SETTINGS(X)
#undef X
};
static_assert(ORR_COUNT(rows) <= 32, "a bit each in otlp_override");

#define FIELD_BOOL(name, key, def, names, help)                                                    \
    CONF_BOOL(struct otlp_config, name, key, def, CONF_RELOAD, help),
#define FIELD_ENUM(name, key, def, names, help)                                                    \
    CONF_ENUM(struct otlp_config, name, key, def, names, CONF_RELOAD, help),
#define FIELD_TEXT(name, key, def, names, help)                                                    \
    CONF_STRING(struct otlp_config, name, key, def, CONF_RELOAD, help),
#define FIELD_LIST(name, key, def, names, help)                                                    \
    CONF_LIST(struct otlp_config, name, key, def, CONF_RELOAD, help),

static const struct conf_field otlp_fields[] = {
#define X(kind, name, key, def, names, help) FIELD_##kind(name, key, def, names, help)
    OTLP_SETTINGS(X)
#undef X
};
const struct conf_section otlp_section = {
    "otlp", "How OpenTelemetry metrics become series, unless the overrides file says otherwise.",
    sizeof(struct otlp_config), otlp_fields, ORR_COUNT(otlp_fields)};

bool otlp_config_strategy(struct slice text, enum otlp_strategy *ret)
{
    static const char *const names[] = {
#define X(sym, name) name,
        OTLP_STRATEGIES(X)
#undef X
    };

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(text, names[i])) {
            *ret = (enum otlp_strategy)i;
            return true;
        }
    return false;
}

/* ---- overrides ---- */

/* The key, its dashes written as underscores or not. */
static bool is_key(struct slice text, const char *key)
{
    if (text.len != strlen(key))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != (uint8_t)key[i] && !(key[i] == '-' && text.ptr[i] == '_'))
            return false;
    return true;
}

static const struct row *find_row(struct slice text)
{
    for (size_t i = 0; i < ORR_COUNT(rows); i++)
        if (is_key(text, rows[i].key))
            return &rows[i];
    return NULL;
}

/* Which of "a|b|c". */
static bool enum_index(const char *names, struct slice text, int *ret)
{
    struct slice rest = slice_cstr(names), name;

    for (int i = 0; slice_split(&rest, '|', &name); i++)
        if (slice_eq(name, text)) {
            *ret = i;
            return true;
        }
    return false;
}

static bool parse_list(const struct yaml_node *node, struct arena *a, struct conf_list *ret)
{
    if (node->kind != YAML_KIND_SEQ)
        return false;
    ret->items = arena_array(a, char *, node->n);
    ret->n = 0;
    for (size_t i = 0; i < node->n; i++) {
        if (node->items[i]->kind != YAML_KIND_SCALAR)
            return false;
        ret->items[ret->n++] = arena_cstr(a, node->items[i]->text);
    }
    return true;
}

static struct err *parse_row(const struct row *row, const struct yaml_node *node, struct arena *a,
                             struct otlp_config *ret)
{
    void *p = (char *)ret + row->offset;
    bool is_scalar = node && node->kind == YAML_KIND_SCALAR;

    switch (row->kind) {
    case ROW_BOOL:
        if (is_scalar && yaml_bool(node, p))
            return NULL;
        return err_new(ERR_INVALID, "%s: not true or false", row->key);
    case ROW_ENUM:
        if (is_scalar && enum_index(row->names, node->text, p))
            return NULL;
        return err_new(ERR_INVALID, "%s: not one of %s", row->key, row->names);
    case ROW_TEXT:
        if (is_scalar) {
            *(char **)p = arena_cstr(a, node->text);
            return NULL;
        }
        return err_new(ERR_INVALID, "%s: not a text", row->key);
    case ROW_LIST:
        if (node && parse_list(node, a, p))
            return NULL;
        return err_new(ERR_INVALID, "%s: not a list of texts", row->key);
    }
    return NULL;
}

struct err *otlp_config_parse(const char *name, const struct yaml_node *node, struct arena *a,
                              struct otlp_override *ret)
{
    *ret = (struct otlp_override){0};
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_MAP)
        return err_new(ERR_INVALID, "%s:%u: otlp is a mapping", name, node->line);
    for (size_t i = 0; i < node->n; i++) {
        const struct row *row = find_row(node->keys[i].text);
        struct err *e;

        if (!row)
            return err_new(ERR_INVALID, "%s:%u: otlp: unknown setting %.*s", name,
                           node->keys[i].line, SLICE_ARG(node->keys[i].text));
        if ((e = parse_row(row, node->items[i], a, &ret->values)))
            return err_wrap(e, "%s:%u: otlp", name, node->keys[i].line);
        ret->is_set |= 1u << (row - rows);
    }
    return err_wrap(otlp_config_check(&ret->values), "%s:%u: otlp", name, node->line);
}

static size_t row_bytes(enum row_kind kind)
{
    switch (kind) {
    case ROW_BOOL:
        return sizeof(bool);
    case ROW_ENUM:
        return sizeof(int);
    case ROW_TEXT:
        return sizeof(char *);
    case ROW_LIST:
        return sizeof(struct conf_list);
    }
    return 0;
}

struct otlp_config otlp_config_merge(const struct otlp_config *base, const struct otlp_override *o)
{
    struct otlp_config c = *base;

    for (size_t i = 0; o && i < ORR_COUNT(rows); i++)
        if (o->is_set >> i & 1)
            memcpy((char *)&c + rows[i].offset, (const char *)&o->values + rows[i].offset,
                   row_bytes(rows[i].kind));
    return c;
}

static struct err *check_names(const char *what, const struct conf_list *list)
{
    if (list->n > OTLP_CONFIG_MAX_NAMES)
        return err_new(ERR_INVALID, "%s: more than %d names", what, OTLP_CONFIG_MAX_NAMES);
    for (size_t i = 0; i < list->n; i++) {
        if (!list->items[i][0])
            return err_new(ERR_INVALID, "%s: an empty name", what);
        for (size_t k = 0; k < i; k++)
            if (strcmp(list->items[i], list->items[k]) == 0)
                return err_new(ERR_INVALID, "%s: %s is there twice", what, list->items[i]);
    }
    return NULL;
}

struct err *otlp_config_check(const struct otlp_config *c)
{
    struct err *e;

    if ((e = check_names("promote-resource-attributes", &c->promoted)) ||
        (e = check_names("ignore-resource-attributes", &c->ignored)))
        return e;
    if (c->promotes_all && c->promoted.n)
        return err_new(ERR_INVALID, "promote-all-resource-attributes and a list in "
                                    "promote-resource-attributes exclude each other");
    if (!c->promotes_all && c->ignored.n)
        return err_new(ERR_INVALID, "ignore-resource-attributes says nothing without "
                                    "promote-all-resource-attributes");
    return NULL;
}

static void print_value(const struct row *row, const struct otlp_config *values, struct buf *out)
{
    const void *p = (const char *)values + row->offset;
    const struct conf_list *list = p;
    struct slice rest, name = SLICE_EMPTY;

    switch (row->kind) {
    case ROW_BOOL:
        buf_str(out, *(const bool *)p ? "true" : "false");
        break;
    case ROW_ENUM:
        rest = slice_cstr(row->names);
        for (int i = 0; i <= *(const int *)p; i++)
            (void)slice_split(&rest, '|', &name);
        buf_slice_append(out, name);
        break;
    case ROW_TEXT:
        buf_json_str(out, slice_cstr(*(char *const *)p));
        break;
    case ROW_LIST:
        buf_byte(out, '[');
        for (size_t i = 0; i < list->n; i++) {
            buf_str(out, i ? ", " : "");
            buf_json_str(out, slice_cstr(list->items[i]));
        }
        buf_byte(out, ']');
        break;
    }
}

void otlp_config_print(const struct otlp_override *o, struct buf *out)
{
    bool is_first = true;

    buf_byte(out, '{');
    for (size_t i = 0; i < ORR_COUNT(rows); i++) {
        if (!(o->is_set >> i & 1))
            continue;
        buf_str(out, is_first ? "" : ", ");
        is_first = false;
        for (const char *k = rows[i].key; *k; k++)
            buf_byte(out, *k == '-' ? '_' : (uint8_t)*k);
        buf_str(out, ": ");
        print_value(&rows[i], &o->values, out);
    }
    buf_byte(out, '}');
}
