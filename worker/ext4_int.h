/* SPDX-License-Identifier: ISC */
/* ext4_int.h: what the files of the ext4 writer share; nobody else includes it. */
#ifndef BG_WORKER_EXT4_INT_H
#define BG_WORKER_EXT4_INT_H

#include <ext2fs/ext2fs.h>
#include <sys/stat.h>

#include "worker/ext4.h"

#define EXT4_LINK_DEPTH	 40	      /* links followed for one path, as Linux does */
#define EXT4_LINK_MAX_	 65000	      /* links of one file or directory: EXT4_LINK_MAX of Linux */
#define EXT4_FILE_BUFFER (256 * 1024) /* bytes gathered before blocks are chosen */
#define EXT4_RUN_MAX	 32768	      /* blocks of one initialised extent */
#define EXT4_TREE_INLINE 4	      /* extents that fit into the inode */

#define EXT4_NAMES_MAX (256 * MIB) /* memory for the names of one image */

/*
 * A name. Names that were removed stay in memory, marked dead, until ext4_free.
 * An inode number may stand in several nodes: those are hard links. There may be millions of these:
 * they lie side by side in e->names, and refer to each other by place there (ext4_at; 0 is none).
 */
struct ext4_node {
	uint32_t parent, hash_next, sibling;
	union {
		uint32_t children; /* directory: its newest child */
		uint32_t target;   /* symbolic link: place of its text */
	};
	uint32_t ino;
	unsigned type : 4; /* S_IFMT value >> 12 */
	unsigned dead : 1;
	uint8_t len;
	uint8_t layer;	/* the newest that told of it, or of something below it */
	uint8_t opaque; /* the layer that was last through removing what others have here */
	char name[];
};

struct ext4_run {
	uint64_t logical, physical, count; /* blocks */
};

struct ext4_runs {
	struct ext4_run *v;
	size_t n, room;
	uint64_t blocks;
};

/* The one regular file that is being written. */
struct ext4_file {
	bool open;
	struct ext4 *to; /* the image that it goes to: this one, or what is mounted in it */
	struct ext4_node *node;
	struct ext4_attr attr;
	struct ext4_runs runs;
	uint8_t *buf;	  /* EXT4_FILE_BUFFER bytes, zero beyond used */
	uint64_t buf_off; /* logical offset of buf, a multiple of the block size */
	size_t used;
};

struct ext4 {
	ext2_filsys fs;
	int fd;
	struct ext4_opts opts;
	blk64_t next_block; /* where the search for a free block starts */
	ext2_ino_t next_ino;
	struct ext4_node *root;
	uint8_t *names; /* reserved in one piece: pointers into it stay good */
	size_t names_room, names_open, names_used; /* bytes; open: those that may be written */
	uint32_t *hash;
	size_t hash_size, n_names;
	uint64_t hash_seed;
	uint8_t layer;
	struct ext4 *inner, *outer; /* as ext4_mount() says */
	const char *mount;	    /* the name below the top where inner is */
	uint64_t copied;	    /* bytes that ext4_link() had to copy */
	bool freed; /* blocks were given back: they hold bytes of removed files until the end */
	struct ext4_file file;
};

/* ext4.c */
int ext4_errno(errcode_t e);
int ext4_new_inode(struct ext4 *e, mode_t type, ext2_ino_t *ret);
/* Fills everything but blocks and size. */
void ext4_fill_inode(struct ext2_inode_large *ino, mode_t type, const struct ext4_attr *a);
int ext4_write_inode(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode);
int ext4_read_inode(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode);
/* Drops one link of the inode behind a node that goes away; frees it with the last one. */
int ext4_drop_inode(struct ext4 *e, const struct ext4_node *node);

/* ext4_data.c */
int ext4_pwrite(struct ext4 *e, const void *buf, size_t len, uint64_t offset);
int ext4_alloc(struct ext4 *e, uint64_t want, struct ext4_run *ret);
int ext4_runs_add(struct ext4_runs *runs, const struct ext4_run *run);
/* Writes the inode with these blocks mapped; more than EXT4_TREE_INLINE make a tree. */
int ext4_map_runs(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode,
	const struct ext4_runs *runs);
void ext4_file_reset(struct ext4_file *f);

/* ext4_names.c */
int ext4_names_init(struct ext4 *e);
void ext4_names_free(struct ext4 *e);
/* len bytes of zeros, never freed alone; -EFBIG when there is no room for more names. */
int ext4_names_add(struct ext4 *e, size_t len, void **ret);

static inline uint32_t ext4_place(const struct ext4 *e, const void *p)
{
	return (uint32_t)(((const uint8_t *)p - e->names) / sizeof(uint32_t));
}

/* Of a node; NULL for 0. */
static inline struct ext4_node *ext4_at(const struct ext4 *e, uint32_t place)
{
	return place ? (void *)(e->names + (size_t)place * sizeof(uint32_t)) : NULL;
}

static inline mode_t ext4_type(const struct ext4_node *n)
{
	return (mode_t)n->type << 12;
}

static inline const char *ext4_target(const struct ext4 *e, const struct ext4_node *n)
{
	return (const char *)(e->names + (size_t)n->target * sizeof(uint32_t));
}

/* n is the directory that e->inner covers. */
static inline bool ext4_is_mount(const struct ext4 *e, const struct ext4_node *n)
{
	return e->inner && ext4_type(n) == S_IFDIR && n != e->root &&
	       ext4_at(e, n->parent) == e->root && n->len == strlen(e->mount) &&
	       memcmp(n->name, e->mount, n->len) == 0;
}

/* The image that a node of e, or of what is mounted in it, lies in. */
static inline struct ext4 *ext4_of(struct ext4 *e, const struct ext4_node *n)
{
	const uint8_t *p = (const uint8_t *)n;

	return e->inner && p >= e->inner->names && p < e->inner->names + e->inner->names_room
		       ? e->inner
		       : e;
}

/* ext4_tree.c */
int ext4_tree_init(struct ext4 *e);
void ext4_tree_free(struct ext4 *e);
/* The text of a symbolic link; copied. */
int ext4_tree_set_target(struct ext4 *e, struct ext4_node *n, const char *target);
/*
 * Makes way for a new entry of this type at path and adds its node, which has no inode yet. *e
 * becomes the image that it lies in, here and below.
 */
int ext4_tree_place(struct ext4 **e, const char *path, mode_t type, struct ext4_node **ret);
/* Only that: which image a new entry at path would lie in. Makes its parents. */
int ext4_tree_home(struct ext4 **e, const char *path);

enum ext4_find {
	EXT4_FIND_LINK,	  /* a link as last component is what is found */
	EXT4_FIND_FOLLOW, /* what it leads to */
	EXT4_FIND_OWN,	  /* the same, but no link of a lower layer is followed anywhere: -ELOOP */
};
int ext4_tree_find(struct ext4 **e, const char *path, enum ext4_find how, struct ext4_node **ret);

/* ext4_copy.c */
/* src, of image from, becomes path of e: all but its other names. *ret may be NULL. */
int ext4_copy(struct ext4 *from, const struct ext4_node *src, struct ext4 *e, const char *path,
	struct ext4_node **ret);
/* A directory's owner, mode, time and extended attributes alone. */
int ext4_copy_attr(
	struct ext4 *from, const struct ext4_node *src, struct ext4 *e, const char *path);

/* ext4_layer.c */
/* The next name below top, depth first; into n itself only if descend says so. NULL at the end. */
struct ext4_node *ext4_next_below(
	const struct ext4 *e, const struct ext4_node *top, struct ext4_node *n, bool descend);
/* Removes top's descendants, and top itself if self says so, but nothing of layer keep (-1: all).
 */
int ext4_remove(struct ext4 *e, struct ext4_node *top, bool self, int keep);
/* Takes the bytes of removed files out of the image: free blocks before `end` become holes. */
int ext4_punch_freed(struct ext4 *e, uint64_t end);

/* ext4_dir.c */
int ext4_write_dirs(struct ext4 *e);

#endif
