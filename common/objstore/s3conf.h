/*
 * Section "s3" of the configuration: the bucket and how it is used.
 *
 * Credentials come from the first of these that has any (credentials: auto), or from the one named:
 *
 *   static        s3.access-key, s3.secret-key
 *   environment   AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web-identity  s3.role-arn and s3.web-identity-token-file, or AWS_ROLE_ARN and
 *                 AWS_WEB_IDENTITY_TOKEN_FILE (what EKS sets for IRSA)
 *   file          s3.credentials-file, AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials
 *   container     AWS_CONTAINER_CREDENTIALS_FULL_URI or …_RELATIVE_URI (ECS, EKS pod identity)
 *   metadata      the instance's role, from IMDSv2
 */
#pragma once
#include "common/base/conf.h"

#define S3CONF_CREDENTIALS "auto|static|environment|web-identity|file|container|metadata"
enum s3conf_credentials {
    S3CONF_AUTO,
    S3CONF_STATIC,
    S3CONF_ENVIRONMENT,
    S3CONF_WEB_IDENTITY,
    S3CONF_FILE,
    S3CONF_CONTAINER,
    S3CONF_METADATA
};
enum s3conf_style { S3CONF_STYLE_AUTO, S3CONF_STYLE_PATH, S3CONF_STYLE_VIRTUAL };
enum s3conf_payload { S3CONF_PAYLOAD_SIGNED, S3CONF_PAYLOAD_UNSIGNED, S3CONF_PAYLOAD_CHUNKED };
enum s3conf_conditional { S3CONF_COND_AUTO, S3CONF_COND_ON, S3CONF_COND_OFF };
enum s3conf_sse { S3CONF_SSE_NONE, S3CONF_SSE_S3, S3CONF_SSE_KMS };

struct s3conf {
    char *endpoint, *bucket, *prefix, *region;
    int style; /* enum s3conf_style */
    bool create_bucket, one_writer;
    int credentials; /* enum s3conf_credentials */
    char *access_key, *secret_key, *session_token;
    char *credentials_file, *profile, *role_arn, *token_file, *sts_endpoint, *metadata_endpoint;
    char *ca_file;
    bool tls_insecure;
    int payload, conditional, sse; /* the enums above */
    char *storage_class, *sse_kms_key, *sse_kms_context;
    int64_t connections;
    int64_t lease_timeout_ns;
    int64_t connect_timeout_ns, request_timeout_ns, stall_timeout_ns, operation_timeout_ns;
    int64_t max_attempts, backoff_ns, max_backoff_ns, retry_budget;
    int64_t hedge_after_ns;
    double hedge_share;
    int64_t part_bytes, read_part_bytes, parallel;
    double price_write, price_read;
};

extern const struct conf_section s3conf_section;
/* What the ranges of single fields do not say. ERR_INVALID names the key. */
ORR_CHECKED struct err *s3conf_check(const struct s3conf *c);
