/*
 * The hand-over as readers see it: three ingesters in three zones cut segments, two compactors put them into blocks
 * and tell the ingesters to drop them, or an ingester does so itself; blocks are compacted into others, their files
 * deleted, and old ones expire. Two readers ask the ingesters and then take the catalogue they hold, or look for a newer one.
 *
 * Everybody crashes between any two steps (upload, catalogue, gossip, drop); gossip is lost, late and repeated; the bucket
 * does not answer a reader, or answers it what was true some versions ago; replicas miss writes; clocks step.
 *
 * A read that is answered without error has every datum that was acknowledged before it, whichever two of the zones
 * answered, but for what has expired. In the end, with all well again, every read is answered.
 *
 * The catalogue and querier/store/newness.h are the real code; the steps are those of flush_upload.c, segflush.c,
 * head_segment.c and blockset.c. That a datum of two places counts once is the merge's, see store_handover_test.c.
 *
 * --break no-marks: readers do not ask by which version ingesters have dropped; late-marks: ingesters note it after
 * the drop; forget-marks: they do not know it any more after a crash. Each must be found out.
 */
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/block/catalogue.h"
#include "querier/store/newness.h"
#include "tests/sim/sim.h"

#define INGESTERS 3
#define COMPACTORS 2
#define READERS 2
#define FIRST_COMPACTOR INGESTERS
#define FIRST_READER (INGESTERS + COMPACTORS)
#define NODES (FIRST_READER + READERS)
#define MAX_ITEMS 256
#define MAX_SEGS 192 /* of all ingesters, ever */
#define MAX_BLOCKS 256
#define MAX_VERSIONS 512
#define ATTEMPTS 4 /* blockset.c's */
#define PATIENCE_NS (3 * NS_PER_S)
#define TENANT SLICE("t")

struct bits {
    uint64_t words[4];
};
static_assert(MAX_ITEMS <= 256 && MAX_BLOCKS <= 256, "they are sets of bits");

static void bits_set(struct bits *b, size_t i)
{
    b->words[i / 64] |= 1ull << i % 64;
}

static bool bits_has(const struct bits *b, size_t i)
{
    return b->words[i / 64] >> i % 64 & 1;
}

static void bits_add(struct bits *a, const struct bits *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        a->words[i] |= b->words[i];
}

static bool bits_have_all(const struct bits *a, const struct bits *b)
{
    for (size_t i = 0; i < ORR_COUNT(a->words); i++)
        if (b->words[i] & ~a->words[i])
            return false;
    return true;
}

struct seg {
    struct ulid id;
    int owner;
    struct bits items;
    bool is_there;
    bool is_uploading; /* by its owner; forgotten when that crashes */
};

struct block {
    struct ulid id;
    struct bits items;
    bool is_there;
};

struct world;
struct read;

/* head and disk_mark survive a crash, mark does not: it is read back. */
struct ingester {
    struct world *world;
    int node;
    struct bits head;
    uint64_t mark, disk_mark;
};

struct compactor {
    struct world *world;
    int node;
};

enum bucket_mood { BUCKET_WELL, BUCKET_HANGS, BUCKET_STALE };

struct reader_node {
    struct world *world;
    int node;
    enum bucket_mood mood;
    struct newness newness; /* of this life */
    uint32_t last_read;
    struct read *reads[16]; /* by number, the last ones */
};

struct world {
    struct sim *sim;
    struct ingester ingesters[INGESTERS];
    struct compactor compactors[COMPACTORS];
    struct reader_node readers[READERS];
    struct seg segs[MAX_SEGS];
    struct block blocks[MAX_BLOCKS];
    size_t n_segs, n_blocks, n_items, n_jobs;
    struct catalogue *catalogue;
    uint64_t version;
    struct bits live[MAX_VERSIONS]; /* blocks that a version names */
    struct bits acked, expired;
    bool is_quiet;
    unsigned answered, stale, refused;
};

/* ---- the bucket ---- */

static struct ulid id_of(uint8_t kind, size_t number)
{
    uint8_t entropy[10] = {kind, (uint8_t)number, (uint8_t)(number >> 8)};

    return ulid_make(1 + number, entropy);
}

static int64_t op_ns(struct world *w)
{
    return sim_between(w->sim, 1, 600) * NS_PER_MS;
}

static bool op_fails(struct world *w)
{
    return !w->is_quiet && sim_chance(w->sim, 0.1);
}

static struct block *find_block(struct world *w, struct ulid id)
{
    for (size_t i = 0; i < w->n_blocks; i++)
        if (ulid_eq(w->blocks[i].id, id))
            return &w->blocks[i];
    return NULL;
}

static struct block *put_block(struct world *w, struct ulid id, const struct bits *items)
{
    struct block *b = find_block(w, id);

    if (!b && w->n_blocks == MAX_BLOCKS)
        return NULL;
    if (!b)
        b = &w->blocks[w->n_blocks++];
    *b = (struct block){id, *items, true};
    return b;
}

static bool is_named(struct world *w, struct ulid segment)
{
    struct ulid_text text = ulid_print(segment);

    return catalogue_has_segment(w->catalogue, slice_cstr(text.s));
}

static bool has_room(const struct world *w)
{
    return w->version + 2 < MAX_VERSIONS && w->n_blocks + 2 < MAX_BLOCKS;
}

/* Everybody may hear of it, sooner or later or not at all. */
static void publish(struct world *w, int from)
{
    uint8_t bytes[9] = {'G'};

    memcpy(bytes + 1, &w->version, sizeof(w->version));
    for (int i = 0; i < READERS; i++)
        sim_send(w->sim, from, FIRST_READER + i, slice_of(bytes, sizeof(bytes)));
}

/* The catalogue was edited. */
static void next_version(struct world *w)
{
    size_t n;
    const struct catalogue_block *cb = catalogue_blocks(w->catalogue, &n);
    struct bits *live = &w->live[++w->version];

    *live = (struct bits){{0}};
    for (size_t i = 0; i < n; i++)
        bits_set(live, (size_t)(find_block(w, cb[i].ulid) - w->blocks));
}

static void add_block(struct world *w, struct ulid id, const struct ulid *segs, size_t n)
{
    struct ulid_text texts[MAX_SEGS];
    struct slice names[MAX_SEGS];

    for (size_t i = 0; i < n; i++) {
        texts[i] = ulid_print(segs[i]);
        names[i] = slice_cstr(texts[i].s);
    }
    catalogue_add(w->catalogue, &(struct catalogue_block){
                                    .ulid = id, .max_t = 1, .segments = names, .n_segments = n});
}

/* ---- ingesters ---- */

static void cut(struct world *w, int i)
{
    struct ingester *in = &w->ingesters[i];

    if (w->n_segs == MAX_SEGS || bits_have_all(&(struct bits){{0}}, &in->head))
        return;
    w->segs[w->n_segs] = (struct seg){id_of('s', w->n_segs), i, in->head, true, false};
    w->n_segs++;
    in->head = (struct bits){{0}};
}

static struct bits content(struct world *w, int i)
{
    struct bits all = w->ingesters[i].head;

    for (size_t k = 0; k < w->n_segs; k++)
        if (w->segs[k].owner == i && w->segs[k].is_there)
            bits_add(&all, &w->segs[k].items);
    return all;
}

struct dropping {
    struct ingester *in;
    struct seg *seg;
    uint64_t version;
    bool is_uploaded;
};

static void note_mark(struct dropping *d)
{
    d->in->mark = d->in->disk_mark = ORR_MAX(d->in->disk_mark, d->version);
}

static void on_noted(void *arg)
{
    struct dropping *d = arg;

    if (d->seg->is_there)
        sim_note(d->in->world->sim, "ingester %d drops %s by version %llu", d->in->node,
                 ulid_print(d->seg->id).s, (unsigned long long)d->version);
    d->seg->is_there = false;
}

static void on_dropped(void *arg)
{
    note_mark(arg);
}

/* As head_segment_dropped(): the mark on disk, and then the segment; a crash may come between. */
static void drop(struct ingester *in, struct seg *seg, uint64_t version)
{
    struct dropping *d = sim_alloc(in->world->sim, sizeof(*d));
    bool is_late = sim_is_broken(in->world->sim, "late-marks");
    int64_t write_ns = sim_between(in->world->sim, 1, 100) * NS_PER_MS;

    *d = (struct dropping){.in = in, .seg = seg, .version = version};
    if (!seg->is_there)
        return;
    if (is_late)
        on_noted(d);
    else
        note_mark(d);
    sim_node_at(in->world->sim, in->node, write_ns, is_late ? on_dropped : on_noted, d);
}

static void upload_done(void *arg)
{
    struct dropping *d = arg;

    drop(d->in, d->seg, d->version);
}

static void upload_edit(void *arg)
{
    struct dropping *d = arg;
    struct world *w = d->in->world;
    bool fails = op_fails(w);

    d->seg->is_uploading = false; /* which failed; another time */
    if (!has_room(w) || (fails && sim_chance(w->sim, 0.5)))
        return;
    if (d->is_uploaded && !is_named(w, d->seg->id)) {
        add_block(w, d->seg->id, &d->seg->id, 1);
        next_version(w);
    }
    if (fails)
        return;
    d->seg->is_uploading = true;
    d->version = w->version;
    publish(w, d->in->node);
    sim_node_at(w->sim, d->in->node, sim_between(w->sim, 0, 2000) * NS_PER_MS, upload_done, d);
}

static void upload_begin(struct world *w, struct seg *seg)
{
    struct ingester *in = &w->ingesters[seg->owner];
    struct dropping *d = sim_alloc(w->sim, sizeof(*d));

    bool is_new = !is_named(w, seg->id);

    if (!sim_is_up(w->sim, in->node) || !seg->is_there || seg->is_uploading || !has_room(w) ||
        (is_new && !put_block(w, seg->id, &seg->items)))
        return;
    seg->is_uploading = true;
    *d = (struct dropping){.in = in, .seg = seg, .is_uploaded = is_new};
    sim_node_at(w->sim, in->node, op_ns(w), upload_edit, d);
}

static void ingester_start(void *arg)
{
    struct ingester *in = arg;

    in->mark = sim_is_broken(in->world->sim, "forget-marks") ? 0 : in->disk_mark;
}

static void ingester_stop(void *arg)
{
    struct ingester *in = arg;

    for (size_t i = 0; i < in->world->n_segs; i++)
        if (in->world->segs[i].owner == in->node)
            in->world->segs[i].is_uploading = false;
}

struct answer {
    uint8_t type;
    uint32_t read;
    uint64_t mark;
    struct bits items;
};

static void ingester_receive(void *arg, int from, struct slice bytes)
{
    struct ingester *in = arg;
    struct world *w = in->world;
    struct reader r = reader_new(slice_from(bytes, 1));

    if (bytes.ptr[0] == 'D') {
        uint32_t seg = reader_u32le(&r);

        drop(in, &w->segs[seg], reader_u64le(&r));
    } else {
        struct answer a = {'A', reader_u32le(&r), 0, content(w, in->node)};

        a.mark = in->mark; /* after the content is fixed */
        sim_send(w->sim, in->node, from, slice_of(&a, sizeof(a)));
    }
}

/* ---- compactors ---- */

struct job {
    struct compactor *c;
    struct ulid id, segs[MAX_SEGS];
    struct bits items;
    size_t n;
    struct ulid inputs[2]; /* blocks that go, of a compaction */
    size_t n_inputs;
};

static void begin_round(void *arg);

static void rest(struct compactor *c)
{
    sim_node_at(c->world->sim, c->node, sim_between(c->world->sim, 100, 1500) * NS_PER_MS,
                begin_round, c);
}

static void delete_files(void *arg)
{
    struct block *b = arg;

    b->is_there = false;
}

/* A block that is replaced, or expires, keeps its files for a while. */
static void retire(struct world *w, struct ulid id)
{
    (void)catalogue_retire(w->catalogue, id, 1);
    sim_at(w->sim, sim_between(w->sim, 500, 8000) * NS_PER_MS, delete_files, find_block(w, id));
}

/* What the job is for is still to do: as the catalogue is when it is edited. */
static bool is_needed(struct world *w, const struct job *j)
{
    for (size_t i = 0; i < j->n_inputs; i++)
        if (!catalogue_find(w->catalogue, j->inputs[i]))
            return false;
    for (size_t i = 0; !j->n_inputs && i < j->n; i++)
        if (!is_named(w, j->segs[i]))
            return true;
    return j->n_inputs > 0;
}

static void on_edit(void *arg)
{
    struct job *j = arg;
    struct world *w = j->c->world;
    bool fails = op_fails(w);

    rest(j->c);
    if (!has_room(w) || (fails && sim_chance(w->sim, 0.5)) || !is_needed(w, j))
        return;
    for (size_t i = 0; i < j->n_inputs; i++)
        retire(w, j->inputs[i]);
    add_block(w, j->id, j->segs, j->n);
    next_version(w);
    sim_note(w->sim, "compactor %d: %zu segments in %s, version %llu", j->c->node, j->n,
             ulid_print(j->id).s, (unsigned long long)w->version);
    if (!fails)
        publish(w, j->c->node);
}

static void on_upload(void *arg)
{
    struct job *j = arg;
    struct world *w = j->c->world;

    if (op_fails(w) || !has_room(w) || !put_block(w, j->id, &j->items))
        rest(j->c);
    else
        sim_node_at(w->sim, j->c->node, op_ns(w), on_edit, j);
}

static struct job *job_new(struct compactor *c)
{
    struct job *j = sim_alloc(c->world->sim, sizeof(*j));

    j->c = c;
    j->id = id_of('b', c->world->n_jobs++);
    return j;
}

static void send_drop(struct compactor *c, size_t seg)
{
    uint32_t number = (uint32_t)seg;
    uint8_t bytes[13] = {'D'};

    memcpy(bytes + 1, &number, sizeof(number));
    memcpy(bytes + 5, &c->world->version, sizeof(c->world->version));
    sim_send(c->world->sim, c->node, c->world->segs[seg].owner, slice_of(bytes, sizeof(bytes)));
}

/* Of the ingesters that are reached: what is named is to be dropped, the rest goes into a block, if all zones but one
 * are there. */
static struct job *flush(struct compactor *c)
{
    struct world *w = c->world;
    struct job *j = job_new(c);
    bool is_reached[INGESTERS];
    unsigned reached = 0;

    for (int i = 0; i < INGESTERS; i++)
        reached += is_reached[i] =
            sim_can_talk(w->sim, c->node, i) && (w->is_quiet || sim_chance(w->sim, 0.9));
    for (size_t i = 0; i < w->n_segs; i++) {
        const struct seg *s = &w->segs[i];

        if (!s->is_there || !is_reached[s->owner])
            continue;
        if (is_named(w, s->id)) {
            send_drop(c, i);
            continue;
        }
        j->segs[j->n++] = s->id;
        bits_add(&j->items, &s->items);
    }
    return reached + 1 >= INGESTERS && j->n ? j : NULL;
}

static struct job *compact(struct compactor *c)
{
    struct world *w = c->world;
    struct job *j = job_new(c);
    size_t n, from;
    const struct catalogue_block *cb = catalogue_blocks(w->catalogue, &n);

    if (n < 2)
        return NULL;
    from = (size_t)sim_between(w->sim, 0, (int64_t)n - 2);
    for (size_t i = from; i < from + 2; i++) {
        j->inputs[j->n_inputs++] = cb[i].ulid;
        bits_add(&j->items, &find_block(w, cb[i].ulid)->items);
        for (size_t k = 0; k < cb[i].n_segments; k++)
            if (j->n < MAX_SEGS && ulid_parse(cb[i].segments[k], &j->segs[j->n]))
                j->n++;
    }
    return j;
}

/* A block is long past when no ingester has a segment of it any more. */
static void expire(struct world *w)
{
    size_t n;
    const struct catalogue_block *cb = catalogue_blocks(w->catalogue, &n);

    if (n < 2 || !has_room(w))
        return;
    for (size_t i = 0; i < w->n_segs; i++) {
        struct ulid_text text = ulid_print(w->segs[i].id);

        for (size_t k = 0; w->segs[i].is_there && k < cb[0].n_segments; k++)
            if (slice_eq_cstr(cb[0].segments[k], text.s))
                return;
    }
    bits_add(&w->expired, &find_block(w, cb[0].ulid)->items);
    retire(w, cb[0].ulid);
    next_version(w);
}

static void begin_round(void *arg)
{
    struct compactor *c = arg;
    struct world *w = c->world;
    struct job *j = NULL;

    if (!op_fails(w)) {
        publish(w, c->node); /* it may be another one's, of which nobody heard */
        if (!(j = flush(c)) && !w->is_quiet && sim_chance(w->sim, 0.3))
            j = compact(c);
        if (!j && !w->is_quiet && sim_chance(w->sim, 0.05))
            expire(w);
    }
    if (j)
        sim_node_at(w->sim, c->node, op_ns(w), on_upload, j);
    else
        rest(c);
}

/* ---- readers ---- */

struct read {
    struct reader_node *r;
    uint32_t number;
    struct bits acked, found;
    struct newness_need need;
    bool has_answer[INGESTERS], is_taking;
    bool is_owed; /* begun when all is well: it has to be answered */
    int attempts, looks;
    uint64_t hinted_then;
    int64_t began_ns;
};

static void take(struct read *q);

static void refuse(struct read *q, const char *why)
{
    struct world *w = q->r->world;

    sim_note(w->sim, "reader %d: %s (needs %llu, holds %llu)", q->r->node, why,
             (unsigned long long)q->need.version, (unsigned long long)q->r->newness.held);
    w->refused++;
    if (q->is_owed)
        sim_fail(w->sim, "in the end reader %d is refused: %s", q->r->node, why);
}

/* By the blocks of the catalogue that is held. */
static void use_held(struct read *q, bool is_stale)
{
    struct world *w = q->r->world;
    const struct bits *live = &w->live[q->r->newness.held];
    struct bits found = q->found;

    for (size_t i = 0; i < w->n_blocks; i++) {
        if (!bits_has(live, i))
            continue;
        if (!w->blocks[i].is_there) { /* compacted away meanwhile */
            q->need.not_before_ns = sim_mono_ns(w->sim, q->r->node);
            q->looks = 0;
            if (++q->attempts < ATTEMPTS)
                take(q);
            else
                refuse(q, "a block is not there");
            return;
        }
        bits_add(&found, &w->blocks[i].items);
    }
    bits_add(&found, &w->expired);
    w->answered++;
    w->stale += is_stale;
    if (!bits_have_all(&found, &q->acked))
        sim_fail(w->sim, "reader %d, by version %llu%s of %llu: an acknowledged datum is missing",
                 q->r->node, (unsigned long long)q->r->newness.held, is_stale ? " (stale)" : "",
                 (unsigned long long)w->version);
}

static void look_failed(void *arg)
{
    struct read *q = arg;

    if (newness_will_do_stale(&q->r->newness, &q->need))
        use_held(q, true);
    else
        refuse(q, "the bucket does not answer");
}

static void looked(void *arg)
{
    struct read *q = arg;
    struct world *w = q->r->world;
    uint64_t behind = q->r->mood == BUCKET_STALE ? (uint64_t)sim_between(w->sim, 0, 3) : 0;
    uint64_t version = w->version - ORR_MIN(w->version, behind);

    newness_looked(&q->r->newness, version, q->began_ns, q->hinted_then);
    take(q);
}

static void take(struct read *q)
{
    struct reader_node *r = q->r;
    struct world *w = r->world;
    bool is_patient;

    if (newness_will_do(&r->newness, &q->need)) {
        use_held(q, false);
    } else if (q->looks++ == ATTEMPTS) {
        refuse(q, "the catalogue is older than announced");
    } else {
        q->need.not_before_ns =
            newness_look_since(&r->newness, &q->need, sim_mono_ns(w->sim, r->node), &is_patient);
        q->began_ns = sim_mono_ns(w->sim, r->node);
        q->hinted_then = r->newness.hinted;
        if (r->mood == BUCKET_HANGS)
            sim_node_at(w->sim, r->node, PATIENCE_NS, look_failed, q);
        else
            sim_node_at(w->sim, r->node, op_ns(w), looked, q);
    }
}

static void on_answers(void *arg)
{
    struct read *q = arg;
    unsigned answers = 0;

    q->is_taking = true;
    for (int i = 0; i < INGESTERS; i++)
        answers += q->has_answer[i];
    if (answers + 1 < INGESTERS) {
        if (q->is_owed)
            refuse(q, "too few ingesters answer");
        return;
    }
    if (sim_is_broken(q->r->world->sim, "no-marks"))
        q->need.version = 0;
    q->need.not_before_ns = sim_mono_ns(q->r->world->sim, q->r->node);
    if (sim_chance(q->r->world->sim, 0.3)) /* catalogue_max_age */
        q->need.not_before_ns -= 5 * NS_PER_S;
    take(q);
}

static void begin_read(struct reader_node *r)
{
    struct world *w = r->world;
    struct read *q = sim_alloc(w->sim, sizeof(*q));
    uint8_t bytes[5] = {'R'};

    q->r = r;
    q->number = ++r->last_read;
    q->acked = w->acked;
    q->is_owed = w->is_quiet;
    memcpy(bytes + 1, &q->number, sizeof(q->number));
    for (int i = 0; i < INGESTERS; i++)
        sim_send(w->sim, r->node, i, slice_of(bytes, sizeof(bytes)));
    r->reads[q->number % ORR_COUNT(r->reads)] = q;
    sim_node_at(w->sim, r->node, NS_PER_S, on_answers, q);
}

static void reader_receive(void *arg, int from, struct slice bytes)
{
    struct reader_node *r = arg;
    struct answer a;
    struct read *q;

    if (bytes.ptr[0] == 'G') {
        struct reader in = reader_new(slice_from(bytes, 1));

        newness_hint(&r->newness, reader_u64le(&in));
        return;
    }
    memcpy(&a, bytes.ptr, sizeof(a));
    q = r->reads[a.read % ORR_COUNT(r->reads)];
    if (!q || q->number != a.read || q->is_taking) /* too late */
        return;
    q->has_answer[from] = true;
    bits_add(&q->found, &a.items);
    q->need.version = ORR_MAX(q->need.version, a.mark);
}

static void reader_start(void *arg)
{
    struct reader_node *r = arg;

    r->newness = (struct newness){0};
    memset(r->reads, 0, sizeof(r->reads));
}

/* ---- the world ---- */

static void write_item(struct world *w)
{
    size_t item = w->n_items;
    int copies = 0;

    if (item == MAX_ITEMS)
        return;
    w->n_items++;
    for (int i = 0; i < INGESTERS; i++) {
        if (!sim_is_up(w->sim, i) || sim_chance(w->sim, 0.15))
            continue;
        bits_set(&w->ingesters[i].head, item);
        copies++;
    }
    if (copies >= 2)
        bits_set(&w->acked, item);
}

static void client(void *arg)
{
    struct world *w = arg;

    if (w->is_quiet)
        return;
    write_item(w);
    for (int i = 0; i < READERS; i++)
        if (sim_is_up(w->sim, FIRST_READER + i) && sim_chance(w->sim, 0.4))
            begin_read(&w->readers[i]);
    for (int i = 0; i < INGESTERS; i++)
        if (sim_is_up(w->sim, i) && sim_chance(w->sim, 0.07))
            cut(w, i);
    if (w->n_segs && sim_chance(w->sim, 0.06))
        upload_begin(w, &w->segs[sim_between(w->sim, 0, (int64_t)w->n_segs - 1)]);
    sim_at(w->sim, sim_between(w->sim, 20, 400) * NS_PER_MS, client, w);
}

struct restart {
    struct world *world;
    int node;
};

static void on_restart(void *arg)
{
    struct restart *r = arg;

    sim_start(r->world->sim, r->node);
}

static void bounce(struct world *w, int node, int64_t max_ms)
{
    struct restart *r = sim_alloc(w->sim, sizeof(*r));

    *r = (struct restart){w, node};
    sim_crash(w->sim, node);
    sim_at(w->sim, sim_between(w->sim, 10, max_ms) * NS_PER_MS, on_restart, r);
}

static void chaos(void *arg)
{
    struct world *w = arg;

    if (w->is_quiet)
        return;
    switch (sim_between(w->sim, 0, 8)) {
    case 0:
    case 1:
        bounce(w, (int)sim_between(w->sim, 0, INGESTERS - 1), 3000);
        break;
    case 2:
        bounce(w, (int)sim_between(w->sim, FIRST_COMPACTOR, FIRST_READER - 1), 5000);
        break;
    case 3:
        bounce(w, (int)sim_between(w->sim, FIRST_READER, NODES - 1), 500);
        break;
    case 4: /* a reader that hears no gossip; nor do the ingesters hear it */
        sim_partition(w->sim, (int)sim_between(w->sim, 0, NODES - 1), 1);
        break;
    case 5:
        sim_heal(w->sim);
        break;
    case 6:
    case 7:
        w->readers[sim_between(w->sim, 0, READERS - 1)].mood =
            (enum bucket_mood)sim_between(w->sim, BUCKET_WELL, BUCKET_STALE);
        break;
    case 8:
        sim_clock_step(w->sim, (int)sim_between(w->sim, 0, NODES - 1),
                       sim_between(w->sim, -60000, 60000));
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 200, 3000) * NS_PER_MS, chaos, w);
}

static void build(struct world *w)
{
    static const struct sim_node_ops ingester_ops = {ingester_start, ingester_stop,
                                                     ingester_receive};
    static const struct sim_node_ops compactor_ops = {.start = begin_round};
    static const struct sim_node_ops reader_ops = {.start = reader_start,
                                                   .receive = reader_receive};

    for (int i = 0; i < INGESTERS; i++) {
        w->ingesters[i].world = w;
        w->ingesters[i].node = sim_node_add(w->sim, &ingester_ops, &w->ingesters[i]);
    }
    for (int i = 0; i < COMPACTORS; i++) {
        w->compactors[i].world = w;
        w->compactors[i].node = sim_node_add(w->sim, &compactor_ops, &w->compactors[i]);
    }
    for (int i = 0; i < READERS; i++) {
        w->readers[i].world = w;
        w->readers[i].node = sim_node_add(w->sim, &reader_ops, &w->readers[i]);
    }
    w->catalogue = catalogue_new(SLICE("metrics"), TENANT);
    for (int i = 0; i < NODES; i++)
        sim_start(w->sim, i);
}

/* All is well: nothing is left with ingesters, and whatever they have dropped by is to be had. */
static void check_end(struct world *w)
{
    w->is_quiet = true;
    sim_heal(w->sim);
    sim_net_set(w->sim, &(struct sim_net){0, 0, NS_PER_MS, 10 * NS_PER_MS});
    for (int i = 0; i < NODES; i++)
        sim_start(w->sim, i);
    for (int i = 0; i < READERS; i++)
        w->readers[i].mood = BUCKET_WELL;
    for (int i = 0; i < INGESTERS; i++)
        cut(w, i);
    sim_run_for(w->sim, 30 * NS_PER_S);
    for (size_t i = 0; i < w->n_segs && has_room(w); i++)
        if (w->segs[i].is_there)
            sim_fail(w->sim, "in the end segment %s is still with its ingester",
                     ulid_print(w->segs[i].id).s);
    for (int i = 0; i < READERS; i++)
        begin_read(&w->readers[i]);
    sim_run_for(w->sim, 20 * NS_PER_S);
}

SIM_SCENARIO(handover, "a read that is answered misses nothing, however stale its catalogue")
{
    struct world *w = sim_alloc(sim, sizeof(*w));

    w->sim = sim;
    sim_net_set(sim, &(struct sim_net){sim_chance(sim, 0.5) ? 0.3 : 0.02, 0.05, NS_PER_MS,
                                       sim_between(sim, 2, 700) * NS_PER_MS});
    build(w);
    client(w);
    sim_at(sim, NS_PER_S, chaos, w);
    sim_run_for(sim, 40 * NS_PER_S);
    if (!sim_violation(sim))
        check_end(w);
    sim_note(
        sim,
        "%zu items, %zu segments, %llu versions; reads: %u answered, of them %u stale; %u refused",
        w->n_items, w->n_segs, (unsigned long long)w->version, w->answered, w->stale, w->refused);
    catalogue_free(w->catalogue);
}
