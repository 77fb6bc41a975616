/* SPDX-License-Identifier: ISC */
/* companion.c: Looks where this program lies, by /proc/self/exe. */
#include "common/companion.h"

#include <limits.h>
#include <stdio.h>

/* Folder that the program itself lies in, without a '/' at its end. */
static int own_dir(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return -errno;
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

int companion_find(const char *folder, const char *name, char **ret, struct bg_err **err)
{
	_free_ char *built = NULL, *installed = NULL, *near = NULL, *beside = NULL;
	char dir[PATH_MAX];
	int r = own_dir(dir);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "find the folder that banger lies in");
	if (asprintf(&built, "%s/../%s/%s", dir, folder, name) < 0 ||
		asprintf(&beside, "%s/%s", dir, name) < 0 ||
		asprintf(&near, "%s/../libexec/banger/%s", dir, name) < 0 ||
		asprintf(&installed, "%s/%s", BG_PROGRAM_DIR, name) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (access(built, X_OK) == 0)
		*ret = TAKE_PTR(built);
	else if (access(beside, X_OK) == 0)
		*ret = TAKE_PTR(beside);
	else if (access(near, X_OK) == 0)
		*ret = TAKE_PTR(near);
	else if (access(installed, X_OK) == 0)
		*ret = TAKE_PTR(installed);
	else
		return bg_err_set(err, BG_ERR_TOOL_MISSING, ENOENT, "%s is neither %s nor %s", name,
			built, installed);
	return 0;
}
