#include "common/net/http_route.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

enum segment_kind { SEG_LITERAL, SEG_NAME, SEG_REST };

struct segment {
    enum segment_kind kind;
    struct slice text; /* the literal, or the name */
};

struct entry {
    struct http_route route; /* pattern is owned */
    struct segment segments[HTTP_ROUTE_SEGMENTS_MAX];
    size_t count;
    bool is_literal;
    struct entry *next_same; /* same literal path, other methods */
};

struct http_route_table {
    struct map literal; /* decoded path to the first struct entry */
    VEC(struct entry *) all;
    VEC(struct entry *) patterns; /* most literal first */
};

struct http_route_table *http_route_table_new(void)
{
    return mem_new(struct http_route_table);
}

void http_route_table_free(struct http_route_table *t)
{
    if (!t)
        return;
    VEC_FOREACH (e, &t->all) {
        mem_free((void *)(uintptr_t)(*e)->route.pattern);
        mem_free(*e);
    }
    vec_done(&t->all);
    vec_done(&t->patterns);
    map_done(&t->literal);
    mem_free(t);
}

static struct segment parse_segment(struct slice s, bool is_last)
{
    if (slice_eq(s, SLICE("*"))) {
        ORR_ASSERT(is_last);
        return (struct segment){SEG_REST, SLICE("*")};
    }
    if (s.len > 2 && s.ptr[0] == '{' && s.ptr[s.len - 1] == '}')
        return (struct segment){SEG_NAME, slice_sub(s, 1, s.len - 2)};
    ORR_ASSERT(slice_find_byte(s, '{', 0) < 0 && slice_find_byte(s, '*', 0) < 0);
    return (struct segment){SEG_LITERAL, s};
}

static struct entry *entry_new(const struct http_route *route)
{
    struct entry *e = mem_new(struct entry);
    struct slice rest, part;

    ORR_ASSERT(route->pattern && route->pattern[0] == '/' && route->handler && route->methods);
    e->route = *route;
    e->route.pattern = mem_strdup(route->pattern);
    if (e->route.methods & HTTP_GET)
        e->route.methods |= HTTP_HEAD;
    e->is_literal = true;
    rest = slice_cstr(e->route.pattern + 1);
    while (slice_split(&rest, '/', &part)) {
        ORR_ASSERT(e->count < HTTP_ROUTE_SEGMENTS_MAX);
        e->segments[e->count] = parse_segment(part, rest.ptr == NULL);
        e->is_literal = e->is_literal && e->segments[e->count].kind == SEG_LITERAL;
        e->count++;
    }
    return e;
}

/* Negative when a is tried before b: at the first difference, literal, then name, then rest. */
static int entry_cmp(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (a->segments[i].kind != b->segments[i].kind)
            return (int)a->segments[i].kind - (int)b->segments[i].kind;
    return (a->count < b->count) - (a->count > b->count);
}

static bool entry_same_shape(const struct entry *a, const struct entry *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->segments[i].kind != b->segments[i].kind ||
            (a->segments[i].kind == SEG_LITERAL &&
             !slice_eq(a->segments[i].text, b->segments[i].text)))
            return false;
    return true;
}

void http_route_table_add(struct http_route_table *t, const struct http_route *route)
{
    struct entry *e = entry_new(route);
    size_t i;

    VEC_FOREACH (other, &t->all)
        ORR_ASSERT(!entry_same_shape(e, *other) || !(e->route.methods & (*other)->route.methods));
    vec_push(&t->all, e);
    if (e->is_literal) {
        e->next_same = map_put(&t->literal, slice_cstr(e->route.pattern), e);
        return;
    }
    vec_push(&t->patterns, e);
    for (i = t->patterns.len - 1; i > 0 && entry_cmp(e, t->patterns.ptr[i - 1]) < 0; i--)
        t->patterns.ptr[i] = t->patterns.ptr[i - 1];
    t->patterns.ptr[i] = e;
}

/* A path in segments, each decoded on its own so that %2F stays inside one. */
struct path {
    struct slice parts[HTTP_ROUTE_SEGMENTS_MAX];
    size_t raw_starts[HTTP_ROUTE_SEGMENTS_MAX]; /* of each part in the raw path */
    size_t count;                               /* may be more than there are parts */
};

static bool path_split(struct arena *a, struct slice raw, struct path *p)
{
    struct slice rest = slice_from(raw, 1), part;

    p->count = 0;
    while (slice_split(&rest, '/', &part)) {
        if (p->count < HTTP_ROUTE_SEGMENTS_MAX) {
            if (!http_unescape_arena(a, part, false, &p->parts[p->count]))
                return false;
            p->raw_starts[p->count] = (size_t)(part.ptr - raw.ptr);
        }
        p->count++;
    }
    return true;
}

static bool entry_matches(const struct entry *e, const struct path *p)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct segment *s = &e->segments[i];

        if (i >= p->count)
            return false;
        if (s->kind == SEG_REST)
            return true;
        if (s->kind == SEG_NAME ? p->parts[i].len == 0 : !slice_eq(s->text, p->parts[i]))
            return false;
    }
    return p->count == e->count;
}

static void capture(const struct entry *e, const struct path *p, struct arena *a, struct slice raw,
                    struct http_route_match *m)
{
    struct http_param *items = arena_array(a, struct http_param, e->count);

    for (size_t i = 0; i < e->count; i++) {
        const struct segment *s = &e->segments[i];
        struct slice value = SLICE_EMPTY;

        if (s->kind == SEG_LITERAL)
            continue;
        if (s->kind == SEG_NAME)
            value = p->parts[i];
        else /* the whole path has been decoded once: this cannot fail */
            (void)http_unescape_arena(a, slice_from(raw, p->raw_starts[i]), false, &value);
        items[m->segment_count++] = (struct http_param){s->text, value};
    }
    m->segments = items;
}

/* Keeps what the pattern allows; true if it serves the method. */
static bool consider(const struct entry *e, enum http_method method, struct http_route_match *m)
{
    m->allowed |= e->route.methods;
    if (!(e->route.methods & method))
        return false;
    m->route = &e->route;
    return true;
}

static void find_literal(const struct http_route_table *t, enum http_method method,
                         struct http_route_match *m)
{
    for (const struct entry *e = map_get(&t->literal, m->path); e; e = e->next_same)
        if (consider(e, method, m))
            return;
}

static void find_pattern(const struct http_route_table *t, enum http_method method, struct arena *a,
                         struct slice raw, struct http_route_match *m)
{
    struct path p;

    if (!path_split(a, raw, &p))
        return;
    for (size_t i = 0; i < t->patterns.len; i++) {
        const struct entry *e = t->patterns.ptr[i];

        if (entry_matches(e, &p) && consider(e, method, m)) {
            capture(e, &p, a, raw, m);
            return;
        }
    }
}

struct http_route_match http_route_find(const struct http_route_table *t, struct arena *a,
                                        enum http_method method, struct slice path_raw)
{
    struct http_route_match m = {0};

    if (!http_unescape_arena(a, path_raw, false, &m.path) ||
        (m.path.len && memchr(m.path.ptr, 0, m.path.len))) {
        m.is_malformed = true;
        m.path = path_raw;
        return m;
    }
    if (path_raw.len == 0 || path_raw.ptr[0] != '/')
        return m;
    /* An escaped slash is no separator, but would look like one in the decoded path. */
    if (slice_find(path_raw, SLICE("%2F"), 0) < 0 && slice_find(path_raw, SLICE("%2f"), 0) < 0)
        find_literal(t, method, &m);
    if (!m.route)
        find_pattern(t, method, a, path_raw, &m);
    return m;
}
