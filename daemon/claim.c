/* SPDX-License-Identifier: ISC */
/* See claim.h. Both lookups are of what runs: no file of its own can be left behind or lost. */
#include "daemon/claim.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fd.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/proc.h"

#define TAG_PREFIX "banger-" /* of a VMM's -name or --id: daemon/driver/vmm_impl.h */

enum { ASK_S = 2, ANSWERS = 16, CMDLINE_MAX = 64 * 1024, UNIX_MAX = 16 * 1024 * 1024 };

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
	int r = bg_err_set(err, BG_ERR_DAEMON_RUNNING, EBUSY, "%s with another state folder, %s",
		what, state_dir);

	bg_err_hint(err, "use that one, or stop its VMs and `banger daemon stop` with the HOME and "
			 "XDG_STATE_HOME that it "
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
		snprintf(ret, PATH_MAX, "one whose daemon (process %d) does not answer",
			(int)peer.pid);
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

static bool is_dir(const char *state_dir, const char *id)
{
	char path[PATH_MAX + 64];
	struct stat st;

	snprintf(path, sizeof(path), "%s/vms/%s", state_dir, id);
	return stat(path, &st) >= 0 && S_ISDIR(st.st_mode);
}

/*
 * The state folder of a VM that runs, by the path of its sockets: STATE/run/vm/, 12 digits of its
 * id. Any process of this network may read the list (proc(5)); a VMM's arguments need not name a
 * path.
 */
static bool folder_of(const char *id, char ret[PATH_MAX])
{
	_free_ char *text = NULL;
	char part[32];

	snprintf(part, sizeof(part), "/run/vm/%.12s/", id);
	if (bg_read_file_at(AT_FDCWD, "/proc/self/net/unix", UNIX_MAX, &text, NULL) < 0)
		return false;
	for (const char *end = strstr(text, part); end; end = strstr(end + 1, part)) {
		const char *start = end;

		while (start > text && start[-1] != '\n' && !(start[-1] == ' ' && *start == '/'))
			start--;
		if (*start != '/' || end - start >= PATH_MAX)
			continue;
		memcpy(ret, start, (size_t)(end - start));
		ret[end - start] = '\0';
		return true;
	}
	return false;
}

struct search {
	const struct bg_paths *paths;
	char folder[PATH_MAX];
};

/* 1 for a VMM of ours whose VM lies in another state folder that is still there. */
static int is_foreign(pid_t pid, void *userdata)
{
	const char *before = "", *id = NULL;
	struct search *search = userdata;
	_free_ char *args = NULL;
	size_t len;

	if (bg_proc_read(pid, "cmdline", CMDLINE_MAX, &args, &len) < 0)
		return 0;
	for (const char *p = args; p < args + len && !id; p += strlen(p) + 1) {
		id = id_in(p, before);
		before = p;
	}
	return id && bg_proc_is_ours(pid) && !is_dir(search->paths->state_dir, id) &&
	       folder_of(id, search->folder) && is_dir(search->folder, id);
}

static int check_vmms(const struct bg_paths *paths, struct bg_err **err)
{
	struct search search = {.paths = paths};

	return bg_proc_each(is_foreign, &search) > 0
		       ? refuse(search.folder, "VMs of this user run", err)
		       : 0;
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
