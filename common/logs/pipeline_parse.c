/* The parsers: from the line to labels. */
#include "common/base/gostr.h"
#include "common/logs/bytescan.h"
#include "common/logs/pipeline_internal.h"

/* ---- what they share ---- */

static bool is_wanted(const struct pipeline *p, uint32_t id)
{
    return p->n_required == 0 || (id < p->n_names && p->is_required[id]);
}

/* The label that a key becomes, of those that are wanted. Known once per stream, unless metadata has
 * the name. */
static bool resolve(struct pipeline_state *s, uint32_t id, uint32_t *ret)
{
    struct linelabels *l = &s->labels;
    struct linelabels_name *name = &l->names[id];

    if (name->line == l->line && name->from == LINELABELS_METADATA) {
        *ret = linelabels_beside(l, id);
        return is_wanted(s->p, *ret);
    }
    if (name->key_stream != l->stream) {
        uint32_t to = linelabels_beside_stream(l, id);

        name = &l->names[id]; /* may have moved */
        name->key_stream = l->stream;
        name->key_id = to;
        name->is_wanted = is_wanted(s->p, to);
    }
    *ret = name->key_id;
    return name->is_wanted;
}

/* The same for labels that the query names. */
static uint32_t beside(struct pipeline_state *s, uint32_t id)
{
    (void)resolve(s, id, &id);
    return id;
}

/* U+FFFD, and bytes that are not UTF-8, as spaces: Prometheus' labels cannot hold them. */
static struct slice cleaned(struct pipeline_state *s, struct slice value)
{
    uint8_t *out = arena_alloc(s->labels.kept, value.len);
    size_t n = 0;

    while (value.len) {
        uint32_t rune;
        size_t len = gostr_rune(value, &rune);

        if (rune == 0xfffd) {
            out[n++] = ' ';
        } else {
            memcpy(out + n, value.ptr, len);
            n += len;
        }
        value = slice_from(value, len);
    }
    return slice_of(out, n);
}

/* value, which may lie in a scratch buffer, for as long as the line lasts. */
static struct slice lasting(struct pipeline_state *s, struct slice value)
{
    bool is_inside = value.ptr >= s->line.ptr && value.ptr < s->line.ptr + s->line.len;

    if (value.len == 0)
        return SLICE_EMPTY;
    if (!bytescan_is_ascii(value))
        return cleaned(s, value);
    return is_inside ? value : linelabels_keep(&s->labels, value);
}

/* By any parser of the pipeline. */
static bool was_parsed(const struct pipeline_state *s, uint32_t id)
{
    return s->labels.names[id].parsed == s->labels.line;
}

/* What has been parsed already stays as it is. False: parsing ends here, because a filter refuses the
 * value (the line is dropped) or because this was the last one asked for. */
static bool put(struct pipeline_state *s, uint32_t id, struct slice value)
{
    const struct pipeline *p = s->p;

    if (was_parsed(s, id))
        return true;
    s->labels.names[id].parsed = s->labels.line;
    linelabels_set(&s->labels, id, LINELABELS_PARSED, value);
    if (id >= p->n_names)
        return true;
    if (p->stops[id] && !pipeline_filter_keeps(s, p->stops[id])) {
        s->is_dropped = true;
        return false;
    }
    s->n_extracted += p->is_required[id];
    return p->n_required == 0 || s->n_extracted < p->n_required;
}

/* A key as a label's name; made into one it is in s->text. */
static struct slice label_name(struct pipeline_state *s, struct slice key)
{
    if (labels_is_legacy_name(key))
        return key;
    buf_reset(&s->text);
    jsonline_label_name(&s->text, key, true);
    return buf_slice(&s->text);
}

/* The names of errors are no labels'. */
static uint32_t capture_id(struct pipeline *p, struct slice name)
{
    if (linelabels_is_error(name))
        name = slice_cstr(arena_printf(p->arena, "%.*s" LINELABELS_EXTRACTED, SLICE_ARG(name)));
    return pipeline_label_id(p, name);
}

static void take_names(struct pipeline *p, struct pipeline_step *step)
{
    const struct logql_stage *stage = step->stage;

    step->n_captures = stage->n_pairs;
    step->captures = arena_array(p->arena, struct pipeline_capture, stage->n_pairs);
    for (size_t i = 0; i < stage->n_pairs; i++) {
        struct slice src = stage->pairs[i].src;

        step->captures[i].id = capture_id(p, stage->pairs[i].dst);
        step->captures[i].key = src.len ? src : stage->pairs[i].dst;
    }
}

/* ---- json ---- */

static bool on_json(void *arg, struct slice key, struct slice value)
{
    struct pipeline_state *s = arg;
    uint32_t id;

    if (key.len == 0 || !resolve(s, linelabels_id(&s->labels, key), &id))
        return true;
    return put(s, id, lasting(s, value));
}

static bool wants_prefix(void *arg, struct slice prefix)
{
    const struct pipeline_state *s = arg;

    if (s->p->n_required == 0)
        return true;
    for (uint32_t i = 0; i < s->p->n_names; i++)
        if (s->p->is_required[i] && slice_has_prefix(s->p->names[i], prefix))
            return true;
    return false;
}

static bool run_json(struct pipeline_state *s, const struct pipeline_step *step)
{
    (void)step;
    if (s->p->has_no_labels)
        return true;
    s->json.wants = s->p->n_required ? wants_prefix : NULL;
    if (!jsonline_each(&s->json, s->line, on_json, s))
        pipeline_parse_fail(s, "JSONParserErr", s->json.error);
    return !s->is_dropped;
}

struct path_run {
    struct pipeline_state *s;
    const struct pipeline_step *step;
};

/* Raw text of JSON without its escapes, wherever they stand; empty if one is malformed. */
static struct slice unescaped(struct pipeline_state *s, struct slice value)
{
    if (slice_find_byte(value, '\\', 0) < 0)
        return value;
    buf_reset(&s->text);
    return jsonline_unescape(value, &s->text) ? buf_slice(&s->text) : SLICE_EMPTY;
}

static void on_path(void *arg, size_t path, struct slice value)
{
    struct path_run *r = arg;
    struct pipeline_state *s = r->s;
    uint32_t id = beside(s, r->step->captures[path].id);

    linelabels_set(&s->labels, id, LINELABELS_PARSED,
                   slice_eq_cstr(value, "null") ? SLICE_EMPTY : lasting(s, unescaped(s, value)));
}

static bool run_paths(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct path_run r = {s, step};
    struct slice unused;
    size_t n;

    if (s->line.len == 0 || s->p->has_no_labels)
        return true;
    if (!memchr("\"{[", s->line.ptr[0], 3)) {
        pipeline_parse_fail(s, "JSONParserErr", "");
        return true;
    }
    n = jsonpaths_each(step->paths, s->line, on_path, &r);
    for (size_t i = 0; n < step->n_captures && i < step->n_captures; i++)
        if (linelabels_get(&s->labels, step->captures[i].id, &unused) == LINELABELS_NOWHERE)
            linelabels_set(&s->labels, step->captures[i].id, LINELABELS_PARSED, SLICE_EMPTY);
    return true;
}

struct err *pipeline_make_json(struct pipeline *p, struct pipeline_step *step)
{
    struct slice *paths;

    if (step->stage->n_pairs == 0) {
        step->run = run_json;
        return NULL;
    }
    step->run = run_paths;
    paths = arena_array(p->arena, struct slice, step->stage->n_pairs);
    take_names(p, step);
    for (size_t i = 0; i < step->n_captures; i++)
        paths[i] = step->captures[i].key;
    return jsonpaths_make(p->arena, paths, step->n_captures, &step->paths);
}

/* ---- logfmt ---- */

/* The next pair that is none of the malformed ones; false: it was the last, or strictly malformed. */
static bool next_pair(struct pipeline_state *s, const struct pipeline_step *step, struct logfmt *it,
                      struct slice *ret_key, struct slice *ret_value)
{
    enum logfmt_what what;

    while ((what = logfmt_next(it, &s->json.value, ret_key, ret_value)) == LOGFMT_BAD) {
        if (!step->stage->is_strict)
            continue;
        pipeline_parse_fail(s, "LogfmtParserErr", it->error);
        return false;
    }
    return what == LOGFMT_PAIR;
}

static bool run_logfmt(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct logfmt it = logfmt_of(s->line);
    struct slice key, value;

    if (s->p->has_no_labels)
        return true;
    while (next_pair(s, step, &it, &key, &value)) {
        uint32_t id;

        if (value.len == 0 && !step->stage->keeps_empty)
            continue;
        key = label_name(s, key);
        if (key.len && resolve(s, linelabels_id(&s->labels, key), &id) &&
            !put(s, id, lasting(s, value)))
            break;
    }
    return !s->is_dropped;
}

static bool run_logfmt_some(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct logfmt it = logfmt_of(s->line);
    struct slice key, value;

    if (s->p->has_no_labels)
        return true;
    for (size_t i = 0; i < step->n_captures; i++)
        if (!linelabels_is_base(&s->labels, step->captures[i].id))
            linelabels_set(&s->labels, step->captures[i].id, LINELABELS_PARSED, SLICE_EMPTY);
    while (next_pair(s, step, &it, &key, &value)) {
        key = label_name(s, key);
        for (size_t i = 0; i < step->n_captures; i++) {
            if (!slice_eq(step->captures[i].key, key))
                continue;
            if ((value.len || step->stage->keeps_empty) &&
                !was_parsed(s, linelabels_id(&s->labels, key)) &&
                !put(s, beside(s, step->captures[i].id), lasting(s, value)))
                return !s->is_dropped;
            break;
        }
    }
    return true;
}

struct err *pipeline_make_logfmt(struct pipeline *p, struct pipeline_step *step)
{
    step->run = step->stage->n_pairs ? run_logfmt_some : run_logfmt;
    take_names(p, step);
    return NULL;
}

/* ---- regexp and pattern ---- */

/* A group's or capture's value. False: parsing ends here. */
static bool put_capture(struct pipeline_state *s, const struct pipeline_capture *c,
                        struct slice value)
{
    uint32_t id;

    return !resolve(s, c->id, &id) || put(s, id, value);
}

static bool run_regexp(struct pipeline_state *s, const struct pipeline_step *step)
{
    if (s->p->has_no_labels || !re_find(step->re, s->line, 0, s->spans, s->n_spans))
        return true;
    for (size_t i = 0; i < step->n_captures; i++) {
        const int *span = s->spans + 2 * step->captures[i].group;
        struct slice value = span[0] < 0
                                 ? SLICE_EMPTY
                                 : slice_sub(s->line, (size_t)span[0], (size_t)(span[1] - span[0]));

        if (!put_capture(s, &step->captures[i], value))
            break;
    }
    return !s->is_dropped;
}

static bool has_capture(const struct pipeline_step *step, uint32_t id)
{
    for (size_t i = 0; i < step->n_captures; i++)
        if (step->captures[i].id == id)
            return true;
    return false;
}

static struct err *add_capture(struct pipeline *p, struct pipeline_step *step, struct slice name,
                               int group)
{
    uint32_t id = capture_id(p, name);

    if (has_capture(step, id))
        return err_new(ERR_INVALID, "the name \"%.*s\" is given twice",
                       SLICE_ARG(slice_sub(name, 0, 200)));
    step->captures[step->n_captures++] = (struct pipeline_capture){.id = id, .group = group};
    return NULL;
}

struct err *pipeline_make_regexp(struct pipeline *p, struct pipeline_step *step)
{
    struct err *e = linefilter_regex(p->arena, step->stage->text, &step->re);
    size_t n;

    if (e)
        return e;
    n = re_groups(step->re);
    step->run = run_regexp;
    step->captures = arena_array(p->arena, struct pipeline_capture, n);
    for (size_t i = 1; i <= n && !e; i++) {
        const char *name = re_group_name(step->re, i);

        if (!name)
            continue;
        if (!labels_is_legacy_name(slice_cstr(name)))
            return err_new(ERR_INVALID, "the group \"%s\" is no name of a label", name);
        e = add_capture(p, step, arena_dup(p->arena, slice_cstr(name)), (int)i);
    }
    if (!e && step->n_captures == 0)
        return err_new(ERR_INVALID, "at least one group needs a name: (?P<name>…)");
    return e;
}

static bool run_pattern(struct pipeline_state *s, const struct pipeline_step *step)
{
    size_t n = s->p->has_no_labels ? 0 : linepattern_take(&step->pattern, s->line, s->taken);

    for (size_t i = 0; i < n; i++)
        if (!put_capture(s, &step->captures[i], s->taken[i]))
            break;
    return !s->is_dropped;
}

struct err *pipeline_make_pattern(struct pipeline *p, struct pipeline_step *step)
{
    struct err *e = linepattern_parse(p->arena, step->stage->text, &step->pattern);

    if (e)
        return e;
    if (step->pattern.n_names == 0)
        return err_new(ERR_INVALID, "at least one capture needs a name: <name>");
    step->run = run_pattern;
    step->captures = arena_array(p->arena, struct pipeline_capture, step->pattern.n_names);
    for (size_t i = 0; i < step->pattern.n && !e; i++)
        if (step->pattern.parts[i].name.len)
            e = add_capture(p, step, step->pattern.parts[i].name, 0);
    return e;
}

/* ---- unpack ---- */

struct unpacked {
    struct pipeline_state *s;
    struct slice entry;
    bool is_packed;
    struct label *ptr; /* in the order of the line; set only if there is an entry */
    size_t n, cap;
};

static bool on_packed(void *arg, struct slice key, struct slice value)
{
    struct unpacked *u = arg;

    value = lasting(u->s, value);
    if (slice_eq_cstr(key, "_entry")) {
        u->entry = value;
        u->is_packed = true;
        return true;
    }
    if (u->n == u->cap) {
        size_t cap = u->cap ? u->cap * 2 : 8;

        u->ptr =
            arena_grow(u->s->labels.kept, u->ptr, u->cap * sizeof(*u->ptr), cap * sizeof(*u->ptr));
        u->cap = cap;
    }
    u->ptr[u->n++] = (struct label){linelabels_keep(&u->s->labels, key), value};
    return true;
}

static bool run_unpack(struct pipeline_state *s, const struct pipeline_step *step)
{
    struct unpacked u = {.s = s};
    bool is_read;

    (void)step;
    if (s->line.len == 0 || s->p->has_no_labels)
        return true;
    if (s->line.ptr[0] != '{') {
        pipeline_parse_fail(s, "JSONParserErr", "expecting json object, but it is not");
        return true;
    }
    s->json.is_flat = true;
    is_read = jsonline_each(&s->json, s->line, on_packed, &u);
    s->json.is_flat = false;
    if (!is_read)
        pipeline_parse_fail(s, "JSONParserErr", s->json.error);
    if (!is_read || !u.is_packed)
        return true;
    for (size_t i = 0; i < u.n; i++) {
        struct slice key = label_name(s, u.ptr[i].name);
        uint32_t id;

        if (key.len && resolve(s, linelabels_id(&s->labels, key), &id) &&
            !put(s, id, u.ptr[i].value) && s->is_dropped)
            return false;
    }
    s->line = u.entry;
    return true;
}

struct err *pipeline_make_unpack(struct pipeline *p, struct pipeline_step *step)
{
    (void)p;
    step->run = run_unpack;
    return NULL;
}
