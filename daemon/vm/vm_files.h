/* SPDX-License-Identifier: ISC */
/*
 * vm_files.h: are the files of each VM still there? A list asks that of every VM, so the disk is asked only about
 * those of which inotify said that something changed. What cannot be watched is asked each time. Owned by vms (vm.c).
 */
#ifndef BG_DAEMON_VM_VM_FILES_H
#define BG_DAEMON_VM_VM_FILES_H

#include "common/base.h"

struct vm;
struct vms;
struct vm_files;

/* What is known of one VM; zero: nothing. */
struct vm_files_seen {
	bool known;
	int watch;	     /* of its folder; 0: none */
	const char *missing; /* one of its paths, borrowed; NULL: all are there */
};

/* dir: the folder that has a folder for each VM. NULL when out of memory. */
struct vm_files *vm_files_new(const char *dir);
void vm_files_free(struct vm_files *files);
BG_DEFINE_UNREF(vm_files, struct vm_files *, vm_files_free)
/* The path of what is gone of the VM's files, borrowed; NULL: nothing. */
const char *vm_files_missing(struct vm_files *files, const struct vms *vms, const struct vm *vm);
/* The same, asked from the disk. */
const char *vm_files_look(const struct vm *vm);

#endif
