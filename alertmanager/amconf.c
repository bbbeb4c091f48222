#include "alertmanager/amconf.h"

#include "alertmanager/amconf_internal.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/promdur.h"
#include "common/template/template_am.h"

#define DEFAULT_RESOLVE_MS (5 * 60 * 1000)
#define ARENA_BYTES (256u << 20)

const char *amconf_text(struct amconf_reader *r, const struct yaml_node *n, const char *key)
{
    const struct yaml_node *v = yaml_get(n, key);

    return !v || yaml_is_null(v) || v->kind != YAML_KIND_SCALAR ? NULL
                                                                : arena_cstr(r->arena, v->text);
}

bool amconf_has(const struct yaml_node *n, const char *key)
{
    const struct yaml_node *v = yaml_get(n, key);

    return v && !yaml_is_null(v) && (v->kind != YAML_KIND_SCALAR || v->text.len > 0);
}

bool amconf_bool(const struct yaml_node *n, const char *key, bool def)
{
    const struct yaml_node *v = yaml_get(n, key);
    bool b;

    return v && !yaml_is_null(v) && yaml_bool(v, &b) ? b : def;
}

struct err *amconf_duration(struct amconf_reader *r, const struct yaml_node *n, const char *key,
                            int64_t def_ms, int64_t *ret_ms)
{
    const struct yaml_node *v = yaml_get(n, key);
    int64_t ns;
    struct err *e;

    if (!v || yaml_is_null(v)) {
        *ret_ms = def_ms;
        return NULL;
    }
    if ((e = promdur_parse(v->text, &ns)))
        return err_wrap(e, "%s:%u: %s", r->name, v->line, key);
    *ret_ms = ns / 1000000;
    return NULL;
}

struct err *amconf_at(const struct amconf_reader *r, const struct yaml_node *n, const char *what)
{
    return err_new(ERR_INVALID, "%s:%u: %s", r->name, n->line, what);
}

struct slice *amconf_strings(struct amconf_reader *r, const struct yaml_node *n, const char *key,
                             size_t *ret_n)
{
    const struct yaml_node *list = yaml_get(n, key);
    struct slice *ret = NULL;

    *ret_n = 0;
    if (!list || list->kind != YAML_KIND_SEQ)
        return NULL;
    ret = arena_array(r->arena, struct slice, list->n + 1);
    for (size_t i = 0; i < list->n; i++)
        ret[i] = yaml_is_null(list->items[i]) ? SLICE_EMPTY : list->items[i]->text;
    *ret_n = list->n;
    return ret;
}

/* ---- matchers ---- */

static struct err *add_map(struct amconf_reader *r, const struct yaml_node *map, bool is_re,
                           struct ammatch_list *ret)
{
    struct err *e;

    for (size_t i = 0; map && map->kind == YAML_KIND_MAP && i < map->n; i++) {
        struct slice v = yaml_is_null(map->items[i]) ? SLICE_EMPTY : map->items[i]->text;

        if (map->keys[i].text.len == 0 || !slice_is_utf8(map->keys[i].text))
            return amconf_at(r, map->items[i], "invalid label name");
        if (is_re && yaml_is_null(map->items[i]) && map->items[i]->is_plain)
            return amconf_at(r, map->items[i], "invalid regular expression");
        if (is_re)
            v = slice_cstr(arena_printf(r->arena, "^(?:%.*s)$", SLICE_ARG(v)));
        if ((e = ammatch_init(r->arena, is_re ? MATCHER_RE : MATCHER_EQ, map->keys[i].text, v,
                              &ret->ptr[ret->n])))
            return err_wrap(e, "%s:%u", r->name, map->items[i]->line);
        ret->n++;
    }
    return NULL;
}

static size_t entries(const struct yaml_node *n)
{
    return n && n->kind != YAML_KIND_SCALAR ? n->n : 0;
}

struct err *amconf_matchers(struct amconf_reader *r, const struct yaml_node *n, const char *prefix,
                            struct ammatch_list *ret)
{
    const struct yaml_node *match = yaml_get(n, arena_printf(r->arena, "%smatch", prefix));
    const struct yaml_node *match_re = yaml_get(n, arena_printf(r->arena, "%smatch_re", prefix));
    const struct yaml_node *list = yaml_get(n, arena_printf(r->arena, "%smatchers", prefix));
    size_t cap = entries(match) + entries(match_re);
    struct err *e;

    ret->ptr = arena_array(r->arena, struct ammatch, cap + 1);
    if ((e = add_map(r, match, false, ret)) || (e = add_map(r, match_re, true, ret)))
        return e;
    for (size_t i = 0; i < entries(list); i++) {
        struct ammatch_list more;
        struct ammatch *grown;

        if ((e = ammatch_parse_list(r->arena, AMMATCH_FALLBACK, list->items[i]->text, &more)))
            return err_wrap(e, "%s:%u", r->name, list->items[i]->line);
        grown = arena_array(r->arena, struct ammatch, ret->n + more.n + 1);
        memcpy(grown, ret->ptr, ret->n * sizeof(*grown));
        memcpy(grown + ret->n, more.ptr, more.n * sizeof(*grown));
        ret->ptr = grown;
        ret->n += more.n;
    }
    ammatch_list_sort(ret);
    return NULL;
}

/* ---- parts ---- */

static struct err *read_intervals(struct amconf_reader *r, const struct yaml_node *list,
                                  struct map *seen)
{
    struct amconf *c = r->conf;
    struct err *e;

    for (size_t i = 0; i < entries(list); i++) {
        const struct yaml_node *n = list->items[i];
        const char *name = amconf_text(r, n, "name");

        if (!name || !*name)
            return amconf_at(r, n, "missing name in time interval");
        if (map_put(seen, slice_cstr(name), c))
            return amconf_at(r, n, "the time interval's name is not unique");
        c->interval_names[c->n_intervals] = slice_cstr(name);
        if ((e = timeint_parse(r->arena, r->name, yaml_get(n, "time_intervals"),
                               &c->intervals[c->n_intervals])))
            return e;
        c->n_intervals++;
    }
    return NULL;
}

static struct err *read_all_intervals(struct amconf_reader *r, const struct yaml_node *doc)
{
    const struct yaml_node *old = yaml_get(doc, "mute_time_intervals");
    const struct yaml_node *new = yaml_get(doc, "time_intervals");
    size_t n = entries(old) + entries(new);
    struct map seen = {0};
    struct err *e;

    r->conf->interval_names = arena_array(r->arena, struct slice, n + 1);
    r->conf->intervals = arena_array(r->arena, struct timeint_list, n + 1);
    if (!(e = read_intervals(r, old, &seen)))
        e = read_intervals(r, new, &seen);
    map_done(&seen);
    return e;
}

/* source: the rule itself, whose keys have the prefix "source_", or one of its `sources`. */
static struct err *read_source(struct amconf_reader *r, const struct yaml_node *n,
                               const struct yaml_node *source, const char *prefix, bool is_also)
{
    struct amconf_inhibit *rule = &r->conf->inhibit[r->conf->n_inhibit++];
    struct err *e;

    rule->is_also = is_also;
    rule->equal = amconf_strings(r, source, "equal", &rule->n_equal);
    if ((e = amconf_matchers(r, source, prefix, &rule->source)))
        return e;
    return amconf_matchers(r, n, "target_", &rule->target);
}

static struct err *read_sources(struct amconf_reader *r, const struct yaml_node *n,
                                const struct yaml_node *sources)
{
    struct err *e = NULL;

    if (amconf_has(n, "source_match") || amconf_has(n, "source_match_re") ||
        amconf_has(n, "source_matchers") || amconf_has(n, "equal"))
        return amconf_at(r, sources, "sources: not beside source_matchers or equal of the rule");
    for (size_t i = 0; !e && i < entries(sources); i++)
        e = read_source(r, n, sources->items[i], "", i > 0);
    return e;
}

static struct err *read_inhibit(struct amconf_reader *r, const struct yaml_node *list)
{
    size_t most = entries(list);
    struct err *e = NULL;

    for (size_t i = 0; i < entries(list); i++)
        most += entries(yaml_get(list->items[i], "sources"));
    r->conf->inhibit = arena_array(r->arena, struct amconf_inhibit, most + 1);
    for (size_t i = 0; !e && i < entries(list); i++) {
        const struct yaml_node *n = list->items[i], *sources = yaml_get(n, "sources");

        e = entries(sources) ? read_sources(r, n, sources) : read_source(r, n, n, "source_", false);
    }
    return e;
}

static bool is_word_of(struct slice key, const char *words)
{
    struct slice rest = slice_cstr(words), word;

    while (rest.len && slice_split(&rest, ' ', &word))
        if (slice_eq(key, word))
            return true;
    return false;
}

/* What would have this process read its host for a tenant. Under some keys the names are the tenant's own. */
static struct err *check_host(const struct amconf_reader *r, const struct yaml_node *n)
{
    struct err *e = NULL;

    for (size_t i = 0; n && n->kind != YAML_KIND_SCALAR && i < n->n && !e; i++) {
        struct slice key = n->kind == YAML_KIND_MAP ? n->keys[i].text : SLICE_EMPTY;
        const struct yaml_node *v = n->items[i];

        if (is_word_of(key, "details headers fields custom_fields attributes metadata payload "
                            "labels"))
            continue;
        if ((slice_has_suffix(key, SLICE("_file")) ||
             is_word_of(key, "files proxy_url proxy_from_environment")) &&
            !yaml_is_null(v) && (v->kind != YAML_KIND_SCALAR || v->text.len))
            return err_new(ERR_INVALID, "%s:%u: %.*s is not for tenants", r->name, n->keys[i].line,
                           SLICE_ARG(key));
        if (slice_eq_cstr(key, "http_headers"))
            for (size_t k = 0; v->kind == YAML_KIND_MAP && k < v->n && !e; k++)
                e = check_host(r, v->items[k]);
        else
            e = check_host(r, v);
    }
    return e;
}

/* A receiver has its name as a label, whatever else it has. */
static void read_receiver_labels(struct amconf_reader *r, const struct yaml_node *n,
                                 struct amconf_receiver *rec)
{
    const struct yaml_node *map = yaml_get(n, "labels");
    size_t cap = entries(map);
    struct labels_builder b;

    labels_builder_init(&b, r->arena, (struct labels){NULL, 0});
    for (size_t i = 0; i < cap; i++)
        if (!yaml_is_null(map->items[i]))
            labels_builder_set(&b, map->keys[i].text, map->items[i]->text);
    labels_builder_set(&b, SLICE("name"), rec->name);
    rec->labels = labels_builder_labels(&b);
}

static struct err *read_receivers(struct amconf_reader *r, const struct yaml_node *list)
{
    struct err *e = amconf_read_receivers(r, list);

    for (size_t i = 0; !e && i < r->conf->n_receivers; i++)
        read_receiver_labels(r, list->items[i], &r->conf->receivers[i]);
    return e;
}

static struct err *read_doc(struct amconf_reader *r, const struct yaml_node *doc, unsigned flags)
{
    const struct yaml_node *route = yaml_get(doc, "route");
    struct err *e;

    if ((e = amconf_schema_check(r->name, doc, "config")))
        return e;
    r->conf->is_of_tenant = flags & AMCONF_OF_TENANT;
    if (r->conf->is_of_tenant && ((e = check_host(r, yaml_get(doc, "global"))) ||
                                  (e = check_host(r, yaml_get(doc, "receivers")))))
        return e;
    r->global = r->conf->global = yaml_get(doc, "global");
    r->conf->template_patterns = amconf_strings(r, doc, "templates", &r->conf->n_template_patterns);
    if ((e = amconf_duration(r, r->global, "resolve_timeout", DEFAULT_RESOLVE_MS,
                             &r->conf->resolve_timeout_ms)) ||
        (e = amconf_check_global(r)) || (e = read_receivers(r, yaml_get(doc, "receivers"))) ||
        (e = read_all_intervals(r, doc)) || (e = read_inhibit(r, yaml_get(doc, "inhibit_rules"))))
        return e;
    if (route && !yaml_is_null(route))
        return amconf_read_routes(r, route);
    return flags & AMCONF_NO_ROUTE ? NULL : err_new(ERR_INVALID, "%s: no routes provided", r->name);
}

/* ---- for people to see ---- */

/* Addresses too: those of webhooks and chats let whoever knows them speak. */
static bool is_secret(struct slice key)
{
    static const char *const words[] = {"password", "secret",      "token", "credentials",
                                        "api_key",  "service_key", "url",   "routing_key",
                                        "user_key", "access_key",  "cert",  "key"};

    if (slice_has_suffix(key, SLICE("_file")))
        return false;
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_eq_cstr(key, words[i]) ||
            (i < ORR_COUNT(words) - 1 && slice_find(key, slice_cstr(words[i]), 0) >= 0))
            return true;
    return false;
}

/* An address stays one: amtool reads what is shown, and asks for a scheme. */
static const char *instead_of(struct slice key, const struct yaml_node *n)
{
    return slice_find(key, SLICE("url"), 0) >= 0 && n->kind == YAML_KIND_SCALAR && n->text.len
               ? "https://<secret>"
               : "<secret>";
}

/* What is no text in YAML stays none. */
static bool is_bare(const struct yaml_node *n)
{
    size_t i = n->text.len && n->text.ptr[0] == '-';

    if (!n->is_plain || slice_eq_cstr(n->text, "true") || slice_eq_cstr(n->text, "false"))
        return n->is_plain;
    if (n->text.len == i || (n->text.ptr[i] == '0' && n->text.len > i + 1))
        return false;
    while (i < n->text.len && n->text.ptr[i] >= '0' && n->text.ptr[i] <= '9')
        i++;
    return i == n->text.len;
}

/* hidden: what stands for all values in it; NULL: they are shown. */
static void show(struct buf *out, const struct yaml_node *n, const char *hidden)
{
    switch (n->kind) {
    case YAML_KIND_SCALAR:
        if (yaml_is_null(n))
            buf_str(out, "null");
        else if (!hidden && is_bare(n))
            buf_slice_append(out, n->text);
        else
            buf_json_str(out, hidden ? slice_cstr(hidden) : n->text);

        return;
    case YAML_KIND_SEQ:
        buf_byte(out, '[');
        for (size_t i = 0; i < n->n; i++) {
            buf_str(out, i ? ", " : "");
            show(out, n->items[i], hidden);
        }
        buf_byte(out, ']');
        return;
    case YAML_KIND_MAP:
        buf_byte(out, '{');
        for (size_t i = 0; i < n->n; i++) {
            bool is_tree = n->items[i]->kind == YAML_KIND_MAP;
            bool is_header = slice_eq_cstr(n->keys[i].text, "http_headers") ||
                             slice_eq_cstr(n->keys[i].text, "proxy_connect_header");

            buf_str(out, i ? ", " : "");
            buf_json_str(out, n->keys[i].text);
            buf_str(out, ": ");
            if (!hidden && (is_header || (!is_tree && is_secret(n->keys[i].text))))
                show(out, n->items[i], instead_of(n->keys[i].text, n->items[i]));
            else
                show(out, n->items[i], hidden);
        }
        buf_byte(out, '}');
        return;
    }
}

static struct slice shown(struct arena *a, const struct yaml_node *doc)
{
    struct buf b = {0};
    struct slice ret;

    show(&b, doc, NULL);
    buf_byte(&b, '\n');
    ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

/* ---- life ---- */

static void done_routes(struct amroute *r)
{
    if (!r)
        return;
    ammatch_list_done(&r->matchers);
    for (size_t i = 0; i < r->n_routes; i++)
        done_routes(r->routes[i]);
}

static void free_conf(struct snapshot *s)
{
    struct amconf *c = ORR_CONTAINER(s, struct amconf, snapshot);

    done_routes(c->root);
    for (size_t i = 0; i < c->n_inhibit; i++) {
        ammatch_list_done(&c->inhibit[i].source);
        ammatch_list_done(&c->inhibit[i].target);
    }
    for (size_t i = 0; i < c->n_intervals; i++)
        timeint_list_done(&c->intervals[i]);
    template_free(c->templates);
    arena_free(c->arena);
    mem_free(c);
}

struct err *amconf_parse(const char *name, struct slice text, unsigned flags, struct amconf **ret)
{
    struct amconf *c = mem_new(struct amconf);
    struct amconf_reader r = {.conf = c, .arena = arena_new(ARENA_BYTES)};
    struct yaml_node *doc;
    struct err *e;

    snapshot_init(&c->snapshot, free_conf);
    c->arena = r.arena;
    c->templates = template_am_new();
    c->original = arena_dup(r.arena, text);
    r.name = arena_strdup(r.arena, name);
    if (!(e = yaml_load(name, c->original, r.arena, &doc)))
        e = doc ? read_doc(&r, doc, flags) : err_new(ERR_INVALID, "%s: empty", name);
    if (!e)
        c->shown = shown(r.arena, doc);
    if (!e && arena_over(r.arena))
        e = err_new(ERR_LIMIT, "%s: needs more than %u bytes of memory", name, ARENA_BYTES);
    if (e) {
        amconf_unref(c);
        return e;
    }
    *ret = c;
    return NULL;
}

struct amconf *amconf_default(void)
{
    struct amconf *c = NULL;
    struct err *e = amconf_parse(
        "default", SLICE("route: {receiver: \"null\"}\nreceivers: [{name: \"null\"}]\n"), 0, &c);

    ORR_ASSERT(!e);
    return c;
}

struct amconf *amconf_ref(struct amconf *c)
{
    return (struct amconf *)snapshot_ref(&c->snapshot);
}

void amconf_unref(struct amconf *c)
{
    snapshot_unref(c ? &c->snapshot : NULL);
}
