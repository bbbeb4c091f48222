/* What a live server does when strangers connect: nothing they send may end the process, reach a
 * handler, or stop it from answering its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/rpc/frame.h"
#include "tests/unit/common/rpc/rpc_fixture.h"

static int dial(const struct rig *rig)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(rig->address, ':') + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0);
    return fd;
}

/* Sends what it can; the server may hang up at any time. */
static void throw_at(int fd, const void *bytes, size_t n)
{
    (void)!send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static const uint8_t sp_hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0}; /* REQ */

static void throw_message(int fd, uint64_t claimed, const void *bytes, size_t n)
{
    uint8_t head[8];

    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)(claimed >> (56 - 8 * i));
    throw_at(fd, head, sizeof(head));
    throw_at(fd, bytes, n);
}

static void check_alive(struct rig *rig)
{
    struct got g = call_and_wait(rig, "echo", SLICE("still there"));

    CHECK_INT(g.code, 0);
    CHECK(strcmp(g.text, "still there") == 0);
}

static void garbage(struct rig *rig, bool has_sp_hello)
{
    struct rng rng;
    uint8_t bytes[4096];

    rng_seed(&rng, 7);
    for (int round = 0; round < 100; round++) {
        int fd = dial(rig);

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)rng_u32(&rng);
        if (has_sp_hello)
            throw_at(fd, sp_hello, sizeof(sp_hello));
        throw_at(fd, bytes, 1 + (size_t)rng_below(&rng, sizeof(bytes)));
        close(fd);
    }
    check_alive(rig);
}

TEST(rpc_survives_garbage)
{
    struct rig rig;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    check_alive(&rig);
    garbage(&rig, false);
    garbage(&rig, true);
    CHECK_INT(rig.handled, 3);
    rig_down(&rig);
}

TEST(rpc_survives_half_messages_and_giant_lengths)
{
    static const uint64_t lengths[] = {
        0,         1,         3, 4, 5, 100, FRAME_MAX_BYTES, 1u << 20, 1u << 31, UINT64_C(1) << 40,
        INT64_MAX, UINT64_MAX};
    struct rig rig;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    for (size_t i = 0; i < ORR_COUNT(lengths); i++) {
        for (size_t n = 0; n <= 64; n += 16) {
            uint8_t bytes[64] = {0x80};
            int fd = dial(&rig);

            throw_at(fd, sp_hello, sizeof(sp_hello));
            throw_message(fd, lengths[i], bytes, n);
            close(fd);
        }
    }
    check_alive(&rig);
    rig_down(&rig);
}

TEST(rpc_survives_wrong_sp_headers_and_connections_that_hang)
{
    enum { N = 200 };
    int fds[N];
    struct rig rig;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    for (int i = 0; i < N; i++) {
        uint8_t hello[8];

        memcpy(hello, sp_hello, sizeof(hello));
        hello[i % 8] ^= (uint8_t)(i / 8 + 1);
        fds[i] = dial(&rig);
        throw_at(fds[i], hello, (size_t)i % 9); /* none, part or all of it, then silence */
    }
    check_alive(&rig);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    check_alive(&rig);
    rig_down(&rig);
}

static size_t frame_of(uint8_t *out, enum frame_type type, bool is_sealed, uint64_t session,
                       const void *body, size_t n)
{
    frame_head_put(&(struct frame_head){.type = type, .is_sealed = is_sealed, .session = session},
                   out + 4);
    memcpy(out, (const uint8_t[]){0x80, 0, 0, 1}, 4); /* request id of REQ */
    memcpy(out + 4 + FRAME_HEAD_BYTES, body, n);
    return 4 + FRAME_HEAD_BYTES + n;
}

/* Frames that look like ours from somebody without the key, many, and none of the answers read. */
static void forge(struct rig *rig, bool is_sealed)
{
    uint8_t body[512] = {2, 0, 8, 3}, frame[1024];
    struct rng rng;
    int fd = dial(rig);

    rng_seed(&rng, 11);
    throw_at(fd, sp_hello, sizeof(sp_hello));
    for (int i = 0; i < 3000; i++) {
        enum frame_type type = (enum frame_type)(1 + i % 5);
        size_t n = frame_of(frame, type, is_sealed, (uint64_t)(i % 3), body,
                            (size_t)rng_below(&rng, sizeof(body)));

        throw_message(fd, n, frame, n);
        if (i % 2)
            body[rng_below(&rng, sizeof(body))] = (uint8_t)rng_u32(&rng);
    }
    check_alive(rig);
    close(fd);
    check_alive(rig);
}

TEST(rpc_survives_a_flood_of_forged_frames)
{
    struct rig rig;
    uint64_t before = rpc_metric.refused;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    forge(&rig, true);
    forge(&rig, false);
    CHECK_INT(rig.handled, 4); /* ours */
    CHECK(rpc_metric.refused > before);
    rig_down(&rig);
    rig_up(&rig, "127.0.0.1:0", NULL);
    forge(&rig, true);
    forge(&rig, false);
    rig_down(&rig);
}

/* A client that has the protocol right up to the greeting, without keys, then breaks it. */
TEST(rpc_survives_a_greeted_client_that_breaks_the_protocol)
{
    struct rig rig;
    struct rng rng;

    rng_seed(&rng, 13);
    rig_up(&rig, "127.0.0.1:0", NULL);
    for (int round = 0; round < 200; round++) {
        static const uint8_t hello[] = {[SEAL_RANDOM_BYTES] = 2, 0, 0x08, 1};
        uint8_t frame[1024], in[256], body[64];
        struct frame_head h;
        int fd = dial(&rig);
        struct pollfd p = {fd, POLLIN, 0};
        size_t n = frame_of(frame, FRAME_HELLO, false, 0, hello, sizeof(hello)), got = 0;
        size_t want = 8 + 8 + 4 + FRAME_HEAD_BYTES;

        throw_at(fd, sp_hello, sizeof(sp_hello));
        throw_message(fd, n, frame, n);
        while (got < want && poll(&p, 1, PATIENCE_MS) == 1) {
            ssize_t more = recv(fd, in + got, sizeof(in) - got, 0);

            CHECK(more > 0);
            got += (size_t)more;
        }
        CHECK(frame_head_get(slice_of(in + 8 + 8 + 4, FRAME_HEAD_BYTES), &h));
        CHECK_INT(h.type, FRAME_WELCOME);
        for (size_t i = 0; i < sizeof(body); i++)
            body[i] = (uint8_t)rng_u32(&rng);
        body[0] = (uint8_t)rng_below(&rng, 12);
        body[1] = 0;
        body[2] = 0x08;
        body[3] = (uint8_t)rng_below(&rng, 12);
        body[4] = 0x10; /* id */
        body[5] = 5;
        body[6] = 0x20; /* total_bytes */
        n = frame_of(frame, FRAME_DATA, false, h.session, body, sizeof(body));
        frame[4 + 16] = 1; /* sequence number */
        throw_message(fd, n, frame, n);
        frame[4 + 16] = (uint8_t)(2 + round % 2);
        throw_message(fd, n, frame, n);
        close(fd);
    }
    check_alive(&rig);
    rig_down(&rig);
}

/* ---- keys ---- */

static VEC(char) logged;

static void keep_log(void *arg, struct slice line)
{
    (void)arg;
    for (size_t i = 0; i < line.len; i++)
        vec_push(&logged, (char)line.ptr[i]);
}

static enum err_code call_with_keys(const char *server_key, const char *server_second,
                                    const char *client_key, char text[256])
{
    struct rig rig = {0};
    struct got g;

    server_up_with(&rig, "127.0.0.1:0", keyring_of(server_key, server_second), 0);
    pool_up_with(&rig, keyring_of(client_key, NULL), (struct rpc_pool_opts){0});
    g = call_and_wait(&rig, "echo", SLICE("hi"));
    CHECK_INT(rig.handled, g.code == 0);
    memcpy(text, g.text, 256);
    rig_down(&rig);
    return g.code;
}

TEST(rpc_keeps_strangers_out_and_says_why)
{
    uint64_t before = rpc_metric.seal_failures;
    char text[256];

    log_set_sink(keep_log, NULL);
    CHECK_INT(call_with_keys(KEY_A, NULL, KEY_B, text), ERR_UNAUTHORIZED);
    CHECK(strstr(text, "peer does not share our cluster key"));
    CHECK(rpc_metric.seal_failures > before);
    CHECK_INT(call_with_keys(KEY_A, NULL, NULL, text), ERR_UNAUTHORIZED);
    CHECK(strstr(text, "we have no cluster key"));
    CHECK_INT(call_with_keys(NULL, NULL, KEY_A, text), ERR_UNAUTHORIZED);
    CHECK(strstr(text, "peer has no cluster key"));
    CHECK_INT(call_with_keys(KEY_A, KEY_B, KEY_B, text), 0); /* all keys open */
    log_set_sink(NULL, NULL);
    vec_push(&logged, 0);
    CHECK(strstr(logged.ptr, "peer does not share our cluster key"));
    CHECK(!strstr(logged.ptr, KEY_A) && !strstr(logged.ptr, KEY_B));
    vec_done(&logged);
}

TEST(rpc_rotates_its_key_without_an_error)
{
    struct rig rig = {0};
    struct seal_keyring *server = keyring_of(KEY_A, NULL), *client = keyring_of(KEY_A, NULL);
    const char *both[] = {KEY_A, KEY_B}, *new_first[] = {KEY_B, KEY_A};
    int failures = 0;

    server_up_with(&rig, "127.0.0.1:0", seal_keyring_ref(server), 0);
    pool_up_with(&rig, seal_keyring_ref(client), (struct rpc_pool_opts){0});
    check_alive(&rig);
    CHECK_OK(seal_keyring_set(server, both, 2));
    CHECK_OK(seal_keyring_set(client, both, 2));
    check_alive(&rig);
    CHECK_OK(seal_keyring_set(server, new_first, 2));
    CHECK_OK(seal_keyring_set(client, new_first, 2));
    check_alive(&rig);
    /* Gone is gone: the connection made under the old key is replaced by one under the new. */
    CHECK_OK(seal_keyring_set(client, new_first, 1));
    WAIT_FOR(rig.loop, !rpc_peer_is_up(rig.peer));
    WAIT_FOR(rig.loop, rpc_peer_is_up(rig.peer));
    CHECK_OK(seal_keyring_set(server, new_first, 1));
    for (int i = 0; i < 20; i++)
        failures += call_and_wait(&rig, "echo", SLICE("x")).code != 0;
    CHECK_INT(failures, 0);
    rig_down(&rig);
    seal_keyring_unref(server);
    seal_keyring_unref(client);
}
