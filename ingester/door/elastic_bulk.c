#include "ingester/door/elastic_bulk.h"

#define ACTION_DEPTH 8

static const char *const action_names[] = {"create", "index", "update", "delete"};

static void add_result(struct log_builder *b, struct elastic_bulk *k,
                       enum elastic_bulk_action action, uint16_t status)
{
    if (k->n == k->cap) {
        size_t cap = k->cap ? 2 * k->cap : 64;

        k->results = arena_grow(log_builder_arena(b), k->results, k->cap * sizeof(*k->results),
                                cap * sizeof(*k->results));
        k->cap = cap;
    }
    k->results[k->n++] = (struct elastic_bulk_result){(uint8_t)action, status};
    k->has_errors |= status >= 300;
}

/* {"create":{"_index":"x"}} */
static struct err *action_of(struct log_builder *b, const struct elastic_bulk *k, struct slice line,
                             enum elastic_bulk_action *ret, struct slice *ret_index)
{
    struct jsonval_doc *doc;
    struct jsonval_iter it;
    struct jsonval root, item, part;
    struct slice key = SLICE_EMPTY;
    struct err *e = jsonval_parse(line, ACTION_DEPTH, &doc, &root);
    size_t i = 0;

    if (e)
        return err_wrap(e, "action");
    it = jsonval_iter(root);
    if (jsonval_kind(root) == JSONVAL_OBJECT && jsonval_next(&it, &key, &item))
        while (i < ORR_COUNT(action_names) && !slice_eq_cstr(key, action_names[i]))
            i++;
    else
        i = ORR_COUNT(action_names);
    *ret = (enum elastic_bulk_action)i;
    *ret_index = k->index;
    if (i < ORR_COUNT(action_names)) {
        for (it = jsonval_iter(item); jsonval_next(&it, &key, &part);)
            if (slice_eq_cstr(key, "_index") && jsonval_kind(part) == JSONVAL_TEXT)
                *ret_index = arena_dup(log_builder_arena(b), jsonval_text(part));
    } else {
        e = err_new(ERR_INVALID, "expected create, index, update or delete as the action");
    }
    jsonval_free(doc);
    return e;
}

/* The next line that is not empty; false at the end. */
static bool next_line(struct slice *rest, struct slice *ret)
{
    while (slice_split(rest, '\n', ret)) {
        *ret = slice_trim(*ret);
        if (ret->len)
            return true;
    }
    return false;
}

struct err *elastic_bulk_decode(struct log_builder *b, struct slice body, struct elastic_bulk *bulk)
{
    struct slice rest = body, line, index = SLICE_EMPTY;
    enum elastic_bulk_action action = ELASTIC_CREATE;
    struct err *e = NULL;
    bool ok;

    while (!e && next_line(&rest, &line)) {
        if ((e = action_of(b, bulk, line, &action, &index)))
            return err_wrap(e, "_bulk: item %zu", bulk->n);
        if (action != ELASTIC_DELETE && !next_line(&rest, &line))
            return err_new(ERR_INVALID, "_bulk: item %zu: its document is missing", bulk->n);
        if (action == ELASTIC_DELETE || action == ELASTIC_UPDATE) {
            log_builder_reject(b, LOG_BAD_RECORD, line.len, SLICE_EMPTY,
                               "_bulk: update and delete are not supported");
            add_result(b, bulk, action, 400);
            continue;
        }
        e = json_lines_add(b, &bulk->lines, index, line, &ok);
        add_result(b, bulk, action, ok ? 201 : 400);
    }
    return e;
}

void elastic_bulk_answer(struct buf *out, const struct elastic_bulk *bulk, const char *why)
{
    buf_printf(out, "{\"took\":0,\"errors\":%s,\"items\":[", bulk->has_errors ? "true" : "false");
    for (size_t i = 0; i < bulk->n; i++) {
        const struct elastic_bulk_result *r = &bulk->results[i];

        buf_printf(out, "%s{\"%s\":{\"status\":%u", i ? "," : "", action_names[r->action],
                   r->status);
        if (r->status < 300) {
            buf_str(out, ",\"result\":\"created\"");
        } else {
            buf_str(out, ",\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":");
            buf_json_str(out, slice_cstr(why ? why : "refused"));
            buf_byte(out, '}');
        }
        buf_str(out, "}}");
    }
    buf_str(out, "]}");
}
