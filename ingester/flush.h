/*
 * Getting data out of the heads, metrics', logs' and traces': what is due is cut each minute, everything on command and on leaving,
 * metrics on shutdown; compactors are told; and what no compactor takes is uploaded from here.
 *
 *   maintain   head_maintain(), loghead_cut_due() and tracehead_cut_due() once a period; then compactors that own a tenant with new
 *              segments are hinted
 *   cut        flush_cut(): everything of a tenant (or all), now; done when it is cut, and, if
 *              asked to wait, when those segments are dropped (their data is in visible blocks)
 *   leave      LEAVING ─ grace ─▶ sealed ─▶ all cut ─▶ hints, until no segment is left ─▶ LEFT
 *   upload     (not where compactors alone may change a catalogue: no conditional puts)
 *              a segment that was cut longer than self_upload_after ago is put into the bucket as a block of its own
 *              and into the catalogue; it is dropped visible_after later, when readers know
 *
 * All of it runs on one thread of its own, since cutting may take seconds. Calls: any thread.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/block/catalogue.h"
#include "common/objstore/objstore.h"
#include "ingester/logs/loghead.h"
#include "ingester/metrics/head.h"
#include "ingester/traces/tracehead.h"

struct flush;

struct flush_ops {
    /* Tells the compactor that owns this tenant to look, for segments of all signals. */
    void (*hint)(void *arg, struct slice tenant);
    /* How many compactors there are to wait for. */
    size_t (*compactors)(void *arg);
    void (*begin_leave)(void *arg); /* LEAVING */
    void (*seal)(void *arg);        /* no more batches from here on */
    void (*end_leave)(void *arg);   /* LEFT: nothing here is needed any more */
    /* What a block of segments of this ingester may be done without for, since from_ms (Unix) (catalogue.h). Lent. */
    struct catalogue_origin (*origin)(void *arg, struct slice signal, int64_t from_ms);
    /* The catalogue of a tenant has this version now. */
    void (*published)(void *arg, struct slice signal, struct slice tenant, uint64_t version);
    void *arg;
};

struct flush_opts {
    struct head *head;
    struct loghead *logs;     /* NULL: there are none */
    struct tracehead *traces; /* likewise */
    const char *
        work_dir; /* blocks of log lines and traces are made there; cleared. Lent until flush_free() */
    struct objstore *store;    /* NULL: no upload from here */
    const struct clock *clock; /* NULL: the system's */
    struct flush_ops ops;
    int64_t maintain_ms;
    int64_t leave_grace_ms;
    int64_t self_upload_after_ms; /* 0: never */
    int64_t visible_after_ms;
};

/* What a cut left behind. */
struct flush_report {
    size_t cut;     /* segments written */
    size_t pending; /* segments of the tenants asked for that no compactor has taken over yet */
    bool has_compactor;
};
/* Takes e. On the loop flush_cut() was called from (on the flush thread: from none). */
typedef void flush_done_fn(void *arg, struct err *e, const struct flush_report *report);

struct flush *flush_new(const struct flush_opts *opts);
ORR_CHECKED struct err *flush_start(struct flush *f);
/* Begins to end the thread: requests under way and later ones are answered ERR_UNAVAILABLE. */
void flush_stop(struct flush *f);
/* Joins the thread. When its requests' loops have stopped: flush_stop() well before. NULL is allowed. */
void flush_free(struct flush *f);

/* tenant empty: all. wait_ms: how long to wait for compactors; 0: not at all. */
void flush_cut(struct flush *f, struct slice tenant, int64_t wait_ms, flush_done_fn *done,
               void *arg);
/* All metrics, before the process ends. Log lines and spans stay as they are: they come back from their logs and files. */
void flush_cut_to_stop(struct flush *f, flush_done_fn *done, void *arg);
/* done comes after LEFT; asking again joins the leaving that is under way. */
void flush_leave(struct flush *f, flush_done_fn *done, void *arg);
bool flush_is_leaving(const struct flush *f);
/* A segment was dropped: look now whether somebody waits for it. */
void flush_wake(struct flush *f);
