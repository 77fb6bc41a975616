/* SPDX-License-Identifier: ISC */
/* See cmd_unit.h. */
#include "cli/cmd_unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "cli/cmd_daemon.h"
#include "cli/daemon_proc.h"
#include "cli/jobs.h"
#include "cli/launch.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/notify.h"
#include "common/proc.h"

#define TAG "banger-" /* of a VMM's -name or --id: daemon/driver/vmm_impl.h */

enum { END_S = 95, /* the engine's own bound is 80 s */ CMDLINE_MAX = 64 * 1024 };

/* ---- __session-end ---- */

static bool has_folder(const struct cli *cli, const char *id)
{
	_free_ char *path = NULL;
	struct stat st;

	return strlen(id) == BG_ID_LEN && !strchr(id, '/') &&
	       asprintf(&path, "%s/vms/%s", cli->paths.state_dir, id) >= 0 &&
	       stat(path, &st) >= 0 && S_ISDIR(st.st_mode);
}

/* Is it the VMM of a VM of ours? By an argument that names one. */
static int is_vmm(pid_t pid, void *userdata)
{
	const struct cli *cli = userdata;
	_free_ char *text = NULL;
	size_t len = 0;

	if (!bg_proc_is_ours(pid) || bg_proc_read(pid, "cmdline", CMDLINE_MAX, &text, &len) < 0)
		return 0;
	for (const char *p = text; p < text + len; p += strlen(p) + 1)
		if (strncmp(p, TAG, strlen(TAG)) == 0 && has_folder(cli, p + strlen(TAG)))
			return 1;
	return 0;
}

/* Not over the service manager's socket: it starts nothing any more. */
static int launch_for_the_end(struct cli *cli, bool *ret, struct bg_err **err)
{
	*ret = daemon_proc_pid(cli) > 0;
	if (*ret || bg_proc_each(is_vmm, cli) <= 0)
		return 0;
	*ret = true;
	return launch_alone(cli, err);
}

int session_end(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *body = json_pack("{s:b}", "session_end", true), *d = NULL;
	_close_ int monitor = -1;
	bool there;
	int r;

	(void)args;
	r = launch_for_the_end(cli, &there, err);
	if (r < 0 || !there)
		return r;
	monitor = launch_pidfd(daemon_proc_pid(cli));
	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STOP, NULL, body, &d, err);
	if (r >= 0 && monitor >= 0)
		r = launch_wait_gone(monitor, END_S, err);
	return r < 0 ? r : BG_EXIT_OK;
}

/* ---- __vm-unit ---- */

static void say_nothing(struct cli *cli, const struct job *job)
{
	(void)cli;
	(void)job;
}

static int start_vm(struct cli *cli, const char *name, enum route route)
{
	return job_run_one(
		cli, route == ROUTE_VM_START ? "start" : "stop", name, route, NULL, say_nothing);
}

/* Is the VM up, after all that is known? *failed: its end was nobody's wish. */
static int look(struct cli *cli, const char *name, bool *up, bool *failed, struct bg_err **err)
{
	_json_ json_t *vm = NULL;
	const char *state;
	int r = client_call(cli, CLIENT_START, ROUTE_VM_SHOW, name, NULL, &vm, err);

	if (r < 0)
		return r;
	state = render_text(vm, "state");
	*up = !bg_streq(state, "stopped") && !bg_streq(state, "deleting");
	*failed = json_is_object(json_object_get(vm, "error"));
	return 0;
}

/* Until something changed or a signal came: true for the latter. An end of the stream is a change too. */
static bool wait_change(struct bg_http *h, int signals)
{
	struct pollfd p[] = {
		{.fd = bg_http_fd(h), .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	while (poll(p, ARRAY_SIZE(p), -1) < 0 && errno == EINTR)
		;
	return p[1].revents != 0;
}

/* What came is not read but asked for anew: which of the events it was does not matter. false: another stream is needed. */
static bool drain(struct bg_http *h)
{
	const char *data;
	size_t len;

	if (bg_http_pump(h, NULL) < 0)
		return false;
	bg_http_take_raw(h, &data, &len);
	return !bg_http_ended(h);
}

/* Follows the events of one daemon: 1 when a signal came, 0 when the VM is down or the daemon ended. */
static int follow(
	struct cli *cli, const char *name, int signals, bool *up, bool *failed, struct bg_err **err)
{
	_unref_(bg_http) struct bg_http *h = NULL;
	int r = client_stream(cli, ROUTE_EVENTS, NULL, NULL, &h, err);

	if (r >= 0)
		r = look(cli, name, up, failed, err);
	while (r >= 0 && *up) {
		if (wait_change(h, signals))
			return 1;
		if (!drain(h))
			return 0;
		r = look(cli, name, up, failed, err);
	}
	return r;
}

static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int vm_unit(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args->positional[0];
	_close_ int signals = -1;
	bool up = true, failed = false;
	int r = start_vm(cli, name, ROUTE_VM_START);

	if (r != BG_EXIT_OK)
		return r;
	signals = catch_signals();
	(void)bg_notify(getenv("NOTIFY_SOCKET"), "READY=1\nSTATUS=the VM is ready");
	while (up && (r = follow(cli, name, signals, &up, &failed, err)) == 0)
		;
	if (r < 0)
		return r;
	if (r == 0)
		return failed ? BG_EXIT_FAILED : BG_EXIT_OK;
	(void)bg_notify(getenv("NOTIFY_SOCKET"), "STOPPING=1");
	return start_vm(cli, name, ROUTE_VM_STOP);
}
