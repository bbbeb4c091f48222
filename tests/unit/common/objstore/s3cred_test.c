#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/gotime.h"
#include "common/net/http_server.h"
#include "common/objstore/s3cred.c" /* its next fetch is put forward */
#include "tests/unit/test.h"

/* ---- the services that give credentials ---- */

static struct loop *loop;
static struct http_server *srv;
static _Atomic int asked, status = 200;
static _Atomic int64_t lives_ms = 3600 * 1000;

static struct slice expiry(struct arena *a)
{
    struct gotime t = gotime_of_ms(clock_wall_ms(&clock_system) + lives_ms, NULL);
    struct buf b = {0};
    struct slice s;

    gotime_format(&b, &t, SLICE(GOTIME_RFC3339));
    s = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return s;
}

static void reply_json(struct http_request *r, const char *who)
{
    asked++;
    http_reply(r, status, HTTP_JSON,
               slice_cstr(arena_printf(
                   r->arena,
                   "{\"Code\":\"Success\",\"AccessKeyId\":\"%s-%d\","
                   "\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"%.*s\"}",
                   who, (int)asked, SLICE_ARG(expiry(r->arena)))));
}

static void on_sts(struct http_request *r)
{
    asked++;
    CHECK(slice_eq(
        r->body,
        SLICE("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Arole"
              "&RoleSessionName=orrery&WebIdentityToken=ey.J%2B")));
    if (status != 200) {
        http_reply(r, status, NULL,
                   SLICE("<ErrorResponse><Error><Code>AccessDenied</Code><Message>ey.J+ is bad"
                         "</Message></Error></ErrorResponse>"));
        return;
    }
    http_reply(
        r, 200, NULL,
        slice_cstr(arena_printf(
            r->arena,
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            "<AccessKeyId>sts-%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            "<SessionToken>t</SessionToken><Expiration>%.*s</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            (int)asked, SLICE_ARG(expiry(r->arena)))));
}

static void on_token(struct http_request *r)
{
    CHECK(http_request_header(r, "x-aws-ec2-metadata-token-ttl-seconds").len);
    http_reply(r, 200, NULL, SLICE("imds-token"));
}

static void on_role(struct http_request *r)
{
    CHECK(slice_eq(http_request_header(r, "x-aws-ec2-metadata-token"), SLICE("imds-token")));
    if (slice_has_suffix(r->path, SLICE("credentials/")))
        http_reply(r, 200, NULL, SLICE("the-role\n"));
    else if (slice_has_suffix(r->path, SLICE("/the-role")))
        reply_json(r, "imds");
    else
        http_reply(r, 404, NULL, SLICE_EMPTY);
}

static void on_container(struct http_request *r)
{
    CHECK(slice_eq(http_request_header(r, "authorization"), SLICE("let-me-in")));
    reply_json(r, "container");
}

static const struct http_route routes[] = {
    {.methods = HTTP_POST, .pattern = "/", .handler = on_sts},
    {.methods = HTTP_PUT, .pattern = "/latest/api/token", .handler = on_token},
    {.methods = HTTP_GET,
     .pattern = "/latest/meta-data/iam/security-credentials/*",
     .handler = on_role},
    {.methods = HTTP_GET, .pattern = "/container", .handler = on_container}};

static void start(void)
{
    asked = 0;
    status = 200;
    lives_ms = 3600 * 1000;
    CHECK_OK(loop_new("cred", &loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, &loop, 1, &srv));
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(srv, &routes[i]);
    CHECK_OK(http_server_listen(srv));
    CHECK_OK(loop_start(loop));
}

static void stop(void)
{
    loop_join(loop);
    http_server_free(srv);
    loop_free(loop);
}

/* ---- one source ---- */

struct held {
    struct conf *conf;
    struct s3cred *cred;
};

static struct held hold(const char *yaml, const char *const *env)
{
    static const struct conf_section *const sections[] = {&s3conf_section};
    struct conf_source src = {.sections = sections, .section_count = 1};
    char *text = mem_printf("s3: {bucket: abc%s}\n", yaml);
    struct held h;

    CHECK_OK(conf_load_text(&src, "test", slice_cstr(text), &h.conf));
    h.cred = s3cred_new(conf_section(h.conf, "s3"), (char **)(uintptr_t)env, "us-east-1");
    mem_free(text);
    return h;
}

static void let_go(struct held h)
{
    s3cred_free(h.cred);
    conf_unref(h.conf);
}

static void check_keys(struct held h, const char *access, const char *token, const char *source)
{
    struct arena *a = arena_new(0);
    struct s3cred_keys k;

    CHECK_OK(s3cred_get(h.cred, a, &k));
    CHECK_SLICE(k.access, access);
    CHECK_SLICE(k.token, token);
    CHECK(k.secret.len);
    CHECK_STR(s3cred_source(h.cred), source);
    arena_free(a);
}

static void check_none(struct held h, enum err_code code, const char *why)
{
    struct arena *a = arena_new(0);
    struct s3cred_keys k;

    CHECK_ERR(s3cred_get(h.cred, a, &k), code, why);
    arena_free(a);
}

/* Of the server above. */
static char *at(const char *variable, const char *path)
{
    return mem_printf("%s=http://127.0.0.1:%u%s", variable, http_server_port(srv), path);
}

TEST(s3cred_takes_the_first_source_that_is_set_up)
{
    const char *env[] = {"AWS_ACCESS_KEY_ID=E", "AWS_SECRET_ACCESS_KEY=e", "AWS_SESSION_TOKEN=et",
                         "AWS_EC2_METADATA_DISABLED=true", NULL};
    const char *none[] = {"AWS_EC2_METADATA_DISABLED=true", "HOME=/nowhere", NULL};
    struct held h = hold(", access-key: S, secret-key: s", env);

    check_keys(h, "S", "", "static");
    let_go(h);
    h = hold("", env);
    check_keys(h, "E", "et", "environment");
    let_go(h);
    h = hold("", none);
    check_none(h, ERR_UNAUTHORIZED, "none of");
    let_go(h);
    h = hold(", credentials: environment", none);
    check_none(h, ERR_UNAUTHORIZED, "AWS_ACCESS_KEY_ID");
    let_go(h);
}

TEST(s3cred_reads_the_shared_file)
{
    char *home = mem_printf("HOME=%s", tmp_path("")), *line;
    const char *env[] = {home, "AWS_PROFILE=mine", NULL};
    struct held h;

    CHECK_OK(fsx_mkdirs(tmp_path(".aws")));
    CHECK_OK(fsx_write_atomic(tmp_path(".aws/credentials"),
                              SLICE("[mine]\naws_access_key_id=F\naws_secret_access_key=f\n")));
    h = hold("", env);
    check_keys(h, "F", "", "file");
    let_go(h);
    h = hold(", profile: other", env);
    check_none(h, ERR_UNAUTHORIZED, "other");
    let_go(h);
    line = mem_printf(", credentials-file: %s", tmp_path("absent"));
    h = hold(line, env);
    check_none(h, ERR_UNAUTHORIZED, "absent");
    let_go(h);
    mem_free(line);
    mem_free(home);
}

TEST(s3cred_assumes_a_role_with_a_web_identity)
{
    char *token, *url;
    const char *env[4] = {"AWS_ROLE_ARN=arn:aws:role"};
    struct arena *a = arena_new(0);
    struct s3cred_keys k;
    struct held h;
    struct err *e;

    start();
    CHECK_OK(fsx_write_atomic(tmp_path("token"), SLICE("ey.J+\n")));
    env[1] = token = mem_printf("AWS_WEB_IDENTITY_TOKEN_FILE=%s", tmp_path("token"));
    env[2] = url = at("AWS_ENDPOINT_URL_STS", "");
    h = hold("", env);
    check_keys(h, "sts-1", "t", "web-identity");
    check_keys(h, "sts-1", "t", "web-identity"); /* kept */
    CHECK_INT(asked, 1);
    let_go(h);
    status = 403;
    h = hold("", env);
    e = s3cred_get(h.cred, a, &k);
    CHECK(err_is(e, ERR_UNAUTHORIZED) && strstr(err_msg(e), "AccessDenied"));
    CHECK(!strstr(err_msg(e), "ey.J")); /* the token is in the server's message */
    err_free(e);
    CHECK_INT(asked, 2);
    check_none(h, ERR_UNAUTHORIZED, "AccessDenied");
    CHECK_INT(asked, 2); /* not at once again */
    let_go(h);
    stop();
    arena_free(a);
    mem_free(token);
    mem_free(url);
}

TEST(s3cred_asks_the_instance_and_the_container)
{
    char *imds, *uri;
    const char *env[] = {NULL, NULL, NULL, NULL};
    struct held h;

    start();
    env[0] = "HOME=/nowhere";
    env[1] = imds = at("AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
    h = hold("", env);
    check_keys(h, "imds-1", "t", "metadata");
    let_go(h);
    env[1] = uri = at("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/container");
    env[2] = "AWS_CONTAINER_AUTHORIZATION_TOKEN=let-me-in";
    h = hold("", env);
    check_keys(h, "container-2", "t", "container");
    let_go(h);
    status = 500;
    h = hold("", env);
    check_none(h, ERR_UNAVAILABLE, "500");
    let_go(h);
    stop();
    mem_free(imds);
    mem_free(uri);
}

TEST(s3cred_goes_on_with_what_it_has)
{
    char *uri;
    const char *env[] = {NULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=let-me-in", NULL};
    struct arena *a = arena_new(0);
    struct s3cred_keys k;
    struct held h;

    start();
    env[0] = uri = at("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/container");
    lives_ms = 120 * 1000; /* to be fetched again at once, but still good */
    h = hold("", env);
    check_keys(h, "container-1", "t", "container");
    check_keys(h, "container-1", "t", "container");
    CHECK_INT(asked, 1); /* every 5 seconds at most */
    CHECK_OK(s3cred_get(h.cred, a, &k));
    s3cred_reject(h.cred, k.generation + 1); /* of other keys */
    s3cred_reject(h.cred, k.generation);
    check_keys(h, "container-1", "t", "container"); /* the same bound */
    let_go(h);
    stop();
    arena_free(a);
    mem_free(uri);
}

TEST(s3cred_fetches_again_what_was_refused)
{
    char *uri;
    const char *env[] = {NULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=let-me-in", NULL};
    struct arena *a = arena_new(0);
    struct s3cred_keys old, now;
    struct held h;

    start();
    env[0] = uri = at("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/container");
    h = hold("", env);
    CHECK_OK(s3cred_get(h.cred, a, &old));
    h.cred->next_fetch_ms = 0; /* as 5 seconds later */
    check_keys(h, "container-1", "t", "container");
    s3cred_reject(h.cred, old.generation);
    CHECK_OK(s3cred_get(h.cred, a, &now));
    CHECK_SLICE(now.access, "container-2");
    CHECK(now.generation != old.generation);
    check_keys(h, "container-2", "t", "container");
    CHECK_INT(asked, 2);
    let_go(h);
    stop();
    arena_free(a);
    mem_free(uri);
}
