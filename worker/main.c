/* SPDX-License-Identifier: ISC */
/*
 * banger-worker: does one job on foreign bytes and ends. Started by bangerd's engine with a
 * socket on fd 3 (common/job_proto.h) and nothing else. Owns the descriptors of its job; never
 * opens a path, never starts a program, speaks to that socket alone, and in a download to what its dialer connects.
 *
 * Exit status: 0 when a result or an error was told, 1 when not even that was possible.
 */
#include <assert.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/job_proto.h"
#include "worker/dialer.h"
#include "worker/job.h"
#include "worker/net.h"
#include "worker/sandbox.h"

/* The table's symbols are upper case, functions are not. */
enum {
	COPY,
	MKFS,
	UNPACK,
	KERNEL,
	VMLINUX,
	FETCH,
	FLATTEN,
	RESOLVE,
	BLOBS,
	LAYOUT,
	ARCHIVE,
	PACK_BUNDLE,
	UNPACK_BUNDLE,
	CATALOG,
	LIST,
	DIGEST,
	INITRD,
	CUT,
	FLUSH,
	EMPTY,
	INSPECT,
	RECEIVE,
	COW_SEED,
	COW_MERGE,
	MEMORY
};

static int (*const handlers[])(struct job *job, json_t **ret, struct bg_err **err) = {
	[COPY] = job_copy,
	[MKFS] = job_mkfs,
	[UNPACK] = job_unpack,
	[KERNEL] = job_kernel,
	[VMLINUX] = job_vmlinux,
	[FETCH] = job_fetch,
	[FLATTEN] = job_flatten,
	[RESOLVE] = job_resolve,
	[BLOBS] = job_blobs,
	[LAYOUT] = job_layout,
	[ARCHIVE] = job_archive,
	[PACK_BUNDLE] = job_pack_bundle,
	[UNPACK_BUNDLE] = job_unpack_bundle,
	[CATALOG] = job_catalog,
	[LIST] = job_list,
	[DIGEST] = job_digest,
	[INITRD] = job_initrd,
	[CUT] = job_cut,
	[FLUSH] = job_flush,
	[EMPTY] = job_empty,
	[INSPECT] = job_inspect,
	[RECEIVE] = job_receive,
	[COW_SEED] = job_cow_seed,
	[COW_MERGE] = job_cow_merge,
	[MEMORY] = job_memory,
};

/* What more than its files a job needs. */
static const enum sandbox_kind seals[ARRAY_SIZE(handlers)] = {
	[FETCH] = SANDBOX_NET,
	[RESOLVE] = SANDBOX_NET,
	[BLOBS] = SANDBOX_NET,
	[LIST] = SANDBOX_LIST,
	[EMPTY] = SANDBOX_EMPTY,
	[RECEIVE] = SANDBOX_RECEIVE,
};

static const struct job_row {
	const char *name;
	int fds, more_fds;
	int deadline_s;
	size_t handler;
} rows[] = {
#define X(sym, name_, fds_, more_, deadline_) {name_, fds_, more_, deadline_, sym},
#include "common/job_table.def"
#undef X
};
static_assert(ARRAY_SIZE(rows) == ARRAY_SIZE(handlers), "one handler per job");

/* The received request; fds beyond n are -1. */
struct request {
	json_t *json;
	int fd[BG_JOB_ALL_FDS_MAX];
	size_t n;
};

static int take_fds(struct msghdr *mh, struct request *rq)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);

	if (!c)
		return 0;
	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || CMSG_NXTHDR(mh, c))
		return -EPROTO;
	rq->n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	assert(rq->n <= BG_JOB_ALL_FDS_MAX);
	memcpy(rq->fd, CMSG_DATA(c), rq->n * sizeof(int));
	return 0;
}

static int receive(struct request *rq, struct bg_err **err)
{
	static char buf[BG_JOB_MSG_MAX];
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * BG_JOB_ALL_FDS_MAX)];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	do {
		n = recvmsg(BG_JOB_FD, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "receive the job");
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return bg_err_set(err, BG_ERR_WORKER, EMSGSIZE, "the job request is too large");
	if (take_fds(&mh, rq) < 0)
		return bg_err_set(err, BG_ERR_WORKER, EPROTO, "the job request is malformed");
	rq->json = json_loadb(buf, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(rq->json))
		return bg_err_set(
			err, BG_ERR_WORKER, EPROTO, "the job request is not a JSON object");
	return 0;
}

static int find_row(const struct request *rq, const struct job_row **ret, struct bg_err **err)
{
	const char *name;
	int r = bg_json_need_str(rq->json, "job", BG_ERR_WORKER, &name, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!bg_streq(rows[i].name, name))
			continue;
		if (rq->n < (size_t)rows[i].fds ||
			rq->n > (size_t)rows[i].fds + (size_t)rows[i].more_fds)
			return bg_err_set(err, BG_ERR_WORKER, EPROTO,
				"job \"%s\" takes %d descriptors, not %zu", name, rows[i].fds,
				rq->n);
		*ret = &rows[i];
		return 0;
	}
	return bg_err_set(err, BG_ERR_WORKER, EPROTO, "there is no job \"%s\"", name);
}

static int run(const struct request *rq, json_t **ret, struct bg_err **err)
{
	struct job job = {.sock = BG_JOB_FD, .params = rq->json, .n_fds = rq->n};
	const struct job_row *row = NULL;
	int r = find_row(rq, &row, err);

	if (r < 0)
		return r;
	memcpy(job.fd, rq->fd, sizeof(job.fd));
	/*
	 * Names of hosts are UTF-8; glibc has this locale built in. Jobs that read archives stay
	 * in "C": there libarchive gives names as they are, where in UTF-8 it makes "e" and an
	 * accent one letter, and two files one.
	 */
	if (seals[row->handler] == SANDBOX_NET)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	r = seals[row->handler] == SANDBOX_NET ? dialer_start(rq->json, row->deadline_s, err) : 0;
	/* TLS reads its configuration while it starts. */
	if (r >= 0 && seals[row->handler] == SANDBOX_NET)
		r = net_start(err);
	if (r >= 0)
		r = sandbox_seal(row->deadline_s, seals[row->handler], rq->fd, rq->n, err);
	return r < 0 ? r : handlers[row->handler](&job, ret, err);
}

/* Takes body. */
static int tell(const char *key, json_t *body)
{
	_json_ json_t *msg = json_pack("{s:o?}", key, body);
	_free_ char *s = msg ? json_dumps(msg, JSON_COMPACT) : NULL;

	if (!s)
		return -ENOMEM;
	return send(BG_JOB_FD, s, strlen(s), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int main(void)
{
	_err_ struct bg_err *err = NULL;
	_json_ json_t *result = NULL;
	struct request rq = {};
	int r;

	memset(rq.fd, -1, sizeof(rq.fd));

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	r = bg_std_fds() < 0 ? bg_err_sys(&err, BG_ERR_WORKER, errno, "open /dev/null")
			     : sandbox_enter(&err);
	if (r >= 0)
		r = receive(&rq, &err);
	if (r >= 0)
		r = run(&rq, &result, &err);
	r = r < 0 ? tell("error", bg_err_to_json(err)) : tell("result", TAKE_PTR(result));
	json_decref(rq.json);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
