#include <inttypes.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/net/http.h"
#include "common/net/http_client.h"
#include "common/objstore/s3cred_internal.h"
#include "common/objstore/s3profile.h"

#define TOKEN_MAX_BYTES (64u << 10)
#define REPLY_MAX_BYTES (64u << 10)
#define FILE_MS (10 * 60 * 1000) /* fetched again 5 minutes before */
#define STS_TIMEOUT_MS 10000
#define NEAR_TIMEOUT_MS 2000 /* services on this machine's own link */
#define METADATA_URL "http://169.254.169.254"
#define CONTAINER_URL "http://169.254.170.2"

/* The option, or else the variable. */
static const char *either(const char *option, char **env, const char *variable)
{
    return option[0] ? option : s3cred_env(env, variable);
}

/* ---- static, environment ---- */

static bool static_is_there(const struct s3conf *conf, char **env)
{
    (void)env;
    return conf->access_key[0] != '\0';
}

static struct err *static_fetch(const struct s3conf *conf, char **env, const char *region,
                                struct arena *a, struct s3answer_role *ret)
{
    (void)region;
    (void)a;
    if (!static_is_there(conf, env))
        return err_new(ERR_UNAUTHORIZED, "s3.access-key and s3.secret-key are empty");
    *ret = (struct s3answer_role){slice_cstr(conf->access_key), slice_cstr(conf->secret_key),
                                  slice_cstr(conf->session_token), 0};
    return NULL;
}

static bool environment_is_there(const struct s3conf *conf, char **env)
{
    (void)conf;
    return s3cred_env(env, "AWS_ACCESS_KEY_ID")[0] && s3cred_env(env, "AWS_SECRET_ACCESS_KEY")[0];
}

static struct err *environment_fetch(const struct s3conf *conf, char **env, const char *region,
                                     struct arena *a, struct s3answer_role *ret)
{
    (void)region;
    (void)a;
    if (!environment_is_there(conf, env))
        return err_new(ERR_UNAUTHORIZED, "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set");
    *ret = (struct s3answer_role){slice_cstr(s3cred_env(env, "AWS_ACCESS_KEY_ID")),
                                  slice_cstr(s3cred_env(env, "AWS_SECRET_ACCESS_KEY")),
                                  slice_cstr(s3cred_env(env, "AWS_SESSION_TOKEN")), 0};
    return NULL;
}

/* ---- file ---- */

static const char *file_path(const struct s3conf *conf, char **env, struct arena *a)
{
    const char *path = either(conf->credentials_file, env, "AWS_SHARED_CREDENTIALS_FILE");

    return path[0] ? path : arena_printf(a, "%s/.aws/credentials", s3cred_env(env, "HOME"));
}

static bool file_is_there(const struct s3conf *conf, char **env)
{
    struct arena *a;
    bool is_there;

    if (conf->credentials_file[0])
        return true; /* a file that is named and missing is an error, not another source */
    a = arena_new(0);
    is_there = access(file_path(conf, env, a), R_OK) == 0;
    arena_free(a);
    return is_there;
}

static struct err *file_fetch(const struct s3conf *conf, char **env, const char *region,
                              struct arena *a, struct s3answer_role *ret)
{
    const char *path = file_path(conf, env, a),
               *profile = either(conf->profile, env, "AWS_PROFILE");
    struct s3profile p;
    struct buf b = {0};
    struct err *e = fsx_read(path, S3PROFILE_MAX_BYTES, &b);

    (void)region;
    if (!e)
        e = err_wrap(
            s3profile_parse(buf_slice(&b), slice_cstr(profile[0] ? profile : "default"), &p), "%s",
            path);
    if (!e)
        *ret =
            (struct s3answer_role){arena_dup(a, p.access), arena_dup(a, p.secret),
                                   arena_dup(a, p.token), clock_wall_ms(&clock_system) + FILE_MS};
    buf_done(&b);
    return e;
}

/* ---- over HTTP ---- */

/* A reply of status 200. What a refusal says may be secret in part, so only its code is told. */
static struct err *ask(const struct s3conf *conf, const struct http_client_req *req,
                       struct http_client_reply *ret)
{
    struct http_client_opts opts = {.ca_path = conf->ca_file[0] ? conf->ca_file : NULL,
                                    .is_insecure = conf->tls_insecure};
    struct s3answer_error refused;
    struct arena *a;
    struct err *e = http_client_blocking(&opts, req, ret);

    if (e || ret->status == 200)
        return e;
    a = arena_new(0);
    s3answer_error(a, buf_slice(&ret->body), &refused);
    e = err_new(ret->status >= 500 ? ERR_UNAVAILABLE : ERR_UNAUTHORIZED, "%.*s: status %d %.*s",
                (int)strcspn(req->url, "?"), req->url, ret->status, SLICE_ARG(refused.code));
    arena_free(a);
    http_client_reply_done(ret);
    return e;
}

static bool web_is_there(const struct s3conf *conf, char **env)
{
    return either(conf->token_file, env, "AWS_WEB_IDENTITY_TOKEN_FILE")[0] &&
           either(conf->role_arn, env, "AWS_ROLE_ARN")[0];
}

static const char *sts_url(const struct s3conf *conf, char **env, const char *region,
                           struct arena *a)
{
    const char *url = either(conf->sts_endpoint, env, "AWS_ENDPOINT_URL_STS");

    return url[0] ? url : arena_printf(a, "https://sts.%s.amazonaws.com", region);
}

static struct err *web_fetch(const struct s3conf *conf, char **env, const char *region,
                             struct arena *a, struct s3answer_role *ret)
{
    const char *session = s3cred_env(env, "AWS_ROLE_SESSION_NAME");
    struct http_client_reply reply;
    struct buf token = {0}, form = {0};
    struct err *e;

    if (!web_is_there(conf, env))
        return err_new(ERR_UNAUTHORIZED, "s3.role-arn or s3.web-identity-token-file is not set");
    if ((e = fsx_read(either(conf->token_file, env, "AWS_WEB_IDENTITY_TOKEN_FILE"), TOKEN_MAX_BYTES,
                      &token))) {
        buf_done(&token);
        return e;
    }
    buf_str(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    http_escape(slice_cstr(either(conf->role_arn, env, "AWS_ROLE_ARN")), &form);
    buf_str(&form, "&RoleSessionName=");
    http_escape(slice_cstr(session[0] ? session : "orrery"), &form);
    buf_str(&form, "&WebIdentityToken=");
    http_escape(slice_trim(buf_slice(&token)), &form);
    e = ask(conf,
            &(struct http_client_req){.url = arena_printf(a, "%s/", sts_url(conf, env, region, a)),
                                      .method = "POST",
                                      .content_type = "application/x-www-form-urlencoded",
                                      .body = buf_slice(&form),
                                      .max_response_bytes = REPLY_MAX_BYTES,
                                      .timeout_ms = STS_TIMEOUT_MS},
            &reply);
    if (!e) {
        e = s3answer_role(a, buf_slice(&reply.body), ret);
        http_client_reply_done(&reply);
    }
    buf_done(&token);
    buf_done(&form);
    return e;
}

static bool container_is_there(const struct s3conf *conf, char **env)
{
    (void)conf;
    return s3cred_env(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI")[0] ||
           s3cred_env(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")[0];
}

/* The header that opens the container's service, "" if it asks for none. */
static struct err *container_token(char **env, struct arena *a, const char **ret)
{
    const char *path = s3cred_env(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = s3cred_env(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct buf b = {0};
    struct err *e = NULL;

    if (path[0] && !(e = fsx_read(path, TOKEN_MAX_BYTES, &b)))
        token = arena_cstr(a, slice_trim(buf_slice(&b)));
    buf_done(&b);
    *ret = token[0] ? arena_printf(a, "Authorization: %s", token) : "";
    return e;
}

static struct err *container_fetch(const struct s3conf *conf, char **env, const char *region,
                                   struct arena *a, struct s3answer_role *ret)
{
    const char *url = s3cred_env(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), *header;
    struct http_client_reply reply;
    struct err *e;

    (void)region;
    if (!container_is_there(conf, env))
        return err_new(ERR_UNAUTHORIZED, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
    if (!url[0])
        url = arena_printf(a, CONTAINER_URL "%s",
                           s3cred_env(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    if ((e = container_token(env, a, &header)))
        return e;
    e = ask(conf,
            &(struct http_client_req){.url = url,
                                      .headers = &header,
                                      .header_count = header[0] ? 1 : 0,
                                      .max_response_bytes = REPLY_MAX_BYTES,
                                      .timeout_ms = NEAR_TIMEOUT_MS},
            &reply);
    if (!e) {
        e = s3answer_metadata(a, buf_slice(&reply.body), ret);
        http_client_reply_done(&reply);
    }
    return e;
}

/* ---- instance metadata, version 2 ---- */

/* The last one of auto: there unless it is switched off. */
static bool metadata_is_there(const struct s3conf *conf, char **env)
{
    (void)conf;
    return !slice_eq_nocase(slice_cstr(s3cred_env(env, "AWS_EC2_METADATA_DISABLED")),
                            SLICE("true"));
}

static struct err *metadata_get(const struct s3conf *conf, struct arena *a, const char *url,
                                const char *method, const char *header, struct slice *ret)
{
    struct http_client_reply reply;
    struct err *e = ask(conf,
                        &(struct http_client_req){.url = url,
                                                  .method = method,
                                                  .headers = &header,
                                                  .header_count = 1,
                                                  .max_response_bytes = REPLY_MAX_BYTES,
                                                  .timeout_ms = NEAR_TIMEOUT_MS},
                        &reply);

    if (e)
        return e;
    *ret = arena_dup(a, slice_trim(buf_slice(&reply.body)));
    http_client_reply_done(&reply);
    return NULL;
}

static struct err *metadata_fetch(const struct s3conf *conf, char **env, const char *region,
                                  struct arena *a, struct s3answer_role *ret)
{
    const char *base = either(conf->metadata_endpoint, env, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *roles, *header;
    struct slice token, names, role, json;
    struct err *e;

    (void)region;
    base = base[0] ? base : METADATA_URL;
    if ((e = metadata_get(conf, a, arena_printf(a, "%s/latest/api/token", base), "PUT",
                          "X-aws-ec2-metadata-token-ttl-seconds: 21600", &token)))
        return e;
    header = arena_printf(a, "X-aws-ec2-metadata-token: %.*s", SLICE_ARG(token));
    roles = arena_printf(a, "%s/latest/meta-data/iam/security-credentials/", base);
    if ((e = metadata_get(conf, a, roles, "GET", header, &names)))
        return e;
    if (!slice_split(&names, '\n', &role) || !role.len)
        return err_new(ERR_UNAUTHORIZED, "%s: the instance has no role", roles);
    if ((e = metadata_get(conf, a, arena_printf(a, "%s%.*s", roles, SLICE_ARG(role)), "GET", header,
                          &json)))
        return e;
    return s3answer_metadata(a, json, ret);
}

const struct s3cred_source s3cred_sources[] = {
    {S3CONF_STATIC, "static", static_is_there, static_fetch},
    {S3CONF_ENVIRONMENT, "environment", environment_is_there, environment_fetch},
    {S3CONF_WEB_IDENTITY, "web-identity", web_is_there, web_fetch},
    {S3CONF_FILE, "file", file_is_there, file_fetch},
    {S3CONF_CONTAINER, "container", container_is_there, container_fetch},
    {S3CONF_METADATA, "metadata", metadata_is_there, metadata_fetch},
};
const size_t s3cred_source_count = ORR_COUNT(s3cred_sources);
