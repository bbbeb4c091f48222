/*
 * A block in a local directory goes to a tenant's place in the bucket, then into the catalogue.
 *
 * It can be broken off and done again: a file that is there with this size and these first and last bytes (of an index
 * and of chunks they hold checksums) is not sent again; meta.json comes last. The catalogue's edit looks that all is there.
 */
#pragma once
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_show.h"

struct ctl_send {
    struct slice tenant;
    const char *path;              /* of the directory */
    const struct block_meta *meta; /* with the ulid it has in the bucket */
    struct slice meta_json;        /* what is put there */
    const struct block_file *files;
    size_t n_files;
    struct catalogue_block entry;  /* bytes are filled in */
    struct ctl_progress *progress; /* of bytes */
};
/* *ret_added false: the catalogue had it. */
ORR_CHECKED struct err *ctl_send(struct ctl *c, const struct ctl_send *s, bool *ret_added);
/* Old times have other data now: the version of the tenant's tombstones goes up, of which queriers keep answers. They
 * see it when they look next (seconds). */
ORR_CHECKED struct err *ctl_send_news(struct ctl *c, struct slice tenant);
/* Whether the block's place holds a block with another meta.json. */
ORR_CHECKED struct err *ctl_send_is_taken(struct ctl *c, struct slice tenant, struct ulid ulid,
                                          struct slice meta_json, bool *ret);
