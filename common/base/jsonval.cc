/* The C++ shim over simdjson. */
#include <cstring>
#include <simdjson.h>

extern "C" {
#include "common/base/jsonval.h"
#include "common/base/mem.h"
}

namespace dom = simdjson::dom;

struct jsonval_doc {
    dom::parser parser;
};

/* Both are two words that may be copied as such; C holds them without knowing what they are. */
template <typename T> static T out_of(const uint64_t (&words)[2])
{
    T t;

    static_assert(sizeof(T) == 16 && std::is_trivially_copyable<T>::value, "kept as two words");
    memcpy((void *)&t, words, sizeof(t));
    return t;
}

template <typename T> static void into(uint64_t (&words)[2], const T &t)
{
    static_assert(sizeof(T) == 16 && std::is_trivially_copyable<T>::value, "kept as two words");
    memcpy(words, (const void *)&t, sizeof(t));
}

static dom::element element_of(struct jsonval v)
{
    return out_of<dom::element>(v.opaque);
}

template <typename T> static T get(struct jsonval v)
{
    T t{};

    ORR_ASSERT(!element_of(v).get(t));
    return t;
}

extern "C" {

struct err *jsonval_parse(struct slice text, size_t max_depth, struct jsonval_doc **ret,
                          struct jsonval *ret_root)
{
    struct jsonval_doc *d = new (std::nothrow) jsonval_doc;
    simdjson::error_code code;
    dom::element root;

    if (!d)
        return err_new(ERR_LIMIT, "JSON: no memory for %zu bytes", text.len);
    /* Parsed from a copy: simdjson reads some bytes past the end. */
    if (!(code = d->parser.allocate(text.len + 1, max_depth + 1)))
        code = d->parser.parse((const char *)text.ptr, text.len, true).get(root);
    if (code) {
        delete d;
        return err_new(code == simdjson::MEMALLOC ? ERR_LIMIT : ERR_INVALID, "JSON: %s",
                       simdjson::error_message(code));
    }
    into(ret_root->opaque, root);
    *ret = d;
    return NULL;
}

void jsonval_free(struct jsonval_doc *doc)
{
    delete doc;
}

/* Its copy of the text, the texts in it, and the tape, whose first word says how long it is. */
size_t jsonval_memory(const struct jsonval_doc *doc)
{
    uint64_t words = doc->parser.doc.tape[0] & simdjson::internal::JSON_VALUE_MASK;

    return 2 * doc->parser.capacity() + words * sizeof(uint64_t);
}

enum jsonval_kind jsonval_kind(struct jsonval v)
{
    switch (element_of(v).type()) {
    case dom::element_type::ARRAY:
        return JSONVAL_LIST;
    case dom::element_type::OBJECT:
        return JSONVAL_OBJECT;
    case dom::element_type::INT64:
        return JSONVAL_I64;
    case dom::element_type::UINT64:
        return JSONVAL_U64;
    case dom::element_type::DOUBLE:
        return JSONVAL_F64;
    case dom::element_type::STRING:
        return JSONVAL_TEXT;
    case dom::element_type::BOOL:
        return JSONVAL_BOOL;
    default:
        return JSONVAL_NULL;
    }
}

bool jsonval_bool(struct jsonval v)
{
    return get<bool>(v);
}

int64_t jsonval_i64(struct jsonval v)
{
    return get<int64_t>(v);
}

uint64_t jsonval_u64(struct jsonval v)
{
    return get<uint64_t>(v);
}

double jsonval_f64(struct jsonval v)
{
    return get<double>(v);
}

struct slice jsonval_text(struct jsonval v)
{
    std::string_view s = get<std::string_view>(v);

    return slice_of(s.data(), s.size());
}

struct jsonval_iter jsonval_iter(struct jsonval v)
{
    dom::element e = element_of(v);
    struct jsonval_iter it = {};
    dom::object object;
    dom::array array;

    if (!e.get(object)) {
        it.is_object = true;
        into(it.at, object.begin());
        into(it.end, object.end());
    } else if (!e.get(array)) {
        into(it.at, array.begin());
        into(it.end, array.end());
    }
    return it;
}

bool jsonval_next(struct jsonval_iter *it, struct slice *ret_key, struct jsonval *ret)
{
    if (memcmp(it->at, it->end, sizeof(it->at)) == 0)
        return false;
    if (it->is_object) {
        auto at = out_of<dom::object::iterator>(it->at);
        std::string_view key = at.key();

        *ret_key = slice_of(key.data(), key.size());
        into(ret->opaque, at.value());
        ++at;
        into(it->at, at);
    } else {
        auto at = out_of<dom::array::iterator>(it->at);

        *ret_key = SLICE_EMPTY;
        into(ret->opaque, *at);
        ++at;
        into(it->at, at);
    }
    return true;
}

size_t jsonval_count(struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval item;
    size_t n = 0;

    while (jsonval_next(&it, &key, &item))
        n++;
    return n;
}
}
