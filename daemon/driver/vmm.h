/* SPDX-License-Identifier: ISC */
/*
 * vmm.h: one VMM process per VM, under QEMU or Firecracker (or the fake of the tests). The process
 * is the user's own, has a session of its own and outlives bangerd: it is adopted again by pid, start
 * time and the VM's id in its command line. A struct vmm is the engine's hold on it; freeing that
 * leaves the process alone.
 */
#ifndef BG_DAEMON_DRIVER_VMM_H
#define BG_DAEMON_DRIVER_VMM_H

#include <sys/types.h>

#include "common/base.h"
#include "common/err.h"
#include "common/limits.h"
#include "daemon/loop/loop.h"

enum vmm_accel { VMM_ACCEL_KVM, VMM_ACCEL_TCG, VMM_ACCEL_MAX_ };
const char *vmm_accel_str(enum vmm_accel accel);
int vmm_accel_parse(const char *word, enum vmm_accel *ret);

/* What a suspended VM goes on from: files of the guest's memory, which becomes the VMM's own, and of its devices' state. */
struct vmm_kept {
	int memory, state;
};

/* What a start needs; everything borrowed for the call. Paths are absolute. */
struct vmm_spec {
	const char *id; /* BG_ID_LEN hex digits */
	const char *name;
	unsigned vcpus;
	uint64_t memory_mib;
	enum vmm_accel accel;
	const char *launcher; /* banger-launch */
	const char *binary;
	const char *version; /* of the binary; NULL: not known */
	const char *kernel;
	const char *initrd;
	const char *
		disk_base; /* NULL: none; else what disk_root keeps only the differences from, attached read-only */
	const char *disk_root;
	const char *disk_work;	  /* NULL: none */
	const char *disk_modules; /* NULL: none; attached read-only */
	const char *tap;	  /* NULL: no network */
	bool balloon;		  /* what the guest frees goes back to the host */
	uint8_t mac[6];
	const char *run_dir;	     /* short path, exists, ours: control and agent sockets */
	const char *serial_log;	     /* appended to */
	const char *vmm_log;	     /* appended to: stdout and stderr of the process */
	const struct vmm_kept *kept; /* NULL: it boots; else it waits for vmm_load, paused */
};

struct vmm;
struct vmm_call;
enum { VMM_MACHINE_TEXT = 65 }; /* a digest and the NUL */

/* What a start made. tap: the descriptor that the VMM has too, -1 when it opened the tap itself. */
struct vmm_process {
	pid_t pid;
	int pidfd, tap;
};

enum vmm_command { VMM_PAUSE, VMM_RESUME, VMM_QUERY }; /* QUERY: does it still answer? */

/* status as from waitpid, or -1 when it was adopted. Comes once, in the loop. */
typedef void (*vmm_exit_fn)(struct vmm *vmm, int status, void *userdata);
/* err is borrowed, NULL on success. Comes once unless the call is freed first. */
typedef void (*vmm_done_fn)(const struct bg_err *err, void *userdata);

struct vmm_driver {
	const char *name;	  /* "qemu" */
	const char *agent;	  /* carrier of the agent for vm.conf: "virtio" or "vsock" */
	const char *poweroff;	  /* for vm.conf: "off" or "reset" */
	const char *agent_socket; /* file name in run_dir */
	bool boots_elf_only;	  /* spec.kernel must be an ELF file: kernel_elf */
	bool holds_term;	  /* its process was started with SIGTERM and SIGHUP blocked */
	unsigned
		code_cache_mib; /* bound of what it keeps of translated code in emulation; 0: none */
	unsigned balloon_since[2]; /* its first version, major and minor, that takes spec.balloon */
	bool reset_ends; /* a guest that reboots ends the process; else it boots in place */
	/* Starts the process; returns as soon as it is spawned. ret is empty before, its descriptors the caller's. */
	int (*spawn)(const struct vmm_spec *spec, struct vmm_process *ret, struct bg_err **err);
	/* Tells the VMM that the file of a disk ("root", "work") has become bytes long. */
	int (*resize)(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
		vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err);
	int (*command)(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
		struct vmm_call **ret, struct bg_err **err);
	/* Suspend. why_not: a sentence, where it cannot; then the others are not set. */
	const char *why_not_keep;
	int memory_fd; /* the process's descriptor of the guest's memory */
	/* What a state was made with must be the same where it is loaded: a digest of what matters in spec. */
	int (*machine)(
		const struct vmm_spec *spec, char ret[VMM_MACHINE_TEXT], struct bg_err **err);
	/* See vmm_save and vmm_load. */
	int (*save)(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
		struct vmm_call **ret, struct bg_err **err);
	int (*load)(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
		struct vmm_call **ret, struct bg_err **err);
};

extern const struct vmm_driver vmm_qemu;
extern const struct vmm_driver vmm_firecracker;
extern const struct vmm_driver vmm_fake; /* tests: a child that runs tests/lib/fake-vmm */
/* The guest's name of a disk, with every driver: it finds them in this order, all from the root on as if they were there. */
enum vmm_disk { VMM_DISK_BASE, VMM_DISK_ROOT, VMM_DISK_WORK, VMM_DISK_MODULES };
const char *vmm_guest_disk(enum vmm_disk disk, bool has_base);
/* Can it give back what a guest frees, in this version (NULL: not known)? */
bool vmm_has_balloon(const struct vmm_driver *driver, const char *version);
/* NULL when there is none of that name. */
const struct vmm_driver *vmm_driver_by_name(const char *name);

int vmm_start(struct loop *loop, const struct vmm_driver *driver, const struct vmm_spec *spec,
	vmm_exit_fn exited, void *userdata, struct vmm **ret, struct bg_err **err);
/* -ESRCH when that process is gone or is another one by now. */
int vmm_adopt(struct loop *loop, const struct vmm_driver *driver, const char *id,
	const char *run_dir, pid_t pid, uint64_t pid_start, vmm_exit_fn exited, void *userdata,
	struct vmm **ret);
/* Looks through /proc for our own process with this VM id in its command line: after a crash between spawn and its record. */
int vmm_find(const char *id, pid_t *ret_pid, uint64_t *ret_start);
/* All VMMs of this user, whoever started them; *ret is the caller's. -EMFILE, -ENFILE, -ENOMEM: it could not look. */
struct vmm_seen {
	char id[BG_ID_LEN + 1];
	pid_t pid;
	uint64_t start;
	const char *driver; /* its name, by the arguments: what a row that was lost would say */
};
int vmm_list(struct vmm_seen **ret, size_t *ret_n);
void vmm_free(struct vmm *vmm);
BG_DEFINE_UNREF(vmm, struct vmm *, vmm_free)

pid_t vmm_pid(const struct vmm *vmm);
uint64_t vmm_pid_start(const struct vmm *vmm);
const struct vmm_driver *vmm_driver_of(const struct vmm *vmm);
const char *vmm_run_dir(const struct vmm *vmm);
struct loop *vmm_loop(const struct vmm *vmm);
/* pidfd_send_signal: never hits a recycled pid. SIGTERM and SIGHUP go out as SIGINT where the process holds them back. */
int vmm_signal(struct vmm *vmm, int signo);
int vmm_send_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err);
/* As vmm_driver.resize. */
int vmm_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err);
/*
 * The guest's memory, for reading: a file without a name. -ENOTSUP: its VMM was started by a banger whose guests had none.
 * The descriptor is the caller's.
 */
int vmm_open_memory(const struct vmm *vmm, uint64_t mib);
/* Of a paused one: writes the state of its devices into a file, which is borrowed. It stays paused, and may be resumed after. */
int vmm_save(struct vmm *vmm, int state, vmm_done_fn done, void *userdata, struct vmm_call **ret,
	struct bg_err **err);
/* The same into one that was started with spec.kept. It stays paused. ETIMEDOUT: perhaps later; any other error: not with this state. */
int vmm_load(struct vmm *vmm, int state, vmm_done_fn done, void *userdata, struct vmm_call **ret,
	struct bg_err **err);
void vmm_call_free(struct vmm_call *call);
BG_DEFINE_UNREF(vmm_call, struct vmm_call *, vmm_call_free)

/*
 * The choice that config's vmm and this host give. The probe runs in a child (a micro guest under
 * KVM with a deadline, `firecracker --version`, `qemu --version`), so that it never blocks the loop.
 */
struct vmm_choice {
	const struct vmm_driver *driver; /* NULL: none usable, see err */
	enum vmm_accel accel;
	char *binary; /* absolute */
	char *version;
	char *reason; /* one sentence, for `vm show` and doctor */
	struct bg_err *err;
};
struct vmm_probe;
typedef void (*vmm_probe_fn)(const struct vmm_choice *choice, void *userdata);
struct config;
int vmm_probe_start(struct loop *loop, const struct config *config, vmm_probe_fn done,
	void *userdata, struct vmm_probe **ret, struct bg_err **err);
/* NULL until done; owned by the probe. */
const struct vmm_choice *vmm_probe_choice(const struct vmm_probe *probe);
void vmm_probe_free(struct vmm_probe *probe);
BG_DEFINE_UNREF(vmm_probe, struct vmm_probe *, vmm_probe_free)

#endif
