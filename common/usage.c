/* SPDX-License-Identifier: ISC */
/* usage.c: Fields of /proc/PID/stat, statm and io, and what stat(2) says of the disks. */
#include "common/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base.h"
#include "common/fd.h"

enum { TEXT_MAX = 4096 };

/* /proc/PID/name as text; NULL when it cannot be read. */
static char *read_proc(pid_t pid, const char *name)
{
	char path[64];
	char *text = NULL;

	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)pid, name);
	return bg_read_file_at(AT_FDCWD, path, TEXT_MAX, &text, NULL) < 0 ? NULL : text;
}

/* Fields 14 and 15 of stat, behind a name in brackets. */
static int read_cpu(pid_t pid, double *ret)
{
	_free_ char *text = read_proc(pid, "stat");
	const char *rest = text ? strrchr(text, ')') : NULL;
	unsigned long user, system;

	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			     &system) != 2)
		return -ESRCH;
	*ret = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	return 0;
}

static int64_t resident_bytes(pid_t pid)
{
	_free_ char *text = read_proc(pid, "statm");
	long long pages = 0;

	if (!text || sscanf(text, "%*d %lld", &pages) != 1)
		return 0;
	return pages * sysconf(_SC_PAGESIZE);
}

int64_t bg_usage_pss(pid_t pid)
{
	_free_ char *text = read_proc(pid, "smaps_rollup");
	const char *line = text ? strstr(text, "\nPss: ") : NULL;
	long long kib = 0;

	return line && sscanf(line, "\nPss: %lld", &kib) == 1 ? kib * 1024 : 0;
}

static int64_t written_bytes(pid_t pid)
{
	_free_ char *text = read_proc(pid, "io");
	const char *line = text ? strstr(text, "\nwrite_bytes: ") : NULL;
	long long bytes = 0;

	return line && sscanf(line, "\nwrite_bytes: %lld", &bytes) == 1 ? bytes : 0;
}

static int64_t disk_bytes(const char *const *files)
{
	struct stat st;
	int64_t sum = 0;

	for (; *files; files++)
		if (stat(*files, &st) >= 0)
			sum += (int64_t)st.st_blocks * 512;
	return sum;
}

int bg_usage_read(pid_t pid, const char *const *files, struct bg_usage *ret)
{
	int r = read_cpu(pid, &ret->cpu_s);

	if (r < 0)
		return r;
	ret->memory_bytes = resident_bytes(pid);
	ret->written_bytes = written_bytes(pid);
	ret->disk_bytes = disk_bytes(files);
	return 0;
}
