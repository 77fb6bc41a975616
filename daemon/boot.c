/* SPDX-License-Identifier: ISC */
/*
 * boot.c: The lock decides who is the daemon of a state folder; all other files of a start only
 * explain.
 */
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
#include "common/proc.h"
#include "daemon/store/reserve.h"

#define BACKLOG 64
/* of 100 ms: an engine whose monitor was killed may still be putting things right */
#define LOCK_TRIES 100

#define TRIES_BEFORE_KILL 50
#define WAITERS_MAX	  1024 /* clients that are answered at once when a start failed */

void boot_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* the terminal that started us went away */
}

static char *note_path(const struct bg_paths *paths)
{
	char *path = NULL;

	return asprintf(&path, "%s/start-error.json", paths->state_dir) < 0 ? NULL : path;
}

void boot_ready(const struct bg_paths *paths, int *fd)
{
	_free_ char *path = note_path(paths);

	if (path)
		(void)unlink(path);
	boot_tell(fd, "ok");
}

char *boot_error_text(const struct bg_err *err)
{
	json_t *error = bg_err_to_json(err);
	_json_ json_t *j = NULL;

	if (error)
		json_object_set_new(error, "exit", json_integer(bg_err_code_exit(err->code)));
	j = json_pack("{s:o}", "error", error);
	return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

void boot_tell(int *fd, const char *text)
{
	_free_ char *line = NULL;

	if (*fd >= 0 && asprintf(&line, "%s\n", text) >= 0)
		(void)bg_write_all(*fd, line, strlen(line));
	*fd = bg_close(*fd);
}

void boot_failed(int *fd, const struct bg_err *err)
{
	_free_ char *text = *fd >= 0 ? boot_error_text(err) : NULL;

	if (*fd < 0)
		fprintf(stderr, "bangerd: %s\n%s%s%s", err->message, err->hint ? "hint: " : "",
			err->hint ? err->hint : "", err->hint ? "\n" : "");
	boot_tell(fd, text ? text : "");
}

void boot_note(const struct bg_paths *paths, const char *text)
{
	_free_ char *path = note_path(paths);
	_close_ int fd = -1;

	if (path)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		(void)bg_write_all(fd, text, strlen(text));
}

/* The request is taken out of the socket unread, since closing with it there would reset the answer
 * away. */
static void refuse_one(int fd, int status, const char *text)
{
	static char dust[65536];
	_free_ char *answer = NULL;

	(void)recv(fd, dust, sizeof(dust), MSG_DONTWAIT);
	if (asprintf(&answer,
		    "HTTP/1.1 %d Not started\r\nConnection: close\r\nContent-Type: "
		    "application/json\r\n"
		    "Content-Length: %zu\r\n\r\n%s",
		    status, strlen(text), text) < 0) {
		answer = NULL;
		return;
	}
	(void)send(fd, answer, strlen(answer), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void boot_refuse(int listen_fd, int status, const char *text)
{
	for (int i = 0; i < WAITERS_MAX; i++) {
		_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		refuse_one(fd, status, text);
	}
}

/* Does the daemon that wrote its pid into the lock file live? */
static bool holder_lives(int fd, pid_t *ret)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return true; /* it locked, and writes any moment */
	*ret = (pid_t)strtol(text, NULL, 10);
	return *ret > 0 &&
	       (bg_proc_is_called(*ret, "bangerd-monitor") || bg_proc_is_called(*ret, "bangerd"));
}

/* An engine without a monitor ends by itself, unless it hangs. */
static int end_orphan(pid_t pid, void *userdata)
{
	(void)userdata;
	if (bg_proc_is_called(pid, "bangerd-engine") && bg_proc_is_ours(pid) &&
		!bg_proc_is_called(bg_proc_parent(pid), "bangerd-monitor"))
		(void)kill(pid, SIGKILL);
	return 0;
}

static int lock_is_held(pid_t pid, const char *path, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_DAEMON_RUNNING, EBUSY,
		"another process holds the lock %s; the last bangerd was process %d", path,
		(int)pid);

	bg_err_hint(err, "`fuser -v %s` names it", path);
	return r;
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
			return bg_err_set(err, BG_ERR_DAEMON_RUNNING, EBUSY,
				"bangerd runs already for this user (process %d, lock %s)",
				(int)pid, path);
		if (i == TRIES_BEFORE_KILL)
			(void)bg_proc_each(end_orphan, NULL);
		(void)nanosleep(&step, NULL);
	}
	return lock_is_held(pid, path, err);
}

/* Over what is there, and only then cut: on a full disk a block that was given back is not had again. */
static int write_holder(int fd, const char *text)
{
	ssize_t n = pwrite(fd, text, strlen(text), 0);

	if (n == (ssize_t)strlen(text) && ftruncate(fd, n) >= 0)
		return 0;
	return n >= 0 && (size_t)n < strlen(text) ? -ENOSPC : -errno;
}

/* No room even for that (btrfs writes nothing in its place): the store's reserve is for this. */
static int say_who_holds(const struct bg_paths *paths, int fd)
{
	_free_ char *text = NULL;
	_close_ int dirfd = -1;
	int r;

	if (asprintf(&text, "%d\n%s\n", (int)getpid(), paths->socket) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	r = write_holder(fd, text);
	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	dirfd = open(paths->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd >= 0 && reserve_give_up(dirfd) ? write_holder(fd, text) : r;
}

int boot_lock(const struct bg_paths *paths, int *ret_fd, struct bg_err **err)
{
	_close_ int fd = -1;
	int r;

	fd = open(paths->lock_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", paths->lock_file);
	r = wait_lock(fd, paths->lock_file, err);
	if (r < 0)
		return r;
	r = say_who_holds(paths, fd);
	if (r < 0)
		return bg_err_sys(err, r == -ENOSPC || r == -EDQUOT ? BG_ERR_NO_SPACE : BG_ERR_IO,
			-r, "write %s", paths->lock_file);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int bind_at(int fd, const char *path, struct bg_err **err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(addr.sun_path))
		return bg_err_sys(err, BG_ERR_CONFIG, ENAMETOOLONG, "%s", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (unlink(path) < 0 && errno != ENOENT)
		return bg_err_sys(err, BG_ERR_IO, errno, "remove the old %s", path);
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	return r < 0 || listen(fd, BACKLOG) < 0
		       ? bg_err_sys(err, BG_ERR_IO, errno, "listen on %s", path)
		       : 0;
}

int boot_listen(
	const struct bg_paths *paths, int *ret_fd, struct bound_socket *ret, struct bg_err **err)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a socket");
	r = bg_paths_private_dir(paths->run_dir, err);
	if (r >= 0)
		r = bind_at(fd, paths->socket, err);
	if (r < 0)
		return r;
	if (lstat(paths->socket, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "look at %s", paths->socket);
	*ret = (struct bound_socket){.dev = st.st_dev, .ino = st.st_ino};
	*ret_fd = TAKE_FD(fd);
	return 0;
}

bool boot_bound(const struct bg_paths *paths, const struct bound_socket *bound)
{
	struct stat st;

	return lstat(paths->socket, &st) >= 0 && st.st_dev == bound->dev && st.st_ino == bound->ino;
}

void boot_unlisten(const struct bg_paths *paths, const struct bound_socket *bound)
{
	if (!bound->inherited && boot_bound(paths, bound))
		(void)unlink(paths->socket);
}

static int open_log(const char *path, int *ret, struct bg_err **err)
{
	*ret = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	return *ret < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "open the log %s", path) : 0;
}

int boot_log(const struct bg_paths *paths, struct bg_err **err)
{
	enum log_level wanted = LOG_INFO;
	_close_ int fd = -1, workers = -1;
	int r = open_log(paths->log_file, &fd, err);

	if (r >= 0)
		r = open_log(paths->worker_log, &workers, err);
	if (r < 0)
		return r;
	if (getenv("BANGER_LOG_LEVEL"))
		(void)log_level_parse(getenv("BANGER_LOG_LEVEL"), &wanted);
	log_open(TAKE_FD(fd), wanted);
	return 0;
}

/* Where the arguments are, for boot_retitle. */
static int title_argc;
static char **title_argv;
static size_t title_room;

void boot_retitle(const char *title, const char *comm)
{
	if (title_argc > 0 && title_room > 1) {
		memset(title_argv[0], 0, title_room);
		strncpy(title_argv[0], title, title_room - 1);
	}
	prctl(PR_SET_NAME, comm, 0, 0, 0);
}

/* Only over the arguments' own memory: what the title does not fill is zeroed. */
void boot_title(int argc, char **argv, const char *title, const char *comm)
{
	char *end = argv[0];

	for (int i = 0; i < argc && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	title_argc = argc;
	title_argv = argv;
	title_room = (size_t)(end - argv[0]);
	boot_retitle(title, comm);
}
