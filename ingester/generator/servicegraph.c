#include "ingester/generator/servicegraph.h"

#include "common/base/clock.h"

#define KEY_BYTES 24
#define MAX_TEXT 2048 /* of a text of a half */

enum { HALF_SERVER = 1, HALF_FAILED = 2, HALF_ROOT = 4, HALF_MESSAGING = 8, HALF_DATABASE = 16 };
enum { SPAN_SERVER = 2, SPAN_CLIENT = 3, SPAN_PRODUCER = 4, SPAN_CONSUMER = 5, STATUS_ERROR = 2 };

static const struct genkind edge_kind = {
    .counters = {{"traces_service_graph_request_total",
                  "Total count of requests between two nodes"},
                 {"traces_service_graph_request_failed_total",
                  "Total count of failed requests between two nodes"}},
    .hists = {{"traces_service_graph_request_server_seconds",
               "Time for a request between two nodes as seen from the server"},
              {"traces_service_graph_request_client_seconds",
               "Time for a request between two nodes as seen from the client"},
              {"traces_service_graph_request_messaging_system_seconds",
               "Time between publisher and consumer for services communicating through a "
               "messaging system"}}};
static const struct genkind lost_kind = {
    .counters = {{"traces_service_graph_unpaired_spans_total", "Total count of unpaired spans"},
                 {"traces_service_graph_dropped_spans_total", "Total count of dropped spans"}}};

/* ---- halves ---- */

static struct slice database_of(struct arena *a, const struct tracepiece *p,
                                const struct tracepiece_span *s)
{
    static const struct slice keys[] = {SLICE_INIT("db.namespace"), SLICE_INIT("db.name"),
                                        SLICE_INIT("db.system")};
    struct slice v = SLICE_EMPTY;

    for (size_t i = 0; !v.len && i < ORR_COUNT(keys); i++)
        v = spanmetrics_attribute(a, p, s, keys[i]);
    return v;
}

static struct slice peer_of(const struct generator_rules *r, struct arena *a,
                            const struct tracepiece *p, const struct tracepiece_span *s)
{
    struct slice v = SLICE_EMPTY;

    for (size_t i = 0; !v.len && i < r->graph.peers.n; i++)
        v = spanmetrics_attribute(a, p, s, r->graph.peers.ptr[i]);
    return v;
}

static void put_text(struct buf *out, struct slice s)
{
    buf_lstr(out, slice_sub(s, 0, MAX_TEXT));
}

bool servicegraph_half(const struct generator_rules *r, struct arena *a, const struct tracepiece *p,
                       const struct tracepiece_span *s, struct buf *out)
{
    bool is_server = s->kind == SPAN_SERVER || s->kind == SPAN_CONSUMER;
    struct slice service = spanmetrics_service(a, p, s), peer = SLICE_EMPTY;
    uint8_t flags = is_server ? HALF_SERVER : 0;

    if (s->kind < SPAN_SERVER || s->kind > SPAN_CONSUMER || !service.len)
        return false;
    if (s->status == STATUS_ERROR)
        flags |= HALF_FAILED;
    if (s->kind == SPAN_PRODUCER || s->kind == SPAN_CONSUMER)
        flags |= HALF_MESSAGING;
    if (is_server && !s->parent_id)
        flags |= HALF_ROOT;
    if (!is_server && (peer = database_of(a, p, s)).len)
        flags |= HALF_DATABASE;
    else if (!is_server)
        peer = peer_of(r, a, p, s);
    buf_append(out, p->trace_id, sizeof(p->trace_id));
    buf_u64le(out, is_server && s->parent_id ? s->parent_id : s->span_id);
    buf_byte(out, flags);
    buf_u64le(out, s->start_ns);
    buf_u64le(out, s->end_ns);
    put_text(out, service);
    put_text(out, peer);
    buf_uvarint(out, r->graph.dimensions.n);
    for (size_t i = 0; i < r->graph.dimensions.n; i++)
        put_text(out, spanmetrics_attribute(a, p, s, r->graph.dimensions.ptr[i]));
    return true;
}

struct half {
    struct slice key; /* of the edge */
    uint8_t flags;
    uint64_t start_ns, end_ns;
    struct slice service, peer, dimensions[GENERATOR_MAX_DIMENSIONS];
    size_t n_dimensions;
};

static bool read_half(struct reader *r, struct half *h)
{
    h->key = reader_bytes(r, KEY_BYTES);
    h->flags = reader_u8(r);
    h->start_ns = reader_u64le(r);
    h->end_ns = reader_u64le(r);
    h->service = reader_lstr(r);
    h->peer = reader_lstr(r);
    h->n_dimensions = reader_count(r, 1);
    if (h->n_dimensions > GENERATOR_MAX_DIMENSIONS || !h->service.len ||
        h->service.len > MAX_TEXT || h->peer.len > MAX_TEXT)
        reader_fail(r);
    for (size_t i = 0; reader_ok(r) && i < h->n_dimensions; i++)
        h->dimensions[i] = slice_sub(reader_lstr(r), 0, MAX_TEXT);
    return reader_ok(r);
}

/* ---- edges ---- */

/* One side of an edge; texts are its own: service, peer and dimensions back to back. */
struct side {
    bool is_here;
    uint8_t flags;
    uint64_t start_ns, end_ns;
    struct slice service, peer, *dimensions;
    size_t n_dimensions;
    uint8_t *bytes;
};
struct servicegraph_edge {
    uint8_t key[KEY_BYTES];
    struct side sides[2]; /* client, server */
    int64_t since_ms;
    struct servicegraph_edge *older, *newer;
};

static struct slice keep(uint8_t **at, struct slice s)
{
    uint8_t *p = *at;

    if (s.len)
        memcpy(p, s.ptr, s.len);
    *at += s.len;
    return slice_of(p, s.len);
}

static void set_side(struct side *side, const struct half *h)
{
    size_t bytes = h->service.len + h->peer.len + h->n_dimensions * sizeof(struct slice);
    uint8_t *at;

    for (size_t i = 0; i < h->n_dimensions; i++)
        bytes += h->dimensions[i].len;
    *side = (struct side){.is_here = true,
                          .flags = h->flags,
                          .start_ns = h->start_ns,
                          .end_ns = h->end_ns,
                          .n_dimensions = h->n_dimensions,
                          .bytes = mem_alloc(bytes)};
    side->dimensions = (struct slice *)(void *)side->bytes;
    at = side->bytes + h->n_dimensions * sizeof(struct slice);
    side->service = keep(&at, h->service);
    side->peer = keep(&at, h->peer);
    for (size_t i = 0; i < h->n_dimensions; i++)
        side->dimensions[i] = keep(&at, h->dimensions[i]);
}

static void free_edge(struct servicegraph_edge *e)
{
    mem_free(e->sides[0].bytes);
    mem_free(e->sides[1].bytes);
    mem_free(e);
}

static double seconds(const struct side *s)
{
    return spanmetrics_seconds(s->start_ns, s->end_ns);
}

static size_t list_dimensions(const struct servicegraph *g, const struct servicegraph_edge *e,
                              struct label *ret)
{
    size_t n = 0;

    for (unsigned k = 0; k < 2; k++) {
        const struct slice *names = g->names[g->rules->graph.has_prefix ? 1 + k : 0];

        for (size_t i = 0; i < e->sides[k].n_dimensions && i < g->rules->graph.dimensions.n; i++)
            ret[n++] = (struct label){names[i], e->sides[k].dimensions[i]};
    }
    return n;
}

/* Of one with one side alone, virtual says who the other is. */
static void count_edge(struct servicegraph *g, struct gentable *t,
                       const struct servicegraph_edge *e, struct slice virtual, int64_t now_ms)
{
    const struct side *client = &e->sides[0], *server = &e->sides[1];
    bool is_whole = client->is_here && server->is_here;
    struct label labels[2 * GENERATOR_MAX_DIMENSIONS + 8];
    struct genrow *row;
    uint8_t flags = client->flags | server->flags;
    const char *type = !is_whole && flags & HALF_DATABASE ? "database"
                       : !is_whole                        ? "virtual_node"
                       : flags & HALF_MESSAGING           ? "messaging_system"
                                                          : "";
    size_t n = list_dimensions(g, e, labels);

    labels[n++] = (struct label){SLICE("client"), client->is_here ? client->service : virtual};
    labels[n++] = (struct label){SLICE("server"), server->is_here ? server->service : virtual};
    labels[n++] = (struct label){SLICE("connection_type"), slice_cstr(type)};
    if (!is_whole && g->rules->graph.has_virtual_node_label && !(flags & HALF_DATABASE))
        labels[n++] = (struct label){SLICE("virtual_node"),
                                     client->is_here ? SLICE("server") : SLICE("client")};
    g->edges++;
    if (!(row = gentable_row(t, &edge_kind, labels, n, &g->rules->graph.buckets, now_ms)))
        return;
    gentable_count(t, row, 0, 1, now_ms);
    if (flags & HALF_FAILED)
        gentable_count(t, row, 1, 1, now_ms);
    gentable_observe(t, row, 0, seconds(server->is_here ? server : client), 1, e->key, now_ms);
    gentable_observe(t, row, 1, seconds(client->is_here ? client : server), 1, e->key, now_ms);
    if (is_whole && flags & HALF_MESSAGING && g->rules->graph.has_messaging_latency)
        gentable_observe(t, row, 2, spanmetrics_seconds(client->end_ns, server->start_ns), 1,
                         e->key, now_ms);
}

static void count_lost(struct gentable *t, const struct servicegraph_edge *e, size_t counter,
                       int64_t now_ms)
{
    static const struct generator_buckets none = {0};
    struct label labels[] = {
        {SLICE("client"), e->sides[0].is_here ? e->sides[0].service : SLICE_EMPTY},
        {SLICE("server"), e->sides[1].is_here ? e->sides[1].service : SLICE_EMPTY}};
    struct genrow *row = gentable_row(t, &lost_kind, labels, ORR_COUNT(labels), &none, now_ms);

    if (row)
        gentable_count(t, row, counter, 1, now_ms);
}

/* ---- those that wait ---- */

static void unlink_edge(struct servicegraph *g, struct servicegraph_edge *e)
{
    *(e->older ? &e->older->newer : &g->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &g->newest) = e->older;
    (void)map_del(&g->waiting, slice_of(e->key, KEY_BYTES));
}

static void wait_for_other(struct servicegraph *g, struct gentable *t, struct servicegraph_edge *e,
                           int64_t now_ms)
{
    if (g->waiting.len >= g->rules->graph.max_items) {
        g->dropped++;
        count_lost(t, e, 1, now_ms);
        free_edge(e);
        return;
    }
    e->since_ms = now_ms;
    e->older = g->newest;
    *(g->newest ? &g->newest->newer : &g->oldest) = e;
    g->newest = e;
    (void)map_put(&g->waiting, slice_of(e->key, KEY_BYTES), e);
}

static void take_half(struct servicegraph *g, struct gentable *t, const struct half *h,
                      int64_t now_ms)
{
    unsigned k = h->flags & HALF_SERVER ? 1 : 0;
    bool is_alone = h->flags & (HALF_DATABASE | HALF_ROOT);
    struct servicegraph_edge *e = is_alone ? NULL : map_get(&g->waiting, h->key);

    if (e && e->sides[k].is_here)
        return; /* sent twice */
    if (e) {
        set_side(&e->sides[k], h);
        unlink_edge(g, e);
        count_edge(g, t, e, SLICE_EMPTY, now_ms);
        free_edge(e);
        return;
    }
    e = mem_new(struct servicegraph_edge);
    memcpy(e->key, h->key.ptr, KEY_BYTES);
    set_side(&e->sides[k], h);
    if (!is_alone) {
        wait_for_other(g, t, e, now_ms);
        return;
    }
    count_edge(g, t, e, k ? SLICE("user") : e->sides[0].peer, now_ms);
    free_edge(e);
}

void servicegraph_expire(struct servicegraph *g, struct gentable *t, int64_t now_ms, bool is_last)
{
    struct servicegraph_edge *e;

    while ((e = g->oldest) &&
           (is_last || now_ms - e->since_ms >= g->rules->graph.wait_ns / NS_PER_MS)) {
        unlink_edge(g, e);
        if (e->sides[0].is_here && e->sides[0].peer.len) {
            count_edge(g, t, e, e->sides[0].peer, now_ms);
        } else {
            g->unpaired++;
            count_lost(t, e, 0, now_ms);
        }
        free_edge(e);
    }
}

struct err *servicegraph_take(struct servicegraph *g, struct gentable *t, struct slice batch,
                              int64_t now_ms)
{
    struct reader r = reader_new(batch);
    struct half h;

    if (reader_u8(&r) != SERVICEGRAPH_FORMAT)
        return err_new(ERR_INVALID, "halves of edges: of an unknown version");
    while (reader_left(&r)) {
        if (!read_half(&r, &h))
            return err_new(ERR_INVALID, "halves of edges: malformed");
        take_half(g, t, &h, now_ms);
    }
    return NULL;
}

/* ---- life ---- */

void servicegraph_init(struct servicegraph *g, const struct generator_rules *rules, struct arena *a)
{
    static const char *const prefixes[] = {"", "client_", "server_"};

    *g = (struct servicegraph){.rules = rules};
    for (size_t k = 0; k < ORR_COUNT(prefixes); k++) {
        g->names[k] = arena_array(a, struct slice, rules->graph.dimensions.n);
        for (size_t i = 0; i < rules->graph.dimensions.n; i++)
            g->names[k][i] = spanmetrics_label(a, rules->graph.dimensions.ptr[i], prefixes[k]);
    }
}

void servicegraph_done(struct servicegraph *g)
{
    while (g->oldest) {
        struct servicegraph_edge *e = g->oldest;

        unlink_edge(g, e);
        free_edge(e);
    }
    map_done(&g->waiting);
}
