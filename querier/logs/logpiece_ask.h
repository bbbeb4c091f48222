/*
 * Pieces of a query over log lines that the owners of their blocks run: the asker's side of "querier.log_piece"
 * (logpiece_wire.h), for logremote.h.
 *
 * A block in an object store has owners among the queriers (querier/store/block_owners.h). A piece goes to the one that owns most of
 * what its blocks have in the piece's time, unless that is this querier: there the pages of those blocks are at hand, and what
 * comes back is what was made of the lines, not pages. The owner asks the ingesters and takes a catalogue by itself, so an
 * answer is whole by the same rules, and says the mark, the warnings and the statistics that this querier would have had.
 *
 * Who refuses, gives no sign of life for straggler_ms, or having begun for LOGPIECE_ASK_PATIENCE times as long, has failed: then whoever
 * asked runs the piece. So an owner that is gone, hangs, is of a version that knows no such question, or fails whatever it be,
 * costs time and nothing else; what is wrong with the query itself shows here.
 *
 * What an answer's end says (tally, mark, warnings) counts once all of the answer was of use, else that of who reads the piece instead.
 *
 * Memory: FANOUT_CREDITS frames of LOGPIECE_WIRE_FRAME_BYTES for each piece that is under way, until its answer is taken: then
 * LOGPIECE_WIRE_MAX_ANSWER at most, and no more than the piece may have.
 */
#pragma once
#include "querier/logs/logsource.h"

#define LOGPIECE_ASK_PATIENCE 40

extern const struct logsource_away_ops logpiece_ask_ops; /* of struct logremote alone */
