#include "common/base/hash.h"
#include "common/traceblock/tracegroup_internal.h"
#include "common/traceblock/traceids.h"
#include "tests/unit/common/traceblock/traceblock_fixture.h"

/* ---- a group in memory ---- */

struct group {
    struct arena *a;
    struct buf parts[TRACEGROUP_PARTS];
    struct tracegroup_place place;
    struct tracegroup_about about;
    struct tracegroup *g;
    size_t fetches;
};

static struct err *fetch(void *arg, enum tracegroup_part part, uint64_t off, size_t len,
                         struct slice *ret)
{
    struct group *g = arg;

    g->fetches++;
    if (off > g->parts[part].len || len > g->parts[part].len - off)
        return err_new(ERR_CORRUPT, "cut short");
    *ret = slice_sub(buf_slice(&g->parts[part]), off, len);
    return NULL;
}

static struct err *open_group(struct group *g)
{
    struct tracegroup_io io = {fetch, g};

    if (g->a)
        arena_free(g->a);
    g->a = arena_new(64 << 20);
    return tracegroup_open(g->a, &io, &g->place, &g->about, &g->g);
}

static void make_group(struct group *g, const struct fixture *f)
{
    struct tracegroup_builder *b = tracegroup_builder_new(0);

    *g = (struct group){0};
    for (size_t i = 0; i < f->n; i++)
        CHECK_OK(tracegroup_builder_add(b, &f->t[i]));
    CHECK_OK(tracegroup_builder_end(b, g->parts, &g->place, &g->about));
    CHECK_INT(g->about.traces, f->n);
    CHECK_INT(g->about.spans, f->spans);
    tracegroup_builder_free(b);
    CHECK_OK(open_group(g));
}

static void free_group(struct group *g)
{
    arena_free(g->a);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++)
        buf_done(&g->parts[i]);
}

static void check_whole(struct group *g, const struct fixture *f, bool is_backward)
{
    struct arena *a = arena_new(0);
    struct tracepiece p;

    for (size_t k = 0; k < f->n; k++) {
        size_t i = is_backward ? f->n - 1 - k : k;

        CHECK_OK(tracegroup_piece(g->g, (uint32_t)i, a, &p));
        CHECK(fixture_eq(&p, &f->t[i]));
    }
    arena_free(a);
}

TEST(tracegroup_gives_traces_back_as_they_were)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fixture f = fixture_make(seed, 1 + seed * seed, 20);
        struct group g;

        make_group(&g, &f);
        check_whole(&g, &f, false);
        check_whole(&g, &f, true);
        CHECK_OK(tracegroup_verify(g.g));
        /* both headers, the columns of both parts: no more reads */
        CHECK_INT(g.fetches, 4);
        free_group(&g);
        arena_free(f.a);
    }
}

/* More keys than columns: the rest lies with its keys. */
TEST(tracegroup_takes_more_keys_than_it_has_columns)
{
    struct fixture f = fixture_make(3, 900, 40000);
    struct tracegroup_want want = {0};
    struct group g;
    const struct tracecols *cols;
    struct tracegroup_key key = {TRACE_SPANS, SLICE_EMPTY};
    const struct tracepiece_span *s = NULL;

    make_group(&g, &f);
    check_whole(&g, &f, false);
    /* the last attribute of all is among those */
    for (size_t t = 0; t < f.n; t++)
        for (uint32_t i = 0; i < f.t[t].n_spans; i++)
            if (f.t[t].spans[i].attributes.n)
                s = &f.t[t].spans[i];
    for (uint32_t i = 0; s && i < s->attributes.n; i++)
        if (s->attributes.ptr[i].value.kind == OTLP_VALUE_INT)
            key.key = s->attributes.ptr[i].key;
    want.keys = &key;
    want.n_keys = 1;
    CHECK_OK(tracegroup_cols(g.g, g.a, &want, &cols));
    if (key.key.len)
        CHECK(tracecols_find(cols, TRACE_SPANS, key.key));
    free_group(&g);
    arena_free(f.a);
}

TEST(tracegroup_finds_ids)
{
    struct fixture f = fixture_make(5, 500, 5);
    struct group g;
    const uint8_t(*ids)[16];
    uint8_t none[16];
    uint32_t at;

    make_group(&g, &f);
    CHECK_OK(tracegroup_ids(g.g, &ids));
    for (uint32_t i = 0; i < f.n; i++) {
        CHECK(!memcmp(ids[i], f.t[i].trace_id, 16));
        CHECK_OK(tracegroup_find(g.g, f.t[i].trace_id, &at));
        CHECK_INT(at, i);
    }
    memset(none, 0xff, sizeof(none));
    CHECK_OK(tracegroup_find(g.g, none, &at));
    CHECK_INT(at, f.n);
    CHECK_INT(g.fetches, 2); /* a header, a column */
    free_group(&g);
    arena_free(f.a);
}

TEST(tracegroup_builder_refuses_what_is_out_of_order)
{
    struct fixture f = fixture_make(7, 3, 5);
    struct tracegroup_builder *b = tracegroup_builder_new(0);
    struct tracepiece none = f.t[2];

    CHECK_OK(tracegroup_builder_add(b, &f.t[1]));
    CHECK_ERR(tracegroup_builder_add(b, &f.t[1]), ERR_INVALID, "order of their ids");
    CHECK_ERR(tracegroup_builder_add(b, &f.t[0]), ERR_INVALID, "order of their ids");
    none.n_spans = 0;
    CHECK_ERR(tracegroup_builder_add(b, &none), ERR_INVALID, "without spans");
    tracegroup_builder_free(b);
    arena_free(f.a);
}

/* ---- as columns ---- */

static struct slice cell_text(struct arena *a, const struct tracecols *c, uint8_t type, uint64_t v)
{
    double d;

    memcpy(&d, &v, sizeof(d));
    switch (type) {
    case TRACECELL_STRING:
        return slice_cstr(
            arena_printf(a, "s%.*s", (int)c->dict[v].len, (const char *)c->dict[v].ptr));
    case TRACECELL_ARRAY: {
        struct slice all = SLICE("[");

        for (uint32_t i = 0; i < c->arrays[v].n; i++) {
            struct slice one = cell_text(a, c, c->arrays[v].types[i], c->arrays[v].values[i]);

            all = slice_cstr(arena_printf(a, "%.*s,%.*s", (int)all.len, (const char *)all.ptr,
                                          (int)one.len, (const char *)one.ptr));
        }
        return all;
    }
    case TRACECELL_FLOAT:
        return slice_cstr(arena_printf(a, "f%g", d));
    default:
        return slice_cstr(arena_printf(a, "%d:%llu", type, (unsigned long long)v));
    }
}

static void check_column(const struct tracecols *l, const struct tracecols *r,
                         enum tracetable table, const struct tracecol *want, const uint32_t *rows)
{
    const struct tracecol *got = tracecols_find(l, table, want->key);
    struct arena *a = arena_new(0);

    CHECK(got);
    CHECK_INT(got->n, want->n);
    for (uint32_t i = 0; i < want->n; i++) {
        CHECK_INT(rows ? rows[got->rows[i]] : got->rows[i], want->rows[i]);
        CHECK(slice_eq(cell_text(a, l, got->types[i], got->values[i]),
                       cell_text(a, r, want->types[i], want->values[i])));
    }
    arena_free(a);
}

static void check_spans(const struct tracecols *l, const struct tracecols *r)
{
    CHECK_INT(l->n_spans, r->n_spans);
    for (uint32_t i = 0; i < r->n_spans; i++) {
        CHECK_INT(l->trace[i], r->trace[i]);
        CHECK(l->start_ns[i] == r->start_ns[i] && l->end_ns[i] == r->end_ns[i]);
        CHECK(l->span_id[i] == r->span_id[i] && l->parent_id[i] == r->parent_id[i]);
        CHECK(l->kind[i] == r->kind[i] && l->status[i] == r->status[i]);
        CHECK(slice_eq(l->dict[l->name[i]], r->dict[r->name[i]]));
        CHECK(slice_eq(l->dict[l->message[i]], r->dict[r->message[i]]));
        CHECK(slice_eq(l->dict[l->service[i]], r->dict[r->service[i]]));
        CHECK(slice_eq(l->dict[l->library_name[l->library[i]]],
                       r->dict[r->library_name[r->library[i]]]));
        CHECK(l->event_first[i + 1] == r->event_first[i + 1]);
        CHECK(l->link_first[i + 1] == r->link_first[i + 1]);
    }
    for (uint32_t i = 0; i < r->n_rows[TRACE_EVENTS]; i++)
        CHECK(l->event_ns[i] == r->event_ns[i] &&
              slice_eq(l->dict[l->event_name[i]], r->dict[r->event_name[i]]));
    for (uint32_t i = 0; i < r->n_rows[TRACE_LINKS]; i++)
        CHECK(l->link_span[i] == r->link_span[i]);
    for (uint32_t i = 0; i < r->n_traces; i++)
        CHECK(l->traces[i].first == r->traces[i].first && l->traces[i].n == r->traces[i].n &&
              l->traces[i].root == r->traces[i].root &&
              !memcmp(l->traces[i].id, r->traces[i].id, 16));
}

static void check_trees(const struct tracecols *l, const struct tracecols *r)
{
    for (uint32_t i = 0; i < r->n_spans; i++) {
        CHECK_INT(l->parent[i], r->parent[i]);
        CHECK_INT(l->left[i], r->left[i]);
        CHECK_INT(l->right[i], r->right[i]);
        CHECK_INT(l->set_parent[i], r->set_parent[i]);
        CHECK_INT(l->n_children[i], r->n_children[i]);
    }
}

/* What the engine makes of the pieces row by row. */
static const struct tracecols *by_rows(const struct fixture *f, struct arena *a)
{
    struct tracebuild *build = tracebuild_new(a);
    struct tracepiece_rows rows;

    tracepiece_rows_init(&rows, build);
    for (size_t i = 0; i < f->n; i++)
        tracepiece_build(&rows, a, &f->t[i]);
    tracepiece_rows_done(&rows);
    return tracebuild_end(build);
}

TEST(tracegroup_has_the_columns_that_rows_make)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct fixture f = fixture_make(seed, 100, seed == 10 ? 3000 : 30);
        struct arena *a = arena_new(0);
        const struct tracecols *want = by_rows(&f, a), *got;
        struct tracegroup_key *keys = NULL;
        struct tracegroup_want all = {.fields = ~0u};
        struct group g;

        make_group(&g, &f);
        for (unsigned t = 0; t < TRACE_TABLES; t++)
            for (size_t i = 0; i < want->n_cols[t]; i++) {
                keys = arena_more(a, keys, all.n_keys);
                keys[all.n_keys++] =
                    (struct tracegroup_key){(enum tracetable)t, want->cols[t][i].key};
            }
        all.keys = keys;
        CHECK_OK(tracegroup_cols(g.g, a, &all, &got));
        check_spans(got, want);
        check_trees(got, want);
        for (unsigned t = 0; t < TRACE_TABLES; t++)
            for (size_t i = 0; i < want->n_cols[t]; i++)
                check_column(got, want, (enum tracetable)t, &want->cols[t][i], NULL);
        free_group(&g);
        arena_free(a);
        arena_free(f.a);
    }
}

static char g_seen[1];

TEST(tracegroup_leaves_traces_out)
{
    struct fixture f = fixture_make(12, 200, 5);
    struct tracegroup_want want = {.fields = TRACEGROUP_TREE};
    const struct tracecols *all, *some;
    struct group g;
    uint8_t keep[200];
    uint32_t n = 0;

    make_group(&g, &f);
    CHECK_OK(tracegroup_cols(g.g, g.a, &want, &all));
    for (size_t i = 0; i < f.n; i++)
        keep[i] = i % 3 == 1;
    want.keep = keep;
    CHECK_OK(tracegroup_cols(g.g, g.a, &want, &some));
    for (uint32_t i = 0; i < f.n; i++) {
        if (!keep[i])
            continue;
        CHECK(!memcmp(some->traces[n].id, all->traces[i].id, 16));
        CHECK_INT(some->traces[n].first, all->traces[i].first);
        CHECK_INT(some->traces[n].root, all->traces[i].root);
        for (uint32_t row = all->traces[i].first; row < all->traces[i].first + all->traces[i].n;
             row++)
            CHECK_INT(some->trace[row], n);
        n++;
    }
    CHECK_INT(some->n_traces, n);
    check_trees(some, all);
    free_group(&g);
    arena_free(f.a);
}

struct counting {
    struct map seen;
};
static bool count_key(void *arg, struct slice key)
{
    (void)map_put(&((struct counting *)arg)->seen, key, g_seen);
    return true;
}

TEST(tracegroup_tells_its_keys)
{
    struct fixture f = fixture_make(4, 300, 2500);
    struct arena *a = arena_new(0);
    struct counting c = {0};
    struct map want = {0};
    struct group g;

    make_group(&g, &f);
    CHECK_OK(tracegroup_keys(g.g, TRACE_SPANS, count_key, &c));
    for (size_t t = 0; t < f.n; t++)
        for (uint32_t i = 0; i < f.t[t].n_spans; i++)
            for (uint32_t k = 0; k < f.t[t].spans[i].attributes.n; k++) {
                CHECK(map_has(&c.seen, f.t[t].spans[i].attributes.ptr[k].key));
                (void)map_put(&want, f.t[t].spans[i].attributes.ptr[k].key, g_seen);
            }
    CHECK_INT(c.seen.len, want.len);
    map_done(&c.seen);
    map_done(&want);
    free_group(&g);
    arena_free(a);
    arena_free(f.a);
}

/* ---- broken bytes ---- */

static void read_any(struct group *g)
{
    struct tracegroup_want want = {.fields = ~0u};
    struct arena *a = arena_new(64 << 20);
    const struct tracecols *cols;
    struct err *e = open_group(g);

    if (!e)
        e = tracegroup_verify(g->g);
    if (!e)
        e = tracegroup_cols(g->g, a, &want, &cols);
    CHECK(!e || err_is(e, ERR_CORRUPT) || err_is(e, ERR_LIMIT));
    err_free(e);
    arena_free(a);
}

TEST(tracegroup_broken_bytes_are_corrupt)
{
    struct fixture f = fixture_make(9, 30, 10);
    struct group g;

    make_group(&g, &f);
    for (unsigned part = 0; part < TRACEGROUP_PARTS; part++)
        for (size_t i = 0; i < g.parts[part].len; i++) {
            struct err *e;

            g.parts[part].ptr[i] ^= 0x41;
            CHECK_OK(open_group(&g));
            e = tracegroup_verify(g.g);
            CHECK(err_is(e, ERR_CORRUPT));
            err_free(e);
            g.parts[part].ptr[i] ^= 0x41;
        }
    read_any(&g);
    free_group(&g);
    arena_free(f.a);
}

/* ---- a group of one span, by hand ---- */

struct by_hand {
    struct buf columns[TRACEGROUP_PARTS], payloads[TRACEGROUP_PARTS];
    uint32_t n[TRACEGROUP_PARTS];
};

static void put_column_of(struct by_hand *h, enum tracegroup_column column, enum tracetable table,
                          uint8_t kind, uint64_t n, struct slice raw)
{
    enum tracegroup_part part = tracegroup_part_of_column(column, table);
    struct buf *out = &h->columns[part];

    buf_byte(out, (uint8_t)column);
    buf_byte(out, (uint8_t)table);
    buf_byte(out, kind);
    buf_uvarint(out, 0);
    buf_uvarint(out, n);
    buf_uvarint(out, raw.len);
    buf_uvarint(out, raw.len);
    buf_u32le(out, hash_crc32c(raw));
    buf_slice_append(&h->payloads[part], raw);
    h->n[part]++;
}

static void put_column(struct by_hand *h, enum tracegroup_column column, enum tracetable table,
                       uint64_t n, struct slice raw)
{
    put_column_of(h, column, table, 0, n, raw);
}

/* What it has to have. */
static void put_needed(struct by_hand *h)
{
    static const enum tracetable tables[] = {TRACE_RESOURCES, TRACE_LIBRARIES, TRACE_SPANS};

    put_column(h, TG_TRACE_ID, TRACE_SPANS, 1, SLICE("0123456789abcdef"));
    put_column(h, TG_TRACE_SPANS, TRACE_SPANS, 1, SLICE("\x00\x02\x00")); /* all are 1 */
    put_column(h, TG_SPAN_ID, TRACE_SPANS, 1, SLICE("01234567"));
    for (size_t i = 0; i < ORR_COUNT(tables); i++)
        put_column(h, TG_SHAPES, tables[i], 1, SLICE("\x01\x00")); /* one, without columns */
}

static void end_by_hand(struct by_hand *h, struct group *g)
{
    *g = (struct group){.about = {.traces = 1, .spans = 1}};
    memcpy(g->about.first, "0123456789abcdef", 16);
    memcpy(g->about.last, "0123456789abcdef", 16);
    for (unsigned i = 0; i < TRACEGROUP_PARTS; i++) {
        struct buf *out = &g->parts[i];

        buf_append(out, "\x01\x01\x01\x01\x01\x00\x00\x01\x01k", 10); /* counts; a key */
        buf_uvarint(out, h->n[i]);
        buf_slice_append(out, buf_slice(&h->columns[i]));
        buf_u32le(out, hash_crc32c(buf_slice(out)));
        g->place.header_bytes[i] = (uint32_t)out->len;
        buf_slice_append(out, buf_slice(&h->payloads[i]));
        g->place.bytes[i] = (uint32_t)out->len;
        buf_done(&h->columns[i]);
        buf_done(&h->payloads[i]);
    }
}

static void check_verify(struct by_hand *h, const char *error)
{
    struct group g;

    end_by_hand(h, &g);
    CHECK_OK(open_group(&g));
    if (error)
        CHECK_ERR(tracegroup_verify(g.g), ERR_CORRUPT, error);
    else
        CHECK_OK(tracegroup_verify(g.g));
    free_group(&g);
}

/* Memory follows from what is there and not from what a column says of itself. */
TEST(tracegroup_columns_that_say_too_much_are_corrupt)
{
    struct by_hand h = {0};
    struct buf texts = {0};

    put_needed(&h);
    check_verify(&h, NULL);
    h = (struct by_hand){0};
    put_needed(&h);
    put_column(&h, TG_SPAN_FLAGS, TRACE_SPANS, TRACEGROUP_MAX_VALUES, SLICE("\x00\x02\x00"));
    check_verify(&h, "a column that cannot be");
    h = (struct by_hand){0};
    put_needed(&h);
    put_column(&h, TG_DROPPED, TRACE_SPANS, 2, SLICE("\x00\x02\x00"));
    check_verify(&h, "a column that cannot be");
    buf_uvarint(&texts, 1000);
    buf_fill(&texts, 0, 1000);
    buf_append(&texts, "\x00\x02\x00", 3);
    h = (struct by_hand){0};
    put_needed(&h);
    put_column(&h, TG_SPAN_NAME, TRACE_SPANS, 1, buf_slice(&texts));
    check_verify(&h, "more texts than values");
    buf_done(&texts);
}

/* 200 columns of attributes whose 64 million values are a few bytes each: no row wants them, so they are never unpacked. */
TEST(tracegroup_attributes_that_no_row_wants_take_no_memory)
{
    static const enum tracetable tables[] = {TRACE_SPANS, TRACE_RESOURCES, TRACE_EVENTS};

    for (size_t t = 0; t < ORR_COUNT(tables); t++) {
        struct by_hand h = {0};
        struct group g;

        put_needed(&h);
        for (unsigned i = 0; i < 200; i++)
            put_column_of(&h, TG_ATTRIBUTE, tables[t], OTLP_VALUE_INT, TRACEGROUP_MAX_VALUES,
                          SLICE("\x00\x02\x00"));
        end_by_hand(&h, &g);
        CHECK_OK(open_group(&g));
        CHECK_ERR(tracegroup_verify(g.g), ERR_CORRUPT,
                  tables[t] == TRACE_EVENTS ? "rows without shapes" : "than rows want");
        CHECK(arena_used(g.a) < 1 << 20);
        free_group(&g);
    }
}

/* One row that wants a column of values very often: what it takes is held against the room there is before it is taken. */
TEST(tracegroup_a_row_with_very_many_attributes_is_over_the_budget)
{
    static const uint64_t n = 4u << 20;
    struct by_hand h = {0};
    struct buf shapes = {0};
    struct group g;

    put_column(&h, TG_TRACE_ID, TRACE_SPANS, 1, SLICE("0123456789abcdef"));
    put_column(&h, TG_TRACE_SPANS, TRACE_SPANS, 1, SLICE("\x00\x02\x00"));
    put_column(&h, TG_SPAN_ID, TRACE_SPANS, 1, SLICE("01234567"));
    put_column(&h, TG_SHAPES, TRACE_RESOURCES, 1, SLICE("\x01\x00"));
    put_column(&h, TG_SHAPES, TRACE_LIBRARIES, 1, SLICE("\x01\x00"));
    buf_uvarint(&shapes, 1);
    buf_uvarint(&shapes, n);
    buf_fill(&shapes, 0, n);
    put_column(&h, TG_SHAPES, TRACE_SPANS, 1, buf_slice(&shapes));
    put_column_of(&h, TG_ATTRIBUTE, TRACE_SPANS, OTLP_VALUE_INT, n, SLICE("\x00\x02\x00"));
    end_by_hand(&h, &g);
    CHECK_OK(open_group(&g));
    CHECK_ERR(tracegroup_verify(g.g), ERR_LIMIT, "does not fit");
    CHECK(arena_used(g.a) <= 64 << 20);
    free_group(&g);
    buf_done(&shapes);
}

/* ---- ids ---- */

TEST(traceids_have_all_ids_and_few_others)
{
    struct rng r;
    unsigned lies = 0;

    rng_seed(&r, 11);
    for (uint32_t n = 1; n < 3000; n = n * 3 + 1) {
        uint8_t(*ids)[16] = mem_calloc(n, 16), other[16] = {0};
        struct buf out = {0};

        for (uint32_t i = 0; i < n; i++)
            for (size_t k = n % 2 ? 0 : 12; k < 16; k++) /* some differ in few bytes only */
                ids[i][k] = (uint8_t)rng_u32(&r);
        traceids_build((const uint8_t(*)[16])ids, n, &out);
        CHECK_INT(out.len, TRACEIDS_BYTES(n));
        CHECK(traceids_check(buf_slice(&out), n));
        for (uint32_t i = 0; i < n; i++)
            CHECK(traceids_may(buf_slice(&out), n, ids[i]));
        for (uint32_t i = 0; i < 2000; i++) {
            uint64_t x = rng_u64(&r);

            memcpy(other, &x, sizeof(x));
            lies += traceids_may(buf_slice(&out), n, other);
        }
        out.ptr[n / 2] ^= 1;
        CHECK(!traceids_check(buf_slice(&out), n));
        buf_done(&out);
        mem_free(ids);
    }
    CHECK(lies > 10 && lies < 150); /* of 16,000: one in 256 is 62 */
}
