#include "ruler/rule_file.h"

#include <math.h>
#include <stdarg.h>

#include "common/base/clock.h"
#include "common/base/gonum.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/promdur.h"
#include "common/model/tenant.h"
#include "ruler/rule_file_internal.h"

#define HASH_SEED 0x72756c6573ull

static const char *const lang_names[] = {
#define X(sym, name) name,
    RULE_LANGS(X)
#undef X
};

const char *rule_lang_name(enum rule_lang lang)
{
    return lang_names[lang];
}

bool rule_lang_read(struct slice name, enum rule_lang *ret)
{
    for (size_t i = 0; i < ORR_COUNT(lang_names); i++)
        if (slice_eq_cstr(name, lang_names[i])) {
            *ret = (enum rule_lang)i;
            return true;
        }
    return false;
}

void rule_errors_add(struct rule_errors *errs, const char *fmt, ...)
{
    va_list ap;

    if (errs->n++ >= RULE_FILE_MAX_ERRORS)
        return;
    if (errs->text.len)
        buf_str(&errs->text, "; ");
    va_start(ap, fmt);
    buf_vprintf(&errs->text, fmt, ap);
    va_end(ap);
}

void rule_errors_take(struct rule_errors *errs, struct err *e)
{
    if (!e)
        return;
    if (err_is(e, ERR_LIMIT))
        errs->code = ERR_LIMIT;
    rule_errors_add(errs, "%s", err_msg(e));
    err_free(e);
}

/* What the walk over one file carries. */
struct walk {
    struct arena *a;
    const char *path;
    enum rule_lang lang;
    bool is_prometheus; /* knows no source_tenants */
    struct rule_errors errs;
    size_t n_rules;
    uint64_t bytes,
        of_group; /* of texts and labels so far, each as often as it is there; of those that a rule has from its group */
};

static bool is_too_much(const struct walk *w)
{
    return w->bytes > RULE_FILE_MAX_WHOLE;
}

/* A short text may name a long one very often, by aliases, or as a label of a group of many rules. */
static void weigh(struct walk *w, uint64_t bytes)
{
    bool was = is_too_much(w);

    w->bytes += bytes;
    if (was || !is_too_much(w))
        return;
    w->errs.code = ERR_LIMIT;
    rule_errors_add(&w->errs,
                    "more than %u bytes of texts and labels, when aliases are followed and rules "
                    "have those of their groups",
                    RULE_FILE_MAX_WHOLE);
}

static struct slice text_of(struct walk *w, const struct yaml_node *n, const char *what)
{
    if (yaml_is_null(n))
        return SLICE_EMPTY;
    if (n->kind != YAML_KIND_SCALAR) {
        rule_errors_add(&w->errs, "%u: %s must be a text", n->line, what);
        return SLICE_EMPTY;
    }
    weigh(w, n->text.len);
    return n->text;
}

static int64_t duration_of(struct walk *w, const struct yaml_node *n, const char *what)
{
    int64_t ns = 0;
    struct err *e;

    if (yaml_is_null(n))
        return 0;
    e = promdur_parse(text_of(w, n, what), &ns);
    rule_errors_take(&w->errs, err_wrap(e, "%u: %s", n->line, what));
    return ns / NS_PER_MS;
}

static uint64_t limit_of(struct walk *w, const struct yaml_node *n)
{
    struct slice text = text_of(w, n, "limit");
    double v = 0;
    int64_t i;

    if (yaml_is_null(n))
        return 0;
    if (n->kind == YAML_KIND_SCALAR && n->is_plain) {
        if (gonum_int(text, &i))
            return i > 0 ? (uint64_t)i : 0; /* no limit when negative, as in Prometheus */
        if (gonum_float(text, &v) && isfinite(v) && fabs(v) < 9.0e18)
            return v > 0 ? (uint64_t)v : 0;
    }
    rule_errors_add(&w->errs, "%u: limit: \"%.*s\" is not a whole number", n->line,
                    SLICE_ARG(text));
    return 0;
}

static struct labels labels_of(struct walk *w, const struct yaml_node *n, const char *what)
{
    struct label *ls;

    if (yaml_is_null(n))
        return (struct labels){0};
    if (n->kind != YAML_KIND_MAP) {
        rule_errors_add(&w->errs, "%u: %s must be a mapping", n->line, what);
        return (struct labels){0};
    }
    weigh(w, n->n * sizeof(*ls));
    if (is_too_much(w))
        return (struct labels){0};
    ls = arena_array(w->a, struct label, n->n + 1);
    for (size_t i = 0; i < n->n; i++) {
        weigh(w, n->keys[i].text.len);
        ls[i] = (struct label){n->keys[i].text, text_of(w, n->items[i], what)};
    }
    return (struct labels){ls, n->n};
}

/* Is key one of names (NULL-terminated)? Complains if not. */
static void check_keys(struct walk *w, const struct yaml_node *n, const char *what,
                       const char *const *names)
{
    for (size_t i = 0; i < n->n; i++) {
        bool is_known = false;

        for (size_t k = 0; names[k] && !is_known; k++)
            is_known = slice_eq_cstr(n->keys[i].text, names[k]);
        if (!is_known)
            rule_errors_add(&w->errs, "%u: field %.*s not found in a %s", n->keys[i].line,
                            SLICE_ARG(n->keys[i].text), what);
    }
}

/* The group's labels with the rule's over them; empty texts are no labels. */
static struct labels merged(struct walk *w, struct labels group, struct labels own)
{
    struct labels_builder b;

    labels_builder_init(&b, w->a, (struct labels){0});
    for (size_t i = 0; i < group.n; i++)
        labels_builder_set(&b, group.ptr[i].name, group.ptr[i].value);
    for (size_t i = 0; i < own.n; i++)
        labels_builder_set(&b, own.ptr[i].name, own.ptr[i].value);
    return labels_builder_labels(&b);
}

/* Annotations may be empty. */
static struct labels sorted(struct labels ls)
{
    struct slice dup;

    (void)labels_sort((struct label *)ls.ptr, ls.n, &dup); /* the YAML reader refused doubles */
    return ls;
}

static void parse_rule(struct walk *w, const struct rule_group *g, size_t number,
                       const struct yaml_node *n, struct rule *ret)
{
    static const char *const names[] = {"record",          "alert",  "expr",        "for",
                                        "keep_firing_for", "labels", "annotations", NULL};
    struct rule_raw r = {.lang = g->lang, .line = n ? n->line : 0};

    if (!yaml_is_null(n) && n->kind != YAML_KIND_MAP) {
        rule_errors_add(&w->errs, "%u: a rule must be a mapping", n->line);
        return;
    }
    if (!yaml_is_null(n)) {
        check_keys(w, n, "rule", names);
        r.record = text_of(w, yaml_get(n, "record"), "record");
        r.alert = text_of(w, yaml_get(n, "alert"), "alert");
        r.expr = text_of(w, yaml_get(n, "expr"), "expr");
        r.for_ms = duration_of(w, yaml_get(n, "for"), "for");
        r.keep_firing_ms = duration_of(w, yaml_get(n, "keep_firing_for"), "keep_firing_for");
        r.labels = labels_of(w, yaml_get(n, "labels"), "labels");
        r.annotations = labels_of(w, yaml_get(n, "annotations"), "annotations");
    }
    weigh(w, w->of_group);
    if (is_too_much(w))
        return;
    *ret = (struct rule){.lang = g->lang,
                         .is_alert = r.alert.len > 0,
                         .name = r.alert.len ? r.alert : r.record,
                         .expr = r.expr,
                         .query = SLICE_EMPTY,
                         .for_ms = r.for_ms,
                         .keep_firing_ms = r.keep_firing_ms,
                         .labels = merged(w, g->labels, r.labels),
                         .own_labels = merged(w, (struct labels){0}, r.labels),
                         .annotations = sorted(r.annotations)};
    rule_file_check_rule(w->a, g->name, number, &r, &w->errs, &ret->query);
}

static void hash_labels(struct buf *b, struct labels ls)
{
    buf_uvarint(b, ls.n);
    for (size_t i = 0; i < ls.n; i++) {
        buf_lstr(b, ls.ptr[i].name);
        buf_lstr(b, ls.ptr[i].value);
    }
}

static uint64_t group_hash(const struct rule_group *g)
{
    struct buf b = {0};
    uint64_t h;

    buf_lstr(&b, g->name);
    buf_byte(&b, (uint8_t)g->lang);
    buf_varint(&b, g->interval_ms);
    buf_varint(&b, g->query_offset_ms);
    buf_uvarint(&b, g->limit);
    for (size_t i = 0; i < g->n_sources; i++)
        buf_lstr(&b, g->sources[i]);
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct rule *r = &g->rules[i];

        buf_byte(&b, r->is_alert);
        buf_lstr(&b, r->name);
        buf_lstr(&b, r->expr);
        buf_varint(&b, r->for_ms);
        buf_varint(&b, r->keep_firing_ms);
        hash_labels(&b, r->labels);
        hash_labels(&b, r->annotations);
    }
    h = hash_xxh64(buf_slice(&b), HASH_SEED);
    buf_done(&b);
    return h;
}

static void parse_rules(struct walk *w, const struct yaml_node *n, struct rule_group *g)
{
    if (yaml_is_null(n))
        return;
    if (n->kind != YAML_KIND_SEQ) {
        rule_errors_add(&w->errs, "%u: rules must be a list", n->line);
        return;
    }
    w->n_rules += n->n;
    if (w->n_rules > RULE_FILE_MAX_RULES) {
        w->errs.code = ERR_LIMIT;
        rule_errors_add(&w->errs, "more than %d rules in one file", RULE_FILE_MAX_RULES);
        return;
    }
    g->rules = arena_array(w->a, struct rule, n->n + 1);
    g->n_rules = n->n;
    for (size_t i = 0; i < n->n; i++)
        parse_rule(w, g, i + 1, n->items[i], &g->rules[i]);
}

static void parse_sources(struct walk *w, const struct yaml_node *n, struct rule_group *g)
{
    if (yaml_is_null(n))
        return;
    if (n->kind != YAML_KIND_SEQ || n->n > RULE_FILE_MAX_SOURCES) {
        rule_errors_add(&w->errs, "%u: source_tenants must be a list of at most %d tenants",
                        n->line, RULE_FILE_MAX_SOURCES);
        return;
    }
    g->sources = arena_array(w->a, struct slice, n->n + 1);
    for (size_t i = 0; i < n->n; i++) {
        struct slice name = text_of(w, n->items[i], "source_tenants");

        rule_errors_take(&w->errs,
                         err_wrap(tenant_check(name), "%u: source_tenants", n->items[i]->line));
        g->sources[g->n_sources++] = name;
    }
}

static void parse_group(struct walk *w, const struct yaml_node *n, struct map *seen,
                        struct rule_group *ret)
{
    /* the first one is Orrery's and Mimir's alone */
    static const char *const names[] = {"source_tenants", "name",   "interval", "query_offset",
                                        "limit",          "labels", "rules",    NULL};
    struct labels group_labels;
    uint64_t before;

    *ret = (struct rule_group){.lang = w->lang, .name = SLICE_EMPTY, .query_offset_ms = -1};
    if (!yaml_is_null(n) && n->kind != YAML_KIND_MAP) {
        rule_errors_add(&w->errs, "%u: a group must be a mapping", n->line);
        return;
    }
    if (!yaml_is_null(n)) {
        check_keys(w, n, "group", names + w->is_prometheus);
        ret->name = text_of(w, yaml_get(n, "name"), "name");
        ret->interval_ms = duration_of(w, yaml_get(n, "interval"), "interval");
        if (!yaml_is_null(yaml_get(n, "query_offset")))
            ret->query_offset_ms = duration_of(w, yaml_get(n, "query_offset"), "query_offset");
        ret->limit = limit_of(w, yaml_get(n, "limit"));
        parse_sources(w, yaml_get(n, "source_tenants"), ret);
    }
    if (ret->name.len == 0)
        rule_errors_add(&w->errs, "%u: Groupname must not be empty", n ? n->line : 0);
    if (slice_find_byte(ret->name, 0, 0) >= 0) /* keys of groups are C strings (rule_set.h) */
        rule_errors_add(&w->errs, "%u: Groupname must not have a NUL in it", n->line);
    if (map_put(seen, ret->name, ret))
        rule_errors_add(&w->errs, "%u: groupname: \"%.*s\" is repeated in the same file",
                        n ? n->line : 0, SLICE_ARG(ret->name));
    before = w->bytes;
    group_labels = labels_of(w, yaml_get(n, "labels"), "labels");
    if (is_too_much(w))
        return;
    w->of_group = ret->name.len + (w->bytes - before); /* the name is in what errors say */
    rule_file_check_labels(ret->name, group_labels, &w->errs);
    ret->labels = merged(w, (struct labels){0}, group_labels);
    parse_rules(w, yaml_get(n, "rules"), ret);
    if (is_too_much(w))
        return;
    ret->hash = group_hash(ret);
}

static void parse_fields(struct walk *w, const struct yaml_node *root, const char *const *names,
                         struct rule_file *f)
{
    const struct yaml_node *groups;
    struct map seen = {0};

    if (yaml_is_null(root))
        return;
    if (root->kind != YAML_KIND_MAP) {
        rule_errors_add(&w->errs, "%u: a rule file must be a mapping", root->line);
        return;
    }
    check_keys(w, root, "rule file", names);
    groups = yaml_get(root, "groups");
    if (yaml_is_null(groups))
        return;
    if (groups->kind != YAML_KIND_SEQ) {
        rule_errors_add(&w->errs, "%u: groups must be a list", groups->line);
        return;
    }
    f->groups = arena_array(w->a, struct rule_group, groups->n + 1);
    f->n_groups = groups->n;
    for (size_t i = 0; i < groups->n; i++)
        parse_group(w, groups->items[i], &seen, &f->groups[i]);
    map_done(&seen);
}

static void parse_root(struct walk *w, const struct yaml_node *root, struct rule_file *f)
{
    static const char *const names[] = {"groups", NULL};

    w->is_prometheus = true;
    parse_fields(w, root, names, f);
}

static void parse_namespace(struct walk *w, const struct yaml_node *root, struct rule_file *f)
{
    static const char *const names[] = {"namespace", "groups", NULL};

    parse_fields(w, root, names, f);
    f->ns = text_of(w, yaml_get(root, "namespace"), "namespace");
}

static void file_free(struct snapshot *s)
{
    struct rule_file *f = ORR_CONTAINER(s, struct rule_file, snap);

    arena_free(f->arena);
    mem_free(f);
}

static bool is_marker(struct slice line)
{
    return slice_has_prefix(line, SLICE("---")) &&
           (line.len == 3 || line.ptr[3] == ' ' || line.ptr[3] == '\t' || line.ptr[3] == '\r');
}

/* A marker in the first column always starts a document, also within a block of text, so lines
 * are enough to find the end of one. */
bool rule_file_next_document(struct slice *rest, struct slice *ret)
{
    struct slice text = *rest, left = *rest, line;
    bool has_content = false;

    while (slice_split(&left, '\n', &line)) {
        bool is_blank = slice_trim(line).len == 0 || line.ptr[0] == '#' || line.ptr[0] == '%';

        if (is_marker(line) && has_content) {
            *ret = slice_sub(text, 0, (size_t)(line.ptr - text.ptr));
            *rest = slice_from(text, ret->len);
            return true;
        }
        has_content = has_content || (!is_blank && !(is_marker(line) && slice_trim(line).len == 3));
    }
    *ret = text;
    *rest = SLICE_EMPTY;
    return has_content;
}

static struct slice first_document(const char *path, struct slice text)
{
    struct slice rest = text, first = text;

    if (rule_file_next_document(&rest, &first) && rest.len) {
        LOG_WARN(ruler, "documents after the first are ignored", KV_STR("path", path));
    }
    return first;
}

typedef void read_root_fn(struct walk *w, const struct yaml_node *root, struct rule_file *f);

static struct err *parse(const char *path, struct slice text, enum rule_lang lang,
                         read_root_fn *read_root, struct rule_file **ret)
{
    struct rule_file *f = mem_new(struct rule_file);
    struct walk w = {.path = path, .lang = lang, .errs.code = ERR_INVALID};
    struct yaml_node *root = NULL;
    struct err *e;

    snapshot_init(&f->snap, file_free);
    f->arena = w.a = arena_new(0); /* the YAML reader and the rule count bound it */
    f->path = arena_dup(w.a, slice_cstr(path));
    e = yaml_load(path, text, w.a, &root);
    if (!e) {
        read_root(&w, root, f);
        if (w.errs.n > RULE_FILE_MAX_ERRORS)
            buf_printf(&w.errs.text, "; and %zu more", w.errs.n - RULE_FILE_MAX_ERRORS);
        if (w.errs.n)
            e = err_new(w.errs.code, "%s: %s", path, buf_cstr(&w.errs.text));
    }
    buf_done(&w.errs.text);
    if (e) {
        rule_file_unref(f);
        return e;
    }
    *ret = f;
    return NULL;
}

struct err *rule_file_parse(const char *path, struct slice text, enum rule_lang lang,
                            struct rule_file **ret)
{
    return parse(path, first_document(path, text), lang, parse_root, ret);
}

static void parse_one(struct walk *w, const struct yaml_node *root, struct rule_file *f)
{
    struct map seen = {0};

    f->groups = arena_array(w->a, struct rule_group, 1);
    f->n_groups = 1;
    parse_group(w, root, &seen, f->groups);
    map_done(&seen);
}

struct err *rule_file_parse_group(const char *path, struct slice text, enum rule_lang lang,
                                  struct rule_file **ret)
{
    return parse(path, text, lang, parse_one, ret);
}

struct err *rule_file_parse_namespace(const char *path, struct slice text, enum rule_lang lang,
                                      struct rule_file **ret)
{
    return parse(path, text, lang, parse_namespace, ret);
}

struct rule_file *rule_file_ref(const struct rule_file *f)
{
    return (struct rule_file *)snapshot_ref((struct snapshot *)&f->snap);
}

void rule_file_unref(const struct rule_file *f)
{
    if (f)
        snapshot_unref((struct snapshot *)&f->snap);
}
