#include "common/base/conf.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/base/conf_internal.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/base/yaml.h"

struct conf {
    struct snapshot snapshot; /* first: a reference to it is one to us */
    const struct conf_section *const *sections;
    size_t section_count;
    const char *const *foreign; /* NULL: none */
    void **values;              /* a struct per section */
};

/* Variables other parts read. */
static const char *const reserved_env[] = {"ORRERY_FAULT", "ORRERY_DATA"};

/* ---- keys ---- */

static bool is_same_char(uint8_t a, uint8_t b)
{
    return a == b || (a == '_' && b == '-');
}

/* Does key (as a user wrote it) begin with text? */
static bool begins_with(struct slice key, struct slice text)
{
    if (key.len < text.len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_same_char(key.ptr[i], text.ptr[i]))
            return false;
    return true;
}

static char *full_key(const struct conf_section *s, const struct conf_field *f)
{
    return mem_printf("%s.%s", s->name, f->key);
}

static struct conf_slot slot_of(const struct conf *c, size_t section, size_t field)
{
    const struct conf_section *s = c->sections[section];

    return (struct conf_slot){s, &s->fields[field],
                              (char *)c->values[section] + s->fields[field].offset};
}

bool conf_find(const struct conf *c, struct slice key, struct conf_slot *ret)
{
    for (size_t i = 0; i < c->section_count; i++) {
        const struct conf_section *s = c->sections[i];
        struct slice name = slice_cstr(s->name), rest;

        if (!begins_with(key, name) || key.len <= name.len || key.ptr[name.len] != '.')
            continue;
        rest = slice_from(key, name.len + 1);
        for (size_t j = 0; j < s->field_count; j++) {
            struct slice want = slice_cstr(s->fields[j].key);

            if (rest.len == want.len && begins_with(rest, want)) {
                *ret = slot_of(c, i, j);
                return true;
            }
        }
    }
    return false;
}

bool conf_is_prefix(const struct conf *c, struct slice key)
{
    for (size_t i = 0; i < c->section_count; i++) {
        const struct conf_section *s = c->sections[i];

        for (size_t j = 0; j < s->field_count; j++) {
            char *full = full_key(s, &s->fields[j]);
            struct slice text = slice_cstr(full);
            bool is_it = text.len > key.len && full[key.len] == '.' &&
                         begins_with(key, slice_sub(text, 0, key.len));

            mem_free(full);
            if (is_it)
                return true;
        }
    }
    return false;
}

/* ---- the nearest known key ---- */

#define SUGGEST_MAX 100 /* longer keys are nobody's typo */

/* Levenshtein with swaps of neighbours counted as one, case and _ for - as nothing. */
static size_t distance(struct slice a, struct slice b)
{
    size_t rows[3][SUGGEST_MAX + 1], *before = rows[0], *prev = rows[1], *cur = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        prev[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *spare = before;

        cur[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            uint8_t x = (uint8_t)tolower(a.ptr[i - 1]), y = (uint8_t)tolower(b.ptr[j - 1]);
            size_t best = prev[j - 1] + !is_same_char(x, y);

            best = ORR_MIN(best, ORR_MIN(prev[j], cur[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same_char(x, (uint8_t)tolower(b.ptr[j - 2])) &&
                is_same_char((uint8_t)tolower(a.ptr[i - 2]), y))
                best = ORR_MIN(best, before[j - 2] + 1);
            cur[j] = best;
        }
        before = prev;
        prev = cur;
        cur = spare;
    }
    return prev[b.len];
}

struct nearest {
    struct slice key;
    size_t distance;
    char *best;
};

static size_t last_dot(struct slice key)
{
    size_t i = key.len;

    while (i > 0 && key.ptr[i - 1] != '.')
        i--;
    return i;
}

/* The right name without its section or under the wrong one, and in the right section a part of
 * the name (net.port for net.http-port), are as good as two letters off. */
static bool is_kin(struct slice key, struct slice candidate)
{
    size_t at = last_dot(key), c_at = last_dot(candidate);
    struct slice own = slice_from(key, at), c_own = slice_from(candidate, c_at);

    if (c_at == 0)
        return false;
    if (distance(own, c_own) == 0)
        return true;
    return own.len >= 3 && distance(slice_sub(key, 0, at), slice_sub(candidate, 0, c_at)) == 0 &&
           slice_find(c_own, own, 0) >= 0;
}

static void consider(struct nearest *n, const char *candidate)
{
    struct slice c = slice_cstr(candidate);
    size_t d;

    if (c.len > SUGGEST_MAX || n->key.len > SUGGEST_MAX)
        return;
    d = distance(n->key, c);
    if (d > 2 && is_kin(n->key, c))
        d = 2;
    if (d < n->distance) {
        n->distance = d;
        mem_free(n->best);
        n->best = mem_strdup(candidate);
    }
}

void conf_suggest(const struct conf *c, struct slice key, struct buf *out)
{
    struct nearest n = {key, ORR_MAX(key.len / 3, (size_t)2) + 1, NULL};
    bool is_top = slice_find_byte(key, '.', 0) < 0;

    for (size_t i = 0; i < c->section_count; i++) {
        const struct conf_section *s = c->sections[i];

        if (is_top)
            consider(&n, s->name);
        for (size_t j = 0; j < s->field_count; j++) {
            char *full = full_key(s, &s->fields[j]);

            consider(&n, full);
            mem_free(full);
        }
    }
    if (n.best)
        buf_printf(out, " (did you mean %s?)", n.best);
    mem_free(n.best);
}

/* ---- environment ---- */

/* ORRERY_INGESTER_CHUNK_AGE of ingester.chunk-age. */
static char *env_name(const struct conf_section *s, const struct conf_field *f)
{
    char *name = mem_printf("ORRERY_%s_%s", s->name, f->key);

    for (char *p = name; *p; p++)
        *p = *p == '.' || *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}

static bool find_env(const struct conf *c, struct slice name, struct conf_slot *ret)
{
    for (size_t i = 0; i < c->section_count; i++) {
        for (size_t j = 0; j < c->sections[i]->field_count; j++) {
            char *known = env_name(c->sections[i], &c->sections[i]->fields[j]);
            bool is_it = slice_eq_cstr(name, known);

            mem_free(known);
            if (is_it) {
                *ret = slot_of(c, i, j);
                return true;
            }
        }
    }
    return false;
}

static struct err *unknown_env(const struct conf *c, struct slice name)
{
    struct nearest n = {name, ORR_MAX(name.len / 3, (size_t)2) + 1, NULL};
    struct err *e;

    for (size_t i = 0; i < c->section_count; i++) {
        for (size_t j = 0; j < c->sections[i]->field_count; j++) {
            char *known = env_name(c->sections[i], &c->sections[i]->fields[j]);

            consider(&n, known);
            mem_free(known);
        }
    }
    e = n.best ? err_new(ERR_INVALID, "environment: unknown variable %.*s (did you mean %s?)",
                         SLICE_ARG(name), n.best)
               : err_new(ERR_INVALID, "environment: unknown variable %.*s", SLICE_ARG(name));
    mem_free(n.best);
    return e;
}

bool conf_is_foreign(const struct conf *c, struct slice section)
{
    for (const char *const *f = c->foreign; f && *f; f++)
        if (slice_eq_cstr(section, *f))
            return true;
    return false;
}

/* ORRERY_RULER_... where ruler is a section of another program */
static bool is_foreign_env(const struct conf *c, struct slice name)
{
    for (const char *const *f = c->foreign; f && *f; f++) {
        size_t n = strlen(*f);
        struct slice section = slice_sub(name, strlen("ORRERY_"), n);

        if (slice_eq_nocase(section, slice_cstr(*f)) &&
            slice_has_prefix(slice_from(name, strlen("ORRERY_") + n), SLICE("_")))
            return true;
    }
    return false;
}

static bool is_reserved(struct slice name)
{
    for (size_t i = 0; i < ORR_COUNT(reserved_env); i++)
        if (slice_eq_cstr(name, reserved_env[i]))
            return true;
    return false;
}

static struct err *apply_env(struct conf *c, char **env)
{
    for (; env && *env; env++) {
        struct slice value = slice_cstr(*env), name;
        struct conf_slot slot;
        struct err *e;

        if (!slice_has_prefix(value, SLICE("ORRERY_")) || !slice_split(&value, '=', &name) ||
            is_reserved(name))
            continue;
        if (!find_env(c, name, &slot)) {
            if (is_foreign_env(c, name))
                continue;
            return unknown_env(c, name);
        }
        if ((e = conf_value_set(slot.field, slot.member, value.ptr ? value : SLICE_EMPTY)))
            return err_wrap(e, "environment: %.*s (%s.%s)", SLICE_ARG(name), slot.section->name,
                            slot.field->key);
    }
    return NULL;
}

/* ---- flags ---- */

static struct err *unknown_flag(const struct conf *c, const char *flag, struct slice key)
{
    struct buf hint = {0};
    struct err *e;

    conf_suggest(c, key, &hint);
    e = err_new(ERR_INVALID, "command line: unknown flag %.*s%s",
                (int)(key.len + (size_t)((const char *)key.ptr - flag)), flag, buf_cstr(&hint));
    buf_done(&hint);
    return e;
}

static struct err *apply_flag(struct conf *c, const char *flag, struct map *seen)
{
    struct slice value = slice_cstr(flag), key;
    struct conf_slot slot;
    struct err *e;

    if (!slice_has_prefix(value, SLICE("--")) || value.len == 2)
        return err_new(ERR_INVALID, "command line: \"%s\" is not a flag (--section.key=value)",
                       flag);
    value = slice_from(value, 2);
    (void)slice_split(&value, '=', &key);
    if (!conf_find(c, key, &slot))
        return unknown_flag(c, flag, key);
    if (map_put(seen, slice_of(&slot.field, sizeof(slot.field)), c))
        return err_new(ERR_INVALID, "command line: --%s.%s is given twice", slot.section->name,
                       slot.field->key);
    if (!value.ptr && slot.field->type == CONF_T_BOOL)
        value = SLICE("true");
    if (!value.ptr)
        return err_new(ERR_INVALID, "command line: --%s.%s needs a value (--%s.%s=%s)",
                       slot.section->name, slot.field->key, slot.section->name, slot.field->key,
                       conf_value_kind(slot.field));
    if ((e = conf_value_set(slot.field, slot.member, value)))
        return err_wrap(e, "command line: --%s.%s", slot.section->name, slot.field->key);
    return NULL;
}

static struct err *apply_flags(struct conf *c, char **flags)
{
    struct map seen = {0};
    struct err *e = NULL;

    for (; flags && *flags && !e; flags++)
        e = apply_flag(c, *flags, &seen);
    map_done(&seen);
    return e;
}

/* ---- loading ---- */

static struct err *apply_defaults(struct conf *c)
{
    for (size_t i = 0; i < c->section_count; i++) {
        for (size_t j = 0; j < c->sections[i]->field_count; j++) {
            struct conf_slot slot = slot_of(c, i, j);
            const char *def = slot.field->def ? slot.field->def : "";
            struct err *e = conf_value_set(slot.field, slot.member, slice_cstr(def));

            if (e)
                return err_wrap(e, "default of %s.%s", slot.section->name, slot.field->key);
        }
    }
    return NULL;
}

static void conf_free(struct snapshot *s)
{
    struct conf *c = (struct conf *)s;

    for (size_t i = 0; i < c->section_count; i++) {
        for (size_t j = 0; j < c->sections[i]->field_count; j++) {
            struct conf_slot slot = slot_of(c, i, j);

            conf_value_done(slot.field, slot.member);
        }
        mem_free(c->values[i]);
    }
    mem_free(c->values);
    mem_free(c);
}

static struct conf *conf_new(const struct conf_source *src)
{
    struct conf *c = mem_new(struct conf);

    snapshot_init(&c->snapshot, conf_free);
    c->sections = src->sections;
    c->section_count = src->section_count;
    c->foreign = src->foreign;
    c->values = mem_new_array(void *, src->section_count);
    for (size_t i = 0; i < c->section_count; i++)
        c->values[i] = mem_zalloc(c->sections[i]->struct_bytes);
    return c;
}

struct err *conf_load_text(const struct conf_source *src, const char *name, struct slice yaml,
                           struct conf **ret)
{
    struct conf *c = conf_new(src);
    struct err *e;

    if ((e = apply_defaults(c)) || (e = conf_yaml_apply(c, name, yaml)) ||
        (e = apply_env(c, src->env)) || (e = apply_flags(c, src->flags))) {
        conf_unref(c);
        return e;
    }
    *ret = c;
    return NULL;
}

struct err *conf_load(const struct conf_source *src, struct conf **ret)
{
    struct buf text = {0};
    struct err *e = NULL;

    if (src->yaml_path)
        e = fsx_read(src->yaml_path, YAML_MAX_BYTES, &text);
    if (!e)
        e = conf_load_text(src, src->yaml_path, buf_slice(&text), ret);
    buf_done(&text);
    return e;
}

struct conf *conf_ref(struct conf *c)
{
    (void)snapshot_ref(&c->snapshot);
    return c;
}

void conf_unref(struct conf *c)
{
    if (c)
        snapshot_unref(&c->snapshot);
}

/* ---- reading ---- */

const void *conf_section(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->section_count; i++)
        if (strcmp(c->sections[i]->name, name) == 0)
            return c->values[i];
    attr_assert_failed("conf_section: no such section", __FILE__, __LINE__);
}

struct err *conf_check_reload(const struct conf *c, const struct conf *next)
{
    ORR_ASSERT(c->sections == next->sections && c->section_count == next->section_count);
    for (size_t i = 0; i < c->section_count; i++) {
        for (size_t j = 0; j < c->sections[i]->field_count; j++) {
            struct conf_slot now = slot_of(c, i, j), then = slot_of(next, i, j);
            struct buf text = {0};
            struct err *e;

            if ((now.field->flags & CONF_RELOAD) ||
                conf_value_eq(now.field, now.member, then.member))
                continue;
            buf_printf(&text, "%s.%s cannot change without a restart (it is ", now.section->name,
                       now.field->key);
            conf_value_print(now.field, now.member, &text);
            buf_str(&text, ", the new configuration says ");
            conf_value_print(then.field, then.member, &text);
            e = err_new(ERR_CONFLICT, "%s)", buf_cstr(&text));
            buf_done(&text);
            return e;
        }
    }
    return NULL;
}

void conf_print(const struct conf *c, struct buf *out)
{
    for (size_t i = 0; i < c->section_count; i++) {
        const struct conf_section *s = c->sections[i];

        buf_printf(out, "%s:%s\n", s->name, s->field_count ? "" : " {}");
        for (size_t j = 0; j < s->field_count; j++) {
            struct conf_slot slot = slot_of(c, i, j);

            buf_printf(out, "  %s: ", slot.field->key);
            conf_value_print(slot.field, slot.member, out);
            buf_byte(out, '\n');
        }
    }
}
