#include "common/base/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_wall(const struct clock *c)
{
    (void)c;
    return read_ns(CLOCK_REALTIME);
}

static int64_t system_mono(const struct clock *c)
{
    (void)c;
    return read_ns(CLOCK_MONOTONIC);
}

const struct clock clock_system = {system_wall, system_mono};

static int64_t fake_wall(const struct clock *c)
{
    return ((const struct clock_fake *)c)->wall;
}

static int64_t fake_mono(const struct clock *c)
{
    return ((const struct clock_fake *)c)->mono;
}

void clock_fake_init(struct clock_fake *f, int64_t wall_ns)
{
    *f = (struct clock_fake){{fake_wall, fake_mono}, wall_ns, NS_PER_S};
}

void clock_fake_advance(struct clock_fake *f, int64_t ns)
{
    f->wall += ns;
    f->mono += ns;
}

void clock_fake_step(struct clock_fake *f, int64_t ns)
{
    f->wall += ns;
}
