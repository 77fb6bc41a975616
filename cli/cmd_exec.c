/* SPDX-License-Identifier: ISC */
/* cmd_exec.c: vm exec, vm connect. The session itself is session.c's. */
#include "cli/cmd_exec.h"

#include <stdio.h>

#include "cli/session.h"

enum { TIMEOUT_MAX_S = 7 * 24 * 3600 };

const struct flag exec_flags[] = {
	{"--tty", NULL, ARG_NONE, "give it a terminal, as for a shell or an editor", 't'},
	{"--interactive", NULL, ARG_NONE, NULL, 'i'}, /* its input is ours anyway */
	{"--env", "NAME=VALUE", ARG_TEXT, "set in its environment; may be repeated", 'e'},
	{"--workdir", "DIR", ARG_TEXT, "start in this folder of the VM (default: the home)", 'w',
		"--cwd"},
	{"--user", "USER", ARG_TEXT, "run as this user of the VM, a name or a number", 'u'},
	{"--timeout", "SECONDS", ARG_NUMBER, "end it when it still runs then: exit status 124"},
	FLAG_END,
};

/* TERM goes along with a terminal; what the user sets comes last. */
static int make_env(const struct args *args, const char ***ret, struct bg_err **err)
{
	static char term[128];
	const char *ours = getenv("TERM"), *value;
	_free_ const char **env = calloc(ARGS_GIVEN_MAX + 2, sizeof(*env));
	size_t n = 0;

	if (!env)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (args_has(args, "--tty") && ours && strlen(ours) < sizeof(term) - 8) {
		snprintf(term, sizeof(term), "TERM=%s", ours);
		env[n++] = term;
	}
	for (size_t i = 0; (value = args_nth(args, "--env", i)); i++) {
		if (!strchr(value, '=') || *value == '=')
			return bg_err_set(err, BG_ERR_USAGE, EINVAL,
				"--env \"%.60s\" is not NAME=VALUE", value);
		env[n++] = value;
	}
	*ret = TAKE_PTR(env);
	return 0;
}

int exec_shell(struct cli *cli, const char *vm, const char *command, struct bg_err **err)
{
	const char *const argv[] = {"sh", "-c", command, NULL}, *const none[] = {NULL};
	static char term[128];
	const char *env[] = {NULL, NULL};
	const struct session session = {
		.vm = vm,
		.argv = command ? argv : none,
		.env = env,
		.tty = !command && isatty(STDIN_FILENO),
		.signals = true,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
	};
	int status = 0, r;

	if (session.tty && getenv("TERM")) {
		snprintf(term, sizeof(term), "TERM=%s", getenv("TERM"));
		env[0] = term;
	}
	r = session_run(cli, &session, &status, err);
	return r < 0 ? r : status;
}

int vm_exec(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const char *const none[] = {NULL};
	_free_ const char **env = NULL;
	uint64_t timeout = 0;
	int status = 0, r;
	struct session session = {
		.vm = args->positional[0],
		.argv = (const char *const *)args->rest,
		.user = args_value(args, "--user"),
		.workdir = args_value(args, "--workdir"),
		.tty = args_has(args, "--tty"),
		.signals = true,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
	};

	if (!args->rest)
		session.argv = none;
	if (!session.argv[0] && !session.tty) {
		r = bg_err_set(err, BG_ERR_USAGE, EINVAL, "there is no command to run");
		bg_err_hint(err, "put it behind --: `banger vm exec %s -- uname -a`", session.vm);
		return r;
	}
	r = args_number(args, "--timeout", 1, TIMEOUT_MAX_S, &timeout, err);
	if (r >= 0)
		r = make_env(args, &env, err);
	session.timeout_s = (unsigned)timeout;
	session.env = env;
	if (r >= 0)
		r = session_run(cli, &session, &status, err);
	return r < 0 ? r : status;
}

int vm_connect(struct cli *cli, const struct args *args, struct bg_err **err)
{
	const char *port = args->positional[1];
	const char *const argv[] = {port, NULL};
	const struct session session = {
		.vm = args->positional[0],
		.kind = "connect",
		.argv = argv,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.err = STDERR_FILENO,
	};
	unsigned long n = strspn(port, "0123456789") == strlen(port) ? strtoul(port, NULL, 10) : 0;
	int status = 0, r;

	if (n == 0 || n > UINT16_MAX)
		return bg_err_set(err, BG_ERR_USAGE, EINVAL, "\"%.20s\" is not a TCP port", port);
	r = session_run(cli, &session, &status, err);
	return r < 0 ? r : status;
}
