/* The C++ shim over RE2 and the C++ library's number conversion: the project's only C++. */
#include <charconv>
#include <map>
#include <re2/re2.h>
#include <string>
#include <vector>

extern "C" {
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/re.h"
}

struct re {
    RE2 prog;
    bool anchored;
    std::map<int, std::string> names;

    re(const re2::StringPiece &pattern, const RE2::Options &opts, bool anchored_)
        : prog(pattern, opts), anchored(anchored_)
    {
        if (prog.ok())
            names = prog.CapturingGroupNames();
    }
};

static const int max_program_bytes = 8 << 20;
static const size_t bytes_per_instruction = 16; /* as RE2 itself reckons */

/* What Go and Debian's RE2 read differently: Go has (?<name>…) for (?P<name>…) and no \C. False for
 * a \C. */
static bool translate(struct slice p, std::string *out)
{
    bool in_class = false, is_quoted = false;

    for (size_t i = 0; i < p.len; i++) {
        char c = (char)p.ptr[i], next = i + 1 < p.len ? (char)p.ptr[i + 1] : 0;

        out->push_back(c);
        if (c == '\\' && next) {
            if (is_quoted ? next == 'E' : next == 'Q')
                is_quoted = !is_quoted;
            else if (!is_quoted && !in_class && next == 'C')
                return false;
            else if (is_quoted)
                continue; /* the next byte may begin \E */
            out->push_back(next);
            i++;
        } else if (is_quoted) {
            continue;
        } else if (in_class) {
            in_class = c != ']';
            /* [[:alpha:]] ends with the second bracket. */
            if (c == '[' && next == ':') {
                ptrdiff_t end = slice_find(p, SLICE(":]"), i + 2);

                if (end > 0) {
                    out->append((const char *)p.ptr + i + 1, (size_t)end + 1 - i);
                    i = (size_t)end + 1;
                }
            }
        } else if (c == '[') {
            in_class = true;
            /* A bracket right at the start is an ordinary character: []a] and [^]a]. */
            if (next == '^') {
                out->push_back(next);
                i++;
            }
            if (i + 1 < p.len && p.ptr[i + 1] == ']') {
                out->push_back(']');
                i++;
            }
        } else if (c == '(' && next == '?' && i + 3 < p.len && p.ptr[i + 2] == '<' &&
                   p.ptr[i + 3] != '=' && p.ptr[i + 3] != '!') {
            out->append("?P");
            i++;
        }
    }
    return true;
}

struct err *re_compile(struct slice pattern, unsigned flags, struct re **ret)
{
    RE2::Options opts;
    std::string text;
    struct re *r;

    if (!translate(pattern, &text))
        return err_new(ERR_INVALID, "error parsing regexp: invalid escape sequence: \\C");

    opts.set_log_errors(false);
    opts.set_max_mem(max_program_bytes);
    opts.set_dot_nl(flags & RE_ANCHORED);
    if (flags & RE_LATIN1)
        opts.set_encoding(RE2::Options::EncodingLatin1);
    r = new re(text, opts, flags & RE_ANCHORED);
    if (!r->prog.ok()) {
        struct err *e = err_new(ERR_INVALID, "error parsing regexp: %s", r->prog.error().c_str());

        delete r;
        return e;
    }
    *ret = r;
    return NULL;
}

void re_free(struct re *r)
{
    delete r;
}

bool re_match(const struct re *r, struct slice text)
{
    re2::StringPiece t((const char *)text.ptr, text.len);

    return r->prog.Match(t, 0, t.size(), r->anchored ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, nullptr,
                         0);
}

bool re_find(const struct re *r, struct slice text, size_t from, int *spans, size_t n_spans)
{
    re2::StringPiece t((const char *)text.ptr, text.len);
    int groups = r->prog.NumberOfCapturingGroups() + 1;
    int want = (int)(n_spans / 2) < groups ? (int)(n_spans / 2) : groups;
    std::vector<re2::StringPiece> found((size_t)want);

    if (from > text.len ||
        !r->prog.Match(t, from, t.size(), r->anchored ? RE2::ANCHOR_BOTH : RE2::UNANCHORED,
                       found.data(), want))
        return false;
    for (int i = 0; i < want; i++) {
        bool took_part = found[(size_t)i].data() != nullptr;

        spans[2 * i] = took_part ? (int)(found[(size_t)i].data() - t.data()) : -1;
        spans[2 * i + 1] = took_part ? spans[2 * i] + (int)found[(size_t)i].size() : -1;
    }
    return true;
}

size_t re_bytes(const struct re *r)
{
    /* twice: it is read backwards, too, by a program that RE2 makes when it is first needed */
    return sizeof(*r) + 2 * bytes_per_instruction * (size_t)r->prog.ProgramSize();
}

size_t re_groups(const struct re *r)
{
    return (size_t)r->prog.NumberOfCapturingGroups();
}

const char *re_group_name(const struct re *r, size_t group)
{
    auto it = r->names.find((int)group);

    return it == r->names.end() ? NULL : it->second.c_str();
}

int re_group_index(const struct re *r, struct slice name)
{
    for (const auto &g : r->names)
        if (slice_eq(slice_of(g.second.data(), g.second.size()), name))
            return g.first;
    return -1;
}

extern "C" {
#include "common/base/num_shim.h"
}

size_t num_shim_scientific(double v, int prec, char *out, size_t cap)
{
    auto r = std::to_chars(out, out + cap, v, std::chars_format::scientific, prec);

    return r.ec == std::errc() ? (size_t)(r.ptr - out) : 0;
}

size_t num_shim_fixed(double v, int prec, char *out, size_t cap)
{
    auto r = std::to_chars(out, out + cap, v, std::chars_format::fixed, prec);

    return r.ec == std::errc() ? (size_t)(r.ptr - out) : 0;
}
