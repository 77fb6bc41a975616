/* SPDX-License-Identifier: ISC */
/* See claim.h. Both lookups are of what runs: no file of its own can be left behind or lost. */
#include "daemon/claim.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "common/limits.h"
#include "common/log.h"

#define TAG_PREFIX "banger-" /* of a VMM's -name or --id: daemon/driver/vmm_impl.h */

enum { ASK_S = 2, ANSWERS = 16, CMDLINE_MAX = 64 * 1024 };

static socklen_t address(struct sockaddr_un *addr)
{
	int n;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "banger-daemon/%u",
		(unsigned)getuid());
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int refuse(const char *state_dir, const char *what, struct bg_err **err)
{
	int r = bg_err_set(err, BG_ERR_DAEMON_RUNNING, EBUSY, "%s with another state folder, %s", what,
		state_dir);

	bg_err_hint(err,
		"use that one, or stop its VMs and `banger daemon stop` with the HOME and XDG_STATE_HOME that it "
		"was started with");
	return r;
}

/* false: it is not ours, or says nothing. */
static bool ask(const struct sockaddr_un *addr, socklen_t len, char ret[PATH_MAX])
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval limit = {.tv_sec = ASK_S};
	struct ucred peer;
	socklen_t size = sizeof(peer);
	ssize_t n;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
		connect(fd, (const struct sockaddr *)addr, len) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != getuid())
		return false;
	n = recv(fd, ret, PATH_MAX - 1, MSG_WAITALL);
	ret[BG_MAX(n, (ssize_t)0)] = '\0';
	if (n <= 0)
		snprintf(ret, PATH_MAX, "one whose daemon (process %d) does not answer", (int)peer.pid);
	return true;
}

/* Is p "-name banger-ID" or "--id banger-ID"? */
static const char *id_in(const char *p, const char *before)
{
	size_t len = strlen(TAG_PREFIX);

	if ((!bg_streq(before, "-name") && !bg_streq(before, "--id")) ||
		strlen(p) != len + BG_ID_LEN || strncmp(p, TAG_PREFIX, len) != 0)
		return NULL;
	for (size_t i = 0; i < BG_ID_LEN; i++)
		if (!isdigit((unsigned char)p[len + i]) && (p[len + i] < 'a' || p[len + i] > 'f'))
			return NULL;
	return p + len;
}

/* The state folder that an argument with a VM's file names: what is before "/vms/ID/". */
static bool folder_in(const char *args, size_t len, const char *id, char ret[PATH_MAX])
{
	char part[BG_ID_LEN + 8];

	snprintf(part, sizeof(part), "/vms/%s/", id);
	for (const char *p = args; p < args + len; p += strlen(p) + 1) {
		const char *end = strstr(p, part), *start = end;

		while (start && start > p && !strchr("=\",", start[-1]))
			start--;
		if (!start || *start != '/' || end - start >= PATH_MAX)
			continue;
		memcpy(ret, start, (size_t)(end - start));
		ret[end - start] = '\0';
		return true;
	}
	return false;
}

static bool is_dir(const char *state_dir, const char *id)
{
	char path[PATH_MAX + 64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/vms/%s", state_dir, id);
	return stat(path, &st) >= 0 && S_ISDIR(st.st_mode);
}

/* A VMM of ours whose VM lies in another state folder that is still there. */
static bool foreign_vmm(const char *pid, const struct bg_paths *paths, char ret[PATH_MAX])
{
	const char *before = "", *id = NULL;
	_free_ char *args = NULL;
	char path[64];
	struct stat st;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%.16s", pid);
	if (stat(path, &st) < 0 || st.st_uid != getuid())
		return false;
	snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	if (bg_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &args, &len) < 0)
		return false;
	for (const char *p = args; p < args + len && !id; p += strlen(p) + 1) {
		id = id_in(p, before);
		before = p;
	}
	return id && !is_dir(paths->state_dir, id) && folder_in(args, len, id, ret) && is_dir(ret, id);
}

static int check_vmms(const struct bg_paths *paths, struct bg_err **err)
{
	DIR *proc = opendir("/proc");
	const struct dirent *de;
	char folder[PATH_MAX];
	int r = 0;

	while (proc && r >= 0 && (de = readdir(proc)))
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9' &&
			foreign_vmm(de->d_name, paths, folder))
			r = refuse(folder, "VMs of this user run", err);
	if (proc)
		closedir(proc);
	return r;
}

int claim_take(const struct bg_paths *paths, int *ret_fd, struct bg_err **err)
{
	_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char other[PATH_MAX];
	struct sockaddr_un addr;
	socklen_t len = address(&addr);
	int r;

	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make a socket");
	if (bind(fd, (const struct sockaddr *)&addr, len) >= 0 && listen(fd, ANSWERS) >= 0) {
		*ret_fd = TAKE_FD(fd);
		r = check_vmms(paths, err);
		if (r < 0)
			*ret_fd = bg_close(*ret_fd);
		return r;
	}
	if (ask(&addr, len, other))
		return refuse(other, "bangerd runs already for this user,", err);
	/* Somebody else's name, or none to be had: the network helper's own lock is left. */
	log_msg(LOG_WARN, "monitor", "the claim of this user cannot be taken", NULL);
	return check_vmms(paths, err);
}

void claim_answer(int fd, const struct bg_paths *paths)
{
	for (int i = 0; i < ANSWERS; i++) {
		_close_ int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer < 0)
			return;
		(void)send(peer, paths->state_dir, strlen(paths->state_dir),
			MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}
