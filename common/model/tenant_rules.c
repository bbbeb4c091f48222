#include "common/model/tenant_rules.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

enum rule_kind {
    RULE_LIST,
    RULE_TEXT,
    RULE_RELABEL,
    RULE_AGG,
    RULE_RETENTION,
    RULE_LOG,
    RULE_LOG_RELABEL,
    RULE_TAIL,
    RULE_GENERATOR,
    RULE_OTLP
};

static const struct rule_row {
    enum rule_kind kind;
    const char *name, *key;
    size_t offset;
} rows[] = {
#define X(name, key, ...) {RULE_LIST, #name, key, offsetof(struct tenant_rules, name)},
    TENANT_LISTS(X)
#undef X
#define X(name, key, ...) {RULE_TEXT, #name, key, offsetof(struct tenant_rules, name)},
        TENANT_TEXTS(X)
#undef X
            {RULE_RELABEL, "metric_relabel_configs", "metric-relabel-configs", 0},
    {RULE_AGG, "aggregation_rules", "aggregation-rules", 0},
    {RULE_RETENTION, "retention_stream", "retention-stream",
     offsetof(struct tenant_rules, retention)},
    {RULE_RETENTION, "logs_retention_stream", "logs-retention-stream",
     offsetof(struct tenant_rules, logs_retention)},
    {RULE_LOG, "log_rules", "log-rules", 0},
    {RULE_LOG_RELABEL, "log_relabel_configs", "log-relabel-configs", 0},
    {RULE_TAIL, "tail_sampling", "tail-sampling", 0},
    {RULE_GENERATOR, "metrics_generator", "metrics-generator", 0},
    {RULE_OTLP, "otlp", "otlp", 0},
};
static_assert(ORR_COUNT(rows) == TENANT_RULE_COUNT, "a row each, in the order of the enum");

static void *member(const struct tenant_rules *r, const struct rule_row *row)
{
    return (char *)r + row->offset;
}

static void free_rules(struct snapshot *s)
{
    struct tenant_rules *r = (struct tenant_rules *)s;

    relabel_free(r->metric_relabel);
    agg_rules_done(&r->aggregation);
    retention_rules_done(&r->retention.rules);
    retention_rules_done(&r->logs_retention.rules);
    log_rules_done(&r->log);
    relabel_free(r->log_relabel);
    tail_rules_done(&r->tail);
    generator_rules_done(&r->generator);
    arena_free(r->arena);
    mem_free(r);
}

static struct slice *copy_texts(struct arena *a, const struct slice *from, size_t n)
{
    struct slice *out = arena_array(a, struct slice, n);

    for (size_t i = 0; i < n; i++)
        out[i] = arena_dup(a, from[i]);
    return out;
}

struct tenant_rules *tenant_rules_new(const struct tenant_rules *base)
{
    struct tenant_rules *r = mem_new(struct tenant_rules);

    snapshot_init(&r->snap, free_rules);
    r->arena = arena_new(0);
    for (size_t i = 0; base && i < ORR_COUNT(rows); i++) {
        const struct tenant_list *list = member(base, &rows[i]);

        if (rows[i].kind == RULE_LIST)
            *(struct tenant_list *)member(r, &rows[i]) =
                (struct tenant_list){copy_texts(r->arena, list->ptr, list->n), list->n};
        else if (rows[i].kind == RULE_TEXT)
            *(struct slice *)member(r, &rows[i]) =
                arena_dup(r->arena, *(const struct slice *)member(base, &rows[i]));
    }
    return r;
}

void tenant_rules_unref(struct tenant_rules *r)
{
    if (r)
        snapshot_unref(&r->snap);
}

void tenant_rules_set_list(struct tenant_rules *r, struct tenant_list *list, char *const *items,
                           size_t n)
{
    struct slice *texts = arena_array(r->arena, struct slice, n);

    for (size_t i = 0; i < n; i++)
        texts[i] = arena_dup(r->arena, slice_cstr(items[i]));
    *list = (struct tenant_list){texts, n};
}

/* ---- reading ---- */

static struct err *read_list(struct tenant_rules *r, const struct yaml_node *node,
                             struct tenant_list *ret)
{
    struct slice *items;

    *ret = (struct tenant_list){0};
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_SEQ)
        return err_new(ERR_INVALID, "not a list");
    if (node->n > TENANT_RULES_MAX_ITEMS)
        return err_new(ERR_INVALID, "more than %d items", TENANT_RULES_MAX_ITEMS);
    items = arena_array(r->arena, struct slice, node->n);
    for (size_t i = 0; i < node->n; i++) {
        if (!node->items[i] || node->items[i]->kind != YAML_KIND_SCALAR)
            return err_new(ERR_INVALID, "item %zu is not a text", i + 1);
        items[i] = arena_dup(r->arena, node->items[i]->text);
    }
    *ret = (struct tenant_list){items, node->n};
    return NULL;
}

static struct err *read_text(struct tenant_rules *r, const struct yaml_node *node,
                             struct slice *ret)
{
    if (!node || node->kind != YAML_KIND_SCALAR || yaml_is_null(node))
        return err_new(ERR_INVALID, "not a text");
    *ret = arena_dup(r->arena, node->text);
    return NULL;
}

/* JSON is YAML. The tree's depth is bounded by its reader. */
static void write_node(struct buf *out, const struct yaml_node *node)
{
    if (yaml_is_null(node)) {
        buf_str(out, "null");
        return;
    }
    if (node->kind == YAML_KIND_SCALAR) {
        buf_json_str(out, node->text);
        return;
    }
    buf_byte(out, node->kind == YAML_KIND_SEQ ? '[' : '{');
    for (size_t i = 0; i < node->n; i++) {
        buf_str(out, i ? ", " : "");
        if (node->kind == YAML_KIND_MAP) {
            buf_json_str(out, node->keys[i].text);
            buf_str(out, ": ");
        }
        write_node(out, node->items[i]);
    }
    buf_byte(out, node->kind == YAML_KIND_SEQ ? ']' : '}');
}

static struct slice text_of(struct tenant_rules *r, const struct yaml_node *node)
{
    struct buf text = {0};
    struct slice ret;

    write_node(&text, node);
    ret = arena_dup(r->arena, buf_slice(&text));
    buf_done(&text);
    return ret;
}

static struct err *read_relabel(struct tenant_rules *r, const char *file,
                                const struct yaml_node *node, struct relabel **io,
                                struct slice *ret_text)
{
    struct relabel *rules = NULL;
    struct err *e = relabel_parse(file, node, &rules);

    if (e)
        return e;
    relabel_free(*io);
    *io = rules;
    if (relabel_rules(rules) == 0) {
        relabel_free(rules);
        *io = NULL;
    }
    *ret_text = text_of(r, node);
    return NULL;
}

static struct err *read_aggregation(struct tenant_rules *r, const char *file,
                                    const struct yaml_node *node)
{
    struct agg_rules rules;
    struct err *e = agg_rules_parse(file, node, r->arena, &rules);

    if (e)
        return e;
    agg_rules_done(&r->aggregation);
    r->aggregation = rules;
    r->aggregation_text = text_of(r, node);
    return NULL;
}

static struct err *read_retention(struct tenant_rules *r, const char *file,
                                  const struct rule_row *row, const struct yaml_node *node)
{
    struct tenant_retention *to = member(r, row);
    struct retention_rules rules;
    struct err *e = retention_rules_parse(file, row->name, node, r->arena, &rules);

    if (e)
        return e;
    retention_rules_done(&to->rules);
    to->rules = rules;
    to->text = text_of(r, node);
    return NULL;
}

static struct err *read_log(struct tenant_rules *r, const char *file, const struct yaml_node *node)
{
    struct log_rules rules;
    struct err *e = log_rules_parse(file, node, r->arena, &rules);

    if (e)
        return e;
    log_rules_done(&r->log);
    r->log = rules;
    r->log_text = text_of(r, node);
    return NULL;
}

static struct err *read_tail(struct tenant_rules *r, const char *file, const struct yaml_node *node)
{
    struct tail_rules rules;
    struct err *e = tail_rules_parse(file, node, r->arena, &rules);

    if (e)
        return e;
    tail_rules_done(&r->tail);
    r->tail = rules;
    r->tail_text = text_of(r, node);
    r->tail.id = rules.n ? hash_xxh64(r->tail_text, 0) | 1 : 0;
    return NULL;
}

static struct err *read_generator(struct tenant_rules *r, const char *file,
                                  const struct yaml_node *node)
{
    struct generator_rules rules;
    struct err *e = generator_rules_parse(file, node, r->arena, &rules);

    if (e)
        return e;
    generator_rules_done(&r->generator);
    r->generator = rules;
    r->generator_text = text_of(r, node);
    r->generator.id = hash_xxh64(r->generator_text, 0);
    return NULL;
}

enum tenant_deletion tenant_rules_deletion(const struct tenant_rules *r)
{
    return slice_eq_cstr(r->deletion_mode, TENANT_RULES_DISABLED) ? TENANT_DELETION_DISABLED
           : slice_eq_cstr(r->deletion_mode, TENANT_RULES_FILTER_ONLY)
               ? TENANT_DELETION_FILTER_ONLY
               : TENANT_DELETION_FILTER_AND_DELETE;
}

static bool is_deletion_mode(struct slice text)
{
    return !text.len || slice_eq_cstr(text, TENANT_RULES_DISABLED) ||
           slice_eq_cstr(text, TENANT_RULES_FILTER_ONLY) ||
           slice_eq_cstr(text, TENANT_RULES_FILTER_AND_DELETE);
}

struct err *tenant_rules_check(const struct tenant_rules *r)
{
    if (!is_deletion_mode(r->deletion_mode))
        return err_new(ERR_INVALID,
                       "deletion_mode: \"%.*s\" is none of " TENANT_RULES_DISABLED
                       ", " TENANT_RULES_FILTER_ONLY " and " TENANT_RULES_FILTER_AND_DELETE,
                       SLICE_ARG(r->deletion_mode));
    if (r->s3_sse_type.len && !slice_eq_cstr(r->s3_sse_type, TENANT_RULES_SSE_S3) &&
        !slice_eq_cstr(r->s3_sse_type, TENANT_RULES_SSE_KMS))
        return err_new(ERR_INVALID,
                       "s3_sse_type: \"%.*s\" is neither " TENANT_RULES_SSE_S3
                       " nor " TENANT_RULES_SSE_KMS,
                       SLICE_ARG(r->s3_sse_type));
    return NULL;
}

struct err *tenant_rules_read(struct tenant_rules *r, const char *file, const struct yaml_key *key,
                              const struct yaml_node *node, bool *ret_is_known)
{
    struct err *e = NULL;

    *ret_is_known = false;
    for (size_t i = 0; i < ORR_COUNT(rows); i++) {
        const struct rule_row *row = &rows[i];

        if (!slice_eq_cstr(key->text, row->name) && !slice_eq_cstr(key->text, row->key))
            continue;
        *ret_is_known = true;
        r->is_set[i] = true;
        if (row->kind == RULE_RELABEL)
            return read_relabel(r, file, node, &r->metric_relabel, &r->metric_relabel_text);
        if (row->kind == RULE_LOG_RELABEL)
            return read_relabel(r, file, node, &r->log_relabel, &r->log_relabel_text);
        if (row->kind == RULE_LOG)
            return read_log(r, file, node);
        if (row->kind == RULE_TAIL)
            return read_tail(r, file, node);
        if (row->kind == RULE_GENERATOR)
            return read_generator(r, file, node);
        if (row->kind == RULE_AGG)
            return read_aggregation(r, file, node);
        if (row->kind == RULE_RETENTION)
            return read_retention(r, file, row, node);
        if (row->kind == RULE_OTLP)
            return otlp_config_parse(file, node, r->arena, &r->otlp);
        e = row->kind == RULE_LIST ? read_list(r, node, member(r, row))
                                   : read_text(r, node, member(r, row));
        if (!e)
            e = tenant_rules_check(r);
        return err_wrap(e, "%s:%u: %s", file, key->line, row->name);
    }
    return NULL;
}

/* ---- printing ---- */

void tenant_rules_print(const struct tenant_rules *r, struct buf *out, const char *indent,
                        bool only_set)
{
    for (size_t i = 0; i < ORR_COUNT(rows); i++) {
        const struct tenant_list *list = member(r, &rows[i]);

        if ((only_set || rows[i].kind == RULE_OTLP) && !r->is_set[i])
            continue;
        buf_printf(out, "%s%s: ", indent, rows[i].name);
        if (rows[i].kind == RULE_TEXT) {
            buf_json_str(out, *(const struct slice *)member(r, &rows[i]));
        } else if (rows[i].kind == RULE_LIST) {
            for (size_t k = 0; k < list->n; k++) {
                buf_str(out, k ? ", " : "[");
                buf_json_str(out, list->ptr[k]);
            }
            buf_str(out, list->n ? "]" : "[]");
        } else if (rows[i].kind == RULE_OTLP) {
            otlp_config_print(&r->otlp, out);
        } else {
            const struct tenant_retention *retention = member(r, &rows[i]);
            struct slice text = rows[i].kind == RULE_AGG           ? r->aggregation_text
                                : rows[i].kind == RULE_RETENTION   ? retention->text
                                : rows[i].kind == RULE_LOG         ? r->log_text
                                : rows[i].kind == RULE_LOG_RELABEL ? r->log_relabel_text
                                : rows[i].kind == RULE_TAIL        ? r->tail_text
                                : rows[i].kind == RULE_GENERATOR   ? r->generator_text
                                                                   : r->metric_relabel_text;

            buf_slice_append(out, text.len ? text : SLICE("[]"));
        }
        buf_byte(out, '\n');
    }
}
