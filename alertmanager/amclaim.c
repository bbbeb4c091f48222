#include "alertmanager/amclaim.h"

#include "common/base/reader.h"

#define FORMAT 1
#define MAX_STAMP (UINT64_MAX / 2)

void amclaim_question(struct buf *out, struct slice key, uint64_t stamp)
{
    buf_byte(out, FORMAT);
    buf_uvarint(out, stamp);
    buf_lstr(out, key);
}

static struct err *check_format(struct reader *r)
{
    uint8_t format = reader_u8(r);

    if (!reader_ok(r))
        return err_new(ERR_INVALID, "claim: empty");
    return format == FORMAT ? NULL : err_new(ERR_UNSUPPORTED, "claim: format %u", format);
}

struct err *amclaim_answer(struct buf *out, struct slice question, const struct dispatch *d,
                           const struct nflog *log, uint64_t *clock)
{
    struct reader r = reader_new(question);
    struct dispatch_claim claim = {DISPATCH_QUIET, 0};
    struct err *e = check_format(&r);
    struct buf entry = {0};
    struct slice key;
    uint64_t stamp;

    if (e)
        return e;
    stamp = reader_uvarint(&r);
    key = reader_lstr(&r);
    if (!reader_ok(&r) || !key.len || stamp > MAX_STAMP)
        return err_new(ERR_INVALID, "claim: malformed question");
    *clock = ORR_MAX(*clock, stamp);
    if (d)
        claim = dispatch_claim(d, key);
    nflog_entry(log, key, &entry);
    buf_byte(out, FORMAT);
    buf_byte(out, (uint8_t)claim.stage);
    buf_uvarint(out, claim.stamp);
    buf_lstr(out, buf_slice(&entry));
    buf_done(&entry);
    return NULL;
}

/* Whether own goes before the peer's claim. */
static bool goes_first(const struct amclaim_rank *own, uint8_t stage, uint64_t stamp,
                       struct slice peer)
{
    if (stage != DISPATCH_ASKING)
        return stage == DISPATCH_QUIET;
    return own->stamp != stamp ? own->stamp < stamp : slice_cmp(own->instance, peer) < 0;
}

struct err *amclaim_take(struct slice answer, struct slice peer, const struct amclaim_rank *own,
                         struct nflog *log, int64_t wall_ms, uint64_t *clock, bool *ret_may_speak,
                         bool *ret_news)
{
    struct reader r = reader_new(answer);
    struct err *e = check_format(&r);
    uint8_t stage = reader_u8(&r);
    uint64_t stamp = reader_uvarint(&r);
    struct slice entry = reader_lstr(&r);
    bool news = false;

    if (e)
        return e;
    if (!reader_ok(&r) || stage > DISPATCH_SENDING || stamp > MAX_STAMP)
        return err_new(ERR_INVALID, "claim: malformed answer");
    if (entry.len && (e = nflog_merge(log, entry, wall_ms, &news)))
        return err_wrap(e, "claim");
    *clock = ORR_MAX(*clock, stamp);
    *ret_may_speak = goes_first(own, stage, stamp, peer);
    *ret_news = news;
    return NULL;
}
