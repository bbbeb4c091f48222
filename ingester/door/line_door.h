/*
 * The ways in that are no HTTP: lines over TCP and UDP, each protocol on an address of its own, for
 * one tenant. All are off unless they have an address.
 *
 *   graphite   graphite_write.h   on every loop       line_feed.h
 *   influx     influx_write.h     on every loop, nanoseconds
 *   statsd     statsd.h           on the last loop    statsd_feed.h
 *
 * There is no authentication on them: they are for trusted networks.
 *
 * Owner: main makes and frees it when the loops do not run, and drains it while they do.
 */
#pragma once
#include "ingester/door/door.h"

enum line_protocol { LINE_GRAPHITE, LINE_INFLUX, LINE_STATSD, LINE_PROTOCOLS };

/* Section "ingester" of the configuration; strings are copied where they are kept. */
struct line_door_conf {
    char *address[LINE_PROTOCOLS], *tenant[LINE_PROTOCOLS]; /* "" address: off */
    char *statsd_instance_label;
    int statsd_timers; /* 0 summary, 1 histogram */
    int64_t statsd_period_ns, statsd_expiry_ns, statsd_max_series, statsd_max_bytes;
    int64_t max_connections, max_line_bytes, idle_ns;
};
/* Rows for the section of role, which has a member `lines` of that type. */
#define LINE_DOOR_FIELDS(role)                                                                     \
    CONF_STRING(role, lines.address[LINE_GRAPHITE], "graphite-address", "", CONF_FIXED,            \
                "Where Graphite lines are taken over TCP and UDP, host:port; empty: nowhere."),    \
        CONF_STRING(role, lines.tenant[LINE_GRAPHITE], "graphite-tenant", "anonymous", CONF_FIXED, \
                    "Tenant of what comes there."),                                                \
        CONF_STRING(role, lines.address[LINE_INFLUX], "influx-address", "", CONF_FIXED,            \
                    "Where Influx lines are taken over TCP and UDP; empty: over HTTP only."),      \
        CONF_STRING(role, lines.tenant[LINE_INFLUX], "influx-tenant", "anonymous", CONF_FIXED,     \
                    "Tenant of what comes there."),                                                \
        CONF_STRING(role, lines.address[LINE_STATSD], "statsd-address", "", CONF_FIXED,            \
                    "Where StatsD lines are taken over UDP and TCP; empty: nowhere."),             \
        CONF_STRING(role, lines.tenant[LINE_STATSD], "statsd-tenant", "anonymous", CONF_FIXED,     \
                    "Tenant of what comes there."),                                                \
        CONF_STRING(role, lines.statsd_instance_label, "statsd-instance-label", "instance",        \
                    CONF_FIXED, "Label of StatsD series that names this process; empty: none."),   \
        CONF_ENUM(role, lines.statsd_timers, "statsd-timers", "summary", "summary|histogram",      \
                  CONF_FIXED, "What timers and histograms of StatsD become."),                     \
        CONF_DURATION(role, lines.statsd_period_ns, "statsd-flush-period", "10s", "100ms", "1h",   \
                      CONF_FIXED, "How often StatsD series get a sample."),                        \
        CONF_DURATION(role, lines.statsd_expiry_ns, "statsd-expiry", "5m", "1s", "168h",           \
                      CONF_FIXED, "A StatsD series ends when nothing came for it for so long."),   \
        CONF_INT(role, lines.statsd_max_series, "statsd-max-series", "100000", "1", "100000000",   \
                 CONF_FIXED, "StatsD series held; lines for more are dropped."),                   \
        CONF_BYTES(role, lines.statsd_max_bytes, "statsd-max-bytes", "64MiB", "64KiB", NULL,       \
                   CONF_FIXED, "Memory for StatsD series; values above it are dropped."),          \
        CONF_INT(role, lines.max_connections, "line-max-connections", "1000", "1", "1000000",      \
                 CONF_FIXED, "TCP connections of each of these protocols."),                       \
        CONF_BYTES(role, lines.max_line_bytes, "line-max-bytes", "64KiB", "256", "16MiB",          \
                   CONF_FIXED, "Longest line of these protocols over TCP."),                       \
        CONF_DURATION(role, lines.idle_ns, "line-idle-timeout", "10m", "1s", "24h", CONF_FIXED,    \
                      "A TCP connection of theirs ends when nothing comes for so long.")

struct line_door_opts {
    const struct line_door_conf *conf;
    struct door *door;
    struct loop **loops;
    size_t n_loops;
    const char *instance;
};

struct line_door;
/* The error names the address. */
ORR_CHECKED struct err *line_door_new(const struct line_door_opts *opts, struct line_door **ret);
/* The door is still there. NULL is allowed. */
void line_door_free(struct line_door *ld);
uint16_t line_door_port(const struct line_door *ld, enum line_protocol p); /* 0: it is off */
/* Stops listening and waits until what came is answered, or timeout_ms are over (false). Once, from
 * a thread that is no loop. NULL is allowed. */
bool line_door_drain(struct line_door *ld, int64_t timeout_ms);
