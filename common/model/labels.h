/*
 * Label sets: what names a series, a stream, an alert.
 *
 * A struct labels borrows: an array of (name, value) slices sorted by name bytes, names unique,
 * no empty values. Who built it (arena, heap block, decoder) owns the bytes.
 *
 * The canonical bytes of a label set are the protobuf encoding of its pairs as the repeated field
 * 1 of prometheus.TimeSeries, in order:  0x0a len 0x0a nlen name 0x12 vlen value ...  They are
 * what a remote-write client sends, so a fingerprint needs no re-encoding on the hot path.
 *
 * fingerprint = XXH3-128 of the canonical bytes (seed LABELS_SEED): identifies a series within a
 * tenant in every process. The ring token of a series is labels_token(tenant, fingerprint).
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

#define LABELS_SEED 0x6f7272657279ull
#define LABEL_NAME "__name__"

struct label {
    struct slice name, value;
};

struct labels {
    const struct label *ptr;
    size_t n;
};

struct slice labels_get(struct labels ls, struct slice name); /* empty slice if absent */
bool labels_has(struct labels ls, struct slice name);
bool labels_eq(struct labels a, struct labels b);
int labels_cmp(struct labels a, struct labels b); /* as Prometheus' labels.Compare */
/* Sorts in place by name; returns false if a name occurs twice (*ret_dup is it). */
bool labels_sort(struct label *ls, size_t n, struct slice *ret_dup);
/* Deep copy into an arena. */
struct labels labels_dup(struct arena *a, struct labels ls);
/* Deep copy in one heap block, starting at .ptr: mem_free((void *)ls.ptr) frees all. */
struct labels labels_dup_heap(struct labels ls);
void labels_canonical(struct buf *out, struct labels ls); /* appends the canonical bytes */
/* Next pair of canonical bytes; false at the end or when malformed (then reader_ok is false). Order
 * is not looked at. */
bool labels_next_canonical(struct reader *r, struct label *ret);
/* All pairs; texts borrow from the bytes. False when malformed. */
bool labels_of_canonical(struct arena *a, struct slice canonical, struct labels *ret);
/* The canonical bytes in the arena: one allocation of their exact size. */
struct slice labels_canonical_dup(struct arena *a, struct labels ls);
/* As most formats of ours have a label set: uvarint labels, lstr name and value of each. */
void labels_put(struct buf *out, struct labels ls);
/* Texts borrow from the bytes. Order is not looked at. What is malformed fails the reader. */
struct labels labels_read(struct arena *a, struct reader *r);
struct hash128 labels_fingerprint(struct labels ls);
struct hash128 labels_fingerprint_of_canonical(struct slice canonical);
/* XXH64 as Prometheus' labels.Hash: name 0xff value 0xff ... */
uint64_t labels_hash_prometheus(struct labels ls);
uint32_t labels_token(struct slice tenant, struct hash128 fingerprint);
/* {__name__="up", a="b"} -> up{a="b"}; names that need it are quoted: {"a.b", x="y"}. */
void labels_text(struct buf *out, struct labels ls);
/* {"a":"b"} */
void labels_json(struct buf *out, struct labels ls);

/* [a-zA-Z_][a-zA-Z0-9_]* and [a-zA-Z_:][a-zA-Z0-9_:]* */
bool labels_is_legacy_name(struct slice name);
bool labels_is_legacy_metric(struct slice name);

/* Builds a set step by step in an arena: set, del (empty value deletes), keep. */
struct labels_builder {
    struct arena *arena;
    struct label *ptr;
    size_t n, cap;
};
void labels_builder_init(struct labels_builder *b, struct arena *a, struct labels base);
void labels_builder_set(struct labels_builder *b, struct slice name,
                        struct slice value); /* borrows */
void labels_builder_del(struct labels_builder *b, struct slice name);
struct slice labels_builder_get(const struct labels_builder *b, struct slice name);
struct labels labels_builder_labels(struct labels_builder *b); /* sorted; b may go on */
