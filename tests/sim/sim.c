#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

#define SIM_EPOCH_MS 1700000000000ll

struct event {
    int64_t at_ns;
    uint64_t seq; /* first posted, first run */
    sim_fn *fn;
    void *arg;
    int node; /* -1: nobody's */
    uint32_t life;
};

struct file {
    struct buf content;
    size_t synced;
};

struct node {
    struct sim_node_ops ops;
    void *arg;
    bool is_up;
    uint32_t life; /* counts starts: events of a former life are dropped */
    int part;
    int64_t started_ns, step_ms;
    struct file files[SIM_MAX_FILES];
};

struct packet {
    struct sim *sim;
    int from, to;
    struct buf bytes;
};

struct sync {
    struct sim *sim;
    int node, file;
    size_t upto;
    bool fails;
    sim_disk_fn *fn;
    void *arg;
};

struct sim {
    struct rng rng;
    const char *broken;
    bool is_verbose;
    char *violation;
    struct arena *arena;
    int64_t now_ns;
    uint64_t seq, events;
    VEC(struct event) heap; /* earliest first */
    struct node nodes[SIM_MAX_NODES];
    int n_nodes;
    struct sim_net net;
    struct sim_disk disk;
};

/* ---- the run ---- */

struct sim *sim_new(uint64_t seed, const char *broken, bool is_verbose)
{
    struct sim *s = mem_new(struct sim);

    rng_seed(&s->rng, seed);
    s->broken = broken;
    s->is_verbose = is_verbose;
    s->arena = arena_new(0);
    s->net = (struct sim_net){.min_delay_ns = NS_PER_MS, .max_delay_ns = 5 * NS_PER_MS};
    s->disk = (struct sim_disk){.min_sync_ns = NS_PER_MS, .max_sync_ns = 10 * NS_PER_MS};
    return s;
}

static void deliver(void *arg);

static void drop_event(const struct event *e)
{
    if (e->fn == deliver) {
        struct packet *p = e->arg;

        buf_done(&p->bytes);
        mem_free(p);
    }
}

static void stop_node(struct node *n)
{
    if (n->ops.stop)
        n->ops.stop(n->arg);
}

void sim_free(struct sim *s)
{
    for (int n = 0; n < s->n_nodes; n++) {
        if (s->nodes[n].is_up)
            stop_node(&s->nodes[n]);
        for (int f = 0; f < SIM_MAX_FILES; f++)
            buf_done(&s->nodes[n].files[f].content);
    }
    VEC_FOREACH (e, &s->heap)
        drop_event(e);
    vec_done(&s->heap);
    arena_free(s->arena);
    mem_free(s->violation);
    mem_free(s);
}

const char *sim_violation(const struct sim *s)
{
    return s->violation;
}

uint64_t sim_events(const struct sim *s)
{
    return s->events;
}

struct rng *sim_rng(struct sim *s)
{
    return &s->rng;
}

int64_t sim_between(struct sim *s, int64_t lo, int64_t hi)
{
    return lo + (int64_t)rng_below(&s->rng, (uint64_t)(hi - lo + 1));
}

bool sim_chance(struct sim *s, double p)
{
    return rng_chance(&s->rng, p);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;

    if (s->violation)
        return;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    buf_printf(&b, " (at %.3f s)", (double)s->now_ns / 1e9);
    s->violation = mem_strdup(buf_cstr(&b));
    buf_done(&b);
}

void sim_note(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (!s->is_verbose)
        return;
    printf("%10.3f  ", (double)s->now_ns / 1e9);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

bool sim_is_verbose(const struct sim *s)
{
    return s->is_verbose;
}

bool sim_is_broken(const struct sim *s, const char *what)
{
    return s->broken && strcmp(s->broken, what) == 0;
}

void *sim_alloc(struct sim *s, size_t bytes)
{
    return arena_zalloc(s->arena, bytes);
}

/* ---- time ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

static void post(struct sim *s, struct event e)
{
    size_t i;

    e.seq = s->seq++;
    vec_push(&s->heap, e);
    for (i = s->heap.len - 1; i > 0 && is_before(&e, &s->heap.ptr[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap.ptr[i] = s->heap.ptr[(i - 1) / 2];
    s->heap.ptr[i] = e;
}

static struct event pop(struct sim *s)
{
    struct event first = s->heap.ptr[0], last = vec_pop(&s->heap);
    size_t i = 0, n = s->heap.len;

    while (n) {
        size_t child = 2 * i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && is_before(&s->heap.ptr[child + 1], &s->heap.ptr[child]))
            child++;
        if (!is_before(&s->heap.ptr[child], &last))
            break;
        s->heap.ptr[i] = s->heap.ptr[child];
        i = child;
    }
    if (n)
        s->heap.ptr[i] = last;
    return first;
}

int64_t sim_now_ns(const struct sim *s)
{
    return s->now_ns;
}

void sim_at(struct sim *s, int64_t delay_ns, sim_fn *fn, void *arg)
{
    post(s, (struct event){.at_ns = s->now_ns + delay_ns, .fn = fn, .arg = arg, .node = -1});
}

void sim_run_for(struct sim *s, int64_t ns)
{
    int64_t until = s->now_ns + ns;

    while (s->heap.len && s->heap.ptr[0].at_ns <= until && !s->violation) {
        struct event e = pop(s);

        s->now_ns = e.at_ns;
        s->events++;
        if (e.node < 0 || (s->nodes[e.node].is_up && s->nodes[e.node].life == e.life))
            e.fn(e.arg);
    }
    s->now_ns = until;
}

/* ---- nodes ---- */

int sim_node_add(struct sim *s, const struct sim_node_ops *ops, void *arg)
{
    ORR_ASSERT(s->n_nodes < SIM_MAX_NODES);
    s->nodes[s->n_nodes] = (struct node){.ops = *ops, .arg = arg};
    return s->n_nodes++;
}

int sim_nodes(const struct sim *s)
{
    return s->n_nodes;
}

static struct node *node_of(const struct sim *s, int node)
{
    ORR_ASSERT(node >= 0 && node < s->n_nodes);
    return (struct node *)&s->nodes[node];
}

void sim_start(struct sim *s, int node)
{
    struct node *n = node_of(s, node);

    if (n->is_up)
        return;
    n->is_up = true;
    n->life++;
    n->started_ns = s->now_ns;
    sim_note(s, "node %d starts", node);
    n->ops.start(n->arg);
}

/* What a crash leaves of a file: all that was synced, and some of the rest. */
static void tear(struct sim *s, struct file *f)
{
    size_t loose = f->content.len - f->synced;
    size_t kept = (size_t)rng_below(&s->rng, loose + 1);

    if (sim_chance(s, 0.3))
        kept = 0; /* nothing reached the disk */
    f->content.len = f->synced + kept;
    if (kept && sim_chance(s, 0.3)) {
        size_t garbled = 1 + (size_t)rng_below(&s->rng, ORR_MIN(kept, 16));

        for (size_t i = 0; i < garbled; i++)
            f->content.ptr[f->content.len - 1 - i] = (uint8_t)rng_u32(&s->rng);
    }
    f->synced = f->content.len; /* what is there after the crash stays */
}

void sim_crash(struct sim *s, int node)
{
    struct node *n = node_of(s, node);

    if (!n->is_up)
        return;
    sim_note(s, "node %d crashes", node);
    n->is_up = false;
    n->life++;
    stop_node(n);
    for (int f = 0; f < SIM_MAX_FILES; f++)
        tear(s, &n->files[f]);
}

bool sim_is_up(const struct sim *s, int node)
{
    return node_of(s, node)->is_up;
}

void sim_node_at(struct sim *s, int node, int64_t delay_ns, sim_fn *fn, void *arg)
{
    post(s, (struct event){.at_ns = s->now_ns + delay_ns,
                           .fn = fn,
                           .arg = arg,
                           .node = node,
                           .life = node_of(s, node)->life});
}

int64_t sim_mono_ns(const struct sim *s, int node)
{
    return s->now_ns - node_of(s, node)->started_ns + NS_PER_S;
}

int64_t sim_wall_ms(const struct sim *s, int node)
{
    return SIM_EPOCH_MS + s->now_ns / NS_PER_MS + node_of(s, node)->step_ms;
}

void sim_clock_step(struct sim *s, int node, int64_t ms)
{
    sim_note(s, "node %d: clock steps by %lld ms", node, (long long)ms);
    node_of(s, node)->step_ms += ms;
}

/* ---- network ---- */

void sim_net_set(struct sim *s, const struct sim_net *net)
{
    s->net = *net;
}

static void deliver(void *arg)
{
    struct packet *p = arg;
    struct node *to = node_of(p->sim, p->to);

    if (sim_can_talk(p->sim, p->from, p->to))
        to->ops.receive(to->arg, p->from, buf_slice(&p->bytes));
    buf_done(&p->bytes);
    mem_free(p);
}

static void send_once(struct sim *s, int from, int to, struct slice bytes)
{
    struct packet *p = mem_new(struct packet);

    *p = (struct packet){.sim = s, .from = from, .to = to};
    buf_slice_append(&p->bytes, bytes);
    sim_at(s, sim_between(s, s->net.min_delay_ns, s->net.max_delay_ns), deliver, p);
}

void sim_send(struct sim *s, int from, int to, struct slice bytes)
{
    if (!node_of(s, from)->is_up || to < 0 || to >= s->n_nodes)
        return;
    if (from != to && sim_chance(s, s->net.loss))
        return;
    send_once(s, from, to, bytes);
    if (sim_chance(s, s->net.repeat))
        send_once(s, from, to, bytes);
}

void sim_partition(struct sim *s, int node, int part)
{
    node_of(s, node)->part = part;
}

void sim_heal(struct sim *s)
{
    sim_note(s, "the network heals");
    for (int n = 0; n < s->n_nodes; n++)
        s->nodes[n].part = 0;
}

bool sim_can_talk(const struct sim *s, int from, int to)
{
    /* The sender may be gone by the time its packet arrives: only the line counts for it. */
    return node_of(s, to)->is_up && node_of(s, from)->part == node_of(s, to)->part;
}

/* ---- disks ---- */

void sim_disk_set(struct sim *s, const struct sim_disk *disk)
{
    s->disk = *disk;
}

static struct file *file_of(const struct sim *s, int node, int file)
{
    ORR_ASSERT(file >= 0 && file < SIM_MAX_FILES);
    return &node_of(s, node)->files[file];
}

void sim_append(struct sim *s, int node, int file, struct slice bytes)
{
    buf_slice_append(&file_of(s, node, file)->content, bytes);
}

static void sync_done(void *arg)
{
    struct sync *y = arg;
    struct file *f = file_of(y->sim, y->node, y->file);

    if (!y->fails)
        f->synced = ORR_MAX(f->synced, ORR_MIN(y->upto, f->content.len));
    y->fn(y->arg, !y->fails);
}

void sim_sync(struct sim *s, int node, int file, sim_disk_fn *fn, void *arg)
{
    struct sync *y = sim_alloc(s, sizeof(*y));

    *y = (struct sync){.sim = s,
                       .node = node,
                       .file = file,
                       .upto = file_of(s, node, file)->content.len,
                       .fails = sim_chance(s, s->disk.sync_fails),
                       .fn = fn,
                       .arg = arg};
    sim_node_at(s, node, sim_between(s, s->disk.min_sync_ns, s->disk.max_sync_ns), sync_done, y);
}

struct slice sim_content(const struct sim *s, int node, int file)
{
    return buf_slice(&file_of(s, node, file)->content);
}

void sim_replace(struct sim *s, int node, int file, struct slice bytes)
{
    struct file *f = file_of(s, node, file);

    buf_reset(&f->content);
    buf_slice_append(&f->content, bytes);
    f->synced = f->content.len;
}
