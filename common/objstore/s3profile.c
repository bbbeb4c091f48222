#include "common/objstore/s3profile.h"

/* "[name]", also "[profile name]" as the other file of AWS' tools has it. */
static bool is_section(struct slice line, struct slice *ret)
{
    if (line.len < 2 || line.ptr[0] != '[' || line.ptr[line.len - 1] != ']')
        return false;
    *ret = slice_trim(slice_sub(line, 1, line.len - 2));
    if (slice_has_prefix(*ret, SLICE("profile ")))
        *ret = slice_trim(slice_from(*ret, strlen("profile ")));
    return true;
}

static void take(struct slice line, struct s3profile *ret)
{
    ptrdiff_t eq = slice_find_byte(line, '=', 0);
    struct slice name, value;

    if (eq <= 0)
        return;
    name = slice_trim(slice_sub(line, 0, (size_t)eq));
    value = slice_trim(slice_from(line, (size_t)eq + 1));
    if (slice_eq_nocase(name, SLICE("aws_access_key_id")))
        ret->access = value;
    else if (slice_eq_nocase(name, SLICE("aws_secret_access_key")))
        ret->secret = value;
    else if (slice_eq_nocase(name, SLICE("aws_session_token")))
        ret->token = value;
}

struct err *s3profile_parse(struct slice text, struct slice profile, struct s3profile *ret)
{
    struct s3profile p = {SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY};
    bool is_here = false, was_here = false;
    struct slice line, name;

    if (text.len > S3PROFILE_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "credentials file of %zu bytes", text.len);
    while (slice_split(&text, '\n', &line)) {
        line = slice_trim(line);
        if (is_section(line, &name)) {
            is_here = slice_eq(name, profile);
            was_here |= is_here;
        } else if (is_here && line.len && line.ptr[0] != '#' && line.ptr[0] != ';') {
            take(line, &p);
        }
    }
    if (!was_here)
        return err_new(ERR_NOT_FOUND, "no profile \"%.*s\"", SLICE_ARG(profile));
    if (!p.access.len || !p.secret.len)
        return err_new(ERR_INVALID, "profile \"%.*s\" has no keys", SLICE_ARG(profile));
    *ret = p;
    return NULL;
}
