/* SPDX-License-Identifier: ISC */
/*
 * child.h: runs one program of the user's and waits for it: git. Input and output are
 * descriptors (files in memory mostly), so nothing has to be pumped and nothing can deadlock.
 */
#ifndef BG_CLI_CHILD_H
#define BG_CLI_CHILD_H

#include "common/err.h"

struct child {
	const char *const *argv;
	const char *const *env; /* "NAME=value" sets, "NAME" unsets; ends with NULL; may be NULL */
	int in, out;		/* borrowed; CHILD_NULL: /dev/null */
};

enum { CHILD_NULL = -1, CHILD_NO_EXEC = 127 };

/*
 * The exit status, 128 + signal for one that was killed; -errno when it could not be started
 * (-ENOENT: there is no such program). *said gets what it wrote on stderr without the last
 * line end, the caller's. Blocks until it ends.
 */
int child_run(const struct child *c, char **said);
/* A file in memory that nobody else sees, or -errno. */
int child_memory(const char *name);
/* All that was written into such a file, NUL-terminated; -EFBIG beyond max. */
int child_output(int fd, size_t max, char **ret, size_t *len);

#endif
