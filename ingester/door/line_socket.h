/*
 * Lines, or messages, over TCP, TLS and UDP: one address on one loop.
 *
 *   accept ─▶ connection: bytes up to the last newline ─┐
 *   datagram: all of it ────────────────────────────────┴▶ ops.lines()  whole lines, back to back
 *
 *   accept ─▶ connection: message_cut.h ─┐
 *   datagram: one message ───────────────┴▶ ops.lines()  one message, with opts.messages
 *
 * Several loops may listen on the same address: the kernel spreads connections and senders
 * (SO_REUSEPORT). What a connection that ends leaves without a newline is a line, too.
 *
 * Back pressure: lines() returning false stops all reading until line_socket_resume(). TCP clients
 * then wait; datagrams wait in the kernel, and are lost there when it is full, or with
 * drops_datagrams are read and dropped here. Either is counted.
 *
 * Bounds: connections (one above is closed at once), bytes of a line (then the connection is closed,
 * its end of stream said nothing about) or of a message (passed over, or cut), seconds of silence. All
 * are counted.
 *
 * Owner: the loop. Made and freed when it does not run, or on it.
 */
#pragma once
#include "common/base/loop.h"
#include "common/net/net_addr.h"
#include "common/net/net_tls.h"
#include "ingester/door/message_cut.h"

/* Of one protocol, over all its loops. */
struct line_metrics {
    uint64_t accepted, refused, too_long, idle, bytes, datagrams;
    uint64_t messages_dropped, messages_cut, tls_failed, datagrams_busy, datagrams_kernel;
    int64_t connections;
};
void line_metrics_register(const struct line_metrics *m, const char *protocol);
void line_metrics_unregister(const struct line_metrics *m);

struct line_socket_opts {
    struct loop *loop;
    struct line_metrics *metrics;
    size_t max_connections, max_line_bytes;
    int64_t idle_ms;
    bool has_no_tcp, has_no_udp;
    struct net_tls *tls;                     /* of connections; NULL: plain */
    const struct message_cut_opts *messages; /* NULL: lines; outlives the socket */
    bool drops_datagrams;
    /* False: stop reading. lines are lent. */
    bool (*lines)(void *arg, struct slice lines);
    void *arg;
};

struct line_socket;
/* Listens; *addr gets the port if it was 0. */
ORR_CHECKED struct err *line_socket_new(const struct line_socket_opts *opts, struct net_addr *addr,
                                        struct line_socket **ret);
void line_socket_free(struct line_socket *s); /* not from lines(); NULL is allowed */
void line_socket_resume(struct line_socket *s);
/* No new connections, no more datagrams; what connections hold is handed over as lines. */
void line_socket_stop(struct line_socket *s);
