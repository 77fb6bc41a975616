/* SPDX-License-Identifier: ISC */
/* What a sealed worker can still do, tried from the inside. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/job_proto.h"
#include "common/seal.h"
#include "tests/lib/test.h"
#include "worker/sandbox.h"

static enum sandbox_kind kind;
static int folder = -1; /* the job's descriptor, of test_tmpdir() */

/* Runs try() sealed, in a child of its own; its wait status. */
static int sealed(int (*try)(void))
{
	int status;
	pid_t pid;

	if (BG_SANITIZED)
		test_skip("the seal is off under the address sanitizer");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(NULL) < 0)
			_exit(99);
		folder = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0 || sandbox_seal(10, kind, &folder, 1, NULL) < 0)
			_exit(99);
		_exit(try());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void expect_exit(int (*try)(void), int code)
{
	int status = sealed(try);

	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), code);
}

static void expect_killed(int (*try)(void))
{
	int status = sealed(try);

	CHECK(WIFSIGNALED(status));
	CHECK_INT(WTERMSIG(status), SIGSYS);
}

static int open_path(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int write_path(void)
{
	return open("/tmp/sandbox-escape", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

static int make_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

static int run_program(void)
{
	return execl("/bin/true", "true", (char *)NULL) < 0 ? errno : 0;
}

static int start_process(void)
{
	return fork() < 0 ? errno : 0;
}

static int executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? errno
		       : 0;
}

static int trace(void)
{
	return syscall(SYS_ptrace, 0, 0, 0, 0) < 0 ? errno : 0;
}

static int remove_path(void)
{
	return unlink("/tmp/sandbox-escape") < 0 ? errno : 0;
}

static int inherited(void)
{
	char c;

	/* fd 40 was open before: stage 1 closed it. */
	return read(40, &c, 1) < 0 ? errno : 0;
}

static int make_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? errno : 0;
}

/* Three calls, after which the kernel sends SIGKILL to anybody of the same uid: none may pass. */
static int own_signals(void)
{
	return fcntl(BG_JOB_FD, F_SETOWN, getppid()) < 0 ? errno : 0;
}

static int choose_signal(void)
{
	return fcntl(BG_JOB_FD, F_SETSIG, SIGKILL) < 0 ? errno : 0;
}

static int signal_me(void)
{
	return fcntl(BG_JOB_FD, F_SETFL, O_ASYNC) < 0 ? errno : 0;
}

static int plain_flags(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	return flags < 0 || fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK) < 0 ? errno : 0;
}

static int datagram_pair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0 ? errno : 0;
}

static int stream_pair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? errno : 0;
}

static int send_to_address(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd =
		kind == SANDBOX_DIAL ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : STDIN_FILENO;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sendto(fd, "x", 1, 0, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

static int open_resolver(void)
{
	return open("/etc/hosts", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int open_certificates(void)
{
	return open("/etc/ssl/certs/ca-certificates.crt", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int write_resolver(void)
{
	return open("/etc/hosts", O_WRONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int take_callers(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return listen(fd, 1) < 0 ? errno : 0;
}

/* On any descriptor: what it is does not come into it. */
static int connect_to_here(void)
{
	const struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(9)};

	return connect(STDIN_FILENO, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? errno : 0;
}

static int connect_by_sending(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(9)};
	const struct msghdr mh = {.msg_name = &sa, .msg_namelen = sizeof(sa)};

	return sendmsg(STDIN_FILENO, &mh, MSG_FASTOPEN) < 0 ? errno : 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int start_thread(void)
{
	pthread_t t;
	int r = pthread_create(&t, NULL, nothing, NULL);

	return r == 0 ? pthread_join(t, NULL) : r;
}

static int list_folder(void)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char buf[1024];

	return fd < 0 || syscall(SYS_getdents64, fd, buf, sizeof(buf)) < 0 ? errno : 0;
}

static int empty_folder(void)
{
	return unlinkat(folder, "file", 0) < 0 ? errno : 0;
}

static int read_in_folder(void)
{
	return openat(folder, "file", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static int write_in_folder(void)
{
	return openat(folder, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 ? errno : 0;
}

static int leave_folder(void)
{
	return openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ? errno : 0;
}

static int remove_above(void)
{
	return unlinkat(folder, "../above", 0) < 0 ? errno : 0;
}

static int rename_in_folder(void)
{
	return renameat(folder, "file", folder, "other") < 0 ? errno : 0;
}

static int plain_work(void)
{
	char *p = malloc(8 * MIB);

	if (!p)
		return 1;
	memset(p, 1, 8 * MIB);
	free(p);
	return 0;
}

TEST(paths_are_refused)
{
	expect_exit(open_path, EACCES);
	expect_exit(write_path, EACCES);
	expect_killed(remove_path);
}

TEST(the_rest_ends_the_process)
{
	expect_killed(make_socket);
	expect_killed(run_program);
	expect_killed(start_process);
	expect_killed(executable_memory);
	expect_killed(trace);
}

TEST(nobody_is_signalled_or_written_to)
{
	for (kind = SANDBOX_FILES; kind <= SANDBOX_LIST; kind++) {
		expect_killed(own_signals);
		expect_killed(choose_signal);
		expect_killed(signal_me);
		expect_exit(plain_flags, 0);
		expect_killed(datagram_pair);
	}
	for (kind = SANDBOX_FILES; kind <= SANDBOX_NET; kind++)
		expect_killed(send_to_address);
	kind = SANDBOX_DIAL;
	expect_exit(send_to_address, EACCES);
	kind = SANDBOX_NET;
	expect_exit(stream_pair, 0);
	kind = SANDBOX_FILES;
}

/* Of a network job and its dialer. */
static void reads_little_and_listens_to_nobody(void)
{
	expect_exit(start_thread, 0);
	expect_exit(plain_work, 0);
	expect_exit(open_path, EACCES);
	expect_exit(make_unix_socket, EACCES);
	expect_killed(write_resolver);
	expect_killed(write_path);
	expect_killed(take_callers);
	expect_killed(run_program);
	expect_killed(start_process);
	expect_killed(executable_memory);
	expect_killed(trace);
	expect_killed(remove_path);
}

TEST(a_network_job_makes_no_connection)
{
	kind = SANDBOX_NET;
	reads_little_and_listens_to_nobody();
	expect_exit(make_socket, EACCES);
	expect_exit(open_certificates, 0);
	expect_exit(open_resolver, EACCES);
	expect_exit(connect_to_here, EINPROGRESS);
	expect_killed(connect_by_sending);
}

TEST(its_dialer_reads_what_naming_needs)
{
	kind = SANDBOX_DIAL;
	reads_little_and_listens_to_nobody();
	expect_exit(make_socket, 0);
	expect_exit(open_resolver, 0);
	expect_exit(open_certificates, EACCES);
	expect_killed(stream_pair);
	expect_killed(connect_by_sending);
}

TEST(an_emptying_job_removes_what_is_in_its_folder_and_reads_no_file)
{
	char path[512], above[512];

	snprintf(path, sizeof(path), "%s/file", test_tmpdir());
	snprintf(above, sizeof(above), "%s/../above", test_tmpdir());
	CHECK_INT(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	kind = SANDBOX_EMPTY;
	expect_exit(list_folder, 0);
	expect_exit(read_in_folder, EACCES);
	expect_exit(leave_folder, EACCES);
	CHECK_INT(close(open(above, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	expect_exit(remove_above, EACCES);
	CHECK_INT(unlink(above), 0);
	expect_killed(write_in_folder);
	expect_killed(rename_in_folder);
	expect_exit(open_path, EACCES);
	expect_killed(remove_path);
	expect_killed(make_socket);
	expect_killed(run_program);
	expect_killed(start_process);
	expect_exit(empty_folder, 0);
	CHECK(access(path, F_OK) < 0);
}

static int look_in_folder(void)
{
	struct stat st;

	return fstatat(folder, "file", &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

TEST(a_listing_job_reads_names_and_no_file)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/file", test_tmpdir());
	CHECK_INT(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	kind = SANDBOX_LIST;
	expect_exit(list_folder, 0);
	expect_exit(look_in_folder, 0);
	expect_exit(read_in_folder, EACCES);
	expect_exit(leave_folder, EACCES);
	expect_exit(open_path, EACCES);
	expect_killed(write_in_folder);
	expect_killed(empty_folder);
	expect_killed(rename_in_folder);
	expect_killed(remove_path);
	expect_killed(make_socket);
	expect_killed(run_program);
	expect_killed(start_process);
	CHECK_INT(unlink(path), 0);
	kind = SANDBOX_FILES;
}

static int make_in_folder(void)
{
	int fd = openat(folder, "new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 || fchmod(fd, 0644) < 0 ||
			       renameat(folder, "new", folder, "newer") < 0 ||
			       symlinkat("newer", folder, "link") < 0 ||
			       mkdirat(folder, "dir", 0700) < 0
		       ? errno
		       : 0;
}

static int make_beside(void)
{
	return openat(folder, "../beside", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600) < 0
		       ? errno
		       : 0;
}

static int link_beside(void)
{
	return symlinkat("x", folder, "../beside") < 0 ? errno : 0;
}

static int read_there(void)
{
	return openat(folder, "newer", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) < 0 ? errno : 0;
}

static int through_a_link(void)
{
	return openat(folder, "link", O_WRONLY | O_CLOEXEC) < 0 ? errno : 0;
}

/* The job hands over a stream, then the folder. */
static int with_stream(int (*try)(void))
{
	int status;
	pid_t pid;

	if (BG_SANITIZED)
		test_skip("the seal is off under the address sanitizer");
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int fds[2];

		if (sandbox_enter(NULL) < 0)
			_exit(99);
		fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		fds[1] = folder = open(test_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0 || sandbox_seal(10, SANDBOX_RECEIVE, fds, 2, NULL) < 0)
			_exit(99);
		_exit(try());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

TEST(a_receiving_job_fills_its_folder_and_no_other)
{
	CHECK_INT(with_stream(make_in_folder), 0);
	CHECK_INT(WEXITSTATUS(with_stream(make_beside)), EACCES);
	CHECK_INT(WEXITSTATUS(with_stream(link_beside)), EACCES);
	CHECK_INT(WEXITSTATUS(with_stream(read_there)), EACCES);
	CHECK_INT(WTERMSIG(with_stream(through_a_link)), SIGSYS);
	CHECK_INT(WTERMSIG(with_stream(open_path)), SIGSYS);
	CHECK_INT(WTERMSIG(with_stream(make_socket)), SIGSYS);
	CHECK_INT(WTERMSIG(with_stream(run_program)), SIGSYS);
	CHECK_INT(WTERMSIG(with_stream(start_process)), SIGSYS);
}

TEST(inherited_descriptors_are_gone)
{
	CHECK_INT(dup2(0, 40), 40);
	expect_exit(inherited, EBADF);
}

TEST(work_goes_on)
{
	expect_exit(plain_work, 0);
}
