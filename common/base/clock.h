/*
 * Time, injectable. State machines take a struct clock and never call the system.
 *
 * Wall time is Unix time and may step; mono never goes back and has no meaning outside the
 * process. Any thread for the system clock; the fake one belongs to its test.
 */
#pragma once
#include "common/base/attr.h"

#define NS_PER_US 1000ll
#define NS_PER_MS 1000000ll
#define NS_PER_S 1000000000ll
#define MS_PER_S 1000ll

/* Rounded down, times before 1970, too. */
static inline int64_t clock_ms_of_ns(int64_t ns)
{
    return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

struct clock {
    int64_t (*wall_ns)(const struct clock *c);
    int64_t (*mono_ns)(const struct clock *c);
};

extern const struct clock clock_system;

static inline int64_t clock_wall_ns(const struct clock *c)
{
    return c->wall_ns(c);
}
static inline int64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ns(c) / NS_PER_MS;
}
static inline int64_t clock_mono_ns(const struct clock *c)
{
    return c->mono_ns(c);
}
static inline int64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ns(c) / NS_PER_MS;
}

/* A clock that stands still until it is moved; wall and mono move apart for steps. */
struct clock_fake {
    struct clock clock;
    int64_t wall, mono;
};
void clock_fake_init(struct clock_fake *f, int64_t wall_ns);
void clock_fake_advance(struct clock_fake *f, int64_t ns); /* both */
void clock_fake_step(struct clock_fake *f, int64_t ns);    /* wall only */
