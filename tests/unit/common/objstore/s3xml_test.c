#include "common/objstore/s3xml.h"
#include "tests/unit/test.h"

static struct err *print(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct buf *out = arg;

    for (size_t i = 0; i < depth; i++)
        buf_printf(out, "/%.*s", SLICE_ARG(path[i]));
    buf_printf(out, "=%.*s\n", SLICE_ARG(text));
    return NULL;
}

static void check_walk(const char *doc, const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};

    CHECK_OK(s3xml_walk(a, slice_cstr(doc), print, &out));
    CHECK_SLICE(buf_slice(&out), want);
    buf_done(&out);
    arena_free(a);
}

static void check_refused(struct slice doc, enum err_code code, const char *why)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};

    CHECK_ERR(s3xml_walk(a, doc, print, &out), code, why);
    buf_done(&out);
    arena_free(a);
}

TEST(s3xml_walks_elements_and_text)
{
    check_walk("<?xml version=\"1.0\"?>\n<a xmlns='x>y'><b>1</b> <c/><b q=\"/\">2 </b ></a>\n",
               "/a/b=1\n/a/c=\n/a/b=2 \n/a=\n");
    check_walk("\xef\xbb\xbf<s3:a><!-- <b> --><s3:b>x</s3:b></s3:a>", "/a/b=x\n/a=\n");
    check_walk("<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x20ac;&#x1F600;</a>",
               "/a=<&>\"'A\xe2\x82\xac\xf0\x9f\x98\x80\n");
    check_walk("<a>x<![CDATA[<&>]]>y&amp;<![CDATA[]]></a>", "/a=x<&>y&\n");
    check_walk("<a><![CDATA[lost with the child]]><b/></a>", "/a/b=\n/a=\n");
}

TEST(s3xml_refuses_what_is_not_well_formed)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "text",
                                      "<",
                                      "<>",
                                      "< a/>",
                                      "<a",
                                      "<a>",
                                      "<a></b>",
                                      "<a/><b/>",
                                      "</a>",
                                      "<a/>x",
                                      "<a b='>",
                                      "<a <b/>",
                                      "<a>&nope;</a>",
                                      "<a>&amp</a>",
                                      "<a>&#0;</a>",
                                      "<a>&#xd800;</a>",
                                      "<a>&#x110000;</a>",
                                      "<a>&#99999999999999999999;</a>",
                                      "<a>&#1x;</a>",
                                      "<a>&#x;</a>",
                                      "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
                                      "<a><!-- </a>",
                                      "<a><![CDATA[</a>",
                                      "<![CDATA[x]]><a/>",
                                      "<?xml"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        check_refused(slice_cstr(bad[i]), ERR_CORRUPT, "XML: ");
    check_refused((struct slice){NULL, 0}, ERR_CORRUPT, "early");
}

TEST(s3xml_is_bounded)
{
    struct buf b = {0};

    for (int i = 0; i < S3XML_MAX_DEPTH + 1; i++)
        buf_str(&b, "<a>");
    check_refused(buf_slice(&b), ERR_CORRUPT, "too deep");
    buf_reset(&b);
    buf_fill(&b, ' ', S3XML_MAX_BYTES + 1);
    check_refused(buf_slice(&b), ERR_TOO_LARGE, "more than");
    buf_done(&b);
}

TEST(s3xml_reads_back_what_it_escapes)
{
    struct buf b = {0};

    buf_str(&b, "<a>");
    s3xml_escape(&b, SLICE("a<b>&\"c'\r\n \xc3\xa9"));
    buf_str(&b, "</a>");
    check_walk(buf_cstr(&b), "/a=a<b>&\"c'\r\n \xc3\xa9\n");
    buf_done(&b);
}
