/*
 * Calls per second at 16 bytes and bytes per second at 1 MiB, plain and sealed, over loopback tcp
 * and inproc, beside what memcpy does on the same machine.
 *
 *     rpc_bench [seconds per case]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

struct bench {
    struct loop *loop;
    struct rpc_peer *peer;
    struct slice payload;
    int64_t until_ns;
    uint64_t calls, errors;
    int inflight;
};

static void handle(void *arg, struct rpc_call *call)
{
    (void)arg;
    rpc_reply(call, SLICE("0123456789abcdef"));
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e);

static void call_one(struct bench *b)
{
    b->inflight++;
    rpc_call(b->peer, &(struct rpc_call_opts){.method = "x"}, b->payload, on_reply, b, NULL);
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct bench *b = arg;

    (void)payload, (void)is_last;
    b->calls++;
    b->errors += e != NULL;
    b->inflight--;
    if (clock_mono_ns(&clock_system) < b->until_ns && !e)
        call_one(b);
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "rpc_bench: %s\n", err_msg(e));
    exit(1);
}

static void run(const char *address, bool is_sealed, size_t bytes, int inflight, double seconds)
{
    static const char *const keys[] = {KEY};
    struct seal_keyring *k = NULL;
    struct loop *server_loop;
    struct rpc_server *server;
    struct rpc_pool *pool;
    struct bench b = {0};
    uint8_t *payload = mem_zalloc(bytes);
    int64_t start;
    double took;

    if (is_sealed)
        must(seal_keyring_new(keys, 1, &k));
    must(loop_new("server", &server_loop));
    must(loop_new("client", &b.loop));
    must(rpc_server_new(
        &(struct rpc_server_opts){.loop = server_loop, .address = address, .keyring = k}, &server));
    rpc_server_handle(server, "x", handle, NULL);
    rpc_server_start(server);
    must(loop_start(server_loop));
    must(rpc_pool_new(&(struct rpc_pool_opts){.loop = b.loop, .keyring = k}, &pool));
    b.peer = rpc_pool_peer(pool, rpc_server_address(server));
    b.payload = slice_of(payload, bytes);
    while (!rpc_peer_is_up(b.peer))
        loop_run_once(b.loop, 10);
    start = clock_mono_ns(&clock_system);
    b.until_ns = start + (int64_t)(seconds * (double)NS_PER_S);
    for (int i = 0; i < inflight; i++)
        call_one(&b);
    while (b.inflight > 0)
        loop_run_once(b.loop, 10);
    took = (double)(clock_mono_ns(&clock_system) - start) / (double)NS_PER_S;
    printf("%-8s %-6s %8zu B x %3d in flight: %9.0f calls/s %9.1f MB/s %llu errors\n",
           strncmp(address, "inproc", 6) == 0 ? "inproc" : "tcp", is_sealed ? "sealed" : "plain",
           bytes, inflight, (double)b.calls / took, (double)b.calls * (double)bytes / took / 1e6,
           (unsigned long long)b.errors);
    rpc_pool_free(pool);
    loop_free(b.loop);
    loop_join(server_loop);
    rpc_server_free(server);
    loop_free(server_loop);
    seal_keyring_unref(k);
    mem_free(payload);
}

static void run_memcpy(double seconds)
{
    size_t bytes = 1 << 20, rounds = 0;
    uint8_t *a = mem_zalloc(bytes), *b = mem_zalloc(bytes);
    int64_t start = clock_mono_ns(&clock_system), end;

    do {
        memcpy(a, b, bytes);
        __asm__ volatile("" : : "r"(a) : "memory");
        rounds++;
        end = clock_mono_ns(&clock_system);
    } while ((double)(end - start) < seconds * (double)NS_PER_S);
    printf("memcpy 1 MiB: %.1f MB/s\n",
           (double)rounds * (double)bytes / ((double)(end - start) / (double)NS_PER_S) / 1e6);
    mem_free(a);
    mem_free(b);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;

    run_memcpy(seconds / 4);
    for (int is_inproc = 0; is_inproc < 2; is_inproc++) {
        for (int is_sealed = 0; is_sealed < 2 - is_inproc; is_sealed++) {
            const char *address = is_inproc ? "inproc://bench" : "127.0.0.1:0";

            run(address, is_sealed, 16, 1, seconds);
            run(address, is_sealed, 16, 100, seconds);
            run(address, is_sealed, 1 << 20, 4, seconds);
        }
    }
    return 0;
}
