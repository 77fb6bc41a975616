/* SPDX-License-Identifier: ISC */
/* Progress, cancellation and error shapes for all handlers; see job.h. */
#include "worker/job.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define REPORT_MS 100

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static int cancelled(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_CANCELLED, ECANCELED, "the job was cancelled");
}

/* A report that does not fit into the socket right now is left out: the next one says more. */
static int report(struct job *job, uint64_t done, const char *text)
{
	_json_ json_t *msg =
		json_pack("{s:{s:I, s:o, s:s, s:o}}", "progress", "done", (json_int_t)done, "total",
			job->total ? json_integer((json_int_t)job->total) : json_null(), "unit",
			job->unit ? job->unit : "bytes", "text", bg_json_str(text));
	_free_ char *s = msg ? json_dumps(msg, JSON_COMPACT) : NULL;

	if (!s)
		return 0;
	if (send(job->sock, s, strlen(s), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
		(errno == EPIPE || errno == ECONNRESET))
		return -ECANCELED;
	return 0;
}

int job_alive(struct job *job, struct bg_err **err)
{
	struct pollfd p = {.fd = job->sock, .events = POLLRDHUP};

	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
		return cancelled(err);
	return 0;
}

int job_tick(struct job *job, uint64_t done, const char *text, struct bg_err **err)
{
	int64_t now = now_ms();

	if (now < job->next_report)
		return 0;
	job->next_report = now + REPORT_MS;
	if (job_alive(job, err) < 0)
		return -ECANCELED;
	return report(job, done, text) < 0 ? cancelled(err) : 0;
}

int job_wait_readable(struct job *job, int fd, struct bg_err **err)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = job->sock, .events = POLLRDHUP}};

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return bg_err_sys(err, BG_ERR_WORKER, errno, "wait for input");
	if (p[1].revents & (POLLRDHUP | POLLHUP | POLLERR))
		return cancelled(err);
	return 0;
}

int job_write_err(int r, struct bg_err **err, const char *fmt, ...)
{
	_free_ char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	return bg_err_sys(err, r == -ENOSPC || r == -EDQUOT ? BG_ERR_NO_SPACE : BG_ERR_WORKER, -r,
		"%s", what ? what : "write");
}
