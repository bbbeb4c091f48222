/*
 * Syslog: messages of RFC 5424 and RFC 3164, and where one ends in a stream.
 *
 *   <165>1 2003-10-11T22:14:15.003Z host app 42 ID47 [id@1 k="v"] text     RFC 5424
 *   <34>Oct 11 22:14:15 host app[42]: text                                 RFC 3164, as it is met:
 *        the time may be RFC 3339, the host may be missing, so may all of it
 *
 * What comes of it: labels job="syslog", host, app (what is there) and facility, severity by their
 * names; structured metadata procid, msgid and the structured data, as id_name; the line is the
 * text. Times without a year get that which brings them nearest to now, and are taken as UTC.
 *
 * A stream is cut by whoever sends: octet counting ("57 <34>…", RFC 6587) where a message begins
 * with a digit, else at newline or NUL.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/log_builder.h"

#define SYSLOG_MAX_PARAMS 64
#define SYSLOG_MAX_MESSAGE (1u << 20) /* in a stream */

struct syslog_message {
    unsigned facility, severity;
    bool has_time;
    int64_t t_ns;
    struct slice host, app, procid, msgid;  /* empty: none */
    struct label params[SYSLOG_MAX_PARAMS]; /* name: id_name; in the arena */
    size_t n_params;
    struct slice text;
};

/* Never fails: what has no priority is all text, of user.notice. Lends from m. */
void syslog_line_parse(struct arena *a, struct slice m, int64_t now_ns, struct syslog_message *ret);
/* One message into the batch. */
ORR_CHECKED struct err *syslog_line_add(struct log_builder *b, struct slice m);
/*
 * The first message of what came so far: its bytes, and how many they take (0: not whole yet).
 * is_last: nothing follows. ERR_INVALID: a length that cannot be, or more than SYSLOG_MAX_MESSAGE
 * without an end; the stream cannot be read on.
 */
ORR_CHECKED struct err *syslog_line_cut(struct slice stream, bool is_last, struct slice *ret,
                                        size_t *ret_taken);
const char *syslog_line_severity(unsigned severity);
const char *syslog_line_facility(unsigned facility);
