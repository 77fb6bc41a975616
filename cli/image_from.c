/* SPDX-License-Identifier: ISC */
/* See image_from.h. A list of steps; each is one command in the guest. */
#include "cli/image_from.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cli/jobs.h"
#include "cli/session.h"
#include "common/error_line.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/limits.h"

enum { STEP_ARGS_MAX = 520 };

/* Any distribution's package manager; "$@" are the packages. */
#define INSTALL                                                                                    \
	"export DEBIAN_FRONTEND=noninteractive\n"                                                  \
	"if command -v apt-get >/dev/null; then\n"                                                 \
	"	apt-get -q update && apt-get -qy --no-install-recommends install \"$@\"\n"               \
	"elif command -v apk >/dev/null; then apk add --no-cache \"$@\"\n"                         \
	"elif command -v dnf >/dev/null; then dnf -y install \"$@\"\n"                             \
	"elif command -v microdnf >/dev/null; then microdnf -y install \"$@\"\n"                   \
	"elif command -v pacman >/dev/null; then pacman -Sy --noconfirm --needed \"$@\"\n"         \
	"elif command -v zypper >/dev/null; then zypper --non-interactive install \"$@\"\n"        \
	"else echo 'no package manager here that banger knows' >&2; exit 1\n"                      \
	"fi\n"

/* Docker as the distribution has it, with compose; it starts with the guest. */
#define DOCKER                                                                                     \
	"if command -v apt-get >/dev/null; then set -- docker.io docker-compose iptables "         \
	"apparmor "                                                                                \
	"apparmor\n"                                                                               \
	"elif command -v apk >/dev/null; then set -- docker docker-cli-compose\n"                  \
	"elif command -v dnf >/dev/null; then set -- moby-engine docker-compose\n"                 \
	"else set -- docker docker-compose\n"                                                      \
	"fi\n" INSTALL "[ $? -eq 0 ] || exit 1\n"                                                  \
	"if command -v systemctl >/dev/null; then systemctl enable docker\n"                       \
	"elif command -v rc-update >/dev/null; then rc-update add docker default\n"                \
	"fi\n"

#define SCRIPT "/var/tmp/banger-build-script"

/* What belongs to this VM or to nobody; the next VM writes its own identity. */
#define CLEAN                                                                                      \
	"command -v apt-get >/dev/null && apt-get clean\n"                                         \
	"rm -rf /var/lib/apt/lists/* /var/cache/apk/* /var/cache/dnf/* "                           \
	"/var/cache/pacman/pkg/* " SCRIPT "\n"                                                     \
	"rm -f /etc/ssh/ssh_host_* /root/.ssh/authorized_keys\n"                                   \
	"rmdir /root/.ssh 2>/dev/null\n"                                                           \
	"sync; fstrim / 2>/dev/null; fstrim /root 2>/dev/null; true\n"

struct build {
	struct cli *cli;
	const struct image_from *from;
	char vm[BG_NAME_MAX + 1];
	char *log; /* path */
	int out;   /* a pipe to the child that writes the log and stderr */
	pid_t tee;
};

static void quiet(struct cli *cli, const struct job *job)
{
	(void)cli;
	(void)job;
}

/* One operation; what --json prints in the end is the image alone. */
static int run_op(struct build *b, const char *verb, const char *name, enum route route,
	json_t *body, job_report *report, bool json)
{
	bool was = b->cli->json;
	int status;

	b->cli->json = was && json;
	status = job_run_one(b->cli, verb, name, route, body, report);
	b->cli->json = was;
	return status;
}

static _noreturn_ void tee_main(int in, int log)
{
	char buf[16 * 1024];
	ssize_t n;

	(void)signal(SIGINT, SIG_IGN);
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		(void)bg_write_all(log, buf, (size_t)n);
		(void)bg_write_all(STDERR_FILENO, buf, (size_t)n);
	}
	_exit(0);
}

static int open_log(struct build *b, struct bg_err **err)
{
	_close_ int log = -1;
	int fds[2];

	if (asprintf(&b->log, "%s/image-build-%s.log", b->cli->paths.state_dir, b->from->name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	log = open(b->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "write %s", b->log);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "pipe");
	b->tee = fork();
	if (b->tee == 0) {
		(void)close(fds[1]);
		tee_main(fds[0], log);
	}
	(void)close(fds[0]);
	b->out = fds[1];
	return b->tee < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "fork") : 0;
}

/* All that was printed is in it. */
static void end_log(struct build *b)
{
	b->out = bg_close(b->out);
	while (b->tee > 0 && waitpid(b->tee, NULL, 0) < 0 && errno == EINTR)
		;
	b->tee = -1;
}

static void close_log(struct build *b)
{
	end_log(b);
	free(b->log);
}

/* With the package manager's own reason, when it printed one. */
static int step_error(struct build *b, const char *what, int status, struct bg_err **err)
{
	_free_ char *line = NULL;
	int r;

	end_log(b);
	line = bg_error_line(b->log);
	r = bg_err_set(err, BG_ERR_IMAGE_BUILD, EIO,
		"%s failed with status %d in the VM made of image \"%s\"%s%s", what, status,
		b->from->base, line ? ": " : "", line ? line : "");
	bg_err_hint(err, "read what it printed: %s", b->log);
	return r;
}

/* What the command prints goes to the log; in may be -1. */
static int run_in_guest(
	struct build *b, const char *what, const char *const argv[], int in, struct bg_err **err)
{
	const struct session session = {
		.vm = b->vm, .argv = argv, .signals = true, .in = in, .out = b->out, .err = b->out};
	int status = 0;
	int r = session_run(b->cli, &session, &status, err);

	return r < 0 || status == 0 ? r : step_error(b, what, status, err);
}

static int step_packages(struct build *b, struct bg_err **err)
{
	const char *argv[STEP_ARGS_MAX + 5] = {"sh", "-c", INSTALL, "sh"};
	size_t n = json_array_size(b->from->packages);

	if (n == 0)
		return 0;
	if (n > STEP_ARGS_MAX)
		return bg_err_set(err, BG_ERR_USAGE, E2BIG, "%zu packages: %d are the most", n,
			STEP_ARGS_MAX);
	for (size_t i = 0; i < n; i++)
		argv[4 + i] = json_string_value(json_array_get(b->from->packages, i));
	return run_in_guest(b, "installing packages", argv, -1, err);
}

static int step_docker(struct build *b, struct bg_err **err)
{
	const char *const argv[] = {"sh", "-c", DOCKER, NULL};

	return b->from->docker ? run_in_guest(b, "installing docker", argv, -1, err) : 0;
}

/* As a file, so that it has a standard input and may begin with #!. */
static int step_script(struct build *b, struct bg_err **err)
{
	const char *const put[] = {
		"sh", "-c", "umask 077; cat >" SCRIPT " && chmod 700 " SCRIPT, NULL};
	const char *const run[] = {"sh", "-c",
		"head -c2 " SCRIPT " | grep -q '#!' && exec " SCRIPT "; exec sh -e " SCRIPT, NULL};
	_close_ int fd = -1;
	int r;

	if (!b->from->script)
		return 0;
	fd = open(b->from->script, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_USAGE, errno, "--script: %s", b->from->script);
	r = run_in_guest(b, "sending the script", put, fd, err);
	return r < 0 ? r : run_in_guest(b, b->from->script, run, -1, err);
}

static int step_clean(struct build *b, struct bg_err **err)
{
	const char *const argv[] = {"sh", "-c", CLEAN, NULL};

	return run_in_guest(b, "cleaning up", argv, -1, err);
}

static int run_steps(struct build *b, struct bg_err **err)
{
	static int (*const steps[])(struct build *, struct bg_err **) = {
		step_packages, step_docker, step_script, step_clean};
	int r = open_log(b, err);

	for (size_t i = 0; i < ARRAY_SIZE(steps) && r >= 0; i++)
		r = steps[i](b, err);
	close_log(b);
	return r;
}

static json_t *create_body(const struct build *b)
{
	const struct image_from *from = b->from;
	json_t *body = json_pack("{s:s, s:s, s:b, s:b}", "name", b->vm, "image", from->base, "nat",
		true, "own_disk", true);

	if (from->kernel)
		json_object_set_new(body, "kernel", bg_json_str(from->kernel));
	if (from->size_mib)
		json_object_set_new(body, "disk_mib", json_integer((json_int_t)from->size_mib));
	return body;
}

static int make_image(struct build *b, struct bg_err **err)
{
	int status = run_op(b, "create", b->vm, ROUTE_VM_CREATE, create_body(b), quiet, false);
	int r;

	if (status != BG_EXIT_OK)
		return status;
	r = run_steps(b, err);
	if (r < 0)
		return r;
	status = run_op(b, "stop", b->vm, ROUTE_VM_STOP, NULL, quiet, false);
	if (status != BG_EXIT_OK)
		return status;
	return run_op(b, "build image", b->from->name, ROUTE_IMAGE_COMMIT,
		json_pack("{s:s, s:s}", "name", b->from->name, "vm", b->vm), image_report_made,
		true);
}

static bool is_there(struct cli *cli, enum route route, const char *name)
{
	_err_ struct bg_err *err = NULL;
	_json_ json_t *record = NULL;

	return client_call(cli, CLIENT_START, route, name, NULL, &record, &err) >= 0;
}

/* Before any work: names that are taken, a base that is not there, a script that cannot be read. */
static int check(struct build *b, struct bg_err **err)
{
	const struct image_from *from = b->from;
	_json_ json_t *image = NULL;
	int r;

	if (from->script && access(from->script, R_OK) < 0)
		return bg_err_sys(err, BG_ERR_USAGE, errno, "--script: %s", from->script);
	if (snprintf(b->vm, sizeof(b->vm), "build-%s", from->name) >= (int)sizeof(b->vm))
		return bg_err_set(err, BG_ERR_USAGE, ENAMETOOLONG,
			"\"%s\" is too long a name here: %d characters at most", from->name,
			BG_NAME_MAX - 6);
	r = client_call(b->cli, CLIENT_START, ROUTE_IMAGE_SHOW, from->base, NULL, &image, err);
	if (r < 0)
		return r;
	if (is_there(b->cli, ROUTE_IMAGE_SHOW, from->name))
		return bg_err_set(err, BG_ERR_IMAGE_NAME_TAKEN, EEXIST,
			"there is an image \"%s\" already", from->name);
	if (!is_there(b->cli, ROUTE_VM_SHOW, b->vm))
		return 0;
	r = bg_err_set(err, BG_ERR_VM_NAME_TAKEN, EEXIST,
		"VM \"%s\", in which the image would be made, is there already", b->vm);
	bg_err_hint(err, "when an earlier build left it: `banger vm delete %s`", b->vm);
	return r;
}

int image_build_from(struct cli *cli, const struct image_from *from, struct bg_err **err)
{
	struct build b = {.cli = cli, .from = from, .out = -1, .tee = -1};
	int r = check(&b, err);

	if (r < 0)
		return r;
	r = make_image(&b, err);
	if (is_there(cli, ROUTE_VM_SHOW, b.vm))
		(void)run_op(&b, "delete", b.vm, ROUTE_VM_DELETE, NULL, quiet, false);
	return r;
}
