/* SPDX-License-Identifier: ISC */
/* sandbox.c: The stages in the order in which main runs them. */
#include "privhelper/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

enum { SEND_S = 10 };

/* ---- inherit ---- */

/* 0, 1 and 2 lead nowhere, whatever they were; only the socket stays open. */
static bool reset_fds(int sock)
{
	struct stat st;
	int null;

	if (close_range((unsigned)sock + 1, ~0U, 0) < 0)
		return false;
	null = open("/dev/null", O_RDWR | O_NOFOLLOW);
	if (null < 0 || fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return false;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return false;
	if (null > 2)
		bg_close(null);
	return fcntl(sock, F_SETFD, FD_CLOEXEC) >= 0;
}

static bool socket_option_is(int sock, int option, int value)
{
	socklen_t len = sizeof(int);
	int v = -1;

	return getsockopt(sock, SOL_SOCKET, option, &v, &len) == 0 && v == value;
}

static bool socket_ok(int sock)
{
	return socket_option_is(sock, SO_DOMAIN, AF_UNIX) &&
	       socket_option_is(sock, SO_TYPE, SOCK_SEQPACKET) &&
	       socket_option_is(sock, SO_ACCEPTCONN, 0);
}

static bool set_all(void (*handler)(int))
{
	const struct sigaction action = {.sa_handler = handler};

	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN) &&
			sigaction(sig, &action, NULL) < 0)
			return false;
	return true;
}

/*
 * A kept handler cannot exist after exec, but timers, ignored, blocked and pending signals can: what is
 * ignored for a moment is no longer pending.
 */
static bool reset_signals(void)
{
	const struct sigaction ign = {.sa_handler = SIG_IGN};
	const struct itimerval off = {0};
	sigset_t none;

	if (setitimer(ITIMER_REAL, &off, NULL) < 0 || setitimer(ITIMER_VIRTUAL, &off, NULL) < 0 ||
		setitimer(ITIMER_PROF, &off, NULL) < 0)
		return false;
	if (!set_all(SIG_IGN) || !set_all(SIG_DFL) || sigaction(SIGXFSZ, &ign, NULL) < 0)
		return false;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

/* Soft limits go up to the hard ones; where those are too low for a whole verb, no verb begins. */
static bool reset_limits(void)
{
	static const struct {
		int resource;
		rlim_t least;
	} limits[] = {
		{RLIMIT_FSIZE, 64 * MIB},
		{RLIMIT_NOFILE, 32},
		{RLIMIT_STACK, 256 * KIB},
		{RLIMIT_CPU, 60},
		{RLIMIT_AS, 64 * MIB},
		{RLIMIT_DATA, 16 * MIB},
	};
	const struct rlimit none = {0, 0};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit rl;

		if (getrlimit((unsigned)limits[i].resource, &rl) < 0 ||
			rl.rlim_max < limits[i].least)
			return false;
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit((unsigned)limits[i].resource, &rl) < 0)
			return false;
	}
	return setrlimit(RLIMIT_CORE, &none) == 0;
}

/* A peer that does not read its replies holds nothing up for ever. */
static bool limit_sends(int sock)
{
	const struct timeval wait = {.tv_sec = SEND_S};

	return setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0;
}

enum priv_code sandbox_inherit(int sock)
{
	(void)umask(077);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !socket_ok(sock) || !limit_sends(sock) ||
		!reset_fds(sock) || !reset_signals() || !reset_limits() || chdir("/") < 0)
		return PRIV_CODE_ENVIRONMENT;
	return PRIV_CODE_OK;
}

/* ---- drop ---- */

static int set_caps(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)effective, .permitted = (uint32_t)permitted},
		{.effective = (uint32_t)(effective >> 32),
			.permitted = (uint32_t)(permitted >> 32)}};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static bool caps_are(uint64_t wanted)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &head, d) < 0)
		return false;
	return (d[0].effective | (uint64_t)d[1].effective << 32) == wanted &&
	       (d[0].permitted | (uint64_t)d[1].permitted << 32) == wanted &&
	       (d[0].inheritable | d[1].inheritable) == 0;
}

/* Capabilities of another user namespace are worth nothing here, and its ids are not what they seem. */
static bool in_first_user_namespace(void)
{
	enum { FIRST = 0xEFFFFFFD /* PROC_USER_INIT_INO in the kernel */ };
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino == FIRST;
}

enum priv_code sandbox_raise(uint64_t caps)
{
	if (!in_first_user_namespace())
		return PRIV_CODE_NO_CAPABILITY;
	return set_caps(caps, caps) < 0 || !caps_are(caps) ? PRIV_CODE_NO_CAPABILITY : PRIV_CODE_OK;
}

static bool no_more_caps(uint64_t caps)
{
	bool more = set_caps(~0ULL, ~0ULL) >= 0;

	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(caps & 1ULL << cap))
			more |= set_caps(1ULL << cap, caps | 1ULL << cap) >= 0;
	return !more && caps_are(caps);
}

static bool no_group_back(gid_t ledger_gid, const char *ledger_path)
{
	gid_t r, e, s;
	_close_ int fd = -1;

	if (getresgid(&r, &e, &s) < 0 || r != e || r != s || r == ledger_gid ||
		setresgid((gid_t)-1, ledger_gid, (gid_t)-1) >= 0)
		return false;
	fd = open(ledger_path, O_RDONLY | O_CLOEXEC);
	return fd < 0 && (errno == EACCES || errno == EPERM);
}

enum priv_code sandbox_drop(uint64_t caps, const char *ledger_path)
{
	gid_t real = getgid(), ledger_gid = getegid();

	if (real == ledger_gid || (ledger_path && setresgid(real, real, real) < 0))
		return PRIV_CODE_SANDBOX;
	if (set_caps(caps, caps) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return PRIV_CODE_SANDBOX;
	if (ledger_path && !no_group_back(ledger_gid, ledger_path))
		return PRIV_CODE_SANDBOX;
	return no_more_caps(caps) ? PRIV_CODE_OK : PRIV_CODE_SANDBOX;
}

/* ---- seal ---- */

static int add_rule(scmp_filter_ctx ctx, const struct seal_row *row)
{
	struct scmp_arg_cmp args[2];
	unsigned n = 0;

	if (row->rule & RULE_FD)
		args[n++] = SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)row->fd);
	if (row->rule & RULE_COMMAND)
		args[n++] = SCMP_A1_32(SCMP_CMP_EQ, row->value);
	if (row->rule & RULE_FLAGS)
		args[n++] = SCMP_A2_32(SCMP_CMP_EQ, row->value);
	if (row->rule & RULE_LENGTH)
		args[n++] = SCMP_A2(SCMP_CMP_LE, (scmp_datum_t)row->value);
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, row->syscall, n, args);
}

enum priv_code sandbox_seal(const struct seal_row *rows, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = add_rule(ctx, &rows[i]);
	if (r >= 0)
		r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? PRIV_CODE_SANDBOX : PRIV_CODE_OK;
}
