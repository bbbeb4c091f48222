#include "querier/logs/logpatterns.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/map.h"
#include "querier/logs/logtokens.h"

#define VARIES "<_>"
#define INDEX_BYTES 96 /* of memory, for a skeleton in the map */

/* What one token may be, after those above it. */
struct node {
    struct slice text; /* a varying one: empty */
    uint32_t hash;
    bool varies, has_digits;
    bool words_vary, numbered_vary; /* there were too many: they are in the child that varies */
    struct node *children, *next;
    unsigned n_words, n_numbered; /* children that do not vary, without digits and with */
    struct leaf *leaf;            /* of the last token */
};
struct leaf {
    struct logpatterns_sample *samples;
    size_t n, cap;
    uint64_t lines;
};
struct root {
    struct slice skeleton, level;
    struct node node;
    struct root *next;
};

struct logpatterns {
    struct arena *arena;
    struct logpatterns_opts opts;
    struct map index; /* level and skeleton to struct root */
    struct root *roots;
    struct map levels;
    unsigned max_words, max_numbered; /* children of a node */
    size_t n_leaves;
    uint64_t left_out;
    struct logtokens tokens; /* of the line */
    struct buf key;
};

struct logpatterns *logpatterns_new(struct arena *a, const struct logpatterns_opts *opts)
{
    struct logpatterns *p = arena_new_of(a, struct logpatterns);

    p->arena = a;
    p->opts = *opts;
    p->max_words = LOGPATTERNS_WORDS;
    p->max_numbered = LOGPATTERNS_NUMBERED;
    p->tokens.max = LOGPATTERNS_TOKENS;
    return p;
}

void logpatterns_free(struct logpatterns *p)
{
    if (!p)
        return;
    arena_charge(p->arena, -(int64_t)(p->index.len * INDEX_BYTES));
    map_done(&p->index);
    map_done(&p->levels);
    logtokens_done(&p->tokens);
    buf_done(&p->key);
}

/* ---- counting ---- */

/* Where a step's sample is, or would be, behind. Lines of a stream come by time: nearly always the end. */
static size_t place_of(const struct leaf *l, int64_t step)
{
    size_t from = 0, to = l->n;

    if (to && l->samples[to - 1].step <= step)
        return to;
    while (from < to) {
        size_t mid = (from + to) / 2;

        if (l->samples[mid].step <= step)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static void count(struct logpatterns *p, struct leaf *l, int64_t step, uint64_t lines)
{
    size_t at = place_of(l, step);

    l->lines += lines;
    if (at > 0 && l->samples[at - 1].step == step) {
        l->samples[at - 1].lines += lines;
        return;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;

        l->samples = arena_grow(p->arena, l->samples, l->cap * sizeof(*l->samples),
                                cap * sizeof(*l->samples));
        l->cap = cap;
    }
    memmove(l->samples + at + 1, l->samples + at, (l->n - at) * sizeof(*l->samples));
    l->samples[at] = (struct logpatterns_sample){step, lines};
    l->n++;
}

/* ---- the tree ---- */

static struct node *child_of(const struct node *n, const struct node *like)
{
    for (struct node *c = n->children; c; c = c->next)
        if (c->hash == like->hash && c->varies == like->varies && slice_eq(c->text, like->text))
            return c;
    return NULL;
}

static void hang(struct node *n, struct node *child)
{
    child->next = n->children;
    n->children = child;
    if (child->varies)
        return;
    if (child->has_digits)
        n->n_numbered++;
    else
        n->n_words++;
}

static void collapse(struct logpatterns *p, struct node *n);

/* from's lines and children are into's; from is no more. */
static void merge(struct logpatterns *p, struct node *into, struct node *from)
{
    struct node *c = from->children;

    into->words_vary |= from->words_vary;
    into->numbered_vary |= from->numbered_vary;
    if (!into->leaf) {
        into->leaf = from->leaf;
    } else if (from->leaf) {
        for (size_t i = 0; i < from->leaf->n; i++)
            count(p, into->leaf, from->leaf->samples[i].step, from->leaf->samples[i].lines);
        p->n_leaves--;
    }
    while (c) {
        struct node *next = c->next, *same = child_of(into, c);

        if (same)
            merge(p, same, c);
        else
            hang(into, c);
        c = next;
    }
    collapse(p, into);
}

static struct node *varying_of(struct logpatterns *p, struct node *n)
{
    static const struct node like = {.text = {(const uint8_t *)"", 0}, .varies = true};
    struct node *c = child_of(n, &like);

    if (!c) {
        c = arena_new_of(p->arena, struct node);
        *c = like;
        hang(n, c);
    }
    return c;
}

/* What has too many children has one that varies in their place: those with digits, or all. */
static void collapse(struct logpatterns *p, struct node *n)
{
    struct node *c = n->children;

    n->words_vary = n->words_vary || n->n_words > p->max_words;
    n->numbered_vary = n->numbered_vary || n->words_vary || n->n_numbered > p->max_numbered;
    if (!(n->words_vary && n->n_words) && !(n->numbered_vary && n->n_numbered))
        return;
    n->children = NULL;
    n->n_numbered = 0;
    n->n_words = 0;
    for (struct node *next; c; c = next) {
        next = c->next;
        if (c->varies || n->words_vary || (c->has_digits && n->numbered_vary))
            merge(p, varying_of(p, n), c);
        else
            hang(n, c);
    }
}

/* The child that a token leads to. */
static struct node *step_down(struct logpatterns *p, struct node *n, const struct logtoken *t)
{
    struct node like = {.text = t->text, .has_digits = t->has_digits}, *c;

    if (t->varies || n->words_vary || (t->has_digits && n->numbered_vary))
        return varying_of(p, n);
    like.hash = (uint32_t)hash_xxh64(t->text, 0);
    if ((c = child_of(n, &like)))
        return c;
    c = arena_new_of(p->arena, struct node);
    *c = like;
    c->text = arena_dup(p->arena, t->text);
    hang(n, c);
    collapse(p, n);
    return n->words_vary || (t->has_digits && n->numbered_vary) ? varying_of(p, n) : c;
}

/* ---- lines ---- */

/* Of many different ones the later are none. */
static struct slice known_level(struct logpatterns *p, struct slice level)
{
    if (!level.len || map_has(&p->levels, level))
        return level;
    if (p->levels.len >= LOGPATTERNS_LEVELS)
        return SLICE_EMPTY;
    map_put(&p->levels, level, p);
    return level;
}

static struct root *root_of(struct logpatterns *p, struct slice level)
{
    struct root *r;

    buf_reset(&p->key);
    buf_lstr(&p->key, level);
    buf_slice_append(&p->key, buf_slice(&p->tokens.skeleton));
    if ((r = map_get(&p->index, buf_slice(&p->key))))
        return r;
    if (p->n_leaves >= p->opts.max_patterns)
        return NULL;
    r = arena_new_of(p->arena, struct root);
    r->level = arena_dup(p->arena, level);
    r->skeleton = arena_dup(p->arena, buf_slice(&p->tokens.skeleton));
    r->next = p->roots;
    p->roots = r;
    arena_charge(p->arena, INDEX_BYTES);
    map_put(&p->index, buf_slice(&p->key), r);
    return r;
}

static void collapse_all(struct logpatterns *p, struct node *n)
{
    collapse(p, n);
    for (struct node *c = n->children; c; c = c->next)
        collapse_all(p, c);
}

/* Too many patterns: nodes may have half as many children from now on. */
static void make_room(struct logpatterns *p)
{
    while (p->n_leaves >= p->opts.max_patterns && p->max_words + p->max_numbered > 0) {
        p->max_words /= 2;
        p->max_numbered /= 2;
        for (struct root *r = p->roots; r; r = r->next)
            collapse_all(p, &r->node);
    }
}

void logpatterns_add(struct logpatterns *p, struct slice level, int64_t ts_ns, struct slice line)
{
    struct root *root;
    struct node *n;

    if (p->n_leaves >= p->opts.max_patterns)
        make_room(p);
    logtokens_split(&p->tokens, line);
    if (!(root = root_of(p, known_level(p, level)))) {
        p->left_out++;
        return;
    }
    n = &root->node;
    for (size_t i = 0; i < p->tokens.n; i++)
        n = step_down(p, n, &p->tokens.ptr[i]);
    if (!n->leaf) {
        n->leaf = arena_new_of(p->arena, struct leaf);
        p->n_leaves++;
    }
    count(p, n->leaf, (ts_ns - p->opts.start_ns) / p->opts.step_ns, 1);
}

uint64_t logpatterns_left_out(const struct logpatterns *p)
{
    return p->left_out;
}

/* ---- the list ---- */

struct listing {
    struct logpatterns *p;
    struct logpattern *out;
    size_t n;
    const struct root *root;
    const struct node *path[LOGPATTERNS_TOKENS];
};

static struct slice text_of(struct listing *l, size_t depth)
{
    struct slice skeleton = l->root->skeleton;
    struct buf *b = &l->p->key;
    size_t at = 0;

    buf_reset(b);
    for (size_t i = 0; i < skeleton.len; i++) {
        uint8_t c = skeleton.ptr[i];

        if (c == LOGTOKENS_TOKEN) {
            ORR_ASSERT(at < depth);
            if (l->path[at]->varies)
                buf_str(b, VARIES);
            else
                buf_slice_append(b, l->path[at]->text);
            at++;
        } else if (c == LOGTOKENS_REST) {
            buf_str(b, VARIES);
        } else {
            buf_byte(b, c);
        }
    }
    return arena_dup(l->p->arena, buf_slice(b));
}

static void list_node(struct listing *l, const struct node *n, size_t depth)
{
    if (n->leaf)
        l->out[l->n++] = (struct logpattern){.text = text_of(l, depth),
                                             .level = l->root->level,
                                             .lines = n->leaf->lines,
                                             .samples = n->leaf->samples,
                                             .n_samples = n->leaf->n};
    for (const struct node *c = n->children; c; c = c->next) {
        l->path[depth] = c;
        list_node(l, c, depth + 1);
    }
}

static int by_lines(const void *a, const void *b)
{
    const struct logpattern *x = a, *y = b;
    int c;

    if (x->lines != y->lines)
        return x->lines > y->lines ? -1 : 1;
    c = slice_cmp(x->text, y->text);
    return c ? c : slice_cmp(x->level, y->level);
}

void logpatterns_list(struct logpatterns *p, struct logpattern **ret, size_t *ret_n)
{
    struct listing l = {.p = p, .out = arena_array(p->arena, struct logpattern, p->n_leaves + 1)};

    for (const struct root *r = p->roots; r; r = r->next) {
        l.root = r;
        list_node(&l, &r->node, 0);
    }
    if (l.n)
        qsort(l.out, l.n, sizeof(*l.out), by_lines);
    *ret = l.out;
    *ret_n = l.n;
}
