/* SPDX-License-Identifier: ISC */
/*
 * cmd_daemon_unit.c: banger daemon install, uninstall: the daemon as a unit of the user's systemd. What a package or
 * `meson install` has laid into systemd's folders is only enabled; from a build folder the units are written with its paths. Files
 * of other hands are never written over or removed: ours begin with a line that says so.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/client.h"
#include "cli/cmd_daemon.h"
#include "cli/launch.h"
#include "cli/units.h"
#include "common/fd.h"
#include "packaging/units/unit_text.h"

#define MARK "# Written by `banger daemon install`, removed by `banger daemon uninstall`.\n"

enum { UNIT_MAX = 64 * 1024 };

static const struct unit {
	const char *name, *text;
} units[] = {
	{"bangerd.socket", unit_socket}, {"banger-guests.service", unit_guests},
	{"banger-vm@.service", unit_vm},
	{"bangerd.service", unit_service}, /* the last: with it the set is whole */
};

static const char *const installed_in[] = {
	"/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"};

/* What the units are to name. */
struct places {
	char *program_dir, *bin_dir, *environment;
	const char *socket;
};

static void places_done(struct places *p)
{
	free(p->program_dir);
	free(p->bin_dir);
	free(p->environment);
}

static char *folder_of(const char *path)
{
	char *dir = path ? strdup(path) : NULL, *slash = dir ? strrchr(dir, '/') : NULL;

	if (slash)
		*slash = '\0';
	return dir;
}

/* The folders that the command goes by, where they are not the usual ones: a unit has the manager's environment. */
static char *environment(void)
{
	static const char *const names[] = {"XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	for (size_t i = 0; f && i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && value[0] == '/')
			fprintf(f, "Environment=%s=%s\n", names[i], value);
	}
	if (!f || fclose(f) != 0)
		return NULL;
	for (; len > 0 && text[len - 1] == '\n'; len--)
		text[len - 1] = '\0';
	return text;
}

/* systemd takes blanks, quotes and % apart. */
static int check_place(const char *path, struct bg_err **err)
{
	if (path && path[strcspn(path, " \t\n\"'\\%$;")] == '\0')
		return 0;
	return bg_err_set(err, BG_ERR_CONFIG, EINVAL,
		"a unit cannot name this path: %s (a blank, quote, %% or $ is in it)",
		path ? path : "");
}

static int find_places(const struct cli *cli, struct places *p, struct bg_err **err)
{
	_free_ char *bangerd = launch_find_bangerd(), *whole = NULL, *self = NULL;
	int r;

	whole = bangerd ? realpath(bangerd, NULL) : NULL;
	self = realpath("/proc/self/exe", NULL);
	if (!whole || !self)
		return bg_err_set(
			err, BG_ERR_DAEMON_UNREACHABLE, ENOENT, "bangerd is not installed");
	*p = (struct places){.program_dir = folder_of(whole),
		.bin_dir = folder_of(self),
		.environment = environment(),
		.socket = cli->paths.socket};
	r = check_place(p->program_dir, err);
	if (r >= 0)
		r = check_place(p->bin_dir, err);
	return r < 0 ? r : check_place(p->socket, err);
}

static bool put_word(FILE *f, const char **at, const char *word, const char *value)
{
	size_t len = strlen(word);

	if (strncmp(*at, word, len) != 0)
		return false;
	fputs(value, f);
	*at += len;
	return true;
}

/* The unit with its places; the caller's. */
static char *fill_in(const char *text, const struct places *p)
{
	char *out = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	fputs(MARK, f);
	while (*text)
		if (!put_word(f, &text, "@PROGRAMDIR@", p->program_dir) &&
			!put_word(f, &text, "@BINDIR@", p->bin_dir) &&
			!put_word(f, &text, "@SOCKET@", p->socket) &&
			!put_word(f, &text, "@ENVIRONMENT@", p->environment ? p->environment : ""))
			fputc(*text++, f);
	return fclose(f) == 0 ? out : NULL;
}

static char *read_unit(const char *dir, const char *name)
{
	_free_ char *path = NULL;
	char *text = NULL;

	if (dir && asprintf(&path, "%s/%s", dir, name) >= 0)
		(void)bg_read_file_at(AT_FDCWD, path, UNIT_MAX, &text, NULL);
	return text;
}

static bool is_ours(const char *text)
{
	return text && strncmp(text, MARK, strlen(MARK)) == 0;
}

/* Does systemd find the unit of this very program without ours? */
static bool comes_with_system(const struct places *p)
{
	_free_ char *start = NULL;
	bool found = false;

	if (!bg_isempty(p->environment) ||
		asprintf(&start, "\nExecStart=%s/bangerd --foreground\n", p->program_dir) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(installed_in) && !found; i++) {
		_free_ char *text = read_unit(installed_in[i], "bangerd.service");

		found = text && strstr(text, start);
	}
	return found;
}

static int write_unit(
	const char *dir, const struct unit *unit, const struct places *p, struct bg_err **err)
{
	_free_ char *text = fill_in(unit->text, p), *old = read_unit(dir, unit->name), *path = NULL;
	int r;

	if (!text || asprintf(&path, "%s/%s", dir, unit->name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (old && !is_ours(old)) {
		r = bg_err_set(err, BG_ERR_EXISTS, EEXIST, "%s was not written by banger", path);
		bg_err_hint(err, "move it away first");
		return r;
	}
	r = bg_write_file_at(AT_FDCWD, path, text, strlen(text), 0644);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "write %s", path) : 0;
}

static int write_units(const struct cli *cli, const struct places *p, struct bg_err **err)
{
	_free_ char *dir = units_folder(cli);
	int r = dir ? bg_mkdir_p(dir, 0755) : -ENOMEM;

	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make the folder for units");
	for (size_t i = 0; i < ARRAY_SIZE(units) && r >= 0; i++)
		r = write_unit(dir, &units[i], p, err);
	return r;
}

static int remove_units(const struct cli *cli, struct bg_err **err)
{
	_free_ char *dir = units_folder(cli);

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		_free_ char *text = read_unit(dir, units[i].name), *path = NULL;

		if (is_ours(text) && asprintf(&path, "%s/%s", dir, units[i].name) >= 0 &&
			unlink(path) < 0 && errno != ENOENT)
			return bg_err_sys(err, BG_ERR_IO, errno, "remove %s", path);
	}
	return 0;
}

static int need_manager(struct bg_err **err)
{
	int r;

	if (units_have_manager())
		return 0;
	r = bg_err_set(err, BG_ERR_TOOL_MISSING, ENOENT, "no systemd of this user runs here");
	bg_err_hint(err,
		"log in as this user (`machinectl shell`, ssh), not by su or sudo. Without "
		"systemd the next command that needs the daemon starts it");
	return r;
}

static int call_all(const char *const words[][4], size_t n, struct bg_err **err)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++)
		r = units_call(words[i], err);
	return r;
}

static void say_lingering(const struct term *t)
{
	const struct passwd *pw = getpwuid(getuid());
	char path[256];

	snprintf(path, sizeof(path), "/var/lib/systemd/linger/%s", pw ? pw->pw_name : "");
	if (pw && access(path, F_OK) == 0)
		fprintf(t->file, "Lingering is on: VMs run on after your last logout, and those "
				 "with --autostart start "
				 "with the machine.\n");
	else
		fprintf(t->file, "Lingering is off: VMs are shut down at your last logout, and "
				 "those with --autostart "
				 "start at your next login.\n`loginctl enable-linger` lets them "
				 "run on, and start with the machine.\n");
}

int daemon_install(struct cli *cli, const struct args *args, struct bg_err **err)
{
	static const char *const words[][4] = {{"daemon-reload", NULL},
		{"enable", "bangerd.service", NULL}, {"restart", "bangerd.socket", NULL},
		{"start", "bangerd.service", NULL}};
	_cleanup_(places_done) struct places places = {0};
	bool with_system;
	int r = need_manager(err);

	if (r >= 0)
		r = find_places(cli, &places, err);
	if (r < 0)
		return r;
	with_system = comes_with_system(&places);
	r = with_system ? 0 : write_units(cli, &places, err);
	if (r >= 0)
		r = daemon_make_room(cli, args, err);
	if (r >= 0)
		r = call_all(words, ARRAY_SIZE(words), err);
	if (r < 0)
		return r;
	fprintf(cli->out.file, "bangerd.socket and bangerd.service are enabled%s.\n",
		with_system ? "" : ", with the paths of this build");
	say_lingering(&cli->out);
	return BG_EXIT_OK;
}

int daemon_uninstall(struct cli *cli, const struct args *args, struct bg_err **err)
{
	/* banger-guests stays until its session ends: its stop would shut the VMs down. */
	static const char *const words[][4] = {
		{"disable", "bangerd.service", "bangerd.socket", NULL},
		{"stop", "bangerd.socket", "bangerd.service", NULL}};
	static const char *const reload[] = {"daemon-reload", NULL};
	int r = need_manager(err);

	if (r >= 0 && units_enabled(cli))
		r = daemon_make_room(cli, args, err);
	if (r >= 0 && units_enabled(cli))
		r = call_all(words, ARRAY_SIZE(words), err);
	if (r >= 0)
		r = remove_units(cli, err);
	if (r >= 0)
		r = units_call(reload, err);
	if (r < 0)
		return r;
	fprintf(cli->out.file, "The daemon is not a unit any longer; the next command that needs "
			       "it starts it. VMs run on.\n");
	return BG_EXIT_OK;
}
