/* SPDX-License-Identifier: ISC */
/* See setup.h. One row per package manager. */
#include "guest/setup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "guest/log.h"

enum { COMMAND_WORDS = 10, COMMANDS = 3, OS_RELEASE_MAX = 64 * 1024, WORD_MAX_BYTES = 64 };

struct command {
	const char *words[COMMAND_WORDS];
};

/*
 * A command list ends at an empty row. Those of init run after those of ssh; what the new
 * init starts by itself is not asked for again.
 */
static const struct setup_family {
	const char *ids;  /* ID values, with blanks around each */
	const char *tool; /* absolute */
	struct command ssh[COMMANDS], init[COMMANDS];
	bool well_with_notes; /* other statuses than 0 may tell of a success */
} families[] = {
	{" debian ubuntu ", "/usr/bin/apt-get",
		{{{"/usr/bin/apt-get", "-q", "update"}},
			{{"/usr/bin/apt-get", "-qy", "--no-install-recommends", "install",
				"openssh-server"}}},
		{{{"/usr/bin/apt-get", "-qy", "--no-install-recommends", "install", "systemd-sysv",
			"dbus"}}}},
	/* The package openssh has sftp, too, which scp wants. OpenRC starts what is in a runlevel.
	 */
	{" alpine ", "/sbin/apk", {{{"/sbin/apk", "add", "--no-cache", "openssh"}}},
		{{{"/sbin/apk", "add", "--no-cache", "openrc"}},
			{{"/sbin/rc-update", "add", "sshd", "default"}}}},
	{" fedora rhel centos ", "/usr/bin/dnf",
		{{{"/usr/bin/dnf", "-y", "--setopt=install_weak_deps=False", "install",
			"openssh-server"}}},
		{{{"/usr/bin/dnf", "-y", "--setopt=install_weak_deps=False", "install", "systemd"}},
			{{"/usr/bin/systemctl", "enable", "sshd"}}}},
	{" fedora rhel centos ", "/usr/bin/microdnf",
		{{{"/usr/bin/microdnf", "-y", "install", "openssh-server"}}},
		{{{"/usr/bin/microdnf", "-y", "install", "systemd"}},
			{{"/usr/bin/systemctl", "enable", "sshd"}}}},
	/* All of it: Arch does not support a new package among old ones. */
	{" arch archarm ", "/usr/bin/pacman",
		{{{"/usr/bin/pacman", "-Syu", "--noconfirm", "--needed", "openssh"}}},
		{{{"/usr/bin/pacman", "-S", "--noconfirm", "--needed", "systemd-sysvcompat"}},
			{{"/usr/bin/systemctl", "enable", "sshd"}}}},
	{" suse opensuse opensuse-leap opensuse-tumbleweed sles ", "/usr/bin/zypper",
		{{{"/usr/bin/zypper", "--non-interactive", "install", "--no-recommends",
			"openssh"}}},
		{{{"/usr/bin/zypper", "--non-interactive", "install", "--no-recommends",
			 "systemd"}},
			{{"/usr/bin/systemctl", "enable", "sshd"}}},
		.well_with_notes = true},
};

/* The value of a line NAME=value or NAME="value" of os-release(5), unquoted into buf. */
static bool os_value(const char *text, const char *name, char *buf, size_t size)
{
	size_t n = strlen(name);

	for (; text && *text; text = strchr(text, '\n'), text = text ? text + 1 : NULL) {
		const char *value = text + n + 1;
		size_t len;

		if (strncmp(text, name, n) != 0 || text[n] != '=')
			continue;
		if (*value == '"' || *value == '\'')
			value++;
		len = strcspn(value, "\"'\r\n");
		if (len >= size)
			return false;
		memcpy(buf, value, len);
		buf[len] = '\0';
		return true;
	}
	return false;
}

static const struct setup_family *by_id(const char *id, size_t len, bool (*have)(const char *tool))
{
	char padded[WORD_MAX_BYTES + 3];

	if (len == 0 || len > WORD_MAX_BYTES)
		return NULL;
	(void)snprintf(padded, sizeof(padded), " %.*s ", (int)len, id);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (strstr(families[i].ids, padded) && have(families[i].tool))
			return &families[i];
	return NULL;
}

const struct setup_family *setup_find(const char *os_release, bool (*have)(const char *tool))
{
	static const char *const keys[] = {"ID", "ID_LIKE"};
	const struct setup_family *found = NULL;
	char value[256];

	for (size_t i = 0; i < ARRAY_SIZE(keys) && !found; i++) {
		if (!os_value(os_release, keys[i], value, sizeof(value)))
			continue;
		for (const char *p = value; *p && !found; p += strspn(p, " ")) {
			size_t len = strcspn(p, " ");

			found = by_id(p, len, have);
			p += len;
		}
	}
	return found;
}

static bool is_there(const char *path)
{
	return access(path, X_OK) == 0;
}

const struct setup_family *setup_of_image(void)
{
	static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_free_ char *text = NULL;

		if (bg_read_file_at(AT_FDCWD, paths[i], OS_RELEASE_MAX, &text, NULL) == 0)
			return setup_find(text, is_there);
	}
	return NULL;
}

const char *setup_tool(const struct setup_family *family)
{
	return family->tool;
}

static _noreturn_ void exec_command(const struct command *command)
{
	char *env[] = {(char[]){"HOME=/root"}, (char[]){"TERM=dumb"}, (char[]){"LC_ALL=C"},
		(char[]){"DEBIAN_FRONTEND=noninteractive"},
		(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		NULL};
	char *argv[COMMAND_WORDS + 1] = {NULL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int console = open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);

	for (size_t i = 0; i < COMMAND_WORDS; i++)
		argv[i] = (char *)(uintptr_t)command->words[i];
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(console, STDOUT_FILENO);
	(void)dup2(console, STDERR_FILENO);
	(void)execve(argv[0], argv, env);
	_exit(127);
}

/*
 * zypper(8): a reboot (102) or a restart of itself (103) is due, a repository was skipped (106), a
 * package's script failed (107), as many do without an init. It has installed all the same.
 */
static bool ended_well(const struct setup_family *family, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (family->well_with_notes && (code == 102 || code == 103 || code == 106 || code == 107))
		return true;
	return code == 0;
}

static bool run_command(const struct setup_family *family, const struct command *command)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		exec_command(command);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && ended_well(family, status))
		return true;
	log_line("%s %s: failed (wait status 0x%x)", command->words[0], command->words[1],
		(unsigned)status);
	return false;
}

static bool run_list(const struct setup_family *family, const struct command list[COMMANDS])
{
	for (size_t i = 0; i < COMMANDS && list[i].words[0]; i++)
		if (!run_command(family, &list[i]))
			return false;
	return true;
}

bool setup_run(const struct setup_family *family, enum setup_wish wish)
{
	log_line("bringing an ssh server in with %s", family->tool);
	if (!run_list(family, family->ssh))
		return false;
	if (wish != SETUP_INIT)
		return true;
	log_line("bringing an init in with %s", family->tool);
	return run_list(family, family->init);
}

bool setup_init_fits(const char *target, const char *inittab, bool has_openrc)
{
	const char *name = strrchr(target, '/');

	if (!bg_streq(name ? name + 1 : target, "busybox"))
		return true;
	return inittab && (has_openrc || !strstr(inittab, "/sbin/openrc"));
}

static bool fits(const char *path)
{
	_free_ char *target = realpath(path, NULL);
	_free_ char *inittab = NULL;

	(void)bg_read_file_at(AT_FDCWD, "/etc/inittab", OS_RELEASE_MAX, &inittab, NULL);
	return setup_init_fits(target ? target : path, inittab, is_there("/sbin/openrc"));
}

const char *setup_find_init(void)
{
	static const char *const paths[] = {"/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd",
		"/usr/lib/systemd/systemd", "/etc/init", "/bin/init", "/init"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (is_there(paths[i]) && fits(paths[i]))
			return paths[i];
	return NULL;
}
