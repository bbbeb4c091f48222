/* Any bytes as a piece of a query that another querier asks for, as its end and as its statistics: they decode or fail; what decodes
 * encodes to what decodes to the same. And as what a querier has made of a piece, of lines and of a range aggregation. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "querier/logs/logpiece_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void question(struct slice bytes)
{
    struct logpiece_wire_ask ask, again;
    struct logpiece_wire_what what, what_again;
    struct buf b = {0};
    struct err *e = logpiece_wire_ask_decode(bytes, &ask);

    if (!e) {
        logpiece_wire_ask_encode(&b, &ask);
        ORR_ASSERT(!(e = logpiece_wire_ask_decode(buf_slice(&b), &again)));
        ORR_ASSERT(slice_eq(ask.what, again.what) && ask.min_ms == again.min_ms);
        e = logpiece_wire_what_decode(ask.what, &what);
    }
    if (!e) {
        buf_reset(&b);
        logpiece_wire_what_encode(&b, &what);
        ORR_ASSERT(!(e = logpiece_wire_what_decode(buf_slice(&b), &what_again)));
        ORR_ASSERT(slice_eq(what.q.expr, what_again.q.expr) &&
                   slice_eq(what.leaf, what_again.leaf) && what.at.to_ns == what_again.at.to_ns);
    }
    err_free(e);
    buf_done(&b);
}

static void answer(struct slice bytes)
{
    struct arena *a = arena_new(0);
    struct logquery_stats stats = {0};
    struct logpiece_wire_end end;
    struct reader r = reader_new(bytes);

    if (logpiece_wire_end_decode(a, &r, &end)) {
        struct buf b = {0};

        logpiece_wire_end_encode(&b, &end);
        r = reader_new(slice_from(buf_slice(&b), 1));
        ORR_ASSERT(logpiece_wire_end_decode(a, &r, &end));
        buf_done(&b);
    }
    r = reader_new(bytes);
    (void)logpiece_wire_stats_decode(&r, &stats);
    arena_free(a);
}

/* ---- a source whose only piece somebody else runs, who says these bytes ---- */

struct told {
    struct logsource source;
    struct slice bytes;
};
struct logsource_owners {
    struct told *told;
};
struct logsource_asked {
    struct told *told;
};

static struct err *told_select(struct logsource *src, struct arena *arena,
                               const struct logsource_request *req, struct logsource_set **ret)
{
    (void)src;
    (void)arena;
    (void)req;
    (void)ret;
    return err_new(ERR_UNSUPPORTED, "there are no lines here");
}

static size_t told_cut(struct logsource *src, struct arena *a, const struct logsource_request *req,
                       unsigned lanes, struct logsource_piece **ret)
{
    (void)src;
    (void)lanes;
    *ret = arena_new_of(a, struct logsource_piece);
    **ret = (struct logsource_piece){req->start_ns, req->end_ns, 0, UINT64_MAX};
    return 1;
}

static struct logsource *told_fork(struct logsource *src, struct arena *arena)
{
    (void)arena;
    return src;
}

static void told_join(struct logsource *src, struct logsource *fork)
{
    (void)src;
    (void)fork;
}

static struct logsource_owners *told_owners(struct logsource *src,
                                            const struct logsource_piece *list, size_t n)
{
    struct logsource_owners *o = mem_new(struct logsource_owners);

    (void)list;
    (void)n;
    o->told = (struct told *)src;
    return o;
}

static bool told_is_away(const struct logsource_owners *o, size_t i)
{
    (void)o;
    (void)i;
    return true;
}

static void told_owners_done(struct logsource_owners *o)
{
    mem_free(o);
}

static struct logsource_asked *told_ask(struct logsource *fork, struct logsource_owners *o,
                                        size_t i, struct slice what)
{
    struct logsource_asked *asked = mem_new(struct logsource_asked);

    (void)fork;
    (void)i;
    (void)what;
    asked->told = o->told;
    return asked;
}

static struct err *told_answer(struct logsource_asked *asked, struct buf *ret)
{
    buf_slice_append(ret, asked->told->bytes);
    return NULL;
}

static void told_nothing(struct logsource_asked *asked)
{
    (void)asked;
}

static void told_done(struct logsource_asked *asked)
{
    mem_free(asked);
}

static void made(const struct engine *eng, struct job_pool *pool, const char *expr,
                 struct slice bytes)
{
    static const struct logsource_away_ops away = {.owners = told_owners,
                                                   .is_away = told_is_away,
                                                   .owners_done = told_owners_done,
                                                   .ask = told_ask,
                                                   .answer = told_answer,
                                                   .used = told_nothing,
                                                   .failed = told_nothing,
                                                   .stop = told_nothing,
                                                   .done = told_done};
    static const struct logsource_ops ops = {.select = told_select,
                                             .cut = told_cut,
                                             .fork = told_fork,
                                             .join = told_join,
                                             .away = &away};
    struct told told = {{&ops}, bytes};
    struct arena *a = arena_new(64u << 20);
    struct logquery_result res;
    struct logquery q = {.expr = slice_cstr(expr),
                         .end_ns = 100 * NS_PER_S,
                         .step_ns = NS_PER_S,
                         .is_forward = true,
                         .pool = pool,
                         .lanes = 2};

    err_free(logquery(eng, &q, &told.source, a, &res));
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct engine *eng;
    static struct job_pool *pool;

    if (!eng) {
        eng = logquery_engine();
        pool = job_pool_new("fuzz", 1, 10);
    }
    question(slice_of(data, size));
    answer(slice_of(data, size));
    made(eng, pool, "{a=\"b\"}", slice_of(data, size));
    made(eng, pool, "count_over_time({a=\"b\"}[5s])", slice_of(data, size));
    made(eng, pool, "sum_over_time({a=\"b\"} | unwrap x [5s])", slice_of(data, size));
    return 0;
}
