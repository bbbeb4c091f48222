/*
 * What the machine can do: the physical limits that the other figures stand beside. Prints one JSON
 * object: fdatasync calls per second after writes of 4 KiB, sequential synced write speed, memory
 * copy speed. Usage: limits_bench DIR
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_mono_ns(&clock_system) - start_ns) / 1e9;
}

static int scratch_file(const char *dir)
{
    char *path = mem_printf("%s/limits.tmp", dir);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        perror(path);
        exit(1);
    }
    (void)unlink(path);
    mem_free(path);
    return fd;
}

static double syncs_per_second(const char *dir)
{
    static char page[4096];
    int fd = scratch_file(dir), n = 0;
    int64_t start = clock_mono_ns(&clock_system);

    (void)posix_fallocate(fd, 0, 64 << 20);
    while (seconds_since(start) < 1) {
        if (pwrite(fd, page, sizeof(page), (off_t)n * 4096 % (64 << 20)) != (ssize_t)sizeof(page) ||
            fdatasync(fd))
            exit(1);
        n++;
    }
    (void)close(fd);
    return n / seconds_since(start);
}

static double write_bytes_per_second(const char *dir)
{
    size_t n = 4 << 20, total = 0;
    char *block = mem_zalloc(n);
    int fd = scratch_file(dir);
    int64_t start = clock_mono_ns(&clock_system);

    while (seconds_since(start) < 1) {
        if (write(fd, block, n) != (ssize_t)n || fdatasync(fd))
            exit(1);
        total += n;
    }
    (void)close(fd);
    mem_free(block);
    return (double)total / seconds_since(start);
}

static double copy_bytes_per_second(void)
{
    size_t n = 64 << 20, total = 0;
    char *from = mem_alloc(n), *to = mem_alloc(n);
    int64_t start;

    memset(from, 1, n);
    memset(to, 2, n);
    start = clock_mono_ns(&clock_system);
    while (seconds_since(start) < 1) {
        memcpy(to, from, n);
        __asm__ volatile("" ::"r"(to) : "memory"); /* the copy must not be left out */
        total += n;
    }
    mem_free(from);
    mem_free(to);
    return (double)total / seconds_since(start);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/tmp";

    printf("{\"fdatasyncs_per_s\": %.0f, \"synced_write_mb_per_s\": %.0f, \"memcpy_gb_per_s\": "
           "%.2f}\n",
           syncs_per_second(dir), write_bytes_per_second(dir) / 1e6, copy_bytes_per_second() / 1e9);
    return 0;
}
