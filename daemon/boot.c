/* SPDX-License-Identifier: ISC */
#include "daemon/boot.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"

#define BACKLOG 64
#define LOCK_TRIES                                                                                 \
	100 /* of 100 ms: an engine whose monitor was killed may still be putting things right */

void boot_ready(int *fd)
{
	if (*fd >= 0)
		(void)bg_write_all(*fd, "ok\n", 3);
	*fd = bg_close(*fd);
}

static void write_json(int fd, const struct bg_err *err)
{
	_json_ json_t *j = bg_err_to_json(err);
	_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	_free_ char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) >= 0)
		(void)bg_write_all(fd, line, strlen(line));
}

void boot_failed(int *fd, const struct bg_err *err)
{
	if (*fd >= 0)
		write_json(*fd, err);
	else
		fprintf(stderr, "bangerd: %s\n%s%s%s", err->message, err->hint ? "hint: " : "",
			err->hint ? err->hint : "", err->hint ? "\n" : "");
	*fd = bg_close(*fd);
}

/* Does the process that wrote its pid into the lock file live? Another's pid by now also counts. */
static bool holder_lives(int fd, pid_t *ret)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return true; /* it locked, and writes any moment */
	*ret = (pid_t)strtol(text, NULL, 10);
	return *ret <= 0 || kill(*ret, 0) >= 0 || errno == EPERM;
}

static int wait_lock(int fd, const char *path, struct bg_err **err)
{
	const struct timespec step = {.tv_nsec = 100000000};
	pid_t pid = 0;

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) >= 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return bg_err_sys(err, BG_ERR_IO, errno, "lock %s", path);
		if (holder_lives(fd, &pid))
			break;
		(void)nanosleep(&step, NULL);
	}
	return bg_err_set(err, BG_ERR_DAEMON_RUNNING, EBUSY,
		"bangerd runs already for this user (process %d, lock %s)", (int)pid, path);
}

int boot_lock(const struct bg_paths *paths, int *ret_fd, struct bg_err **err)
{
	_free_ char *path = NULL;
	_close_ int fd = -1;
	int r;

	if (asprintf(&path, "%s/bangerd.lock", paths->run_dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", path);
	r = wait_lock(fd, path, err);
	if (r < 0)
		return r;
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write %s", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int boot_listen(const struct bg_paths *paths, int *ret_fd, struct bg_err **err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a socket");
	if (strlen(paths->socket) >= sizeof(addr.sun_path))
		return bg_err_sys(err, BG_ERR_CONFIG, ENAMETOOLONG, "%s", paths->socket);
	memcpy(addr.sun_path, paths->socket, strlen(paths->socket) + 1);
	if (unlink(paths->socket) < 0 && errno != ENOENT)
		return bg_err_sys(err, BG_ERR_IO, errno, "remove the old %s", paths->socket);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (r < 0 || listen(fd, BACKLOG) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "listen on %s", paths->socket);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int boot_log(const struct bg_paths *paths, int level, struct bg_err **err)
{
	enum log_level wanted = LOG_INFO;
	int fd = open(paths->log_file,
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open the log %s", paths->log_file);
	if (level >= 0)
		wanted = (enum log_level)level;
	else if (getenv("BANGER_LOG_LEVEL"))
		(void)log_level_parse(getenv("BANGER_LOG_LEVEL"), &wanted);
	log_open(fd, wanted);
	return 0;
}

/* Only over the arguments' own memory: what the title does not fill is zeroed. */
void boot_title(int argc, char **argv, const char *title, const char *comm)
{
	char *end = argv[0];

	for (int i = 0; i < argc && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	if (end - argv[0] > 1) {
		memset(argv[0], 0, (size_t)(end - argv[0]));
		strncpy(argv[0], title, (size_t)(end - argv[0]) - 1);
	}
	prctl(PR_SET_NAME, comm, 0, 0, 0);
}
