/* SPDX-License-Identifier: ISC */
/*
 * doors: what a guest that took its VMM over would try, as a program in the VMM's place (qemu_bin,
 * firecracker_bin). Prints "NAME<TAB>open|shut<TAB>errno" for each door, on standard output, which
 * the drivers lead into a log; a door that is open for a reason is judged by the test. What it
 * tries comes by the environment:
 *   DOORS_ENGINE, DOORS_MONITOR  processes; without, the parent and those started shortly before it
 *   DOORS_FILES     paths with ':' between: read, written, changed in every way that keeps them
 *   DOORS_FOLDER    where nothing may be made
 *   DOORS_STREAM, DOORS_DATAGRAM, DOORS_ABSTRACT  unix sockets that somebody listens at
 *   DOORS_PORT      TCP and UDP on the loopback
 *   DOORS_OWN       a path that has to stay open
 * --version answers as the VMMs do. Static: what is tried is what the kernel says.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static pid_t engine, monitor;

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "";
}

static void tell(const char *name, const char *what, bool open, int errnum)
{
	char line[600];
	int n = snprintf(line, sizeof(line), "%s%s%s\t%s\t%s\n", name, *what ? ":" : "", what,
		open ? "open" : "shut", open ? "-" : strerror(errnum));

	if (n < 0 || write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(1);
}

/* A result of a system call: 0 or more is open; what it opened is closed. */
static void door(const char *name, const char *what, long r)
{
	tell(name, what, r >= 0, errno);
}

static void opened(const char *name, const char *what, int fd)
{
	door(name, what, fd);
	if (fd >= 0)
		close(fd);
}

static int proc_open(pid_t pid, const char *file, int flags)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return open(path, flags | O_CLOEXEC);
}

/* Memory, descriptors and secrets of another process. */
static void try_process(const char *who, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)&engine, 1};

	opened("descriptor", who, (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0));
	opened("memory-write", who, proc_open(pid, "mem", O_RDWR));
	opened("memory-read", who, proc_open(pid, "mem", O_RDONLY));
	opened("environ", who, proc_open(pid, "environ", O_RDONLY));
	opened("maps", who, proc_open(pid, "maps", O_RDONLY));
	opened("fd-folder", who, proc_open(pid, "fd", O_RDONLY | O_DIRECTORY));
	opened("fd-link", who, proc_open(pid, "fd/0", O_RDONLY));
	opened("root", who, proc_open(pid, "root/etc/hostname", O_RDONLY));
	/* An address that is not its own would be EFAULT after the check that matters. */
	tell("vm-read", who,
		syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT,
		errno);
	door("kill", who, kill(pid, 0));
	door("tgkill", who, syscall(SYS_tgkill, pid, pid, 0));
	door("tkill", who, syscall(SYS_tkill, pid, 0));
	door("pidfd-signal", who, syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
	door("setpriority", who, setpriority(PRIO_PROCESS, (id_t)pid, 19));
	door("prlimit", who, prlimit(pid, RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY}, NULL));
	if (pidfd >= 0)
		close(pidfd);
}

/* bangerd's monitor and its helpers, when their numbers are not known: /proc may be shut. */
static void try_older(void)
{
	char name[16];

	for (int i = 1; i <= 12; i++) {
		snprintf(name, sizeof(name), "older-%d", i);
		try_process(name, engine - i);
	}
}

static void try_affinity(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	door("affinity", "monitor", sched_setaffinity(monitor, sizeof(set), &set));
}

static void try_ptrace(void)
{
	long r = ptrace(PTRACE_SEIZE, monitor, NULL, NULL);

	door("ptrace", "monitor", r);
	if (r >= 0)
		(void)ptrace(PTRACE_DETACH, monitor, NULL, NULL);
}

/* What makes the kernel send SIGKILL for us, on a descriptor that every VMM has: its log. */
static void try_signals_by_files(void)
{
	struct f_owner_ex owner = {F_OWNER_PID, monitor};
	int pair[2] = {STDOUT_FILENO, STDOUT_FILENO};
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	(void)!pipe(pair);
	door("set-owner", "", fcntl(pair[0], F_SETOWN, monitor));
	door("set-owner-ex", "", fcntl(pair[0], F_SETOWN_EX, &owner));
	door("set-owner-high-bits", "", syscall(SYS_fcntl, pair[0], F_SETOWN | 1UL << 32, monitor));
	door("set-signal", "", fcntl(pair[0], F_SETSIG, SIGKILL));
	door("async", "", fcntl(STDOUT_FILENO, F_SETFL, flags | O_ASYNC));
	(void)fcntl(pair[0], F_SETOWN, 0);
}

static socklen_t unix_address(struct sockaddr_un *sa, const char *path, bool abstract)
{
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	snprintf(sa->sun_path + abstract, sizeof(sa->sun_path) - 1, "%s", path);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path) +
			   !abstract);
}

static void try_connect(const char *name, const char *path, bool abstract)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path, abstract);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	door(name, "", connect(fd, (const struct sockaddr *)&sa, len));
	if (fd >= 0)
		close(fd);
}

static void try_datagrams(const char *path)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path, false);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), pair[2] = {-1, -1};

	door("datagram", "", sendto(fd, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&sa, len));
	(void)!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair);
	door("datagram-pair", "",
		sendto(pair[0], "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&sa, len));
	if (fd >= 0)
		close(fd);
}

static void try_network(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	door("tcp", "", connect(tcp, (const struct sockaddr *)&sa, sizeof(sa)));
	door("udp", "",
		sendto(udp, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)&sa, sizeof(sa)));
	if (tcp >= 0)
		close(tcp);
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	door("listen", "", listen(tcp, 1));
	opened("netlink", "", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
	opened("unix-socket", "", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (tcp >= 0)
		close(tcp);
	if (udp >= 0)
		close(udp);
}

/* In every way that leaves the file as it was. */
static void try_file(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct stat st = {.st_mode = 0600};
	char second[400];

	tell("stat", name, stat(path, &st) == 0, errno);
	opened("read", name, open(path, O_RDONLY | O_CLOEXEC));
	opened("write", name, open(path, O_WRONLY | O_CLOEXEC));
	door("truncate", name, truncate(path, st.st_size));
	door("chmod", name, chmod(path, st.st_mode & 07777));
	door("fchmodat", name, fchmodat(AT_FDCWD, path, st.st_mode & 07777, 0));
	door("chown", name, chown(path, (uid_t)-1, (gid_t)-1));
	door("times", name, utimensat(AT_FDCWD, path, NULL, 0));
	door("watch", name, inotify_add_watch(inotify_init1(IN_CLOEXEC), path, IN_MODIFY));
	snprintf(second, sizeof(second), "%s.second", path);
	door("link", name, link(path, second));
	door("rename", name, rename(path, path));
	(void)unlink(second);
}

static void try_folder(const char *path)
{
	char child[400];

	opened("list", "", open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	snprintf(child, sizeof(child), "%s/doors-new", path);
	opened("create", "", open(child, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	(void)unlink(child);
	door("symlink", "", symlink("/etc/passwd", child));
	(void)unlink(child);
	door("fifo", "", mkfifo(child, 0600));
	(void)unlink(child);
	door("folder", "", mkdir(child, 0700));
	(void)rmdir(child);
}

static void try_forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	door("fork", "", pid);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	door("clone", "", pid);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

static void try_kernel(void)
{
	struct rlimit rl;

	door("shared-memory", "", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
	opened("oom-score", "", proc_open(getpid(), "oom_score_adj", O_WRONLY));
	(void)getrlimit(RLIMIT_NOFILE, &rl);
	door("raise-limit", "", setrlimit(RLIMIT_NOFILE, &rl));
	opened("io-uring", "", (int)syscall(SYS_io_uring_setup, 1, (char[120]){0}));
	opened("tun", "", open("/dev/net/tun", O_RDWR | O_CLOEXEC));
	opened("passwd", "", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	opened("tmp", "", open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600));
}

static void try_all(void)
{
	char *files = strdup(env("DOORS_FILES")), *save = NULL;

	for (char *p = strtok_r(files, ":", &save); p; p = strtok_r(NULL, ":", &save))
		try_file(p);
	free(files);
	try_folder(env("DOORS_FOLDER"));
	try_process("engine", engine);
	if (monitor != engine)
		try_process("monitor", monitor);
	else
		try_older();
	try_affinity();
	try_ptrace();
	try_signals_by_files();
	try_connect("api-socket", env("DOORS_STREAM"), false);
	try_connect("abstract-socket", env("DOORS_ABSTRACT"), true);
	try_datagrams(env("DOORS_DATAGRAM"));
	try_network((uint16_t)atoi(env("DOORS_PORT")));
	try_kernel();
	try_forks();
	if (*env("DOORS_OWN"))
		opened("own", "", open(env("DOORS_OWN"), O_RDWR | O_CLOEXEC));
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return puts(strstr(argv[0], "fire") ? "Firecracker v1.12.1"
						    : "QEMU emulator version 7.2.22") < 0;
	engine = *env("DOORS_ENGINE") ? atoi(env("DOORS_ENGINE")) : getppid();
	monitor = *env("DOORS_MONITOR") ? atoi(env("DOORS_MONITOR")) : engine;
	try_all();
	/* Last: it would be the end of this program. */
	(void)execl("/bin/echo", "echo", "-e", "exec\\topen\\t-\\nend\\topen\\t-", (char *)NULL);
	tell("exec", "", false, errno);
	tell("end", "", true, 0);
	return 0;
}
