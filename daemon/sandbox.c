/* SPDX-License-Identifier: ISC */
/*
 * The engine and the monitor are not dumpable: no process of the same uid reads or writes their
 * memory, takes their descriptors or traces them. Who has the uid can ask the engine for all it
 * does, but not for the helper's socket; and a VMM that a guest took over has that uid.
 * config.toml's debug = "dumpable" gives gdb, perf and core dumps back, for the engine alone.
 *
 * The filter is a list of what is allowed (sandbox_calls.def). All that the engine starts inherits
 * it: VMMs of any version, workers, their libraries; so it has their calls too. They seal
 * themselves further, with lists of their own: vmm_seal.c, worker/sandbox.c, store/process.c.
 */
#include "daemon/sandbox.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/fd.h"
#include "common/seal.h"
#include "daemon/boot.h"

#define NOFILE_WANTED 8192

#define ALWAYS SEAL_ALWAYS, 0

#define CALL(name, reason) {SCMP_SYS(name), SEAL_ALLOW, ALWAYS, 0, reason},

/* What may be asked; the rest is answered with ENOSYS, as by a kernel that does not have it. */
static const struct seal_rule allowed[] = {
#include "daemon/sandbox_calls.def"
	{SCMP_SYS(socket), SEAL_ALLOW, SEAL_IS, 0, AF_UNIX, "callers, VMs, the session's services"},
	{SCMP_SYS(socket), SEAL_ALLOW, SEAL_IS, 0, AF_INET, "published ports, names, servers"},
	{SCMP_SYS(socket), SEAL_ALLOW, SEAL_IS, 0, AF_INET6, "servers"},
	{SCMP_SYS(socket), SEAL_ALLOW, SEAL_IS, 0, AF_NETLINK, "which addresses there are"},
#if BG_SANITIZED
	CALL(ptrace, "the leak checker traces its own process")
		CALL(personality, "sanitizers want a fixed layout")
#endif
};

/* Exceptions, and calls that programs only try: these are not worth a line in the kernel's log. */
static const struct seal_rule refused[] = {
	{SCMP_SYS(clone), EPERM, SEAL_HAS, 0, CLONE_NEWUSER,
		"a user namespace opens most of the kernel"},
	{SCMP_SYS(clone), EPERM, SEAL_HAS, 0, CLONE_NEWNS, "no part of the daemon mounts"},
	{SCMP_SYS(clone), EPERM, SEAL_HAS, 0, CLONE_NEWNET, "as mounts"},
	{SCMP_SYS(clone), EPERM, SEAL_HAS, 0, CLONE_NEWPID, "as mounts"},
	{SCMP_SYS(clone3), ENOSYS, ALWAYS, 0, "its flags are in memory; libc falls back to clone"},
	{SCMP_SYS(io_uring_setup), ENOSYS, ALWAYS, 0, "does calls behind the filter's back"},
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

/* `log`: each refusal is a line in the kernel's log, with the call's number (SECCOMP, type 1326).
 */
static int load(uint32_t others, const struct seal_rule *rules, size_t n, bool log)
{
	scmp_filter_ctx ctx = seal_new(others, rules, n);
	int r = ctx ? 0 : -ENOMEM;

	if (log && r >= 0)
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1); /* since Linux 4.14 */
	if (r >= 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int sandbox_seal(struct bg_err **err)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return oops(err, errno, "no_new_privs");
	/* Of two refusals the later filter's is what the caller gets, and what is logged or not. */
	r = load(SCMP_ACT_ERRNO(ENOSYS), allowed, ARRAY_SIZE(allowed), true);
	if (r >= 0)
		r = load(SCMP_ACT_ALLOW, refused, ARRAY_SIZE(refused), false);
	return r < 0 ? oops(err, -r, "filter") : 0;
}
