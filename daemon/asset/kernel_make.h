/* SPDX-License-Identifier: ISC */
/*
 * kernel_make.h: a kernel in the making, as steps of an operation: of `kernel import`, and of those that make an
 * image together with its kernel. Owns the sources opened and the worker job under way. Its row is in the list
 * from the start, not ready: what a crash leaves is dropped at the next one.
 */
#ifndef BG_DAEMON_ASSET_KERNEL_MAKE_H
#define BG_DAEMON_ASSET_KERNEL_MAKE_H

#include "daemon/asset/kernel.h"

struct kernel_make;

/* Checks name and files, records the intent. replace: the one of this name stays listed until kernels_swap. */
int kernel_make_new(struct engine *engine, const char *name, const struct kernel_files *files,
	bool replace, struct kernel_make **ret, struct bg_err **err);
/* Leaves the row alone. */
void kernel_make_free(struct kernel_make *make);
BG_DEFINE_UNREF(kernel_make, struct kernel_make *, kernel_make_free)

/* The same without sources: the caller fills the outputs and tells what they are. */
int kernel_make_empty(
	struct engine *engine, const char *name, struct kernel_make **ret, struct bg_err **err);
/* New files for kernel, modules cpio, module tree and initrd: four descriptors, the caller's, -1 beforehand. */
int kernel_make_outputs(struct kernel_make *make, int fds[4], struct bg_err **err);
/* "format", "release", "modules" of what is in them now; empty ones are dropped. */
int kernel_make_take(struct kernel_make *make, const json_t *what, struct bg_err **err);
/* What kernel_make_read is to read; fd is taken. */
void kernel_make_source(struct kernel_make *make, int fd);
const char *kernel_make_name(const struct kernel_make *make);

/* In this order, each as op_step.run. */
int kernel_make_read(struct kernel_make *make, struct op *op, struct bg_err **err);
int kernel_make_initrd(struct kernel_make *make, struct op *op, struct bg_err **err);
int kernel_make_unpack(struct kernel_make *make, struct op *op, struct bg_err **err);
int kernel_make_keep(struct kernel_make *make, struct op *op, struct bg_err **err);
/* Posts it as complete: until op_commit has ended a crash would have it removed. */
void kernel_make_record(struct kernel_make *make);
/* Any of them, as op_step.cancel. */
void kernel_make_cancel(struct kernel_make *make);
/* Row and files, as op_step.undo. */
int kernel_make_drop(struct kernel_make *make, struct bg_err **err);
/* What op_set_result wants, and followers are told; NULL when the kernel is gone. */
json_t *kernel_make_result(const struct kernel_make *make);

#endif
