/*
 * The configuration that a tenant has given by API, an object of the bucket as Mimir writes it, so that a bucket of Mimir's
 * brings its tenants' configurations along:
 *
 *     alerts/<tenant>     protobuf: 1 tenant | 2 alertmanager_config | 3 repeated template { 1 file name | 2 text }
 *
 * A tenant is not the operator: what would read files of this machine or go by its proxies is refused, and of template
 * files only those given with it are known. `templates` of the configuration says which of them are used.
 *
 * The document of the API, YAML:  template_files: {name: text, ...}  alertmanager_config: text
 *
 * Any thread; what takes a store blocks.
 */
#pragma once
#include "alertmanager/amconf.h"
#include "common/objstore/objstore.h"

#define AMSTORE_PREFIX "alerts/"
#define AMSTORE_MAX_BYTES (16u << 20) /* of an object */
#define AMSTORE_MAX_TEMPLATES 1000

struct amstore_template {
    struct slice name, text;
};
struct amstore_config {
    struct slice config;
    struct amstore_template *templates;
    size_t n;
};
/* 0: no bound. */
struct amstore_limits {
    size_t max_config_bytes, max_templates, max_template_bytes;
};

void amstore_encode(struct buf *out, struct slice tenant, const struct amstore_config *c);
/* Borrows from bytes. ERR_CORRUPT. */
ORR_CHECKED struct err *amstore_decode(struct arena *a, struct slice bytes,
                                       struct amstore_config *ret);
/* The document of the API; in the arena. ERR_INVALID, ERR_LIMIT. */
ORR_CHECKED struct err *amstore_from_yaml(struct arena *a, struct slice body,
                                          const struct amstore_limits *limits,
                                          struct amstore_config *ret);
void amstore_yaml(struct buf *out, const struct amstore_config *c);

/* What holds for the tenant. ERR_INVALID with line and field. */
ORR_CHECKED struct err *amstore_compile(const struct amstore_config *c, struct amconf **ret);
/* The same of an object's bytes. */
ORR_CHECKED struct err *amstore_compile_object(struct slice bytes, struct amconf **ret);

/* In the arena. */
struct slice amstore_key(struct arena *a, struct slice tenant);
/* The tenant of a key, borrowed; empty: the key is none of ours. */
struct slice amstore_tenant(struct slice key);
