/*
 * Addresses to listen on: "host:port", ":port" (all interfaces), "[::1]:port", "unix" is not
 * supported. And their text form.
 *
 * Any thread; net_addr_resolve() may block in the resolver, so not on a loop (numeric addresses
 * never block).
 */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "common/base/slice.h"

struct net_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t len; /* 0: none */
};

#define NET_ADDR_TEXT_BYTES 64

/* Splits "host:port"; host may be empty or in brackets. Both slices borrow from s. */
ORR_CHECKED struct err *net_addr_split(struct slice s, struct slice *ret_host, uint16_t *ret_port);
ORR_CHECKED struct err *net_addr_resolve(const char *host_port, struct net_addr *ret);
/* "1.2.3.4:80" or "[::1]:80"; "" for none. Returns text. */
const char *net_addr_text(const struct net_addr *a, char text[NET_ADDR_TEXT_BYTES]);
uint16_t net_addr_port(const struct net_addr *a);
void net_addr_set_port(struct net_addr *a, uint16_t port);
/* ERR_NET when somebody listens there: also when it is another process of this user, with which
 * net_addr_listen() would silently share the port. Port 0 is always free. */
ORR_CHECKED struct err *net_addr_check_free(const struct net_addr *a);
/* A bound, listening, non-blocking socket with SO_REUSEPORT. *a receives the port if it was 0. */
ORR_CHECKED struct err *net_addr_listen(struct net_addr *a, int backlog, int *ret_fd);
