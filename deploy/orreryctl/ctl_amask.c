/* alertmanager silence add, query, expire; alert query: API v2 of a running Orrery, or of any Alertmanager. */
#include <stdio.h>
#include <stdlib.h>

#include "alertmanager/ammatch.h"
#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/jsonval.h"
#include "common/net/http_client.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_show.h"

#define MAX_DEPTH 16
#define DURATION_MS (3600 * MS_PER_S)

/* ---- matchers ---- */

/* Of the arguments; a first one without an operator is the name of an alert. */
static struct err *read_matchers(struct ctl *c, struct ammatch_list *ret)
{
    ret->ptr = arena_array(c->arena, struct ammatch, c->n_args + 1);
    ret->n = 0;
    for (size_t i = 0; i < c->n_args; i++) {
        struct slice text = slice_cstr(c->args[i]);
        bool is_name =
            i == 0 && slice_find_byte(text, '=', 0) < 0 && slice_find_byte(text, '~', 0) < 0;
        struct err *e =
            is_name ? ammatch_init(c->arena, MATCHER_EQ, SLICE("alertname"), text, &ret->ptr[i])
                    : ammatch_parse(c->arena, AMMATCH_FALLBACK, text, &ret->ptr[i]);

        if (e) {
            struct err *usage =
                ctl_usage(c, arena_printf(c->arena, "%s: %s", c->args[i], err_msg(e)));

            err_free(e);
            return usage;
        }
        ret->n++;
    }
    return NULL;
}

/* ?filter=…&filter=… */
static void put_filters(struct buf *path, const struct ammatch_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        struct buf text = {0};

        ammatch_text(&text, &list->ptr[i]);
        buf_str(path, i ? "&filter=" : "?filter=");
        http_escape(buf_slice(&text), path);
        buf_done(&text);
    }
}

/* ---- answers ---- */

static struct jsonval member(struct jsonval v, const char *name, bool *ret_found)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval got;

    *ret_found = false;
    while (jsonval_kind(v) == JSONVAL_OBJECT && jsonval_next(&it, &key, &got))
        if (slice_eq_cstr(key, name)) {
            *ret_found = true;
            return got;
        }
    return v;
}

static struct slice text_of(struct jsonval v, const char *name)
{
    bool is_there;
    struct jsonval got = member(v, name, &is_there);

    return is_there && jsonval_kind(got) == JSONVAL_TEXT ? jsonval_text(got) : SLICE_EMPTY;
}

static struct jsonval within(struct jsonval v, const char *name)
{
    bool is_there;

    return member(v, name, &is_there);
}

static bool truth_of(struct jsonval v, const char *name, bool absent)
{
    bool is_there;
    struct jsonval got = member(v, name, &is_there);

    return is_there && jsonval_kind(got) == JSONVAL_BOOL ? jsonval_bool(got) : absent;
}

static const char *shown(struct ctl *c, struct slice text)
{
    return arena_cstr(c->arena, text);
}

typedef void add_row_fn(struct ctl *c, struct ctl_table *t, struct jsonval item);

/* A list, as a table or as it came. */
static struct err *show_list(struct ctl *c, struct slice path, const char *columns, add_row_fn *add)
{
    struct buf text = {0};
    struct jsonval_doc *doc = NULL;
    struct jsonval_iter it;
    struct jsonval root, item;
    struct slice key;
    struct ctl_table t;
    struct err *e = ctl_http(c, "GET", path, NULL, SLICE_EMPTY, &text);

    if (!e && c->opts.is_json) {
        (void)fwrite(text.ptr, 1, text.len, stdout);
    } else if (!e &&
               !(e = err_wrap(jsonval_parse(buf_slice(&text), MAX_DEPTH, &doc, &root), "answer"))) {
        ctl_table_init(&t, c->arena, columns);
        for (it = jsonval_iter(root); jsonval_next(&it, &key, &item);)
            add(c, &t, item);
        ctl_table_print(&t, false);
    }
    jsonval_free(doc);
    buf_done(&text);
    return e;
}

/* ---- silences ---- */

static void put_matchers_json(struct buf *out, const struct ammatch_list *list)
{
    buf_str(out, "\"matchers\":[");
    for (size_t i = 0; i < list->n; i++) {
        enum matcher_op op = list->ptr[i].op;

        buf_json_comma(out);
        buf_str(out, "{\"name\":");
        buf_json_str(out, list->ptr[i].name);
        buf_str(out, ",\"value\":");
        buf_json_str(out, list->ptr[i].value);
        buf_printf(out, ",\"isRegex\":%s,\"isEqual\":%s}",
                   op == MATCHER_RE || op == MATCHER_NRE ? "true" : "false",
                   op == MATCHER_EQ || op == MATCHER_RE ? "true" : "false");
    }
    buf_byte(out, ']');
}

static void put_time(struct buf *out, const char *name, int64_t ms)
{
    struct gotime t = gotime_of_ms(ms, NULL);

    buf_printf(out, ",\"%s\":\"", name);
    gotime_format(out, &t, SLICE(GOTIME_RFC3339_NANO));
    buf_byte(out, '"');
}

static struct err *read_times(struct ctl *c, int64_t *ret_start_ms, int64_t *ret_end_ms)
{
    int64_t duration_ms = DURATION_MS;
    struct err *e = NULL;

    *ret_start_ms = clock_wall_ms(&clock_system);
    if (c->opts.start)
        e = gotime_parse_api(slice_cstr(c->opts.start), ret_start_ms);
    if (!e && c->opts.duration)
        e = gotime_parse_api_duration(slice_cstr(c->opts.duration), &duration_ms);
    if (!e && duration_ms <= 0)
        e = err_new(ERR_INVALID, "--duration must be above 0");
    *ret_end_ms = *ret_start_ms + duration_ms;
    return e;
}

static struct err *say_id(struct slice answer)
{
    struct jsonval_doc *doc = NULL;
    struct jsonval root;
    struct err *e = err_wrap(jsonval_parse(answer, MAX_DEPTH, &doc, &root), "answer");

    if (!e)
        ctl_say("%.*s", SLICE_ARG(text_of(root, "silenceID")));
    jsonval_free(doc);
    return e;
}

static struct err *add_silence(struct ctl *c, const struct ammatch_list *list)
{
    const char *user = getenv("USER");
    struct buf body = {0}, answer = {0};
    int64_t start_ms, end_ms;
    struct err *e = read_times(c, &start_ms, &end_ms);

    buf_byte(&body, '{');
    put_matchers_json(&body, list);
    if (!e) {
        put_time(&body, "startsAt", start_ms);
        put_time(&body, "endsAt", end_ms);
    }
    buf_str(&body, ",\"createdBy\":");
    buf_json_str(&body, slice_cstr(c->opts.author ? c->opts.author : user ? user : "orreryctl"));
    buf_str(&body, ",\"comment\":");
    buf_json_str(&body, slice_cstr(c->opts.comment));
    buf_byte(&body, '}');
    if (!e)
        e = ctl_http(c, "POST", SLICE("/api/v2/silences"), "application/json", buf_slice(&body),
                     &answer);
    if (!e)
        e = say_id(buf_slice(&answer));
    buf_done(&body);
    buf_done(&answer);
    return e;
}

struct err *ctl_am_silence_add(struct ctl *c)
{
    struct ammatch_list list = {NULL, 0};
    struct err *e = NULL;

    if (!c->opts.comment || !c->opts.comment[0])
        e = ctl_usage(c, "--comment says why");
    if (!e)
        e = read_matchers(c, &list);
    if (!e)
        e = add_silence(c, &list);
    ammatch_list_done(&list);
    return e;
}

static const char *silence_matchers(struct ctl *c, struct jsonval silence)
{
    struct jsonval_iter it = jsonval_iter(within(silence, "matchers"));
    struct buf out = {0};
    struct jsonval m;
    struct slice key;
    const char *ret;

    while (jsonval_next(&it, &key, &m)) {
        bool is_equal = truth_of(m, "isEqual", true), is_regex = truth_of(m, "isRegex", false);

        if (jsonval_kind(m) != JSONVAL_OBJECT)
            continue;
        if (out.len)
            buf_byte(&out, ' ');
        buf_slice_append(&out, text_of(m, "name"));
        buf_str(&out, is_equal ? (is_regex ? "=~" : "=") : is_regex ? "!~" : "!=");
        buf_json_str(&out, text_of(m, "value"));
    }
    ret = arena_cstr(c->arena, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static void add_silence_row(struct ctl *c, struct ctl_table *t, struct jsonval silence)
{
    struct slice state = text_of(within(silence, "status"), "state");

    if (slice_eq_cstr(state, "expired") && !c->opts.is_expired)
        return;
    ctl_table_row(t, (const char *const[]){shown(c, text_of(silence, "id")), shown(c, state),
                                           shown(c, text_of(silence, "endsAt")),
                                           silence_matchers(c, silence),
                                           shown(c, text_of(silence, "createdBy")),
                                           shown(c, text_of(silence, "comment"))});
}

/* Of what is asked for by matchers. */
static struct err *query(struct ctl *c, const char *what, const char *columns, add_row_fn *add)
{
    struct ammatch_list list = {NULL, 0};
    struct buf path = {0};
    struct err *e = read_matchers(c, &list);

    buf_str(&path, what);
    put_filters(&path, &list);
    if (!e)
        e = show_list(c, buf_slice(&path), columns, add);
    ammatch_list_done(&list);
    buf_done(&path);
    return e;
}

struct err *ctl_am_silence_query(struct ctl *c)
{
    return query(c, "/api/v2/silences", "id state ends matchers author comment", add_silence_row);
}

struct err *ctl_am_silence_expire(struct ctl *c)
{
    struct err *e = NULL;

    for (size_t i = 0; i < c->n_args && !e; i++) {
        struct buf path = {0};

        buf_str(&path, "/api/v2/silence/");
        http_escape(slice_cstr(c->args[i]), &path);
        e = ctl_http(c, "DELETE", buf_slice(&path), NULL, SLICE_EMPTY, NULL);
        buf_done(&path);
    }
    return e;
}

/* ---- alerts ---- */

/* All labels but its name. */
static const char *labels_text_of(struct ctl *c, struct jsonval labels)
{
    struct jsonval_iter it = jsonval_iter(labels);
    struct buf out = {0};
    struct jsonval v;
    struct slice key;
    const char *ret;

    while (jsonval_next(&it, &key, &v)) {
        if (slice_eq_cstr(key, "alertname") || jsonval_kind(v) != JSONVAL_TEXT)
            continue;
        if (out.len)
            buf_byte(&out, ' ');
        buf_slice_append(&out, key);
        buf_byte(&out, '=');
        buf_json_str(&out, jsonval_text(v));
    }
    ret = arena_cstr(c->arena, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static void add_alert_row(struct ctl *c, struct ctl_table *t, struct jsonval alert)
{
    struct jsonval labels = within(alert, "labels");

    ctl_table_row(
        t, (const char *const[]){shown(c, text_of(labels, "alertname")),
                                 shown(c, text_of(within(alert, "status"), "state")),
                                 shown(c, text_of(alert, "startsAt")), labels_text_of(c, labels),
                                 shown(c, text_of(within(alert, "annotations"), "summary"))});
}

struct err *ctl_am_alert_query(struct ctl *c)
{
    return query(c, "/api/v2/alerts", "alertname state starts labels summary", add_alert_row);
}
