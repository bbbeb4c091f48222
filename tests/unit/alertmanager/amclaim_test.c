#include "alertmanager/amclaim.h"
#include "tests/unit/test.h"

static const struct nflog_alerts one_firing = {(const uint64_t[]){7}, NULL, 1, 0};

static void answer(struct buf *out, uint8_t stage, uint64_t stamp, struct slice entry)
{
    buf_reset(out);
    buf_byte(out, 1);
    buf_byte(out, stage);
    buf_uvarint(out, stamp);
    buf_lstr(out, entry);
}

static bool may_speak(uint8_t stage, uint64_t stamp, const char *peer, uint64_t own)
{
    struct amclaim_rank rank = {own, SLICE("b")};
    struct nflog *log = nflog_new();
    struct buf b = {0};
    uint64_t clock = 3;
    bool ret = false, news = true;

    answer(&b, stage, stamp, SLICE_EMPTY);
    CHECK_OK(amclaim_take(buf_slice(&b), slice_cstr(peer), &rank, log, 1000, &clock, &ret, &news));
    CHECK(!news);
    CHECK_INT(nflog_count(log), 0);
    CHECK_INT(clock, ORR_MAX(stamp, 3)); /* later claims come after all that was heard of */
    buf_done(&b);
    nflog_free(log);
    return ret;
}

TEST(amclaim_who_sends_goes_first_then_the_lower_stamp_then_the_lower_name)
{
    CHECK(may_speak(DISPATCH_QUIET, 0, "a", 5));
    CHECK(!may_speak(DISPATCH_SENDING, 9, "z", 0));
    CHECK(may_speak(DISPATCH_ASKING, 1, "a", 0));
    CHECK(!may_speak(DISPATCH_ASKING, 0, "c", 1));
    CHECK(may_speak(DISPATCH_ASKING, 1, "c", 1));
    CHECK(!may_speak(DISPATCH_ASKING, 1, "a", 1));
}

TEST(amclaim_an_answer_brings_what_the_peer_has_logged)
{
    struct nflog *theirs = nflog_new(), *ours = nflog_new();
    struct amclaim_rank rank = {0, SLICE("b")};
    struct buf question = {0}, b = {0};
    uint64_t clock = 8;
    bool ret = false, news = false;

    nflog_set(theirs, SLICE("key"), &one_firing, 1000, 60000);
    amclaim_question(&question, SLICE("key"), 9);
    CHECK_OK(amclaim_answer(&b, buf_slice(&question), NULL, theirs, &clock));
    CHECK_INT(clock, 9);
    CHECK_OK(amclaim_take(buf_slice(&b), SLICE("a"), &rank, ours, 1000, &clock, &ret, &news));
    CHECK(ret && news);
    CHECK_INT(nflog_check(ours, SLICE("key"), &one_firing, true, 60000, 1000), NFLOG_NONE);
    CHECK_OK(amclaim_take(buf_slice(&b), SLICE("a"), &rank, ours, 1000, &clock, &ret, &news));
    CHECK(ret && !news);
    buf_done(&question);
    buf_done(&b);
    nflog_free(theirs);
    nflog_free(ours);
}

TEST(amclaim_bytes)
{
    struct nflog *log = nflog_new();
    struct buf b = {0};
    uint64_t clock = 0;

    amclaim_question(&b, SLICE("key"), 4);
    CHECK_SLICE(buf_slice(&b), "\x01\x04\x03key");
    buf_reset(&b);
    CHECK_OK(amclaim_answer(&b, SLICE("\x01\x04\x03key"), NULL, log, &clock));
    CHECK(slice_eq(buf_slice(&b), SLICE("\x01\0\0\0")));
    buf_done(&b);
    nflog_free(log);
}

TEST(amclaim_refuses_what_makes_no_sense_and_merges_nothing_of_it)
{
    static const struct slice questions[] = {
        SLICE_INIT(""), SLICE_INIT("\x01"), SLICE_INIT("\x01\x04\x00"),
        SLICE_INIT("\x01\x04\x09key"),
        SLICE_INIT("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x03key")};
    struct amclaim_rank rank = {0, SLICE_INIT("b")};
    struct nflog *log = nflog_new();
    struct buf b = {0}, entry = {0};
    uint64_t clock = 7;
    bool ret = true, news = false;

    for (size_t i = 0; i < ORR_COUNT(questions); i++)
        CHECK_ERR(amclaim_answer(&b, questions[i], NULL, log, &clock), ERR_INVALID, "claim");
    CHECK_ERR(amclaim_answer(&b, SLICE("\x02\x04\x03key"), NULL, log, &clock), ERR_UNSUPPORTED,
              "format 2");
    CHECK_INT(b.len, 0);
    CHECK_INT(clock, 7);
    nflog_set(log, SLICE("key"), &one_firing, 1000, 60000);
    nflog_entry(log, SLICE("key"), &entry);
    nflog_free(log);
    log = nflog_new();
    answer(&b, DISPATCH_SENDING + 1, 0, buf_slice(&entry));
    CHECK_ERR(amclaim_take(buf_slice(&b), SLICE("a"), &rank, log, 1000, &clock, &ret, &news),
              ERR_INVALID, "malformed answer");
    answer(&b, DISPATCH_QUIET, 0, slice_of(entry.ptr, entry.len - 1));
    CHECK_ERR(amclaim_take(buf_slice(&b), SLICE("a"), &rank, log, 1000, &clock, &ret, &news),
              ERR_INVALID, "claim");
    CHECK_INT(nflog_count(log), 0);
    buf_done(&b);
    buf_done(&entry);
    nflog_free(log);
}
