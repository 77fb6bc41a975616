/* SPDX-License-Identifier: ISC */
/* daemon/sandbox: what is denied, and that what the engine starts can live with it. */
#include "daemon/sandbox.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/seal.h"
#include "daemon/loop/spawn.h"
#include "tests/lib/test.h"

static void seal(void)
{
	_err_ struct bg_err *err = NULL;

	if (sandbox_drop(&err) < 0 || sandbox_seal(&err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
}

static void expect_errno(long r, int want)
{
	CHECK_INT(r, -1);
	CHECK_INT(errno, want);
}

TEST(denied_calls)
{
	seal();
	expect_errno(mount("none", "/mnt", "tmpfs", 0, NULL), ENOSYS);
	expect_errno(umount2("/nowhere", 0), ENOSYS);
	expect_errno(unshare(CLONE_NEWUSER), ENOSYS);
	expect_errno(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM);
	expect_errno(syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), EPERM);
	expect_errno(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0), EPERM);
	expect_errno(syscall(SYS_clone3, NULL, 0), ENOSYS);
	expect_errno(syscall(SYS_io_uring_setup, 1, NULL), ENOSYS);
	expect_errno(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0), ENOSYS);
	expect_errno(syscall(SYS_pidfd_getfd, -1, 0, 0), ENOSYS);
	expect_errno(ioctl(0, TIOCSTI, "x"), EPERM);
	expect_errno(syscall(SYS_ioctl, 0, TIOCSTI | 1ULL << 32, "x"), EPERM);
	expect_errno(ioctl(0, TIOCLINUX, "x"), EPERM);
}

static void become_nobody(void)
{
	if (geteuid() == 0 &&
		(setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		test_fail(__FILE__, __LINE__, "become nobody");
}

/* Every number that there may be, with arguments that nothing is done with. */
TEST(all_that_is_not_listed_is_refused)
{
	enum { NUMBERS = 1024 };
	static bool listed[NUMBERS];
	static const int calls[] = {
#define CALL(name, reason) SCMP_SYS(name),
#include "daemon/sandbox_calls.def"
#undef CALL
		SCMP_SYS(socket),
#if BG_SANITIZED
		SCMP_SYS(ptrace),
		SCMP_SYS(personality),
#endif
	};
	int refused = 0;

	become_nobody(); /* should one get through */
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i] >= 0) /* else this machine has none of that name */
			listed[calls[i]] = true;
	seal();
	for (int nr = 0; nr < NUMBERS; nr++) {
		/* uretprobe and uprobe: seccomp is not asked, and they end who calls them so */
		if (listed[nr] || nr == 335 || nr == 336)
			continue;
		errno = 0;
		if (syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != ENOSYS)
			test_fail(__FILE__, __LINE__, "call %d: errno %d", nr, errno);
		refused++;
	}
	CHECK(refused > 700);
}

TEST(families_of_sockets)
{
	static const int open[] = {AF_UNIX, AF_INET, AF_INET6},
			 shut[] = {AF_PACKET, AF_VSOCK, AF_ALG, AF_XDP, AF_BLUETOOTH};

	seal();
	for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
		int fd = socket(open[i], SOCK_DGRAM | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0 || errno == EAFNOSUPPORT); /* a host without IPv6 */
		bg_close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(shut); i++)
		expect_errno(socket(shut[i], SOCK_RAW | SOCK_CLOEXEC, 0), ENOSYS);
}

/* By the name: the number may be another in the namespace that the log is of. */
static bool is_refusal(const char *line, int nr)
{
	char what[32];

	snprintf(what, sizeof(what), " syscall=%d ", nr);
	return strstr(line, "type=1326") && strstr(line, "comm=\"test_sandbox\"") &&
	       strstr(line, what);
}

/* Whether a record came within some seconds; the kernel leaves some out when there are many at
 * once. */
static bool refusal_logged(int log, int nr, int tries)
{
	for (; tries > 0; tries--) {
		struct pollfd p = {.fd = log, .events = POLLIN};
		char line[2048];
		ssize_t n;

		expect_errno(syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L), ENOSYS);
		if (poll(&p, 1, 1000) <= 0)
			continue;
		while ((n = read(log, line, sizeof(line) - 1)) > 0) {
			line[n] = '\0';
			if (is_refusal(line, nr))
				return true;
		}
	}
	return false;
}

TEST(a_refusal_is_a_line_in_the_kernels_log)
{
	_close_ int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		test_skip("the kernel's log cannot be read here");
	if (access("/run/auditd.pid", F_OK) == 0)
		test_skip("auditd takes the kernel's records here");
	if (access("/proc/self/loginuid", F_OK) < 0)
		test_skip("this kernel keeps no audit records");
	seal();
	CHECK(refusal_logged(log, SYS_swapoff, 60));
}

TEST(ptrace_is_denied)
{
	if (BG_SANITIZED)
		test_skip("the leak checker needs ptrace: the row is left out of sanitized builds");
	seal();
	expect_errno(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL), ENOSYS);
	expect_errno(ptrace(PTRACE_TRACEME, 0, NULL, NULL), ENOSYS);
}

/* As a VMM would: a child of the same uid, once the parent has hidden. */
TEST(hidden_from_other_processes_of_the_user)
{
	char path[64];
	int status;
	pid_t pid;

	if (BG_SANITIZED)
		test_skip("the leak checker traces its own process: it stays dumpable");
	become_nobody();
	CHECK_INT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0); /* setresuid cleared it */
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)getpid());
	for (int hidden = 0; hidden <= 1; hidden++) {
		if (hidden)
			CHECK_INT(sandbox_hide(NULL), 0);
		pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			int fd = open(path, O_RDWR | O_CLOEXEC);
			int pidfd = (int)syscall(SYS_pidfd_open, getppid(), 0);
			long taken = syscall(SYS_pidfd_getfd, pidfd, 1, 0);

			_exit((fd >= 0) | (taken >= 0) << 1);
		}
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(status, hidden ? 0 : 3 << 8);
	}
}

static uint64_t status_field(const char *name)
{
	_free_ char *text = NULL;
	const char *p;

	CHECK_INT(bg_read_file_at(-1, "/proc/self/status", 65536, &text, NULL), 0);
	p = strstr(text, name);
	CHECK(p);
	return strtoull(p + strlen(name), NULL, 16);
}

TEST(nothing_is_left_to_gain)
{
	seal();
	CHECK_INT(status_field("NoNewPrivs:\t"), 1);
	CHECK_INT(status_field("Seccomp:\t"), 2);
	CHECK_INT(status_field("CapEff:\t"), 0);
	CHECK_INT(status_field("CapPrm:\t"), 0);
	CHECK_INT(status_field("CapAmb:\t"), 0);
}

static void *thread(void *arg)
{
	*(int *)arg = 7;
	return NULL;
}

TEST(threads_and_children_work)
{
	const char *const argv[] = {"sh", "-c", "exit 5", NULL};
	struct spawn s = {"sh", argv, NULL, {-1, -1, -1}, 3, true};
	int n = 0, status, pidfd;
	pthread_t t;
	pid_t pid;

	seal();
	CHECK_INT(pthread_create(&t, NULL, thread, &n), 0);
	CHECK_INT(pthread_join(t, NULL), 0);
	CHECK_INT(n, 7);
	CHECK_INT(spawn_process(&s, &pid, &pidfd, NULL), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(WEXITSTATUS(status), 5);
	CHECK_INT(bg_close(pidfd), -1);
}

TEST(qemu_starts_with_a_sandbox_of_its_own)
{
	const char *const argv[] = {"qemu-system-x86_64", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-M",
		"none", "-nodefaults", "-display", "none", "-qmp", "stdio", NULL};
	static const char talk[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n";
	_err_ struct bg_err *err = NULL;
	int in[2], out[2], status, pidfd;
	_free_ char *text = NULL;
	pid_t pid;

	CHECK_INT(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	seal();
	struct spawn s = {argv[0], argv, NULL, {in[0], out[1], out[1]}, 3, true};
	if (spawn_process(&s, &pid, &pidfd, &err) < 0)
		test_skip("%s", err->message);
	close(out[1]);
	CHECK_INT(bg_write_all(in[1], talk, strlen(talk)), 0);
	CHECK_INT(bg_read_fd(out[0], 65536, &text, NULL), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	if (status != 0 || !strstr(text, "SHUTDOWN"))
		test_fail(__FILE__, __LINE__, "status %d: %s", status, text);
}

TEST(file_capabilities_and_setuid_give_nothing)
{
	const char *const argv[] = {"su", "-c", "true", "root", NULL};
	struct spawn s = {"su", argv, NULL, {-1, -1, -1}, 3, true};
	int status, pidfd;
	pid_t pid;

	become_nobody();
	seal();
	if (spawn_process(&s, &pid, &pidfd, NULL) < 0)
		test_skip("su is not installed");
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(status != 0);
}
