#include "common/base/rng.h"
#include "ingester/door/level_word.c" /* both ways of searching */
#include "tests/unit/test.h"

TEST(level_word_is_found_wherever_it_stands)
{
    /* near misses, none of which a cut makes a word */
    static const char before[] = "x9 inner tr.ain al-pha xwarn er_ror \xc3\xa9rr xdebug no not "
                                 "0err i n f o xcritical xpanic _info -fatal";
    static const char *const around[] = {"[]", " :", "=\"", "<>", "(,"};
    char line[256];

    for (size_t i = 0; i < ORR_COUNT(words); i++)
        for (size_t at = 0; at < sizeof(before); at++)
            for (size_t k = 0; k < ORR_COUNT(around); k++) {
                struct slice w = words[i].text;
                size_t n = at + w.len + 2;

                memset(line, '.', sizeof(line));
                memcpy(line, before, at);
                line[at] = around[k][0];
                memcpy(line + at + 1, w.ptr, w.len);
                line[n - 1] = around[k][1];
                CHECK_INT(level_word_first(slice_of(line, n - 1)), words[i].level);
                CHECK_INT(level_word_first(slice_of(line, n + 40)), words[i].level);
            }
}

/* Texts of what words are made of, so that there are many near misses. */
TEST(level_word_search_by_steps_finds_what_the_plain_one_does)
{
    static const char bytes[] = "eErRoOwWaAnNiIfFcCtTlLdDbBgGmMpPuU  [=.-_09\xc3\xa9@`{";
    struct rng r;
    int found = 0;

    rng_seed(&r, 7);
    for (int i = 0; i < 50000; i++) {
        uint8_t text[160];
        size_t n = rng_below(&r, sizeof(text));
        enum line_level_kind k;

        for (size_t at = 0; at < n;) {
            struct slice w = words[rng_below(&r, ORR_COUNT(words))].text;

            if (rng_chance(&r, 0.05) && at + w.len < n) {
                memcpy(text + at, w.ptr, w.len);
                at += w.len;
            } else {
                text[at++] = (uint8_t)bytes[rng_below(&r, sizeof(bytes) - 1)];
            }
        }
        k = first_of(text, text + n);
        found += k != LINE_LEVEL_UNKNOWN;
        CHECK_INT(level_word_first(slice_of(text, n)), k);
    }
    CHECK(found > 1000 && found < 49000);
}
