/* SPDX-License-Identifier: ISC */
/* See plain_init.h. */
#include "guest/plain_init.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest/log.h"
#include "guest/shutdown.h"

/* A server that ends sooner than this is broken, not stopped: it is left alone. */
enum { SSHD_MIN_MS = 2000 };

static bool is_dropbear(const char *path)
{
	return strstr(path, "dropbear") != NULL;
}

static pid_t start_sshd(const char *path)
{
	char *env[] = {
		(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		NULL};
	sigset_t none;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)mkdir("/run/sshd", 0755);
	if (is_dropbear(path))
		(void)execve(path, (char *[]){(char *)(uintptr_t)path, (char[]){"-F"}, NULL}, env);
	else
		(void)execve(path,
			(char *[]){(char *)(uintptr_t)path, (char[]){"-D"}, (char[]){"-e"}, NULL},
			env);
	_exit(127);
}

/* True when the server was among them. */
static bool reap(pid_t sshd)
{
	bool seen = false;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		seen |= pid == sshd;
	return seen;
}

static void handle(int sig)
{
	if (sig == SIGUSR1 || sig == SIGUSR2 || sig == SIGRTMIN + 4)
		shutdown_machine(BG_AGENT_POWEROFF);
	if (sig == SIGTERM || sig == SIGINT || sig == SIGRTMIN + 5)
		shutdown_machine(BG_AGENT_REBOOT);
}

void plain_init_run(const char *sshd)
{
	uint32_t started = uptime_ms();
	sigset_t all;
	pid_t pid = -1;
	int sig;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	if (sshd)
		pid = start_sshd(sshd);
	for (;;) {
		if (sigwait(&all, &sig) != 0)
			continue;
		if (sig != SIGCHLD) {
			handle(sig);
			continue;
		}
		if (!reap(pid))
			continue;
		pid = -1;
		if (uptime_ms() - started < SSHD_MIN_MS) {
			log_line("%s ended at once: not started again", sshd);
			continue;
		}
		started = uptime_ms();
		pid = start_sshd(sshd);
	}
}
