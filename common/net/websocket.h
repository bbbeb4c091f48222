/*
 * WebSocket (RFC 6455) on a connection of the HTTP server: a handler that finds itself asked for one accepts it, and has from
 * then on messages to and from the client instead of a request to answer.
 *
 *     if ((e = websocket_check(r)))
 *         http_reply_err(r, e);
 *     else
 *         ws = websocket_accept(r, &(struct websocket_opts){.on_close = gone, .arg = me});
 *     …
 *     websocket_send(ws, json);
 *     websocket_close(ws, WS_CLOSE_NORMAL, SLICE("that was all"));
 *
 * The life of one:
 *
 *     websocket_accept() ──> open ──websocket_close()───────────────> gone; on_close is not called
 *                             └── the client closes, goes, breaks the protocol (it is told why by a close frame),
 *                                 is silent for two ping_ms, does not read for the server's write_timeout_ms,
 *                                 or the server drains (1001) ─────> on_close, then gone
 *
 * Pings are answered here and sent to who is silent; messages of the client go to on_message, or nowhere. Close frames of ours
 * go out behind what waits, then the connection lingers and is closed.
 *
 * HTTP/1.1 only. Any origin may ask, as for the other endpoints.
 *
 * Owner: the loop of the connection; all calls there. No callback is called from inside of a call.
 */
#pragma once
#include "common/net/http_server.h"
#include "common/net/ws_frame.h"

struct websocket;

/* 0: the default in brackets. */
struct websocket_opts {
    size_t max_message_bytes; /* of the client's [64 KiB] */
    int64_t ping_ms;          /* of silence after which we ask [30000] */
    /* May close it. NULL: the client's messages are read and forgotten. */
    void (*on_message)(struct websocket *ws, bool is_text, struct slice payload);
    void (*on_close)(struct websocket *ws, unsigned code, struct slice reason);
    void *arg;
};

/* NULL if r asks for a websocket; else an ERR_INVALID that says what is missing, and r has the headers that say so, too. */
ORR_CHECKED struct err *websocket_check(struct http_request *r);
/* Ends the request, which websocket_check() has seen; r and its arena are gone. NULL: the client has gone already. */
struct websocket *websocket_accept(struct http_request *r, const struct websocket_opts *opts);

void *websocket_arg(const struct websocket *ws);
/* A text, which has to be UTF-8. Copies. Nothing bounds what waits: ask websocket_waiting() before. */
void websocket_send(struct websocket *ws, struct slice text);
size_t websocket_waiting(const struct websocket *ws); /* bytes not taken by the socket yet */
void websocket_close(struct websocket *ws, unsigned code, struct slice reason);
