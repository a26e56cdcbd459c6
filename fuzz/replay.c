// SPDX-License-Identifier: Apache-2.0
/* Runs a fuzz target over the files of a folder, so that the corpus is an ordinary test: no clang needed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            fprintf(stderr, "%s: cannot open\n", argv[i]);
            return 1;
        }
        for (struct dirent *e; (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            char path[4096];
            struct buf data = {0};
            if (file_join(path, sizeof path, argv[i], e->d_name) != OK || file_read(&data, path, 1 << 26) != OK) {
                fprintf(stderr, "%s\n", status_message());
                return 1;
            }
            /* A block of exactly the right size, so that the sanitizer sees a read past its end. */
            uint8_t *exact = malloc(data.len ? data.len : 1);
            if (!exact) return 1;
            for (size_t k = 0; k < data.len; k++)
                exact[k] = (uint8_t)data.data[k];
            LLVMFuzzerTestOneInput(exact, data.len);
            free(exact);
            buf_free(&data);
            n++;
        }
        closedir(d);
    }
    printf("%d inputs replayed\n", n);
    return n == 0;
}
