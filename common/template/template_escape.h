/* Escapes for HTML, JavaScript and URLs, as Go's text/template and net/url have them. */
#pragma once
#include "common/base/buf.h"

void template_escape_html(struct buf *out, struct slice s);
void template_escape_js(struct buf *out, struct slice s);
void template_escape_query(struct buf *out, struct slice s); /* url.QueryEscape */
