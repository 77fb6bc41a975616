/* SPDX-License-Identifier: ISC */
/*
 * depmod.h: what depmod would write for a module tree, from the modules' own .modinfo. Packages
 * come without these files (depmod runs when they are installed), and the tree is mounted
 * read-only in guests, so they are made here. Used by the kernel job only.
 */
#ifndef BG_WORKER_DEPMOD_H
#define BG_WORKER_DEPMOD_H

#include "worker/ext4.h"

struct depmod;

struct depmod_module {
	char *path; /* below the release: "kernel/fs/ext4/ext4.ko" */
	char *name; /* "vmw_vsock_virtio_transport" */
	char *info; /* its .modinfo, copied */
	size_t info_len;
	const struct ext4_node *node;
	size_t index;  /* order of arrival */
	unsigned mark; /* of the walk that saw it last */
};

int depmod_new(struct depmod **ret);
void depmod_free(struct depmod *d);
BG_DEFINE_UNREF(depmod, struct depmod *, depmod_free)

/* Copies what it needs. -ENOEXEC when elf is not a module. */
int depmod_add(struct depmod *d, const char *path, const void *elf, size_t len,
	const struct ext4_node *node);
/* The texts modules.builtin and modules.builtin.modinfo of the package; copied. */
int depmod_builtin(struct depmod *d, const char *text, size_t len);
int depmod_builtin_modinfo(struct depmod *d, const char *text, size_t len);
size_t depmod_count(const struct depmod *d);

/*
 * The module of this name (any spelling of '-') and all it needs, needed ones first, appended to
 * the list *v of *n; what is in a list already is not repeated as long as `walk` stays the same
 * number. A name that is not there adds nothing.
 */
struct depmod_list {
	struct depmod_module **v;
	size_t n, room;
};
int depmod_resolve(struct depmod *d, const char *name, unsigned walk, struct depmod_list *list);

/* Writes modules.dep, .alias, .softdep, .devname and the binary indexes to "<dir>/". */
int depmod_write(struct depmod *d, struct ext4 *e, const char *dir);

#endif
