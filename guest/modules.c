/* SPDX-License-Identifier: ISC */
/* See modules.h. The kernel's archive holds plain .ko files: nothing is decompressed here. */
#include "guest/modules.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "common/fd.h"
#include "common/guest_conf.h"

enum { LIST_MAX = 64 * 1024 };

static int load(int dir, const char *name)
{
	_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV)
		return -errno;
	return 0;
}

int modules_load(const char *path, unsigned *ret_count, struct bg_err **err)
{
	_free_ char *list = NULL;
	_close_ int dir = -1;
	char *save = NULL;
	int r, first = 0;

	*ret_count = 0;
	r = bg_read_file_at(AT_FDCWD, path, LIST_MAX, &list, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "read %s", path);
	dir = open(BG_GUEST_MODULE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open %s", BG_GUEST_MODULE_DIR);
	for (char *m = strtok_r(list, "\n", &save); m; m = strtok_r(NULL, "\n", &save)) {
		r = load(dir, m);
		if (r == 0)
			(*ret_count)++;
		else if (first == 0)
			first = bg_err_sys(err, BG_ERR_IO, -r, "module %s", m);
	}
	return first;
}
