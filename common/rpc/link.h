/*
 * One end of one connection: a nanomsg socket, the peer's place on it, and the two traffic keys.
 * Seals and numbers what is sent, checks and opens what arrives. Also the few things we ask of
 * nanomsg itself, so that its ways are known to link.c alone:
 *
 * - A raw REP socket silently drops a reply whose pipe still holds the previous one, i.e. when the
 *   kernel's buffer is full. It must never be given a frame unless all frames before
 *   it are surely in that buffer: link_window_bytes() is how much that is. A raw REQ socket is
 *   honest: EAGAIN, and its send descriptor tells when to try again.
 * - Received messages over NN_RCVMAXSIZE end the connection before memory is taken for them, so a
 *   stranger costs at most FRAME_MAX_BYTES a connection.
 * - It reconnects by itself, without saying so. link_connections() counts connections made.
 * - Its inproc aborts when an end closes while the other sends: link_local.h is used instead.
 * - It does not bind port 0, mishandles a failed bind, and aborts on some bad addresses: addresses
 *   are checked, and a port is found, with a plain socket first.
 *
 * Owner: link itself is guarded by its owner's lock; sockets may be used from any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/rpc/frame.h"

#define LINK_ADDRESS_MAX_BYTES 120
#define LINK_FRAME_OVERHEAD 2048 /* what the kernel may need for a frame beside its bytes */

/* Where replies go: as nanomsg gives it with each request. */
struct link_route {
    uint8_t bytes[8]; /* u32 pipe, u32 request id; big endian; a client uses the last 4 */
};
static inline uint32_t link_route_pipe(const struct link_route *r)
{
    return (uint32_t)r->bytes[0] << 24 | (uint32_t)r->bytes[1] << 16 | (uint32_t)r->bytes[2] << 8 |
           r->bytes[3];
}

struct link {
    int sock;
    bool is_server, is_sealed;
    struct link_route route;
    uint64_t session, tx_seq, rx_seq; /* of the last frame */
    uint32_t key_id;
    struct seal_ctx *tx, *rx;
    uint8_t client_random[SEAL_RANDOM_BYTES];
    void *held; /* client: a sealed frame that nanomsg did not take yet */
    size_t held_bytes;
};

enum link_sent { LINK_SENT, LINK_HELD /* sealed and kept; nothing more until link_flush() */ };

/* Forgets keys and the held frame; the socket stays. */
void link_reset(struct link *l);

/* Client. Draws a random and sends HELLO. k may be NULL. */
enum link_sent link_hello(struct link *l, struct seal_keyring *k, const struct envelope *hello);
/* Client: takes WELCOME. False if it is not from a holder of our key (k NULL: not plain). */
bool link_welcomed(struct link *l, struct seal_keyring *k, const struct frame_head *h,
                   uint8_t *frame, size_t len);

/* Server: opens a HELLO; the error reason in *ret_reason if false. */
bool link_greeted(struct link *l, struct seal_keyring *k, const struct frame_head *h,
                  struct arena *a, uint8_t *frame, size_t len, struct envelope *ret,
                  unsigned *ret_reason);
/* Server: draws session and random, sends WELCOME. False if the key has just been removed. */
bool link_welcome(struct link *l, struct seal_keyring *k);

/* Sends one DATA frame. Not while a frame is held. Returns in *ret_bytes what it weighs (may be
 * NULL). */
enum link_sent link_send(struct link *l, const struct envelope *e, struct slice payload,
                         size_t *ret_bytes);
/* Tries to send what is held. */
enum link_sent link_flush(struct link *l);
/* Checks and opens a DATA frame in place. False: out of order, not ours, or malformed. */
bool link_open(struct link *l, const struct frame_head *h, struct arena *a, uint8_t *frame,
               size_t len, struct envelope *ret, struct slice *ret_payload);
/* REJECT or RESET to a route. */
void link_refuse(int sock, const struct link_route *route, enum frame_type type, unsigned reason,
                 uint64_t session);

/* ---- nanomsg ---- */
/* Checks the form, gives nanomsg's ("tcp://1.2.3.4:5", "inproc://x"). *ret_host (may be NULL) is
 * set to a name that has to be resolved first, else to "". */
ORR_CHECKED struct err *link_address(const char *address, bool is_bind,
                                     char ret[LINK_ADDRESS_MAX_BYTES],
                                     char ret_host[LINK_ADDRESS_MAX_BYTES]);
/* ret_address: what clients use. */
ORR_CHECKED struct err *link_bind(const char *address, int *ret_sock,
                                  char ret_address[LINK_ADDRESS_MAX_BYTES]);
ORR_CHECKED struct err *link_connect(const char *nn_address, int *ret_sock);
void link_close(int sock);
int link_recv_fd(int sock);
int link_send_fd(int sock);
/* One received message, NULL if there is none now (or it was malformed: poll again). Free it with
 * link_free_message(). ret_route: where replies go. */
uint8_t *link_recv(int sock, bool is_server, size_t *ret_len, struct link_route *ret_route);
void link_free_message(void *message);
bool link_is_connected(int sock);
uint64_t link_connections(int sock); /* made so far */
uint64_t link_broken(int sock);      /* lost so far, on a server */
bool link_is_inproc(const char *address);
size_t link_window_bytes(void);
