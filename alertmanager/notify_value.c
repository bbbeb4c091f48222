/* Values of the configuration as JSON: a webhook's payload, PagerDuty's details. */
#include "alertmanager/notify_internal.h"
#include "common/base/num.h"

/* As YAML 1.1 reads a plain word that is no text; false: it is one. */
static bool other_scalar(const struct yaml_node *n, struct buf *b)
{
    struct slice s = n->text;
    int64_t i;
    bool truth;
    double f;

    if (!n->is_plain)
        return false;
    if (yaml_is_null(n)) {
        buf_str(b, "null");
    } else if (yaml_bool(n, &truth)) {
        buf_str(b, truth ? "true" : "false");
    } else if (slice_to_i64(s, &i)) {
        buf_printf(b, "%lld", (long long)i);
    } else if (s.len && !strchr("iInN", s.ptr[s.len > 1 && strchr("+-", s.ptr[0])]) &&
               num_parse(s, &f)) {
        num_format(b, f, f != 0 && (f < 1e-6 || f >= 1e21) ? 'e' : 'f', -1);
    } else {
        return false;
    }
    return true;
}

/* YAML 1.1 has keys that are no texts (n, on, 1), which Alertmanager leaves out. */
static bool is_text_key(const struct yaml_key *key)
{
    struct yaml_node n = {.kind = YAML_KIND_SCALAR, .text = key->text, .is_plain = key->is_plain};
    struct buf b = {0};
    bool is_other = other_scalar(&n, &b) ||
                    (key->is_plain && key->text.len == 1 && strchr("yYnN", key->text.ptr[0]));

    buf_done(&b);
    return !is_other;
}

static void write(struct notify_render *r, struct buf *b, const char *what,
                  const struct yaml_node *n, bool expands);

static void write_map(struct notify_render *r, struct buf *b, const char *what,
                      const struct yaml_node *n, bool expands)
{
    buf_byte(b, '{');
    for (size_t i = 0; i < n->n; i++) {
        struct slice key = n->keys[i].text;

        if (!is_text_key(&n->keys[i]))
            continue;
        buf_json_comma(b);
        buf_json_str(b, expands ? notify_expand(r, what, key, false) : key);
        buf_byte(b, ':');
        write(r, b, what, n->items[i], expands);
    }
    buf_byte(b, '}');
}

static void write(struct notify_render *r, struct buf *b, const char *what,
                  const struct yaml_node *n, bool expands)
{
    switch (n->kind) {
    case YAML_KIND_MAP:
        write_map(r, b, what, n, expands);
        break;
    case YAML_KIND_SEQ:
        buf_byte(b, '[');
        for (size_t i = 0; i < n->n && buf_ok(b); i++) {
            buf_json_comma(b);
            write(r, b, what, n->items[i], expands);
        }
        buf_byte(b, ']');
        break;
    case YAML_KIND_SCALAR:
        if (other_scalar(n, b))
            break;
        if (expands)
            notify_value_text(r, b, notify_expand(r, what, n->text, false));
        else
            buf_json_str(b, n->text);
        break;
    }
}

void notify_value_text(struct notify_render *r, struct buf *b, struct slice text)
{
    struct yaml_node *doc = NULL;
    struct err *e = text.len > YAML_MAX_BYTES ? NULL : yaml_load("", text, r->arena, &doc);

    /* what an expanded text holds came from alerts: its texts are not expanded again */
    if (e || (!doc && slice_trim(text).len) || text.len > YAML_MAX_BYTES)
        buf_json_str(b, text);
    else if (!doc)
        buf_str(b, "null");
    else if (doc->kind == YAML_KIND_SCALAR && !other_scalar(doc, b))
        buf_json_str(b, text);
    else if (doc->kind != YAML_KIND_SCALAR)
        write(r, b, "", doc, false);
    err_free(e);
}

void notify_value(struct notify_render *r, struct buf *b, const char *what,
                  const struct yaml_node *n)
{
    write(r, b, what, n, true);
}
