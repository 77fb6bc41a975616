/* SPDX-License-Identifier: ISC */
/*
 * workspace_walk.h: names of a copy ("./a/b") looked up component by component, through no link: what a guest has put
 * in the place of a folder leads nobody out. Keeps the last folder open, as lists are sorted. -errno, never logs.
 */
#ifndef BG_GUEST_WORKSPACE_WALK_H
#define BG_GUEST_WORKSPACE_WALK_H

#include "common/base.h"

struct walk {
	int root;     /* borrowed */
	int fd;	      /* of the folder that was entered last */
	char *folder; /* its name; NULL: none */
	/* after -ENOTDIR: bytes of the name up to the component that is not a folder */
	size_t blocked;
};

#define WALK_OF(root_) ((struct walk){.root = (root_), .fd = -1})

/* *last is the last component, in name; w->fd the folder that it is in. make: folders that are missing are made. */
int walk_enter(struct walk *w, const char *name, bool make, const char **last);
/* Before folders go, and at the end. */
void walk_forget(struct walk *w);

#endif
