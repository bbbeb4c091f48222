#include "common/objstore/s3conf.h"

#define S struct s3conf

static const struct conf_field s3_fields[] = {
    CONF_STRING(
        S, endpoint, "endpoint", "", CONF_FIXED,
        "URL of the S3 server, such as https://minio:9000. Empty: Amazon's for the region."),
    CONF_STRING(S, bucket, "bucket", "", CONF_FIXED, "Bucket that holds everything."),
    CONF_STRING(S, prefix, "prefix", "", CONF_FIXED,
                "Put in front of all keys, so that several systems may share a bucket: orrery/."),
    CONF_STRING(
        S, region, "region", "", CONF_FIXED,
        "Region that requests are signed for. Empty: AWS_REGION or AWS_DEFAULT_REGION, else "
        "us-east-1 and then what the server says."),
    CONF_ENUM(
        S, style, "address-style", "auto", "auto|path|virtual", CONF_FIXED,
        "Bucket in the path or in the host name. auto: host name with Amazon, path elsewhere."),
    CONF_BOOL(S, create_bucket, "create-bucket", "false", CONF_FIXED,
              "Make the bucket when it does not exist."),
    CONF_BOOL(S, one_writer, "one-writer", "true", CONF_FIXED,
              "Where the server has no conditional puts: one compactor alone writes for each "
              "tenant, by leases in the bucket, and deletions go through it, so that several "
              "compactors may run. Off, on such a bucket run one compactor."),
    CONF_DURATION(
        S, lease_timeout_ns, "lease-timeout", "2s", "50ms", "1m", CONF_FIXED,
        "Longest time to read or write such a lease; of the 16 each is renewed every four of "
        "them. Somebody writes after three of them and three requests from a start on, or when who "
        "held the lease has left; after 17 of them and two request-timeouts when it "
        "has crashed."),
    CONF_ENUM(S, credentials, "credentials", "auto", S3CONF_CREDENTIALS, CONF_FIXED,
              "Where credentials come from. auto: the first in this order that has any."),
    CONF_STRING(S, access_key, "access-key", "", CONF_FIXED, "Access key."),
    CONF_STRING(S, secret_key, "secret-key", "", CONF_FIXED | CONF_SECRET, "Its secret."),
    CONF_STRING(S, session_token, "session-token", "", CONF_FIXED | CONF_SECRET,
                "Token that goes with temporary keys."),
    CONF_STRING(S, credentials_file, "credentials-file", "", CONF_FIXED,
                "Shared credentials file. Empty: AWS_SHARED_CREDENTIALS_FILE, else "
                "~/.aws/credentials. Read again every few minutes."),
    CONF_STRING(S, profile, "profile", "", CONF_FIXED,
                "Profile in that file. Empty: AWS_PROFILE, else default."),
    CONF_STRING(S, role_arn, "role-arn", "", CONF_FIXED,
                "Role to assume with a web identity. Empty: AWS_ROLE_ARN."),
    CONF_STRING(S, token_file, "web-identity-token-file", "", CONF_FIXED,
                "File with the token of that identity. Empty: AWS_WEB_IDENTITY_TOKEN_FILE."),
    CONF_STRING(S, sts_endpoint, "sts-endpoint", "", CONF_FIXED,
                "URL of the token service. Empty: AWS_ENDPOINT_URL_STS, else Amazon's."),
    CONF_STRING(S, metadata_endpoint, "metadata-endpoint", "", CONF_FIXED,
                "URL of the instance metadata service. Empty: "
                "AWS_EC2_METADATA_SERVICE_ENDPOINT, else http://169.254.169.254."),
    CONF_STRING(S, ca_file, "ca-file", "", CONF_FIXED,
                "PEM file of the CAs that the server's certificate may come from. Empty: the "
                "system's."),
    CONF_BOOL(S, tls_insecure, "tls-insecure", "false", CONF_FIXED,
              "Take any certificate. For trials only."),
    CONF_ENUM(S, payload, "payload", "signed", "signed|unsigned|chunked", CONF_FIXED,
              "How bodies are vouched for: by a signed SHA-256, by Content-MD5 alone, or in signed "
              "chunks (aws-chunked, which some servers refuse)."),
    CONF_ENUM(S, conditional, "conditional-writes", "auto", "auto|on|off", CONF_FIXED,
              "Whether the server's conditional puts can be trusted. auto: found out by writers "
              "that race on a scratch key. off: looked up before writing, which is safe only for "
              "what has a single owner."),
    CONF_ENUM(S, sse, "sse", "none", "none|s3|kms", CONF_FIXED,
              "Encryption by the server, with its own keys or those of KMS; per tenant: "
              "s3_sse_type in the overrides."),
    CONF_STRING(S, storage_class, "storage-class", "", CONF_FIXED,
                "Storage class of what is written, such as STANDARD_IA. Empty: the bucket's."),
    CONF_STRING(S, sse_kms_key, "sse-kms-key-id", "", CONF_FIXED,
                "KMS key of sse: kms. Empty: the account's default."),
    CONF_STRING(S, sse_kms_context, "sse-kms-encryption-context", "", CONF_FIXED,
                "JSON object that KMS binds to the data."),
    CONF_INT(S, connections, "connections", "64", "1", "4096", CONF_FIXED,
             "Connections at a time."),
    CONF_DURATION(S, connect_timeout_ns, "connect-timeout", "5s", "10ms", "5m", CONF_FIXED,
                  "Longest time to connect."),
    CONF_DURATION(S, request_timeout_ns, "request-timeout", "30s", "100ms", "1h", CONF_FIXED,
                  "Longest time for one attempt; a large body adds what it takes at 64 KiB/s."),
    CONF_DURATION(S, stall_timeout_ns, "stall-timeout", "15s", "1s", "1h", CONF_FIXED,
                  "An attempt in which no byte moves for this long is given up."),
    CONF_DURATION(S, operation_timeout_ns, "operation-timeout", "2m", "1s", "24h", CONF_FIXED,
                  "No attempt is begun this long after the first."),
    CONF_INT(S, max_attempts, "max-attempts", "5", "1", "100", CONF_FIXED,
             "Attempts at one request, the first included."),
    CONF_DURATION(
        S, backoff_ns, "backoff", "100ms", "1ms", "1m", CONF_FIXED,
        "Longest wait before the second attempt; it doubles from one to the next, and the "
        "wait is anything up to it."),
    CONF_DURATION(S, max_backoff_ns, "max-backoff", "5s", "1ms", "10m", CONF_FIXED,
                  "Longest wait before any attempt."),
    CONF_INT(S, retry_budget, "retry-budget", "100", "1", "1000000", CONF_FIXED,
             "Further attempts that may be made at once; each takes one and ten good requests give "
             "one back. A server in trouble is not asked more often, but less."),
    CONF_DURATION(S, hedge_after_ns, "hedge-after", "1s", "0s", "10m", CONF_FIXED,
                  "A read of which no byte has come after this time is asked a second time; the "
                  "first answer is taken. 0: never."),
    CONF_FLOAT(S, hedge_share, "hedge-share", "0.05", "0", "1", CONF_FIXED,
               "Share of reads that may be asked a second time."),
    CONF_BYTES(S, part_bytes, "part-size", "16MiB", "5MiB", "5GiB", CONF_FIXED,
               "Larger objects are written in parts of this size."),
    CONF_BYTES(S, read_part_bytes, "read-part-size", "8MiB", "64KiB", "1GiB", CONF_FIXED,
               "Larger reads are made in parts of this size."),
    CONF_INT(S, parallel, "parallel-parts", "4", "1", "64", CONF_FIXED,
             "Parts of one object that are written or read at a time."),
    CONF_FLOAT(S, price_write, "price-write-per-1000", "0.005", "0", "1000", CONF_FIXED,
               "Price of 1000 PUT, POST and LIST requests, for the estimate in the metrics."),
    CONF_FLOAT(S, price_read, "price-read-per-1000", "0.0004", "0", "1000", CONF_FIXED,
               "Price of 1000 GET and HEAD requests."),
};
const struct conf_section s3conf_section = {"s3", "The S3 bucket of storage.backend: s3.",
                                            sizeof(struct s3conf), s3_fields, ORR_COUNT(s3_fields)};

/* Names that can stand in a host name or a path without a second thought. */
static bool is_bucket_name(struct slice s)
{
    if (s.len < 3 || s.len > 255)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return s.ptr[0] != '.' && s.ptr[0] != '-';
}

static bool has_line_break(const char *s)
{
    return strpbrk(s, "\r\n") != NULL;
}

struct err *s3conf_check(const struct s3conf *c)
{
    struct slice endpoint = slice_cstr(c->endpoint);

    if (!is_bucket_name(slice_cstr(c->bucket)))
        return err_new(ERR_INVALID, "s3.bucket: \"%s\" is no bucket name", c->bucket);
    if (endpoint.len && !slice_has_prefix(endpoint, SLICE("http://")) &&
        !slice_has_prefix(endpoint, SLICE("https://")))
        return err_new(ERR_INVALID, "s3.endpoint: \"%s\" is not http://… or https://…",
                       c->endpoint);
    if (c->prefix[0] == '/' || strlen(c->prefix) > 512)
        return err_new(ERR_INVALID, "s3.prefix: begins with / or is longer than 512 bytes");
    if (!c->access_key[0] != !c->secret_key[0])
        return err_new(ERR_INVALID, "s3.access-key and s3.secret-key: one without the other");
    if (has_line_break(c->storage_class) || has_line_break(c->sse_kms_key) ||
        has_line_break(c->sse_kms_context) || has_line_break(c->region))
        return err_new(ERR_INVALID, "a line break in a value of section s3");
    if (c->sse != S3CONF_SSE_KMS && (c->sse_kms_key[0] || c->sse_kms_context[0]))
        return err_new(ERR_INVALID, "s3.sse-kms-key-id and s3.sse-kms-encryption-context need "
                                    "s3.sse: kms");
    return NULL;
}
