#include "alertmanager/silences.h"

#include <stdio.h>
#include <stdlib.h>

#include "alertmanager/silences_internal.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

struct tenant {
    struct map held; /* id → struct silence_held, a reference each */
    struct silence_index index;
};
struct silences {
    struct silences_opts opts;
    struct rng rng;
    struct map tenants; /* id → struct tenant */
    struct map dirty;   /* keys */
};

const char *silence_state_name(enum silence_state s)
{
    static const char *const names[] = {
#define X(sym, name) name,
        SILENCE_STATES(X)
#undef X
    };
    return names[s];
}

enum silence_state silence_state(const struct silence *s, int64_t now_ns)
{
    if (now_ns >= s->ends_ns)
        return SILENCE_EXPIRED;
    return now_ns < s->starts_ns ? SILENCE_PENDING : SILENCE_ACTIVE;
}

struct silences *silences_new(const struct silences_opts *opts)
{
    struct silences *s = mem_new(struct silences);

    s->opts = *opts;
    rng_seed(&s->rng, opts->seed);
    return s;
}

static void tenant_free(struct tenant *t)
{
    if (!t)
        return;
    silence_index_done(&t->index);
    MAP_FOREACH (e, &t->held)
        silence_unref(e->value);
    map_done(&t->held);
    mem_free(t);
}

void silences_free(struct silences *s)
{
    if (!s)
        return;
    MAP_FOREACH (e, &s->tenants)
        tenant_free(e->value);
    map_done(&s->tenants);
    map_done(&s->dirty);
    mem_free(s);
}

void silences_key(struct buf *out, struct slice tenant, struct slice id)
{
    buf_lstr(out, tenant);
    buf_lstr(out, id);
}

static void mark(struct silences *s, struct slice tenant, struct slice id)
{
    struct buf key = {0};

    silences_key(&key, tenant, id);
    (void)map_put(&s->dirty, buf_slice(&key), s);
    buf_done(&key);
}

static struct silence_held *held_of(const struct silences *s, struct slice tenant, struct slice id)
{
    const struct tenant *t = map_get(&s->tenants, tenant);

    return t ? map_get(&t->held, id) : NULL;
}

const struct silence *silences_get(const struct silences *s, struct slice tenant, struct slice id)
{
    const struct silence_held *h = held_of(s, tenant, id);

    return h ? &h->s : NULL;
}

/* ---- putting ---- */

/* old goes on with what h has: who remembers that it matches need not look again. */
static void take_over(struct silence_held *old, struct silence_held *h)
{
    struct silence_held was = *old;

    old->s = h->s;
    old->bytes = h->bytes;
    old->matchers_bytes = h->matchers_bytes;
    old->memory = h->memory;
    old->re_memory = h->re_memory;
    h->s = was.s;
    h->bytes = was.bytes;
    silence_unref(h);
}

/* Takes h. */
static void put(struct silences *s, struct slice tenant, struct silence_held *h, int64_t now_ns)
{
    void **slot = map_slot(&s->tenants, tenant), **place;
    struct tenant *t = *slot ? *slot : mem_new(struct tenant);
    struct silence_held *old;

    *slot = t;
    mark(s, tenant, h->s.id);
    place = map_slot(&t->held, h->s.id);
    old = *place;
    if (old && slice_eq(old->matchers_bytes, h->matchers_bytes)) {
        take_over(old, h);
        h = old;
    } else {
        if (old)
            silence_index_drop(&t->index, old);
        silence_unref(old);
        *place = h;
    }
    if (silence_state(&h->s, now_ns) == SILENCE_EXPIRED)
        silence_index_retire(&t->index, h);
    else
        silence_index_add(&t->index, h);
}

/* ---- setting ---- */

static struct err *check(const struct silences_spec *spec, int64_t now_ns)
{
    if (!spec->n_matchers)
        return err_new(ERR_INVALID, "at least one matcher required");
    if (spec->n_matchers > SILENCES_MAX_MATCHERS)
        return err_new(ERR_LIMIT, "more than %d matchers", SILENCES_MAX_MATCHERS);
    if (spec->starts_ns >= spec->ends_ns)
        return err_new(ERR_INVALID, "start time must be before end time");
    if (spec->ends_ns <= now_ns) /* also at now: it would not even be compiled */
        return err_new(ERR_INVALID, "end time can't be in the past");
    return NULL;
}

/* Against a slip of the pen that mutes everything. Who writes != or !~ means what is absent too. */
static struct err *check_matches_something(const struct silence *s)
{
    for (size_t i = 0; i < s->matchers.n; i++) {
        const struct ammatch *m = &s->matchers.ptr[i];

        if (m->op == MATCHER_NE || m->op == MATCHER_NRE ||
            !ammatch_matches(m, (struct labels){NULL, 0}))
            return NULL;
    }
    return err_new(ERR_INVALID, "at least one matcher must not match the empty string");
}

/* What would be stored, of what is asked for. */
static struct err *make(const struct silences *s, struct slice tenant,
                        const struct silences_spec *spec, struct silence *draft, int64_t now_ns,
                        struct silence_held **ret)
{
    struct ammatch *ms = mem_new_array(struct ammatch, spec->n_matchers);
    struct buf b = {0};
    struct silence_held *h = NULL;
    struct err *e;

    for (size_t i = 0; i < spec->n_matchers; i++)
        ms[i] = (struct ammatch){.op = spec->matchers[i].op,
                                 .name = spec->matchers[i].name,
                                 .value = spec->matchers[i].value};
    draft->matchers = (struct ammatch_list){ms, spec->n_matchers};
    draft->created_by = spec->created_by;
    draft->comment = spec->comment;
    draft->annotations = spec->annotations;
    draft->expires_ns = draft->ends_ns + s->opts.retention_ns;
    silence_encode(&b, tenant, draft);
    if (!(e = silence_decode(buf_slice(&b), now_ns, &h)) && (e = check_matches_something(&h->s))) {
        silence_unref(h);
        h = NULL;
    }
    buf_done(&b);
    mem_free(ms);
    *ret = h;
    return e;
}

/* Room for h beside, or (replaces) instead of, old. */
static struct err *check_room(const struct silences *s, struct slice tenant,
                              const struct silence_held *h, const struct silence_held *replaced,
                              const struct silences_limits *limits, int64_t now_ns)
{
    const struct tenant *t = map_get(&s->tenants, tenant);
    size_t bytes = h->memory + h->re_memory, n = 1;

    if (!limits)
        return NULL;
    if (t)
        MAP_FOREACH (e, &t->held) {
            const struct silence_held *other = e->value;

            if (other == replaced)
                continue;
            bytes += other->memory + other->re_memory;
            n += silence_state(&other->s, now_ns) != SILENCE_EXPIRED;
        }
    if (limits->max_silences && n > limits->max_silences)
        return err_new(ERR_LIMIT,
                       "too many silences: the tenant has %zu, the most it may have "
                       "(alertmanager_max_silences_count)",
                       n - 1);
    if (limits->max_bytes && bytes > limits->max_bytes)
        return err_new(ERR_LIMIT,
                       "silences too large: with this one the tenant's would take %zu bytes, the "
                       "most is %zu (alertmanager_max_silences_bytes)",
                       bytes, limits->max_bytes);
    return NULL;
}

static bool can_update(const struct silence_held *old, const struct silence_held *h,
                       const struct silences_spec *spec, int64_t now_ns)
{
    if (!slice_eq(old->matchers_bytes, h->matchers_bytes))
        return false;
    switch (silence_state(&old->s, now_ns)) {
    case SILENCE_ACTIVE: /* people see seconds */
        return spec->starts_ns / NS_PER_S == old->s.starts_ns / NS_PER_S;
    case SILENCE_PENDING:
        return spec->starts_ns >= now_ns;
    default:
        return false;
    }
}

static void new_id(struct silences *s, char text[static 37])
{
    uint64_t a = rng_u64(&s->rng), b = rng_u64(&s->rng);

    /* RFC 9562, version 4 */
    snprintf(text, 37, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
             (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
             0x8000 | ((unsigned)(b >> 48) & 0x3fff), (unsigned long long)(b & 0xffffffffffffull));
}

struct err *silences_set(struct silences *s, struct slice tenant, const struct silences_spec *spec,
                         const struct silences_limits *limits, int64_t now_ns, struct slice *ret_id)
{
    struct silence draft = {.starts_ns = spec->starts_ns, .ends_ns = spec->ends_ns};
    struct silence_held *old = spec->id.len ? held_of(s, tenant, spec->id) : NULL, *h = NULL;
    bool updates, replaces;
    char id[37];
    struct err *e;

    if (spec->id.len && !old)
        return err_new(ERR_NOT_FOUND, "silence not found");
    if ((e = check(spec, now_ns)))
        return e;
    new_id(s, id);
    draft.id = slice_cstr(id);
    draft.starts_ns = ORR_MAX(spec->starts_ns, now_ns);
    draft.updated_ns = now_ns;
    if ((e = make(s, tenant, spec, &draft, now_ns, &h)))
        return e;
    updates = old && can_update(old, h, spec, now_ns);
    replaces = old && silence_state(&old->s, now_ns) != SILENCE_EXPIRED;
    if (updates) {
        silence_unref(h);
        draft.id = old->s.id;
        draft.starts_ns = spec->starts_ns;
        draft.updated_ns = ORR_MAX(now_ns, old->s.updated_ns + 1);
        if ((e = make(s, tenant, spec, &draft, now_ns, &h)))
            return e;
    }
    if ((e = check_room(s, tenant, h, replaces ? old : NULL, limits, now_ns))) {
        silence_unref(h);
        return e;
    }
    if (replaces && !updates)
        e = silences_expire(s, tenant, spec->id, now_ns);
    put(s, tenant, h, now_ns);
    *ret_id = updates ? old->s.id : h->s.id; /* of an update, old has taken over what h had */
    return e;
}

struct err *silences_expire(struct silences *s, struct slice tenant, struct slice id,
                            int64_t now_ns)
{
    struct silence_held *old = held_of(s, tenant, id), *h;
    struct silence draft;
    struct buf b = {0};
    struct err *e;

    if (!old)
        return err_new(ERR_NOT_FOUND, "silence not found");
    if (silence_state(&old->s, now_ns) == SILENCE_EXPIRED)
        return NULL;
    draft = old->s;
    draft.starts_ns = ORR_MIN(draft.starts_ns, now_ns);
    draft.ends_ns = now_ns;
    draft.updated_ns = ORR_MAX(now_ns, draft.updated_ns + 1);
    draft.expires_ns = now_ns + s->opts.retention_ns;
    silence_encode(&b, tenant, &draft);
    if (!(e = silence_decode(buf_slice(&b), now_ns, &h)))
        put(s, tenant, h, now_ns);
    buf_done(&b);
    return e;
}

/* ---- the view ---- */

struct sorted {
    enum silence_state state;
    int64_t key;
    const struct silence *s;
};

static int cmp_sorted(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;

    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return slice_cmp(x->s->id, y->s->id);
}

void silences_list(const struct silences *s, struct slice tenant, int64_t now_ns, silence_vec *ret)
{
    const struct tenant *t = map_get(&s->tenants, tenant);
    VEC(struct sorted) v = {0};

    if (!t)
        return;
    MAP_FOREACH (e, &t->held) {
        const struct silence *one = &((struct silence_held *)e->value)->s;
        enum silence_state state = silence_state(one, now_ns);
        int64_t key = state == SILENCE_ACTIVE    ? one->ends_ns
                      : state == SILENCE_PENDING ? one->starts_ns
                                                 : -one->ends_ns;

        vec_push(&v, ((struct sorted){state, key, one}));
    }
    if (v.len)
        qsort(v.ptr, v.len, sizeof(*v.ptr), cmp_sorted);
    VEC_FOREACH (x, &v)
        vec_push(ret, x->s);
    vec_done(&v);
}

static int cmp_id(const void *a, const void *b)
{
    return slice_cmp((*(const struct silence *const *)a)->id,
                     (*(const struct silence *const *)b)->id);
}

bool silences_find(struct silences *s, struct slice tenant, uint64_t fingerprint, struct labels ls,
                   int64_t now_ns, silence_vec *ret)
{
    struct tenant *t = map_get(&s->tenants, tenant);
    size_t before = ret ? ret->len : 0;
    bool found = t && silence_index_find(&t->index, fingerprint, ls, now_ns, ret);

    if (found && ret)
        qsort(ret->ptr + before, ret->len - before, sizeof(*ret->ptr), cmp_id);
    return found;
}

void silences_forget(struct silences *s, struct slice tenant, uint64_t fingerprint)
{
    struct tenant *t = map_get(&s->tenants, tenant);

    if (t)
        silence_index_forget(&t->index, fingerprint);
}

struct silences_count silences_count(const struct silences *s, int64_t now_ns)
{
    struct silences_count c = {0};

    MAP_FOREACH (e, &s->tenants) {
        const struct tenant *t = e->value;

        c.tests += t->index.tests;
        MAP_FOREACH (h, &t->held)
            c.by_state[silence_state(&((struct silence_held *)h->value)->s, now_ns)]++;
    }
    return c;
}

/* ---- peers and disk ---- */

static bool split_key(struct slice key, struct slice *ret_tenant, struct slice *ret_id)
{
    struct reader r = reader_new(key);

    *ret_tenant = reader_lstr(&r);
    *ret_id = reader_lstr(&r);
    return reader_ok(&r);
}

void silences_entry(const struct silences *s, struct slice key, struct buf *out)
{
    struct slice tenant, id;
    const struct silence_held *h = split_key(key, &tenant, &id) ? held_of(s, tenant, id) : NULL;

    if (h)
        buf_slice_append(out, h->bytes);
}

/* Whether the bytes of a silence are those of a later one than ours. */
static bool is_later(struct slice bytes, const struct silence_peek *theirs,
                     const struct silence_held *ours)
{
    if (theirs->updated_ns != ours->s.updated_ns)
        return theirs->updated_ns > ours->s.updated_ns;
    return slice_cmp(bytes, ours->bytes) > 0;
}

struct err *silences_merge(struct silences *s, struct slice bytes, int64_t now_ns, bool *ret_news)
{
    const struct silence_held *ours;
    struct silence_peek peek;
    struct silence_held *h;
    bool news;
    struct err *e = silence_peek(bytes, &peek); /* most of a full state is known: made of nothing */

    if (e)
        return e;
    ours = held_of(s, peek.tenant, peek.id);
    news = peek.expires_ns > now_ns && (!ours || is_later(bytes, &peek, ours));
    if (news) {
        if ((e = silence_decode(bytes, now_ns, &h)))
            return e;
        put(s, peek.tenant, h, now_ns);
    }
    if (ret_news)
        *ret_news = news;
    return NULL;
}

void silences_write_state(const struct silences *s, struct buf *out)
{
    MAP_FOREACH (e, &s->tenants) {
        const struct tenant *t = e->value;

        MAP_FOREACH (h, &t->held)
            buf_lstr(out, ((struct silence_held *)h->value)->bytes);
    }
}

struct err *silences_merge_state(struct silences *s, struct slice bytes, int64_t now_ns)
{
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    while (reader_left(&r)) { /* one that we do not understand does not keep out the others */
        struct slice entry = reader_lstr(&r);

        e = err_first(e, reader_ok(&r) ? silences_merge(s, entry, now_ns, NULL)
                                       : err_new(ERR_INVALID, "silences: malformed state"));
    }
    return e;
}

static void gc_tenant(struct silences *s, struct slice tenant, struct tenant *t, int64_t now_ns)
{
    VEC(struct silence_held *) dead = {0};

    silence_index_sweep(&t->index, now_ns);
    MAP_FOREACH (e, &t->held) {
        struct silence_held *h = e->value;

        if (h->s.expires_ns <= now_ns && !h->is_indexed)
            vec_push(&dead, h);
    }
    VEC_FOREACH (h, &dead) {
        mark(s, tenant, (*h)->s.id);
        (void)map_del(&t->held, (*h)->s.id);
        silence_unref(*h);
    }
    vec_done(&dead);
}

void silences_gc(struct silences *s, int64_t now_ns)
{
    MAP_FOREACH (e, &s->tenants)
        gc_tenant(s, e->key, e->value, now_ns);
}

void silences_take_dirty(struct silences *s, silences_dirty_fn *fn, void *arg)
{
    MAP_FOREACH (e, &s->dirty) {
        struct buf b = {0};

        silences_entry(s, e->key, &b);
        fn(arg, e->key, buf_slice(&b));
        buf_done(&b);
    }
    map_done(&s->dirty);
}

void silences_mark_dirty(struct silences *s, struct slice key)
{
    (void)map_put(&s->dirty, key, s);
}
