/*
 * Configuration: tables of fields bound to structs, filled from defaults, a YAML file, environment
 * variables and flags, in that order (later wins).
 *
 *     static const struct conf_field ingester_fields[] = {
 *         CONF_DURATION(struct ingester_config, chunk_age_ns, "chunk-age", "15m", "1s", "24h",
 *                       CONF_RELOAD, "Age at which an open chunk is cut."),
 *     };
 *     static const struct conf_section ingester_section = {
 *         "ingester", "Settings of orrery-ingester.", sizeof(struct ingester_config),
 *         ingester_fields, ORR_COUNT(ingester_fields)};
 *
 * A row is the only place that knows its option: default, range, --help, environment override,
 * reload and the reference page come from it. Key "ingester.chunk-age" is
 *     YAML      ingester: {chunk-age: 15m}      ("chunk_age" is accepted too)
 *     flag      --ingester.chunk-age=15m
 *     variable  ORRERY_INGESTER_CHUNK_AGE=15m
 * A list is a YAML sequence, or its elements with commas between. In flags a truth needs no value
 * (--auth.enabled). YAML may also give the key in one piece (ingester.chunk-age: 15m). Text is
 * taken as it stands: ${VAR} is not expanded.
 *
 * Unknown keys are refused with the line number and the nearest known key, flags and ORRERY_
 * variables likewise (but for ORRERY_FAULT and ORRERY_DATA, which other parts read), a key given
 * twice in the file or on the command line with both places, and a value that does not fit its
 * field with key, value and range. The file is bounded: see yaml.h. A loaded conf is
 * immutable; reload builds a new one and swaps it in (a change to a field without CONF_RELOAD is
 * refused with its name, and the old configuration stays).
 *
 * Owner: main builds it; readers on any thread hold a reference (snapshot.h).
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/snapshot.h"

enum conf_type {
    CONF_T_BOOL,
    CONF_T_INT,
    CONF_T_FLOAT,
    CONF_T_STRING,
    CONF_T_DURATION,
    CONF_T_BYTES,
    CONF_T_ENUM,
    CONF_T_LIST
};
enum conf_flag { CONF_FIXED = 0, CONF_RELOAD = 1, CONF_SECRET = 2 /* printed as <secret> */ };

struct conf_field {
    enum conf_type type;
    size_t offset;
    const char *key, *def, *min, *max; /* min/max NULL: unbounded; enum: "a|b|c" in max */
    unsigned flags;
    const char *help;
};
/* Member types: bool, int64_t, double, char * (NUL-terminated, owned by the conf), int64_t ns,
 * int64_t bytes ("64MiB", "1GB", plain), int (index into the names), struct conf_list. */
struct conf_list {
    char **items;
    size_t n;
};
#define CONF_BOOL(t, m, key, def, flags, help)                                                     \
    {                                                                                              \
        CONF_T_BOOL, offsetof(t, m), key, def, NULL, NULL, flags, help                             \
    }
#define CONF_INT(t, m, key, def, min, max, flags, help)                                            \
    {                                                                                              \
        CONF_T_INT, offsetof(t, m), key, def, min, max, flags, help                                \
    }
#define CONF_FLOAT(t, m, key, def, min, max, flags, help)                                          \
    {                                                                                              \
        CONF_T_FLOAT, offsetof(t, m), key, def, min, max, flags, help                              \
    }
#define CONF_STRING(t, m, key, def, flags, help)                                                   \
    {                                                                                              \
        CONF_T_STRING, offsetof(t, m), key, def, NULL, NULL, flags, help                           \
    }
#define CONF_DURATION(t, m, key, def, min, max, flags, help)                                       \
    {                                                                                              \
        CONF_T_DURATION, offsetof(t, m), key, def, min, max, flags, help                           \
    }
#define CONF_BYTES(t, m, key, def, min, max, flags, help)                                          \
    {                                                                                              \
        CONF_T_BYTES, offsetof(t, m), key, def, min, max, flags, help                              \
    }
#define CONF_ENUM(t, m, key, def, names, flags, help)                                              \
    {                                                                                              \
        CONF_T_ENUM, offsetof(t, m), key, def, NULL, names, flags, help                            \
    }
#define CONF_LIST(t, m, key, def, flags, help)                                                     \
    {                                                                                              \
        CONF_T_LIST, offsetof(t, m), key, def, NULL, NULL, flags, help                             \
    }

struct conf_section {
    const char *name, *help;
    size_t struct_bytes;
    const struct conf_field *fields;
    size_t field_count;
};

struct conf; /* starts with a struct snapshot */

struct conf_source {
    const struct conf_section *const *sections;
    size_t section_count;
    const char *yaml_path; /* NULL: no file */
    char **env;            /* environ, or a test's */
    char **flags;          /* NULL-terminated "--a.b=c" left over from argv; may be NULL */
    /* NULL-terminated names of sections of other programs: a file or environment that several
     * programs share may hold them, and they are passed over. May be NULL. */
    const char *const *foreign;
};
/* The error names file:line, the key, what was wrong and the nearest known key. */
ORR_CHECKED struct err *conf_load(const struct conf_source *src, struct conf **ret);
/* As conf_load, from text instead of a file (name is for messages). */
ORR_CHECKED struct err *conf_load_text(const struct conf_source *src, const char *name,
                                       struct slice yaml, struct conf **ret);
/* The filled struct of a section; lent as long as the conf is referenced. Asserts it exists. */
const void *conf_section(const struct conf *c, const char *name);
/* NULL when next may replace c without a restart; else an error that names the first such key. */
ORR_CHECKED struct err *conf_check_reload(const struct conf *c, const struct conf *next);
void conf_print(const struct conf *c, struct buf *out); /* as YAML, secrets hidden */
void conf_help(const struct conf_section *const *sections, size_t n, struct buf *out);
struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c); /* NULL is allowed */

/*
 * Shared notations. Durations: numbers with units, as Prometheus and Go write them ("1h30m", "15s",
 * "500ms", "1.5h", "1d", "2w", "1y"; y w d h m s ms us ns; a plain 0), never negative. Bytes:
 * "64MiB", "10KB", "1e6", "1.5GiB"; K, M, G, T, P are powers of 1000, Ki, Mi, ... powers of 1024,
 * case does not count, a B behind is optional.
 */
ORR_CHECKED struct err *conf_parse_duration(struct slice s, int64_t *ret_ns);
ORR_CHECKED struct err *conf_parse_bytes(struct slice s, int64_t *ret);
/* So that the parser reads the same back: "1h30m", "0s"; "64MiB", "10000". */
void conf_format_duration(struct buf *out, int64_t ns);
void conf_format_bytes(struct buf *out, int64_t bytes);

/*
 * Command line shared by all binaries: --config FILE, --print-config, --help, --version and
 * --section.key=value. Returns false when the process should exit at once with *ret_status
 * (help or config printed to stdout, or an error to stderr).
 */
struct conf_cli {
    const char *program, *about;
    const struct conf_section *const *sections;
    size_t section_count;
    const char *const *foreign; /* as in conf_source */
};
bool conf_cli_run(const struct conf_cli *cli, int argc, char **argv, struct conf **ret,
                  int *ret_status);
/* Reads everything again as conf_cli_run did (same argv) and checks that *ret may replace now
 * without a restart; on an error the caller stays with now. */
ORR_CHECKED struct err *conf_cli_reload(const struct conf_cli *cli, int argc, char **argv,
                                        const struct conf *now, struct conf **ret);
