/* What link.c (frames) needs of link_nn.c (nanomsg). */
#pragma once
#include "common/rpc/link.h"

uint8_t *link_new_message(size_t len);
/* Takes the message over if true. False: would block (or the socket is gone); still ours. */
bool link_transmit(int sock, bool is_server, const struct link_route *route, void *message,
                   size_t len);
