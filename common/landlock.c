/* SPDX-License-Identifier: ISC */
/* See landlock.h. */
#include "common/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr as of ABI 6; older kernels take it when what they lack is zero. */
struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t rights;
	int32_t parent;
} __attribute__((packed));

enum {
	VERSION = 1, /* LANDLOCK_CREATE_RULESET_VERSION */
	PATH_BENEATH = 1,
	BIND_TCP = 1 << 0,
	CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
	FOR_FILES = BG_LL_EXECUTE | BG_LL_WRITE_FILE | BG_LL_READ_FILE | BG_LL_TRUNCATE |
		    BG_LL_IOCTL_DEV,
};

/* By ABI, from 0 on: the kernel's documentation has the same list. */
static const uint64_t fs_rights[] = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};

int bg_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION);

	return abi < 0 ? 0 : (int)abi;
}

int bg_landlock_new(int abi_max, bool connects, struct bg_landlock *ret)
{
	int abi = bg_landlock_abi();
	struct ruleset attr = {};

	if (abi_max > 0)
		abi = BG_MIN(abi, abi_max);
	*ret = (struct bg_landlock){.abi = abi, .fd = -1};
	if (abi == 0)
		return 0;
	attr.fs = fs_rights[BG_MIN((size_t)abi, ARRAY_SIZE(fs_rights) - 1)];
	if (abi >= BG_LL_ABI_NET)
		attr.net = BIND_TCP | (connects ? 0 : CONNECT_TCP);
	if (abi >= BG_LL_ABI_SCOPE)
		attr.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	ret->handled = attr.fs;
	ret->fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	return ret->fd < 0 ? -errno : 0;
}

int bg_landlock_allow_fd(struct bg_landlock *ll, int fd, uint64_t rights)
{
	struct path_rule rule = {.rights = rights & ll->handled, .parent = fd};
	struct stat st;

	if (ll->abi == 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISDIR(st.st_mode))
		rule.rights &= FOR_FILES;
	if (rule.rights == 0)
		return 0;
	return syscall(SYS_landlock_add_rule, ll->fd, PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int bg_landlock_allow(struct bg_landlock *ll, const char *path, uint64_t rights, int flags)
{
	_close_ int fd = -1;

	if (ll->abi == 0)
		return 0;
	fd = open(path, O_PATH | O_CLOEXEC | flags);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	return bg_landlock_allow_fd(ll, fd, rights);
}

int bg_landlock_enter(struct bg_landlock *ll)
{
	if (ll->abi == 0)
		return 0;
	return syscall(SYS_landlock_restrict_self, ll->fd, 0) < 0 ? -errno : 0;
}

void bg_landlock_done(struct bg_landlock *ll)
{
	ll->fd = bg_close(ll->fd);
}
