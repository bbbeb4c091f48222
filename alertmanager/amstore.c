#include "alertmanager/amstore.h"

#include <fnmatch.h>

#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/yaml.h"
#include "common/model/tenant.h"

#define NAME "alertmanager_config" /* in messages */

/* ---- the object ---- */

enum field { TENANT = 1, CONFIG = 2, TEMPLATE = 3, FILE_NAME = 1, FILE_TEXT = 2 };

static void put_field(struct buf *out, unsigned field, struct slice s)
{
    buf_uvarint(out, field << 3 | 2);
    buf_lstr(out, s);
}

void amstore_encode(struct buf *out, struct slice tenant, const struct amstore_config *c)
{
    put_field(out, TENANT, tenant);
    put_field(out, CONFIG, c->config);
    for (size_t i = 0; i < c->n; i++) {
        struct buf b = {0};

        put_field(&b, FILE_NAME, c->templates[i].name);
        put_field(&b, FILE_TEXT, c->templates[i].text);
        put_field(out, TEMPLATE, buf_slice(&b));
        buf_done(&b);
    }
}

/* The next field that is bytes; fields of other kinds are nobody's. False at the end, or malformed. */
static bool next_field(struct reader *r, uint64_t *ret_field, struct slice *ret)
{
    uint64_t tag;

    if (!reader_left(r))
        return false;
    tag = reader_uvarint(r);
    if ((tag & 7) != 2)
        reader_fail(r);
    *ret_field = tag >> 3;
    *ret = reader_lstr(r);
    return reader_ok(r);
}

static bool read_template(struct slice bytes, struct amstore_template *ret)
{
    struct reader r = reader_new(bytes);
    struct slice s;
    uint64_t field;

    *ret = (struct amstore_template){SLICE_EMPTY, SLICE_EMPTY};
    while (next_field(&r, &field, &s)) {
        if (field == FILE_NAME)
            ret->name = s;
        else if (field == FILE_TEXT)
            ret->text = s;
    }
    return reader_ok(&r);
}

struct err *amstore_decode(struct arena *a, struct slice bytes, struct amstore_config *ret)
{
    struct amstore_config c = {0};
    struct reader r = reader_new(bytes);
    struct slice s;
    uint64_t field;

    c.config = SLICE_EMPTY;
    while (next_field(&r, &field, &s)) {
        if (field == CONFIG) {
            c.config = s;
        } else if (field == TEMPLATE) {
            if (c.n == AMSTORE_MAX_TEMPLATES)
                return err_new(ERR_CORRUPT, "more than %d templates", AMSTORE_MAX_TEMPLATES);
            c.templates = arena_more(a, c.templates, c.n);
            if (!read_template(s, &c.templates[c.n++]))
                reader_fail(&r);
        }
    }
    if (!reader_ok(&r))
        return err_new(ERR_CORRUPT, "not a configuration of an alertmanager");
    *ret = c;
    return NULL;
}

struct slice amstore_key(struct arena *a, struct slice tenant)
{
    return slice_cstr(arena_printf(a, AMSTORE_PREFIX "%.*s", SLICE_ARG(tenant)));
}

struct slice amstore_tenant(struct slice key)
{
    struct slice prefix = SLICE(AMSTORE_PREFIX), id = SLICE_EMPTY;
    struct err *e;

    if (slice_has_prefix(key, prefix))
        id = slice_from(key, prefix.len);
    e = tenant_check(id);
    if (!e)
        return id;
    err_free(e);
    return SLICE_EMPTY;
}

/* ---- the document ---- */

static struct err *check_name(struct slice name)
{
    if (!name.len || name.len > 255 || slice_eq_cstr(name, ".") || slice_eq_cstr(name, "..") ||
        slice_find_byte(name, '/', 0) >= 0 || slice_find_byte(name, '\\', 0) >= 0 ||
        slice_find_byte(name, 0, 0) >= 0)
        return err_new(ERR_INVALID, "template_files: \"%.*s\" is no file name", SLICE_ARG(name));
    return NULL;
}

static struct err *read_templates(struct arena *a, const struct yaml_node *map,
                                  const struct amstore_limits *limits, struct amstore_config *c)
{
    size_t most = limits->max_templates ? limits->max_templates : AMSTORE_MAX_TEMPLATES;
    struct err *e = NULL;

    if (!map || yaml_is_null(map))
        return NULL;
    if (map->kind != YAML_KIND_MAP)
        return err_new(ERR_INVALID, "%u: template_files: names and texts are wanted", map->line);
    if (map->n > most)
        return err_new(ERR_LIMIT,
                       "%zu template files, more than %zu (alertmanager_max_templates_count)",
                       map->n, most);
    c->templates = arena_array(a, struct amstore_template, map->n + 1);
    for (size_t i = 0; !e && i < map->n; i++) {
        const struct yaml_node *v = map->items[i];

        if (v->kind != YAML_KIND_SCALAR)
            return err_new(ERR_INVALID, "%u: template_files: a text is wanted", v->line);
        c->templates[c->n++] = (struct amstore_template){map->keys[i].text, v->text};
        if (limits->max_template_bytes && v->text.len > limits->max_template_bytes)
            return err_new(ERR_LIMIT,
                           "template file %.*s has %zu bytes, more than %zu "
                           "(alertmanager_max_template_size_bytes)",
                           SLICE_ARG(map->keys[i].text), v->text.len, limits->max_template_bytes);
        e = check_name(map->keys[i].text);
    }
    return e;
}

struct err *amstore_from_yaml(struct arena *a, struct slice body,
                              const struct amstore_limits *limits, struct amstore_config *ret)
{
    struct amstore_config c = {0};
    struct yaml_node *doc, *config;
    struct err *e;

    if ((e = yaml_load("body", body, a, &doc)))
        return e;
    if (!doc || doc->kind != YAML_KIND_MAP)
        return err_new(ERR_INVALID, "body: template_files and " NAME " are wanted");
    for (size_t i = 0; i < doc->n; i++)
        if (!slice_eq_cstr(doc->keys[i].text, "template_files") &&
            !slice_eq_cstr(doc->keys[i].text, NAME))
            return err_new(ERR_INVALID, "body:%u: unknown field %.*s", doc->keys[i].line,
                           SLICE_ARG(doc->keys[i].text));
    config = yaml_get(doc, NAME);
    if (!config || config->kind != YAML_KIND_SCALAR || !config->text.len)
        return err_new(ERR_INVALID, NAME " is empty: DELETE removes a configuration");
    c.config = config->text;
    if (limits->max_config_bytes && c.config.len > limits->max_config_bytes)
        return err_new(ERR_LIMIT,
                       NAME " has %zu bytes, more than %zu (alertmanager_max_config_size_bytes)",
                       c.config.len, limits->max_config_bytes);
    if (!(e = read_templates(a, yaml_get(doc, "template_files"), limits, &c)))
        *ret = c;
    return e;
}

void amstore_yaml(struct buf *out, const struct amstore_config *c)
{
    buf_str(out, c->n ? "template_files:\n" : "template_files: {}\n");
    for (size_t i = 0; i < c->n; i++) {
        buf_str(out, "    ");
        buf_json_str(out, c->templates[i].name); /* a string of JSON is one of YAML */
        buf_str(out, ": ");
        buf_json_str(out, c->templates[i].text);
        buf_byte(out, '\n');
    }
    buf_str(out, NAME ": ");
    buf_json_str(out, c->config);
    buf_byte(out, '\n');
}

/* ---- what holds ---- */

static bool is_used(const struct amconf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_template_patterns; i++) {
        char *pattern = slice_dup(conf->template_patterns[i]);
        bool matches = fnmatch(pattern, name, 0) == 0;

        mem_free(pattern);
        if (matches)
            return true;
    }
    return false;
}

static struct err *add_templates(struct amconf *conf, const struct amstore_config *c)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < conf->n_template_patterns; i++)
        if (slice_find_byte(conf->template_patterns[i], '/', 0) >= 0)
            e = err_new(ERR_INVALID, NAME ": templates: \"%.*s\" is no name of a template file",
                        SLICE_ARG(conf->template_patterns[i]));
    for (size_t i = 0; !e && i < c->n; i++) {
        char *name = slice_dup(c->templates[i].name);

        if (is_used(conf, name))
            e = amconf_add_template(conf, name, c->templates[i].text);
        mem_free(name);
    }
    return e;
}

struct err *amstore_compile(const struct amstore_config *c, struct amconf **ret)
{
    struct amconf *conf = NULL;
    struct err *e;

    if ((e = amconf_parse(NAME, c->config, AMCONF_OF_TENANT, &conf)) ||
        (e = add_templates(conf, c))) {
        amconf_unref(conf);
        return e;
    }
    *ret = conf;
    return NULL;
}

struct err *amstore_compile_object(struct slice bytes, struct amconf **ret)
{
    struct arena *a = arena_new(0);
    struct amstore_config c;
    struct err *e;

    if (!(e = amstore_decode(a, bytes, &c)))
        e = amstore_compile(&c, ret);
    arena_free(a);
    return e;
}
