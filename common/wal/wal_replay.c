/* Reading the log back: which files there are, what can be read of them, what cannot. */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/wal/wal_internal.h"
#include "common/wal/walseg.h"

static bool parse_name(const char *name, uint64_t *ret_seq)
{
    int end = 0;

    return sscanf(name, "%16" SCNx64 ".wal%n", ret_seq, &end) == 1 && end == 20 && name[end] == 0;
}

static struct err *list_files(struct wal *w)
{
    char **names;
    size_t n;
    struct err *e = w->io->ops->list(w->io, w->dir, &names, &n);

    if (e)
        return e;
    for (size_t i = 0; i < n; i++) {
        uint64_t seq;

        if (parse_name(names[i], &seq))
            vec_push(&w->files, ((struct wal_file){mem_printf("%s/%s", w->dir, names[i]), seq}));
    }
    fsx_names_free(names, n);
    return NULL;
}

static bool is_blank(struct slice file)
{
    return file.len == 0 || (file.ptr[0] == 0 && memcmp(file.ptr, file.ptr + 1, file.len - 1) == 0);
}

/* A file without records goes once the next one is there: its name may be all that remembers how far
 * the numbers had come. Its room is given back at once. */
static struct err *set_aside(struct wal *w, struct slice file)
{
    struct wal_file f = vec_pop(&w->files);

    vec_push(&w->empty, f);
    return file.len ? w->io->ops->truncate(w->io, f.path, 0) : NULL;
}

void wal_remove_empty(struct wal *w)
{
    VEC_FOREACH (f, &w->empty) {
        err_free(w->io->ops->remove(w->io, f->path)); /* else by the next start */
        mem_free(f->path);
    }
    vec_clear(&w->empty);
}

/*
 * One step from the end: ret_more says that the last file held no records and was set aside, and the
 * one before it must be asked.
 */
static struct err *scan_last(struct wal *w, uint64_t *next_seq, bool *ret_more)
{
    struct wal_file *f = &vec_last(&w->files);
    struct walseg_tail tail = {0};
    uint64_t first_seq;
    struct slice file;
    struct err *e = w->io->ops->map(w->io, f->path, &file);

    if (e)
        return e;
    *next_seq = ORR_MAX(*next_seq, f->first_seq + 1); /* two files must not have one name */
    if (walseg_parse_header(file, &first_seq)) {
        walseg_tail(file, first_seq, &tail);
        *next_seq = ORR_MAX(*next_seq, tail.next_seq);
    } else {
        tail.has_records = !is_blank(file); /* a broken header: replay puts it aside */
        *next_seq += tail.has_records ? file.len / WALSEG_RECORD_BYTES : 0; /* more than it held */
    }
    w->io->ops->unmap(w->io, file);
    *ret_more = !tail.has_records;
    if (!tail.has_records)
        return set_aside(w, file);
    if (!tail.torn_bytes)
        return NULL;
    w->m.torn_bytes += tail.torn_bytes;
    LOG_WARN(wal, "cut an interrupted write off the log", KV_STR("path", f->path),
             KV_U64("offset", tail.torn_at), KV_U64("bytes", tail.torn_bytes));
    return w->io->ops->truncate(w->io, f->path, tail.torn_at);
}

struct err *wal_scan_dir(struct wal *w, uint64_t *ret_next_seq)
{
    uint64_t next_seq = 1;
    bool more = true;
    struct err *e = list_files(w);

    while (!e && more && w->files.len)
        e = scan_last(w, &next_seq, &more);
    *ret_next_seq = next_seq;
    return e;
}

struct replay {
    struct wal *w;
    uint64_t from_seq;
    wal_replay_fn *fn;
    void *arg;
    struct wal_replay_stats *stats;
    bool has_gap; /* a broken place since the last record */
};

/* Keeps the bytes for whoever wants to look, says so, and goes on. */
static void quarantine(struct replay *r, const char *path, struct slice file, size_t offset,
                       size_t bytes)
{
    const char *name = strrchr(path, '/') + 1;
    char *dir = mem_printf("%s/quarantine", r->w->dir);
    char *to = mem_printf("%s/%.16s-%zu.bin", dir, name, offset);
    struct err *e = r->w->io->ops->mkdirs(r->w->io, dir);

    if (!e)
        e = r->w->io->ops->put(r->w->io, to, slice_sub(file, offset, bytes));
    LOG_ERROR(wal, "part of the log cannot be read and was put aside", KV_STR("path", path),
              KV_U64("offset", offset), KV_U64("bytes", bytes), KV_ERR(e));
    err_free(e);
    r->stats->quarantined++;
    r->stats->quarantined_bytes += bytes;
    r->has_gap = true;
    mem_free(to);
    mem_free(dir);
}

static struct err *replay_record(struct replay *r, const struct wal_record *rec)
{
    if (r->has_gap) {
        r->stats->skipped_to_seq = rec->seq;
        r->has_gap = false;
    }
    if (rec->seq < r->from_seq)
        return NULL;
    r->stats->records++;
    r->stats->bytes += rec->payload.len;
    return r->fn(r->arg, rec);
}

static struct err *replay_mapped(struct replay *r, const char *path, struct slice file)
{
    struct walseg_scan s;
    enum walseg_event event;
    uint64_t first_seq;
    struct err *e = NULL;

    if (is_blank(file)) { /* made by a start that crashed, removed by the next, and back again */
        LOG_WARN(wal, "a file of the log holds nothing", KV_STR("path", path));
        return NULL;
    }
    if (!walseg_parse_header(file, &first_seq)) {
        quarantine(r, path, file, 0, file.len);
        return NULL;
    }
    walseg_scan_init(&s, file, first_seq);
    while (!e && (event = walseg_scan_next(&s)) != WALSEG_END) {
        if (event == WALSEG_RECORD)
            e = replay_record(r, &s.rec);
        else if (s.bytes) /* torn tails were cut at open: what is left here is damage */
            quarantine(r, path, file, s.offset, s.bytes);
    }
    return e;
}

static struct err *replay_file(struct replay *r, const char *path)
{
    struct walio *io = r->w->io;
    struct slice file;
    struct err *e = io->ops->map(io, path, &file);

    if (e)
        return e;
    r->stats->segments++;
    e = replay_mapped(r, path, file);
    io->ops->unmap(io, file);
    return e;
}

/* Path of the i-th old file, NULL behind the last; also skips files wholly below from_seq. */
static char *old_file(struct wal *w, size_t i, uint64_t from_seq)
{
    char *path = NULL;

    lock_take(&w->lock);
    if (i < w->old_files) {
        bool is_below = i + 1 < w->files.len && w->files.ptr[i + 1].first_seq <= from_seq;

        path = mem_strdup(is_below ? "" : w->files.ptr[i].path);
    }
    lock_release(&w->lock);
    return path;
}

struct err *wal_replay(struct wal *w, uint64_t from_seq, wal_replay_fn *fn, void *arg,
                       struct wal_replay_stats *ret)
{
    struct replay r = {.w = w, .from_seq = from_seq, .fn = fn, .arg = arg, .stats = ret};
    struct err *e = NULL;
    char *path;

    ORR_ASSERT(!w->is_replayed);
    w->is_replayed = true;
    *ret = (struct wal_replay_stats){.torn_bytes = w->m.torn_bytes};
    for (size_t i = 0; !e && (path = old_file(w, i, from_seq)); i++) {
        if (path[0])
            e = replay_file(&r, path);
        mem_free(path);
    }
    w->m.replayed_records = ret->records;
    w->m.quarantined = ret->quarantined;
    w->m.quarantined_bytes = ret->quarantined_bytes;
    return err_wrap(e, "replay the log");
}
