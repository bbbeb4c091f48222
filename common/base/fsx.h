/*
 * Files and directories, with errors that name the path. Blocking: never on a loop.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

ORR_CHECKED struct err *fsx_mkdirs(const char *path); /* as mkdir -p, mode 0750 */
/* Whole file into ret (replacing its content); over max_bytes is ERR_TOO_LARGE. */
ORR_CHECKED struct err *fsx_read(const char *path, size_t max_bytes, struct buf *ret);
/* All of content at the place where fd stands, over short writes and signals; path is for the message. */
ORR_CHECKED struct err *fsx_write_all(int fd, const char *path, struct slice content);
/* Temporary file beside path, fsync, rename, fsync of the directory. */
ORR_CHECKED struct err *fsx_write_atomic(const char *path, struct slice content);
/* Takes the file, made if need be, for this process alone: until fsx_unlock(), or the process ends however it does.
 * ERR_CONFLICT when another one has it. */
ORR_CHECKED struct err *fsx_lock(const char *path, int *ret_fd);
void fsx_unlock(int fd); /* -1 is allowed */
ORR_CHECKED struct err *fsx_sync_dir(const char *path);
ORR_CHECKED struct err *fsx_remove_tree(const char *path); /* absent is success */
bool fsx_exists(const char *path);
/* Names in a directory without . and .., sorted. An absent directory has none. Caller frees each
 * name and the array with fsx_names_free(). */
ORR_CHECKED struct err *fsx_list(const char *path, char ***ret_names, size_t *ret_n);
void fsx_names_free(char **names, size_t n);
/* Read-only mapping of a whole file; an empty file maps to an empty slice. */
ORR_CHECKED struct err *fsx_map(const char *path, struct slice *ret);
void fsx_unmap(struct slice s);
