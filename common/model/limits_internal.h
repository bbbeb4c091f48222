/* What the files of limits share: the overrides file's contents, immutable once published. */
#pragma once
#include "common/base/map.h"
#include "common/model/limits.h"

#define X(...) +1
enum { LIMITS_ROWS = 0 LIMITS(X) };
#undef X

/* Of one tenant. */
struct override {
    bool is_set[LIMITS_ROWS];
    struct tenant_limits values;
    struct tenant_rules *rules; /* a reference */
};

struct overrides {
    struct snapshot snap;
    struct map tenants; /* struct override */
    struct tenant_limits defaults;
    struct tenant_rules *rules; /* of tenants without overrides; a reference */
};

/* Takes rules. */
struct overrides *limits_overrides_new(const struct tenant_limits *defaults,
                                       struct tenant_rules *rules);
void limits_override_free(struct override *o); /* NULL is allowed */
/* The text of the file into o, which has the defaults. path is for messages. */
ORR_CHECKED struct err *limits_overrides_parse(const char *path, struct slice text,
                                               struct overrides *o);
/* Lays what a tenant overrides over the defaults in *ret. */
void limits_override_apply(const struct override *o, struct tenant_limits *ret);
/* YAML: the defaults, then what each tenant overrides. */
void limits_overrides_print(const struct overrides *o, struct buf *out);
