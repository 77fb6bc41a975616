/* SPDX-License-Identifier: ISC */
/*
 * cmd_vm_io.c: vm ssh, vm run, vm logs: what they need of a VM is checked first, so that ssh is
 * only started when it can connect.
 */
#include "cli/cmd_vm_io.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "cli/client.h"
#include "cli/cmd_exec.h"
#include "cli/pulse.h"
#include "cli/ssh_options.h"
#include "cli/ssh_way.h"
#include "cli/vm_await.h"
#include "common/console.h"
#include "common/fd.h"
#include "common/json.h"

enum { SSH_ARGS_MAX = 256, SSH_GIVEN_MAX = 32, EXIT_NO_EXEC = 127 };

static int copy_out(struct cli *cli, const char *data, size_t len, struct console *console)
{
	_free_ char *clean = NULL;

	if (!cli->out.tty)
		return bg_write_all(STDOUT_FILENO, data, len);
	clean = malloc(len + CONSOLE_HELD);
	if (!clean)
		return -ENOMEM;
	return bg_write_all(STDOUT_FILENO, clean, console_clean(console, data, len, clean));
}

static int logs_query(const struct args *args, char *out, size_t size, struct bg_err **err)
{
	uint64_t lines = 0;
	char tail[32] = "";
	int r = args_number(args, "--tail", 1, 1000 * 1000, &lines, err);

	if (lines)
		snprintf(tail, sizeof(tail), "&tail=%llu", (unsigned long long)lines);
	snprintf(out, size, "log=%s%s%s%s", args_has(args, "--vmm") ? "vmm" : "serial",
		args_has(args, "--follow") ? "&follow=1" : "",
		args_has(args, "--boot") ? "&boot=1" : "", tail);
	return r;
}

int vm_logs(struct cli *cli, const struct args *args, struct bg_err **err)
{
	struct console console = {.state = CONSOLE_TEXT};
	_unref_(bg_http) struct bg_http *h = NULL;
	_pulse_ struct pulse pulse;
	const char *data = NULL;
	char query[96];
	size_t len = 0;
	int r;

	pulse_init(&pulse, cli);
	r = logs_query(args, query, sizeof(query), err);
	if (r >= 0)
		r = client_stream(cli, ROUTE_VM_LOGS, args->positional[0], query, &h, err);
	while (r >= 0) {
		r = pulse_next_raw(&pulse, h, &data, &len, err);
		if (r < 0 || len == 0)
			break;
		r = copy_out(cli, data, len, &console);
		if (r < 0)
			return bg_err_sys(err, BG_ERR_IO, -r, "write the output");
	}
	if (r >= 0 && cli->out.color)
		fputs(term_plain(&cli->out), stdout);
	return r < 0 ? r : BG_EXIT_OK;
}

/* ssh expands % in the file names of its options. */
static void put_path(FILE *f, const char *path)
{
	for (; *path; path++) {
		if (*path == '%')
			fputc('%', f);
		fputc(*path, f);
	}
}

/* key="path with blanks" as -o wants it; NULL when out of memory. */
static char *path_option(const char *key, const char *path)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "%s=\"", key);
	put_path(f, path);
	fputc('"', f);
	fclose(f);
	return text;
}

/* The shell over there gets one text: quote the words, so that they arrive as they are here. */
static char *remote_command(char **words)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	if (!words[1])
		return strdup(words[0]);
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	for (char **w = words; *w; w++) {
		fputs(w == words ? "'" : " '", f);
		for (const char *c = *w; *c; c++)
			fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, f);
		fputc('\'', f);
	}
	fclose(f);
	return text;
}

static int not_running(const char *name, const json_t *vm, struct bg_err **err)
{
	const char *state = render_text(vm, "state");
	int r = bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "%s is %s", name, state);

	if (bg_streq(state, "stopped"))
		bg_err_hint(err, "start it first: `banger vm start %s`", name);
	else if (bg_streq(state, "paused") || bg_streq(state, "suspended"))
		bg_err_hint(err, "let it go on first: `banger vm resume %s`", name);
	else
		bg_err_hint(err, "wait until it runs: `banger vm show %s`", name);
	return r;
}

static bool is_address(const char *text)
{
	unsigned char raw[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

const char *vm_lacks_ssh(const json_t *vm)
{
	const json_t *ssh = json_object_get(vm, "ssh");
	const char *setup = render_text(ssh, "setup");
	bool sshd = true;

	(void)bg_json_get_bool(ssh, "sshd", &sshd);
	if (sshd)
		return NULL;
	if (bg_streq(setup, "no_manager"))
		return "has no ssh server, nor a package manager that could bring one in";
	if (bg_streq(setup, "failed"))
		return "has no ssh server: its package manager could not bring one in";
	return "has no ssh server";
}

static int no_server(const char *name, const json_t *vm, const char *lack, struct bg_err **err)
{
	const char *setup = render_text(json_object_get(vm, "ssh"), "setup");
	int r = bg_err_set(err, BG_ERR_VM_NO_SSH, ENOTSUP, "%s %s", name, lack);

	if (bg_streq(setup, "failed"))
		bg_err_hint(err,
			"see why: `banger vm logs %s`; the next start tries again, and `banger vm "
			"exec --tty %s -- sh` needs none",
			name, name);
	else if (bg_streq(setup, "no_manager"))
		bg_err_hint(err, "`banger vm exec --tty %s -- sh` needs none", name);
	else
		bg_err_hint(err,
			"`banger vm exec --tty %s -- sh` needs none; or let its packages bring "
			"one: `banger vm set %s --nat && banger vm restart %s`",
			name, name, name);
	return r;
}

int vm_check_reachable(const char *name, const json_t *vm, struct bg_err **err)
{
	const json_t *ssh = json_object_get(vm, "ssh");
	const char *lack = vm_lacks_ssh(vm);
	bool ready = false;
	int r;

	(void)bg_json_get_bool(vm, "ready", &ready);
	if (!bg_streq(render_text(vm, "state"), "running"))
		return not_running(name, vm, err);
	if (lack)
		return no_server(name, vm, lack, err);
	if (!ready) {
		r = bg_err_set(
			err, BG_ERR_VM_NOT_READY, EAGAIN, "%s runs but is not ready yet", name);
		bg_err_hint(err, "see how far it got: `banger vm logs %s`", name);
		return r;
	}
	if (!is_address(render_text(vm, "address")) || !*render_text(ssh, "key") ||
		!*render_text(ssh, "known_hosts"))
		return bg_err_set(err, BG_ERR_INTERNAL, EPROTO,
			"the daemon did not say how to reach %s", name);
	return 0;
}

struct ssh_call {
	char *argv[SSH_ARGS_MAX];
	size_t count;
	char *owned[64]; /* what of argv is to be freed */
	size_t owned_count;
};

static void add(struct ssh_call *c, const char *word)
{
	c->argv[c->count++] = (char *)word;
	c->argv[c->count] = NULL;
}

static void add_owned(struct ssh_call *c, char *word)
{
	if (!word)
		abort();
	c->owned[c->owned_count++] = word;
	add(c, word);
}

static char *formatted(const char *fmt, ...) _printf_(1, 2);
static char *formatted(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

static int ssh_port(const json_t *ssh)
{
	int64_t port = render_int(ssh, "port");

	return port > 0 && port <= UINT16_MAX ? (int)port : 22;
}

static void add_option(struct ssh_call *c, char *word)
{
	add(c, "-o");
	add_owned(c, word);
}

const struct flag ssh_flags[] = {
	{"-A", NULL, ARG_NONE, "let the VM use your ssh agent while you are connected"},
	{"-L", "SPEC", ARG_TEXT, "forward a port of this machine to one in the VM, as ssh -L"},
	{"-R", "SPEC", ARG_TEXT, "forward a port of the VM to one of this machine, as ssh -R"},
	{"-D", "SPEC", ARG_TEXT, "a SOCKS proxy through the VM, as ssh -D"},
	{"-N", NULL, ARG_NONE, "run nothing: only forward"},
	{"-t", NULL, ARG_NONE, "give the command a terminal"},
	{"-T", NULL, ARG_NONE, "no terminal"},
	{"-X", NULL, ARG_NONE, "forward X11"},
	{"-Y", NULL, ARG_NONE, "forward X11, trusting the VM"},
	{"-q", NULL, ARG_NONE, "no warnings of ssh"},
	{"-v", NULL, ARG_NONE, "ssh says what it does"},
	{"-o", "OPTION", ARG_TEXT, "an option of ssh, as KEY=VALUE"},
	FLAG_END,
};

/* The user's own come first: of two values ssh takes the first. */
static int add_asked(struct ssh_call *c, const struct args *args, struct bg_err **err)
{
	bool forwards = false;

	for (const struct flag *f = ssh_flags; f->name; f++)
		if (!f->value && args_has(args, f->name))
			add(c, f->name);
	if (args->given_count > SSH_GIVEN_MAX)
		return bg_err_set(err, BG_ERR_USAGE, E2BIG, "more than %d of -L, -R, -D and -o",
			SSH_GIVEN_MAX);
	for (size_t i = 0; i < args->given_count; i++) {
		const char *flag = ssh_flags[args->given[i].flag].name;

		forwards |= !bg_streq(flag, "-o");
		add(c, flag);
		add(c, args->given[i].value);
	}
	if (!forwards)
		add_option(c, strdup("ClearAllForwardings=yes"));
	return 0;
}

static void add_pinned(struct ssh_call *c, int port)
{
	for (const struct ssh_option *o = ssh_options; o->key; o++)
		add_option(c, bg_streq(o->key, "Port") ? formatted("Port=%d", port)
						       : formatted("%s=%s", o->key, o->value));
}

static void build_call(
	struct ssh_call *c, const char *name, const json_t *vm, char **rest, bool by_agent)
{
	const json_t *ssh = json_object_get(vm, "ssh");
	const char *user = render_text(ssh, "user"), *address = render_text(vm, "address");
	int port = ssh_port(ssh);

	add_option(c, path_option("IdentityFile", render_text(ssh, "key")));
	add_option(c, path_option("UserKnownHostsFile", render_text(ssh, "known_hosts")));
	add_option(c, strdup("KnownHostsCommand=none"));
	add_option(c, formatted("HostKeyAlias=%s", name));
	add_option(c, formatted("HostName=%s", address));
	add_option(c, by_agent ? ssh_way_proxy(name, port) : strdup("ProxyCommand=none"));
	add_option(c, strdup("ProxyUseFdpass=no"));
	add(c, "-l");
	add_owned(c, strdup(*user ? user : "root"));
	add(c, "--");
	add_owned(c, strdup(address));
	if (rest && rest[0])
		add_owned(c, remote_command(rest));
}

static void free_call(struct ssh_call *c)
{
	for (size_t i = 0; i < c->owned_count; i++)
		free(c->owned[i]);
}

static int no_ssh(int errnum, struct bg_err **err)
{
	int r = bg_err_sys(err, BG_ERR_TOOL_MISSING, errnum, "run ssh");

	bg_err_hint(err, "install it: `sudo apt install openssh-client`");
	return r;
}

/* In the child: does not return. errno goes over the pipe, which a good exec closes. */
_noreturn_ static void exec_call(const struct ssh_call *c, int failed)
{
	execvp(c->argv[0], c->argv);
	(void)bg_write_all(failed, &errno, sizeof(errno));
	_exit(EXIT_NO_EXEC);
}

static int wait_call(pid_t pid, int failed, struct bg_err **err)
{
	int status = 0, errnum = 0;
	bool no_exec = bg_read_exact(failed, &errnum, sizeof(errnum)) >= 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (no_exec)
		return no_ssh(errnum, err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs ssh and waits. The terminal's signals are meant for what runs inside. */
static int run_call(const struct ssh_call *c, struct bg_err **err)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_int, old_quit;
	_close_ int failed = -1, theirs = -1;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "start ssh");
	failed = fds[0];
	theirs = fds[1];
	sigaction(SIGINT, &ignore, &old_int);
	sigaction(SIGQUIT, &ignore, &old_quit);
	pid = fork();
	if (pid == 0) {
		sigaction(SIGINT, &old_int, NULL);
		sigaction(SIGQUIT, &old_quit, NULL);
		exec_call(c, theirs);
	}
	r = pid < 0 ? bg_err_sys(err, BG_ERR_IO, errno, "start ssh") : 0;
	theirs = bg_close(theirs);
	if (r >= 0)
		r = wait_call(pid, failed, err);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	return r;
}

static void remind(struct cli *cli, const char *name)
{
	_json_ json_t *vm = NULL;

	if (client_call(cli, CLIENT_NO_START, ROUTE_VM_SHOW, name, NULL, &vm, NULL) < 0 ||
		!bg_streq(render_text(vm, "state"), "running"))
		return;
	fprintf(cli->err.file, "%s still runs; `banger vm stop %s` stops it\n", name, name);
}

/* Says which way it is when it is not the usual one. */
static enum ssh_way find_way(struct cli *cli, const char *name, const json_t *vm)
{
	const json_t *ssh = json_object_get(vm, "ssh");
	const char *address = render_text(vm, "address");
	enum ssh_way way = ssh_way_find(cli, name, address, ssh_port(ssh));

	if (way == SSH_WAY_AGENT)
		fprintf(cli->err.file, "%s does not answer at %s: ssh goes through its agent\n",
			name, address);
	else if (way == SSH_WAY_SHELL)
		fprintf(cli->err.file,
			"no ssh server answers in %s: a shell of its agent instead\n", name);
	return way;
}

static int agent_shell(struct cli *cli, const char *name, char **rest, struct bg_err **err)
{
	bool interactive = !rest || !rest[0];
	_free_ char *command = interactive ? NULL : remote_command(rest);
	int r;

	if (!interactive && !command)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = exec_shell(cli, name, command, err);
	if (r >= 0 && interactive)
		remind(cli, name);
	return r;
}

static int show_reachable(struct cli *cli, const char *name, json_t **ret, struct bg_err **err)
{
	int r;

	json_decref(*ret);
	*ret = NULL;
	r = client_call(cli, CLIENT_START, ROUTE_VM_SHOW, name, NULL, ret, err);
	return r < 0 ? r : vm_check_reachable(name, *ret, err);
}

int vm_ssh(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *name = args->positional[0];
	bool interactive = !args->rest || !args->rest[0];
	struct ssh_call call = {.count = 0};
	_json_ json_t *vm = NULL;
	enum ssh_way way;
	int r;

	r = show_reachable(cli, name, &vm, err);
	if (r < 0 && vm_await(cli, name, VM_AWAIT_START, err))
		r = show_reachable(cli, name, &vm, err);
	if (r < 0)
		return r;
	way = find_way(cli, name, vm);
	if (way == SSH_WAY_SHELL)
		return agent_shell(cli, name, args->rest, err);
	add(&call, "ssh");
	r = add_asked(&call, args, err);
	add_pinned(&call, ssh_port(json_object_get(vm, "ssh")));
	build_call(&call, name, vm, args->rest, way == SSH_WAY_AGENT);
	if (r >= 0 && !interactive) {
		execvp(call.argv[0], call.argv);
		r = no_ssh(errno, err);
	} else if (r >= 0) {
		r = run_call(&call, err);
		if (r >= 0)
			remind(cli, name);
	}
	free_call(&call);
	return r;
}
