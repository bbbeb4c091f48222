/*
 * Attribute values of OpenTelemetry, and the text that stands for them in a label: what the
 * OpenTelemetry collector and Prometheus make of them.
 *
 *   text     as it is             bool    true, false       int    decimal
 *   double   as JavaScript writes it: 5, 0.25, 1e-7, 1e+21; NaN and infinities: a text that says so
 *   bytes    base64               empty   nothing
 *   list     JSON                 map     JSON, keys in order, of a key that comes twice the last
 *
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

enum otlp_value_kind {
    OTLP_VALUE_EMPTY,
    OTLP_VALUE_TEXT,
    OTLP_VALUE_BOOL,
    OTLP_VALUE_INT,
    OTLP_VALUE_DOUBLE,
    OTLP_VALUE_BYTES,
    OTLP_VALUE_LIST,
    OTLP_VALUE_MAP
};

struct otlp_value {
    enum otlp_value_kind kind;
    union {
        struct slice text; /* and bytes */
        bool b;
        int64_t i;
        double d;
        struct {
            struct otlp_member *members; /* of a list: without keys */
            size_t n;
        };
    };
};
struct otlp_member {
    struct slice key;
    struct otlp_value value;
};

/* Sorts members of maps in place. The result is v's own text, or lies in the arena. */
struct slice otlp_value_text(struct arena *a, struct otlp_value *v);
