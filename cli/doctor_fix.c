/* SPDX-License-Identifier: ISC */
/*
 * doctor_fix.c: `banger doctor --fix`. The remedies that doctor may run itself are the rows of a table: none needs root,
 * disturbs a VM or removes what cannot be had again. Everything else is shown as the command to type. Called by doctor.c
 * with what it found; never asks for a password and never runs sudo.
 */
#include <limits.h>
#include <stdio.h>

#include "cli/child.h"
#include "cli/doctor.h"
#include "common/helper_hint.h"
#include "common/json.h"

enum { REMEDY_WORDS = 4, COMMAND_COLUMN = 30 };

static const struct remedy {
	const char *shown;		/* as a user types it */
	const char *argv[REMEDY_WORDS]; /* "banger": this program */
	const char *effect;
} remedies[FIX_MAX_] = {
	[FIX_RESTART] = {"banger daemon restart", {"banger", "daemon", "restart"},
		"VMs keep running"},
	[FIX_PRUNE] = {"banger image prune", {"banger", "image", "prune"},
		"removes files that nothing names, and layers that the next pull fetches again"},
	[FIX_LINGER] = {"loginctl enable-linger",
		{"loginctl", "--no-ask-password", "enable-linger"},
		"VMs run on after a logout; `loginctl disable-linger` undoes it"},
};

const char *doctor_fix_command(enum finding_fix fix)
{
	return remedies[fix].shown;
}

/* ---- what only root can do ---- */

/* The next command in backquotes that begins with sudo, at *at or behind; *len of it. NULL: none. */
static const char *next_sudo(const char **at, size_t *len)
{
	const char *begin, *end;

	while (*at && (begin = strchr(*at, '`')) && (end = strchr(begin + 1, '`'))) {
		*at = end + 1;
		*len = (size_t)(end - begin - 1);
		if (strncmp(begin + 1, "sudo ", 5) == 0)
			return begin + 1;
	}
	return NULL;
}

/* Two checks may have one remedy: it stands there once. seen: all that was shown, each with a line end. */
static bool is_new(char **seen, const char *command, size_t len)
{
	_free_ char *line = NULL, *old = TAKE_PTR(*seen);
	bool known;

	if (asprintf(&line, "\n%.*s\n", (int)len, command) < 0) {
		*seen = TAKE_PTR(old);
		return true;
	}
	known = old && strstr(old, line);
	if (known || !old)
		*seen = known ? TAKE_PTR(old) : TAKE_PTR(line);
	else if (asprintf(seen, "%s%s", old, line) < 0)
		*seen = TAKE_PTR(old);
	return !known;
}

static void show_roots(const struct term *t, const struct finding *found, size_t n)
{
	_free_ char *seen = NULL;

	for (size_t i = 0; i < n; i++) {
		_free_ char *hint = found[i].state != FINDING_OK && found[i].hint
					    ? bg_helper_hint(term_clean(found[i].hint))
					    : NULL;
		const char *at = hint, *command;
		size_t len = 0;

		while ((command = next_sudo(&at, &len))) {
			if (!seen)
				fprintf(t->file,
					"\nOnly root can run these; type them yourself:\n");
			if (is_new(&seen, command, len))
				fprintf(t->file, "  %.*s  (%s)\n", (int)len, command,
					found[i].name);
		}
	}
}

/* ---- what banger can do ---- */

/* Each remedy once, in the order of the checks. */
static size_t make_plan(const struct finding *found, size_t n, const struct finding *ret[FIX_MAX_])
{
	bool planned[FIX_MAX_] = {false};
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (found[i].fix == FIX_NONE || planned[found[i].fix])
			continue;
		planned[found[i].fix] = true;
		ret[count++] = &found[i];
	}
	return count;
}

static void show_plan(const struct term *t, const struct finding *const plan[], size_t count)
{
	fprintf(t->file, count ? "\nbanger can run:\n"
			       : "\nThere is nothing that banger can fix without root.\n");
	for (size_t i = 0; i < count; i++)
		fprintf(t->file, "  %-*s%s\n", COMMAND_COLUMN, remedies[plan[i]->fix].shown,
			remedies[plan[i]->fix].effect);
}

static int ask(const struct cli *cli, size_t count, struct bg_err **err)
{
	char answer[16];

	if (!cli->err.tty || !isatty(STDIN_FILENO)) {
		bg_err_set(err, BG_ERR_USAGE, EPERM, "nothing was run: no terminal to ask on");
		bg_err_hint(err, "with --yes it does not ask");
		return -EPERM;
	}
	fprintf(cli->err.file, "\nRun %s now? [y/N] ",
		count == 1 ? "this command" : "these commands");
	fflush(cli->err.file);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
		return bg_err_set(err, BG_ERR_CANCELLED, ECANCELED, "nothing was run");
	return 0;
}

/* NULL: it succeeded. Else why not, the caller's. */
static char *run_remedy(const struct remedy *remedy)
{
	const char *argv[REMEDY_WORDS + 1] = {NULL};
	struct child child = {.argv = argv, .in = CHILD_NULL, .out = CHILD_NULL};
	_free_ char *said = NULL;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int r;

	for (size_t i = 0; i < REMEDY_WORDS; i++)
		argv[i] = remedy->argv[i];
	self[BG_MAX(n, (ssize_t)0)] = '\0';
	if (bg_streq(argv[0], "banger"))
		argv[0] = self;
	r = child_run(&child, &said);
	if (r == 0)
		return NULL;
	if (r < 0)
		return strdup(strerror(-r));
	return bg_isempty(said) ? strdup("it failed without a word") : TAKE_PTR(said);
}

static void tell(const struct term *t, const struct finding *f, const char *why)
{
	_free_ char *clean = why ? term_clean(why) : NULL;

	fprintf(t->file, "%s%s%s: %s\n", term_style(t, why ? STYLE_RED : STYLE_GREEN),
		remedies[f->fix].shown, term_plain(t), why ? (clean ? clean : "failed") : "done");
	fflush(t->file);
}

static int run_plan(
	const struct cli *cli, const struct finding *const plan[], size_t count, json_t *list)
{
	int result = 1;

	for (size_t i = 0; i < count; i++) {
		_free_ char *why = run_remedy(&remedies[plan[i]->fix]);

		result = why ? 2 : result;
		if (list)
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:b, s:o}", "check", plan[i]->name,
					      "command", remedies[plan[i]->fix].shown, "done", !why,
					      "error", why ? bg_json_str(why) : json_null()));
		else
			tell(&cli->out, plan[i], why);
	}
	if (!list)
		fputc('\n', cli->out.file);
	return result;
}

int doctor_fix(const struct cli *cli, const struct finding *found, size_t n, bool yes, json_t **ret,
	struct bg_err **err)
{
	const struct finding *plan[FIX_MAX_];
	size_t count = make_plan(found, n, plan);
	const struct term *t = ret ? &cli->err : &cli->out;
	int r = 0;

	if (!ret || !yes) {
		show_plan(t, plan, count);
		show_roots(t, found, n);
		fflush(t->file);
	}
	if (count && !yes)
		r = ask(cli, count, err);
	if (r < 0)
		return r;
	if (ret)
		*ret = json_array();
	if (!count)
		return 0;
	if (!ret)
		fputc('\n', t->file);
	return run_plan(cli, plan, count, ret ? *ret : NULL);
}
