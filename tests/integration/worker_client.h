/* SPDX-License-Identifier: ISC */
/* worker_client.h: plays bangerd to the real banger-worker; for tests only. */
#ifndef BG_TESTS_INTEGRATION_WORKER_CLIENT_H
#define BG_TESTS_INTEGRATION_WORKER_CLIENT_H

#include <sys/types.h>

#include "common/json.h"

struct worker {
	pid_t pid;
	int sock;
};

struct worker_answer {
	json_t *result, *error; /* at most one is set */
	unsigned progress;	/* datagrams */
	int status;		/* of waitpid */
};

/* Starts the worker and sends the request with the descriptors. */
void worker_start(struct worker *w, const void *request, size_t len, const int *fds, size_t n);
/* Reads until the worker ends. */
struct worker_answer worker_wait(struct worker *w);
/* Both. */
struct worker_answer worker_run(const char *request, const int *fds, size_t n);
void worker_answer_clear(struct worker_answer *a);
/* The answer must be an error with this code, whose message has these words; cleared. */
void worker_expect_error(struct worker_answer *a, const char *code, const char *words);
/* The answer must be a result with this number. */
int64_t worker_result_int(const struct worker_answer *a, const char *key);
/* A file in the test's directory, made or emptied, open for reading and writing. */
int worker_file(const char *name);
/* Its path, in a buffer that the next call reuses. */
const char *worker_path(const char *name);
/* Runs e2fsck -fn on it; fails the test when it finds anything, skips without e2fsck. */
void worker_fsck(const char *name);

#endif
