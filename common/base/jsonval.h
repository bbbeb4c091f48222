/*
 * JSON that is read fast and walked where it lies in a parsed document (simdjson behind a C++ shim,
 * jsonval.cc): for request bodies. What people configure is read with yaml.h, our own documents with
 * jansson.
 *
 *     e = jsonval_parse(body, 64, &doc, &root);
 *     for (it = jsonval_iter(root); jsonval_next(&it, &key, &v);)
 *         ...
 *     jsonval_free(doc);
 *
 * The whole text is checked before anything is given out: grammar, UTF-8, depth. A key that comes
 * twice is given twice. Numbers are 64-bit integers or doubles; an integer beyond is refused.
 *
 * Memory while a document lives: about JSONVAL_FACTOR times the text is reserved, 8 to 16 bytes a token of it
 * touched. Bound the text.
 *
 * Any thread; one at a time for a document. Texts live as long as the document.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

#define JSONVAL_FACTOR 14

struct jsonval_doc;
struct jsonval {
    uint64_t opaque[2];
};

enum jsonval_kind {
    JSONVAL_NULL,
    JSONVAL_BOOL,
    JSONVAL_I64,
    JSONVAL_U64, /* beyond an int64_t */
    JSONVAL_F64,
    JSONVAL_TEXT,
    JSONVAL_LIST,
    JSONVAL_OBJECT
};

/* max_depth counts lists and objects. ERR_INVALID says what is wrong with the text. */
ORR_CHECKED struct err *jsonval_parse(struct slice text, size_t max_depth, struct jsonval_doc **ret,
                                      struct jsonval *ret_root);
void jsonval_free(struct jsonval_doc *doc); /* NULL is allowed */
/* Memory that a document has touched, roughly. */
size_t jsonval_memory(const struct jsonval_doc *doc);

enum jsonval_kind jsonval_kind(struct jsonval v);
/* Each for its kind only: asserts it. */
bool jsonval_bool(struct jsonval v);
int64_t jsonval_i64(struct jsonval v);
uint64_t jsonval_u64(struct jsonval v);
double jsonval_f64(struct jsonval v);
struct slice jsonval_text(struct jsonval v);

/* Over the items of a list or the members of an object; over nothing for any other kind. */
struct jsonval_iter {
    uint64_t at[2], end[2];
    bool is_object;
};
struct jsonval_iter jsonval_iter(struct jsonval v);
/* key is empty for lists. */
bool jsonval_next(struct jsonval_iter *it, struct slice *ret_key, struct jsonval *ret);
size_t jsonval_count(struct jsonval v);
