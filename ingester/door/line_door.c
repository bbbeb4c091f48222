#include "ingester/door/line_door.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/tenant.h"
#include "ingester/door/drained.h"
#include "ingester/door/graphite_write.h"
#include "ingester/door/influx_write.h"
#include "ingester/door/line_feed.h"
#include "ingester/door/statsd_feed.h"

static const char *const names[LINE_PROTOCOLS] = {"graphite", "influx", "statsd"};

struct line_door;

/* Graphite or Influx on one loop. */
struct line_place {
    struct line_door *ld;
    struct loop *loop;
    struct line_feed *feed;
};

struct line_door {
    struct line_door_opts opts;
    char *tenant[LINE_PROTOCOLS];
    struct net_addr addr[LINE_PROTOCOLS];
    struct line_metrics sockets[LINE_PROTOCOLS];
    struct line_feed_metrics feeds[LINE_PROTOCOLS];
    struct influx_write influx;
    VEC(struct line_place *) places;
    struct statsd_feed *statsd;
    struct loop *statsd_loop;
    struct drained drained; /* of places and statsd */
};

static struct line_socket_opts socket_opts(struct line_door *ld, enum line_protocol p,
                                           struct loop *loop, size_t shares)
{
    const struct line_door_conf *c = ld->opts.conf;

    return (struct line_socket_opts){.loop = loop,
                                     .metrics = &ld->sockets[p],
                                     .max_connections =
                                         ORR_MAX((size_t)c->max_connections / shares, 1u),
                                     .max_line_bytes = (size_t)c->max_line_bytes,
                                     .idle_ms = c->idle_ns / NS_PER_MS};
}

static struct err *open_feeds(struct line_door *ld, enum line_protocol p,
                              const struct push_decoder *decoder)
{
    struct err *e = NULL;

    line_feed_metrics_register(&ld->feeds[p], names[p]);
    for (size_t i = 0; i < ld->opts.n_loops && !e; i++) {
        struct line_place *place = mem_new(struct line_place);

        place->ld = ld;
        place->loop = ld->opts.loops[i];
        vec_push(&ld->places, place);
        e = line_feed_new(
            &(struct line_feed_opts){.door = ld->opts.door,
                                     .tenant = ld->tenant[p],
                                     .decoder = *decoder,
                                     .metrics = &ld->feeds[p],
                                     .socket = socket_opts(ld, p, place->loop, ld->opts.n_loops)},
            &ld->addr[p], &place->feed);
    }
    return e;
}

static struct err *open_statsd(struct line_door *ld)
{
    const struct line_door_conf *c = ld->opts.conf;
    struct rng rng;

    rng_seed_system(&rng);
    ld->statsd_loop = ld->opts.loops[ld->opts.n_loops - 1];
    return statsd_feed_new(
        &(struct statsd_feed_opts){.door = ld->opts.door,
                                   .tenant = ld->tenant[LINE_STATSD],
                                   .period_ms = c->statsd_period_ns / NS_PER_MS,
                                   .statsd = {.max_series = (size_t)c->statsd_max_series,
                                              .max_bytes = (size_t)c->statsd_max_bytes,
                                              .expiry_ms = c->statsd_expiry_ns / NS_PER_MS,
                                              .instance_label = c->statsd_instance_label,
                                              .instance = ld->opts.instance,
                                              .has_histograms = c->statsd_timers == 1,
                                              .seed = rng_u64(&rng)},
                                   .socket = socket_opts(ld, LINE_STATSD, ld->statsd_loop, 1)},
        &ld->addr[LINE_STATSD], &ld->statsd);
}

static struct err *open_protocol(struct line_door *ld, enum line_protocol p)
{
    const char *address = ld->opts.conf->address[p], *tenant = ld->opts.conf->tenant[p];
    char text[NET_ADDR_TEXT_BYTES];
    struct err *e;

    if (!address || !*address)
        return NULL;
    ld->tenant[p] = mem_strdup(tenant);
    line_metrics_register(&ld->sockets[p], names[p]);
    if ((e = tenant_check(slice_cstr(tenant))) || (e = net_addr_resolve(address, &ld->addr[p])))
        return err_wrap(e, "ingester.%s-address %s", names[p], address);
    ld->influx.unit_ns = 1;
    switch (p) {
    case LINE_GRAPHITE:
        e = open_feeds(ld, p,
                       &(struct push_decoder){.name = "graphite", .decode = graphite_write_decode});
        break;
    case LINE_INFLUX:
        e = open_feeds(ld, p,
                       &(struct push_decoder){
                           .name = "influx", .decode = influx_write_decode, .arg = &ld->influx});
        break;
    default:
        e = open_statsd(ld);
    }
    if (e)
        return err_wrap(e, "ingester.%s-address %s", names[p], address);
    LOG_INFO(door, "listening for lines", KV_STR("method", names[p]),
             KV_STR("addr", net_addr_text(&ld->addr[p], text)), KV_STR("tenant", tenant));
    return NULL;
}

struct err *line_door_new(const struct line_door_opts *opts, struct line_door **ret)
{
    struct line_door *ld = mem_new(struct line_door);
    struct err *e = drained_init(&ld->drained);

    ld->opts = *opts;
    for (unsigned p = 0; p < LINE_PROTOCOLS && !e; p++)
        e = open_protocol(ld, (enum line_protocol)p);
    /* They are read while it is made only. */
    ld->opts.conf = NULL;
    ld->opts.loops = NULL;
    if (e)
        line_door_free(ld);
    else
        *ret = ld;
    return e;
}

void line_door_free(struct line_door *ld)
{
    if (!ld)
        return;
    VEC_FOREACH (p, &ld->places) {
        line_feed_free((*p)->feed);
        mem_free(*p);
    }
    vec_done(&ld->places);
    statsd_feed_free(ld->statsd);
    for (unsigned p = 0; p < LINE_PROTOCOLS; p++) {
        line_metrics_unregister(&ld->sockets[p]);
        line_feed_metrics_unregister(&ld->feeds[p]);
        mem_free(ld->tenant[p]);
    }
    drained_done(&ld->drained);
    mem_free(ld);
}

uint16_t line_door_port(const struct line_door *ld, enum line_protocol p)
{
    return ld->addr[p].len ? net_addr_port(&ld->addr[p]) : 0;
}

/* ---- the end ---- */

static void drain_place(void *arg)
{
    struct line_place *p = arg;

    line_feed_drain(p->feed, drained_one, &p->ld->drained);
}

static void drain_statsd(void *arg)
{
    struct line_door *ld = arg;

    statsd_feed_drain(ld->statsd, drained_one, &ld->drained);
}

bool line_door_drain(struct line_door *ld, int64_t timeout_ms)
{
    if (!ld)
        return true;
    drained_expect(&ld->drained, ld->places.len + (ld->statsd != NULL));
    VEC_FOREACH (p, &ld->places)
        loop_post((*p)->loop, drain_place, *p);
    if (ld->statsd)
        loop_post(ld->statsd_loop, drain_statsd, ld);
    return drained_wait(&ld->drained, timeout_ms);
}
