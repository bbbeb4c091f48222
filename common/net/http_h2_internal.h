/*
 * HTTP/2 on a connection: nghttp2 takes frames apart and puts them together, conn reads and writes
 * them, and each stream carries one exchange.
 *
 *     stream:  HEAD ─headers─> BODY ─END_STREAM─> REPLY ─replied─> SENDING ─sent─> gone
 *               │      ↑        │                   │                │
 *               └> PARKED       └──── refused ──────┴──── reset ─────┴───────────> gone
 *
 * Who holds whom: nghttp2's stream points to the h2_stream (user data), which lives until nghttp2
 * says that the stream is closed; that is always inside h2_step(). The exchange points to its
 * h2_stream until it is finished or the stream is gone, whichever comes first.
 *
 * What one connection may make us hold: max_streams streams, each with headers of max_header_bytes,
 * a body within max_body_bytes (charged to the server's budget) and, while its body is paused,
 * stream_window_bytes more (charged as well). Output waits in the stream's own buffer until the
 * peer's window and conn's buffer (output_high_bytes) have room.
 *
 * A request whose headers are whole is PARKED when its connection had its share of this turn of the
 * loop (REQUESTS_A_TURN, TURN_MS), so that others get theirs, or while more than OUTPUT_MARKS marks of output
 * wait for the client.
 *
 * What a client may do that costs us more than it: resets of unfinished requests, and frames that
 * only want an answer or nothing at all (SETTINGS, PING, PRIORITY, empty DATA, CONTINUATION). Each has a
 * bucket of tokens that work that was really done refills (h2_calm); when one is empty, the client
 * is told ENHANCE_YOUR_CALM and cut off.
 */
#pragma once
#include <nghttp2/nghttp2.h>

#include "common/net/http_h2_head.h"
#include "common/net/http_server_internal.h"

#define H2_STREAM_MAGIC 0x68327374u
#define H2_FRAME_HEAD_BYTES 9

/* What the buckets hold when they are full. */
#define H2_RESETS_AT_ONCE 500
#define H2_CONTROLS_AT_ONCE 500

struct h2_calm {
    int64_t tokens, filled_ms;
};

struct h2 {
    struct conn *conn;
    nghttp2_session *session;
    struct h2_stream *streams;              /* newest first */
    struct h2_stream *awake;                /* those that h2_step() is to look at */
    struct h2_stream *parked, *last_parked; /* in the order they came */
    size_t stream_count;
    size_t output_bytes; /* of replies, waiting in streams */
    unsigned begun;      /* requests in this turn of the loop */
    int64_t turn_ms;     /* when that began */
    struct h2_calm resets, controls;
    size_t block_bytes; /* of the header block being received, decoded */
    unsigned continuations;
    int64_t drain_ms;                /* when h2_drain() was called */
    bool is_draining, has_announced; /* the last GOAWAY has been said */
    bool is_ending;                  /* cut off: what it still sends is not looked at */
};

enum h2_phase { H2_HEAD, H2_PARKED, H2_BODY, H2_REPLY, H2_SENDING };

struct h2_stream {
    uint32_t magic;
    int32_t id;
    struct h2 *h2;
    struct h2_stream *prev, *next, *next_awake, *next_parked;
    struct exchange *x; /* NULL: finished, or refused */
    enum h2_phase phase;
    int64_t since_ms; /* when the phase began */
    int64_t stall_ms; /* last time its output made progress, while there is some */
    struct h2_head head;
    struct buf held;      /* body bytes that came while it was parked or paused */
    size_t pump_bytes;    /* of a large reply, in output_bytes until it is finished */
    struct evbuffer *out; /* NULL when nothing waits */
    struct buf trailers;  /* name NUL value NUL ... */
    size_t trailer_count;
    bool has_all_input; /* END_STREAM was received */
    bool is_ended;      /* nothing will be added to out */
    bool is_deferred;   /* nghttp2 waits to be told that out has bytes again */
    bool is_awake;
};

/* ---- http_h2.c: the session ---- */

enum h2_spoken { H2_SPOKEN_NO, H2_SPOKEN_MAYBE, H2_SPOKEN_YES };
/* By ALPN or by the first bytes in c->view. */
enum h2_spoken h2_is_spoken(const struct conn *c);
void h2_start(struct conn *c);
/* Does head, of HTTP/1.1, ask for h2c in a way that we grant? Then c speaks HTTP/2 from now on, and
 * x is its first stream. */
bool h2_upgrade(struct exchange *x);
/* Tells conn whether it is idle. */
void h2_set_busy(struct h2 *h);
/* Takes c->view apart and fills conn's out. */
void h2_step(struct h2 *h);
void h2_free(struct h2 *h); /* NULL is allowed */
/* Its connection has gone. */
void h2_lose_streams(struct h2 *h);
/* GOAWAY in out, for an idle connection that is closed next. */
void h2_say_goodbye(struct h2 *h);
/* No new streams, by and by; ends after the last. */
void h2_drain(struct h2 *h);
void h2_check_time(struct h2 *h, int64_t now_ms);

/* ---- http_h2_turns.c: what one client may take from the others ---- */

/* The client has abused us: counts why, and tells it. */
void h2_cut_off(struct h2 *h, enum http_reject reason);
/* One of what costs us more than the client; cuts it off when its bucket is empty. */
void h2_spend_reset(struct h2 *h);
void h2_spend_control(struct h2 *h);
void h2_refill(struct h2_calm *calm, int64_t at_once); /* by one: work was done */
/* A new turn of the loop: it may begin requests again. */
void h2_begin_turn(struct h2 *h);
/* Has it left something to do for the next? */
bool h2_wants_turn(const struct h2 *h);
/* May a request begin now? Counts it if so. */
bool h2_take_turn(struct h2 *h);
void h2_park(struct h2_stream *s);
void h2_unpark(struct h2_stream *s); /* if it is parked */
/* Output came to wait, or went (negative). */
void h2_count_output(struct h2 *h, int64_t bytes);
/* False when there was none that may begin. */
bool h2_launch_parked(struct h2 *h);

/* ---- http_h2_stream.c: a request and its reply on a stream ---- */

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);
/* Of the connection's first request, which came as HTTP/1.1. */
struct h2_stream *h2_stream_adopt(struct h2 *h, struct exchange *x);
void h2_stream_free(struct h2_stream *s);
struct h2_stream *h2_stream_get(struct h2 *h, int32_t id); /* NULL: there is none */
/* The headers are whole. */
void h2_stream_begin(struct h2_stream *s, bool ends_stream);
/* Finds its route and goes on from there; at once, or after it was parked. */
void h2_stream_launch(struct h2_stream *s);
void h2_stream_data(struct h2_stream *s, struct slice piece);
void h2_stream_end(struct h2_stream *s); /* END_STREAM has come */
/* Its exchange, if there still is one, ends here. */
void h2_stream_lose(struct h2_stream *s);
void h2_stream_reset(struct h2_stream *s, uint32_t error_code);
/* h2_step() is to call h2_stream_tend(), which goes on with what waited for room or for a pause. */
void h2_stream_wake(struct h2_stream *s);
void h2_stream_tend(struct h2_stream *s);
void h2_stream_check_time(struct h2_stream *s, int64_t now_ms);
/* Callbacks of nghttp2: bytes of the reply. */
ssize_t h2_stream_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *arg);
int h2_stream_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                   size_t length, nghttp2_data_source *source, void *arg);
