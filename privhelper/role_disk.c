/* SPDX-License-Identifier: ISC */
/*
 * role_disk.c: banger-privhelper-disk. See role.h. Its rights:
 *
 * - CAP_SYS_ADMIN: device-mapper's ioctls ask for it, and fsmount does.
 * - CAP_MKNOD: the node that is handed out, and our own of the devices that we open. With them made by number
 *   in a file system of our own, root's nodes in /dev need not be opened, so that there is neither
 *   CAP_DAC_OVERRIDE nor group disk. The owner of a new node is our uid, the user's, so that there is no CAP_CHOWN.
 * - its group: it owns LEDGER_DISK and may write BG_DISK_NODE_DIR; kept, because nodes come and go as long as we
 *   serve. It owns nothing else, and the network helper has another.
 *
 * Whoever took this process over had the host's disks all the same: that is why it has so few
 * system calls, and none that takes a path from outside.
 */
#include "privhelper/role.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "privhelper/sandbox.h"

static enum priv_code open_disk(struct session *s)
{
	int r = blk_open(&s->blk);

	if (r < 0)
		return r == -ENODEV ? PRIV_CODE_NO_DM : PRIV_CODE_NO_NODES;
	return session_ledger(s, LEDGER_DISK, 0);
}

enum { MOUNT_ROWS = 10 };

static enum priv_code seal_disk(const struct session *s)
{
	const int ledger = s->ledger.fd, nodes = s->blk.nodes, private = s->blk.private,
		  dm = s->blk.dm_control;
	const struct seal_row rows[] = {
		{SCMP_SYS(ppoll), RULE_ANY, 0, 0, "wait for a request"},
		{SCMP_SYS(recvmsg), RULE_FD, SESSION_SOCK, 0, "requests"},
		{SCMP_SYS(sendmsg), RULE_FD, SESSION_SOCK, 0, "replies"},
		{SCMP_SYS(sendto), RULE_FD, s->log, 0, "a line for each verb"},
		{SCMP_SYS(pread64), RULE_ANY, 0, 0, "ledger rows, an overlay's header"},
		{SCMP_SYS(pwrite64), RULE_FD, ledger, 0, "ledger rows"},
		{SCMP_SYS(fdatasync), RULE_FD, ledger, 0, "intent before the device"},
		{SCMP_SYS(fcntl), RULE_FD | RULE_COMMAND, ledger, F_OFD_SETLK, "the uid's lock"},
		{SCMP_SYS(fcntl), RULE_COMMAND, 0, F_GETFL, "access mode of a file sent to us"},
		{SCMP_SYS(fstat), RULE_ANY, 0, 0, "kind, owner, links, size of such a file"},
		{SCMP_SYS(newfstatat), RULE_ANY, 0, 0, "the same in newer libcs; nodes"},
		{SCMP_SYS(fstatfs), RULE_ANY, 0, 0, "its file system"},
		{SCMP_SYS(clock_nanosleep), RULE_ANY, 0, 0, "the uid's lock, udev's look"},
		{SCMP_SYS(restart_syscall), RULE_ANY, 0, 0, "that wait, after SIGSTOP and SIGCONT"},
		{SCMP_SYS(getrandom), RULE_ANY, 0, 0, "the nonce of a uuid"},
		{SCMP_SYS(mknodat), RULE_FD, private, 0, "a loop device, to open it"},
		{SCMP_SYS(openat), RULE_FD | RULE_FLAGS, private, O_RDWR | O_CLOEXEC,
			"a loop device"},
		{SCMP_SYS(unlinkat), RULE_FD, private, 0, "its node again"},
		{SCMP_SYS(mknodat), RULE_FD, nodes, 0, "the node that is handed out"},
		{SCMP_SYS(unlinkat), RULE_FD, nodes, 0, "that node again"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, s->blk.loop_control, LOOP_CTL_GET_FREE,
			"a loop"},
		{SCMP_SYS(ioctl), RULE_COMMAND, 0, LOOP_CONFIGURE, "bind a file to it"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_DEV_CREATE, "a disk"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_TABLE_LOAD, "its table"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_TABLE_STATUS,
			"as it was taken"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_DEV_SUSPEND,
			"which is resume"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_DEV_STATUS,
			"whether it is there"},
		{SCMP_SYS(ioctl), RULE_FD | RULE_COMMAND, dm, (uint32_t)DM_DEV_REMOVE, "its end"},
		{SCMP_SYS(close), RULE_ANY, 0, 0, "loops, descriptors of messages"},
		{SCMP_SYS(exit_group), RULE_ANY, 0, 0, "the end"},
		/* The last MOUNT_ROWS: only where the administrator turned MOUNT on. */
		{SCMP_SYS(fsopen), RULE_ANY, 0, 0, "an image's file system"},
		{SCMP_SYS(fsconfig), RULE_ANY, 0, 0, "its loop and options"},
		{SCMP_SYS(fsmount), RULE_ANY, 0, 0, "a detached mount of it"},
		{SCMP_SYS(clone), RULE_FD, CLONE_FILES | SIGCHLD, 0,
			"who locks its flags; the first argument is not a descriptor here"},
		{SCMP_SYS(unshare), RULE_FD, CLONE_NEWNS, 0, "a tree to attach it in"},
		{SCMP_SYS(unshare), RULE_FD, CLONE_NEWUSER | CLONE_NEWNS, 0, "the lock"},
		{SCMP_SYS(mount), RULE_ANY, 0, 0, "that tree becomes private"},
		{SCMP_SYS(move_mount), RULE_ANY, 0, 0, "into that tree"},
		{SCMP_SYS(open_tree), RULE_ANY, 0, 0, "out of it again"},
		{SCMP_SYS(wait4), RULE_ANY, 0, 0, "the child's end"},
	};
	const size_t n = ARRAY_SIZE(rows) - (s->policy.mount ? 0 : MOUNT_ROWS);

	return sandbox_seal(rows, n);
}

#define ANSWER_NET(NAME, name)
#define ANSWER_BOTH(NAME, name) [PRIV_##NAME] = answer_##name,
#define ANSWER_DISK(NAME, name) [PRIV_##NAME] = answer_##name,

const struct role role = {
	.ledger_path = LEDGER_DISK,
	.caps = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_MKNOD,
	.keeps_group = true,
	.open = open_disk,
	.seal = seal_disk,
	.live = disk_live,
	.remove = disk_remove,
	.detach = disk_detach,
	.answers =
		{
#define PRIV_VERB(NAME, name, number, helper, ...) ANSWER_##helper(NAME, name)
#include "common/priv_verbs.def"
#undef PRIV_VERB
		},
};
