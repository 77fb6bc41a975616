/* SPDX-License-Identifier: ISC */
/* cmd_host.c: the commands about this machine: the daemon, version, help; and rows of others. */
#include "cli/client.h"
#include "cli/cmd_complete.h"
#include "cli/cmd_ssh_config.h"
#include "cli/doctor.h"
#include "cli/help.h"
#include "cli/launch.h"
#include "common/json.h"
#include "common/size.h"

enum { STOP_TIMEOUT_S = 30 };

/* error is an error object or a text. */
static void show_error(const struct term *t, const char *label, const json_t *error)
{
	const char *message = render_text(error, "message");

	render_field(t, label, STYLE_RED, "%s",
		json_is_string(error) ? json_string_value(error) : message);
	render_field(t, "", STYLE_PLAIN, "%s", render_text(error, "hint"));
}

static void show_vmm(const struct term *t, const json_t *vmm)
{
	const json_t *error = json_object_get(vmm, "error");
	const char *reason = render_text(vmm, "reason");

	if (*render_text(vmm, "name"))
		render_field(t, "vmm", STYLE_PLAIN, "%s %s, %s%s%s%s", render_text(vmm, "name"),
			render_text(vmm, "version"), render_text(vmm, "accel"), *reason ? " (" : "",
			reason, *reason ? ")" : "");
	else if (json_is_object(error))
		show_error(t, "vmm", error);
	else
		render_field(t, "vmm", STYLE_YELLOW, "%s", *reason ? reason : "not known yet");
}

/* "copy (why)", also when the reason opens with the driver's own name. */
static void show_storage(const struct term *t, const json_t *storage)
{
	const char *driver = render_text(storage, "driver"),
		   *reason = render_text(storage, "reason");
	size_t len = strlen(driver);

	if (len && strncmp(reason, driver, len) == 0 && strncmp(reason + len, ": ", 2) == 0)
		reason += len + 2;
	render_field(t, "storage", STYLE_PLAIN, "%s%s%s%s", driver, *reason ? " (" : "", reason,
		*reason ? ")" : "");
}

static void show_parts(const struct term *t, const json_t *d)
{
	const json_t *helper = json_object_get(d, "helper"), *dns = json_object_get(d, "dns"),
		     *taps = json_object_get(d, "taps");
	bool ok = false;

	(void)bg_json_get_bool(helper, "ok", &ok);
	show_vmm(t, json_object_get(d, "vmm"));
	show_storage(t, json_object_get(d, "storage"));
	if (ok)
		render_field(t, "helper", STYLE_PLAIN, "%s", render_text(helper, "path"));
	else
		show_error(t, "helper", json_object_get(helper, "error"));
	if (render_int(taps, "size"))
		render_field(t, "taps", STYLE_PLAIN, "%lld of %lld ready",
			(long long)render_int(taps, "ready"), (long long)render_int(taps, "size"));
	if (*render_text(dns, "address"))
		render_field(t, "names", STYLE_PLAIN, "NAME.vm, answered at %s",
			render_text(dns, "address"));
	else if (ok && json_is_object(json_object_get(dns, "error")))
		show_error(t, "names", json_object_get(dns, "error"));
}

static void show_running(const struct term *t, const json_t *d)
{
	const json_t *vms = json_object_get(d, "vms");
	const char *started = render_text(d, "started_at");
	int64_t seconds = *started ? render_seconds_since(started) : -1;
	char up[DURATION_TEXT] = "", rss[BG_SIZE_TEXT];

	if (seconds >= 0)
		render_age(seconds, up);
	render_field(t, "daemon", STYLE_GREEN, "running%s%s", *up && seconds ? " for " : "",
		seconds ? up : "");
	render_field(t, "version", STYLE_PLAIN, "%s%s%s", render_text(d, "version"),
		bg_streq(render_text(d, "version"), BG_VERSION) ? "" : "; this is banger ",
		bg_streq(render_text(d, "version"), BG_VERSION) ? "" : BG_VERSION);
	render_field(t, "pid", STYLE_PLAIN, "%lld, monitor %lld", (long long)render_int(d, "pid"),
		(long long)render_int(d, "monitor_pid"));
	if (render_int(d, "rss_kib"))
		render_field(t, "memory", STYLE_PLAIN, "%s",
			bg_size_print((uint64_t)render_int(d, "rss_kib") * KIB, rss));
	render_field(t, "vms", STYLE_PLAIN, "%lld, %lld running",
		(long long)render_int(vms, "total"), (long long)render_int(vms, "running"));
	show_parts(t, d);
	render_field(t, "socket", STYLE_PLAIN, "%s", render_text(d, "socket"));
	render_field(t, "log", STYLE_PLAIN, "%s", render_text(d, "log"));
	render_field(t, "config", STYLE_PLAIN, "%s", render_text(d, "config"));
	render_field(t, "state", STYLE_PLAIN, "%s", render_text(d, "state_dir"));
	render_field(t, "cache", STYLE_PLAIN, "%s", render_text(d, "cache_dir"));
}

/* Says where to look even when there is nobody to ask. */
static int show_absent(struct cli *cli)
{
	const struct term *t = &cli->out;
	const struct bg_paths *p = &cli->paths;

	if (cli->json) {
		_json_ json_t *record = json_pack("{s:n, s:s, s:s, s:s}", "pid", "socket",
			p->socket, "log", p->log_file, "config", p->config_file);

		render_json(t, record);
		return BG_EXIT_DAEMON;
	}
	render_field(
		t, "daemon", STYLE_YELLOW, "not running; the next command that needs it starts it");
	render_field(t, "socket", STYLE_PLAIN, "%s", p->socket);
	render_field(t, "log", STYLE_PLAIN, "%s", p->log_file);
	render_field(t, "config", STYLE_PLAIN, "%s", p->config_file);
	return BG_EXIT_DAEMON;
}

static bool absent(const struct bg_err *err)
{
	return err && err->code == BG_ERR_DAEMON_UNREACHABLE &&
	       (err->errnum == ENOENT || err->errnum == ECONNREFUSED);
}

static int daemon_status(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	_err_ struct bg_err *e = NULL;
	int r;

	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, &e);
	if (r < 0 && absent(e))
		return show_absent(cli);
	if (r < 0) {
		*err = TAKE_PTR(e);
		return r;
	}
	if (cli->json)
		render_json(&cli->out, d);
	else
		show_running(&cli->out, d);
	return BG_EXIT_OK;
}

static int daemon_socket(struct cli *cli, const struct args *args, struct bg_err **err)
{
	fprintf(cli->out.file, "%s\n", cli->paths.socket);
	return BG_EXIT_OK;
}

static int daemon_start(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	int r;

	r = client_call(cli, CLIENT_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, d);
	else
		fprintf(cli->out.file, "the daemon runs, pid %lld\n",
			(long long)render_int(d, "pid"));
	return BG_EXIT_OK;
}

/* The monitor ends last: its end is the daemon's. */
static int open_monitor(const json_t *d)
{
	int64_t pid = render_int(d, "monitor_pid");

	return launch_pidfd(pid ? pid : render_int(d, "pid"));
}

static int stop_and_wait(struct cli *cli, int pidfd, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	_err_ struct bg_err *e = NULL;
	int r;

	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STOP, NULL, NULL, &d, &e);
	/* It may be gone before its answer is out: then its end is what counts. */
	if (r < 0 && e->code != BG_ERR_DAEMON_UNREACHABLE) {
		*err = TAKE_PTR(e);
		return r;
	}
	if (pidfd >= 0)
		return launch_wait_gone(pidfd, STOP_TIMEOUT_S, err);
	/* -ESRCH: it was gone before we looked. */
	return pidfd == -ESRCH ? 0 : bg_err_sys(err, BG_ERR_IO, -pidfd, "watch the daemon end");
}

static int daemon_stop(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_json_ json_t *d = NULL;
	_err_ struct bg_err *e = NULL;
	long long running;
	int pidfd, r;

	r = client_call(cli, CLIENT_NO_START, ROUTE_DAEMON_STATUS, NULL, NULL, &d, &e);
	if (r < 0 && absent(e)) {
		fprintf(cli->out.file, "the daemon is not running\n");
		return BG_EXIT_OK;
	}
	if (r < 0) {
		*err = TAKE_PTR(e);
		return r;
	}
	running = (long long)render_int(json_object_get(d, "vms"), "running");
	pidfd = open_monitor(d);
	r = stop_and_wait(cli, pidfd, err);
	bg_close(pidfd);
	if (r < 0)
		return r;
	if (running)
		fprintf(cli->out.file, "the daemon stopped; %lld VM%s on\n", running,
			running == 1 ? " runs" : "s run");
	else
		fprintf(cli->out.file, "the daemon stopped\n");
	return BG_EXIT_OK;
}

static int version(struct cli *cli, const struct args *args, struct bg_err **err)
{
	if (cli->json) {
		_json_ json_t *record = json_pack("{s:s}", "version", BG_VERSION);

		render_json(&cli->out, record);
	} else {
		fprintf(cli->out.file, "banger %s\n", BG_VERSION);
	}
	return BG_EXIT_OK;
}

static int help(struct cli *cli, const struct args *args, struct bg_err **err)
{
	int used = 0, count = (int)args->count;
	const struct command *c = NULL;

	if (count == 0) {
		help_all(&cli->out);
		return BG_EXIT_OK;
	}
	c = args_find(cli_commands, count, (char **)args->positional, &used);
	if (c && used == count) {
		help_command(&cli->out, c);
		return BG_EXIT_OK;
	}
	if (count == 1 && help_group(&cli->out, args->positional[0]))
		return BG_EXIT_OK;
	return args_unknown(cli_commands, count, (char **)args->positional, err);
}

static const struct flag no_flags[] = {FLAG_END};
static const struct flag ssh_config_flags[] = {
	{"--install", NULL, ARG_NONE, "make it work for you"},
	{"--uninstall", NULL, ARG_NONE, "take it out again"},
	FLAG_END,
};
static const struct flag print_flags[] = {FLAG_JSON, FLAG_END};

const struct command host_commands[] = {
	{.path = "daemon status",
		.flags = print_flags,
		.usage = "",
		.summary = "tell whether the daemon runs, and where its files are",
		.details = "Does not start it. The exit status is 7 when it is not running.",
		.example = "banger daemon status",
		.run = daemon_status},
	{.path = "daemon socket",
		.flags = no_flags,
		.usage = "",
		.summary = "print the path of the API's socket",
		.example = "curl --unix-socket \"$(banger daemon socket)\" http://banger/v1/vms",
		.run = daemon_socket},
	{.path = "daemon start",
		.flags = print_flags,
		.usage = "",
		.summary = "start the daemon; other commands do it by themselves",
		.example = "banger daemon start",
		.run = daemon_start},
	{.path = "daemon stop",
		.flags = no_flags,
		.usage = "",
		.summary = "stop the daemon; VMs keep running",
		.example = "banger daemon stop",
		.run = daemon_stop},
	{.path = "doctor",
		.flags = print_flags,
		.usage = "",
		.summary = "check what VMs need on this machine, and tell what mends it",
		.details = "Starts the daemon, if it can be. The exit status is 5 when a VM could "
			   "not be "
			   "run.",
		.example = "banger doctor",
		.run = doctor},
	{.path = "ssh-config",
		.flags = ssh_config_flags,
		.usage = "[--install|--uninstall]",
		.summary = "let plain `ssh NAME.vm` work, with scp, rsync and editors",
		.details =
			"Prints the lines for ssh. --install writes them to a file of banger's own "
			"and "
			"adds one Include line to ~/.ssh/config; --uninstall leaves that file byte "
			"for byte as it was. `ssh NAME.vm` starts neither the VM nor the daemon. "
			"Install again after a change of ssh_key_path.",
		.example = "banger ssh-config --install\nssh web.vm\nrsync -a src/ web.vm:src/",
		.run = ssh_config},
	{.path = "ssh-proxy",
		.kind = ARG_TEXT,
		.min_args = 2,
		.max_args = 2,
		.hidden = true,
		.flags = no_flags,
		.usage = "HOST PORT",
		.summary = "hand ssh a connection to NAME.vm",
		.example =
			"ssh -o ProxyUseFdpass=yes -o 'ProxyCommand=banger ssh-proxy %h %p' web.vm",
		.run = ssh_proxy},
	{.path = "ssh-known-hosts",
		.kind = ARG_TEXT,
		.min_args = 1,
		.max_args = 1,
		.hidden = true,
		.flags = no_flags,
		.usage = "HOST",
		.summary = "print the host key of NAME.vm for ssh",
		.example = "ssh -o 'KnownHostsCommand=/usr/bin/banger ssh-known-hosts %n' web.vm",
		.run = ssh_known_hosts},
	{.path = "completion",
		.kind = ARG_SHELL,
		.min_args = 1,
		.max_args = 1,
		.flags = no_flags,
		.usage = "bash|zsh|fish",
		.summary = "print the completion script for a shell",
		.details = "It completes commands, flags, and the names of VMs, images and kernels "
			   "that "
			   "the running daemon knows; it never starts the daemon.",
		.example = "eval \"$(banger completion bash)\"\n"
			   "banger completion fish > ~/.config/fish/completions/banger.fish",
		.run = completion},
	{.path = "__complete",
		.takes_rest = true,
		.hidden = true,
		.flags = no_flags,
		.usage = "-- WORDS...",
		.summary = "tell what the last word may become",
		.example = "banger __complete -- vm st",
		.run = complete},
	{.path = "version",
		.flags = print_flags,
		.usage = "",
		.summary = "print the version",
		.example = "banger version",
		.run = version},
	{.path = "help",
		.kind = ARG_TEXT,
		.max_args = 3,
		.flags = no_flags,
		.usage = "[COMMAND]",
		.summary = "tell about banger, or about a command",
		.example = "banger help vm create",
		.run = help},
	{NULL},
};
