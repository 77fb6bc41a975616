/* SPDX-License-Identifier: ISC */
/* See shutdown.h. */
#include "guest/shutdown.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fd.h"
#include "guest/log.h"
#include "guest/mounts.h"

enum { TERM_GRACE_MS = 5000, KILL_GRACE_MS = 1000 };

/* How PID 1 is asked. A row's sign is what /proc/1/exe or /proc/1/comm ends with. */
static const struct way {
	const char *sign;
	int poweroff, reboot; /* signals for PID 1; 0 = the image's own commands */
} ways[] = {
	/* systemd(1), SIGRTMIN is 34: one ends with 4 more, the other with 5 more */
	{"systemd", 34 + 4, 34 + 5},
	/* busybox init.c: SIGUSR2 powers off, SIGTERM reboots; plain_init.c does the same */
	{"banger-init", SIGUSR2, SIGTERM},
	{"busybox", SIGUSR2, SIGTERM},
};

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && strcmp(s + n - m, tail) == 0;
}

static const struct way *find_way(void)
{
	_free_ char *comm = NULL;
	char exe[256] = "";
	ssize_t n = readlink("/proc/1/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = '\0';
	if (bg_read_file_at(AT_FDCWD, "/proc/1/comm", 64, &comm, NULL) == 0)
		comm[strcspn(comm, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (ends_with(exe, ways[i].sign) || (comm && ends_with(comm, ways[i].sign)))
			return &ways[i];
	return NULL;
}

/* sysvinit, OpenRC, runit, s6, dinit: each brings these two commands. */
static bool run_command(enum bg_agent_shutdown how)
{
	static const char *const dirs[] = {"/sbin", "/usr/sbin", "/bin", "/usr/bin"};
	const char *name = how == BG_AGENT_REBOOT ? "reboot" : "poweroff";
	char *env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
			char path[64];

			(void)snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
			(void)execve(path, (char *[]){path, NULL}, env);
		}
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void shutdown_request(const struct conf *conf, enum bg_agent_shutdown how)
{
	const struct way *way = find_way();
	int sig;

	/* The init makes the last call itself; where only a reset ends the VMM at once, that. The
	 * host knows what it asked for. */
	if (conf->reset)
		how = BG_AGENT_REBOOT;
	log_line("host asks for %s", how == BG_AGENT_REBOOT ? "reboot" : "poweroff");
	if (way)
		sig = how == BG_AGENT_REBOOT ? way->reboot : way->poweroff;
	else if (run_command(how))
		return;
	else
		shutdown_machine(how);
	if (kill(1, sig) < 0)
		shutdown_machine(how);
}

/* A process that must end: not a kernel thread or zombie (no command line), not the agent. */
static bool must_end(const char *pid)
{
	char path[300], first = '\0';
	_close_ int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &first, 1) == 1 && first != '@';
}

static bool others_left(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	bool left = false;

	while (dir && !left && (e = readdir(dir))) {
		int pid = atoi(e->d_name);

		left = pid > 1 && pid != getpid() && must_end(e->d_name);
	}
	if (dir)
		(void)closedir(dir);
	return left;
}

/* An ended child wakes PID 1 at once; the slice is for those that are not its children. */
static void wait_for_others(unsigned ms)
{
	const struct timespec slice = {.tv_nsec = 50 * 1000 * 1000};
	const uint64_t until = uptime_ms() + ms;
	sigset_t chld;

	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, NULL);
	while (uptime_ms() < until && others_left()) {
		(void)sigtimedwait(&chld, NULL, &slice);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

void shutdown_machine(enum bg_agent_shutdown how)
{
	sync();
	(void)kill(-1, SIGTERM);
	(void)kill(-1, SIGCONT);
	wait_for_others(TERM_GRACE_MS);
	(void)kill(-1, SIGKILL);
	wait_for_others(KILL_GRACE_MS);
	mounts_end();
	log_line("%s", how == BG_AGENT_REBOOT ? "reset" : "power off");
	log_drain();
	(void)reboot(how == BG_AGENT_REBOOT ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		(void)pause();
}
