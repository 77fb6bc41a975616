/* SPDX-License-Identifier: ISC */
/*
 * bootstrap.c: Runs unsealed, as a child of the monitor: mmdebstrap needs newuidmap. Ends every
 * process that it left behind before it exits itself.
 */
#include "daemon/bootstrap.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/base.h"
#include "common/err.h"
#include "common/fd.h"
#include "daemon/loop/spawn.h"
#include "daemon/monitor_proto.h"

/* mmdebstrap takes its rootfs down itself when told to end; that is some seconds */
#define TERM_GRACE_S 20
#define KILL_GRACE_S 5
/* No libpam-systemd: with it each first login waits for logind and a user manager, seconds after
 * sshd is up. */
#define MINIMAL_PACKAGES                                                                           \
	"systemd-sysv,udev,dbus,openssh-server,iproute2,netbase,ca-certificates,kmod,procps"
/* What one works with, in the default image. */
#define FULL_PACKAGES                                                                              \
	MINIMAL_PACKAGES ",iputils-ping,less,vim-tiny,sudo,git,curl,wget,rsync,psmisc,file,"       \
			 "xz-utils,zstd,tmux,bash-completion,make,python3"
/* The journal takes its first 8 MiB at once, and writes most of them, where its files may be that
 * large. */
#define SMALL_JOURNAL "[Journal]\\nSystemMaxUse=64M\\nSystemMaxFileSize=1M\\n"
#define MULTI_USER    "/lib/systemd/system/multi-user.target"
#define MASKED                                                                                     \
	"apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer "          \
	"e2scrub_reap.service fstrim.timer getty@tty1.service systemd-pstore.service "             \
	"systemd-random-seed.service systemd-rfkill.socket sys-kernel-debug.mount "                \
	"sys-kernel-tracing.mount "                                                                \
	"sys-kernel-config.mount modprobe@configfs.service modprobe@drm.service "                  \
	"modprobe@efi_pstore.service systemd-repart.service"
/* What looks for disks, words of the kernel's command line and updates that a VM has not: each is a program, started before any unit. */
#define NO_GENERATORS "debug gpt-auto hibernate-resume integritysetup run system-update veritysetup"
/* sshd needs neither udev nor the journal, and banger-init mounts / for writing: it listens seconds before the rest is up. */
#define EARLY_SSH                                                                                  \
	"[Unit]\\nDefaultDependencies=no\\n"                                                       \
	"Conflicts=shutdown.target\\nBefore=shutdown.target\\n[Service]\\nExecStartPre=\\n"

/*
 * Run inside the new system, as its root, by mmdebstrap ("$1" is its directory). The keys that
 * openssh-server makes would be the same in every VM; machine-id is empty and not missing, so
 * that systemd makes one per VM; resolv.conf and hostname are copies of this host's.
 */
static const char *const fixed_args[] = {
	"--mode=unshare",
	"--variant=minbase",
	"--format=tar",
	"--verbose", /* what apt and dpkg print: progress, and the reason of a failure */
	"--dpkgopt=path-exclude=/usr/share/man/*",
	"--dpkgopt=path-exclude=/usr/share/doc/*",
	"--dpkgopt=path-include=/usr/share/doc/*/copyright",
	"--customize-hook=rm -f \"$1\"/etc/ssh/ssh_host_*",
	"--customize-hook=: > \"$1\"/etc/machine-id; rm -f \"$1\"/var/lib/dbus/machine-id",
	"--customize-hook=rm -f \"$1\"/etc/resolv.conf \"$1\"/etc/hostname; : > "
	"\"$1\"/etc/resolv.conf",
	"--customize-hook=find \"$1\"/var/log -type f -delete",
	"--customize-hook=for u in " MASKED
	"; do ln -sf /dev/null \"$1\"/etc/systemd/system/$u; done",
	"--customize-hook=d=\"$1\"/etc/systemd/system-generators; mkdir -p \"$d\"; for g "
	"in " NO_GENERATORS "; do ln -sf /dev/null \"$d\"/systemd-$g-generator; done",
	"--customize-hook=d=\"$1\"/etc/systemd/system/ssh.service.d; mkdir -p \"$d\" && printf "
	"'" EARLY_SSH "' >\"$d\"/10-early.conf",
	/* else every login before the end of the boot is told to come back later */
	"--customize-hook=ln -sf /dev/null \"$1\"/etc/tmpfiles.d/systemd-nologin.conf",
	"--customize-hook=d=\"$1\"/etc/systemd/journald.conf.d; mkdir -p \"$d\" && printf "
	"'" SMALL_JOURNAL "' >\"$d\"/10-small.conf",
	"--customize-hook=echo LANG=C.UTF-8 >\"$1\"/etc/default/locale",
	"--customize-hook=ln -sf " MULTI_USER " \"$1\"/etc/systemd/system/default.target",
};

static char tmpdir[] = "/var/tmp/banger-build.XXXXXX";

/* Only what the tool needs; the proxies are how some networks are reached at all. */
static const char *const passed_env[] = {"PATH", "HOME", "USER", "LOGNAME", "http_proxy",
	"https_proxy", "ftp_proxy", "no_proxy", NULL};

struct words {
	const char *word[ARRAY_SIZE(fixed_args) + 8];
	unsigned n;
	char *owned[ARRAY_SIZE(passed_env) + 2];
	unsigned n_owned;
};

static void words_done(struct words *w)
{
	for (unsigned i = 0; i < w->n_owned; i++)
		free(w->owned[i]);
}

static int add_owned(struct words *w, char *word)
{
	if (!word)
		return -ENOMEM;
	w->owned[w->n_owned++] = word;
	w->word[w->n++] = word;
	return 0;
}

/* "--include=a,b,c": those of the kind of image and what was asked for. */
static char *include_arg(const char *kind, char **packages, int n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs("--include=", f);
	fputs(bg_streq(kind, BOOTSTRAP_MINIMAL) ? MINIMAL_PACKAGES : FULL_PACKAGES, f);
	for (int i = 0; i < n; i++)
		fprintf(f, ",%s", packages[i]);
	return fclose(f) == 0 ? text : NULL;
}

static int make_args(int argc, char **argv, struct words *w)
{
	int r;

	w->word[w->n++] = "mmdebstrap";
	for (size_t i = 0; i < ARRAY_SIZE(fixed_args); i++)
		w->word[w->n++] = fixed_args[i];
	r = add_owned(w, include_arg(argv[2], argv + 3, argc - 3));
	if (r < 0)
		return r;
	w->word[w->n++] = argv[0];
	w->word[w->n++] = "-";
	if (argv[1][0])
		w->word[w->n++] = argv[1];
	w->word[w->n] = NULL;
	return 0;
}

static int make_env(struct words *w)
{
	int r = 0;

	for (unsigned i = 0; passed_env[i] && r >= 0; i++) {
		const char *value = getenv(passed_env[i]);
		char *text = NULL;

		if (!value)
			continue;
		if (asprintf(&text, "%s=%s", passed_env[i], value) < 0)
			return -ENOMEM;
		r = add_owned(w, text);
	}
	if (r >= 0) {
		char *text = NULL;

		r = asprintf(&text, "TMPDIR=%s", tmpdir) < 0 ? -ENOMEM : add_owned(w, text);
	}
	w->word[w->n++] = "LC_ALL=C.UTF-8";
	w->word[w->n] = NULL;
	return r;
}

static int complain(const struct bg_err *err)
{
	fprintf(stderr, "bangerd: %s\n", err ? err->message : "out of memory");
	return 127;
}

/* Runs argv with our stdout and stderr; its group is its own. */
static int start(const char *const *argv, const char *const *env, pid_t *ret)
{
	struct spawn s = {argv[0], argv, env, {-1, STDOUT_FILENO, STDERR_FILENO}, 3, true};
	_err_ struct bg_err *err = NULL;
	int pidfd = -1;

	if (spawn_process(&s, ret, &pidfd, &err) < 0)
		return complain(err);
	bg_close(pidfd);
	return 0;
}

static bool is_our_child(const char *pid_text)
{
	_close_ int fd = -1;
	char path[64], text[512];
	const char *p;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid_text);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name before it may hold anything */
	return p && strlen(p) > 4 && strtol(p + 4, NULL, 10) == (long)getpid();
}

/*
 * We are the subreaper of everything below: whoever loses its parent becomes our child. Killing the
 * first process of a pid namespace ends all in it. Returns how many were found.
 */
static unsigned kill_children(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *de;
	unsigned n = 0;

	while (dir && (de = readdir(dir)))
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9' && is_our_child(de->d_name)) {
			(void)kill((pid_t)strtol(de->d_name, NULL, 10), SIGKILL);
			n++;
		}
	if (dir)
		closedir(dir);
	return n;
}

static void reap_until(pid_t pid, int *ret_status, bool *ret_found)
{
	int status;
	pid_t got;

	while ((got = waitpid(-1, &status, WNOHANG)) > 0)
		if (got == pid) {
			*ret_status = status;
			*ret_found = true;
		}
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Waits for pid, forwarding the wish to end. */
static int supervise(pid_t pid, const sigset_t *set)
{
	time_t kill_at = 0;
	bool found = false;
	int status = 0;

	for (;;) {
		struct timespec wait = {.tv_sec = 1};
		int signo;

		reap_until(pid, &status, &found);
		if (found)
			return status;
		signo = sigtimedwait(set, NULL, &wait);
		if (signo > 0 && signo != SIGCHLD && !kill_at) {
			(void)kill(-pid, SIGTERM); /* the group: its parts expect a ^C */
			kill_at = now_s() + TERM_GRACE_S;
		}
		if (kill_at && now_s() >= kill_at)
			(void)kill_children();
	}
}

/* What outlived the tool: nothing, when it ended as it should. */
static void end_leftovers(const sigset_t *set)
{
	time_t until = now_s() + KILL_GRACE_S;
	bool found = false;
	int status;

	while (kill_children() > 0 && now_s() < until) {
		struct timespec wait = {.tv_nsec = 100000000};

		(void)sigtimedwait(set, NULL, &wait);
		reap_until(-1, &status, &found);
	}
}

/* Files there belong to our subordinate uids: only a namespace with those mapped can remove them.
 */
static void remove_tmpdir(const sigset_t *set)
{
	const char *const argv[] = {
		"unshare", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--", tmpdir, NULL};
	pid_t pid;

	if (bg_rm_rf_at(-1, tmpdir) >= 0)
		return;
	if (start(argv, NULL, &pid) == 0)
		(void)supervise(pid, set);
	if (rmdir(tmpdir) < 0 && errno != ENOENT)
		fprintf(stderr, "bangerd: %s is left behind: %s\n", tmpdir, strerror(errno));
}

/* It is entered by the mapped root, another uid: hence not below the user's own directories. */
static int make_tmpdir(void)
{
	if (mkdtemp(tmpdir) && chmod(tmpdir, 0755) >= 0)
		return 0;
	fprintf(stderr, "bangerd: make a directory in /var/tmp: %s\n", strerror(errno));
	return -errno;
}

static int run(int argc, char **argv, const sigset_t *set)
{
	_cleanup_(words_done) struct words args = {0}, env = {0};
	int status;
	pid_t pid;

	if (make_args(argc, argv, &args) < 0 || make_env(&env) < 0)
		return complain(NULL);
	if (start(args.word, env.word, &pid) != 0)
		return 127;
	status = supervise(pid, set);
	end_leftovers(set);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int bootstrap_main(int argc, char **argv)
{
	sigset_t set;
	int code;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (argc < 3 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
		return 127;
	umask(022); /* the new system's files are made under it */
	if (chdir("/") < 0)
		return 127;
	if (make_tmpdir() < 0)
		return 127;
	code = run(argc, argv, &set);
	remove_tmpdir(&set);
	return code;
}
