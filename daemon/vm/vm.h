/* SPDX-License-Identifier: ISC */
/*
 * vm.h: the VMs of this user: one struct vm per row of the store, from engine start to deletion. What may
 * happen to one is vm_table.h; the work is in the vm_*.c files of the plans. State changes go
 * through vm_move alone.
 */
#ifndef BG_DAEMON_VM_VM_H
#define BG_DAEMON_VM_VM_H

#include <jansson.h>

#include "common/err.h"
#include "daemon/store/store.h"
#include "daemon/vm/gap.h"
#include "daemon/vm/vm_table.h"

struct engine;
struct guest;
struct guest_call;
struct op;
struct expose;
struct publish;
struct vm;
struct vm_change;
struct vm_files_seen;
struct vmm;
struct vmm_call;
struct vms;

struct vm_paths {
	char *dir;	 /* <state>/vms/<id> */
	char *disk_root; /* root.img */
	char *disk_work; /* work.img */
	char *initrd;
	char *memory, *devices; /* of a suspended one, see vm_saved.h */
	char *host_key;		/* ssh_host_ed25519_key: private, 0600 */
	char *serial_log;
	char *vmm_log;
	char *run_dir; /* <run>/vm/<first 12 digits of id> */
};

struct vm {
	struct engine *engine;
	struct vm *next;
	struct vm_row *row; /* row->state is changed by vm_move alone */
	struct vm_paths paths;
	struct vm_files_seen *files; /* which of them are there; see vm_files.h */
	struct vmm *vmm;	     /* NULL: no process */
	struct guest *guest;	     /* NULL: no process */
	struct op *op;		     /* the operation under way on it */
	bool ready;
	const char *disk_note;	       /* what was last said of its disks, static; NULL: nothing */
	bool paused;		       /* for want of space; see space.h */
	bool agent_silent, vmm_silent; /* see health.c, as what follows */
	struct guest_call *ping;
	struct gap gap; /* see gap.h */
	struct vmm_call *vmm_query;
	struct scope_call *scope_call; /* a scope of its own is being asked for; see vm_memory.h */
	struct vmm_call *space_call;   /* pause or resume under way */
	uint64_t written, writes;      /* by its VMM so far, and of late; see space.c */
	double cpu_s,
		cpu_percent; /* of its VMM when it was last looked at, and up to then; see usage.c */
	uint64_t usage_usec;	 /* when that was; 0: never */
	int64_t console_size;	 /* of serial.log when it was last looked at; see console.c */
	struct revival *revival; /* see revive.h */
	bool farewell;	 /* it is asked to shut down because the session ends; see farewell.h */
	bool halted;	 /* its kernel has ended: its VMM is being ended too */
	int exit_status; /* of the last process, as from waitpid; -1 unknown */
	struct bg_err *error; /* why it went down or did not get ready */
	/* Who wants to know of the next exit of the process; else it is a crash or the guest's own wish. */
	void (*on_exit)(struct vm *vm, int status, void *userdata);
	void *on_exit_data;
	struct publish *publish;   /* its open ports; NULL: none */
	struct expose *expose;	   /* this machine's ports that it has; NULL: none */
	struct net_call *nat_call; /* after adoption: NAT as the row has it */
	/* Who wants to know of agent changes. */
	void (*on_guest)(struct vm *vm, void *userdata);
	void *on_guest_data;
};

/* Loads all rows; adopts nothing yet (vms_recover). */
int vms_new(struct engine *engine, struct vms **ret, struct bg_err **err);
void vms_free(struct vms *vms);
BG_DEFINE_UNREF(vms, struct vms *, vms_free)
/* Puts every VM right after whatever ended the last daemon: adopts, stops, removes. Fails when it cannot tell what runs. */
int vms_recover(struct engine *engine, struct bg_err **err);
struct vm *vms_first(const struct vms *vms);
struct vm *vms_find(const struct vms *vms, const char *name);
struct vm *vms_find_id(const struct vms *vms, const char *id);
/* As vms_find with the error VM_NOT_FOUND that names it and what is near. */
int vms_get(const struct vms *vms, const char *name, struct vm **ret, struct bg_err **err);
/* Is it the process of a VM? */
bool vms_run_as(const struct vms *vms, pid_t pid);
unsigned vms_count(const struct vms *vms, enum vm_state state);
/*
 * The slot for a VM that neither another VM nor others (a set of slots) hold: its own of earlier, else the lowest that is no
 * other's, else the lowest. who NULL: for nobody yet, then never one that some VM had. -ENOSPC.
 */
int vms_free_slot(const struct vms *vms, const struct vm *who, unsigned n_slots, uint64_t others);

/* What POST /v1/vms asks for; NULL, 0 or -1 where the default is wanted. */
struct vm_request {
	const char *name;
	const char *image;
	const char *kernel;
	unsigned vcpus;
	uint64_t memory_mib;
	uint64_t disk_mib;
	uint64_t work_mib;
	bool nat;
	bool peers; /* it reaches this user's other VMs that have this too */
	bool with_init;
	bool no_balloon;
	/* its root disk is a file of its own, not an overlay: images are made of such */
	bool own_disk;
	bool start;
	bool autostart;
	int restart;	       /* enum restart_policy */
	const json_t *labels;  /* as labels_apply takes them; NULL: none */
	const json_t *publish; /* as publish_apply takes them; NULL: none */
	const json_t *expose;  /* as expose_apply takes them; NULL: none */
};
int vm_create(struct engine *engine, const struct vm_request *request, struct op **ret,
	struct bg_err **err);

struct vm_options {
	unsigned stop_timeout_s; /* 0: BG_STOP_TIMEOUT_S */
	int signo;		 /* 0: SIGKILL */
	bool force;		 /* DELETE: cancels what is under way on it */
	bool by_itself; /* START and STOP: the daemon's own, not its user's wish; see revive.h */
	const struct vm_change *change; /* SET: needed, borrowed for the call */
};
/*
 * Asks for START, STOP, RESTART, KILL, DELETE or SET; refused with VM_STATE by the table. What another operation is in the way
 * of waits for it, joins it, ends it first, or is refused with VM_BUSY: vm_ask.c.
 */
int vm_ask(struct vm *vm, enum vm_event event, const struct vm_options *options, struct op **ret,
	struct bg_err **err);

json_t *vm_to_json(const struct vm *vm);
/* The part of it that a table of many VMs needs. */
json_t *vm_to_brief_json(const struct vm *vm);
/* {"vms": [vm]}: all of them, in brief or whole. */
json_t *vms_to_json(const struct vms *vms, bool brief);
/* The path of what is gone of its files, by other hands: its folder or a disk; borrowed. NULL: nothing, or it is being made or removed. */
const char *vm_missing(const struct vm *vm);
/* The error of that, asked from the disk, with what to do: VM_DISKS. */
int vm_check_disks(const struct vm *vm, struct bg_err **err);
/* Its root disk is an overlay of the disk helper's: a block device as long as it runs. */
bool vm_on_overlay(const struct vm *vm);
/* The guest joins its root disk out of the image and a file of its own. */
bool vm_is_cow(const struct vm *vm);
/* Bytes of a chunk of such a disk. */
unsigned vm_cow_chunk(const struct vm *vm);
/* Either: its root disk keeps only what differs from the image, which it needs as it was. */
bool vm_on_base(const struct vm *vm);
/*
 * Of such a VM: may it lie over its image as that is now? A registered image stays where its user has it, and can be written
 * to; under a disk that would mix two file systems into one, so it is refused: IMAGE_INVALID.
 */
int vm_check_base(const struct vm *vm, const struct image_row *image, struct bg_err **err);
/* Why it has the storage that it has: a sentence, borrowed. */
const char *vm_storage_reason(const struct vm *vm);
/* What the guest's flags (enum bg_agent_flag) say of its disks: a sentence, static. NULL: nothing. */
const char *vm_disk_note(uint32_t flags);
/* Once the network helper has answered: gives back what no VM holds, sets NAT, fills the pool. */
void vms_watch_net(struct engine *engine);
/* Once the disk helper has answered: chooses the storage, removes what no VM holds. */
int vms_watch_disks(struct engine *engine, struct bg_err **err);

/* For the plans. */
/* row is taken; the VM enters the list. */
int vm_add(struct vms *vms, struct vm_row *row, struct vm **ret, struct bg_err **err);
/* Swaps its name for *name, in the list and for followers; the row is saved by the caller. */
void vm_rename(struct vm *vm, char **name);
/* Out of the list and freed; the row must be gone already. */
void vm_remove(struct vm *vm);
/* The table's step: state, row, event to followers. An event that the table does not allow is our bug. */
void vm_move(struct vm *vm, enum vm_event event);
/* Posts the row to the store, and the record to followers. Whoever needs it on the disk says op_commit. */
void vm_save(struct vm *vm);
/* err is borrowed; NULL clears. */
void vm_set_error(struct vm *vm, const struct bg_err *err);
/* Hooks the process and its agent up; vmm is taken. */
void vm_hold(struct vm *vm, struct vmm *vmm);
void vm_on_vmm_exit(struct vmm *vmm, int status, void *userdata);
/* After its process ended by itself, with that wait status: did the guest reboot, where that ends the VMM? */
bool vm_wants_again(const struct vm *vm, int status);
/* Was that nobody's wish? Without a status (-1: not our child) its console tells whether the guest went down. */
bool vm_ended_badly(const struct vm *vm, int status);
/* Starts it again, as an operation of its own. */
int vm_boot_again(struct vm *vm, struct bg_err **err);
/* The words for a wait status: "was killed by signal 9 (Killed)". *ret is filled. */
void vm_exit_error(const struct vm *vm, int status, struct bg_err **ret);

#endif
