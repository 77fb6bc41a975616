/* SPDX-License-Identifier: ISC */
/*
 * Asks the daemon for a link that signs one browser in, once and within a minute, and opens it. Who sees the link on the browser's command
 * line cannot use it: the daemon answers this user's processes alone.
 */
#include "cli/cmd_web.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "cli/client.h"
#include "common/json.h"
#include "common/program.h"

extern char **environ;

/* The first that is here; in a WSL, the way out to the other system's browser. */
static const char *const openers[] = {"wslview", "xdg-open"};

static bool has_display(void)
{
	return getenv("DISPLAY") || getenv("WAYLAND_DISPLAY") || getenv("WSL_DISTRO_NAME");
}

/* Its messages do not concern the terminal. */
static int run_opener(const char *path, const char *url)
{
	posix_spawn_file_actions_t actions;
	char *argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)url, NULL};
	int status = -1;
	pid_t pid = 0;
	int r;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static bool open_browser(const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(openers); i++) {
		_free_ char *path = NULL;

		if (bg_program_find(openers[i], &path) >= 0 && run_opener(path, url) >= 0)
			return true;
	}
	return false;
}

static void show_way(const struct cli *cli, const json_t *link)
{
	fprintf(cli->out.file, "%s\n", render_text(link, "url"));
	if (getenv("SSH_CONNECTION"))
		fprintf(cli->err.file,
			"from your own machine: ssh -L %lld:127.0.0.1:%lld HOST, then open it "
			"there\n",
			(long long)render_int(link, "port"), (long long)render_int(link, "port"));
	fprintf(cli->err.file, "good once, within %lld seconds\n",
		(long long)render_int(link, "expires_s"));
}

static int sign_out(struct cli *cli, struct bg_err **err)
{
	_json_ json_t *answer = NULL;
	int r = client_call(cli, CLIENT_START, ROUTE_WEB_SIGN_OUT, NULL, NULL, &answer, err);

	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, answer);
	else
		fprintf(cli->out.file, "%lld browsers signed out\n",
			(long long)render_int(answer, "sessions"));
	return BG_EXIT_OK;
}

int web(struct cli *cli, const struct args *args, struct bg_err **err)
{
	bool print = args_has(args, "--print") || !has_display() || getenv("SSH_CONNECTION");
	_json_ json_t *link = NULL;
	int r;

	if (args_has(args, "--sign-out"))
		return sign_out(cli, err);
	r = client_call(cli, CLIENT_START, ROUTE_WEB_TOKEN, NULL, NULL, &link, err);
	if (r < 0)
		return r;
	if (cli->json)
		render_json(&cli->out, link);
	else if (print || !open_browser(render_text(link, "url")))
		show_way(cli, link);
	return BG_EXIT_OK;
}
