/*
 * Time intervals of Alertmanager's configuration: when routes are muted or active.
 *
 *   times:         [{start_time: '09:00', end_time: '17:00'}]   end exclusive, up to 24:00
 *   weekdays:      ['monday:friday', saturday]
 *   days_of_month: ['1:5', '-3:-1']                              negative: from the end
 *   months:        [january:march, 11]
 *   years:         ['2020:2022']
 *   location:      Europe/Berlin                                 UTC if absent
 *
 * All members that are there must hold; of each, one range. Immutable once parsed: any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/gozone.h"
#include "common/base/yaml.h"

struct timeint_range {
    int begin, end; /* both included; for times, minutes of the day, end excluded */
};
struct timeint_ranges {
    struct timeint_range *ptr;
    size_t n;
    bool is_set; /* an empty list never holds, an absent one always */
};
struct timeint {
    struct timeint_ranges times, weekdays, days, months, years;
    struct gozone *zone; /* NULL: UTC */
};
struct timeint_list {
    struct timeint *ptr;
    size_t n;
};

/* From a sequence node; name is the file's, for messages. */
ORR_CHECKED struct err *timeint_parse(struct arena *a, const char *name,
                                      const struct yaml_node *node, struct timeint_list *ret);
void timeint_list_done(struct timeint_list *l);
/* Whether any of them holds. */
bool timeint_contains(const struct timeint_list *l, int64_t unix_s);
