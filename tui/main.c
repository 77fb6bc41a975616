/* SPDX-License-Identifier: ISC */
/*
 * main.c: banger-tui, which `banger tui` becomes: a program of its own, so that ncurses and libevent are not loaded by
 * every command. Its arguments are between the two; see cli/cmd_tui.c.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>

#include "common/companion.h"
#include "common/fd.h"
#include "tui/app.h"

static int parse(int argc, char **argv, struct app_options *o, struct bg_err **err)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (bg_streq(argv[i], "--no-color"))
			o->tty.no_colour = true;
		else if (bg_streq(argv[i], "--ascii"))
			o->tty.ascii = true;
		else if (bg_streq(argv[i], "--no-mouse"))
			o->tty.no_mouse = true;
		else if (bg_streq(argv[i], "--numbers"))
			o->numbers = true;
		else if (bg_streq(argv[i], "--banger") && value)
			o->banger = argv[++i];
		else if (bg_streq(argv[i], "--idle-fd") && value)
			o->idle_fd = atoi(argv[++i]);
		else
			return bg_err_set(err, BG_ERR_USAGE, EINVAL,
				"banger-tui: \"%.60s\" is unknown; use `banger tui`", argv[i]);
	}
	return 0;
}

static int run(int argc, char **argv, struct bg_err **err)
{
	struct app_options options = {.idle_fd = -1};
	_free_ char *banger = NULL;
	struct bg_paths paths = {0};
	int r = parse(argc, argv, &options, err);

	if (!bg_isempty(getenv("NO_COLOR")))
		options.tty.no_colour = true;
	if (r >= 0 && !options.banger)
		r = companion_find("cli", "banger", &banger, err);
	if (r >= 0 && geteuid() == 0)
		r = bg_err_set(err, BG_ERR_ROOT, EPERM, "banger does not run as root");
	if (!options.banger)
		options.banger = banger;
	if (r >= 0)
		r = bg_paths_init(&paths, err);
	if (r >= 0)
		r = app_run(&options, &paths, err);
	bg_paths_done(&paths);
	return r;
}

int main(int argc, char **argv)
{
	struct bg_err *err = NULL;
	int r;

	if (bg_std_fds() < 0)
		return BG_EXIT_HOST;
	setlocale(LC_CTYPE, ""); /* nothing else: numbers are written as the API has them */
	r = run(argc, argv, &err);
	if (r < 0) {
		fprintf(stderr, "banger: %s\n", err->message);
		if (err->hint)
			fprintf(stderr, "  %s\n", err->hint);
		r = (int)bg_err_code_exit(err->code);
		bg_err_free(err);
	}
	return r;
}
