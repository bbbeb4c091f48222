/*
 * The rule files of all tenants, found on disk.
 *
 *     DIR            DIR/<tenant>/x.yml is of <tenant>; DIR/x.yml of the default tenant
 *     DIR/x*.yml     a pattern: the default tenant's
 *     DIR/x/y*.yml   with a wildcard in a directory's name, the last directory is the tenant
 *
 * Rules over metrics and over log lines lie apart: those in DIR/<tenant>/logs/ are LogQL, and those of a pattern
 * (or a path of one file) whose last directory is written "logs"; the tenant is then the directory before it.
 *
 * In directories, files ending in .yml, .yaml and .rules count. A file that cannot be read or
 * parsed keeps what was read of it before; the error is told. A file is read again when its time
 * of change, size or inode differ. At most RULE_DIR_MAX_FILES.
 *
 * A struct rule_dir is immutable and reference-counted; loading blocks (files): workers.
 */
#pragma once
#include "common/base/snapshot.h"
#include "ruler/rule_file.h"

#define RULE_DIR_MAX_FILES 100000

struct rule_dir_file {
    char *tenant, *path;
    enum rule_lang lang;
    const char *name; /* path below the directory: the same on all rulers */
    int64_t mtime_ns, size;
    uint64_t inode;
    struct rule_file *rules; /* NULL: never read well */
    bool is_bad;             /* what is on disk is not what rules holds */
};
struct rule_dir {
    struct snapshot snap;
    struct rule_dir_file *files;
    size_t n;
    size_t n_bad;
};

/* A path that is no pattern and leads nowhere is ERR_NOT_FOUND: a typo must not mean no alerts. */
ORR_CHECKED struct err *rule_dir_check(const char *path);
/* path "" has no files. Begins with rule_dir_check(), so a directory that goes away (a volume not
 * mounted) leaves the rules as they were. before may be NULL. *ret_changed: differs from before.
 * Errors of single files, and that there are none at all, are logged. */
ORR_CHECKED struct err *rule_dir_load(const char *path, const char *default_tenant,
                                      const struct rule_dir *before, struct rule_dir **ret,
                                      bool *ret_changed);
struct rule_dir *rule_dir_ref(const struct rule_dir *d);
void rule_dir_unref(const struct rule_dir *d); /* NULL is allowed */
