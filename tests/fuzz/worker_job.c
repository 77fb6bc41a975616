/* SPDX-License-Identifier: ISC */
/* worker_job.c: Inputs are files in memory, as the engine would hand them over. */
#include "tests/fuzz/worker_job.h"

#include <locale.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/fd.h"

static int socks[2] = {-1, -1}, fds[BG_JOB_ALL_FDS_MAX];

static void setup(size_t n)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
		if (fds[i] < 0)
			abort();
	}
}

static void fill(int fd, const struct fuzz_input *in)
{
	if (ftruncate(fd, 0) < 0 || pwrite(fd, in->data, in->size, 0) != (ssize_t)in->size)
		abort();
}

void fuzz_worker_inputs(int (*run)(struct job *job, json_t **ret, struct bg_err **err),
	const char *params, size_t n, size_t first, const struct fuzz_input *in, size_t n_in)
{
	_json_ json_t *rq = json_loads(params, 0, NULL);
	_json_ json_t *result = NULL;
	_err_ struct bg_err *err = NULL;
	struct job job = {.params = rq, .n_fds = n, .next_report = INT64_MAX};
	int r;

	if (socks[0] < 0)
		setup(n);
	job.sock = socks[0];
	memcpy(job.fd, fds, sizeof(fds));
	for (size_t i = 0; i < n_in; i++)
		fill(fds[first + i], &in[i]);
	for (size_t i = 0; i < n; i++)
		if (lseek(fds[i], 0, SEEK_SET) < 0)
			abort();
	r = run(&job, &result, &err);
	if ((r < 0) != (err != NULL) || (r < 0) == (result != NULL))
		abort();
}

void fuzz_worker_job(int (*run)(struct job *job, json_t **ret, struct bg_err **err),
	const char *params, size_t n, const uint8_t *data, size_t size)
{
	const struct fuzz_input in = {data, size};

	fuzz_worker_inputs(run, params, n, 0, &in, 1);
}
