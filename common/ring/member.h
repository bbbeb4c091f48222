/*
 * One process's entry in the membership: who it is, where it is, what it holds, what state it is
 * in.
 *
 * Only its owner writes an entry (and whoever forgets it, see member_forgotten()). Two copies merge
 * to the higher of (incarnation, version, bytes): commutative, associative, idempotent. Incarnation
 * is taken once at start (wall clock in ms, or one more than the highest seen); version counts the
 * owner's changes within it. The heartbeat is a counter that travels beside the entry (gossip.h),
 * so that a beat costs a few bytes and not the tokens.
 *
 *   PENDING ──▶ JOINING ──▶ ACTIVE ──▶ LEAVING ──▶ LEFT
 *   known,      has tokens,  writes     reads only  a tombstone, so that an older copy does not
 *   no tokens   is queried   and reads              bring it back
 *
 * Encoding, integers are LEB128 unless sized:
 *   u8 format (1) | lstr instance | lstr zone | lstr rpc_addr | lstr http_addr | roles | signals |
 *   u8 state | incarnation | version | zigzag registered_ms | zigzag state_ms | zigzag left_ms |
 *   token count | u32le tokens, ascending
 * Trailing bytes are ignored: a later version may add fields.
 *
 * A struct member never changes once it is built and is reference-counted: any thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/err.h"

#define MEMBER_MAX_NAME 128
#define MEMBER_MAX_ADDR 255
#define MEMBER_MAX_TOKENS 4096
#define MEMBER_MAX_BYTES (MEMBER_MAX_TOKENS * 4 + 2048)
/* Set in the version of a tombstone that somebody else wrote: outranks all of that incarnation. */
#define MEMBER_FORGOTTEN (1ull << 62)

#define MEMBER_ROLES(X)                                                                            \
    X(MEMBER_INGESTER, "ingester", 0)                                                              \
    X(MEMBER_QUERIER, "querier", 1)                                                                \
    X(MEMBER_COMPACTOR, "compactor", 2)                                                            \
    X(MEMBER_RULER, "ruler", 3)                                                                    \
    X(MEMBER_ALERTMANAGER, "alertmanager", 4)
enum member_role { /* bits: one process may host several */
#define X(sym, name, bit) sym = 1 << bit,
                   MEMBER_ROLES(X)
#undef X
};
#define MEMBER_ALL_ROLES 0x1fu

#define MEMBER_SIGNALS(X)                                                                          \
    X(MEMBER_METRICS, "metrics", 0)                                                                \
    X(MEMBER_LOGS, "logs", 1)                                                                      \
    X(MEMBER_TRACES, "traces", 2)                                                                  \
    X(MEMBER_PROFILES, "profiles", 3)
enum member_signal { /* bits */
#define X(sym, name, bit) sym = 1 << bit,
                     MEMBER_SIGNALS(X)
#undef X
};
#define MEMBER_ALL_SIGNALS 0xfu

#define MEMBER_STATES(X)                                                                           \
    X(MEMBER_PENDING, "PENDING")                                                                   \
    X(MEMBER_JOINING, "JOINING")                                                                   \
    X(MEMBER_ACTIVE, "ACTIVE")                                                                     \
    X(MEMBER_LEAVING, "LEAVING")                                                                   \
    X(MEMBER_LEFT, "LEFT")
enum member_state { /* numbers are on the wire */
#define X(sym, name) sym,
                    MEMBER_STATES(X)
#undef X
                        MEMBER_STATE_COUNT
};

struct member {
    _Atomic uint32_t refs;
    /* NUL-terminated, owned by the member. zone may be "". */
    const char *instance, *zone, *rpc_addr, *http_addr;
    uint32_t roles, signals; /* masks */
    enum member_state state;
    uint64_t incarnation, version;
    int64_t
        registered_ms; /* Unix ms when it first became ACTIVE; 0: never was. Kept over restarts */
    int64_t state_ms;  /* Unix ms when it entered state */
    int64_t left_ms;   /* Unix ms when it stopped owning (LEAVING or LEFT); 0: it did not */
    const uint32_t *tokens; /* ascending, no two equal */
    size_t n_tokens;
};

/* Copies all of from (refs aside); sorts the tokens and drops doubles. ERR_INVALID when a bound is
 * passed, a name is empty or holds anything but printable ASCII without space. */
ORR_CHECKED struct err *member_new(const struct member *from, struct member **ret);
struct member *member_ref(const struct member *m);
void member_unref(const struct member *m); /* NULL is allowed */

/* >0: a outranks b. 0 only for equal entries. Entries of the same instance. */
int member_cmp(const struct member *a, const struct member *b);
/* The tombstone that replaces m when an operator or the cluster forgets it. */
struct member *member_forgotten(const struct member *m, int64_t now_ms);
/* May hold data that readers need: has been ACTIVE or JOINING and is not LEFT. */
bool member_is_readable(const struct member *m);

void member_encode(struct buf *out, const struct member *m);
/* ERR_INVALID for malformed bytes, ERR_UNSUPPORTED for a format of another major version. */
ORR_CHECKED struct err *member_decode(struct slice bytes, struct member **ret);

const char *member_state_name(enum member_state s);
/* "ingester,querier" of a mask. */
void member_roles_text(struct buf *out, uint32_t roles);
void member_signals_text(struct buf *out, uint32_t signals);
/* 0 when the name is unknown. */
uint32_t member_role_from_name(struct slice name);
uint32_t member_signal_from_name(struct slice name);
