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

static const struct seal_rule rules[] = {
	SEAL_CALL(read, "database, records"),
	SEAL_CALL(pread64, "database"),
	SEAL_CALL(readv, "as read"),
	SEAL_CALL(write, "records, log"),
	SEAL_CALL(pwrite64, "database"),
	SEAL_CALL(writev, "as write"),
	SEAL_CALL(lseek, "database"),
	SEAL_CALL(open, "files; where: Landlock"),
	SEAL_CALL(openat, "files; where: Landlock"),
	SEAL_CALL(close, "its own descriptors"),
	SEAL_CALL(stat, "files"),
	SEAL_CALL(fstat, "files"),
	SEAL_CALL(lstat, "files"),
	SEAL_CALL(newfstatat, "files"),
	SEAL_CALL(statx, "files"),
	SEAL_CALL(access, "files"),
	SEAL_CALL(faccessat, "files"),
	SEAL_CALL(faccessat2, "files"),
	SEAL_CALL(readlink, "SQLite looks for links in the database's path"),
	SEAL_CALL(readlinkat, "as readlink"),
	SEAL_CALL(getcwd, "SQLite, of a path that is not absolute"),
	SEAL_CALL(getdents64, "folders are listed"),
	SEAL_CALL(statfs, "is there room for the reserve?"),
	SEAL_CALL(fstatfs, "as statfs"),
	SEAL_CALL(fcntl, "SQLite's lock, flags of descriptors"),
	SEAL_CALL(flock, "store.lock"),
	SEAL_CALL(fsync, "durability"),
	SEAL_CALL(fdatasync, "durability"),
	SEAL_CALL(syncfs, "the room of the reserve comes back"),
	SEAL_CALL(ftruncate, "SQLite's log"),
	SEAL_CALL(fallocate, "the reserve"),
	SEAL_CALL(fadvise64, "SQLite"),
	SEAL_CALL(rename, "records, what is set aside"),
	SEAL_CALL(renameat, "as rename"),
	SEAL_CALL(renameat2, "as rename"),
	SEAL_CALL(unlink, "SQLite's log, the reserve"),
	SEAL_CALL(unlinkat, "as unlink"),
	SEAL_CALL(rmdir, "as unlink"),
	SEAL_CALL(mkdir, "folders of records"),
	SEAL_CALL(mkdirat, "as mkdir"),
	SEAL_CALL(chmod, "the mark of a deletion"),
	SEAL_CALL(fchmod, "as chmod"),
	SEAL_CALL(fchmodat, "as chmod"),
	SEAL_CALL(fchown, "SQLite, of root's files"),
	SEAL_CALL(umask, "modes of new files"),
	SEAL_CALL(sendmsg, "to the engine"),
	SEAL_CALL(recvmsg, "from the engine"),
	SEAL_CALL(sendto, "as sendmsg"),
	SEAL_CALL(recvfrom, "as recvmsg"),
	SEAL_CALL(poll, "the engine's socket"),
	SEAL_CALL(ppoll, "as poll"),
	SEAL_CALL(brk, "memory"),
	{SCMP_SYS(mmap), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	{SCMP_SYS(mprotect), SEAL_ALLOW, SEAL_LACKS, 2, PROT_EXEC, "memory that is not executed"},
	SEAL_CALL(munmap, "memory"),
	SEAL_CALL(mremap, "memory"),
	SEAL_CALL(madvise, "memory"),
	SEAL_CALL(futex, "SQLite's mutexes"),
	SEAL_CALL(sched_yield, "as futex"),
	SEAL_CALL(clock_gettime, "times"),
	SEAL_CALL(gettimeofday, "times"),
	SEAL_CALL(time, "times"),
	SEAL_CALL(clock_nanosleep, "waits for the lock"),
	SEAL_CALL(nanosleep, "waits for the lock"),
	SEAL_CALL(getpid, "SQLite: has it been forked?"),
	SEAL_CALL(gettid, "as getpid"),
	SEAL_CALL(getuid, "whose files"),
	SEAL_CALL(geteuid, "whose files"),
	SEAL_CALL(getrandom, "names of files"),
	SEAL_CALL(uname, "libraries"),
	SEAL_CALL(sysinfo, "libraries"),
	SEAL_CALL(rt_sigaction, "signals"),
	SEAL_CALL(rt_sigprocmask, "signals"),
	SEAL_CALL(rt_sigreturn, "signals"),
	SEAL_CALL(restart_syscall, "after a stop"),
	SEAL_CALL(tgkill,
		"abort(3); to others it is the uid that counts, and Landlock's scope where "
		"there is one"),
	SEAL_CALL(exit, "its end"),
	SEAL_CALL(exit_group, "its end"),
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
