/*
 * Whether a document is one that a query asks for.
 *
 * A field's values are compared one by one: one that fits is enough. Numbers are compared as numbers, 64-bit integers exactly;
 * a text is equal to its like byte for byte, and in a range of numbers counts if it is a number. Text fields (esquery.h) are
 * compared word by word.
 *
 * The cost of a line is at most that of its length times the query's, which may be much: d->look() is asked between the query's
 * parts whether to go on.
 * Owner of d: one thread. No allocation but the document's.
 */
#pragma once
#include "querier/search/esdoc.h"
#include "querier/search/esquery.h"

bool esmatch_keeps(const struct esquery *q, struct esdoc *d);
