#include "common/model/relabel.h"

#include <openssl/evp.h>

#include "common/base/gore.h"
#include "common/base/gostr.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

#define DEFAULT_REGEX "(.*)"
#define DEFAULT_REPLACEMENT "$1"
#define DEFAULT_SEPARATOR ";"
#define MAX_SPANS (2 * (GORE_MAX_GROUPS + 1))

/* X(symbol, name) */
#define ACTIONS(X)                                                                                 \
    X(REPLACE, "replace")                                                                          \
    X(KEEP, "keep")                                                                                \
    X(DROP, "drop")                                                                                \
    X(KEEPEQUAL, "keepequal")                                                                      \
    X(DROPEQUAL, "dropequal")                                                                      \
    X(HASHMOD, "hashmod")                                                                          \
    X(LABELMAP, "labelmap")                                                                        \
    X(LABELDROP, "labeldrop")                                                                      \
    X(LABELKEEP, "labelkeep")                                                                      \
    X(LOWERCASE, "lowercase")                                                                      \
    X(UPPERCASE, "uppercase")
enum action {
#define X(sym, name) ACTION_##sym,
    ACTIONS(X)
#undef X
};
static const char *const action_names[] = {
#define X(sym, name) name,
    ACTIONS(X)
#undef X
};

struct rule {
    enum action action;
    struct slice *sources; /* all texts are in the relabel's arena */
    size_t n_sources;
    bool has_sources; /* also an empty list */
    struct slice separator, target, replacement;
    struct re *re;
    bool is_default_regex; /* none was given */
    uint64_t modulus;
};

struct relabel {
    struct arena *arena;
    struct rule *rules;
    size_t n;
};

/* ---- reading ---- */

struct reading {
    const char *name;
    struct arena *arena;
};

static struct err *bad(const struct reading *rd, unsigned line, const char *what, struct slice text)
{
    return err_new(ERR_INVALID, "%s:%u: %s%s%.*s", rd->name, line, what, text.len ? ": " : "",
                   SLICE_ARG(text));
}

static struct err *read_text(const struct reading *rd, const struct yaml_key *key,
                             const struct yaml_node *node, struct slice *ret)
{
    if (node && node->kind != YAML_KIND_SCALAR)
        return bad(rd, key->line, "not a text", key->text);
    *ret = node ? arena_dup(rd->arena, node->text) : SLICE_EMPTY;
    return NULL;
}

static struct err *read_sources(const struct reading *rd, const struct yaml_key *key,
                                const struct yaml_node *node, struct rule *r)
{
    if (yaml_is_null(node))
        return NULL;
    r->has_sources = true;
    if (node->kind != YAML_KIND_SEQ)
        return bad(rd, key->line, "source_labels is a list", SLICE_EMPTY);
    if (node->n > RELABEL_MAX_SOURCES)
        return bad(rd, key->line, "too many source_labels", SLICE_EMPTY);
    r->sources = arena_array(rd->arena, struct slice, node->n);
    for (size_t i = 0; i < node->n; i++) {
        struct err *e = read_text(rd, key, node->items[i], &r->sources[i]);

        if (e)
            return e;
        if (r->sources[i].len == 0)
            return bad(rd, key->line, "a source label without a name", SLICE_EMPTY);
        r->n_sources++;
    }
    return NULL;
}

static struct err *read_action(const struct reading *rd, const struct yaml_key *key,
                               const struct yaml_node *node, struct rule *r)
{
    if (!node || node->kind != YAML_KIND_SCALAR)
        return bad(rd, key->line, "action is not a text", SLICE_EMPTY);
    for (size_t i = 0; i < ORR_COUNT(action_names); i++)
        if (slice_eq_nocase(node->text, slice_cstr(action_names[i]))) {
            r->action = (enum action)i;
            return NULL;
        }
    return bad(rd, key->line, "unknown relabel action", node->text);
}

static struct err *read_regex(const struct reading *rd, const struct yaml_key *key,
                              const struct yaml_node *node, struct rule *r)
{
    struct slice pattern;
    struct err *e = read_text(rd, key, node, &pattern);

    if (e)
        return e;
    if (node && yaml_is_null(node))
        pattern = SLICE_EMPTY;
    r->is_default_regex = false;
    if ((e = re_compile(pattern, RE_ANCHORED, &r->re)))
        return err_wrap(e, "%s:%u", rd->name, key->line);
    if (re_groups(r->re) > GORE_MAX_GROUPS)
        return bad(rd, key->line, "too many groups", pattern);
    return NULL;
}

static struct err *read_field(const struct reading *rd, const struct yaml_key *key,
                              const struct yaml_node *node, struct rule *r)
{
    struct slice k = key->text;

    if (slice_eq_cstr(k, "source_labels"))
        return read_sources(rd, key, node, r);
    if (slice_eq_cstr(k, "separator"))
        return read_text(rd, key, node, &r->separator);
    if (slice_eq_cstr(k, "target_label"))
        return read_text(rd, key, node, &r->target);
    if (slice_eq_cstr(k, "replacement"))
        return read_text(rd, key, node, &r->replacement);
    if (slice_eq_cstr(k, "regex"))
        return read_regex(rd, key, node, r);
    if (slice_eq_cstr(k, "action"))
        return read_action(rd, key, node, r);
    if (!slice_eq_cstr(k, "modulus"))
        return bad(rd, key->line, "unknown field", k);
    r->modulus = 0;
    if (yaml_is_null(node) ||
        (node->kind == YAML_KIND_SCALAR && slice_to_u64(node->text, &r->modulus)))
        return NULL;
    return bad(rd, key->line, "modulus is not a whole number", SLICE_EMPTY);
}

/* ---- what a rule must be ---- */

static bool has_variable(struct slice s)
{
    return slice_find_byte(s, '$', 0) >= 0;
}

static bool is_label_name(struct slice s)
{
    return s.len && slice_is_utf8(s);
}

static bool needs_target(enum action a)
{
    return a == ACTION_REPLACE || a == ACTION_HASHMOD || a == ACTION_LOWERCASE ||
           a == ACTION_UPPERCASE || a == ACTION_KEEPEQUAL || a == ACTION_DROPEQUAL;
}

static const char *what_is_wrong(const struct rule *r)
{
    bool has_separator = !slice_eq_cstr(r->separator, DEFAULT_SEPARATOR);
    bool has_replacement = !slice_eq_cstr(r->replacement, DEFAULT_REPLACEMENT);

    if (r->action == ACTION_HASHMOD && !r->modulus)
        return "relabel configuration for hashmod requires non-zero modulus";
    if (needs_target(r->action) && !r->target.len)
        return "the action requires 'target_label'";
    if (needs_target(r->action) && !is_label_name(r->target))
        return "invalid 'target_label'";
    if ((r->action == ACTION_KEEPEQUAL || r->action == ACTION_DROPEQUAL) &&
        (!r->is_default_regex || r->modulus || has_separator || has_replacement))
        return "keepequal and dropequal require only 'source_labels' and 'target_label', and no "
               "other fields";
    if ((r->action == ACTION_LOWERCASE || r->action == ACTION_UPPERCASE) && has_replacement)
        return "'replacement' can not be set for lowercase and uppercase";
    if (r->action == ACTION_LABELMAP && !is_label_name(r->replacement))
        return "invalid 'replacement' for labelmap";
    if ((r->action == ACTION_LABELDROP || r->action == ACTION_LABELKEEP) &&
        (r->has_sources || r->target.len || r->modulus || has_separator || has_replacement))
        return "labeldrop and labelkeep require only 'regex', and no other fields";
    return NULL;
}

static struct err *read_rule(const struct reading *rd, const struct yaml_node *node, struct rule *r)
{
    const char *wrong;
    struct err *e;

    r->separator = SLICE(DEFAULT_SEPARATOR);
    r->replacement = SLICE(DEFAULT_REPLACEMENT);
    r->is_default_regex = true;
    if (!node || node->kind != YAML_KIND_MAP)
        return bad(rd, node ? node->line : 0, "a relabel rule is a mapping", SLICE_EMPTY);
    for (size_t i = 0; i < node->n; i++)
        if ((e = read_field(rd, &node->keys[i], node->items[i], r)))
            return e;
    if ((wrong = what_is_wrong(r)))
        return bad(rd, node->line, wrong, SLICE_EMPTY);
    return r->re ? NULL : re_compile(SLICE(DEFAULT_REGEX), RE_ANCHORED, &r->re);
}

struct err *relabel_parse(const char *name, const struct yaml_node *node, struct relabel **ret)
{
    struct relabel *r;
    struct reading rd = {.name = name};
    struct err *e = NULL;

    if (node && !yaml_is_null(node) && node->kind != YAML_KIND_SEQ)
        return bad(&rd, node->line, "relabel rules are a list", SLICE_EMPTY);
    if (node && node->n > RELABEL_MAX_RULES)
        return bad(&rd, node->line, "too many relabel rules", SLICE_EMPTY);
    r = mem_new(struct relabel);
    rd.arena = r->arena = arena_new(0);
    if (!yaml_is_null(node)) {
        r->rules = arena_array(r->arena, struct rule, node->n);
        for (; r->n < node->n && !e; r->n++)
            e = read_rule(&rd, node->items[r->n], &r->rules[r->n]);
    }
    if (e) {
        relabel_free(r);
        return e;
    }
    *ret = r;
    return NULL;
}

void relabel_free(struct relabel *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        re_free(r->rules[i].re);
    arena_free(r->arena);
    mem_free(r);
}

size_t relabel_rules(const struct relabel *r)
{
    return r ? r->n : 0;
}

/* ---- applying ---- */

/*
 * Labels under way, as Prometheus' builder has them: those that rules set stand behind those that
 * came, in the order in which they were first set. labelmap goes through them in that order, and
 * where two map to one name the later one counts.
 */
struct applying {
    struct arena *arena;
    struct labels base;
    bool *is_hidden; /* of base: deleted, or set anew */
    struct label *added;
    size_t n_added, cap;
    struct buf value, text; /* used again by each rule */
};

static struct label *find_added(struct applying *a, struct slice name)
{
    for (size_t i = 0; i < a->n_added; i++)
        if (slice_eq(a->added[i].name, name))
            return &a->added[i];
    return NULL;
}

static void hide(struct applying *a, struct slice name)
{
    for (size_t i = 0; i < a->base.n; i++)
        if (slice_eq(a->base.ptr[i].name, name))
            a->is_hidden[i] = true;
}

static struct slice get(struct applying *a, struct slice name)
{
    const struct label *l = find_added(a, name);

    if (l)
        return l->value;
    for (size_t i = 0; i < a->base.n; i++)
        if (!a->is_hidden[i] && slice_eq(a->base.ptr[i].name, name))
            return a->base.ptr[i].value;
    return SLICE_EMPTY;
}

static void drop_label(struct applying *a, struct slice name)
{
    struct label *l = find_added(a, name);

    hide(a, name);
    if (!l)
        return;
    a->n_added--;
    memmove(l, l + 1, (size_t)(a->added + a->n_added - l) * sizeof(*l));
}

/* An empty value deletes. */
static void set(struct applying *a, struct slice name, struct slice value)
{
    struct label *l;

    if (!value.len) {
        drop_label(a, name);
        return;
    }
    if ((l = find_added(a, name))) {
        l->value = value;
        return;
    }
    hide(a, name);
    if (a->n_added == a->cap) {
        size_t cap = ORR_MAX(2 * a->cap, (size_t)8);

        a->added = arena_grow(a->arena, a->added, a->cap * sizeof(*l), cap * sizeof(*l));
        a->cap = cap;
    }
    a->added[a->n_added++] = (struct label){name, value};
}

/* All that there are now, in the order above. */
static struct labels copy_all(struct applying *a)
{
    struct label *out = arena_array(a->arena, struct label, a->base.n + a->n_added);
    size_t n = 0;

    for (size_t i = 0; i < a->base.n; i++)
        if (!a->is_hidden[i])
            out[n++] = a->base.ptr[i];
    for (size_t i = 0; i < a->n_added; i++)
        out[n++] = a->added[i];
    return (struct labels){out, n};
}

/* The joined values of the sources; lent until the next rule. */
static struct slice join(struct applying *a, const struct rule *r)
{
    if (r->n_sources == 1)
        return get(a, r->sources[0]);
    buf_reset(&a->value);
    for (size_t i = 0; i < r->n_sources; i++) {
        if (i)
            buf_slice_append(&a->value, r->separator);
        buf_slice_append(&a->value, get(a, r->sources[i]));
    }
    return buf_slice(&a->value);
}

static struct slice keep_text(struct applying *a, const struct buf *text)
{
    return arena_dup(a->arena, buf_slice(text));
}

static void replace(struct applying *a, const struct rule *r, struct slice value)
{
    int spans[MAX_SPANS];
    size_t n_spans = 2 * (re_groups(r->re) + 1);
    struct slice target = r->target;

    if (!re_find(r->re, value, 0, spans, n_spans))
        return;
    if (has_variable(target)) {
        buf_reset(&a->text);
        gore_expand(&a->text, r->re, r->target, value, spans, n_spans);
        target = keep_text(a, &a->text);
    }
    if (!is_label_name(target))
        return;
    if (!has_variable(r->replacement)) {
        set(a, target, r->replacement);
        return;
    }
    buf_reset(&a->text);
    gore_expand(&a->text, r->re, r->replacement, value, spans, n_spans);
    set(a, target, keep_text(a, &a->text)); /* empty: deletes it */
}

static void hash_mod(struct applying *a, const struct rule *r, struct slice value)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint64_t h = 0;

    ORR_ASSERT(EVP_Digest(value.ptr, value.len, digest, NULL, EVP_md5(), NULL) == 1);
    for (int i = 8; i < 16; i++)
        h = h << 8 | digest[i];
    set(a, r->target,
        slice_cstr(arena_printf(a->arena, "%llu", (unsigned long long)(h % r->modulus))));
}

static void change_case(struct applying *a, const struct rule *r, struct slice value)
{
    buf_reset(&a->text);
    if (r->action == ACTION_LOWERCASE)
        gostr_lower(&a->text, value);
    else
        gostr_upper(&a->text, value);
    set(a, r->target, keep_text(a, &a->text));
}

/* The rules of label names: on the labels as they were when the rule began. */
static void change_names(struct applying *a, const struct rule *r)
{
    struct labels before = copy_all(a);

    for (size_t i = 0; i < before.n; i++) {
        const struct label *l = &before.ptr[i];
        bool matches = re_match(r->re, l->name);

        if (r->action != ACTION_LABELMAP) {
            if (matches == (r->action == ACTION_LABELDROP))
                drop_label(a, l->name);
        } else if (matches) {
            buf_reset(&a->text);
            gore_replace_all(&a->text, r->re, l->name, r->replacement);
            set(a, keep_text(a, &a->text), l->value);
        }
    }
}

/* False: the series is dropped. */
static bool apply_rule(struct applying *a, const struct rule *r)
{
    struct slice value = join(a, r);

    switch (r->action) {
    case ACTION_KEEP:
        return re_match(r->re, value);
    case ACTION_DROP:
        return !re_match(r->re, value);
    case ACTION_KEEPEQUAL:
        return slice_eq(get(a, r->target), value);
    case ACTION_DROPEQUAL:
        return !slice_eq(get(a, r->target), value);
    case ACTION_REPLACE:
        replace(a, r, value);
        break;
    case ACTION_HASHMOD:
        hash_mod(a, r, value);
        break;
    case ACTION_LOWERCASE:
    case ACTION_UPPERCASE:
        change_case(a, r, value);
        break;
    case ACTION_LABELMAP:
    case ACTION_LABELDROP:
    case ACTION_LABELKEEP:
        change_names(a, r);
        break;
    }
    return buf_ok(&a->value) && buf_ok(&a->text);
}

bool relabel_apply(const struct relabel *r, struct arena *arena, struct labels ls,
                   struct labels *ret)
{
    struct applying a = {.arena = arena,
                         .base = ls,
                         .is_hidden = arena_array(arena, bool, ls.n),
                         .value = {.max_bytes = RELABEL_MAX_VALUE_BYTES},
                         .text = {.max_bytes = RELABEL_MAX_VALUE_BYTES}};
    bool is_kept = true;

    for (size_t i = 0; i < r->n && is_kept; i++)
        is_kept = apply_rule(&a, &r->rules[i]);
    buf_done(&a.value);
    buf_done(&a.text);
    if (is_kept) {
        *ret = copy_all(&a);
        (void)labels_sort((struct label *)ret->ptr, ret->n, NULL);
    }
    return is_kept;
}
