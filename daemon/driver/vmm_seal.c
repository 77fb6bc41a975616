/* SPDX-License-Identifier: ISC */
/*
 * What a VMM may still ask of the kernel: the seccomp filters that banger-launch puts on it. See
 * vmm_impl.h. QEMU has everything of its VM as descriptors, so its list says what is allowed;
 * Firecracker opens files and has an allow list of its own, so ours says what is refused on top.
 * connect(2) is in neither: no VMM of ours calls anybody, and that alone shuts the user's session
 * bus, agents, bangerd and the network, on every kernel. Signals to others: banger-launch.
 * The filter is made once and handed to each start as a sealed file in memory.
 */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/seal.h"
#include "daemon/driver/vmm_impl.h"

#define ALLOW	      SEAL_ALLOW, SEAL_ALWAYS, 0, 0
#define ARG_IS(i)     SEAL_ALLOW, SEAL_IS, i
#define ARG_HAS(i)    SEAL_ALLOW, SEAL_HAS, i
#define IOCTL_TYPE    SEAL_ALLOW, SEAL_IOCTL, 1
#define MISSING	      ENOSYS, SEAL_ALWAYS, 0, 0
#define REFUSE	      EPERM, SEAL_ALWAYS, 0, 0
#define REFUSE_IS(i)  EPERM, SEAL_IS_32, i
#define REFUSE_NOT(i) EPERM, SEAL_NOT, i
#define REFUSE_HAS(i) EPERM, SEAL_HAS, i

#define CALL(name, reason)                                                                         \
	{                                                                                          \
		SCMP_SYS(name), ALLOW, reason                                                      \
	}
#define NO_CALL(name, reason)                                                                      \
	{                                                                                          \
		SCMP_SYS(name), REFUSE, reason                                                     \
	}

static const struct seal_rule qemu_rules[] = {
	CALL(read, "disks, sockets, tap"),
	CALL(readv, "as read"),
	CALL(pread64, "disks"),
	CALL(preadv, "disks"),
	CALL(preadv2, "disks"),
	CALL(write, "disks, sockets, tap, log"),
	CALL(writev, "as write"),
	CALL(pwrite64, "disks"),
	CALL(pwritev, "disks"),
	CALL(pwritev2, "disks"),
	CALL(lseek, "holes of disks"),
	CALL(ftruncate, "a disk that grows"),
	CALL(fallocate, "discards"),
	CALL(fsync, "flushes"),
	CALL(fdatasync, "flushes"),
	CALL(sync_file_range, "flushes"),
	CALL(fadvise64, "firmware, kernel"),
	CALL(copy_file_range, "between its own files"),
	CALL(close, "its own descriptors"),
	CALL(close_range, "its own descriptors"),
	CALL(dup, "its own descriptors"),
	CALL(dup2, "its own descriptors"),
	CALL(dup3, "its own descriptors"),
	CALL(pipe2, "waking threads"),
	CALL(fstat, "sizes"),
	CALL(newfstatat, "libraries"),
	CALL(statx, "libraries"),
	CALL(stat, "libraries"),
	CALL(lstat, "libraries"),
	CALL(statfs, "block sizes"),
	CALL(fstatfs, "block sizes"),
	CALL(access, "libraries"),
	CALL(faccessat, "libraries"),
	CALL(faccessat2, "libraries"),
	CALL(open, "what Landlock grants"),
	CALL(openat, "what Landlock grants"),
	CALL(readlink, "where its own program lies"),
	CALL(readlinkat, "as readlink"),
	CALL(unlink, "what Landlock grants, which is nothing"),
	CALL(getdents64, "modules; what Landlock grants"),
	CALL(getcwd, "start"),
	CALL(umask, "start"),
	CALL(flock, "locks of its own disks"),
	CALL(mmap, "memory"),
	CALL(munmap, "memory"),
	CALL(mprotect, "memory, translated code"),
	CALL(mremap, "memory"),
	CALL(madvise, "memory"),
	CALL(mincore, "memory"),
	CALL(mlock, "memory"),
	CALL(munlock, "memory"),
	CALL(msync, "memory"),
	CALL(brk, "memory"),
	CALL(mbind, "memory"),
	CALL(get_mempolicy, "memory"),
	CALL(set_mempolicy, "memory"),
	CALL(memfd_create, "memory"),
	CALL(membarrier, "read-copy-update between its threads"),
	CALL(poll, "waiting"),
	CALL(ppoll, "waiting"),
	CALL(select, "waiting"),
	CALL(pselect6, "waiting"),
	CALL(epoll_create1, "waiting"),
	CALL(epoll_create, "waiting"),
	CALL(epoll_ctl, "waiting"),
	CALL(epoll_wait, "waiting"),
	CALL(epoll_pwait, "waiting"),
	CALL(epoll_pwait2, "waiting"),
	CALL(eventfd2, "waking threads"),
	CALL(signalfd4, "signals to itself"),
	CALL(timerfd_create, "timers"),
	CALL(timerfd_settime, "timers"),
	CALL(timerfd_gettime, "timers"),
	CALL(timer_create, "timers"),
	CALL(timer_settime, "timers"),
	CALL(timer_gettime, "timers"),
	CALL(timer_getoverrun, "timers"),
	CALL(timer_delete, "timers"),
	CALL(nanosleep, "waiting"),
	CALL(clock_nanosleep, "waiting"),
	CALL(clock_gettime, "clocks"),
	CALL(clock_getres, "clocks"),
	CALL(gettimeofday, "clocks"),
	CALL(time, "clocks"),
	CALL(times, "clocks"),
	CALL(getrusage, "clocks"),
	CALL(futex, "locks of its threads"),
	CALL(set_robust_list, "start of a thread"),
	CALL(get_robust_list, "start of a thread"),
	CALL(set_tid_address, "start of a program"),
	CALL(rseq, "start of a thread"),
	CALL(arch_prctl, "start of a program"),
	{SCMP_SYS(clone), ARG_HAS(0), CLONE_THREAD | CLONE_VM, "threads, never a process"},
	{SCMP_SYS(clone3), MISSING, "its flags are in memory; libc falls back to clone"},
	{SCMP_SYS(io_uring_setup), MISSING, "does calls behind the filter's back"},
	CALL(sched_yield, "locks"),
	CALL(sched_getaffinity, "how many processors"),
	{SCMP_SYS(sched_setaffinity), ARG_IS(0), 0, "its own threads"},
	CALL(sched_getparam, "its own threads"),
	CALL(sched_getscheduler, "its own threads"),
	CALL(getpid, "start, aborts"),
	CALL(getppid, "start"),
	CALL(gettid, "threads"),
	CALL(getuid, "start"),
	CALL(geteuid, "start"),
	CALL(getgid, "start"),
	CALL(getegid, "start"),
	CALL(getpgrp, "start"),
	CALL(getpriority, "start"),
	CALL(uname, "start"),
	CALL(sysinfo, "start"),
	CALL(getrandom, "the guest's random numbers"),
	CALL(getrlimit, "how many descriptors"),
	{SCMP_SYS(prlimit64), ARG_IS(2), 0, "asked, never set", SEAL_IS, 0, 0},
	CALL(prctl, "names of threads, its own sandbox"),
	CALL(seccomp, "its own sandbox, on top of this"),
	CALL(execve, "banger-launch becomes QEMU; then QEMU's own sandbox and Landlock refuse"),
	CALL(exit, "end of a thread"),
	CALL(exit_group, "end"),
	CALL(restart_syscall, "after a stop"),
	CALL(rt_sigaction, "signals to itself"),
	CALL(rt_sigprocmask, "signals to itself"),
	CALL(rt_sigpending, "signals to itself"),
	CALL(rt_sigtimedwait, "signals to itself"),
	CALL(rt_sigsuspend, "signals to itself"),
	CALL(rt_sigreturn, "signals to itself"),
	CALL(rt_tgsigqueueinfo, "of its own number only: banger-launch"),
	CALL(sigaltstack, "coroutines"),
	CALL(kill, "of its own number only: banger-launch"),
	CALL(tgkill, "of its own number only: banger-launch"),
	CALL(accept4, "control and agent sockets"),
	CALL(accept, "control and agent sockets"),
	CALL(listen, "as accept"),
	CALL(getsockname, "as accept"),
	CALL(getpeername, "as accept"),
	CALL(getsockopt, "as accept"),
	CALL(setsockopt, "as accept"),
	CALL(recvmsg, "as accept; no socket without a peer can be had"),
	CALL(recvfrom, "as accept"),
	CALL(sendmsg, "as accept"),
	CALL(shutdown, "as accept"),
	{SCMP_SYS(sendto), ARG_IS(4), 0, "as accept: to its peer, to no address"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_DUPFD, "its own descriptors"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_DUPFD_CLOEXEC, "its own descriptors"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_GETFD, "its own descriptors"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_SETFD, "its own descriptors"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_GETFL, "its own descriptors"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_SETFL, "never with signals", SEAL_LACKS, 2, O_ASYNC},
	{SCMP_SYS(fcntl), ARG_IS(1), F_GETLK, "locks of its own disks"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_SETLK, "locks of its own disks"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_OFD_GETLK, "locks of its own disks"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_OFD_SETLK, "locks of its own disks"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_ADD_SEALS, "memory"},
	{SCMP_SYS(fcntl), ARG_IS(1), F_GET_SEALS, "memory"},
	{SCMP_SYS(ioctl), IOCTL_TYPE, 0xAE, "KVM"},
	{SCMP_SYS(ioctl), IOCTL_TYPE, 0xAF, "vhost"},
	{SCMP_SYS(ioctl), IOCTL_TYPE, 0x12, "block devices"},
	{SCMP_SYS(ioctl), ARG_IS(1), FIONREAD, "sockets"},
	{SCMP_SYS(ioctl), ARG_IS(1), FIONBIO, "sockets"},
	{SCMP_SYS(ioctl), ARG_IS(1), FIOCLEX, "its own descriptors"},
	{SCMP_SYS(ioctl), ARG_IS(1), FIONCLEX, "its own descriptors"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNGETIFF, "its own tap, made by bangerd"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNGETFEATURES, "its own tap"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNSETOFFLOAD, "its own tap"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNSETVNETHDRSZ, "its own tap"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNGETVNETHDRSZ, "its own tap"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNSETVNETLE, "its own tap"},
	{SCMP_SYS(ioctl), ARG_IS(1), TUNSETSNDBUF, "its own tap"},
};

/* The lowest signal that Firecracker sends its own threads; below are those that end a process. */
#define FIRST_REALTIME 32

static const struct seal_rule firecracker_rules[] = {
	NO_CALL(connect, "it calls nobody"),
	NO_CALL(socketpair, "a datagram end of one sends to any path"),
	{SCMP_SYS(socket), REFUSE_NOT(0), AF_UNIX, "only API and vsock"},
	{SCMP_SYS(socket), REFUSE_HAS(1), 2, "no datagrams, nothing raw"},
	{SCMP_SYS(socket), REFUSE_HAS(1), 4, "no other kind either"},
	NO_CALL(ptrace, "other processes"),
	NO_CALL(process_vm_readv, "other processes"),
	NO_CALL(process_vm_writev, "other processes"),
	NO_CALL(process_madvise, "other processes"),
	NO_CALL(kcmp, "other processes"),
	NO_CALL(pidfd_open, "other processes"),
	NO_CALL(pidfd_getfd, "descriptors of other processes"),
	NO_CALL(pidfd_send_signal, "other processes"),
	{SCMP_SYS(tkill), EPERM, SEAL_BELOW, 1, FIRST_REALTIME,
		"it kicks its threads so; by number alone nobody can say whose thread that is"},
	NO_CALL(setpriority, "other processes"),
	NO_CALL(ioprio_set, "other processes"),
	NO_CALL(sched_setscheduler, "other processes"),
	NO_CALL(sched_setparam, "other processes"),
	NO_CALL(sched_setattr, "other processes"),
	{SCMP_SYS(sched_setaffinity), REFUSE_NOT(0), 0, "other processes"},
	{SCMP_SYS(prlimit64), REFUSE_NOT(0), 0, "other processes"},
	{SCMP_SYS(prlimit64), REFUSE_NOT(2), 0, "asked, never set"},
	NO_CALL(setrlimit, "as prlimit64"),
	NO_CALL(fork, "no processes"),
	NO_CALL(vfork, "no processes"),
	{SCMP_SYS(clone), EPERM, SEAL_LACKS, 0, CLONE_THREAD, "no processes"},
	NO_CALL(execveat, "no programs"),
	NO_CALL(truncate, "Landlock knows it from ABI 3 on only"),
	NO_CALL(chmod, "Landlock does not know it"),
	NO_CALL(fchmod, "of its own disks no more"),
	NO_CALL(fchmodat, "as chmod"),
	NO_CALL(chown, "as chmod"),
	NO_CALL(lchown, "as chmod"),
	NO_CALL(fchown, "as chmod"),
	NO_CALL(fchownat, "as chmod"),
	NO_CALL(utime, "as chmod"),
	NO_CALL(utimes, "as chmod"),
	NO_CALL(futimesat, "as chmod"),
	NO_CALL(utimensat, "as chmod"),
	NO_CALL(setxattr, "as chmod"),
	NO_CALL(lsetxattr, "as chmod"),
	NO_CALL(fsetxattr, "as chmod"),
	NO_CALL(removexattr, "as chmod"),
	NO_CALL(lremovexattr, "as chmod"),
	NO_CALL(fremovexattr, "as chmod"),
	NO_CALL(link, "Landlock knows it from ABI 2 on only"),
	NO_CALL(linkat, "as link"),
	NO_CALL(symlink, "no names"),
	NO_CALL(symlinkat, "no names"),
	NO_CALL(mknod, "no names"),
	NO_CALL(mknodat, "no names"),
	NO_CALL(rename, "no names"),
	NO_CALL(renameat, "no names"),
	NO_CALL(renameat2, "no names"),
	NO_CALL(inotify_init, "names of files that others use"),
	NO_CALL(inotify_init1, "as inotify_init"),
	NO_CALL(fanotify_init, "as inotify_init"),
	NO_CALL(shmget, "memory of other processes"),
	NO_CALL(shmat, "as shmget"),
	NO_CALL(shmctl, "as shmget"),
	NO_CALL(semget, "as shmget"),
	NO_CALL(semctl, "as shmget"),
	NO_CALL(semop, "as shmget"),
	NO_CALL(msgget, "as shmget"),
	NO_CALL(msgsnd, "as shmget"),
	NO_CALL(msgrcv, "as shmget"),
	NO_CALL(msgctl, "as shmget"),
	NO_CALL(mq_open, "as shmget"),
	NO_CALL(mq_unlink, "as shmget"),
	NO_CALL(unshare, "namespaces"),
	{SCMP_SYS(io_uring_setup), MISSING, "does calls behind the filter's back"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_SETOWN, "signals by the back door"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_SETOWN_EX, "as F_SETOWN"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_SETSIG, "as F_SETOWN"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_NOTIFY, "as inotify_init"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_SETLEASE, "holds up who opens a file"},
	{SCMP_SYS(fcntl), REFUSE_IS(1), F_SETFL, "as F_SETOWN", SEAL_HAS, 2, O_ASYNC},
	{SCMP_SYS(ioctl), REFUSE_IS(1), FIOASYNC, "as F_SETOWN"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), FIOSETOWN, "as F_SETOWN"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), SIOCSPGRP, "as F_SETOWN"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), TIOCSTI, "typing into a terminal"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), TIOCLINUX, "as TIOCSTI"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), TUNSETPERSIST, "taps are bangerd's"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), TUNSETOWNER, "taps are bangerd's"},
	{SCMP_SYS(ioctl), REFUSE_IS(1), TUNSETGROUP, "taps are bangerd's"},
};

static const struct {
	uint32_t others; /* calls without a row */
	const struct seal_rule *rules;
	size_t n;
} seals[] = {
	[VMM_SEAL_QEMU] = {SCMP_ACT_ERRNO(EPERM), qemu_rules, ARRAY_SIZE(qemu_rules)},
	[VMM_SEAL_FIRECRACKER] = {SCMP_ACT_ALLOW, firecracker_rules, ARRAY_SIZE(firecracker_rules)},
};

static int write_filter(enum vmm_seal seal)
{
	scmp_filter_ctx ctx = seal_new(seals[seal].others, seals[seal].rules, seals[seal].n);
	_close_ int fd = memfd_create("vmm filter", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = ctx ? 0 : -EINVAL;

	if (r >= 0 && fd < 0)
		r = -errno;
	if (r >= 0)
		r = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	if (r >= 0 && fcntl(fd, F_ADD_SEALS,
			      F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

int vmm_seal_filter(enum vmm_seal seal, struct bg_err **err)
{
	static int made[] = {[VMM_SEAL_QEMU] = -1, [VMM_SEAL_FIRECRACKER] = -1};
	int r;

	if (made[seal] >= 0)
		return made[seal];
	r = write_filter(seal);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "make the VMM's filter");
	made[seal] = r;
	return r;
}
