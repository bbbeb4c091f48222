/*
 * Jira: an issue for a group, found by the label ALERT{hash of the group}. It is created, or brought up to date and moved
 * on; nothing is created for what is over.
 *
 *   search ─▶ none: create (firing) ─▶ done
 *          ─▶ one:  update ─▶ status as it should be: done
 *                          ─▶ transitions ─▶ the one of that name ─▶ done
 */
#include <stdlib.h>

#include "alertmanager/notify_internal.h"
#include "common/base/promdur.h"

#define MAX_SUMMARY_RUNES 255
#define MAX_DESCRIPTION_RUNES 32767
#define MAX_KEY_BYTES 255

enum stage { SEARCH, WRITE, TRANSITIONS, MOVE, DONE };

struct state {
    enum stage stage;   /* of the next request */
    struct slice issue; /* its key; empty: there is none */
    bool is_done;       /* the issue's status is of the category "done" */
    const char *wanted; /* the transition's name */
    struct slice move_id;
};

static struct state *state_of(struct notify_render *r)
{
    if (!r->state)
        r->state = arena_new_of(r->arena, struct state);
    return r->state;
}

/* ---- addresses ---- */

static struct slice base(struct notify_render *r)
{
    struct slice s = notify_address(r, "api_url", "jira_api_url", NULL);

    if (slice_has_suffix(s, SLICE("/")))
        s.len--;
    return s;
}

static struct slice host_of(struct slice url)
{
    ptrdiff_t at = slice_find(url, SLICE("://"), 0);
    struct slice s = slice_from(url, at < 0 ? 0 : (size_t)at + 3), host = s;

    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '/' || s.ptr[i] == ':') {
            host.len = i;
            break;
        }
    return host;
}

/* The cloud has moved its search. */
static struct slice search_url(struct notify_render *r)
{
    struct slice url = base(r), type = notify_raw(r->settings, "api_type", "auto");
    bool is_cloud =
        slice_eq_cstr(type, "cloud") ||
        (slice_eq_cstr(type, "auto") && slice_has_suffix(host_of(url), SLICE("atlassian.net")));

    if (is_cloud && slice_has_suffix(url, SLICE("/2")))
        return slice_cstr(
            arena_printf(r->arena, "%.*s/3/search/jql", (int)url.len - 2, (const char *)url.ptr));
    return slice_cstr(
        arena_printf(r->arena, "%.*s/search%s", SLICE_ARG(url), is_cloud ? "/jql" : ""));
}

static void post(struct notify_render *r, const char *method, struct slice url, struct buf *body)
{
    notify_post(r, url, body);
    r->request.method = method;
    notify_header(r, "Accept-Language", SLICE("en"));
}

/* ---- the search ---- */

/* In double quotes, as JQL has them. */
static void quoted(struct buf *b, struct slice s)
{
    buf_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_byte(b, '\\');
        buf_byte(b, s.ptr[i] < ' ' ? ' ' : s.ptr[i]);
    }
    buf_byte(b, '"');
}

static void write_jql(struct notify_render *r, struct buf *b)
{
    struct slice wont_fix = notify_raw(r->settings, "wont_fix_resolution", NULL);
    int64_t reopen_ns = 0;

    err_free(promdur_parse(notify_raw(r->settings, "reopen_duration", "0s"), &reopen_ns));
    if (wont_fix.len) {
        buf_str(b, "resolution != ");
        quoted(b, wont_fix);
        buf_str(b, " and ");
    }
    if (r->is_firing && notify_raw(r->settings, "reopen_transition", NULL).len &&
        reopen_ns >= 60 * NS_PER_S)
        buf_printf(b, "(resolutiondate is EMPTY OR resolutiondate >= -%lldm) and ",
                   (long long)(reopen_ns / NS_PER_S / 60));
    else
        buf_str(b, "statusCategory != Done and ");
    buf_str(b, "project=");
    quoted(b, notify_text(r, "project", NULL));
    buf_printf(b, " and labels=\"ALERT{%s}\" order by status ASC,resolutiondate DESC",
               arena_cstr(r->arena, notify_key_hash(r)));
}

static void build_search(struct notify_render *r)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY}, jql = {0};

    write_jql(r, &jql);
    buf_byte(&b, '{');
    notify_json(&b, "jql", buf_slice(&jql));
    buf_str(&b, ",\"maxResults\":2,\"fields\":[\"status\"]}");
    buf_done(&jql);
    post(r, "POST", search_url(r), &b);
}

/* ---- the issue ---- */

/* A text, or {template, enable_update}. False: it is left as it is. */
static bool field_text(struct notify_render *r, const char *key, const char *def, bool is_update,
                       struct slice *ret)
{
    const struct yaml_node *n = yaml_get(r->settings, key);

    if (!n || n->kind != YAML_KIND_MAP) {
        *ret = notify_text(r, key, def);
        return true;
    }
    *ret = notify_expand(r, key, notify_raw(n, "template", def), false);
    return !is_update || notify_bool(n, "enable_update", true);
}

static void add_name(struct buf *b, const char *key, const char *of, struct slice name)
{
    notify_json_key(b, key);
    buf_byte(b, '{');
    notify_json(b, of, name);
    buf_byte(b, '}');
}

/* Version 3 of the API takes documents, no texts. */
static void add_description(struct notify_render *r, struct buf *b, bool is_update)
{
    struct slice text;
    json_t *document = NULL;

    if (!field_text(r, "description", "{{ template \"jira.default.description\" . }}", is_update,
                    &text))
        return;
    text = notify_cut_runes(r, text, MAX_DESCRIPTION_RUNES);
    if (!slice_has_suffix(base(r), SLICE("/3"))) {
        notify_json_some(b, "description", text);
        return;
    }
    notify_json_key(b, "description");
    document = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    if (json_is_object(document)) {
        buf_slice_append(b, text);
    } else {
        buf_str(b, "{\"type\":\"doc\",\"version\":1,\"content\":[{\"type\":\"paragraph\","
                   "\"content\":[{\"type\":\"text\"");
        notify_json(b, "text", text.len ? text : SLICE(" "));
        buf_str(b, "}]}]}");
    }
    json_decref(document);
}

static int text_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void add_labels(struct notify_render *r, struct buf *b, bool is_update)
{
    const struct yaml_node *list = yaml_get(r->settings, "labels");
    bool updates = true;
    struct slice *labels;
    size_t n = 0;

    if (list && list->kind == YAML_KIND_MAP) {
        updates = notify_bool(list, "enable_update", true);
        list = yaml_get(list, "values");
    }
    if (is_update && !updates)
        return;
    labels = arena_array(r->arena, struct slice, notify_items(list) + 1);
    for (size_t i = 0; i < notify_items(list); i++)
        labels[n++] = notify_expand(r, "labels", list->items[i]->text, false);
    labels[n++] =
        slice_cstr(arena_printf(r->arena, "ALERT{%s}", arena_cstr(r->arena, notify_key_hash(r))));
    qsort(labels, n, sizeof(*labels), text_order);
    notify_json_key(b, "labels");
    buf_byte(b, '[');
    for (size_t i = 0; i < n; i++) {
        buf_json_comma(b);
        buf_json_str(b, labels[i]);
    }
    buf_byte(b, ']');
}

static void build_issue(struct notify_render *r, const struct state *s)
{
    const struct yaml_node *fields = yaml_get(r->settings, "fields");
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    bool is_update = s->issue.len > 0;
    struct slice summary, priority;

    buf_str(&b, "{\"fields\":{");
    add_name(&b, "project", "key", notify_text(r, "project", NULL));
    add_name(&b, "issuetype", "name", notify_text(r, "issue_type", NULL));
    if (field_text(r, "summary", "{{ template \"jira.default.summary\" . }}", is_update, &summary))
        notify_json(&b, "summary", notify_cut_runes(r, summary, MAX_SUMMARY_RUNES));
    add_description(r, &b, is_update);
    add_labels(r, &b, is_update);
    priority = notify_text(r, "priority", "{{ template \"jira.default.priority\" . }}");
    if (priority.len)
        add_name(&b, "priority", "name", priority);
    for (size_t i = 0; fields && fields->kind == YAML_KIND_MAP && i < fields->n; i++) {
        notify_json_key(&b, arena_cstr(r->arena, fields->keys[i].text));
        notify_value(r, &b, "fields", fields->items[i]);
    }
    buf_str(&b, "}}");
    post(r, is_update ? "PUT" : "POST",
         slice_cstr(arena_printf(r->arena, is_update ? "%.*s/issue/%.*s" : "%.*s/issue%.*s",
                                 SLICE_ARG(base(r)), SLICE_ARG(s->issue))),
         &b);
}

static void build_move(struct notify_render *r, const struct state *s)
{
    struct buf b = {.max_bytes = NOTIFY_MAX_BODY};
    struct slice url = slice_cstr(arena_printf(r->arena, "%.*s/issue/%.*s/transitions",
                                               SLICE_ARG(base(r)), SLICE_ARG(s->issue)));

    if (s->stage == TRANSITIONS) {
        post(r, "GET", url, &b);
        return;
    }
    buf_str(&b, "{\"transition\":{");
    notify_json(&b, "id", s->move_id);
    buf_str(&b, "}}");
    post(r, "POST", url, &b);
}

static void build(struct notify_render *r)
{
    struct state *s = state_of(r);

    r->is_told = s->stage == DONE;
    if (s->stage == SEARCH)
        build_search(r);
    else if (s->stage == WRITE)
        build_issue(r, s);
    else if (s->stage != DONE)
        build_move(r, s);
}

/* ---- answers ---- */

static struct slice text_of(struct notify_render *r, const json_t *s)
{
    return arena_dup(r->arena, slice_of(json_string_value(s), json_string_length(s)));
}

/* It becomes part of an address. */
static bool is_key(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') ||
              (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || s.ptr[i] == '-' || s.ptr[i] == '_'))
            return false;
    return s.len > 0 && s.len <= MAX_KEY_BYTES;
}

static struct err *read_search(struct notify_render *r, struct state *s, const json_t *root)
{
    const json_t *issue = json_array_get(json_object_get(root, "issues"), 0);
    const json_t *status = json_object_get(json_object_get(issue, "fields"), "status");
    const json_t *category = json_object_get(json_object_get(status, "statusCategory"), "key");

    if (!json_is_array(json_object_get(root, "issues")))
        return err_new(ERR_NET, "jira's search answered without issues");
    if (!issue) {
        s->stage = r->is_firing ? WRITE : DONE;
        return NULL;
    }
    s->issue = text_of(r, json_object_get(issue, "key"));
    if (!is_key(s->issue))
        return err_new(ERR_NET, "jira's search answered with a key that is none");
    s->is_done = slice_eq_cstr(text_of(r, category), "done");
    s->stage = WRITE;
    return NULL;
}

static void after_write(struct notify_render *r, struct state *s)
{
    struct slice name =
        notify_raw(r->settings, r->is_firing ? "reopen_transition" : "resolve_transition", NULL);

    s->wanted = arena_cstr(r->arena, name);
    s->stage = s->issue.len && name.len && s->is_done == r->is_firing ? TRANSITIONS : DONE;
}

static struct err *read_transitions(struct notify_render *r, struct state *s, const json_t *root)
{
    const json_t *list = json_object_get(root, "transitions");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);

        if (slice_eq_cstr(text_of(r, json_object_get(t, "name")), s->wanted)) {
            s->move_id = text_of(r, json_object_get(t, "id"));
            s->stage = MOVE;
            return NULL;
        }
    }
    return err_new(ERR_NET, "jira: no transition %s of %.*s", s->wanted, SLICE_ARG(s->issue));
}

static struct err *judge(struct notify_render *r, const struct notify_answer *a, bool *may_retry)
{
    struct state *s = state_of(r);
    struct err *e = NULL;
    json_t *root;

    if (a->status / 100 != 2)
        return NULL;
    *may_retry = false;
    root = s->stage == SEARCH || s->stage == TRANSITIONS ? notify_answer_json(a) : NULL;
    if (s->stage == SEARCH)
        e = read_search(r, s, root);
    else if (s->stage == WRITE)
        after_write(r, s);
    else if (s->stage == TRANSITIONS)
        e = read_transitions(r, s, root);
    else
        s->stage = DONE;
    json_decref(root);
    return e;
}

const struct notify_kind notify_kind_jira = {.name = "jira", .build = build, .judge = judge};
