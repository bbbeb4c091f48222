#include "ingester/metrics/head_chunks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"

static const uint8_t chunks_magic[8] = {'O', 'R', 'R', 'C', 'H', 'K', 0, 1};

static char *file_path(const struct head_chunks *c, uint64_t number)
{
    return mem_printf("%s/chunks-%08llx", c->dir, (unsigned long long)number);
}

static void file_unref(struct head_chunks_file *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (f->map)
        (void)munmap(f->map, HEAD_CHUNKS_FILE);
    if (f->fd >= 0)
        (void)close(f->fd);
    if (f->is_removed && f->path)
        (void)unlink(f->path);
    vec_done(&f->owners);
    mem_free(f->path);
    mem_free(f);
}

static struct err *map_file(struct head_chunks_file *f)
{
    void *p = mmap(NULL, HEAD_CHUNKS_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

    if (p == MAP_FAILED)
        return err_errno(ERR_IO, "map %s", f->path);
    f->map = p;
    return NULL;
}

static struct err *create_on_disk(struct head_chunks_file *f)
{
    int errnum = 0;

    f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (f->fd < 0)
        return err_errno(ERR_IO, "create %s", f->path);
    /* allocated now: a full disk must fail here and not as SIGBUS on a store */
    if (fault_hit("head.chunks.create", &errnum) ||
        (errnum = posix_fallocate(f->fd, 0, HEAD_CHUNKS_FILE)))
        return err_errnum(ERR_IO, errnum, "allocate %s", f->path);
    return map_file(f);
}

static void create_in_memory(struct head_chunks_file *f)
{
    void *p;

    if (f->fd >= 0) {
        (void)close(f->fd);
        (void)unlink(f->path);
        f->fd = -1;
    }
    p = mmap(NULL, HEAD_CHUNKS_FILE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ORR_ASSERT(p != MAP_FAILED);
    f->map = p;
}

static struct head_chunks_file *file_new(const struct head_chunks *c, uint64_t number)
{
    struct head_chunks_file *f = mem_new(struct head_chunks_file);

    f->number = number;
    f->refs = 1;
    f->fd = -1;
    f->path = file_path(c, number);
    return f;
}

static void add_file(struct head_chunks *c, uint64_t number)
{
    struct head_chunks_file *f = file_new(c, number);
    struct err *e = create_on_disk(f);

    if (e) {
        LOG_ERROR(head, "no file for closed chunks; keeping them in memory", KV_ERR(e));
        c->volatile_errnum = err_errnum_of(e);
        err_free(e);
        c->failures++;
        create_in_memory(f);
        c->volatile_bytes += HEAD_CHUNKS_START;
    }
    memcpy(f->map, chunks_magic, 8);
    memcpy(f->map + 8, &number, 8);
    f->is_dirty = true;
    f->used = HEAD_CHUNKS_START;
    vec_push(&c->files, f);
    c->bytes += HEAD_CHUNKS_FILE;
    c->next = number * HEAD_CHUNKS_FILE + HEAD_CHUNKS_START;
}

struct err *head_chunks_init(struct head_chunks *c, const char *dir)
{
    *c = (struct head_chunks){.dir = mem_strdup(dir), .next = HEAD_CHUNKS_START};
    return fsx_mkdirs(dir);
}

void head_chunks_done(struct head_chunks *c)
{
    VEC_FOREACH (f, &c->files)
        file_unref(*f);
    vec_done(&c->files);
    mem_free(c->dir);
    *c = (struct head_chunks){0};
}

static bool parse_name(const char *name, uint64_t *ret)
{
    char *end;

    if (strncmp(name, "chunks-", 7) != 0)
        return false;
    *ret = strtoull(name + 7, &end, 16);
    return *end == 0 && end != name + 7;
}

static struct err *remove_except(struct head_chunks *c, uint64_t first, uint64_t last)
{
    char **names;
    size_t n;
    uint64_t number;
    struct err *e = fsx_list(c->dir, &names, &n);

    if (e)
        return e;
    for (size_t i = 0; i < n; i++) {
        if (parse_name(names[i], &number) && (number < first || number > last)) {
            char *path = file_path(c, number);

            (void)unlink(path);
            mem_free(path);
        }
    }
    fsx_names_free(names, n);
    return NULL;
}

struct err *head_chunks_begin(struct head_chunks *c)
{
    VEC_FOREACH (f, &c->files)
        file_unref(*f);
    vec_clear(&c->files);
    c->next = HEAD_CHUNKS_START;
    c->bytes = c->volatile_bytes = 0;
    return remove_except(c, 1, 0);
}

static struct err *adopt_file(struct head_chunks *c, uint64_t number)
{
    struct head_chunks_file *f = file_new(c, number);
    struct err *e;
    uint64_t stored;

    f->fd = open(f->path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0) {
        e = err_errno(ERR_CORRUPT, "open %s", f->path);
        goto fail;
    }
    if (lseek(f->fd, 0, SEEK_END) != HEAD_CHUNKS_FILE) {
        e = err_new(ERR_CORRUPT, "%s: not %u bytes long", f->path, HEAD_CHUNKS_FILE);
        goto fail;
    }
    if ((e = map_file(f)))
        goto fail;
    memcpy(&stored, f->map + 8, 8);
    if (memcmp(f->map, chunks_magic, 8) != 0 || stored != number) {
        e = err_new(ERR_CORRUPT, "%s: wrong header", f->path);
        goto fail;
    }
    vec_push(&c->files, f);
    c->bytes += HEAD_CHUNKS_FILE;
    return NULL;
fail:
    file_unref(f);
    return e;
}

struct err *head_chunks_adopt(struct head_chunks *c, uint64_t first_number, uint64_t next)
{
    uint64_t last = next / HEAD_CHUNKS_FILE;
    struct err *e;

    if (first_number > last ||
        (last - first_number) * HEAD_CHUNKS_FILE > HEAD_CHUNKS_MAX_LIVE * 2 ||
        next % HEAD_CHUNKS_FILE < HEAD_CHUNKS_START || next % 8)
        return err_new(ERR_CORRUPT, "chunk files: position %llu is not possible",
                       (unsigned long long)next);
    if ((e = remove_except(c, first_number, last)))
        return e;
    for (uint64_t n = first_number; n <= last && !e; n++)
        e = adopt_file(c, n);
    c->next = next;
    return e;
}

static inline size_t record_bytes(size_t data)
{
    return (HEAD_CHUNKS_HEADER + data + 7) & ~(size_t)7;
}

void head_chunks_note_owner(struct head_chunks_file *f, const void *tenant, int64_t max_ms)
{
    VEC_FOREACH (o, &f->owners) {
        if (o->tenant == tenant) {
            o->max_ms = ORR_MAX(o->max_ms, max_ms);
            return;
        }
    }
    vec_push(&f->owners, ((struct head_chunks_owner){tenant, max_ms}));
}

struct err *head_chunks_append(struct head_chunks *c, const struct head_chunks_record *rec,
                               const void *tenant, uint64_t *ret_pos)
{
    size_t need = record_bytes(rec->data.len);
    uint32_t len = (uint32_t)rec->data.len, crc;
    struct head_chunks_file *f;
    uint8_t *p;

    if (need > HEAD_CHUNKS_FILE - HEAD_CHUNKS_START)
        return err_new(ERR_TOO_LARGE, "chunk of %zu bytes", rec->data.len);
    if (!c->files.len || c->next % HEAD_CHUNKS_FILE + need > HEAD_CHUNKS_FILE ||
        vec_last(&c->files)->number != c->next / HEAD_CHUNKS_FILE) {
        if (c->files.len * (uint64_t)HEAD_CHUNKS_FILE >= HEAD_CHUNKS_MAX_LIVE)
            return err_new(ERR_UNAVAILABLE,
                           "shard holds 31 GiB of closed chunks that were not cut");
        add_file(c, c->files.len ? vec_last(&c->files)->number + 1 : c->next / HEAD_CHUNKS_FILE);
    }
    f = vec_last(&c->files);
    p = f->map + c->next % HEAD_CHUNKS_FILE;
    memcpy(p + 4, &len, 4);
    memcpy(p + 8, &rec->prev, 8);
    memcpy(p + 16, &rec->min_ms, 8);
    memcpy(p + 24, &rec->max_ms, 8);
    memcpy(p + 32, &rec->ref, 4);
    p[36] = rec->encoding;
    p[37] = 0;
    memcpy(p + 38, &rec->samples, 2);
    memcpy(p + HEAD_CHUNKS_HEADER, rec->data.ptr, len);
    memset(p + HEAD_CHUNKS_HEADER + len, 0, need - HEAD_CHUNKS_HEADER - len);
    crc = hash_crc32c(slice_of(p + 4, HEAD_CHUNKS_HEADER - 4 + len));
    memcpy(p, &crc, 4);
    f->is_dirty = true;
    head_chunks_note_owner(f, tenant, rec->max_ms);
    *ret_pos = c->next;
    c->next += need;
    f->used += (uint32_t)need;
    if (ORR_UNLIKELY(f->fd < 0))
        c->volatile_bytes += need;
    return NULL;
}

uint64_t head_chunks_widen(const struct head_chunks *c, uint32_t low)
{
    uint64_t end = c->next >> 3;
    uint64_t wide = (end & ~0xffffffffull) | low;

    if (!low)
        return 0;
    if (wide > end)
        wide -= 1ull << 32;
    return wide << 3;
}

bool head_chunks_is_volatile(const struct head_chunks *c)
{
    VEC_FOREACH (f, &c->files)
        if ((*f)->fd < 0)
            return true;
    return false;
}

struct err *head_chunks_persist(struct head_chunks *c, bool *ret_more)
{
    struct head_chunks_file *old = NULL, *f;
    size_t i;
    struct err *e;

    for (i = 0; i < c->files.len && !old; i++)
        old = c->files.ptr[i]->fd < 0 ? c->files.ptr[i] : NULL;
    *ret_more = false;
    if (!old)
        return NULL;
    f = file_new(c, old->number);
    if ((e = create_on_disk(f))) {
        c->volatile_errnum = err_errnum_of(e);
        f->is_removed = true; /* half of it may be there */
        file_unref(f);
        return e;
    }
    memcpy(f->map, old->map, old->used);
    f->used = old->used;
    f->is_dirty = true;
    VEC_FOREACH (o, &old->owners)
        vec_push(&f->owners, *o);
    c->files.ptr[i - 1] = f;
    c->volatile_bytes -= old->used;
    file_unref(old);
    *ret_more = head_chunks_is_volatile(c);
    return NULL;
}

void head_chunks_drop(struct head_chunks *c,
                      bool (*is_dead)(void *arg, const struct head_chunks_owner *o,
                                      uint64_t end_pos),
                      void *arg)
{
    size_t n = 0;

    for (; n + 1 < c->files.len; n++) {
        struct head_chunks_file *f = c->files.ptr[n];
        bool all_dead = true;

        VEC_FOREACH (o, &f->owners)
            all_dead = all_dead && is_dead(arg, o, (f->number + 1) * HEAD_CHUNKS_FILE);
        if (!all_dead)
            break;
        if (f->fd < 0)
            c->volatile_bytes -= f->used;
        f->is_removed = true;
        file_unref(f);
        c->bytes -= HEAD_CHUNKS_FILE;
    }
    if (n) {
        memmove(c->files.ptr, c->files.ptr + n, (c->files.len - n) * sizeof(*c->files.ptr));
        c->files.len -= n;
    }
}

void head_chunks_view_init(struct head_chunks_view *v, const struct head_chunks *c)
{
    v->n = c->files.len;
    v->next = c->next;
    v->files = v->n ? mem_new_array(struct head_chunks_file *, v->n) : NULL;
    for (size_t i = 0; i < v->n; i++) {
        v->files[i] = c->files.ptr[i];
        (void)atomic_fetch_add_explicit(&v->files[i]->refs, 1, memory_order_relaxed);
    }
}

void head_chunks_view_done(struct head_chunks_view *v)
{
    for (size_t i = 0; i < v->n; i++)
        file_unref(v->files[i]);
    mem_free(v->files);
    *v = (struct head_chunks_view){0};
}

static bool read_at(struct head_chunks_file *const *files, size_t n, uint64_t next, uint64_t pos,
                    struct head_chunks_record *ret, bool *ret_is_broken)
{
    uint64_t number = pos / HEAD_CHUNKS_FILE, off = pos % HEAD_CHUNKS_FILE;
    const uint8_t *p;
    uint32_t len, crc;

    *ret_is_broken = false;
    if (!pos || !n || number < files[0]->number)
        return false;
    *ret_is_broken = true;
    if (number - files[0]->number >= n || off < HEAD_CHUNKS_START || off % 8 || pos >= next ||
        off > HEAD_CHUNKS_FILE - HEAD_CHUNKS_HEADER)
        return false;
    p = files[number - files[0]->number]->map + off;
    memcpy(&crc, p, 4);
    memcpy(&len, p + 4, 4);
    if (len > HEAD_CHUNKS_FILE - HEAD_CHUNKS_HEADER - off ||
        hash_crc32c(slice_of(p + 4, HEAD_CHUNKS_HEADER - 4 + len)) != crc)
        return false;
    memcpy(&ret->prev, p + 8, 8);
    memcpy(&ret->min_ms, p + 16, 8);
    memcpy(&ret->max_ms, p + 24, 8);
    memcpy(&ret->ref, p + 32, 4);
    ret->encoding = p[36];
    memcpy(&ret->samples, p + 38, 2);
    ret->data = slice_of(p + HEAD_CHUNKS_HEADER, len);
    *ret_is_broken = ret->prev >= pos; /* a chain only goes back */
    return !*ret_is_broken;
}

bool head_chunks_read(const struct head_chunks_view *v, uint64_t pos,
                      struct head_chunks_record *ret, bool *ret_is_broken)
{
    return read_at(v->files, v->n, v->next, pos, ret, ret_is_broken);
}

bool head_chunks_read_own(const struct head_chunks *c, uint64_t pos, struct head_chunks_record *ret,
                          bool *ret_is_broken)
{
    return read_at(c->files.ptr, c->files.len, c->next, pos, ret, ret_is_broken);
}

struct err *head_chunks_view_sync(struct head_chunks_view *v)
{
    struct err *e = NULL;
    int errnum;

    for (size_t i = 0; i < v->n && !e; i++) {
        struct head_chunks_file *f = v->files[i];

        if (f->fd < 0)
            return err_new(ERR_IO, "chunk file %s is in memory only", f->path);
        if (fault_hit("head.chunks.sync", &errnum))
            e = err_errnum(ERR_IO, errnum, "sync %s", f->path);
        else if (fdatasync(f->fd) < 0)
            e = err_errno(ERR_IO, "sync %s", f->path);
    }
    return e;
}
