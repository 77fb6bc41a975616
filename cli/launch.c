/* SPDX-License-Identifier: ISC */
/*
 * launch.c: A daemon that is waited for is held as a pidfd or by its ready descriptor, so that one
 * that died is told from one that is slow.
 */
#include "cli/launch.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/units.h"
#include "common/fd.h"
#include "common/http_client.h"
#include "common/json.h"

enum {
	READY_FD = 3,
	READY_TIMEOUT_S = 60,
	END_TIMEOUT_S = 2,
	MESSAGE_MAX = 40 * 1024,
	TURN_S = 25,
	TURN_TRIES_A_S = 50
};

static char *find_in(const char *dir, const char *rest)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", dir, rest) < 0)
		return NULL;
	if (access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

char *launch_find_bangerd(void)
{
	static const char *const places[] = {"../daemon/bangerd", "bangerd"};
	char self[PATH_MAX], *path = NULL, *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[BG_MAX(n, (ssize_t)0)] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; slash && !path && i < ARRAY_SIZE(places); i++)
		path = find_in(self, places[i]);
	if (!path && slash)
		path = find_in(self, "../libexec/banger/bangerd");
	return path ? path : find_in(BG_PROGRAM_DIR, "bangerd");
}

/* In the child; what fails here is told on the ready fd, as the daemon would. */
_noreturn_ static void exec_bangerd(const char *path, int ready, int words)
{
	char fd_text[16];
	char *argv[] = {(char *)path, (char *)"--ready-fd", fd_text, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(fd_text, sizeof(fd_text), "%d", READY_FD);
	/* Above the four that stay, so that no dup2 closes the other. */
	ready = fcntl(ready, F_DUPFD_CLOEXEC, 10);
	words = fcntl(words, F_DUPFD_CLOEXEC, 10);
	if (setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(words, 2) < 0 ||
		dup2(ready, READY_FD) < 0 || chdir("/") < 0)
		_exit(BG_EXIT_DAEMON);
	/* Nothing of the caller's (locks, pipes) may stay open in a daemon. */
	(void)syscall(SYS_close_range, READY_FD + 1, ~0U, 0);
	execv(path, argv);
	dprintf(2, "cannot execute it: %s\n", strerror(errno));
	_exit(BG_EXIT_DAEMON);
}

/* Reads a line, or until the writer closed the pipe. -ETIMEDOUT; -EFBIG. */
static int read_ready(int fd, char message[MESSAGE_MAX])
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	size_t len = 0;

	for (;;) {
		int n = poll(&pfd, 1, READY_TIMEOUT_S * 1000);
		ssize_t got;

		if (n == 0)
			return -ETIMEDOUT;
		got = n < 0 ? -1 : read(fd, message + len, MESSAGE_MAX - 1 - len);
		if (got < 0 && errno != EINTR)
			return -errno;
		len += (size_t)BG_MAX(got, (ssize_t)0);
		message[len] = '\0';
		if (got == 0 || strchr(message, '\n'))
			return 0;
		if (len == MESSAGE_MAX - 1)
			return -EFBIG;
	}
}

/* The last line of what it said on stderr; the caller's, NULL when that is nothing. */
static char *last_words(int fd)
{
	_free_ char *text = NULL;
	char *line;

	if (lseek(fd, 0, SEEK_SET) < 0 || bg_read_fd(fd, MESSAGE_MAX, &text, NULL) < 0)
		return NULL;
	for (size_t len = strlen(text); len > 0 && text[len - 1] == '\n'; len--)
		text[len - 1] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return *line ? strdup(line) : NULL;
}

/*
 * The wait status of a daemon that closed the ready fd; -1 when it lives on. Its fds are closed
 * a moment before it can be waited for.
 */
static int wait_status(pid_t pid)
{
	_close_ int pidfd = launch_pidfd(pid);
	int status = 0;

	if (pidfd >= 0)
		(void)launch_wait_gone(pidfd, END_TIMEOUT_S, NULL);
	return waitpid(pid, &status, WNOHANG) == pid ? status : -1;
}

static int died_silently(
	const struct cli *cli, const char *path, int words, pid_t pid, struct bg_err **err)
{
	int status = wait_status(pid), r;
	_free_ char *said = last_words(words);

	if (said)
		r = bg_err_set(
			err, BG_ERR_DAEMON_UNREACHABLE, ECHILD, "%s did not start: %s", path, said);
	else if (status >= 0 && WIFSIGNALED(status))
		r = bg_err_set(err, BG_ERR_DAEMON_UNREACHABLE, ECHILD,
			"%s did not start: it was killed by signal %d", path, WTERMSIG(status));
	else
		r = bg_err_set(err, BG_ERR_DAEMON_UNREACHABLE, ECHILD,
			"%s did not start and did not say why", path);
	bg_err_hint(err, "its log may say more: %s", cli->paths.log_file);
	return r;
}

static int judge(const struct cli *cli, const char *path, const char *message, int words, pid_t pid,
	struct bg_err **err)
{
	json_error_t e;
	json_t *j;
	int r;

	if (bg_streq(message, "ok\n"))
		return 0;
	j = json_loads(message, 0, &e);
	if (!j)
		return died_silently(cli, path, words, pid, err);
	r = bg_err_from_json(json_object_get(j, "error") ? json_object_get(j, "error") : j, err);
	json_decref(j);
	return r;
}

static int spawn_and_wait(const struct cli *cli, const char *path, struct bg_err **err)
{
	char message[MESSAGE_MAX];
	_close_ int ours = -1, theirs = -1, words = -1;
	int fds[2], r;
	pid_t pid;

	/* A file in memory for stderr: a pipe would fill or break once nobody reads it. */
	words = memfd_create("bangerd-stderr", MFD_CLOEXEC);
	if (words < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_DAEMON_UNREACHABLE, errno, "start %s", path);
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid < 0)
		return bg_err_sys(err, BG_ERR_DAEMON_UNREACHABLE, errno, "start %s", path);
	if (pid == 0)
		exec_bangerd(path, theirs, words);
	theirs = bg_close(theirs);
	r = read_ready(ours, message);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_DAEMON_UNREACHABLE, -r,
			"%s (pid %d) did not get ready", path, (int)pid);
	return judge(cli, path, message, words, pid, err);
}

static bool answers(const struct cli *cli)
{
	_unref_(bg_http) struct bg_http *h = NULL;

	return bg_http_connect(cli->paths.socket, &h, NULL) >= 0;
}

/* Of several that come at once, one starts it and the others wait here. */
static int wait_turn(int lock, const char *path, struct bg_err **err)
{
	const struct timespec step = {.tv_nsec = 1000000000 / TURN_TRIES_A_S};
	int r;

	for (int i = 0; i < TURN_S * TURN_TRIES_A_S; i++) {
		if (flock(lock, LOCK_EX | LOCK_NB) >= 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return bg_err_sys(err, BG_ERR_IO, errno, "lock %s", path);
		(void)nanosleep(&step, NULL);
	}
	r = bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT,
		"another banger has been starting the daemon for more than %d s", TURN_S);
	bg_err_hint(err, "`fuser -v %s` names it", path);
	return r;
}

/* with_units: the service manager is asked first, where it is to start it. */
static int launch(struct cli *cli, bool with_units, struct bg_err **err)
{
	_free_ char *path = launch_find_bangerd(), *lock_path = NULL;
	_close_ int lock = -1;
	int r;

	if (!path) {
		r = bg_err_set(err, BG_ERR_DAEMON_UNREACHABLE, ENOENT, "bangerd is not installed");
		bg_err_hint(err, "it belongs next to banger or into %s", BG_PROGRAM_DIR);
		return r;
	}
	r = bg_paths_private_dir(cli->paths.run_dir, err);
	if (r < 0)
		return r;
	if (asprintf(&lock_path, "%s/start.lock", cli->paths.run_dir) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", lock_path);
	r = wait_turn(lock, lock_path, err);
	if (r < 0)
		return r;
	if (answers(cli) || (with_units && units_listen(cli)))
		return 0;
	return spawn_and_wait(cli, path, err);
}

int launch_daemon(struct cli *cli, struct bg_err **err)
{
	return launch(cli, true, err);
}

int launch_alone(struct cli *cli, struct bg_err **err)
{
	return launch(cli, false, err);
}

int launch_pidfd(int64_t pid)
{
	int fd = pid > 0 && pid <= INT_MAX ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;

	return fd < 0 ? -errno : fd;
}

int launch_wait_gone(int pidfd, int seconds, struct bg_err **err)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int n;

	do {
		n = poll(&pfd, 1, seconds * 1000);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT,
		"the daemon was told to stop and is still there after %d s", seconds);
}
