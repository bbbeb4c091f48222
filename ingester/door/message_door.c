#include "ingester/door/message_door.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "ingester/door/drained.h"
#include "ingester/door/gelf.h"
#include "ingester/door/message_feed.h"
#include "ingester/door/syslog_line.h"

/* X(symbol, name for metrics, protocol, over UDP) */
#define WAYS(X)                                                                                    \
    X(WAY_SYSLOG_TCP, "syslog_tcp", MESSAGE_DOOR_SYSLOG, false)                                    \
    X(WAY_SYSLOG_UDP, "syslog_udp", MESSAGE_DOOR_SYSLOG, true)                                     \
    X(WAY_SYSLOG_TLS, "syslog_tls", MESSAGE_DOOR_SYSLOG_TLS, false)                                \
    X(WAY_GELF_TCP, "gelf_tcp", MESSAGE_DOOR_GELF, false)                                          \
    X(WAY_GELF_UDP, "gelf_udp", MESSAGE_DOOR_GELF, true)
enum way {
#define X(sym, name, protocol, is_udp) sym,
    WAYS(X)
#undef X
        WAY_COUNT
};
static const struct {
    const char *name;
    enum message_protocol protocol;
    bool is_udp;
} ways[] = {
#define X(sym, name, protocol, is_udp) {name, protocol, is_udp},
    WAYS(X)
#undef X
};
static const char *const keys[MESSAGE_PROTOCOLS] = {"syslog-address", "syslog-tls-address",
                                                    "gelf-address"};

/* One address, with a feed for each way on each loop. */
struct message_place {
    enum message_protocol protocol;
    char *tenant;
    struct net_addr addr;
};

struct message_tap {
    struct message_door *md;
    struct loop *loop;
    struct message_feed *feed;
};

struct message_door {
    struct message_door_opts opts;
    struct net_tls *tls;
    struct message_cut_opts cuts[MESSAGE_PROTOCOLS];
    struct line_metrics sockets[WAY_COUNT];
    struct message_feed_metrics feeds[WAY_COUNT];
    VEC(struct message_place *) places;
    VEC(struct message_tap *) taps;
    struct drained drained; /* of taps */
};

/* ---- opening ---- */

static struct line_socket_opts socket_opts(struct message_door *md, enum way w, struct loop *loop)
{
    const struct message_door_opts *o = &md->opts;
    size_t share = (size_t)o->max_connections / o->n_loops;

    return (struct line_socket_opts){.loop = loop,
                                     .metrics = &md->sockets[w],
                                     .max_connections = ORR_MAX(share, (size_t)1),
                                     .idle_ms = o->idle_ms,
                                     .has_no_tcp = ways[w].is_udp,
                                     .has_no_udp = !ways[w].is_udp,
                                     .tls = w == WAY_SYSLOG_TLS ? md->tls : NULL,
                                     .messages = &md->cuts[ways[w].protocol],
                                     .drops_datagrams = true};
}

static struct err *open_way(struct message_door *md, struct message_place *place, enum way w)
{
    const struct message_door_opts *o = &md->opts;
    struct err *e = NULL;

    for (size_t i = 0; i < o->n_loops && !e; i++) {
        struct message_tap *tap = mem_new(struct message_tap);

        tap->md = md;
        tap->loop = o->loops[i];
        vec_push(&md->taps, tap);
        e = message_feed_new(
            &(struct message_feed_opts){
                .door = o->door,
                .tenant = place->tenant,
                .protocol = ways[w].name,
                .add = place->protocol == MESSAGE_DOOR_GELF ? gelf_add : syslog_line_add,
                .patience_ms = ways[w].is_udp ? MESSAGE_DOOR_PATIENCE_MS : 0,
                .chunk_bytes =
                    w == WAY_GELF_UDP ? (size_t)o->conf->chunk_bytes / o->n_loops + 1 : 0,
                .metrics = &md->feeds[w],
                .socket = socket_opts(md, w, tap->loop)},
            &place->addr, &tap->feed);
    }
    return e;
}

static struct err *open_tls(struct message_door *md)
{
    const struct message_door_conf *c = md->opts.conf;

    if (md->tls)
        return NULL;
    if (!c->tls_cert[0] || !c->tls_key[0])
        return err_new(ERR_INVALID,
                       "it needs ingester.syslog-tls-cert and ingester.syslog-tls-key");
    return net_tls_new(
        &(struct net_tls_opts){.cert_path = c->tls_cert,
                               .key_path = c->tls_key,
                               .client_ca_path = c->tls_client_ca[0] ? c->tls_client_ca : NULL},
        &md->tls);
}

/* text: host:port[=tenant] */
static struct err *open_place(struct message_door *md, enum message_protocol p, const char *text)
{
    struct message_place *place = mem_new(struct message_place);
    const char *equals = strchr(text, '=');
    char *address = slice_dup(slice_of(text, equals ? (size_t)(equals - text) : strlen(text)));
    char shown[NET_ADDR_TEXT_BYTES];
    struct err *e;

    place->protocol = p;
    place->tenant = mem_strdup(equals ? equals + 1 : md->opts.conf->tenant[p]);
    vec_push(&md->places, place);
    if (!(e = tenant_check(slice_cstr(place->tenant))))
        e = net_addr_resolve(address, &place->addr);
    if (!e && p == MESSAGE_DOOR_SYSLOG_TLS)
        e = open_tls(md);
    for (unsigned w = 0; w < WAY_COUNT && !e; w++)
        if (ways[w].protocol == p)
            e = open_way(md, place, (enum way)w);
    mem_free(address);
    if (e)
        return err_wrap(e, "ingester.%s %s", keys[p], text);
    LOG_INFO(door, "listening for log messages", KV_STR("method", keys[p]),
             KV_STR("addr", net_addr_text(&place->addr, shown)), KV_STR("tenant", place->tenant));
    return NULL;
}

static struct err *open_protocol(struct message_door *md, enum message_protocol p)
{
    const struct message_door_conf *c = md->opts.conf;
    struct err *e = NULL;

    /* Half a GELF message is no JSON. */
    md->cuts[p] =
        (struct message_cut_opts){.framing = p == MESSAGE_DOOR_GELF ? MESSAGE_NUL : MESSAGE_SYSLOG,
                                  .max_bytes = (size_t)c->max_bytes,
                                  .truncates = c->truncates && p != MESSAGE_DOOR_GELF};
    for (unsigned w = 0; w < WAY_COUNT && c->addresses[p].n; w++)
        if (ways[w].protocol == p) {
            line_metrics_register(&md->sockets[w], ways[w].name);
            message_feed_metrics_register(&md->feeds[w], ways[w].name);
        }
    for (size_t i = 0; i < c->addresses[p].n && !e; i++)
        e = open_place(md, p, c->addresses[p].items[i]);
    return e;
}

struct err *message_door_new(const struct message_door_opts *opts, struct message_door **ret)
{
    struct message_door *md = mem_new(struct message_door);
    struct err *e = drained_init(&md->drained);

    md->opts = *opts;
    for (unsigned p = 0; p < MESSAGE_PROTOCOLS && !e; p++)
        e = open_protocol(md, (enum message_protocol)p);
    /* They are read while it is made only. */
    md->opts.conf = NULL;
    md->opts.loops = NULL;
    if (e)
        message_door_free(md);
    else
        *ret = md;
    return e;
}

void message_door_free(struct message_door *md)
{
    if (!md)
        return;
    VEC_FOREACH (t, &md->taps) {
        message_feed_free((*t)->feed);
        mem_free(*t);
    }
    vec_done(&md->taps);
    VEC_FOREACH (p, &md->places) {
        mem_free((*p)->tenant);
        mem_free(*p);
    }
    vec_done(&md->places);
    for (unsigned w = 0; w < WAY_COUNT; w++) {
        line_metrics_unregister(&md->sockets[w]);
        message_feed_metrics_unregister(&md->feeds[w]);
    }
    net_tls_free(md->tls);
    drained_done(&md->drained);
    mem_free(md);
}

uint16_t message_door_port(const struct message_door *md, enum message_protocol p, size_t i)
{
    VEC_FOREACH (place, &md->places)
        if ((*place)->protocol == p && i-- == 0)
            return net_addr_port(&(*place)->addr);
    return 0;
}

struct err *message_door_reload(struct message_door *md)
{
    return md && md->tls ? net_tls_reload(md->tls) : NULL;
}

/* ---- the end ---- */

static void drain_tap(void *arg)
{
    struct message_tap *t = arg;

    message_feed_drain(t->feed, drained_one, &t->md->drained);
}

bool message_door_drain(struct message_door *md, int64_t timeout_ms)
{
    if (!md)
        return true;
    drained_expect(&md->drained, md->taps.len);
    VEC_FOREACH (t, &md->taps)
        loop_post((*t)->loop, drain_tap, *t);
    return drained_wait(&md->drained, timeout_ms);
}
