/*
 * The XML that S3 and STS servers answer with, walked without a tree: elements and their text. No
 * attributes (they are passed over), no DTD (refused), namespace prefixes cut off.
 *
 * Bounds: S3XML_MAX_BYTES of document, S3XML_MAX_DEPTH of elements.
 *
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

#define S3XML_MAX_BYTES (16u << 20)
#define S3XML_MAX_DEPTH 16

/*
 * Called at the end of each element. path[0] is the root, path[depth - 1] the element that ends;
 * text is what stands in it behind its last child, entities resolved. Both are lent until it
 * returns, text for as long as the arena lives. An error ends the walk.
 */
typedef struct err *s3xml_fn(void *arg, const struct slice *path, size_t depth, struct slice text);
/* ERR_CORRUPT when it is no well-formed document (or none of those S3 writes). */
ORR_CHECKED struct err *s3xml_walk(struct arena *a, struct slice doc, s3xml_fn *fn, void *arg);

/* Whether the last two names of path are these; parent NULL: it is the root. */
bool s3xml_at(const struct slice *path, size_t depth, const char *parent, const char *name);
/* Appends text as it stands in an element. */
void s3xml_escape(struct buf *out, struct slice text);
