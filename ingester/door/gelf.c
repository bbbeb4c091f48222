#include "ingester/door/gelf.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/net/codec.h"
#include "ingester/door/json_lines.h"
#include "ingester/door/syslog_line.h"

#define CHUNK_HEAD 12
#define ID_BYTES 8

/* ---- a message ---- */

static struct err *unpack(struct slice in, struct buf *out)
{
    enum codec c = CODEC_IDENTITY;

    if (in.len > 2 && in.ptr[0] == 0x1f && in.ptr[1] == 0x8b)
        c = CODEC_GZIP;
    else if (in.len > 2 && (in.ptr[0] & 0x0f) == 8 && (in.ptr[0] << 8 | in.ptr[1]) % 31 == 0)
        c = CODEC_DEFLATE;
    return codec_decode(c, in, GELF_MAX_BYTES, out);
}

struct fields {
    struct slice host, app, facility, full, brief;
    int64_t t_ns;
    struct label md[GELF_MAX_FIELDS + 2]; /* two for the level and the short message */
    size_t n;
};

/* If fewer than max are there: JSON may have a key as often as it likes. */
static void put(struct fields *f, size_t max, struct slice name, struct slice value)
{
    if (f->n < max)
        f->md[f->n++] = (struct label){name, value};
}

static void member(struct arena *a, struct slice key, struct jsonval v, struct fields *f)
{
    struct slice text = json_lines_text(a, v);
    int64_t level;

    if (slice_eq_cstr(key, "timestamp")) {
        (void)json_lines_time(v, &f->t_ns);
    } else if (text.len == 0 || slice_eq_cstr(key, "version")) {
        return;
    } else if (slice_eq_cstr(key, "host")) {
        f->host = text;
    } else if (slice_eq_cstr(key, "full_message")) {
        f->full = text;
    } else if (slice_eq_cstr(key, "short_message")) {
        f->brief = text;
    } else if (slice_eq_cstr(key, "level") && slice_to_i64(text, &level) && level >= 0 &&
               level < 8) {
        put(f, GELF_MAX_FIELDS + 1, SLICE("level"),
            slice_cstr(syslog_line_severity((unsigned)level)));
    } else {
        if (slice_eq_cstr(key, "_app") || slice_eq_cstr(key, "_service"))
            f->app = text;
        if (slice_eq_cstr(key, "facility"))
            f->facility = text;
        if (key.len > 1 && key.ptr[0] == '_')
            key = slice_from(key, 1);
        put(f, GELF_MAX_FIELDS, arena_dup(a, key), text);
    }
}

static struct err *add(struct log_builder *b, struct jsonval root)
{
    struct arena *a = log_builder_arena(b);
    struct fields f; /* not all of it is cleared: it is large, and most messages are small */
    struct jsonval_iter it = jsonval_iter(root);
    struct label ls[3];
    struct log_builder_at at;
    struct jsonval v;
    struct slice key;
    struct log_in in;
    size_t n = 0;

    f.host = f.app = f.facility = f.full = f.brief = SLICE_EMPTY;
    f.t_ns = b->now_ns;
    f.n = 0;
    while (jsonval_next(&it, &key, &v))
        member(a, key, v, &f);
    if (f.brief.len && f.full.len)
        put(&f, ORR_COUNT(f.md), SLICE("short_message"), f.brief);
    ls[n++] = (struct label){SLICE("job"), SLICE("gelf")};
    if (f.host.len)
        ls[n++] = (struct label){SLICE("host"), f.host};
    if (f.app.len || f.facility.len)
        ls[n++] = (struct label){SLICE("app"), f.app.len ? f.app : f.facility};
    at = log_builder_stream(b, (struct labels){ls, n});
    in = (struct log_in){
        .t_ns = f.t_ns, .line = f.full.len ? f.full : f.brief, .metadata = f.md, .n_metadata = f.n};
    return log_builder_entry(b, &at, &in);
}

struct err *gelf_add(struct log_builder *b, struct slice message)
{
    struct jsonval_doc *doc = NULL;
    struct jsonval root;
    struct buf text = {0};
    struct err *e = unpack(message, &text);

    if (!e)
        e = jsonval_parse(buf_slice(&text), GELF_MAX_DEPTH, &doc, &root);
    if (!e && jsonval_kind(root) != JSONVAL_OBJECT)
        e = err_new(ERR_INVALID, "not a JSON object");
    if (e) {
        log_builder_reject(b, LOG_BAD_RECORD, message.len, SLICE_EMPTY, err_msg(e));
        err_free(e);
        e = NULL;
    } else {
        e = add(b, root);
    }
    jsonval_free(doc);
    buf_done(&text);
    return e;
}

/* ---- chunks ---- */

struct partial {
    uint8_t id[ID_BYTES];
    int64_t began_ms;
    struct buf parts[GELF_MAX_CHUNKS];
    bool has[GELF_MAX_CHUNKS];
    unsigned n, count;
    size_t bytes;
    struct partial *older, *newer;
};

struct gelf_chunks {
    size_t max_bytes, bytes;
    uint64_t dropped;
    struct map by_id; /* struct partial */
    struct partial *oldest, *newest;
    struct buf whole;
};

struct gelf_chunks *gelf_chunks_new(size_t max_bytes)
{
    struct gelf_chunks *c = mem_new(struct gelf_chunks);

    c->max_bytes = max_bytes;
    return c;
}

static void drop(struct gelf_chunks *c, struct partial *p)
{
    (void)map_del(&c->by_id, slice_of(p->id, ID_BYTES));
    *(p->older ? &p->older->newer : &c->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &c->newest) = p->older;
    c->bytes -= p->bytes;
    for (unsigned i = 0; i < p->count; i++)
        buf_done(&p->parts[i]);
    mem_free(p);
}

void gelf_chunks_free(struct gelf_chunks *c)
{
    if (!c)
        return;
    while (c->oldest)
        drop(c, c->oldest);
    map_done(&c->by_id);
    buf_done(&c->whole);
    mem_free(c);
}

static struct partial *begin(struct gelf_chunks *c, struct slice id, unsigned count, int64_t now_ms)
{
    struct partial *p = mem_new(struct partial);

    memcpy(p->id, id.ptr, ID_BYTES);
    p->began_ms = now_ms;
    p->count = count;
    p->bytes = sizeof(*p);
    p->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = p;
    c->newest = p;
    c->bytes += p->bytes;
    (void)map_put(&c->by_id, id, p);
    return p;
}

/* Those that waited too long, and the oldest while there is no room. */
static void keep_budget(struct gelf_chunks *c, int64_t now_ms, size_t more)
{
    while (c->oldest &&
           (now_ms - c->oldest->began_ms > GELF_CHUNK_MS || c->bytes + more > c->max_bytes)) {
        drop(c, c->oldest);
        c->dropped++;
    }
}

void gelf_chunks_expire(struct gelf_chunks *c, int64_t now_ms)
{
    keep_budget(c, now_ms, 0);
}

bool gelf_chunks_put(struct gelf_chunks *c, struct slice d, int64_t now_ms, struct slice *ret)
{
    unsigned number, count;
    struct partial *p;
    struct slice id, data;

    if (d.len < 2 || d.ptr[0] != 0x1e || d.ptr[1] != 0x0f) {
        *ret = d;
        return true;
    }
    keep_budget(c, now_ms, sizeof(*p) + d.len);
    if (d.len < CHUNK_HEAD || sizeof(*p) + d.len > c->max_bytes) {
        c->dropped++;
        return false;
    }
    id = slice_sub(d, 2, ID_BYTES);
    number = d.ptr[10];
    count = d.ptr[11];
    data = slice_from(d, CHUNK_HEAD);
    p = map_get(&c->by_id, id);
    if (count == 0 || count > GELF_MAX_CHUNKS || number >= count || (p && p->count != count)) {
        c->dropped++;
        return false;
    }
    if (!p)
        p = begin(c, id, count, now_ms);
    if (p->has[number])
        return false;
    p->has[number] = true;
    buf_slice_append(&p->parts[number], data);
    p->bytes += data.len;
    c->bytes += data.len;
    if (++p->n < count)
        return false;
    buf_reset(&c->whole);
    for (unsigned i = 0; i < count; i++)
        buf_slice_append(&c->whole, buf_slice(&p->parts[i]));
    drop(c, p);
    *ret = buf_slice(&c->whole);
    return true;
}

uint64_t gelf_chunks_dropped(const struct gelf_chunks *c)
{
    return c->dropped;
}

size_t gelf_chunks_bytes(const struct gelf_chunks *c)
{
    return c->bytes;
}
