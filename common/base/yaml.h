/*
 * YAML text as a tree in an arena, for files that people write: configuration, rules, overrides.
 * Each node knows its line, so whoever reads the tree can say where something is wrong.
 *
 * Read with libyaml's event parser, and bounded: 4 MiB of text, 32 levels, 1,000,000 nodes once
 * aliases and merge keys are followed, where each 16 bytes of a text count as one. Refused with file and line: text that is not YAML or not
 * UTF-8, more than one document, a key twice in one mapping, a key that is not a scalar, tags other
 * than the standard ones. Comments are lost.
 *
 * A merge key (<<: *a, <<: [*a, *b]) adds the pairs of these mappings, behind the mapping's own, whose
 * keys it has not yet: its own count first, then those of a, then of b.
 *
 * Owner: one thread. Nodes and their text live as long as the arena; an alias shares the node of
 * its anchor, so a tree is read, not changed.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"

#define YAML_MAX_BYTES (4u << 20)
#define YAML_MAX_DEPTH 32
#define YAML_MAX_NODES 1000000
#define YAML_TEXT_WEIGHT 16 /* bytes of a text that weigh as much as a node */

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_MAP, YAML_KIND_SEQ };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line; /* from 1 */
    /* YAML_KIND_SCALAR */
    struct slice text;
    bool is_plain; /* not quoted: may stand for null, a truth or a number */
    /* YAML_KIND_MAP: n of both; YAML_KIND_SEQ: n items */
    struct yaml_key *keys;
    struct yaml_node **items;
    size_t n;
    size_t weight, height; /* nodes (with their texts) and levels from here down */
};
struct yaml_key {
    struct slice text;
    unsigned line;
    bool is_plain; /* not quoted */
};

/* name is for messages: "NAME:LINE: what". An empty document gives NULL in *ret. */
ORR_CHECKED struct err *yaml_load(const char *name, struct slice text, struct arena *a,
                                  struct yaml_node **ret);
/* The value of a key, or NULL if absent or node is not a mapping. */
struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);
/* A scalar that stands for nothing: empty, ~ or null, not quoted. NULL is nothing too. */
bool yaml_is_null(const struct yaml_node *node);
/* true/false, yes/no, on/off in any case; false if the scalar is none of them. */
bool yaml_bool(const struct yaml_node *node, bool *ret);
