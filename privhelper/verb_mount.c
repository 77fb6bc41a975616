/* SPDX-License-Identifier: ISC */
/*
 * verb_mount.c: MOUNT, a user's ext4 image as a detached mount: nobody sees it in a mount tree, and
 * it is gone with the last descriptor. Off unless the administrator's file turns it on: the image's
 * bytes are the user's, who can go on changing them, and the kernel's ext4 was not written for
 * that.
 *
 * Whoever holds a detached mount can attach it in a mount namespace of their own user namespace,
 * and clear its nodev there; a device node in the image would then be the host's device. Flags stay
 * for good only where the kernel has locked them, which it does when a mount is copied to a mount
 * namespace of another user namespace. So a child takes the mount there and back. Nothing is
 * recorded: a kill at any point ends the child's namespaces, the mount and the loop.
 */
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/disk_layout.h"
#include "privhelper/disk_file.h"
#include "privhelper/session.h"

/* noload: the journal is not replayed, which would write. errors: the image may ask for a panic. */
static int configure(int fs, int loop)
{
	char source[32];

	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", loop);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_FLAG, "noload", NULL, 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "errors", "remount-ro", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return 0;
}

static int mount_detached(int loop)
{
	_close_ int fs = fsopen("ext4", FSOPEN_CLOEXEC);
	int fd, r = fs < 0 ? -errno : configure(fs, loop);

	if (r < 0)
		return r;
	fd = fsmount(fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : fd;
}

/* In the child, whose descriptors are the parent's. The place is only one that exists. 0: it went
 * wrong. */
static int through_namespaces(int mount_fd)
{
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		move_mount(mount_fd, "", AT_FDCWD, BG_DISK_NODE_DIR, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return 0;
	fd = open_tree(AT_FDCWD, BG_DISK_NODE_DIR, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return fd < 0 || fd > 255 ? 0 : fd;
}

/* The same mount with its flags locked; its number comes as the child's exit status. */
static int lock_flags(int mount_fd)
{
	const unsigned long wanted = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	struct statvfs fs;
	int status, fd;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(through_namespaces(mount_fd));
	if (waitpid((pid_t)pid, &status, 0) != pid || !WIFEXITED(status) ||
		WEXITSTATUS(status) == 0)
		return -EPERM;
	fd = WEXITSTATUS(status);
	if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & wanted) == wanted)
		return fd;
	bg_close(fd);
	return -EPERM;
}

static int make_mount(struct session *s, int file, uint64_t size)
{
	const struct blk_part part = {.file = file, .size = size};
	struct blk_loop loop = {-1, 0};
	_close_ int first = -1;
	int r = blk_loop_make(&s->blk, &part, &loop);

	if (r < 0)
		return r;
	first = mount_detached(loop.fd);
	bg_close(loop.fd); /* the file system holds it */
	return first < 0 ? first : lock_flags(first);
}

enum priv_code answer_mount(struct session *s, const struct priv_req *req, struct priv_rep *rep)
{
	enum priv_code code;
	uint64_t size;
	int fd;

	if (!s->policy.mount)
		return PRIV_CODE_MOUNT_OFF;
	code = disk_image_check(req->fds[0], s->uid, &size);
	if (code != PRIV_CODE_OK)
		return code;
	if (s->mounts >= s->policy.slots_per_user)
		return PRIV_CODE_SLOT_LIMIT;
	fd = make_mount(s, req->fds[0], size);
	if (fd < 0)
		return fd == -ENODEV ? PRIV_CODE_NO_DM : PRIV_CODE_FAILED;
	s->mounts++;
	rep->fds[0] = fd;
	return PRIV_CODE_OK;
}
