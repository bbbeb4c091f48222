/*
 * inproc:// without nanomsg: queues between threads of one process, with the manners of raw REQ and
 * REP sockets. nanomsg's own inproc aborts now and then when one end closes while the other sends
 * (seen here once in five runs of rpc_opens_and_closes_with_calls_under_way; its maintainers know
 * of races in it and closed it for changes), which is no way to end a database.
 *
 * Messages are handed over, not copied. A server's queue holds LINK_LOCAL_QUEUE_BYTES; past that
 * its clients would block. A client's queue is kept short by link_window_bytes() of who replies.
 * Descriptors are readable as long as there is something to receive, or sending is possible.
 *
 * Any thread.
 */
#pragma once
#include "common/rpc/link_internal.h"

#define LINK_LOCAL_BASE (1 << 20) /* nanomsg's sockets are numbered from 0 to 511 */
#define LINK_LOCAL_QUEUE_BYTES (4u << 20)

static inline bool link_local_is(int sock)
{
    return sock >= LINK_LOCAL_BASE;
}

ORR_CHECKED struct err *link_local_bind(const char *address, int *ret_sock);
ORR_CHECKED struct err *link_local_connect(const char *address, int *ret_sock);
void link_local_close(int sock);
int link_local_recv_fd(int sock);
int link_local_send_fd(int sock);
bool link_local_transmit(int sock, const struct link_route *route, void *message, size_t len);
uint8_t *link_local_recv(int sock, size_t *ret_len, struct link_route *ret_route);
bool link_local_is_connected(int sock);
uint64_t link_local_connections(int sock);
uint64_t link_local_broken(int sock);
