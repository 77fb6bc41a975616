/* SPDX-License-Identifier: ISC */
/* See units.h. */
#include "cli/units.h"

#include <stdio.h>

#include "cli/child.h"

#define ENABLED "sockets.target.wants/bangerd.socket"

enum { WORDS_MAX = 8 };

static const char *runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	return dir && dir[0] == '/' ? dir : NULL;
}

static bool exists(const char *dir, const char *rest)
{
	_free_ char *path = NULL;

	return dir && asprintf(&path, "%s/%s", dir, rest) >= 0 && access(path, F_OK) == 0;
}

bool units_have_manager(void)
{
	return exists(runtime_dir(), "systemd/private");
}

/* Beside banger's own folder: systemd goes by the same rule. */
char *units_folder(const struct cli *cli)
{
	const char *dir = cli->paths.config_dir, *slash = strrchr(dir, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*s/systemd/user", (int)(slash - dir), dir) < 0)
		return NULL;
	return path;
}

bool units_enabled(const struct cli *cli)
{
	_free_ char *own = units_folder(cli);

	return units_have_manager() &&
	       (exists(own, ENABLED) || exists("/etc/systemd/user", ENABLED) ||
		       exists(runtime_dir(), "systemd/user/" ENABLED));
}

int units_call(const char *const *words, struct bg_err **err)
{
	const char *argv[WORDS_MAX + 3] = {"systemctl", "--user"};
	struct child child = {.argv = argv, .in = CHILD_NULL, .out = CHILD_NULL};
	_free_ char *said = NULL;
	int r;

	for (size_t i = 0; i < WORDS_MAX && words[i]; i++)
		argv[i + 2] = words[i];
	r = child_run(&child, &said);
	if (r == 0)
		return 0;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_TOOL_MISSING, -r, "run systemctl");
	return bg_err_set(err, BG_ERR_IO, EIO, "`systemctl --user %s` failed%s%s", words[0],
		bg_isempty(said) ? "" : ": ", said ? said : "");
}

/* One that failed too often does not listen any more, and its service is not started. */
bool units_listen(const struct cli *cli)
{
	static const char *const forget[] = {
		"reset-failed", "bangerd.socket", "bangerd.service", NULL};
	static const char *const start[] = {"start", "bangerd.socket", NULL};

	if (!units_enabled(cli))
		return false;
	(void)units_call(forget, NULL);
	return units_call(start, NULL) >= 0;
}
