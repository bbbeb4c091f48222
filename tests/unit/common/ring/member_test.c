#include "common/ring/member.h"
#include "tests/unit/test.h"

static const uint32_t some_tokens[] = {7, 4000000000u, 9, 7};

static struct member sample(void)
{
    return (struct member){.instance = "ingester-a-0",
                           .zone = "a",
                           .rpc_addr = "10.0.0.1:7946",
                           .http_addr = "10.0.0.1:9009",
                           .roles = MEMBER_INGESTER | MEMBER_RULER,
                           .signals = MEMBER_METRICS,
                           .state = MEMBER_ACTIVE,
                           .incarnation = 5,
                           .version = 3,
                           .registered_ms = 1000,
                           .state_ms = -1,
                           .tokens = some_tokens,
                           .n_tokens = ORR_COUNT(some_tokens)};
}

static struct member *make(struct member m)
{
    struct member *ret;

    CHECK_OK(member_new(&m, &ret));
    return ret;
}

TEST(member_survives_its_encoding)
{
    struct member *m = make(sample()), *back;
    struct buf out = {0};

    CHECK_INT(m->n_tokens, 3);
    CHECK_INT(m->tokens[0], 7);
    CHECK_INT(m->tokens[2], 4000000000u);
    member_encode(&out, m);
    buf_str(&out, "a later version's field");
    CHECK_OK(member_decode(buf_slice(&out), &back));
    CHECK_INT(member_cmp(m, back), 0);
    CHECK_STR(back->zone, "a");
    CHECK_INT(back->state_ms, -1);
    member_unref(m);
    member_unref(back);
    buf_done(&out);
}

/* The format is on the wire between versions: these bytes must not change. */
TEST(member_golden_bytes)
{
    static const uint8_t want[] = {1, 1, 'i',  1,    'z', 1, 'r', 1, 'h', 1, 15, 2, 5, 3,
                                   2, 1, 0x80, 0x02, 2,   1, 0,   0, 0,   2, 0,  0, 0};
    static const uint32_t two[] = {1, 2};
    struct member *m = make((struct member){.instance = "i",
                                            .zone = "z",
                                            .rpc_addr = "r",
                                            .http_addr = "h",
                                            .roles = 1,
                                            .signals = 15,
                                            .state = MEMBER_ACTIVE,
                                            .incarnation = 5,
                                            .version = 3,
                                            .registered_ms = 1,
                                            .state_ms = -1,
                                            .left_ms = 128,
                                            .tokens = two,
                                            .n_tokens = 2});
    struct buf out = {0};

    member_encode(&out, m);
    CHECK(slice_eq(slice_of(out.ptr, 14), slice_of(want, 14)));
    CHECK_INT(out.ptr[14], 2);    /* registered_ms 1, zigzag */
    CHECK_INT(out.ptr[15], 1);    /* state_ms -1 */
    CHECK_INT(out.ptr[16], 0x80); /* left_ms 128 -> 256 */
    CHECK(slice_eq(slice_from(buf_slice(&out), 18), slice_of(want + 18, sizeof(want) - 18)));
    member_unref(m);
    buf_done(&out);
}

TEST(member_refuses_every_truncation)
{
    struct member *m = make(sample()), *back;
    struct buf out = {0};

    member_encode(&out, m);
    for (size_t n = 0; n < out.len; n++) {
        struct err *e = member_decode(slice_of(out.ptr, n), &back);

        CHECK(e != NULL);
        err_free(e);
    }
    out.ptr[0] = 9;
    CHECK_ERR(member_decode(buf_slice(&out), &back), ERR_UNSUPPORTED, "format 9");
    member_unref(m);
    buf_done(&out);
}

TEST(member_refuses_what_is_out_of_bounds)
{
    struct member *ret, m;
    char name[MEMBER_MAX_NAME + 2];

    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = 0;
    m = sample(), m.instance = name;
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "longer");
    m = sample(), m.instance = "";
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "empty");
    m = sample(), m.zone = "a\nb";
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "0x0a");
    m = sample(), m.state = MEMBER_STATE_COUNT;
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "state");
    m = sample(), m.incarnation = UINT64_MAX;
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "version");
    m = sample(), m.n_tokens = MEMBER_MAX_TOKENS + 1;
    CHECK_ERR(member_new(&m, &ret), ERR_INVALID, "tokens");
}

/* A total order: the merge of any entries in any order, with repeats, is the highest. */
TEST(member_cmp_is_a_total_order)
{
    struct member *all[6];
    struct member m = sample();

    all[0] = make(m);
    m.version = 4, all[1] = make(m);
    m.state = MEMBER_LEAVING, all[2] = make(m); /* the same version written twice */
    m.incarnation = 6, m.version = 1, all[3] = make(m);
    all[4] = member_forgotten(all[1], 77);
    all[5] = member_forgotten(all[1], 78);
    for (size_t a = 0; a < 6; a++) {
        CHECK_INT(member_cmp(all[a], all[a]), 0);
        for (size_t b = 0; b < 6; b++) {
            int ab = member_cmp(all[a], all[b]), ba = member_cmp(all[b], all[a]);

            CHECK((ab > 0) == (ba < 0) && (ab == 0) == (a == b));
            for (size_t c = 0; c < 6; c++)
                CHECK(!(ab > 0 && member_cmp(all[b], all[c]) > 0) ||
                      member_cmp(all[a], all[c]) > 0);
        }
    }
    CHECK(member_cmp(all[4], all[2]) > 0); /* outranks its incarnation */
    CHECK(member_cmp(all[3], all[4]) > 0); /* and yields to the next */
    CHECK_INT(all[4]->state, MEMBER_LEFT);
    CHECK_INT(all[4]->n_tokens, 0);
    CHECK_INT(all[4]->left_ms, 77);
    for (size_t a = 0; a < 6; a++)
        member_unref(all[a]);
}

TEST(member_names_of_masks)
{
    struct buf out = {0};

    member_roles_text(&out, MEMBER_QUERIER | MEMBER_ALERTMANAGER);
    CHECK_SLICE(buf_slice(&out), "querier,alertmanager");
    buf_done(&out);
    CHECK_INT(member_role_from_name(SLICE("ruler")), MEMBER_RULER);
    CHECK_INT(member_signal_from_name(SLICE("x")), 0);
    CHECK_STR(member_state_name(MEMBER_LEAVING), "LEAVING");
}
