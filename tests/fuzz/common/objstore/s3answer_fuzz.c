/* Every reader of S3's answers ends on any bytes; keys of a listing come in order; what is escaped
 * reads back the same. */
#include "common/objstore/s3answer.h"
#include "common/objstore/s3xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *same(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct slice *want = arg;

    ORR_ASSERT(depth == 1 && slice_eq_cstr(path[0], "a") && slice_eq(text, *want));
    *want = (struct slice){NULL, 1}; /* seen */
    return NULL;
}

static void check_escape(struct arena *a, struct slice text)
{
    struct buf b = {0};
    struct err *e;

    buf_str(&b, "<a>");
    s3xml_escape(&b, text);
    buf_str(&b, "</a>");
    e = s3xml_walk(a, buf_slice(&b), same, &text);
    ORR_ASSERT(!e && !text.ptr);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice doc = slice_of(data, size), text;
    struct arena *a = arena_new(0);
    struct s3answer_error error;
    struct s3answer_list list;
    struct s3answer_uploads uploads;
    struct s3answer_deleted deleted;
    struct s3answer_role role;
    struct err *e;

    s3answer_error(a, doc, &error);
    if ((e = s3answer_list(a, doc, &list))) {
        err_free(e);
    } else {
        for (size_t i = 1; i < list.n; i++)
            ORR_ASSERT(slice_cmp(list.ptr[i - 1].key, list.ptr[i].key) <= 0);
    }
    err_free(s3answer_upload_id(a, doc, &text));
    err_free(s3answer_complete(a, doc, &text, &error));
    err_free(s3answer_uploads(a, doc, &uploads));
    err_free(s3answer_deleted(a, doc, &deleted));
    err_free(s3answer_role(a, doc, &role));
    check_escape(a, doc);
    arena_free(a);
    return 0;
}
