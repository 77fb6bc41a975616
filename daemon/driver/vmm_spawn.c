/* SPDX-License-Identifier: ISC */
/* What the VMM drivers need to put a process up; see vmm_impl.h. Blocks for no longer than an open
 * or an unlink. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

int vmm_socket_path(const char *run_dir, const char *name, char **ret, struct bg_err **err)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", run_dir, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (strlen(path) > BG_SUN_PATH_MAX) {
		bg_err_set(err, BG_ERR_VMM_FAILED, ENAMETOOLONG,
			"socket path \"%s\" is longer than %d bytes", path, BG_SUN_PATH_MAX);
		bg_err_hint(err, "let XDG_RUNTIME_DIR name a shorter directory");
		free(path);
		return -ENAMETOOLONG;
	}
	*ret = path;
	return 0;
}

int vmm_clear_socket(const char *run_dir, const char *name, struct bg_err **err)
{
	_free_ char *path = NULL;
	int r = vmm_socket_path(run_dir, name, &path, err);

	if (r < 0)
		return r;
	if (unlink(path) < 0 && errno != ENOENT)
		return bg_err_sys(err, BG_ERR_IO, errno, "remove old socket %s", path);
	return 0;
}

int vmm_open_log(const char *path, struct bg_err **err)
{
	int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	return fd < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "open log %s", path) : fd;
}

int vmm_spawn(const char *const *argv, int out_fd, int log_fd, pid_t *ret_pid, int *ret_pidfd,
	struct bg_err **err)
{
	const struct spawn spawn = {
		.path = argv[0],
		.argv = argv,
		.fd = {-1, out_fd, log_fd},
		.n_fds = 3,
		.new_session = true,
	};

	return spawn_process(&spawn, ret_pid, ret_pidfd, err);
}

static int argv_grow(struct argv *argv)
{
	size_t room = argv->room ? argv->room * 2 : 32;
	char **v = reallocarray(argv->v, room, sizeof(*v));

	if (!v)
		return -ENOMEM;
	argv->v = v;
	argv->room = room;
	return 0;
}

void argv_add(struct argv *argv, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	/* One place is kept for the NULL at the end. */
	if (argv->n + 1 >= argv->room && argv_grow(argv) < 0) {
		argv->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0) {
		text = NULL;
		argv->failed = true;
	}
	va_end(ap);
	if (!text)
		return;
	argv->v[argv->n++] = text;
	argv->v[argv->n] = NULL;
}

const char *const *argv_finish(struct argv *argv)
{
	return argv->failed ? NULL : (const char *const *)argv->v;
}

void argv_clear(struct argv *argv)
{
	for (size_t i = 0; i < argv->n; i++)
		free(argv->v[i]);
	free(argv->v);
	*argv = (struct argv){0};
}
