/* SPDX-License-Identifier: ISC */
/*
 * The engine and the monitor are not dumpable: no process of the same uid reads or writes their
 * memory, takes their descriptors or traces them. Who has the uid can ask the engine for all it
 * does, but not for the helper's socket; and a VMM that a guest took over has that uid.
 * config.toml's debug = "dumpable" gives gdb, perf and core dumps back, for the engine alone.
 *
 * The filter is a list of what is refused, since everything that the engine starts inherits it:
 * VMMs of any version, workers, their libraries. Those seal themselves further, by lists of what
 * is allowed: vmm_seal.c, worker/sandbox.c.
 */
#include "daemon/sandbox.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/fd.h"
#include "common/seal.h"
#include "daemon/boot.h"

#define NOFILE_WANTED 8192

#define ALWAYS SEAL_ALWAYS, 0, 0

static const struct seal_rule rules[] = {
	{SCMP_SYS(process_vm_readv), EPERM, ALWAYS, "memory of the user's other processes"},
	{SCMP_SYS(process_vm_writev), EPERM, ALWAYS, "the same, to take them over"},
	{SCMP_SYS(process_madvise), EPERM, ALWAYS, "the same, to slow them"},
	{SCMP_SYS(process_mrelease), EPERM, ALWAYS, "the same, to free it"},
	{SCMP_SYS(pidfd_getfd), EPERM, ALWAYS, "descriptors of the user's other processes"},
	{SCMP_SYS(kcmp), EPERM, ALWAYS, "kernel pointers by comparison"},
	{SCMP_SYS(mount), EPERM, ALWAYS, "no part of the daemon mounts; guests do, behind the VMM"},
	{SCMP_SYS(umount2), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(pivot_root), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(chroot), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(move_mount), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(open_tree), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(fsopen), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(fsconfig), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(fsmount), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(fspick), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(mount_setattr), EPERM, ALWAYS, "mount family"},
	{SCMP_SYS(setns), EPERM, ALWAYS, "other namespaces"},
	{SCMP_SYS(unshare), EPERM, SEAL_HAS, 0, CLONE_NEWUSER,
		"a user namespace opens most of the kernel"},
	{SCMP_SYS(unshare), EPERM, SEAL_HAS, 0, CLONE_NEWNS, "mount family"},
	{SCMP_SYS(unshare), EPERM, SEAL_HAS, 0, CLONE_NEWNET, "needs a user namespace"},
	{SCMP_SYS(clone), EPERM, SEAL_HAS, 0, CLONE_NEWUSER, "as unshare"},
	{SCMP_SYS(clone3), ENOSYS, ALWAYS, "its flags are in memory; libc falls back to clone"},
	{SCMP_SYS(bpf), EPERM, ALWAYS, "verifier bugs"},
	{SCMP_SYS(perf_event_open), EPERM, ALWAYS, "a history of kernel bugs"},
	{SCMP_SYS(userfaultfd), EPERM, ALWAYS,
		"stops the kernel in the middle of a copy, for exploits"},
	{SCMP_SYS(io_uring_setup), ENOSYS, ALWAYS, "does calls behind the filter's back"},
	{SCMP_SYS(io_uring_enter), ENOSYS, ALWAYS, "as io_uring_setup"},
	{SCMP_SYS(io_uring_register), ENOSYS, ALWAYS, "as io_uring_setup"},
	{SCMP_SYS(open_by_handle_at), EPERM, ALWAYS, "files around their directories"},
	{SCMP_SYS(name_to_handle_at), EPERM, ALWAYS, "as open_by_handle_at"},
	{SCMP_SYS(add_key), EPERM, ALWAYS, "the user's keyrings"},
	{SCMP_SYS(request_key), EPERM, ALWAYS, "the user's keyrings"},
	{SCMP_SYS(keyctl), EPERM, ALWAYS, "the user's keyrings"},
	{SCMP_SYS(kexec_load), EPERM, ALWAYS, "the host's kernel"},
	{SCMP_SYS(kexec_file_load), EPERM, ALWAYS, "the host's kernel"},
	{SCMP_SYS(init_module), EPERM, ALWAYS, "the host's kernel"},
	{SCMP_SYS(finit_module), EPERM, ALWAYS, "the host's kernel"},
	{SCMP_SYS(delete_module), EPERM, ALWAYS, "the host's kernel"},
	{SCMP_SYS(reboot), EPERM, ALWAYS, "the host"},
	{SCMP_SYS(swapon), EPERM, ALWAYS, "the host"},
	{SCMP_SYS(swapoff), EPERM, ALWAYS, "the host"},
	{SCMP_SYS(acct), EPERM, ALWAYS, "the host"},
	{SCMP_SYS(quotactl), EPERM, ALWAYS, "the host"},
	{SCMP_SYS(settimeofday), EPERM, ALWAYS, "the host's clock"},
	{SCMP_SYS(clock_settime), EPERM, ALWAYS, "the host's clock"},
	{SCMP_SYS(clock_adjtime), EPERM, ALWAYS, "the host's clock"},
	{SCMP_SYS(syslog), EPERM, ALWAYS, "kernel addresses in its log"},
	{SCMP_SYS(lookup_dcookie), EPERM, ALWAYS, "old and unused"},
	{SCMP_SYS(vmsplice), EPERM, ALWAYS, "pages shared with pipes: a history of kernel bugs"},
	{SCMP_SYS(ioctl), EPERM, SEAL_IS_32, 1, TIOCSTI,
		"typing into the terminal that bangerd was started from"},
	{SCMP_SYS(ioctl), EPERM, SEAL_IS_32, 1, TIOCLINUX, "the same on a console"},
};

static int oops(struct bg_err **err, int errnum, const char *what)
{
	return bg_err_sys(err, BG_ERR_INTERNAL, errnum, "sandbox: %s", what);
}

int sandbox_inherit(struct bg_err **err)
{
	struct rlimit nofile;
	int r;

	for (int fd = ENGINE_FD_LISTEN; fd < ENGINE_FD_MAX_; fd++) {
		r = bg_set_cloexec(fd, true);
		if (r < 0 && r != -EBADF)
			return oops(err, -r, "descriptors");
	}
	/* A connection, a pidfd, an agent socket and a tap for each VM. */
	if (getrlimit(RLIMIT_NOFILE, &nofile) >= 0 && nofile.rlim_cur < NOFILE_WANTED) {
		nofile.rlim_cur = BG_MIN(nofile.rlim_max, (rlim_t)NOFILE_WANTED);
		(void)setrlimit(RLIMIT_NOFILE, &nofile);
	}
	/* The monitor's end is ours; its socket tells too, this is for an engine that is stuck. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
		return oops(err, errno, "parent-death signal");
	return 0;
}

int sandbox_drop(struct bg_err **err)
{
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return oops(err, EPERM, "drop capabilities");
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_get_caps_process() < 0 ||
		capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE)
		return oops(err, EPERM, "capabilities are still there");
	return 0;
}

int sandbox_hide(struct bg_err **err)
{
	/* The leak checker of the address sanitizer traces its own process. */
	if (prctl(PR_SET_DUMPABLE, BG_SANITIZED, 0, 0, 0) < 0)
		return oops(err, errno, "not to be dumpable");
	return 0;
}

int sandbox_seal(struct bg_err **err)
{
	scmp_filter_ctx ctx;
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return oops(err, errno, "no_new_privs");
	ctx = seal_new(SCMP_ACT_ALLOW, rules, ARRAY_SIZE(rules));
	if (!ctx)
		return oops(err, ENOMEM, "filter");
	/* ptrace of the user's other processes would undo all of this; the leak checker of the
	 * address sanitizer is a user of it on its own process. */
	r = BG_SANITIZED ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ptrace), 0);
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? oops(err, -r, "filter") : 0;
}
