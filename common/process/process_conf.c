#include "common/process/process_conf.h"

static const struct conf_field server_fields[] = {
    CONF_STRING(
        struct process_server_conf, instance, "instance", "", CONF_FIXED,
        "Name of this process in the ring, unique and kept over restarts. Empty: host name."),
    CONF_STRING(struct process_server_conf, zone, "zone", "", CONF_FIXED,
                "Availability zone. Replicas of a series are put in different zones."),
    CONF_STRING(struct process_server_conf, data_dir, "data-dir", "./data", CONF_FIXED,
                "Directory for the log, recent data, state and caches."),
    CONF_STRING(struct process_server_conf, http_address, "http-address", "0.0.0.0:9009",
                CONF_FIXED, "host:port of HTTP. Port 0 picks a free one."),
    CONF_STRING(struct process_server_conf, rpc_address, "rpc-address", "auto", CONF_FIXED,
                "host:port of gossip and RPC. auto: none when this process hosts all roles and "
                "ring.seeds is empty, else 0.0.0.0:7946."),
    CONF_STRING(struct process_server_conf, advertise_host, "advertise-host", "", CONF_FIXED,
                "Host name or address under which the others reach this process. Empty: the host "
                "of the address bound, or this host's first address when that is 0.0.0.0."),
    CONF_INT(struct process_server_conf, loops, "loops", "0", "0", "256", CONF_FIXED,
             "Event loops (threads that serve connections). 0: one per core."),
    CONF_INT(struct process_server_conf, workers, "workers", "0", "0", "1024", CONF_FIXED,
             "Threads for files and the object store. 0: two per core, at least 4."),
    CONF_STRING(struct process_server_conf, log_level, "log-level", "info", CONF_RELOAD,
                "error, warn, info or debug; and per module: info,wal=debug."),
    CONF_ENUM(struct process_server_conf, log_format, "log-format", "logfmt", "logfmt|json",
              CONF_FIXED, "Form of log lines on standard error."),
    CONF_DURATION(struct process_server_conf, shutdown_timeout_ns, "shutdown-timeout", "2m", "1s",
                  "24h", CONF_RELOAD, "Longest time for a graceful stop."),
    CONF_DURATION(
        struct process_server_conf, idle_timeout_ns, "http-idle-timeout", "2m", "1s", "24h",
        CONF_FIXED,
        "An HTTP connection, of either version, without a request is closed after this time."),
    CONF_DURATION(struct process_server_conf, header_timeout_ns, "http-header-timeout", "10s",
                  "100ms", "10m", CONF_FIXED, "Longest time for the head of a request to arrive."),
    CONF_BYTES(struct process_server_conf, max_body_bytes, "http-max-body", "32MiB", "1KiB", "1GiB",
               CONF_FIXED, "Largest request body, as sent and decoded."),
    CONF_BYTES(struct process_server_conf, max_inflight_body_bytes, "http-max-inflight-body",
               "512MiB", "1MiB", "1TiB", CONF_FIXED,
               "Request bodies held at any time; more are answered 503 before they are read."),
    CONF_INT(struct process_server_conf, max_connections, "http-max-connections", "20000", "10",
             "10000000", CONF_FIXED, "Open HTTP connections."),
    CONF_BYTES(struct process_server_conf, max_header_bytes, "http-max-header-bytes", "64KiB",
               "4KiB", "1MiB", CONF_FIXED,
               "Largest head of a request: its line and header fields."),
    CONF_INT(struct process_server_conf, max_headers, "http-max-headers", "128", "16", "4096",
             CONF_FIXED, "Header fields of a request."),
    CONF_INT(struct process_server_conf, max_h2_connections, "http2-max-connections", "5000", "1",
             "10000000", CONF_FIXED, "Open HTTP connections that may speak HTTP/2 (gRPC does)."),
    CONF_INT(struct process_server_conf, max_streams, "http2-max-streams", "100", "1", "10000",
             CONF_FIXED, "HTTP/2: requests at once on a connection."),
    CONF_BYTES(struct process_server_conf, stream_window_bytes, "http2-stream-window", "256KiB",
               "64KiB", "1GiB", CONF_FIXED,
               "HTTP/2: bytes of a body that may come before we ask for more."),
    CONF_BYTES(struct process_server_conf, conn_window_bytes, "http2-connection-window", "1MiB",
               "64KiB", "1GiB", CONF_FIXED, "HTTP/2: the same over all bodies of a connection."),
    CONF_STRING(struct process_server_conf, tls_cert, "tls-cert", "", CONF_FIXED,
                "PEM certificate (and chain) of the HTTP port. Empty: no TLS."),
    CONF_STRING(struct process_server_conf, tls_key, "tls-key", "", CONF_FIXED, "Its PEM key."),
    CONF_STRING(struct process_server_conf, tls_client_ca, "tls-client-ca", "", CONF_FIXED,
                "PEM CA that client certificates must come from. Empty: clients need none."),
    CONF_STRING(
        struct process_server_conf, cors_origin, "cors-origin", ".*", CONF_FIXED,
        "Origins (a regular expression for all of it) whose pages browsers let read the API "
        "below /api/v1, as Prometheus' --web.cors.origin. Empty: none."),
};
const struct conf_section process_server_section = {
    "server", "The process: name, addresses, directories, threads, log.",
    sizeof(struct process_server_conf), server_fields, ORR_COUNT(server_fields)};

static const struct conf_field ring_fields[] = {
    CONF_LIST(struct process_ring_conf, seeds, "seeds", "", CONF_FIXED,
              "host:port of members to join through; a name stands for all its addresses."),
    CONF_LIST(struct process_ring_conf, cluster_keys, "cluster-keys", "", CONF_FIXED | CONF_SECRET,
              "Keys that seal messages between processes: 32 bytes each, base64 or hexadecimal. "
              "The first seals, all open. None: messages are plain."),
    CONF_STRING(struct process_ring_conf, cluster, "cluster", "", CONF_FIXED,
                "Name of the cluster; processes of another name are not let in."),
    CONF_INT(struct process_ring_conf, replication_factor, "replication-factor", "0", "0", "15",
             CONF_FIXED,
             "Copies of each datum. 0: 1 when this process hosts all roles and has no "
             "seeds, else 3."),
    CONF_INT(struct process_ring_conf, alertmanager_replication_factor,
             "alertmanager-replication-factor", "0", "0", "15", CONF_FIXED,
             "Alertmanagers per tenant. 0: as replication-factor."),
    CONF_INT(struct process_ring_conf, tokens, "tokens", "0", "0", "4096", CONF_FIXED,
             "Tokens of this process in the ring. 0: the default number."),
    CONF_DURATION(struct process_ring_conf, unhealthy_after_ns, "unhealthy-after", "10s", "500ms",
                  "1h", CONF_FIXED, "A member not heard of for this long is passed over."),
    CONF_DURATION(struct process_ring_conf, forget_after_ns, "forget-after", "1h", "10s", "720h",
                  CONF_FIXED,
                  "An unhealthy member is forgotten after this time when nothing "
                  "depends on it any more."),
    CONF_DURATION(struct process_ring_conf, join_wait_ns, "join-wait", "5s", "10ms", "10m",
                  CONF_FIXED, "How long to wait for a seed to answer before starting alone."),
    CONF_DURATION(struct process_ring_conf, announce_ns, "announce", "2s", "10ms", "10m",
                  CONF_FIXED, "How long a new member is known to readers before it takes writes."),
};
const struct conf_section process_ring_section = {"ring", "Membership and replication.",
                                                  sizeof(struct process_ring_conf), ring_fields,
                                                  ORR_COUNT(ring_fields)};

static const struct conf_field storage_fields[] = {
    CONF_ENUM(struct process_storage_conf, backend, "backend", "filesystem", PROCESS_BACKENDS,
              CONF_FIXED, "Object store: a directory, or an S3 bucket (section s3)."),
    CONF_STRING(struct process_storage_conf, path, "path", "", CONF_FIXED,
                "Directory of the filesystem backend. Empty: bucket below server.data-dir."),
};
const struct conf_section process_storage_section = {
    "storage", "The object store: blocks and catalogues.", sizeof(struct process_storage_conf),
    storage_fields, ORR_COUNT(storage_fields)};
