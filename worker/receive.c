/* SPDX-License-Identifier: ISC */
/*
 * The receive job: a tree out of a guest into a folder of the user's. Its socket is not looked at:
 * when the CLI is gone the stream has ended, and what is half written is removed
 * (common/tar_unpack.c).
 */
#include <limits.h>
#include <stdio.h>

#include "common/tar.h"
#include "worker/job.h"

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A name is bytes; JSON has text. */
static int take_name(const json_t *params, char out[NAME_MAX + 1], struct bg_err **err)
{
	const char *hex = "";
	size_t n = 0;
	int r = bg_json_need_str(params, "top", BG_ERR_WORKER, &hex, err);

	for (; r >= 0 && hex[0] && hex[1] && n < NAME_MAX; hex += 2, n++) {
		int high = digit(hex[0]), low = digit(hex[1]);

		if (high < 0 || low < 0)
			break;
		out[n] = (char)(high << 4 | low);
	}
	out[n] = '\0';
	if (r >= 0 && (*hex || strlen(out) != n || strchr(out, '/') || bg_streq(out, ".") ||
			      bg_streq(out, "..")))
		return bg_err_set(err, BG_ERR_WORKER, EINVAL, "\"top\" is not a file name");
	return r;
}

int job_receive(struct job *job, json_t **ret, struct bg_err **err)
{
	char top[NAME_MAX + 1];
	struct bg_tar_unpacking u = {.in_fd = job->fd[0], .top = top};
	int64_t mask = 0;
	int r = take_name(job->params, top, err);

	if (r >= 0)
		r = bg_json_need_int(job->params, "umask", BG_ERR_WORKER, 0, 0777, &mask, err);
	if (r < 0)
		return r;
	u.umask = (unsigned)mask;
	r = bg_tar_unpack_at(&u, job->fd[1], err);
	if (r < 0)
		return r;
	*ret = json_pack("{s:I}", "left_out", (json_int_t)u.left_out);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}
