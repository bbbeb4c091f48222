#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric_internal.h"

struct process_stat {
    double start_s; /* Unix time; 0 when /proc does not say */
    uint64_t virtual_bytes, resident_bytes, threads;
};

/* Text of a /proc file, NUL-terminated; empty when it cannot be read. */
static size_t read_proc(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n = 0;

    if (f) {
        n = fread(text, 1, cap - 1, f);
        fclose(f);
    }
    text[n] = 0;
    return n;
}

/* When the machine started, Unix seconds: a process's start is counted from there. */
static double boot_time_s(void)
{
    FILE *f = fopen("/proc/stat", "re");
    char line[256];
    double ret = 0;

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "btime ", 6) == 0)
            ret = strtod(line + 6, NULL);
    fclose(f);
    return ret;
}

static struct process_stat read_stat(void)
{
    struct process_stat ret = {0};
    char text[1024], *rest = NULL, *field;
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);

    (void)read_proc("/proc/self/stat", text, sizeof(text));
    field = strrchr(text, ')'); /* the name before it may hold anything */
    if (!field)
        return ret;
    field = strtok_r(field + 1, " ", &rest);
    for (int i = 3; field; i++, field = strtok_r(NULL, " ", &rest)) { /* numbered as in proc(5) */
        if (i == 20)
            ret.threads = strtoull(field, NULL, 10);
        else if (i == 22)
            ret.start_s = boot_time_s() + strtod(field, NULL) / (double)ticks;
        else if (i == 23)
            ret.virtual_bytes = strtoull(field, NULL, 10);
        else if (i == 24)
            ret.resident_bytes = strtoull(field, NULL, 10) * (uint64_t)page;
    }
    return ret;
}

static uint64_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (!d)
        return 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n < 3 ? 0 : n - 3; /* ".", ".." and the directory's own */
}

static double cpu_seconds(void)
{
    struct timespec ts = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / (double)NS_PER_S;
}

static void put_u64(struct buf *out, bool om, const char *name, const char *help, uint64_t v)
{
    metric_write_family(out, om, METRIC_T_GAUGE, name, help);
    metric_write_u64(out, name, NULL, v);
}

static void put_process(struct buf *out, bool om)
{
    struct process_stat st = read_stat();
    struct rlimit files = {0};

    metric_write_family(out, om, METRIC_T_COUNTER_F64, "process_cpu_seconds_total",
                        "Total user and system CPU time spent in seconds.");
    metric_write_f64(out, "process_cpu_seconds_total", NULL, cpu_seconds());
    put_u64(out, om, "process_resident_memory_bytes", "Resident memory size in bytes.",
            st.resident_bytes);
    put_u64(out, om, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
            st.virtual_bytes);
    put_u64(out, om, "process_open_fds", "Number of open file descriptors.", open_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put_u64(out, om, "process_max_fds", "Maximum number of open file descriptors.",
                files.rlim_cur);
    put_u64(out, om, "process_threads", "Number of threads.", st.threads);
    metric_write_family(out, om, METRIC_T_GAUGE_F64, "process_start_time_seconds",
                        "Start time of the process since unix epoch in seconds.");
    metric_write_f64(out, "process_start_time_seconds", NULL, st.start_s);
}

static void put_log(struct buf *out, bool om)
{
    metric_write_family(out, om, METRIC_T_COUNTER, "orrery_log_lines_total", "Lines logged.");
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        char labels[32];

        snprintf(labels, sizeof(labels), "level=\"%s\"", log_level_name((enum log_level)i));
        metric_write_u64(out, "orrery_log_lines_total", labels, log_lines((enum log_level)i));
    }
    metric_write_family(out, om, METRIC_T_COUNTER, "orrery_log_dropped_lines_total",
                        "Lines left out as repeats of one call site.");
    metric_write_u64(out, "orrery_log_dropped_lines_total", NULL, log_lines_dropped());
    metric_write_family(out, om, METRIC_T_COUNTER, "orrery_log_failed_lines_total",
                        "Lines that stderr did not take.");
    metric_write_u64(out, "orrery_log_failed_lines_total", NULL, log_lines_failed());
}

void metric_process_collect(void *arg, struct buf *out, bool is_openmetrics)
{
    (void)arg;
    put_process(out, is_openmetrics);
    put_u64(out, is_openmetrics, "orrery_memory_allocated_bytes",
            "Bytes of live heap allocations, as the allocator counts them.", mem_allocated_bytes());
    put_u64(out, is_openmetrics, "orrery_memory_limit_bytes",
            "Memory this process may use: its cgroup's limit, else the machine's.",
            mem_limit_bytes());
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, "orrery_build_info",
                        "Always 1; the labels say what was built.");
    metric_write_u64(out, "orrery_build_info",
                     "version=\"" ORR_VERSION "\",compiler=\"" __VERSION__ "\"", 1);
    put_log(out, is_openmetrics);
}
