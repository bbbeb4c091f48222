/*
 * A byte stream cut into messages: syslog over TCP and TLS, GELF over TCP.
 *
 *   MESSAGE_SYSLOG   "57 <34>…"   octet counting (RFC 6587, RFC 5425), where a message begins with
 *                                 a number of up to MESSAGE_CUT_DIGITS digits, a space and a <
 *                    "<34>…\n"    else up to a newline or NUL; each message for itself
 *   MESSAGE_NUL      "{…}\0"      up to a NUL
 *
 * Messages of more than max_bytes are passed over, or cut there when `truncates` says so, and
 * counted; the stream goes on behind them. Every stream can be read: there is nothing malformed. Empty
 * messages are none.
 *
 * Memory: less than max_bytes and MESSAGE_CUT_DIGITS + 2, only while a message is unfinished.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/buf.h"

#define MESSAGE_CUT_DIGITS 8

enum message_framing { MESSAGE_SYSLOG, MESSAGE_NUL };
struct message_cut_opts {
    enum message_framing framing;
    size_t max_bytes;
    bool truncates;
};

struct message_cut {
    struct message_cut_opts opts;
    struct buf in;         /* of the unfinished message */
    size_t looked;         /* bytes of it in which no delimiter is */
    size_t skips;          /* bytes of a counted message that are passed over */
    bool skips_to_end;     /* up to the delimiter */
    uint64_t dropped, cut; /* messages that were too long */
};

typedef void message_fn(void *arg, struct slice message); /* lent */

void message_cut_init(struct message_cut *c, const struct message_cut_opts *opts);
void message_cut_done(struct message_cut *c);
/* More of the stream: fn for each message that is whole now. */
void message_cut_put(struct message_cut *c, struct slice piece, message_fn *fn, void *arg);
/* The stream has ended: what has no delimiter is a message, too; a counted one that is cut short is
 * dropped and counted. */
void message_cut_end(struct message_cut *c, message_fn *fn, void *arg);
