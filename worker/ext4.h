/* SPDX-License-Identifier: ISC */
/*
 * ext4.h: writes a new ext4 file system into an empty file, entry by entry, in one pass.
 * Called by the jobs mkfs, unpack and kernel. Names live in memory until ext4_finish()
 * writes the directories; file data goes straight to its blocks. It never reads a file
 * system that somebody else made and never touches anything but its one descriptor.
 *
 * Paths are relative to the root of the image. Symbolic links on the way to an entry are
 * followed inside the image, as a chroot would; nothing can lead out of it because there
 * is not an outside. Leaf code: returns -errno, with these meanings of its own:
 *   -ENOSPC   the host's file system is full
 *   -EFBIG    the image is full: its content is larger than ext4_opts.max_size
 */
#ifndef BG_WORKER_EXT4_H
#define BG_WORKER_EXT4_H

#include <sys/types.h>

#include "common/base.h"

#define EXT4_BLOCK 4096u

struct ext4;
struct ext4_node; /* a name in the image; valid until ext4_free */

struct ext4_opts {
	const char *label;     /* at most 16 bytes are kept; may be NULL */
	uint64_t max_size;     /* bytes; content beyond is -EFBIG */
	uint64_t journal_size; /* bytes, 0 for none */
	uint32_t max_entries;  /* names; more are -EFBIG */
	bool replace_trees;    /* layers: a directory with children is replaced like anything
				* else, and so is a file of a lower layer on the way to a name */
};

struct ext4_attr {
	uint32_t mode; /* permission bits incl. setuid; the type bits are ignored */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t major, minor; /* device nodes */
};

/* Starts a file system; fd is truncated, and borrowed until ext4_free. *ret by ext4_free. */
int ext4_create(int fd, const struct ext4_opts *opts, struct ext4 **ret);
void ext4_free(struct ext4 *e);
BG_DEFINE_UNREF(ext4, struct ext4 *, ext4_free)

/*
 * Entries. A later entry of the same name replaces the earlier one; a directory keeps its
 * children and takes the new attributes; a directory with children is replaced by nothing
 * else (-ENOTEMPTY) unless opts.replace_trees. Missing parents are made (root, 0755). *ret may be
 * NULL.
 */
int ext4_mkdir(struct ext4 *e, const char *path, const struct ext4_attr *a, struct ext4_node **ret);
int ext4_symlink(struct ext4 *e, const char *path, const char *target, const struct ext4_attr *a,
	struct ext4_node **ret);
int ext4_link(struct ext4 *e, const char *path, const char *target);
/* Character and block devices, fifos, sockets: type is the S_IFMT value. */
int ext4_mknod(struct ext4 *e, const char *path, mode_t type, const struct ext4_attr *a,
	struct ext4_node **ret);

/*
 * Two images as one tree, as the guest sees it: name, right below the top of e, is where inner is
 * mounted. All entries, links and look-ups go through e then; a hard link between the two becomes a
 * copy. When the name becomes a symbolic link nothing is mounted, until it is a directory again.
 * Borrows inner and name until both are freed; each is finished by itself, after ext4_settle().
 */
void ext4_mount(struct ext4 *e, const char *name, struct ext4 *inner);
/*
 * To be called once, after the last entry: the mount point is there, with the attributes of inner's
 * top. Where it is a link, what it leads to is the mount point, and its content moves to inner.
 * home: the attributes of a directory that has to be made. -ENOTDIR: it is or leads to no
 * directory; -EBUSY: it leads to the top.
 */
int ext4_settle(struct ext4 *e, const struct ext4_attr *home);
uint64_t ext4_copied(const struct ext4 *e); /* bytes of such copies */

/*
 * Layers. What is made or told from now on, and the directories on its way, belongs to layer n
 * (0 at the start, at most 255). A whiteout removes path and all below it, but nothing of the
 * current layer; self false: only what is below it. A path that is not there is fine; so is one
 * of the second kind that leads through a link of a lower layer: what that layer has there is a
 * directory beside the link's target, and nothing is hidden by it.
 */
void ext4_layer(struct ext4 *e, unsigned n);
int ext4_whiteout(struct ext4 *e, const char *path, bool self);

/*
 * A regular file: open, any number of writes with offsets that do not go back, close with its
 * size. One at a time. Blocks of zeros become holes.
 */
int ext4_file_open(struct ext4 *e, const char *path, const struct ext4_attr *a);
int ext4_file_write(struct ext4 *e, const void *buf, size_t len, uint64_t offset);
int ext4_file_close(struct ext4 *e, uint64_t size, struct ext4_node **ret);

/* name as Linux has it ("security.capability"); ACLs as the system.posix_acl_* values. */
int ext4_set_xattr(struct ext4 *e, const struct ext4_node *node, const char *name,
	const void *value, size_t len);

/* Finds a name; follows links, the last component's too. -ENOENT. */
int ext4_lookup(struct ext4 *e, const char *path, struct ext4_node **ret);
mode_t ext4_node_type(const struct ext4_node *node); /* an S_IFMT value */
/* Reads a whole file back; *ret is the caller's, at most max bytes (-EFBIG). */
int ext4_read_file(
	struct ext4 *e, const struct ext4_node *node, size_t max, char **ret, size_t *ret_len);

/* A journal that suits a disk that starts with this size and may grow. */
uint64_t ext4_journal_for(uint64_t size);
uint64_t ext4_entries(const struct ext4 *e);
/*
 * Writes what is still in memory and closes the file system. Its size becomes min_size, or
 * larger if the content needs it, with at least min_free bytes free; never over max_size.
 */
int ext4_finish(struct ext4 *e, uint64_t min_size, uint64_t min_free, uint64_t *ret_size);

#endif
