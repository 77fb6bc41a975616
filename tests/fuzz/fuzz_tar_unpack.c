/* SPDX-License-Identifier: ISC */
/* A tar stream from a guest: whatever it says, nothing beside the destination changes. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/tar.h"
#include "tests/fuzz/fuzz.h"

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static char base[] = "/tmp/banger-fuzz-XXXXXX", to[64], keep[64];

static void clean_up(void)
{
	(void)bg_rm_rf_at(AT_FDCWD, base);
}

static void prepare(void)
{
	if (!to[0]) {
		if (!mkdtemp(base))
			abort();
		snprintf(to, sizeof(to), "%s/to", base);
		snprintf(keep, sizeof(keep), "%s/keep", base);
		if (mkdir(to, 0700) < 0 || bg_write_file_at(AT_FDCWD, keep, "safe", 4, 0600) < 0 ||
			atexit(clean_up))
			abort();
	}
	if (entries(to) != 2 && (bg_rm_rf_at(AT_FDCWD, to) < 0 || mkdir(to, 0700) < 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_close_ int fd = memfd_create("tar", MFD_CLOEXEC);
	struct bg_tar_unpacking u = {.in_fd = fd};
	_err_ struct bg_err *err = NULL;
	_free_ char *text = NULL;
	int r;

	prepare();
	if (fd < 0 || bg_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	r = bg_tar_unpack(&u, to, false, &err);
	if ((r < 0) != (err != NULL))
		abort();
	if (bg_read_file_at(AT_FDCWD, keep, 64, &text, NULL) < 0 || !bg_streq(text, "safe") ||
		entries(base) != 4)
		abort();
	return 0;
}
