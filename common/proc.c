/* SPDX-License-Identifier: ISC */
/* proc.c: One read of a small file each; what cannot be read counts as gone. */
#include "common/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"

enum { TEXT_MAX = 16 * 1024 };

int bg_proc_read(pid_t pid, const char *file, size_t max, char **ret, size_t *ret_len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return bg_read_file_at(AT_FDCWD, path, max, ret, ret_len);
}

/* "PID (NAME) STATE ..." of /proc/PID/stat; a zombie waits for its parent, and is nobody any more. */
bool bg_proc_is_called(pid_t pid, const char *comm)
{
	_free_ char *text = NULL;
	size_t len = strlen(comm);
	const char *name, *end;

	if (bg_proc_read(pid, "stat", TEXT_MAX, &text, NULL) < 0)
		return false;
	name = strchr(text, '(');
	end = strrchr(text, ')');
	return name && end && (size_t)(end - name - 1) == len &&
	       strncmp(name + 1, comm, len) == 0 && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}

bool bg_proc_is_ours(pid_t pid)
{
	_free_ char *text = NULL;
	unsigned uid;
	const char *p;

	if (bg_proc_read(pid, "status", TEXT_MAX, &text, NULL) < 0)
		return false;
	p = strstr(text, "\nUid:");
	return p && sscanf(p, "\nUid: %u", &uid) == 1 && uid == getuid();
}

/* Field 4 of /proc/PID/stat; the name before it may hold spaces and brackets. */
pid_t bg_proc_parent(pid_t pid)
{
	_free_ char *text = NULL;
	int parent = 0;
	const char *p;

	if (bg_proc_read(pid, "stat", TEXT_MAX, &text, NULL) < 0)
		return 0;
	p = strrchr(text, ')');
	return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

char bg_proc_state(pid_t pid)
{
	_free_ char *text = NULL;
	const char *p;

	if (bg_proc_read(pid, "stat", TEXT_MAX, &text, NULL) < 0)
		return 0;
	p = strrchr(text, ')');
	return p && p[1] == ' ' ? p[2] : 0;
}

int bg_proc_each(int (*fn)(pid_t pid, void *userdata), void *userdata)
{
	DIR *proc = opendir("/proc");
	const struct dirent *de;
	int r = 0;

	if (!proc)
		return -errno;
	while (r == 0 && (de = readdir(proc)))
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9')
			r = fn((pid_t)strtol(de->d_name, NULL, 10), userdata);
	closedir(proc);
	return r;
}
