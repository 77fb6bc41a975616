/* SPDX-License-Identifier: ISC */
/*
 * banger-launch: seals itself and becomes a VMM (common/launch.h). Started by bangerd for every
 * VMM, so that a guest that takes its VMM over finds nothing of the user's there: no file that is
 * not this VM's, no process, no socket. Static, libc only: it costs each start well below a
 * millisecond. It reads nothing but its arguments and the filter, and keeps nothing open.
 *
 * Stages: limits, Landlock, seccomp, exec. What fails ends it with BG_LAUNCH_FAILED and a line in
 * the VMM's log; a missing Landlock alone is accepted (`banger doctor` says what that means).
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/landlock.h"
#include "common/launch.h"

enum {
	NOFILE = 256,					/* of the VMM; a boot takes 64 */
	FILTER_MAX = 4096 * sizeof(struct sock_filter), /* BPF_MAXINSNS of them */
};

/* Before the user's other programs when memory is short; the domain has no /proc to undo it by. */
static const char oom_adjust[] = "200";

static const struct grant {
	const char *option;
	uint64_t rights;
	int flags;
} grants[] = {
#define X(name, word, rights, flags) [BG_LAUNCH_##name] = {"--" word, rights, flags},
#include "common/launch_grants.def"
#undef X
};

struct options {
	int abi_max;
	uint64_t limit;
	char **first, **program; /* the grants: pairs from first to the "--" before program */
};

static int complain(const char *what, int errnum)
{
	(void)dprintf(STDERR_FILENO, "banger-launch: %s: %s\n", what, strerror(errnum));
	return -errnum;
}

static const struct grant *find_grant(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(grants); i++)
		if (bg_streq(grants[i].option, option))
			return &grants[i];
	return NULL;
}

static bool number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

/* Takes "NAME NUMBER" from the front, when it is there. */
static bool take_number(char ***at, const char *name, uint64_t *ret)
{
	if (!bg_streq((*at)[0], name) || !(*at)[1] || !number((*at)[1], ret))
		return false;
	*at += 2;
	return true;
}

static int parse(char **argv, struct options *o)
{
	uint64_t abi = 0;

	argv++;
	(void)take_number(&argv, "--abi", &abi);
	o->abi_max = (int)abi;
	if (!take_number(&argv, "--limit", &o->limit))
		return complain("--limit", EINVAL);
	for (o->first = argv; *argv && !bg_streq(*argv, "--"); argv += 2)
		if (!find_grant(argv[0]) || !argv[1])
			return complain(argv[0], EINVAL);
	if (!argv[0] || !argv[1])
		return complain("arguments", EINVAL);
	o->program = argv + 1;
	return 0;
}

/* Soft, for what is the kernel's to say: the filter lets the VMM raise none. */
static int set_limit(__rlimit_resource_t what, rlim_t value)
{
	struct rlimit rl;

	if (getrlimit(what, &rl) < 0)
		return -errno;
	rl.rlim_cur = BG_MIN(value, rl.rlim_max);
	return setrlimit(what, &rl) < 0 ? -errno : 0;
}

static int limits(uint64_t file_bytes)
{
	_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int r = set_limit(RLIMIT_CORE, 0);

	if (r >= 0)
		r = set_limit(RLIMIT_NOFILE, NOFILE);
	if (r >= 0)
		r = set_limit(RLIMIT_FSIZE, file_bytes);
	if (r < 0)
		return complain("limits", -r);
	/* Where a user started bangerd with more than that, more stays. */
	if (fd >= 0)
		(void)!write(fd, oom_adjust, sizeof(oom_adjust) - 1);
	return 0;
}

static int confine(const struct options *o)
{
	_cleanup_(bg_landlock_done) struct bg_landlock ll;
	int r = bg_landlock_new(o->abi_max, false, &ll);

	for (char **p = o->first; r >= 0 && !bg_streq(*p, "--"); p += 2) {
		const struct grant *grant = find_grant(*p);

		r = bg_landlock_allow(&ll, p[1], grant->rights, grant->flags);
		if (r < 0)
			return complain(p[1], -r);
	}
	if (r >= 0)
		r = bg_landlock_enter(&ll);
	return r < 0 ? complain("Landlock", -r) : 0;
}

static int install(const struct sock_filter *code, size_t n)
{
	const struct sock_fprog program = {
		.len = (unsigned short)n,
		.filter = (struct sock_filter *)(uintptr_t)code,
	};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0
		       ? complain("seccomp", errno)
		       : 0;
}

/* Signals only to itself: bangerd's filter is made before anybody knows this process's number. */
static int signals_to_self(void)
{
	const uint32_t self = (uint32_t)getpid();
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigqueueinfo, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_tgsigqueueinfo, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, self, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};

	return install(code, ARRAY_SIZE(code));
}

/* By position: all VMMs share one file, and its offset. */
static int filters(void)
{
	static struct sock_filter code[FILTER_MAX / sizeof(struct sock_filter)];
	ssize_t n = pread(BG_LAUNCH_FD_FILTER, code, sizeof(code), 0);
	struct stat st;
	int r;

	if (n <= 0 || fstat(BG_LAUNCH_FD_FILTER, &st) < 0 || st.st_size != n ||
		(size_t)n % sizeof(code[0]) != 0)
		return complain("the filter on descriptor 3", n < 0 ? errno : EINVAL);
	(void)close(BG_LAUNCH_FD_FILTER);
	r = signals_to_self();
	return r < 0 ? r : install(code, (size_t)n / sizeof(code[0]));
}

int main(int argc, char **argv)
{
	struct options o = {};

	if (argc < 2 || parse(argv, &o) < 0 || limits(o.limit) < 0)
		return BG_LAUNCH_FAILED;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		(void)complain("no_new_privs", errno);
	else if (confine(&o) >= 0 && filters() >= 0) {
		execv(o.program[0], o.program);
		(void)complain(o.program[0], errno);
	}
	return BG_LAUNCH_FAILED;
}
