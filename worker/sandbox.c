/* SPDX-License-Identifier: ISC */
/* See sandbox.h. */
#include "worker/sandbox.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/job_proto.h"
#include "common/landlock.h"
#include "common/limits.h"
#include "common/seal.h"

/* What a row does: the fields of struct seal_rule between the call and the value. */
#define ALLOW		  SEAL_ALLOW, SEAL_ALWAYS, 0
#define REFUSE(errnum)	  errnum, SEAL_ALWAYS, 0, 0
#define FIRST_ARG_IS	  SEAL_ALLOW, SEAL_IS, 0
#define FIRST_ARG_HAS	  SEAL_ALLOW, SEAL_HAS, 0
#define FIRST_ARG_REFUSED EACCES, SEAL_IS, 0
#define SECOND_ARG_IS	  SEAL_ALLOW, SEAL_IS, 1
#define SECOND_ARG_OTHER  ENOTTY, SEAL_NOT, 1
#define SECOND_ARG_NOT	  SEAL_ALLOW, SEAL_LACKS, 1 /* any bit of value is refused by the default */
#define THIRD_ARG_NOT	  SEAL_ALLOW, SEAL_LACKS, 2 /* as above */
#define THIRD_ARG_HAS	  SEAL_ALLOW, SEAL_HAS, 2
#define FOURTH_ARG_HAS	  SEAL_ALLOW, SEAL_HAS, 3
#define FIFTH_ARG_IS	  SEAL_ALLOW, SEAL_IS, 4
#define FIFTH_ARG_OTHER	  EACCES, SEAL_NOT, 4

/* Everything the jobs need after the seal; the rest kills the process. */
static const struct seal_rule calls[] = {
	{SCMP_SYS(read), ALLOW, 0, "input"},
	{SCMP_SYS(pread64), ALLOW, 0, "input, libext2fs"},
	{SCMP_SYS(readv), ALLOW, 0, "stdio"},
	{SCMP_SYS(write), ALLOW, 0, "output, log"},
	{SCMP_SYS(pwrite64), ALLOW, 0, "output, libext2fs"},
	{SCMP_SYS(writev), ALLOW, 0, "stdio, abort messages"},
	{SCMP_SYS(lseek), ALLOW, 0, "SEEK_DATA and SEEK_HOLE of sparse sources"},
	{SCMP_SYS(ftruncate), ALLOW, 0, "size of outputs"},
	{SCMP_SYS(fallocate), ALLOW, 0, "libext2fs discards"},
	{SCMP_SYS(copy_file_range), ALLOW, 0, "copy inside the kernel"},
	{SCMP_SYS(sendfile), ALLOW, 0, "the same between any two files"},
	{SCMP_SYS(fsync), ALLOW, 0, "libext2fs flush"},
	{SCMP_SYS(fdatasync), ALLOW, 0, "libext2fs flush"},
	{SCMP_SYS(fstat), ALLOW, 0, "sizes"},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_GETFL, "flags of own descriptors"},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_SETFL,
		"as above; with O_ASYNC the kernel would send signals for us", SEAL_LACKS, 2,
		O_ASYNC},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_GETFD, "flags of own descriptors"},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_SETFD, "flags of own descriptors"},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_DUPFD, "duplicates of own descriptors"},
	{SCMP_SYS(fcntl), SECOND_ARG_IS, F_DUPFD_CLOEXEC, "duplicates of own descriptors"},
	{SCMP_SYS(fadvise64), ALLOW, 0, "libext2fs, libarchive"},
	{SCMP_SYS(close), ALLOW, 0, "own descriptors"},
	{SCMP_SYS(poll), ALLOW, 0, "cancellation"},
	{SCMP_SYS(ppoll), ALLOW, 0, "poll of newer glibc"},
	{SCMP_SYS(sendto), FIFTH_ARG_IS, 0,
		"answers on the job socket: to its peer, to no address"},
	{SCMP_SYS(ioctl), SECOND_ARG_IS, FICLONE, "copy by reflink"},
	{SCMP_SYS(mmap), THIRD_ARG_NOT, PROT_EXEC, "memory"},
	{SCMP_SYS(mprotect), THIRD_ARG_NOT, PROT_EXEC, "malloc arenas"},
	{SCMP_SYS(munmap), ALLOW, 0, "memory"},
	{SCMP_SYS(mremap), ALLOW, 0, "memory"},
	{SCMP_SYS(madvise), ALLOW, 0, "memory"},
	{SCMP_SYS(brk), ALLOW, 0, "memory"},
	{SCMP_SYS(getrandom), ALLOW, 0, "file system ids, hash seeds"},
	{SCMP_SYS(clock_gettime), ALLOW, 0, "progress where the vdso has no clock"},
	{SCMP_SYS(gettimeofday), ALLOW, 0, "libext2fs, as above"},
	{SCMP_SYS(time), ALLOW, 0, "libext2fs, as above"},
	{SCMP_SYS(uname), ALLOW, 0, "libext2fs looks at the kernel's version"},
	{SCMP_SYS(getrlimit), ALLOW, 0, "libext2fs looks at RLIMIT_FSIZE"},
	{SCMP_SYS(sysinfo), ALLOW, 0, "qsort asks for the size of memory"},
	{SCMP_SYS(getpid), ALLOW, 0, "abort"},
	{SCMP_SYS(gettid), ALLOW, 0, "abort"},
	{SCMP_SYS(getuid), ALLOW, 0, "libext2fs asks whether the environment may be trusted"},
	{SCMP_SYS(geteuid), ALLOW, 0, "as above"},
	{SCMP_SYS(getgid), ALLOW, 0, "as above"},
	{SCMP_SYS(getegid), ALLOW, 0, "as above"},
	{SCMP_SYS(prctl), FIRST_ARG_IS, PR_GET_DUMPABLE, "as above"},
	{SCMP_SYS(futex), ALLOW, 0, "locks of libc"},
	{SCMP_SYS(rt_sigaction), ALLOW, 0, "abort"},
	{SCMP_SYS(rt_sigprocmask), ALLOW, 0, "abort"},
	{SCMP_SYS(rt_sigreturn), ALLOW, 0, "return of a signal handler"},
	{SCMP_SYS(restart_syscall), ALLOW, 0, "poll after a stop"},
	{SCMP_SYS(exit), ALLOW, 0, "end"},
	{SCMP_SYS(exit_group), ALLOW, 0, "end"},
};

/* For jobs that only see files. */
static const struct seal_rule file_calls[] = {
	/* Opening is refused, not fatal: libraries try to and live without. */
	{SCMP_SYS(openat), REFUSE(EACCES), "libraries try"},
	{SCMP_SYS(open), REFUSE(EACCES), "libraries try"},
	{SCMP_SYS(newfstatat), FOURTH_ARG_HAS, AT_EMPTY_PATH,
		"fstat of some glibc; with a path it would tell what that file is, never its "
		"content"},
	{SCMP_SYS(ioctl), SECOND_ARG_OTHER, FICLONE,
		"libext2fs asks any file whether it is a block device"},
};

/* Bits of the kinds of socket other than SOCK_STREAM, which is 1. */
#define NO_STREAM 0xe
#define WRITING	  (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | __O_TMPFILE)

/*
 * For jobs that also speak to servers, and their dialer: threads (libcurl's, one for each name), connections, and reading
 * what Landlock grants. No unix socket (the user's session bus, agents, bangerd), none that listens.
 */
static const struct seal_rule server_calls[] = {
	{SCMP_SYS(openat), THIRD_ARG_NOT, WRITING, "see certificates[] and naming[]"},
	{SCMP_SYS(open), SECOND_ARG_NOT, WRITING, "as openat"},
	{SCMP_SYS(newfstatat), ALLOW, 0,
		"whether resolv.conf changed, which certificates there are"},
	{SCMP_SYS(stat), ALLOW, 0, "as above"},
	{SCMP_SYS(access), REFUSE(EACCES), "the resolver looks for nscd"},
	{SCMP_SYS(readlink), REFUSE(EACCES), "libraries try"},
	{SCMP_SYS(getsockname), ALLOW, 0, "connections"},
	{SCMP_SYS(getpeername), ALLOW, 0, "connections"},
	{SCMP_SYS(getsockopt), ALLOW, 0, "connections"},
	{SCMP_SYS(setsockopt), ALLOW, 0, "connections"},
	{SCMP_SYS(shutdown), ALLOW, 0, "connections"},
	{SCMP_SYS(recvfrom), ALLOW, 0, "connections"},
	{SCMP_SYS(recvmsg), ALLOW, 0, "answers of the dialer; netlink, name servers"},
	{SCMP_SYS(sendmsg), THIRD_ARG_NOT, MSG_FASTOPEN,
		"questions to the dialer, and its answers; with this flag it would connect"},
	{SCMP_SYS(ioctl), SECOND_ARG_IS, FIONBIO, "connections that do not block"},
	{SCMP_SYS(clone), FIRST_ARG_HAS, CLONE_THREAD | CLONE_VM, "a thread per name to resolve"},
	{SCMP_SYS(clone3), REFUSE(ENOSYS), "its flags are in memory; libc falls back to clone"},
	{SCMP_SYS(set_robust_list), ALLOW, 0, "start of a thread"},
	{SCMP_SYS(rseq), ALLOW, 0, "start of a thread"},
	{SCMP_SYS(sched_getaffinity), ALLOW, 0, "malloc counts processors for its threads"},
	{SCMP_SYS(sched_yield), ALLOW, 0, "locks of libc"},
	{SCMP_SYS(clock_nanosleep), ALLOW, 0, "libcurl waits"},
	{SCMP_SYS(nanosleep), ALLOW, 0, "as above"},
};

/* The job: libcurl. Its connections come from the dialer. */
static const struct seal_rule net_calls[] = {
	{SCMP_SYS(socket), REFUSE(EACCES), "the dialer's work"},
	{SCMP_SYS(connect), REFUSE(EINPROGRESS), "the dialer has begun it already"},
	{SCMP_SYS(socketpair), FIRST_ARG_IS, AF_UNIX,
		"libcurl wakes itself; answers of the dialer; a datagram end would send to any "
		"path",
		SEAL_LACKS, 1, NO_STREAM},
	{SCMP_SYS(pipe2), ALLOW, 0, "libcurl wakes itself"},
	{SCMP_SYS(eventfd2), ALLOW, 0, "as above"},
};

/* The dialer: the C library's resolver, and connections. */
static const struct seal_rule dial_calls[] = {
	{SCMP_SYS(socket), FIRST_ARG_IS, AF_INET, "servers, name servers"},
	{SCMP_SYS(socket), FIRST_ARG_IS, AF_INET6, "as above"},
	{SCMP_SYS(socket), FIRST_ARG_IS, AF_NETLINK, "the resolver asks which addresses there are"},
	{SCMP_SYS(socket), FIRST_ARG_REFUSED, AF_UNIX, "the resolver tries nscd's unix socket"},
	{SCMP_SYS(connect), ALLOW, 0, "servers, name servers"},
	{SCMP_SYS(bind), ALLOW, 0, "netlink; without listen nobody can come in"},
	{SCMP_SYS(sendto), FIFTH_ARG_OTHER, 0,
		"the resolver asks netlink for the host's addresses, and lives without"},
	{SCMP_SYS(sendmmsg), ALLOW, 0, "two questions to a name server at once"},
	{SCMP_SYS(ioctl), SECOND_ARG_IS, FIONREAD, "size of a name server's answer"},
};

/* For the job that empties folders. */
static const struct seal_rule empty_calls[] = {
	/* O_TMPFILE has the bit of O_DIRECTORY in it. */
	{SCMP_SYS(openat), THIRD_ARG_NOT, WRITING & ~O_DIRECTORY,
		"folders below those that Landlock grants"},
	{SCMP_SYS(newfstatat), FOURTH_ARG_HAS, AT_EMPTY_PATH, "fstat of some glibc"},
	{SCMP_SYS(getdents64), ALLOW, 0, "what is in them"},
	{SCMP_SYS(unlinkat), ALLOW, 0, "what the job is for"},
};

/* For the job that lists a folder. */
static const struct seal_rule list_calls[] = {
	{SCMP_SYS(openat), THIRD_ARG_NOT, WRITING & ~O_DIRECTORY,
		"folders below the one that Landlock grants"},
	{SCMP_SYS(newfstatat), ALLOW, 0, "kinds and sizes"},
	{SCMP_SYS(getdents64), ALLOW, 0, "what is in it"},
};

/* For the job that receives a tree: every name is walked by descriptors, without following a link.
 */
static const struct seal_rule receive_calls[] = {
	{SCMP_SYS(openat), THIRD_ARG_HAS, O_NOFOLLOW,
		"folders and new files where Landlock grants"},
	{SCMP_SYS(newfstatat), ALLOW, 0, "what is in the place of an entry"},
	{SCMP_SYS(mkdirat), ALLOW, 0, "folders"},
	{SCMP_SYS(symlinkat), ALLOW, 0, "links"},
	{SCMP_SYS(linkat), ALLOW, 0, "hard links"},
	{SCMP_SYS(renameat), ALLOW, 0, "a file gets its name when it is whole"},
	{SCMP_SYS(unlinkat), ALLOW, 0, "what is replaced"},
	{SCMP_SYS(fchmod), ALLOW, 0, "modes"},
	{SCMP_SYS(utimensat), ALLOW, 0, "times"},
};

/* What the resolver and TLS read; a missing one does not matter. */
static const char *const naming[] = {
	"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"};
static const char *const certificates[] = {"/etc/ssl", "/etc/pki", "/etc/ca-certificates",
	"/usr/lib/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"};

static int set_limit(int what, const char *name, rlim_t value, struct bg_err **err)
{
	struct rlimit rl = {value, value};

	/* prlimit with another's lower hard limit: take that. */
	if (setrlimit((__rlimit_resource_t)what, &rl) < 0 &&
		(getrlimit((__rlimit_resource_t)what, &rl) < 0 || rl.rlim_cur > value))
		return bg_err_sys(err, BG_ERR_WORKER, errno, "limit %s of the worker", name);
	return 0;
}

int sandbox_enter(struct bg_err **err)
{
	int r;

	if (close_range(BG_JOB_FD + 1, ~0U, 0) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "close inherited descriptors");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_DUMPABLE, BG_SANITIZED, 0, 0, 0) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "seal the worker");
	r = set_limit(RLIMIT_CORE, "core size", 0, err);
	if (r >= 0)
		r = set_limit(RLIMIT_NOFILE, "descriptors", BG_JOB_ALL_FDS_MAX + 16, err);
	if (r >= 0 && !BG_SANITIZED)
		r = set_limit(RLIMIT_AS, "memory", BG_JOB_MEMORY_MAX, err);
	return r;
}

/* The folders of an emptying job: listed and emptied, no file in them read. */
static void grant_emptying(struct bg_landlock *ll, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (fstat(fds[i], &st) >= 0 && S_ISDIR(st.st_mode))
			(void)bg_landlock_allow_fd(
				ll, fds[i], BG_LL_READ_DIR | BG_LL_REMOVE_FILE | BG_LL_REMOVE_DIR);
	}
}

/* The folder of a receiving job: filled, no file that is in it read. */
static void grant_filling(struct bg_landlock *ll, int folder)
{
	(void)bg_landlock_allow_fd(ll, folder,
		BG_LL_READ_DIR | BG_LL_WRITE_FILE | BG_LL_REMOVE_FILE | BG_LL_MAKE_DIR |
			BG_LL_MAKE_REG | BG_LL_MAKE_SYM | BG_LL_REFER | BG_LL_TRUNCATE);
}

static void grant_reading(struct bg_landlock *ll, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)bg_landlock_allow(ll, paths[i], BG_LL_READ_FILE | BG_LL_READ_DIR, 0);
}

/* Denies every path by handling all rights; a job of files alone is granted none. */
static int landlock(enum sandbox_kind kind, const int *fds, size_t n, struct bg_err **err)
{
	_cleanup_(bg_landlock_done) struct bg_landlock ll;
	int r = bg_landlock_new(0, kind == SANDBOX_DIAL, &ll);

	if (r >= 0 && kind == SANDBOX_NET)
		grant_reading(&ll, certificates, ARRAY_SIZE(certificates));
	if (r >= 0 && kind == SANDBOX_DIAL)
		grant_reading(&ll, naming, ARRAY_SIZE(naming));
	if (r >= 0 && kind == SANDBOX_EMPTY)
		grant_emptying(&ll, fds, n);
	if (r >= 0 && kind == SANDBOX_LIST && n == 1) /* no file is read */
		(void)bg_landlock_allow_fd(&ll, fds[0], BG_LL_READ_DIR);
	if (r >= 0 && kind == SANDBOX_RECEIVE && n == 2)
		grant_filling(&ll, fds[1]);
	if (r >= 0)
		r = bg_landlock_enter(&ll); /* success on a kernel without: seccomp alone */
	return r < 0 ? bg_err_sys(err, BG_ERR_WORKER, -r, "seal the worker with Landlock") : 0;
}

static int add_kind(scmp_filter_ctx ctx, enum sandbox_kind kind)
{
	int r;

	switch (kind) {
	case SANDBOX_FILES:
		return seal_add(ctx, file_calls, ARRAY_SIZE(file_calls));
	case SANDBOX_NET:
		r = seal_add(ctx, server_calls, ARRAY_SIZE(server_calls));
		return r < 0 ? r : seal_add(ctx, net_calls, ARRAY_SIZE(net_calls));
	case SANDBOX_DIAL:
		r = seal_add(ctx, server_calls, ARRAY_SIZE(server_calls));
		return r < 0 ? r : seal_add(ctx, dial_calls, ARRAY_SIZE(dial_calls));
	case SANDBOX_EMPTY:
		return seal_add(ctx, empty_calls, ARRAY_SIZE(empty_calls));
	case SANDBOX_LIST:
		return seal_add(ctx, list_calls, ARRAY_SIZE(list_calls));
	case SANDBOX_RECEIVE:
		return seal_add(ctx, receive_calls, ARRAY_SIZE(receive_calls));
	}
	return -EINVAL;
}

static int filter(enum sandbox_kind kind, struct bg_err **err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	if (r >= 0)
		r = seal_add(ctx, calls, ARRAY_SIZE(calls));
	if (r >= 0)
		r = add_kind(ctx, kind);
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_WORKER, -r, "seal the worker with seccomp");
	return 0;
}

int sandbox_seal(
	int deadline_s, enum sandbox_kind kind, const int *fds, size_t n, struct bg_err **err)
{
	int r = set_limit(RLIMIT_CPU, "CPU time", (rlim_t)deadline_s, err);

	/* it outlives the CLI for as long as it takes to remove what is half written */
	if (r >= 0 && kind == SANDBOX_RECEIVE && prctl(PR_SET_PDEATHSIG, 0) < 0)
		return bg_err_sys(err, BG_ERR_WORKER, errno, "seal the worker");
	if (r >= 0 && !BG_SANITIZED)
		r = landlock(kind, fds, n, err);
	if (r >= 0 && !BG_SANITIZED)
		r = filter(kind, err);
	return r;
}
