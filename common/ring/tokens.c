#include "common/ring/tokens.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/ring/member.h"

#define RING_SPAN 4294967296.0 /* 2^32 */

/* A token of the zone's ring with what lies between it and the one before. */
struct piece {
    uint32_t token, owner;
    uint64_t len; /* keys it owns: (previous token, token] */
};

static int cmp_piece(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    return x->token != y->token ? (x->token > y->token) - (x->token < y->token)
                                : (x->owner > y->owner) - (x->owner < y->owner);
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* All tokens of owners in ring order with their lengths; a token two owners share stays with the
 * first of them. The caller frees. */
static struct piece *pieces_of(const struct tokens_owner *owners, size_t n_owners, size_t extra,
                               size_t *ret_n)
{
    size_t n = 0, kept = 0;
    struct piece *p;

    for (size_t o = 0; o < n_owners; o++)
        n += owners[o].n;
    p = mem_new_array(struct piece, n + extra + 1);
    n = 0;
    for (size_t o = 0; o < n_owners; o++)
        for (size_t i = 0; i < owners[o].n; i++)
            p[n++] = (struct piece){owners[o].tokens[i], (uint32_t)o, 0};
    qsort(p, n, sizeof(*p), cmp_piece);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || p[i].token != p[kept - 1].token)
            p[kept++] = p[i];
    for (size_t i = 0; i < kept; i++) {
        uint32_t before = p[(i + kept - 1) % kept].token;

        p[i].len = kept == 1 ? 1ull << 32 : (uint32_t)(p[i].token - before);
    }
    *ret_n = kept;
    return p;
}

void tokens_shares(const struct tokens_owner *owners, size_t n_owners, double *ret)
{
    size_t n;
    struct piece *p = pieces_of(owners, n_owners, 0, &n);

    for (size_t o = 0; o < n_owners; o++)
        ret[o] = 0;
    for (size_t i = 0; i < n; i++)
        ret[p[i].owner] += (double)p[i].len / RING_SPAN;
    mem_free(p);
}

static bool has(const uint32_t *sorted, size_t n, uint32_t token)
{
    return n && bsearch(&token, sorted, n, sizeof(*sorted), cmp_u32);
}

/* The nearest free token at or below want that is above floor (in clockwise distance len). */
static bool nearest_free(const uint32_t *taken, size_t n_taken, uint32_t want, uint64_t len,
                         uint32_t *ret)
{
    for (uint64_t i = 0; i < len; i++) {
        uint32_t t = want - (uint32_t)i;

        if (!has(taken, n_taken, t)) {
            *ret = t;
            return true;
        }
    }
    return false;
}

/* The first instance of a zone: equal pieces from a random start. */
static size_t pick_first(struct rng *rng, const uint32_t *taken, size_t n_taken, size_t want,
                         uint32_t *ret)
{
    uint32_t start = rng_u32(rng);
    uint64_t step = (1ull << 32) / want;
    size_t n = 0;

    for (size_t i = 0; i < want; i++) {
        uint32_t t = start + (uint32_t)(i * step);

        if (nearest_free(taken, n_taken, t, step, &t))
            ret[n++] = t;
    }
    return n;
}

/* The largest piece of the owner who owns most (among those that have one worth cutting). */
static struct piece *largest_of_richest(struct piece *p, size_t n, const uint64_t *owned,
                                        size_t n_owners)
{
    struct piece *best = NULL;
    size_t richest = 0;

    for (size_t o = 1; o < n_owners; o++)
        if (owned[o] > owned[richest])
            richest = o;
    for (size_t i = 0; i < n; i++)
        if (p[i].owner == richest && p[i].len > 1 && (!best || p[i].len > best->len))
            best = &p[i];
    if (best)
        return best;
    for (size_t i = 0; i < n; i++)
        if (p[i].owner < n_owners && p[i].len > 1 && (!best || p[i].len > best->len))
            best = &p[i];
    return best;
}

/* Cuts want pieces out of the others' so that the newcomer ends with its fair share. */
static size_t pick_share(const struct tokens_owner *owners, size_t n_owners, const uint32_t *taken,
                         size_t n_taken, size_t want, uint32_t *ret)
{
    size_t n_pieces, n = 0;
    struct piece *p = pieces_of(owners, n_owners, want, &n_pieces);
    uint64_t *owned = mem_new_array(uint64_t, n_owners);
    uint64_t left = (1ull << 32) / (n_owners + 1);

    for (size_t i = 0; i < n_pieces; i++)
        owned[p[i].owner] += p[i].len;
    while (n < want) {
        uint64_t size = ORR_MAX(left / (want - n), 1);
        struct piece *from = largest_of_richest(p, n_pieces, owned, n_owners);
        uint32_t before, t;

        if (!from)
            break;
        size = ORR_MIN(size, from->len - 1);
        before = from->token - (uint32_t)from->len;
        if (!nearest_free(taken, n_taken, before + (uint32_t)size, size, &t)) {
            from->len = 0; /* full of other zones' tokens: not worth another try */
            continue;
        }
        size = (uint32_t)(t - before);
        ret[n++] = t;
        from->len -= size;
        owned[from->owner] -= size;
        left -= ORR_MIN(left, size);
    }
    mem_free(owned);
    mem_free(p);
    return n;
}

void tokens_pick(struct rng *rng, const struct tokens_owner *owners, size_t n_owners,
                 const uint32_t *taken, size_t n_taken, size_t want, uint32_t *ret)
{
    size_t with_tokens = 0, n = 0;

    for (size_t o = 0; o < n_owners; o++)
        with_tokens += owners[o].n > 0;
    if (want == 0)
        return;
    if (with_tokens == 0) {
        n = pick_first(rng, taken, n_taken, want, ret);
    } else {
        /* Those without tokens own nothing and must not lower the share. */
        struct tokens_owner *some = mem_new_array(struct tokens_owner, with_tokens);
        size_t k = 0;

        for (size_t o = 0; o < n_owners; o++)
            if (owners[o].n)
                some[k++] = owners[o];
        n = pick_share(some, k, taken, n_taken, want, ret);
        mem_free(some);
    }
    qsort(ret, n, sizeof(*ret), cmp_u32);
    while (n < want) { /* a ring full to the brim: anything that is free */
        uint32_t t = rng_u32(rng);

        if (has(taken, n_taken, t) || has(ret, n, t))
            continue;
        ret[n++] = t;
        qsort(ret, n, sizeof(*ret), cmp_u32);
    }
}

void tokens_file_encode(struct buf *out, const struct tokens_file *f)
{
    buf_printf(out, "orrery-ring 1 %lld %llu %zu\n", (long long)f->registered_ms,
               (unsigned long long)f->incarnation, f->n);
    for (size_t i = 0; i < f->n; i++)
        buf_printf(out, "%u\n", f->tokens[i]);
    buf_str(out, "end\n");
}

static bool next_line(struct slice *rest, struct slice *ret)
{
    return slice_split(rest, '\n', ret);
}

struct err *tokens_file_decode(struct slice text, struct tokens_file *ret)
{
    struct tokens_file f = {0};
    struct slice rest = text, line, word[5];
    uint64_t n = 0, token;

    if (!next_line(&rest, &line))
        return err_new(ERR_INVALID, "tokens: empty");
    for (size_t i = 0; i < ORR_COUNT(word); i++)
        if (!slice_split(&line, ' ', &word[i]))
            return err_new(ERR_INVALID, "tokens: malformed first line");
    if (!slice_eq_cstr(word[0], "orrery-ring"))
        return err_new(ERR_INVALID, "tokens: not a tokens file");
    if (!slice_eq_cstr(word[1], "1"))
        return err_new(ERR_UNSUPPORTED, "tokens: format %.*s, this is 1", SLICE_ARG(word[1]));
    if (!slice_to_i64(word[2], &f.registered_ms) || !slice_to_u64(word[3], &f.incarnation) ||
        !slice_to_u64(word[4], &n) || n > MEMBER_MAX_TOKENS || f.incarnation >= 1ull << 62)
        return err_new(ERR_INVALID, "tokens: malformed first line");
    f.tokens = mem_new_array(uint32_t, n + 1);
    for (f.n = 0; f.n < n; f.n++) {
        if (!next_line(&rest, &line) || !slice_to_u64(line, &token) || token > UINT32_MAX ||
            (f.n && token <= f.tokens[f.n - 1]))
            goto bad;
        f.tokens[f.n] = (uint32_t)token;
    }
    if (!next_line(&rest, &line) || !slice_eq_cstr(line, "end"))
        goto bad;
    *ret = f;
    return NULL;
bad:
    n = f.n;
    tokens_file_done(&f);
    return err_new(ERR_INVALID, "tokens: malformed after %zu tokens", (size_t)n);
}

void tokens_file_done(struct tokens_file *f)
{
    mem_free(f->tokens);
    *f = (struct tokens_file){0};
}
