// SPDX-License-Identifier: Apache-2.0
/* Bytes as a file that has a path, without a disk. */
#ifndef GPTJT_FUZZ_MEMORY_FILE_H
#define GPTJT_FUZZ_MEMORY_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns the descriptor, to be closed, and its path in 64 bytes. */
static inline int memory_file(char *path, const uint8_t *data, size_t size)
{
    const int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
