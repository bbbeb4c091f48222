/*
 * The object store that the sections storage, s3 and limits (encryption per tenant) describe: for processes that
 * serve, and for tools that do not (deploy/orreryctl).
 */
#pragma once
#include "common/base/conf.h"
#include "common/model/limits.h"
#include "common/objstore/objstore.h"

/* data_dir: where the filesystem backend is when storage.path is empty. *ret_limits: of S3, which refers to it: freed
 * behind the store; else NULL. Both are written only on success. */
ORR_CHECKED struct err *process_storage_make(struct conf *c, const char *data_dir,
                                             struct limits **ret_limits, struct objstore **ret);
/* Directory of the filesystem backend, to be freed; NULL: the backend is another one. */
char *process_storage_root(struct conf *c, const char *data_dir);
