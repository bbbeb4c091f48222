/*
 * Syslog: messages of RFC 5424 and RFC 3164. Where one ends in a stream: message_cut.h.
 *
 *   <165>1 2003-10-11T22:14:15.003Z host app 42 ID47 [id@1 k="v"] text     RFC 5424
 *   <34>Oct 11 22:14:15 host app[42]: text                                 RFC 3164, as it is met:
 *        the time may be RFC 3339, the host may be missing, so may all of it
 *
 * What comes of it: labels job="syslog", host, app (what is there) and facility, severity by their
 * names; structured metadata procid, msgid and the structured data, as id_name; the line is the
 * text. Times without a year get that which brings them nearest to now, and are taken as UTC.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/log_builder.h"

#define SYSLOG_MAX_PARAMS 64

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
const char *syslog_line_severity(unsigned severity);
const char *syslog_line_facility(unsigned facility);
