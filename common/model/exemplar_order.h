/*
 * Which exemplar of a series may follow which: Prometheus takes one whose time is later, or the
 * same with a greater value, or both the same with labels of a greater hash (XXH64 of its own label
 * bytes: name and value one after the other, each with a length of one byte, or 255 and three
 * bytes). One that is the same in all three is a repetition.
 *
 * Any thread.
 */
#pragma once
#include "common/base/slice.h"

struct exemplar_order {
    int64_t t_ms;
    double v;
    struct slice labels; /* canonical (labels.h) */
};

enum exemplar_place { EXEMPLAR_AFTER, EXEMPLAR_SAME, EXEMPLAR_BEHIND };
/* Where next is, seen from last. */
enum exemplar_place exemplar_order_place(const struct exemplar_order *last,
                                         const struct exemplar_order *next);
