#include "common/kv/kv.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"

#define CACHE_BYTES (8u << 20)
#define LOG_FILES 2
#define WRITE_BUFFER_BYTES (4u << 20)
#define BLOB_FILE_BYTES (64u << 20)
#define ROOM_BUFFERS 8u /* a log, a flush of the buffer and a compaction */

struct kv {
    char *dir;
    uint64_t room_bytes;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *reads;
    rocksdb_writeoptions_t *writes, *sync_writes;
};
struct kv_iter {
    rocksdb_iterator_t *it;
};
struct kv_batch {
    rocksdb_writebatch_t *wb;
};

/* Takes RocksDB's message. */
static struct err *err_of(char *text, const char *what)
{
    struct err *e;

    if (!text)
        return NULL;
    e = err_new(strncmp(text, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_IO, "%s: %s", what, text);
    rocksdb_free(text);
    return e;
}

/* Debian's RocksDB has its assertions on, and one of them ends the process when a file system is
 * full: it must never find out by itself. */
static struct err *check_room(const char *dir, uint64_t room_bytes)
{
    struct statvfs fs;
    int errnum = 0;

    if (fault_hit("kv.room", &errnum))
        return err_errnum(ERR_IO, errnum, "%s", dir);
    if (statvfs(dir, &fs))
        return err_errno(ERR_IO, "statvfs %s", dir);
    if ((uint64_t)fs.f_bavail * fs.f_frsize >= room_bytes)
        return NULL;
    return err_errnum(ERR_IO, ENOSPC, "%s: less than %llu bytes are free", dir,
                      (unsigned long long)room_bytes);
}

static size_t write_buffer_bytes(const struct kv_opts *opts)
{
    return opts && opts->write_buffer_bytes ? opts->write_buffer_bytes : WRITE_BUFFER_BYTES;
}

static void set_options(struct kv *kv, const struct kv_opts *opts)
{
    size_t cache = opts && opts->cache_bytes ? opts->cache_bytes : CACHE_BYTES;

    kv->options = rocksdb_options_create();
    kv->table = rocksdb_block_based_options_create();
    kv->cache = rocksdb_cache_create_lru(cache);
    kv->reads = rocksdb_readoptions_create();
    kv->writes = rocksdb_writeoptions_create();
    kv->sync_writes = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(kv->sync_writes, 1);
    rocksdb_block_based_options_set_block_cache(kv->table, kv->cache);
    rocksdb_options_set_block_based_table_factory(kv->options, kv->table);
    rocksdb_options_set_create_if_missing(kv->options, 1);
    rocksdb_options_set_write_buffer_size(kv->options, write_buffer_bytes(opts));
    if (opts && opts->is_compressed)
        rocksdb_options_set_compression(kv->options, rocksdb_lz4_compression);
    if (opts && opts->without_log) {
        rocksdb_writeoptions_disable_WAL(kv->writes, 1);
        rocksdb_writeoptions_disable_WAL(kv->sync_writes, 1);
        rocksdb_writeoptions_set_sync(kv->sync_writes, 0); /* RocksDB refuses both */
    }
    rocksdb_options_set_keep_log_file_num(kv->options, LOG_FILES);
    rocksdb_options_set_max_open_files(kv->options, 64);
    rocksdb_readoptions_set_verify_checksums(kv->reads, !opts || !opts->without_checksums);
    if (opts && opts->min_blob_bytes) {
        rocksdb_options_set_enable_blob_files(kv->options, 1);
        rocksdb_options_set_min_blob_size(kv->options, opts->min_blob_bytes);
        rocksdb_options_set_blob_file_size(kv->options, BLOB_FILE_BYTES);
        rocksdb_options_set_blob_compression_type(kv->options, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_gc(kv->options, 1);
    }
}

struct err *kv_open(const char *dir, const struct kv_opts *opts, struct kv **ret)
{
    struct kv *kv;
    struct err *e;
    char *text = NULL;
    uint64_t room = ROOM_BUFFERS * (uint64_t)write_buffer_bytes(opts);

    if ((e = fsx_mkdirs(dir)) || (e = check_room(dir, room)))
        return e;
    kv = mem_new(struct kv);
    kv->room_bytes = room;
    kv->dir = mem_strdup(dir);
    set_options(kv, opts);
    kv->db = rocksdb_open(kv->options, dir, &text);
    if (text) {
        kv_close(kv);
        return err_wrap(err_of(text, "open"), "%s", dir);
    }
    *ret = kv;
    return NULL;
}

void kv_close(struct kv *kv)
{
    if (!kv)
        return;
    if (kv->db)
        rocksdb_close(kv->db);
    rocksdb_writeoptions_destroy(kv->writes);
    rocksdb_writeoptions_destroy(kv->sync_writes);
    rocksdb_readoptions_destroy(kv->reads);
    rocksdb_options_destroy(kv->options);
    rocksdb_block_based_options_destroy(kv->table);
    rocksdb_cache_destroy(kv->cache);
    mem_free(kv->dir);
    mem_free(kv);
}

static rocksdb_writeoptions_t *write_options(struct kv *kv, bool is_sync)
{
    return is_sync ? kv->sync_writes : kv->writes;
}

struct err *kv_get(struct kv *kv, struct slice key, struct buf *ret, bool *ret_found)
{
    char *text = NULL, *value;
    size_t n = 0;

    value = rocksdb_get(kv->db, kv->reads, (const char *)key.ptr, key.len, &n, &text);
    if (text)
        return err_of(text, "get");
    buf_reset(ret);
    if (value)
        buf_append(ret, value, n);
    *ret_found = value != NULL;
    if (value)
        rocksdb_free(value);
    return NULL;
}

struct err *kv_see(struct kv *kv, struct slice key, kv_see_fn *see, void *arg)
{
    rocksdb_pinnableslice_t *pin;
    char *text = NULL;
    const char *value;
    size_t n = 0;

    pin = rocksdb_get_pinned(kv->db, kv->reads, (const char *)key.ptr, key.len, &text);
    if (text)
        return err_of(text, "get");
    if ((value = rocksdb_pinnableslice_value(pin, &n)))
        see(arg, slice_of(value, n));
    rocksdb_pinnableslice_destroy(pin);
    return NULL;
}

struct err *kv_put(struct kv *kv, struct slice key, struct slice value, bool is_sync)
{
    struct err *e = check_room(kv->dir, kv->room_bytes);
    char *text = NULL;

    if (e)
        return e;
    rocksdb_put(kv->db, write_options(kv, is_sync), (const char *)key.ptr, key.len,
                (const char *)value.ptr, value.len, &text);
    return err_of(text, "put");
}

struct err *kv_delete(struct kv *kv, struct slice key, bool is_sync)
{
    struct err *e = check_room(kv->dir, kv->room_bytes);
    char *text = NULL;

    if (e)
        return e;
    rocksdb_delete(kv->db, write_options(kv, is_sync), (const char *)key.ptr, key.len, &text);
    return err_of(text, "delete");
}

struct err *kv_each(struct kv *kv, struct slice prefix, kv_fn *fn, void *arg)
{
    rocksdb_iterator_t *it = rocksdb_create_iterator(kv->db, kv->reads);
    struct err *e = NULL;
    char *text = NULL;

    rocksdb_iter_seek(it, (const char *)prefix.ptr, prefix.len);
    for (; !e && rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t kn, vn;
        const char *k = rocksdb_iter_key(it, &kn), *v = rocksdb_iter_value(it, &vn);

        if (!slice_has_prefix(slice_of(k, kn), prefix))
            break;
        e = fn(arg, slice_of(k, kn), slice_of(v, vn));
    }
    rocksdb_iter_get_error(it, &text);
    rocksdb_iter_destroy(it);
    return err_first(e, err_of(text, "iterate"));
}

struct kv_iter *kv_iter_new(struct kv *kv)
{
    struct kv_iter *it = mem_new(struct kv_iter);

    it->it = rocksdb_create_iterator(kv->db, kv->reads);
    return it;
}

void kv_iter_seek(struct kv_iter *it, struct slice key)
{
    rocksdb_iter_seek(it->it, (const char *)key.ptr, key.len);
}

bool kv_iter_pair(struct kv_iter *it, struct slice *ret_key, struct slice *ret_value)
{
    if (!rocksdb_iter_valid(it->it))
        return false;
    ret_key->ptr = (const uint8_t *)rocksdb_iter_key(it->it, &ret_key->len);
    ret_value->ptr = (const uint8_t *)rocksdb_iter_value(it->it, &ret_value->len);
    return true;
}

void kv_iter_next(struct kv_iter *it)
{
    rocksdb_iter_next(it->it);
}

struct err *kv_iter_close(struct kv_iter *it)
{
    char *text = NULL;

    if (!it)
        return NULL;
    rocksdb_iter_get_error(it->it, &text);
    rocksdb_iter_destroy(it->it);
    mem_free(it);
    return err_of(text, "iterate");
}

struct kv_batch *kv_batch_new(void)
{
    struct kv_batch *b = mem_new(struct kv_batch);

    b->wb = rocksdb_writebatch_create();
    return b;
}

void kv_batch_free(struct kv_batch *b)
{
    if (!b)
        return;
    rocksdb_writebatch_destroy(b->wb);
    mem_free(b);
}

void kv_batch_clear(struct kv_batch *b)
{
    rocksdb_writebatch_clear(b->wb);
}

void kv_batch_put(struct kv_batch *b, struct slice key, struct slice value)
{
    rocksdb_writebatch_put(b->wb, (const char *)key.ptr, key.len, (const char *)value.ptr,
                           value.len);
}

void kv_batch_delete(struct kv_batch *b, struct slice key)
{
    rocksdb_writebatch_delete(b->wb, (const char *)key.ptr, key.len);
}

size_t kv_batch_count(const struct kv_batch *b)
{
    return (size_t)rocksdb_writebatch_count(b->wb);
}

struct err *kv_write(struct kv *kv, struct kv_batch *b, bool is_sync)
{
    struct err *e = check_room(kv->dir, kv->room_bytes);
    char *text = NULL;

    if (e)
        return e;
    rocksdb_write(kv->db, write_options(kv, is_sync), b->wb, &text);
    return err_of(text, "write");
}
