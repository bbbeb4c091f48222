/*
 * Templates of HTML: what keeps a value from becoming markup. Go's html/template finds out before the run where in a
 * page each action stands; here the page is followed while it is written, which comes to the same for templates whose
 * branches end where they began.
 *
 *   in text, <title>, <textarea>   < > & " ' + are escaped (template.HTML is not: safeHtml)
 *   in an attribute                the same; without quotes white space, = and ` too
 *   in an address (href, src …)    also: a scheme other than http, https or mailto gives #ZgotmplZ (template.URL may
 *                                  have any: safeUrl), bytes are percent-encoded, behind ? or # all that mean something
 *   as an attribute's name         letters and digits of a name that is none of the above or below, else ZgotmplZ
 *   in style                       values that could be more than one value give ZgotmplZ
 *   in comments                    nothing: comments are left out
 *   in scripts, on… attributes     refused
 *
 * A < of the template that begins no tag is escaped, as Go does.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/template/value.h"

enum template_html_state {
    TEMPLATE_HTML_TEXT, /* also <title> and <textarea> */
    TEMPLATE_HTML_TAG,
    TEMPLATE_HTML_NAME,   /* of an attribute */
    TEMPLATE_HTML_BEHIND, /* the name: maybe = comes */
    TEMPLATE_HTML_BEFORE, /* a value, behind = */
    TEMPLATE_HTML_VALUE,
    TEMPLATE_HTML_COMMENT,
};
enum template_html_kind {
    TEMPLATE_HTML_PLAIN,
    TEMPLATE_HTML_URL,
    TEMPLATE_HTML_STYLE,
    TEMPLATE_HTML_SCRIPT,
};

struct template_html { /* {0}: at the start of a page */
    enum template_html_state state;
    enum template_html_kind kind; /* of the attribute, or of what the element holds */
    uint8_t quote;                /* of the value; 0: none */
    bool is_query;                /* the address has had its ? or # */
    bool has_value;               /* something of the template's is there of the value */
    bool is_end;                  /* </… */
    char name[16];                /* of the attribute, in small letters, cut */
    size_t n_name;
    char element[16]; /* the tag's */
    char raw[16];     /* "script", "style" …: the text of this element holds no tags; "": none */
};

void template_html_text(struct template_html *h, struct buf *out, struct slice text);
/* False: not in this place. */
bool template_html_value(struct template_html *h, struct buf *out, const struct value *v);
