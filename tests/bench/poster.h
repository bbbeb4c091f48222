/*
 * What load generators send with: one HTTP/1.1 connection, kept alive, one request at a time, blocking.
 * Its replies are those of writes: short, with a Content-Length or without a body.
 */
#pragma once
#include "common/base/slice.h"

#define POSTER_REPLY_BYTES 8192

/* addr: HOST:PORT, IPv4. A descriptor for the caller to close, or -1. */
int poster_connect(const char *addr);
/* head: all of the request's head, its empty line included. The status of the reply, whose text is in reply then,
 * NUL-terminated; 0: the connection is of no use any more. */
int poster_send(int fd, struct slice head, struct slice body, char reply[POSTER_REPLY_BYTES]);
/* Of a reply. */
const char *poster_body(const char *reply);
