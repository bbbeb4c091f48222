/* The settings of receivers, expanded; what is made of texts on the way into a request. */
#include <ctype.h>

#include "alertmanager/notify_internal.h"
#include "common/base/fsx.h"
#include "common/objstore/sigv4.h"

struct slice notify_raw(const struct yaml_node *node, const char *key, const char *def)
{
    const struct yaml_node *n = yaml_get(node, key);

    return !n || yaml_is_null(n) || n->kind != YAML_KIND_SCALAR ? slice_cstr(def ? def : "")
                                                                : n->text;
}

bool notify_bool(const struct yaml_node *node, const char *key, bool def)
{
    const struct yaml_node *n = yaml_get(node, key);
    bool b;

    return n && !yaml_is_null(n) && yaml_bool(n, &b) ? b : def;
}

size_t notify_items(const struct yaml_node *list)
{
    return list && list->kind == YAML_KIND_SEQ ? list->n : 0;
}

/* ---- templates ---- */

static struct err *execute(struct notify_render *r, struct slice text, bool is_html,
                           struct buf *out)
{
    struct template_run run = {.arena = r->arena,
                               .ctx = &r->data,
                               .missing = TEMPLATE_MISSING_ZERO,
                               .max_steps = NOTIFY_MAX_STEPS - r->steps,
                               .is_html = is_html,
                               .ret_steps = &r->steps};
    struct template_set *set = template_new_over(r->conf->templates);
    struct err *e = template_parse(set, SLICE(""), text);

    if (!r->has_dot)
        r->dot = template_am_data(r->arena, &r->data);
    r->has_dot = true;
    if (!e)
        e = template_execute(set, SLICE(""), r->dot, &run, out);
    template_free(set);
    return e;
}

struct slice notify_expand(struct notify_render *r, const char *what, struct slice text,
                           bool is_html)
{
    struct buf out = {0};
    struct slice ret;
    struct err *e;

    if (r->e)
        return SLICE_EMPTY;
    if (!is_html && slice_find(text, SLICE("{{"), 0) < 0)
        return text;
    if (r->steps >= NOTIFY_MAX_STEPS)
        e = err_new(ERR_LIMIT, "the notification's templates take more than %d steps",
                    NOTIFY_MAX_STEPS);
    else
        e = execute(r, text, is_html, &out);
    if (e)
        notify_fail(r, err_wrap(e, "%s", what));
    ret = e ? SLICE_EMPTY : arena_dup(r->arena, buf_slice(&out));
    buf_done(&out);
    return ret;
}

struct slice notify_text_of(struct notify_render *r, const struct yaml_node *node, const char *key,
                            const char *def)
{
    return notify_expand(r, key, notify_raw(node, key, def), false);
}

struct slice notify_text_at(struct notify_render *r, const struct yaml_node *map, size_t i)
{
    const struct yaml_node *n = map->items[i];

    if (yaml_is_null(n) || n->kind != YAML_KIND_SCALAR)
        return SLICE_EMPTY;
    return notify_expand(r, arena_cstr(r->arena, map->keys[i].text), n->text, false);
}

struct slice notify_text(struct notify_render *r, const char *key, const char *def)
{
    return notify_text_of(r, r->settings, key, def);
}

/* ---- secrets and addresses ---- */

struct slice notify_file(struct notify_render *r, struct slice path)
{
    struct buf b = {0};
    struct slice ret = SLICE_EMPTY;
    struct err *e = fsx_read(arena_cstr(r->arena, path), NOTIFY_MAX_SECRET, &b);

    if (e) {
        r->may_retry |= !r->e; /* it may be written later */
        notify_fail(r, e);
    } else {
        ret = arena_dup(r->arena, slice_trim(buf_slice(&b)));
    }
    buf_done(&b);
    return ret;
}

struct slice notify_secret_of(struct notify_render *r, const struct yaml_node *node,
                              const char *key)
{
    struct slice s = notify_raw(node, key, NULL);
    struct slice path = notify_raw(node, arena_printf(r->arena, "%s_file", key), NULL);

    return s.len || !path.len ? s : notify_file(r, path);
}

static bool has_secret(struct notify_render *r, const struct yaml_node *node, const char *key)
{
    return notify_raw(node, key, NULL).len ||
           notify_raw(node, arena_printf(r->arena, "%s_file", key), NULL).len;
}

struct slice notify_secret(struct notify_render *r, const char *key, const char *global_key)
{
    if (!has_secret(r, r->settings, key) && global_key)
        return notify_secret_of(r, r->conf->global, global_key);
    return notify_secret_of(r, r->settings, key);
}

struct slice notify_address(struct notify_render *r, const char *key, const char *global_key,
                            const char *def)
{
    struct slice s = notify_secret(r, key, global_key);

    return s.len ? s : slice_cstr(def ? def : "");
}

/* ---- cutting, hashing, encoding ---- */

struct slice notify_key_hash(struct notify_render *r)
{
    char hex[SIGV4_HEX_BYTES];

    sigv4_sha256_hex(r->note.group_key, hex);
    return slice_cstr(arena_strdup(r->arena, hex));
}

static bool is_rune_start(uint8_t c)
{
    return (c & 0xc0) != 0x80;
}

static struct slice with_ellipsis(struct notify_render *r, struct slice s)
{
    struct buf b = {0};
    struct slice ret;

    buf_slice_append(&b, s);
    buf_str(&b, "\xe2\x80\xa6");
    ret = arena_dup(r->arena, buf_slice(&b));
    buf_done(&b);
    return ret;
}

struct slice notify_cut_runes(struct notify_render *r, struct slice s, size_t max)
{
    size_t runes = 0, cut = s.len;

    for (size_t i = 0; i < s.len; i++) {
        if (!is_rune_start(s.ptr[i]))
            continue;
        if (runes == max - 1)
            cut = i;
        if (runes++ == max)
            return with_ellipsis(r, slice_sub(s, 0, cut));
    }
    return s;
}

struct slice notify_cut_bytes(struct notify_render *r, struct slice s, size_t max)
{
    size_t cut = max - 3; /* the ellipsis has three bytes */

    if (s.len <= max)
        return s;
    while (cut && !is_rune_start(s.ptr[cut]))
        cut--;
    return with_ellipsis(r, slice_sub(s, 0, cut));
}

struct slice notify_url(struct notify_render *r, struct slice s)
{
    struct buf b = {0};
    struct slice ret;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || strchr("\"<>\\^`{|}", s.ptr[i]))
            buf_printf(&b, "%%%02X", s.ptr[i]);
        else
            buf_byte(&b, s.ptr[i]);
    }
    ret = arena_dup(r->arena, buf_slice(&b));
    buf_done(&b);
    return ret;
}

void notify_json_key(struct buf *b, const char *key)
{
    buf_json_comma(b);
    buf_json_str(b, slice_cstr(key));
    buf_byte(b, ':');
}

void notify_json(struct buf *b, const char *key, struct slice text)
{
    notify_json_key(b, key);
    buf_json_str(b, text);
}

void notify_json_some(struct buf *b, const char *key, struct slice text)
{
    if (text.len)
        notify_json(b, key, text);
}

json_t *notify_answer_json(const struct notify_answer *a)
{
    return json_loadb((const char *)a->body.ptr, a->body.len, 0, NULL);
}

struct err *notify_judge_json(const struct notify_answer *a, const char *who, const char *member,
                              bool *may_retry)
{
    json_t *root = notify_answer_json(a);
    const char *why = json_string_value(json_object_get(root, "error"));
    struct err *e = NULL;

    *may_retry = !root;
    if (!root)
        e = err_new(ERR_NET, "%s answered %d with broken JSON", who, a->status);
    else if (!json_is_true(json_object_get(root, member)))
        e = err_new(ERR_NET, "%s refused: %.200s", who, why ? why : "no reason given");
    json_decref(root);
    return e;
}
