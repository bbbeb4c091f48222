#include "common/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *checked(void *p)
{
    if (ORR_UNLIKELY(!p)) {
        static const char text[] = "out of memory\n";

        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        abort();
    }
    return p;
}

void *mem_alloc(size_t bytes)
{
    return checked(malloc(bytes ? bytes : 1));
}

void *mem_zalloc(size_t bytes)
{
    return checked(calloc(1, bytes ? bytes : 1));
}

void *mem_calloc(size_t n, size_t each)
{
    return checked(calloc(n ? n : 1, each ? each : 1));
}

void *mem_realloc(void *p, size_t bytes)
{
    return checked(realloc(p, bytes ? bytes : 1));
}

void *mem_reallocarray(void *p, size_t n, size_t each)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, each, &bytes))
        return checked(NULL);
    return mem_realloc(p, bytes);
}

void *mem_aligned(size_t align, size_t bytes)
{
    void *p = NULL;

    if (posix_memalign(&p, align, bytes ? bytes : 1))
        p = NULL;
    return checked(p);
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    return s ? checked(strdup(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n)
{
    return checked(strndup(s, n));
}

char *mem_dup(const void *p, size_t n)
{
    char *copy = mem_alloc(n + 1);

    if (n)
        memcpy(copy, p, n);
    copy[n] = 0;
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;

    va_start(ap, fmt);
    if (vasprintf(&s, fmt, ap) < 0)
        s = NULL;
    va_end(ap);
    return checked(s);
}

/*
 * For jemalloc, where it is linked in. An arena for each core and not four: what threads free of pages and buffers (64 KiB to some MiB) is
 * used again by the others, and goes back to the system a second later. Measured: a querier with 82 MB in use held
 * 330 MB, and with this 180.
 */
extern const char *malloc_conf;
const char *malloc_conf = "percpu_arena:percpu,dirty_decay_ms:1000";

/* Weak: present only where jemalloc is linked in. */
__attribute__((weak)) int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp,
                                  size_t newlen);

size_t mem_allocated_bytes(void)
{
    size_t allocated = 0, len = sizeof(allocated);
    uint64_t epoch = 1;
    size_t epoch_len = sizeof(epoch);

    if (!mallctl)
        return 0;
    (void)mallctl("epoch", &epoch, &epoch_len, &epoch, epoch_len); /* refreshes the statistics */
    if (mallctl("stats.allocated", &allocated, &len, NULL, 0))
        return 0;
    return allocated;
}

static uint64_t read_limit_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char text[64];
    uint64_t v = 0;

    if (!f)
        return 0;
    if (fgets(text, sizeof(text), f) && text[0] >= '0' && text[0] <= '9')
        v = strtoull(text, NULL, 10); /* "max" stays 0: no limit */
    fclose(f);
    return v;
}

/* The process's own cgroup v2 directory, or the root of the mount a container sees. */
static uint64_t cgroup_limit(void)
{
    uint64_t limit = read_limit_file("/sys/fs/cgroup/memory.max");
    FILE *f;
    char line[512];

    if (limit)
        return limit;
    limit = read_limit_file("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    if ((f = fopen("/proc/self/cgroup", "re"))) {
        while (!limit && fgets(line, sizeof(line), f)) {
            if (strncmp(line, "0::", 3) == 0) {
                char *path;

                line[strcspn(line, "\n")] = 0;
                path = mem_printf("/sys/fs/cgroup%s/memory.max", line + 3);
                limit = read_limit_file(path);
                mem_free(path);
            }
        }
        fclose(f);
    }
    return limit;
}

uint64_t mem_limit_bytes(void)
{
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = cgroup_limit();

    return limit && limit < physical ? limit : physical;
}
