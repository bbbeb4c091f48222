#include "ingester/door/drained.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"

struct err *drained_init(struct drained *d)
{
    d->left = 0;
    d->fd = eventfd(0, EFD_CLOEXEC);
    return d->fd < 0 ? err_errno(ERR_IO, "eventfd") : NULL;
}

void drained_done(struct drained *d)
{
    if (d->fd >= 0)
        (void)close(d->fd);
    d->fd = -1;
}

void drained_expect(struct drained *d, size_t n)
{
    atomic_store(&d->left, n);
    if (n == 0)
        (void)eventfd_write(d->fd, 1);
}

void drained_more(struct drained *d)
{
    (void)atomic_fetch_add(&d->left, 1);
}

void drained_one(void *arg)
{
    struct drained *d = arg;

    if (atomic_fetch_sub(&d->left, 1) == 1)
        (void)eventfd_write(d->fd, 1);
}

bool drained_wait(struct drained *d, int64_t timeout_ms)
{
    /* Not by left: the last one has yet to write when it is 0 already. */
    struct pollfd fd = {d->fd, POLLIN, 0};
    int64_t until_ms = clock_mono_ms(&clock_system) + timeout_ms, left_ms = timeout_ms;
    int n;

    while ((n = poll(&fd, 1, (int)left_ms)) < 0 && errno == EINTR)
        left_ms = ORR_MAX(until_ms - clock_mono_ms(&clock_system), 0);
    return n == 1;
}
