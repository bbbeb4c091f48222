/*
 * Expressions over one span, on all spans of a tracecols at once or one by one.
 *
 * What compares an attribute or intrinsic with a constant is looked at column by column: a text is
 * compared once for each entry of the dict, a resource once for all its spans. All else is computed
 * span by span.
 *
 * Values as Tempo has them: an attribute that is not there is nil, nil compares to false whatever the
 * operator, and so do types that do not go together. An attribute with several values (arrays, those
 * of a span's events and links) is equal, less, greater or matched if any of them is; != and !~ are
 * true if it has values of that type and none is equal or matches. Without a scope the span's own
 * attribute counts, then the resource's, event's, link's and library's.
 *
 * Owner: one thread. Scratch memory is the arena's of the context.
 */
#pragma once
#include "common/lang/traceql.h"
#include "common/traces/tracecols.h"

struct tracefield; /* what is kept of one tracecols between expressions */

/* cols is borrowed, and so are, until it is freed, the expressions and attributes that it is asked about: it knows
 * them again by their addresses. */
struct tracefield *tracefield_new(const struct tracecols *cols);
void tracefield_free(struct tracefield *ctx);
/* mask[row] = 1 where f is true, 0 elsewhere, for all spans. */
void tracefield_mask(struct tracefield *ctx, const struct traceql_field *f, uint8_t *mask);
/* The value for one span; NIL without one. Of an attribute with several values, the first. Texts are lent
 * by the tracecols or, of ids, by the context until the next call. */
struct traceql_static tracefield_value(struct tracefield *ctx, const struct traceql_field *f,
                                       uint32_t row);
struct traceql_static tracefield_attribute(struct tracefield *ctx,
                                           const struct traceql_attribute *a, uint32_t row);
/* That attributes of a scope are in; of several scopes that of spans. */
enum tracetable tracefield_table(enum traceql_scope scope);
