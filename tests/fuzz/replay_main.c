/* Runs every file of the directories (or files) named on the command line through a fuzz target,
 * for builds without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;
    size_t n;

    if (!f || fstat(fileno(f), &st)) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        return 1;
    }
    data = malloc((size_t)st.st_size + 1);
    if (!data)
        abort();
    n = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    (void)LLVMFuzzerTestOneInput(data, n);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int files = 0, bad = 0;

    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);

        if (!d) {
            bad += replay_file(argv[i]);
            files++;
            continue;
        }
        for (struct dirent *e; (e = readdir(d));) {
            char path[4096];

            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            bad += replay_file(path);
            files++;
        }
        closedir(d);
    }
    printf("%d inputs replayed\n", files);
    return bad || files == 0;
}
