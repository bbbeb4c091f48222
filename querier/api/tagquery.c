#include "querier/api/tagquery.h"

#include "common/lang/traceql.h"

static const char *const scopes[] = {"span", "resource", "event"};

void tagquery_also(struct buf *out)
{
    buf_str(out, out->len ? " && " : "{ ");
}

void tagquery_end(struct buf *out)
{
    buf_str(out, out->len ? " }" : "{ }");
}

void tagquery_text(struct buf *out, struct slice s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_byte(out, '\\');
        if (s.ptr[i] == '\n')
            buf_str(out, "\\n");
        else
            buf_byte(out, s.ptr[i]);
    }
    buf_byte(out, '"');
}

void tagquery_service(struct buf *out, struct slice service)
{
    buf_str(out, "resource.service.name = ");
    tagquery_text(out, service);
}

/* -12, 0.5: what TraceQL takes for a number, too. */
static bool is_number(struct slice s)
{
    size_t i = s.len && s.ptr[0] == '-', digits = 0, points = 0;

    for (; i < s.len; i++) {
        if (s.ptr[i] == '.' && digits && !points)
            points++;
        else if (s.ptr[i] >= '0' && s.ptr[i] <= '9')
            digits++;
        else
            return false;
    }
    return digits > 0 && digits <= 18 && s.ptr[s.len - 1] != '.';
}

static bool is_boolean(struct slice s)
{
    return slice_eq_cstr(s, "true") || slice_eq_cstr(s, "false");
}

static void put_attribute(struct buf *out, const char *scope, struct slice key)
{
    buf_printf(out, "%s.", scope);
    tagquery_text(out, key);
}

/* What tags are called that are more than attributes here; false: none of them. */
static bool put_known(struct buf *out, struct slice key, struct slice value)
{
    if (slice_eq_cstr(key, "error") && is_boolean(value)) {
        buf_str(out, value.len == 4 ? "status = error" : "status != error");
        return true;
    }
    if (slice_eq_cstr(key, "otel.status_code") &&
        (slice_eq_nocase(value, SLICE("error")) || slice_eq_nocase(value, SLICE("ok")))) {
        buf_str(out, value.len == 2 ? "status = ok" : "status = error");
        return true;
    }
    if (slice_eq_cstr(key, "otel.scope.name") || slice_eq_cstr(key, "otel.scope.version")) {
        buf_str(out, key.len == strlen("otel.scope.name") ? "instrumentation:name = "
                                                          : "instrumentation:version = ");
        tagquery_text(out, value);
        return true;
    }
    if (!slice_eq_cstr(key, "span.kind"))
        return false;
    for (uint8_t kind = TRACEQL_KIND_INTERNAL; kind <= TRACEQL_KIND_CONSUMER; kind++)
        if (slice_eq_nocase(value, slice_cstr(traceql_kind_text(kind)))) {
            buf_printf(out, "kind = %s", traceql_kind_text(kind));
            return true;
        }
    return false;
}

/* A pattern that matches what has s in it. */
static void put_pattern(struct buf *out, struct slice s)
{
    struct buf pattern = {0};

    buf_str(&pattern, "(?is).*");
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", s.ptr[i]) && s.ptr[i])
            buf_byte(&pattern, '\\');
        buf_byte(&pattern, s.ptr[i]);
    }
    buf_str(&pattern, ".*");
    tagquery_text(out, buf_slice(&pattern));
    buf_done(&pattern);
}

void tagquery_contains(struct buf *out, struct slice operand, struct slice value)
{
    buf_printf(out, "(%.*s =~ ", SLICE_ARG(operand));
    put_pattern(out, value);
    if (is_number(value) || is_boolean(value))
        buf_printf(out, " || %.*s = %.*s", SLICE_ARG(operand), SLICE_ARG(value));
    buf_byte(out, ')');
}

void tagquery_equals(struct buf *out, struct slice key, struct slice value)
{
    if (put_known(out, key, value))
        return;
    buf_byte(out, '(');
    for (size_t i = 0; i < ORR_COUNT(scopes); i++) {
        if (i)
            buf_str(out, " || ");
        put_attribute(out, scopes[i], key);
        buf_str(out, " = ");
        tagquery_text(out, value);
        if (!is_number(value) && !is_boolean(value))
            continue;
        buf_str(out, " || ");
        put_attribute(out, scopes[i], key);
        buf_printf(out, " = %.*s", SLICE_ARG(value));
    }
    buf_byte(out, ')');
}

void tagquery_exists(struct buf *out, struct slice key)
{
    if (slice_eq_cstr(key, "error")) {
        buf_str(out, "status = error");
        return;
    }
    buf_byte(out, '(');
    for (size_t i = 0; i < ORR_COUNT(scopes); i++) {
        put_attribute(out, scopes[i], key);
        buf_str(out, " != nil || ");
    }
    buf_str(out, "event:name = ");
    tagquery_text(out, key);
    buf_byte(out, ')');
}

void tagquery_name(struct buf *out, struct slice name)
{
    buf_str(out, "name = ");
    tagquery_text(out, name);
}

void tagquery_duration(struct buf *out, const char *op, int64_t ns)
{
    buf_printf(out, "duration %s %lldns", op, (long long)ns);
}
