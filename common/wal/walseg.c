#include "common/wal/walseg.h"

#include "common/base/hash.h"
#include "common/base/reader.h"

static const uint8_t segment_magic[8] = {'O', 'R', 'R', 'W', 'A', 'L', 0, 1};
static const uint8_t group_magic[4] = {'O', 'G', 'R', 'P'};

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}

void walseg_header(uint8_t out[WALSEG_HEADER_BYTES], uint64_t first_seq, int64_t created_ns)
{
    memset(out, 0, WALSEG_HEADER_BYTES);
    memcpy(out, segment_magic, sizeof(segment_magic));
    put64(out + 8, first_seq);
    put64(out + 16, (uint64_t)created_ns);
    put32(out + 24, hash_crc32c(slice_of(out, 24)));
}

bool walseg_parse_header(struct slice file, uint64_t *ret_first_seq)
{
    struct reader r = reader_new(file);
    struct slice magic = reader_bytes(&r, sizeof(segment_magic));
    uint64_t first_seq = reader_u64le(&r);
    uint32_t crc;

    (void)reader_u64le(&r);
    crc = reader_u32le(&r);
    (void)reader_u32le(&r);
    if (!reader_ok(&r) || memcmp(magic.ptr, segment_magic, sizeof(segment_magic)) != 0 ||
        crc != hash_crc32c(slice_of(file.ptr, 24)))
        return false;
    *ret_first_seq = first_seq;
    return true;
}

void walseg_group_header(uint8_t out[WALSEG_GROUP_BYTES], size_t body_bytes, uint64_t first_seq,
                         uint32_t records)
{
    memcpy(out, group_magic, sizeof(group_magic));
    put32(out + 4, (uint32_t)body_bytes);
    put64(out + 8, first_seq);
    put32(out + 16, records);
    put32(out + 20, hash_crc32c(slice_of(out, 20)));
}

uint32_t walseg_record_crc(uint8_t type, struct slice tenant, struct slice payload)
{
    uint8_t head[2] = {type, (uint8_t)tenant.len};
    uint32_t crc = hash_crc32c(slice_of(head, sizeof(head)));

    crc = hash_crc32c_more(crc, tenant);
    return hash_crc32c_more(crc, payload);
}

void walseg_append_record(struct buf *group, uint32_t crc, uint8_t type, struct slice tenant,
                          struct slice payload)
{
    buf_u32le(group, (uint32_t)(2 + tenant.len + payload.len));
    buf_u32le(group, crc);
    buf_byte(group, type);
    buf_byte(group, (uint8_t)tenant.len);
    buf_slice_append(group, tenant);
    buf_slice_append(group, payload);
}

struct group {
    size_t body_bytes;
    uint64_t first_seq;
    uint32_t records;
};

/* Is there a valid group header at this offset? */
static bool group_at(struct slice file, size_t at, struct group *ret)
{
    struct slice h = slice_sub(file, at, WALSEG_GROUP_BYTES);
    struct reader r = reader_new(h);
    struct slice magic = reader_bytes(&r, sizeof(group_magic));
    uint32_t crc;

    ret->body_bytes = reader_u32le(&r);
    ret->first_seq = reader_u64le(&r);
    ret->records = reader_u32le(&r);
    crc = reader_u32le(&r);
    return reader_ok(&r) && memcmp(magic.ptr, group_magic, sizeof(group_magic)) == 0 &&
           crc == hash_crc32c(slice_of(h.ptr, 20));
}

static bool is_zero(struct slice s)
{
    return s.len == 0 || (s.ptr[0] == 0 && memcmp(s.ptr, s.ptr + 1, s.len - 1) == 0);
}

/* First valid group header behind at, or the end of the file. */
static size_t find_group(struct slice file, size_t at)
{
    struct group g;

    for (at = (at & ~(size_t)7) + 8; at + WALSEG_GROUP_BYTES <= file.len; at += 8)
        if (group_at(file, at, &g))
            return at;
    return file.len;
}

void walseg_scan_init(struct walseg_scan *s, struct slice file, uint64_t first_seq)
{
    *s = (struct walseg_scan){
        .file = file, .at = WALSEG_HEADER_BYTES, .seq = first_seq, .next_seq = first_seq};
    s->group_end_seq = first_seq;
}

static enum walseg_event broken(struct walseg_scan *s, size_t offset, size_t end)
{
    s->offset = offset;
    s->bytes = end - offset;
    return end >= s->file.len || is_zero(slice_from(s->file, end)) ? WALSEG_TORN : WALSEG_BROKEN;
}

/* Behind a record with a wrong checksum, whose length may be wrong, too: do the records that must
 * follow fit what is left of the group exactly? Else their numbers would be guesses. */
static bool is_in_step(const struct walseg_scan *s)
{
    struct reader r = reader_new(slice_sub(s->file, s->rec_at, s->rec_end - s->rec_at));

    for (uint64_t seq = s->seq; seq < s->group_end_seq && reader_ok(&r); seq++) {
        uint32_t len = reader_u32le(&r);

        (void)reader_u32le(&r);
        (void)reader_bytes(&r, len);
    }
    return reader_ok(&r) && s->rec_end - s->rec_at - reader_pos(&r) < 8;
}

/* The next record of the current group, or what is wrong with it. */
static enum walseg_event record_next(struct walseg_scan *s)
{
    struct slice bytes = slice_sub(s->file, s->rec_at, s->rec_end - s->rec_at);
    struct reader r = reader_new(bytes);
    uint32_t len = reader_u32le(&r);
    uint32_t crc = reader_u32le(&r);
    struct slice content = reader_bytes(&r, len);
    size_t at = s->rec_at;
    uint8_t tenant_len;

    if (!reader_ok(&r) || len < 2 || content.ptr[1] > len - 2) {
        s->rec_at = s->rec_end; /* its length is no guide to the next one */
        s->seq = s->group_end_seq;
        return broken(s, at, s->at);
    }
    s->rec_at += reader_pos(&r);
    s->seq++;
    if (hash_crc32c(content) != crc) {
        if (!is_in_step(s)) {
            s->rec_at = s->rec_end;
            s->seq = s->group_end_seq;
        }
        return broken(s, at, s->seq == s->group_end_seq ? s->at : s->rec_at);
    }
    tenant_len = content.ptr[1];
    s->rec = (struct wal_record){
        .seq = s->seq - 1,
        .type = content.ptr[0],
        .tenant = slice_of(content.ptr + 2, tenant_len),
        .payload = slice_of(content.ptr + 2 + tenant_len, len - 2u - tenant_len),
    };
    s->offset = at;
    s->bytes = s->rec_at - at;
    return WALSEG_RECORD;
}

enum walseg_event walseg_scan_next(struct walseg_scan *s)
{
    while (s->seq >= s->group_end_seq) {
        size_t at = s->at;
        struct group g;

        if (is_zero(slice_from(s->file, at)))
            return WALSEG_END;
        if (!group_at(s->file, at, &g) || g.first_seq < s->next_seq) {
            s->at = find_group(s->file, at);
            return broken(s, at, s->at);
        }
        s->rec_at = at + WALSEG_GROUP_BYTES;
        s->rec_end = ORR_MIN(s->rec_at + g.body_bytes, s->file.len);
        s->at = s->rec_end;
        s->seq = g.first_seq;
        s->group_end_seq = s->next_seq = g.first_seq + g.records;
    }
    return record_next(s);
}

void walseg_tail(struct slice file, uint64_t first_seq, struct walseg_tail *ret)
{
    struct walseg_scan s;
    enum walseg_event event;

    *ret = (struct walseg_tail){0};
    walseg_scan_init(&s, file, first_seq);
    while ((event = walseg_scan_next(&s)) != WALSEG_END) {
        ret->has_records = true;
        if (event == WALSEG_TORN && s.bytes) {
            ret->torn_at = s.offset;
            ret->torn_bytes = s.bytes;
        }
    }
    ret->next_seq = s.next_seq;
}
