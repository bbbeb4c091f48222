#include "common/base/spell.h"

#include <pthread.h>
#include <string.h>

/* A leaf lock of all spells: they are asked when something has failed, which is seldom. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static bool is_outage(const struct err *e)
{
    switch (err_code(e)) {
    case ERR_UNAVAILABLE:
    case ERR_NET:
    case ERR_TIMEOUT:
    case ERR_FORBIDDEN:
    case ERR_UNAUTHORIZED:
        return true;
    default:
        return false;
    }
}

/* With the mutex. */
static bool tells(struct spell *s, const char *doing, enum err_code code, int64_t now_ms,
                  uint64_t *ret_left_out)
{
    size_t i = 0;

    while (i < SPELL_KINDS && s->kinds[i].doing &&
           (s->kinds[i].code != code || strcmp(s->kinds[i].doing, doing) != 0))
        i++;
    if (i == SPELL_KINDS)
        return true;
    if (s->kinds[i].doing && now_ms - s->kinds[i].told_ms < SPELL_REMIND_MS) {
        s->kinds[i].left_out++;
        return false;
    }
    *ret_left_out = s->kinds[i].left_out;
    s->kinds[i].doing = doing;
    s->kinds[i].code = code;
    s->kinds[i].told_ms = now_ms;
    s->kinds[i].left_out = 0;
    return true;
}

bool spell_tells(struct spell *s, const char *doing, const struct err *e, int64_t now_mono_ms,
                 uint64_t *ret_left_out)
{
    bool ret;

    *ret_left_out = 0;
    if (!is_outage(e))
        return true;
    pthread_mutex_lock(&mutex);
    ret = tells(s, doing, err_code(e), now_mono_ms, ret_left_out);
    pthread_mutex_unlock(&mutex);
    return ret;
}
