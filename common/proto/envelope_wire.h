/*
 * The envelope of an RPC frame as our own struct; envelope.proto says which field means what.
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

enum envelope_kind {
    ENVELOPE_HELLO = 1,   /* first words of a client */
    ENVELOPE_WELCOME = 2, /* the server's answer */
    ENVELOPE_REQUEST = 3, /* first frame of a request */
    ENVELOPE_REPLY = 4,   /* first frame of a reply */
    ENVELOPE_MORE = 5,    /* a further frame of the message under way for this id */
    ENVELOPE_CANCEL = 6,  /* client: nobody waits for id any more */
    ENVELOPE_CREDIT = 7,  /* client: credits more streamed messages for id */
    ENVELOPE_ACK = 8,     /* client: frames up to ack have arrived */
    ENVELOPE_PING = 9,    /* client */
    ENVELOPE_PONG = 10,   /* server */
};
enum envelope_flag {
    ENVELOPE_LAST = 1, /* REPLY: the message after which the call is over */
};

#define ENVELOPE_MAX_BYTES 4096
#define ENVELOPE_METHOD_MAX_BYTES 64
#define ENVELOPE_TENANT_MAX_BYTES 1024 /* reads may name several, joined with | */
#define ENVELOPE_TRACE_MAX_BYTES 128
#define ENVELOPE_MESSAGE_MAX_BYTES 2048
#define ENVELOPE_INSTANCE_MAX_BYTES 128

struct envelope {
    enum envelope_kind kind;
    uint64_t id;
    uint32_t flags;
    uint64_t total_bytes;
    struct slice method, tenant, trace;
    uint64_t timeout_ms;
    uint32_t credits;
    uint32_t error_code;
    struct slice error_message;
    uint64_t ack;
    struct slice instance;
    uint64_t incarnation;
    uint64_t mark;
};

/* Appends at most ENVELOPE_MAX_BYTES. The texts must be within their bounds (asserted). */
void envelope_encode(const struct envelope *e, struct buf *out);
/* Texts point into a. False, and nothing useful in ret, when the bytes are no envelope, a text is
 * over its bound or the kind is unknown. */
bool envelope_decode(struct arena *a, struct slice bytes, struct envelope *ret);
