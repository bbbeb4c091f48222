/*
 * Tells the queriers of late samples (common/model/late_writes.h): at most once a round and tenant.
 *
 * Bounded: LATE_NEWS_TENANTS are remembered as told, then all are forgotten, which costs some news said twice.
 *
 * Any loop; one lock, taken only for pushes that are late.
 */
#pragma once
#include "common/ring/membership.h"
#include "ingester/push.h"

#define LATE_NEWS_TENANTS 10000

struct late_news;
struct late_news *late_news_new(struct membership *ms);
void late_news_free(struct late_news *n); /* NULL is allowed */
/* A push whose samples may have been stored. */
void late_news_look(struct late_news *n, const struct push *p);
