/* SPDX-License-Identifier: ISC */
/* See plain_init.h. */
#include "guest/plain_init.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "guest/log.h"
#include "guest/shutdown.h"
#include "guest/watch.h"

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

static pid_t start_setup(const struct plain_init *p)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)setsid();
	(void)bg_close(p->setup);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	_exit(setup_run(p->family, p->wish) ? 0 : 1);
}

static void handle(int sig)
{
	if (sig == SIGUSR1 || sig == SIGUSR2 || sig == SIGRTMIN + 4)
		shutdown_machine(BG_AGENT_POWEROFF);
	if (sig == SIGTERM || sig == SIGINT || sig == SIGRTMIN + 5)
		shutdown_machine(BG_AGENT_REBOOT);
}

/* Reaps until one of ours has ended: its pid. */
static pid_t wait_for(const sigset_t *signals, pid_t one, pid_t other)
{
	int sig;

	for (;;) {
		pid_t pid;

		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			if (pid == one || pid == other)
				return pid;
		if (sigwait(signals, &sig) == 0 && sig != SIGCHLD)
			handle(sig);
	}
}

static void end_setup(struct plain_init *p)
{
	p->family = NULL;
	p->init = setup_find_init();
	p->sshd = watch_find_sshd();
	log_line("the package manager is through: %s ssh server, %s init", p->sshd ? "an" : "no",
		p->init ? "an" : "no");
	p->setup = bg_close(p->setup);
}

const char *plain_init_run(struct plain_init *p)
{
	pid_t setup = -1, server = -1;
	uint64_t started = 0;
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	if (p->family)
		setup = start_setup(p);
	for (;;) {
		if (setup < 0 && p->family)
			end_setup(p);
		if (!p->family && p->init)
			break;
		if (!p->family && p->sshd && server < 0) {
			started = uptime_ms();
			server = start_sshd(p->sshd);
		}
		if (wait_for(&all, setup, server) == setup) {
			setup = -1;
		} else if (uptime_ms() - started < SSHD_MIN_MS) {
			log_line("%s ended at once: not started again", p->sshd);
			p->sshd = NULL;
		} else {
			server = -1;
		}
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return p->init;
}
