/* SPDX-License-Identifier: ISC */
/* program.c: Searches the absolute folders of PATH. */
#include "common/program.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static int take(const char *path, char **ret)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -ENOENT;
	*ret = strdup(path);
	return *ret ? 0 : -ENOMEM;
}

int bg_program_find(const char *name, char **ret)
{
	const char *path = getenv("PATH");
	_free_ char *copy = NULL;
	int r = -ENOENT;
	char *rest;

	if (strchr(name, '/'))
		return take(name, ret);
	copy = strdup(bg_isempty(path) ? "/usr/local/bin:/usr/bin:/bin" : path);
	if (!copy)
		return -ENOMEM;
	rest = copy;
	for (char *dir; r == -ENOENT && (dir = strsep(&rest, ":"));) {
		char full[PATH_MAX];

		if (dir[0] == '/' &&
			(size_t)snprintf(full, sizeof(full), "%s/%s", dir, name) < sizeof(full))
			r = take(full, ret);
	}
	return r;
}

bool bg_version_at_least(const char *version, unsigned major, unsigned minor)
{
	unsigned is_major, is_minor;

	return version && sscanf(version, "%u.%u", &is_major, &is_minor) == 2 &&
	       (is_major > major || (is_major == major && is_minor >= minor));
}
