#include "querier/api/loki_events.c"
#include "tests/unit/test.h"

static struct logquery_stream stream_of(const struct label *kind, const struct logquery_line *lines,
                                        size_t n)
{
    struct labels labels = {kind, 1};

    return (struct logquery_stream){.labels = labels, .stream = labels, .lines = lines, .n = n};
}

static void check_titles(const struct logquery_stream *streams, size_t n, size_t entries,
                         bool is_forward, const char *want)
{
    const struct logquery_result res = {.streams = (struct logquery_stream *)streams,
                                        .n_streams = n,
                                        .is_forward = is_forward,
                                        .stats.entries = entries};
    struct arena *a = arena_new(0);
    struct buf out = {0}, titles = {0};
    struct slice rest, title;

    put_events(a, &out, &res);
    rest = buf_slice(&out);
    for (size_t at; (at = slice_find(rest, SLICE("\"title\":\""), 0)) != SIZE_MAX;) {
        rest = slice_from(rest, at + strlen("\"title\":\""));
        title = slice_sub(rest, 0, slice_find(rest, SLICE("\""), 0));
        buf_printf(&titles, "%.*s ", SLICE_ARG(title));
    }
    CHECK_SLICE(buf_slice(&titles), want);
    buf_done(&titles);
    buf_done(&out);
    arena_free(a);
}

TEST(loki_events_of_all_streams_come_by_time)
{
    const struct label deploy = {SLICE(EVENT_LABEL), SLICE("deployment")},
                       flag = {SLICE(EVENT_LABEL), SLICE("flag")};
    const struct logquery_line newest[] = {{9, SLICE("i")}, {5, SLICE("e")}, {1, SLICE("a")}},
                               others[] = {{7, SLICE("g")}, {5, SLICE("f")}};
    const struct logquery_line oldest[] = {{-2, SLICE("y")}, {5, SLICE("e")}},
                               more[] = {{5, SLICE("f")}, {6, SLICE("g")}};
    const struct logquery_stream back[] = {stream_of(&deploy, newest, 3),
                                           stream_of(&flag, others, 2)};
    const struct logquery_stream forth[] = {stream_of(&deploy, oldest, 2),
                                            stream_of(&flag, more, 2)};

    check_titles(back, 2, 5, false, "i g e f a ");
    check_titles(forth, 2, 4, true, "y e f g ");
    check_titles(back, 0, 0, false, "");
}
