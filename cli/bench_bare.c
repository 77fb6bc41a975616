/* SPDX-License-Identifier: ISC */
/* See bench_bare.h. */
#include "cli/bench_bare.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/launch.h"
#include "common/clock.h"
#include "common/fd.h"

enum { WORDS_MAX = 128, CMDLINE_MAX = 64 * 1024, CONFIG_MAX = 1 << 20, LOOK_MS = 200 };

struct bare {
	char *text;			 /* that the words point into */
	const char *argv[WORDS_MAX + 1]; /* ends with NULL */
	size_t n;
	char *append, *config_path; /* made anew; or NULL */
	int config; /* Firecracker's configuration, in memory; inherited. -1: none */
};

void bare_free(struct bare *b)
{
	if (!b)
		return;
	bg_close(b->config);
	free(b->append);
	free(b->config_path);
	free(b->text);
	free(b);
}

static int too_long(struct bg_err **err)
{
	return bg_err_set(err, BG_ERR_INTERNAL, E2BIG, "the VMM's command line is too long");
}

static int add(struct bare *b, const char *word, struct bg_err **err)
{
	if (b->n >= WORDS_MAX)
		return too_long(err);
	b->argv[b->n++] = word;
	return 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (bg_streq(word, *list))
			return true;
	return false;
}

/* text with what follows "panic=" as -1: at once. The caller's. */
static char *panic_at_once(const char *text)
{
	const char *at = strstr(text, "panic=");
	char *out = NULL;

	if (!at)
		return asprintf(&out, "%s panic=-1", text) < 0 ? NULL : out;
	return asprintf(&out, "%.*spanic=-1%s", (int)(at - text), text, at + strcspn(at, " ")) < 0
		       ? NULL
		       : out;
}

/* ---- QEMU ---- */

/* Each with its value: disks, network, sockets, the console, and what banger boots by. */
static const char *const qemu_left_out[] = {"-name", "-initrd", "-add-fd", "-chardev", "-serial",
	"-blockdev", "-device", "-netdev", "-mon", NULL};

static int of_qemu(struct bare *b, const char *const *words, size_t n, struct bg_err **err)
{
	static const char *const more[] = {"-no-reboot", "-serial", "null"};
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		if (is_one_of(words[i], qemu_left_out)) {
			i++;
			continue;
		}
		r = add(b, words[i], err);
		if (r < 0 || !bg_streq(words[i], "-append") || i + 1 >= n)
			continue;
		b->append = panic_at_once(words[++i]);
		r = b->append ? add(b, b->append, err)
			      : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < ARRAY_SIZE(more) && r >= 0; i++)
		r = add(b, more[i], err);
	return r;
}

/* ---- Firecracker ---- */

/* The VM's own configuration without what banger boots by; it panics at once already (FC_CMDLINE). */
static json_t *strip_config(const char *text)
{
	json_t *config = json_loads(text, 0, NULL), *boot = json_object_get(config, "boot-source");

	if (!json_is_object(boot)) {
		json_decref(config);
		return NULL;
	}
	json_object_del(boot, "initrd_path");
	json_object_set_new(config, "drives", json_array());
	json_object_del(config, "network-interfaces");
	json_object_del(config, "vsock");
	return config;
}

static int put_config(struct bare *b, const char *path, struct bg_err **err)
{
	_free_ char *text = NULL, *stripped = NULL;
	int r = bg_read_file_at(AT_FDCWD, path, CONFIG_MAX, &text, NULL);
	json_t *config;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", path);
	config = strip_config(text);
	stripped = config ? json_dumps(config, JSON_COMPACT) : NULL;
	json_decref(config);
	/* not CLOEXEC: the VMM reads it */
	b->config = stripped ? memfd_create("bench-bare", 0) : -1;
	if (b->config < 0 || bg_write_all(b->config, stripped, strlen(stripped)) < 0 ||
		asprintf(&b->config_path, "/proc/self/fd/%d", b->config) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, EPROTO,
			"%s is not a configuration of Firecracker", path);
	return 0;
}

static int of_firecracker(struct bare *b, const char *const *words, size_t n, struct bg_err **err)
{
	const char *path = NULL;
	int r;

	for (size_t i = 0; i + 1 < n; i++)
		if (bg_streq(words[i], "--config-file"))
			path = words[i + 1];
	if (!path)
		return bg_err_set(err, BG_ERR_INTERNAL, EPROTO, "Firecracker has no --config-file");
	r = put_config(b, path, err);
	/* One word, or an interpreter and its script. */
	for (size_t i = 0; i < n && words[i][0] != '-' && r >= 0; i++)
		r = add(b, words[i], err);
	if (r >= 0)
		r = add(b, "--no-api", err);
	if (r >= 0)
		r = add(b, "--config-file", err);
	return r < 0 ? r : add(b, b->config_path, err);
}

/* ---- both ---- */

static int read_words(
	int64_t pid, struct bare *b, const char **words, size_t *n, struct bg_err **err)
{
	char path[64];
	size_t len = 0;
	int r;

	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	r = bg_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &b->text, &len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", path);
	*n = 0;
	for (char *p = b->text; p < b->text + len; p += strlen(p) + 1) {
		if (*n >= WORDS_MAX)
			return too_long(err);
		words[(*n)++] = p;
	}
	return *n ? 0 : bg_err_set(err, BG_ERR_IO, ESRCH, "%s is empty: the VMM has ended", path);
}

int bare_new(const char *vmm, int64_t pid, struct bare **ret, struct bg_err **err)
{
	_unref_(bare) struct bare *b = calloc(1, sizeof(*b));
	const char *words[WORDS_MAX];
	size_t n = 0;
	int r;

	if (!b)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	b->config = -1;
	r = read_words(pid, b, words, &n, err);
	if (r < 0)
		return r;
	if (bg_streq(vmm, "qemu"))
		r = of_qemu(b, words, n, err);
	else if (bg_streq(vmm, "firecracker"))
		r = of_firecracker(b, words, n, err);
	else
		r = bg_err_set(err, BG_ERR_INTERNAL, ENOTSUP, "no bare start of %s is known", vmm);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(b);
	return 0;
}

_noreturn_ static void exec_bare(const struct bare *b)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_IGN); /* the terminal's Ctrl-C is for bench, which ends us */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (int fd = 0; fd <= 2; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			_exit(127);
	execv(b->argv[0], (char *const *)b->argv);
	_exit(127);
}

static bool interrupted(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGINT) == 1;
}

/* 0: it ended by itself. */
static int wait_for(pid_t pid, uint64_t end, struct bg_err **err)
{
	_close_ int fd = launch_pidfd(pid);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "watch the bare VMM");
	while (poll(&pfd, 1, LOOK_MS) <= 0) {
		if (interrupted())
			return -EINTR;
		if (bg_now_ms() > end)
			return bg_err_set(err, BG_ERR_TIMEOUT, ETIMEDOUT,
				"the bare VMM did not end within %d s", BARE_DEADLINE_S);
	}
	return 0;
}

int bare_run(const struct bare *b, uint64_t *ms, struct bg_err **err)
{
	uint64_t began = bg_now_ms();
	int status = 0, r;
	pid_t pid = fork();

	if (pid == 0)
		exec_bare(b);
	if (pid < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "fork");
	r = wait_for(pid, began + BARE_DEADLINE_S * 1000ULL, err);
	*ms = bg_now_ms() - began;
	if (r < 0)
		(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	if (r < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return r;
	return bg_err_set(err, BG_ERR_VMM_DIED, EIO, "the bare %s ended with %s %d", b->argv[0],
		WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}
