#include "common/block/block_out.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define OUT_BUFFER (256u << 10)

struct err *block_out_open(struct block_out *o, const char *path)
{
    int errnum = 0, fd = -1;

    *o = (struct block_out){.fd = -1};
    if (!fault_hit("block_out.open", &errnum)) {
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
        errnum = errno;
    }
    if (fd < 0)
        return err_errnum(ERR_IO, errnum, "create %s", path);
    o->fd = fd;
    o->path = mem_strdup(path);
    return NULL;
}

static void flush(struct block_out *o)
{
    size_t done = 0;
    int errnum;

    if (!o->failed && o->buf.len && fault_hit("block_out.write", &errnum))
        o->failed = err_errnum(ERR_IO, errnum, "write %s", o->path);
    while (!o->failed && done < o->buf.len) {
        ssize_t n = write(o->fd, o->buf.ptr + done, o->buf.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            o->failed = err_errno(ERR_IO, "write %s", o->path);
        else
            done += (size_t)n;
    }
    buf_reset(&o->buf);
}

void block_out_put(struct block_out *o, struct slice s)
{
    o->crc = hash_crc32c_more(o->crc, s);
    o->pos += s.len;
    buf_slice_append(&o->buf, s);
    if (o->buf.len >= OUT_BUFFER)
        flush(o);
}

void block_out_u8(struct block_out *o, uint8_t v)
{
    block_out_put(o, slice_of(&v, 1));
}

void block_out_u32be(struct block_out *o, uint32_t v)
{
    v = __builtin_bswap32(v);
    block_out_put(o, slice_of(&v, 4));
}

void block_out_u64be(struct block_out *o, uint64_t v)
{
    v = __builtin_bswap64(v);
    block_out_put(o, slice_of(&v, 8));
}

void block_out_uvarint(struct block_out *o, uint64_t v)
{
    uint8_t b[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        b[n++] = (uint8_t)(v | 0x80);
    b[n++] = (uint8_t)v;
    block_out_put(o, slice_of(b, n));
}

void block_out_lstr(struct block_out *o, struct slice s)
{
    block_out_uvarint(o, s.len);
    block_out_put(o, s);
}

void block_out_align(struct block_out *o, unsigned to)
{
    static const uint8_t zeros[16];
    unsigned rest = (unsigned)(o->pos % to);

    ORR_ASSERT(to <= sizeof(zeros));
    if (rest)
        block_out_put(o, slice_of(zeros, to - rest));
}

void block_out_crc_begin(struct block_out *o)
{
    o->crc = 0;
}

void block_out_crc_end(struct block_out *o)
{
    block_out_u32be(o, o->crc);
}

struct err *block_out_check(struct block_out *o)
{
    struct err *e = err_copy(o->failed);

    return e;
}

struct err *block_out_close(struct block_out *o, bool sync)
{
    struct err *e;
    int errnum;

    if (o->fd < 0)
        return NULL;
    flush(o);
    e = o->failed;
    o->failed = NULL;
    if (!e && sync) {
        if (fault_hit("block_out.sync", &errnum))
            e = err_errnum(ERR_IO, errnum, "sync %s", o->path);
        else if (fsync(o->fd) != 0)
            e = err_errno(ERR_IO, "sync %s", o->path);
    }
    if (close(o->fd) != 0 && !e)
        e = err_errno(ERR_IO, "close %s", o->path);
    o->fd = -1;
    mem_free(o->path);
    buf_done(&o->buf);
    return e;
}

void block_out_abort(struct block_out *o)
{
    if (o->fd >= 0) {
        buf_reset(&o->buf);
        err_free(block_out_close(o, false));
    }
}
