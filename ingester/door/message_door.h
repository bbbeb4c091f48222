/*
 * The ways in for log lines that are no HTTP: messages over TCP, TLS and UDP, each address for one
 * tenant. All are off unless they have an address.
 *
 *   syslog       TCP and UDP   syslog_line.h; on every loop
 *   syslog-tls   TLS
 *   gelf         TCP and UDP   gelf.h; over UDP also compressed and in chunks
 *
 * An address is host:port, or host:port=tenant where it is not the protocol's tenant. There is no
 * authentication on them, save client certificates: they are for trusted networks.
 *
 * TCP clients wait while the door does not take what they send, however long; datagrams that the
 * door does not take within MESSAGE_DOOR_PATIENCE_MS, or that come meanwhile and have no room, are
 * lost and counted (message_feed.h, line_socket.h).
 *
 * Owner: main makes and frees it when the loops do not run, and drains it while they do.
 */
#pragma once
#include "common/base/conf.h"
#include "ingester/door/log_door.h"

#define MESSAGE_DOOR_PATIENCE_MS 10000

enum message_protocol { MESSAGE_DOOR_SYSLOG, MESSAGE_DOOR_SYSLOG_TLS, MESSAGE_DOOR_GELF };
#define MESSAGE_PROTOCOLS 3

/* Section "ingester" of the configuration; strings are copied where they are kept. */
struct message_door_conf {
    struct conf_list addresses[MESSAGE_PROTOCOLS];
    char *tenant[MESSAGE_PROTOCOLS];
    char *tls_cert, *tls_key, *tls_client_ca;
    int64_t max_bytes, chunk_bytes;
    bool truncates;
};
/* Rows for the section of role, which has a member `messages` of that type. */
#define MESSAGE_DOOR_FIELDS(role)                                                                  \
    CONF_LIST(role, messages.addresses[MESSAGE_DOOR_SYSLOG], "syslog-address", "", CONF_FIXED,     \
              "Where syslog is taken over TCP and UDP, host:port or host:port=tenant."),           \
        CONF_STRING(role, messages.tenant[MESSAGE_DOOR_SYSLOG], "syslog-tenant", "anonymous",      \
                    CONF_FIXED, "Tenant of what comes where none is named."),                      \
        CONF_LIST(role, messages.addresses[MESSAGE_DOOR_SYSLOG_TLS], "syslog-tls-address", "",     \
                  CONF_FIXED, "Where syslog is taken over TLS, host:port or host:port=tenant."),   \
        CONF_STRING(role, messages.tenant[MESSAGE_DOOR_SYSLOG_TLS], "syslog-tls-tenant",           \
                    "anonymous", CONF_FIXED, "Tenant of what comes where none is named."),         \
        CONF_STRING(role, messages.tls_cert, "syslog-tls-cert", "", CONF_FIXED,                    \
                    "PEM certificate for syslog over TLS, its chain behind it."),                  \
        CONF_STRING(role, messages.tls_key, "syslog-tls-key", "", CONF_FIXED, "Its PEM key."),     \
        CONF_STRING(role, messages.tls_client_ca, "syslog-tls-client-ca", "", CONF_FIXED,          \
                    "PEM CA that senders' certificates must come from; empty: they need none."),   \
        CONF_LIST(role, messages.addresses[MESSAGE_DOOR_GELF], "gelf-address", "", CONF_FIXED,     \
                  "Where GELF is taken over TCP and UDP, host:port or host:port=tenant."),         \
        CONF_STRING(role, messages.tenant[MESSAGE_DOOR_GELF], "gelf-tenant", "anonymous",          \
                    CONF_FIXED, "Tenant of what comes where none is named."),                      \
        CONF_BYTES(role, messages.chunk_bytes, "gelf-chunk-bytes", "16MiB", "64KiB", NULL,         \
                   CONF_FIXED,                                                                     \
                   "Memory for GELF chunks over UDP whose message is not whole, each address."),   \
        CONF_BYTES(role, messages.max_bytes, "message-max-bytes", "256KiB", "480", "16MiB",        \
                   CONF_FIXED, "Longest message of syslog and GELF over sockets."),                \
        CONF_BOOL(role, messages.truncates, "message-truncate", "true", CONF_FIXED,                \
                  "Cut longer syslog messages instead of dropping them.")

struct message_door_opts {
    const struct message_door_conf *conf;
    struct log_door *door;
    struct loop **loops;
    size_t n_loops;
    int64_t max_connections, idle_ms; /* of each address */
};

struct message_door;
/* The error names the key and the address. */
ORR_CHECKED struct err *message_door_new(const struct message_door_opts *opts,
                                         struct message_door **ret);
/* The door is still there. NULL is allowed. */
void message_door_free(struct message_door *md);
/* Of the i-th address. */
uint16_t message_door_port(const struct message_door *md, enum message_protocol p, size_t i);
/* Reads the certificate again. Blocking. NULL is allowed. */
ORR_CHECKED struct err *message_door_reload(struct message_door *md);
/* Stops listening and waits until what came is answered, or timeout_ms are over (false). Once, from
 * a thread that is no loop. NULL is allowed. */
bool message_door_drain(struct message_door *md, int64_t timeout_ms);
