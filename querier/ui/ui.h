/*
 * The web UI: the files of web/, which are in the binary.
 *
 *   GET /               302 to /ui/
 *   GET /graph          the page of an expression, g0.expr=…: where links of alerts lead
 *   GET /explore        the same for an expression over log lines, left={…}
 *   GET /ui/FILE        the file
 *   GET /ui/PAGE…       web/index.html, whose script shows the page; a name with a dot that is no file: 404
 *
 * Nothing outside is asked for: the Content-Security-Policy allows our own origin alone, and no script or style in the markup.
 * A file's ETag is the hash of its bytes, and browsers ask each time (no-cache), so that after an upgrade no page is of two versions
 * for longer than a load.
 *
 * The UI itself is a client of the public APIs, in the name of the tenant its user picked: nothing is served here that needs one.
 *
 * Owner: main, before the server listens; handlers run on any loop and only read.
 */
#pragma once
#include "common/base/slice.h"
#include "common/net/http_server.h"

struct ui_file {
    const char *name; /* "app.js" */
    const uint8_t *begin, *end;
};
/* Of ui_files.c, which the build makes of web/; ascending by name. */
const struct ui_file *ui_files(size_t *ret_count);

void ui_routes(struct http_server *server);
