/* SPDX-License-Identifier: ISC */
/* priv_check.c: looks at the file, its folder and its rights; the first thing that is wrong is the answer. */
#include "host/priv_check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "common/fd.h"

static void close_file(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

const char *priv_helper_path(void)
{
	const char *path = getenv("BANGER_PRIVHELPER");

	return bg_isempty(path) ? BG_LIBEXEC_DIR "/banger-privhelper" : path;
}

const char *priv_disk_helper_path(void)
{
	const char *path = getenv("BANGER_PRIVHELPER_DISK");

	return bg_isempty(path) ? BG_LIBEXEC_DIR "/banger-privhelper-disk" : path;
}

/*
 * The name of a number in /etc/passwd or /etc/group, the caller's; NULL when it is not there. Not
 * the name service: that may ask a server, and the engine has no time to wait for one.
 */
static char *name_in(const char *file, unsigned id)
{
	_cleanup_(close_file) FILE *f = fopen(file, "re");
	_free_ char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		char *rest = line, *name = strsep(&rest, ":"), *end;

		(void)strsep(&rest, ":"); /* the password */
		if (rest && strtoul(rest, &end, 10) == id && end > rest && *end == ':')
			return strdup(name);
	}
	return NULL;
}

/* The group of the helper's own folder, to which path may be a link. NULL when it cannot be told.
 */
static char *members_of(const char *path)
{
	char target[PATH_MAX], *slash;
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	struct stat st;

	if (n < 0)
		n = snprintf(target, sizeof(target), "%s", path);
	target[BG_MIN((size_t)n, sizeof(target) - 1)] = '\0';
	slash = strrchr(target, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return stat(target, &st) == 0 ? name_in("/etc/group", st.st_gid) : NULL;
}

/* Everybody but that group cannot even look into the folder. */
static int not_member(const char *path, struct bg_err **err)
{
	_free_ char *known = name_in("/etc/passwd", getuid()), *members = members_of(path);
	const char *named = getenv("USER"); /* who is in no file has a login that says so */
	const char *user = known ? known : bg_isempty(named) ? NULL : named;
	const char *group = members ? members : "banger";

	bg_err_set(err, BG_ERR_HELPER_NOT_MEMBER, EACCES,
		"%s may not use the network helper: not in group %s", user ? user : "this user",
		group);
	bg_err_hint(
		err, "`sudo usermod -aG %s %s`, then log in again", group, user ? user : "$USER");
	return -EACCES;
}

static bool has_caps(const char *path)
{
	const uint32_t wanted = 1U << CAP_NET_ADMIN;
	struct vfs_ns_cap_data cap = {0};
	ssize_t n = getxattr(path, "security.capability", &cap, sizeof(cap));

	return n >= (ssize_t)XATTR_CAPS_SZ_2 && (cap.data[0].permitted & wanted) == wanted;
}

/* NULL, or what takes the helper's rights away. */
static const char *no_rights(const char *path, const struct stat *st)
{
	struct statvfs fs;

	if (!S_ISREG(st->st_mode) || st->st_uid != 0)
		return "it does not belong to root";
	if (!has_caps(path))
		return "it lacks the file capability cap_net_admin";
	if (!(st->st_mode & S_ISGID))
		return "it lacks its setgid bit";
	if (statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return "its file system is mounted nosuid";
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return "bangerd runs under no_new_privs, where nothing can gain rights";
	return NULL;
}

int priv_helper_check(const char *path, struct bg_err **err)
{
	const char *why;
	struct stat st;

	if (stat(path, &st) < 0 || access(path, X_OK) < 0)
		return errno == EACCES ? not_member(path, err)
				       : bg_err_sys(err, BG_ERR_HELPER_MISSING, errno,
						 "the network helper %s", path);
	why = no_rights(path, &st);
	if (why)
		return bg_err_set(err, BG_ERR_HELPER_NO_CAP, EPERM,
			"the network helper %s has no rights: %s", path, why);
	return 0;
}

/* Numbers in the file are in the network's order, as this host reads them. */
bool priv_route_overlap_in(char *routes, const char *gateway, char ret[PRIV_ROUTE_TEXT])
{
	char *at = NULL, name[32], text[INET_ADDRSTRLEN];
	struct in_addr own, to;
	unsigned dst, mask;

	if (inet_pton(AF_INET, gateway, &own) != 1)
		return false;
	for (char *line = strtok_r(routes, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
		const uint32_t net_mask = htonl(0xffffff00);

		if (sscanf(line, "%31s %x %*x %*x %*d %*d %*d %x", name, &dst, &mask) != 3 ||
			__builtin_popcount(mask) <= 1 || name[0] == '*' ||
			strncmp(name, "bgr", 3) == 0 || ((own.s_addr ^ dst) & mask & net_mask) != 0)
			continue;
		to.s_addr = dst;
		(void)snprintf(ret, PRIV_ROUTE_TEXT, "%s/%d by %s",
			inet_ntop(AF_INET, &to, text, sizeof(text)), __builtin_popcount(mask),
			name);
		return true;
	}
	return false;
}

bool priv_route_overlap(const char *gateway, char ret[PRIV_ROUTE_TEXT])
{
	enum { ROUTES_MAX = 1 << 20 };
	_free_ char *routes = NULL;

	return bg_read_file_at(AT_FDCWD, "/proc/net/route", ROUTES_MAX, &routes, NULL) >= 0 &&
	       priv_route_overlap_in(routes, gateway, ret);
}
