/* SPDX-License-Identifier: ISC */
/*
 * vmm_impl.h: what the VMM drivers share with vmm.c and nobody else includes: the process
 * start, and one request to a control socket (a connection of its own each, so that nothing of
 * it needs to survive a restart of bangerd).
 */
#ifndef BG_DAEMON_DRIVER_VMM_IMPL_H
#define BG_DAEMON_DRIVER_VMM_IMPL_H

#include <jansson.h>

#include "common/launch.h"
#include "daemon/driver/vmm.h"

struct spawn;

/* The argument that marks a process as the VMM of this VM, in its own place of the command line. */
#define VMM_TAG_PREFIX "banger-"
#define VMM_TAG_SIZE   (sizeof(VMM_TAG_PREFIX) + BG_ID_LEN)
void vmm_tag(const char *id, char ret[VMM_TAG_SIZE]);

/* "dir/name"; BG_ERR_VMM_FAILED when it does not fit a socket address. */
int vmm_socket_path(const char *run_dir, const char *name, char **ret, struct bg_err **err);
/* Removes what a dead VMM left at that path. */
int vmm_clear_socket(const char *run_dir, const char *name, struct bg_err **err);
/* Opens a log for appending, mode 0600. */
int vmm_open_log(const char *path, struct bg_err **err);
/*
 * A disk of the VM, by no link: a regular file, or a block device. write: it must be the user's and
 * have no second name. *ret_bytes becomes its size when that is larger. The descriptor, or -errno.
 */
int vmm_open_disk(const char *path, bool write, uint64_t *ret_bytes, struct bg_err **err);
/* Listens at run_dir/name, made anew. The descriptor, or -errno. */
int vmm_listen(const char *run_dir, const char *name, struct bg_err **err);
/*
 * The guest's memory: a file without a name, as long as the memory, all holes. QEMU maps it shared, so that whoever holds the
 * file has the memory. The descriptor, or -errno.
 */
int vmm_make_memory(uint64_t mib, struct bg_err **err);
/* Opens the user's tap of that name as its one queue, with vnet headers. The descriptor, or -errno. */
int vmm_open_tap(const char *name, struct bg_err **err);

/* Growing NULL-terminated argument list; a failed allocation shows in argv_finish. */
struct argv {
	char **v;
	size_t n, room;
	bool failed;
};
void argv_add(struct argv *argv, const char *fmt, ...) _printf_(2, 3);
/* NULL when any allocation failed. Owned by argv. */
const char *const *argv_finish(struct argv *argv);
void argv_clear(struct argv *argv);
#define _argv_ _cleanup_(argv_clear)

/* vmm_seal.c: the filter of a VMM, for BG_LAUNCH_FD_FILTER. Borrowed; or -errno. */
enum vmm_seal { VMM_SEAL_QEMU, VMM_SEAL_FIRECRACKER };
int vmm_seal_filter(enum vmm_seal seal, struct bg_err **err);

/*
 * vmm_launch.c: the arguments of banger-launch. begin names what any VMM of this spec reads; the
 * driver grants what it opens by path beyond that. file_bytes: its largest disk.
 */
int vmm_launch_begin(
	struct argv *argv, const struct vmm_spec *spec, uint64_t file_bytes, struct bg_err **err);
void vmm_grant(struct argv *argv, enum bg_launch_grant grant, const char *path);
/* Starts launcher with vmm as what it becomes. spawn has the descriptors. */
int vmm_launch(const struct argv *launcher, const struct argv *vmm, struct spawn *spawn,
	struct vmm_process *ret, struct bg_err **err);

enum {
	VMM_CALL_USEC = 5 * 1000 * 1000, /* one control request, connect included */
	VMM_CALL_RETRY_USEC = 20 * 1000, /* the socket is not there yet or its backlog is full */
	VMM_CALL_INPUT_MAX = 64 * 1024,	 /* bytes of answer that are looked at */
};

/*
 * What a driver says about its control protocol. answer sees all bytes that came since it last
 * consumed some; it returns 1 when the request is done, 0 when more input is needed, -errno
 * with *err on failure.
 */
struct vmm_dialog {
	const char *socket; /* file name in run_dir */
	bool speaks_first;  /* the request goes out as soon as connected, not when answer says so */
	uint64_t usec;	    /* 0: VMM_CALL_USEC */
	int (*answer)(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
		struct bg_err **err);
};
/* request is taken. */
int vmm_call_start(struct loop *loop, const char *run_dir, const struct vmm_dialog *dialog,
	char *request, vmm_done_fn done, void *userdata, struct vmm_call **ret,
	struct bg_err **err);
/* Before it connects: goes along with the first bytes of the request. fd is duplicated. */
int vmm_call_give(struct vmm_call *call, int fd);
/* From answer: queues the request text; only the first time. */
int vmm_call_send_request(struct vmm_call *call);
/* A call that ends in the next turn of the loop: well, or with that errno. */
int vmm_call_defer(struct loop *loop, int errnum, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err);

/* Starts measuring the host's time stamp counter; the earlier, the better the result. */
void vmm_tsc_begin(void);
/* Its speed, 0 when unknown. Waits up to 5 ms if begin was not called before. */
unsigned vmm_tsc_khz(void);

/* The descriptors that QEMU is started with. */
enum vmm_qemu_fd {
	VMM_QEMU_ROOT = BG_LAUNCH_FD_FIRST,
	VMM_QEMU_SERIAL,
	VMM_QEMU_AGENT,
	VMM_QEMU_QMP,
	VMM_QEMU_WORK,
	VMM_QEMU_MODULES,
	VMM_QEMU_TAP,
	VMM_QEMU_BASE,
	VMM_QEMU_MEMORY,
	VMM_QEMU_FD_MAX_,
};

/* QMP (vmm_qmp.c): of all lines that are whole the greeting and errors are dealt with, others are told. Ends as vmm_dialog.answer. */
#define VMM_QMP_SOCKET "qmp.sock"
typedef int (*vmm_qmp_fn)(const json_t *msg, struct bg_err **err);
int vmm_qmp_lines(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
	vmm_qmp_fn fn, struct bg_err **err);
/* vmm_qemu_keep.c: the rows of vmm_qemu. */
int vmm_qemu_machine(const struct vmm_spec *spec, char ret[VMM_MACHINE_TEXT], struct bg_err **err);
int vmm_qemu_save(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err);
int vmm_qemu_load(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err);

/* The command lines and files, apart from starting them: golden tests. */
int vmm_qemu_argv(const struct vmm_spec *spec, struct argv *argv, struct bg_err **err);
int vmm_firecracker_config(const struct vmm_spec *spec, char **ret, struct bg_err **err);

#endif
