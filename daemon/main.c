/* SPDX-License-Identifier: ISC */
/*
 * bangerd [--foreground] [--ready-fd N]: the user's daemon. One executable, four ways in:
 *   monitor    as started: takes lock, socket and log, then supervises (monitor.h)
 *   --engine   by the monitor: seals itself, then serves (engine.h); its descriptors are
 * ENGINE_FD_*
 *   --bootstrap by the monitor: one mmdebstrap (bootstrap.h)
 *   neither --foreground nor --ready-fd: goes to the background first, and waits until it serves
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/boot.h"
#include "daemon/bootstrap.h"
#include "daemon/claim.h"
#include "daemon/engine.h"
#include "daemon/monitor.h"
#include "daemon/monitor_client.h"
#include "daemon/priv/priv_client.h"
#include "daemon/sandbox.h"
#include "daemon/service.h"

struct options {
	bool foreground;
	int ready_fd;
};

static int usage(const char *what)
{
	fprintf(stderr, "bangerd: %s\nusage: bangerd [--foreground] [--ready-fd N] | --version\n",
		what);
	return BG_EXIT_USAGE;
}

static int parse_fd(const char *text, int *ret)
{
	char *end;
	long n = text ? strtol(text, &end, 10) : -1;

	if (n <= STDERR_FILENO || n > 1 << 20 || *end || bg_set_cloexec((int)n, true) < 0)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++) {
		if (bg_streq(argv[i], "--foreground"))
			o->foreground = true;
		else if (bg_streq(argv[i], "--ready-fd") &&
			 parse_fd(argv[i + 1], &o->ready_fd) >= 0)
			i++;
		else
			return usage(argv[i]);
	}
	return BG_EXIT_OK;
}

static int refuse_root(struct bg_err **err)
{
	if (getuid() != 0 && geteuid() != 0)
		return 0;
	return bg_err_set(err, BG_ERR_ROOT, EPERM, "bangerd does not run as root");
}

/* What the monitor holds. */
struct held {
	int lock, claim, sock;
	struct bound_socket bound;
};

/* Under a service manager clients wait at its socket already: first of all, so that they hear what goes wrong. */
static int prepare(struct bg_paths *paths, struct held *h, struct bg_err **err)
{
	int r;

	r = refuse_root(err);
	if (r >= 0 && chdir("/") < 0)
		r = bg_err_sys(err, BG_ERR_IO, errno, "enter /");
	if (r >= 0)
		r = bg_paths_init(paths, err);
	if (r >= 0)
		h->sock = service_listen(paths, &h->bound);
	if (r >= 0)
		r = bg_paths_create(paths, err);
	if (r >= 0)
		r = boot_lock(paths, &h->lock, err);
	if (r >= 0)
		r = boot_log(paths, err);
	if (r >= 0)
		r = claim_take(paths, &h->claim, err);
	if (r >= 0 && h->sock < 0)
		r = boot_listen(paths, &h->sock, &h->bound, err);
	if (r >= 0)
		r = sandbox_hide(err);
	return r;
}

static int not_prepared(
	const struct bg_paths *paths, struct held *h, int ready_fd, const struct bg_err *err)
{
	_free_ char *text = boot_error_text(err);

	if (h->lock >= 0 && text) /* else it is another daemon's folder */
		boot_note(paths, text);
	if (h->sock >= 0 && text)
		boot_refuse(h->sock, bg_err_code_http(err->code), text);
	boot_failed(&ready_fd, err);
	bg_close(h->sock);
	bg_close(h->claim);
	bg_close(h->lock);
	return (int)bg_err_code_exit(err->code);
}

static int run_monitor(int argc, char **argv, const struct options *o)
{
	_cleanup_(bg_paths_done) struct bg_paths paths = {0};
	_err_ struct bg_err *err = NULL;
	struct held h = {.lock = -1, .claim = -1, .sock = -1};

	umask(077);
	boot_signals();
	service_init(o->foreground);
	if (prepare(&paths, &h, &err) < 0)
		return not_prepared(&paths, &h, o->ready_fd, err);
	boot_title(argc, argv, "bangerd: monitor", "bangerd-monitor");
	return monitor_run(&paths, &(struct monitor_fds){.lock = h.lock,
					   .claim = h.claim,
					   .listen = h.sock,
					   .ready = o->ready_fd,
					   .bound = h.bound});
}

static int seal(const struct bg_paths *paths, const struct config *config, struct bg_err **err)
{
	int r = log_open_pipe(ENGINE_FD_LOG, paths->log_file);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "open the log");
	log_set_level(config->log_level);
	r = sandbox_drop(err);
	if (r >= 0 && config->debug != CONFIG_DEBUG_DUMPABLE)
		r = sandbox_hide(err);
	if (r >= 0)
		r = sandbox_seal(err);
	return r;
}

static int open_fd(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

static int run_engine(struct engine_boot *boot, struct bg_err **err)
{
	_cleanup_(bg_paths_done) struct bg_paths paths = {0};
	_unref_(config) struct config *config = NULL;
	int r;

	r = sandbox_inherit(err);
	if (r >= 0)
		r = refuse_root(err);
	if (r >= 0)
		r = bg_paths_init(&paths, err);
	if (r >= 0)
		r = config_load(paths.config_file, &config, err);
	if (r >= 0)
		r = seal(&paths, config, err);
	if (r < 0)
		return r;
	boot->paths = &paths;
	boot->config = config;
	return engine_run(boot, err);
}

static int engine_main(int argc, char **argv)
{
	struct engine_boot boot = {.listen_fd = open_fd(ENGINE_FD_LISTEN),
		.monitor_sock = open_fd(ENGINE_FD_MONITOR),
		.helper_sock = open_fd(ENGINE_FD_HELPER),
		.disk_sock = open_fd(ENGINE_FD_DISK),
		.worker_log = open_fd(ENGINE_FD_WORKER_LOG),
		.monitor_pid = getppid(),
		.helper_path = priv_helper_path()};
	_err_ struct bg_err *err = NULL;
	int monitor = boot.monitor_sock, none = -1;

	if (boot.listen_fd < 0 || boot.monitor_sock < 0 || boot.worker_log < 0 ||
		open_fd(ENGINE_FD_LOG) < 0)
		return usage("--engine is for bangerd itself");
	boot_signals();
	boot_title(argc, argv, "bangerd: engine", "bangerd-engine");
	umask(077);
	if (run_engine(&boot, &err) >= 0)
		return ENGINE_EXIT_OK;
	log_err(LOG_ERROR, "engine", "cannot start", err);
	monitor_say_failed(monitor, err);
	boot_failed(&none, err);
	return BG_MIN(
		ENGINE_EXIT_START + (int)bg_err_code_exit(err->code), (int)ENGINE_EXIT_START_MAX);
}

/* The parent's half of going to the background: shows what the child said on its ready fd. */
static int wait_ready(int fd)
{
	_err_ struct bg_err *err = NULL;
	_free_ char *text = NULL;
	_json_ json_t *j = NULL;
	int none = -1;

	if (bg_read_fd(fd, 65536, &text, NULL) >= 0 && bg_streq(text, "ok\n"))
		return BG_EXIT_OK;
	j = text ? json_loads(text, 0, NULL) : NULL;
	bg_err_from_json(json_object_get(j, "error"), &err);
	boot_failed(&none, err);
	return (int)bg_err_code_exit(err->code);
}

static int run_background(int argc, char **argv)
{
	_close_ int ours = -1;
	int pair[2], null;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "bangerd: %s\n", strerror(errno));
		return BG_EXIT_DAEMON;
	}
	if (pid > 0) {
		ours = pair[0];
		bg_close(pair[1]);
		return wait_ready(ours);
	}
	bg_close(pair[0]);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(BG_EXIT_DAEMON);
	bg_close(null);
	return run_monitor(argc, argv, &(struct options){.ready_fd = pair[1]});
}

int main(int argc, char **argv)
{
	struct options o = {.ready_fd = -1};
	int code;

	if (bg_std_fds() < 0)
		return BG_EXIT_DAEMON;
	if (argc == 2 && bg_streq(argv[1], "--version")) {
		printf("bangerd %s\n", BG_VERSION);
		return BG_EXIT_OK;
	}
	if (argc == 2 && bg_streq(argv[1], "--engine"))
		return engine_main(argc, argv);
	if (argc >= 5 && bg_streq(argv[1], "--bootstrap"))
		return bootstrap_main(argc - 2, argv + 2);
	code = parse(argc, argv, &o);
	if (code != BG_EXIT_OK)
		return code;
	if (o.foreground || o.ready_fd >= 0)
		return run_monitor(argc, argv, &o);
	return run_background(argc, argv);
}
