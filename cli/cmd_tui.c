/* SPDX-License-Identifier: ISC */
/* cmd_tui.c: Finds banger-tui and becomes it. */
#include "cli/cmd_tui.h"

#include <limits.h>

#include "common/companion.h"

int tui(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const char *const switches[] = {"--no-color", "--ascii", "--no-mouse"};
	_free_ char *program = NULL;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *argv[8] = {"banger-tui", "--banger", self};
	size_t count = 3;
	int r;

	(void)cli;
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return bg_err_set(err, BG_ERR_USAGE, ENOTTY, "banger tui needs a terminal");
	self[BG_MAX(n, (ssize_t)0)] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
		if (args_has(args, switches[i]))
			argv[count++] = switches[i];
	r = companion_find("tui", "banger-tui", &program, err);
	if (r < 0)
		return r;
	execv(program, (char *const *)(uintptr_t)argv);
	return bg_err_sys(err, BG_ERR_TOOL_MISSING, errno, "run %s", program);
}
