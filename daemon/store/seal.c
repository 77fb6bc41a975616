/* SPDX-License-Identifier: ISC */
/*
 * See seal.h. Landlock says where, the filter says what: SQLite's files, records, folders and one socket. No network, no
 * program, no other process, and no memory that is executed. Any other call is EPERM, so that a library's new habit is
 * an error in the log and not the end of the store.
 */
#include "daemon/store/seal.h"

#include <sqlite3.h>
#include <sys/mman.h>

#include "common/landlock.h"
#include "common/log.h"
#include "common/seal.h"

#define ALLOW(name, reason)                                                                        \
	{                                                                                          \
		SCMP_SYS(name), SEAL_ALLOW, SEAL_ALWAYS, 0, 0, reason                              \
	}

static const struct seal_rule rules[] = {
	ALLOW(read, "database, records"),
	ALLOW(pread64, "database"),
	ALLOW(readv, "as read"),
	ALLOW(write, "records, log"),
	ALLOW(pwrite64, "database"),
	ALLOW(writev, "as write"),
	ALLOW(lseek, "database"),
	ALLOW(open, "files; where: Landlock"),
	ALLOW(openat, "files; where: Landlock"),
	ALLOW(close, "its own descriptors"),
	ALLOW(stat, "files"),
	ALLOW(fstat, "files"),
	ALLOW(lstat, "files"),
	ALLOW(newfstatat, "files"),
	ALLOW(statx, "files"),
	ALLOW(access, "files"),
	ALLOW(faccessat, "files"),
	ALLOW(faccessat2, "files"),
	ALLOW(readlink, "SQLite looks for links in the database's path"),
	ALLOW(readlinkat, "as readlink"),
	ALLOW(getcwd, "SQLite, of a path that is not absolute"),
	ALLOW(getdents64, "folders are listed"),
	ALLOW(statfs, "is there room for the reserve?"),
	ALLOW(fstatfs, "as statfs"),
	ALLOW(fcntl, "SQLite's lock, flags of descriptors"),
	ALLOW(flock, "store.lock"),
	ALLOW(fsync, "durability"),
	ALLOW(fdatasync, "durability"),
	ALLOW(syncfs, "the room of the reserve comes back"),
	ALLOW(ftruncate, "SQLite's log"),
	ALLOW(fallocate, "the reserve"),
	ALLOW(fadvise64, "SQLite"),
	ALLOW(rename, "records, what is set aside"),
	ALLOW(renameat, "as rename"),
	ALLOW(renameat2, "as rename"),
	ALLOW(unlink, "SQLite's log, the reserve"),
	ALLOW(unlinkat, "as unlink"),
	ALLOW(rmdir, "as unlink"),
	ALLOW(mkdir, "folders of records"),
	ALLOW(mkdirat, "as mkdir"),
	ALLOW(chmod, "the mark of a deletion"),
	ALLOW(fchmod, "as chmod"),
	ALLOW(fchmodat, "as chmod"),
	ALLOW(fchown, "SQLite, of root's files"),
	ALLOW(umask, "modes of new files"),
	ALLOW(sendmsg, "to the engine"),
	ALLOW(recvmsg, "from the engine"),
	ALLOW(sendto, "as sendmsg"),
	ALLOW(recvfrom, "as recvmsg"),
	ALLOW(poll, "the engine's socket"),
	ALLOW(ppoll, "as poll"),
	ALLOW(brk, "memory"),
	{SCMP_SYS(mmap), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	{SCMP_SYS(mprotect), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	ALLOW(munmap, "memory"),
	ALLOW(mremap, "memory"),
	ALLOW(madvise, "memory"),
	ALLOW(futex, "SQLite's mutexes"),
	ALLOW(sched_yield, "as futex"),
	ALLOW(clock_gettime, "times"),
	ALLOW(gettimeofday, "times"),
	ALLOW(time, "times"),
	ALLOW(clock_nanosleep, "waits for the lock"),
	ALLOW(nanosleep, "waits for the lock"),
	ALLOW(getpid, "SQLite: has it been forked?"),
	ALLOW(gettid, "as getpid"),
	ALLOW(getuid, "whose files"),
	ALLOW(geteuid, "whose files"),
	ALLOW(getrandom, "names of files"),
	ALLOW(uname, "libraries"),
	ALLOW(sysinfo, "libraries"),
	ALLOW(rt_sigaction, "signals"),
	ALLOW(rt_sigprocmask, "signals"),
	ALLOW(rt_sigreturn, "signals"),
	ALLOW(restart_syscall, "after a stop"),
	ALLOW(tgkill, "abort(3); to others it is the uid that counts, and Landlock's scope where "
		      "there is one"),
	ALLOW(exit, "its end"),
	ALLOW(exit_group, "its end"),
};

/* Older kernels let nothing be renamed between folders then: there this part is left away. */
static void say_where(const char *dir)
{
	_cleanup_(bg_landlock_done) struct bg_landlock ll = {.fd = -1};

	if (bg_landlock_abi() < 2 || bg_landlock_new(0, false, &ll) < 0)
		return;
	(void)bg_landlock_allow(&ll, dir,
		BG_LL_WRITE_FILE | BG_LL_READ_FILE | BG_LL_READ_DIR | BG_LL_REMOVE_DIR |
			BG_LL_REMOVE_FILE | BG_LL_MAKE_DIR | BG_LL_MAKE_REG | BG_LL_REFER |
			BG_LL_TRUNCATE,
		0);
	(void)bg_landlock_enter(&ll); /* refused without no_new_privs: a test */
}

static void say_what(void)
{
	scmp_filter_ctx ctx;

	if (BG_SANITIZED)
		return;
	ctx = seal_new(SCMP_ACT_ERRNO(EPERM), rules, ARRAY_SIZE(rules));
	if (!ctx || seccomp_load(ctx) < 0)
		log_msg(LOG_WARN, "store", "the process has no filter of its own", NULL);
	if (ctx)
		seccomp_release(ctx);
}

void store_seal(const char *dir)
{
	char byte;

	sqlite3_randomness(1, &byte); /* reads its device now */
	say_where(dir);
	say_what();
}
