/*
 * The dynamic values that templates compute with: what Go's reflect.Value is to text/template.
 *
 * A value is small and passed by value; what it points to (text, elements, members) lives in an
 * arena and is never changed once a template has seen it. Kinds are Go's; a value may also have a
 * named type (struct value_type) with methods, as time.Time has Format.
 *
 * Go tells a value from a variable of type interface{} that holds it: is_any marks what came out of
 * such a place (an element of a JSON list, say). It shows in error texts, and in what nothing is:
 * VALUE_INVALID with is_any is a nil interface, without it is no value at all ("<no value>").
 *
 * Owner: one thread, the arena's.
 */
#pragma once
#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/gotime.h"
#include "common/model/labels.h"

enum value_kind {
    VALUE_INVALID,
    VALUE_BOOL,
    VALUE_INT,   /* int, and with a type any other signed integer (time.Duration) */
    VALUE_UINT,  /* uint8 (a byte of a string), uint64 */
    VALUE_FLOAT, /* float64 */
    VALUE_COMPLEX,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_MAP,    /* string keys, in their order */
    VALUE_STRUCT, /* named members, in the order of their declaration */
    VALUE_TIME,   /* time.Time */
};

struct value_type;
struct value_member;

struct value {
    enum value_kind kind;
    bool is_any;                   /* came out of a place of type interface{} */
    bool is_pointer;               /* *T: prints with & in front where Go does */
    const struct value_type *type; /* NULL: the plain type of the kind */
    union {
        bool b;
        int64_t i; /* also nanoseconds of a duration */
        uint64_t u;
        double f;
        struct {
            double re, im;
        } c;
        struct slice s;
        struct {
            const struct value *items;
            size_t n;
        } list;
        struct {
            const struct value_member *members;
            size_t n;
        } map; /* and struct */
        const struct gotime *time;
    };
};

struct value_member {
    struct slice name;
    struct value value;
};

/* What a function or method gets beside its arguments. */
struct value_call {
    struct arena *arena;
    void *ctx;        /* of whoever registered the function */
    size_t max_bytes; /* no text longer than this may be made; buf.max_bytes for builders */
};
/* args borrow. A failure becomes "error calling NAME: …". */
typedef struct err *value_fn(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret);

/*
 * A function or method. args has a letter for each parameter; a '*' behind the last one repeats it:
 *   s string   f float64   i int   b bool   v anything, nil included
 * A method gets its receiver as args[0], without a letter.
 */
struct value_func {
    const char *name;
    const char *args;
    value_fn *fn;
};

struct value_type {
    const char *name; /* as %T prints it, without the '*' of a pointer */
    const struct value_func *methods;
    size_t n_methods;
    /* Its String() method; NULL if it has none. */
    void (*print)(struct buf *out, const struct value *v);
    enum value_kind elem; /* of a list or map: what the zero value of an element is; INVALID: any */
};

extern const struct value_type value_type_map_string;  /* map[string]string */
extern const struct value_type value_type_list_string; /* []string */
extern const struct value_type value_type_byte;        /* uint8 */
extern const struct value_type value_type_duration;    /* time.Duration, kind INT */
extern const struct value_type value_type_html;        /* template.HTML, kind STRING */

static inline struct value value_none(void)
{
    return (struct value){.kind = VALUE_INVALID};
}
static inline struct value value_nil(void) /* a nil interface{} */
{
    return (struct value){.kind = VALUE_INVALID, .is_any = true};
}
static inline struct value value_bool(bool b)
{
    return (struct value){.kind = VALUE_BOOL, .b = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.kind = VALUE_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.kind = VALUE_FLOAT, .f = f};
}
static inline struct value value_string(struct slice s) /* borrows */
{
    return (struct value){.kind = VALUE_STRING, .s = s};
}
static inline struct value value_duration(int64_t ns)
{
    return (struct value){.kind = VALUE_INT, .i = ns, .type = &value_type_duration};
}
struct value value_time(struct arena *a, struct gotime t);
/* Borrow the arrays. Members of a map are given sorted by name, each once. */
struct value value_list(const struct value *items, size_t n);
struct value value_map(const struct value_member *members, size_t n);
struct value value_struct(const struct value_type *type, const struct value_member *members,
                          size_t n);
/* map[string]string; borrows the texts. */
struct value value_labels(struct arena *a, struct labels ls);
/* map[string]interface{} and []interface{}; integers are int, other numbers float64. Copies. */
struct value value_of_json(struct arena *a, const json_t *json);
/* Copies the text of a buffer into the arena and frees the buffer. */
struct value value_take_text(struct arena *a, struct buf *b);

/* The member of a map or struct, or NULL. */
const struct value *value_get(const struct value *v, struct slice name);
/* What a missing key of this map stands for under missingkey=zero and in index. */
struct value value_zero_elem(const struct value *map);
/* Go's truth: not zero, not empty, not nil. */
bool value_is_true(const struct value *v);
/* The dynamic type, as %T prints it: "map[string]interface {}". */
void value_type_name(struct buf *out, const struct value *v);
char *value_type_text(struct arena *a, const struct value *v);
const struct value_func *value_method(const struct value *v, struct slice name);
