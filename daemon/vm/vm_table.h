/* SPDX-License-Identifier: ISC */
/*
 * vm_table.h: the life of a VM: its states, the events that move it, and the one table
 * that says which event is allowed where, what it leads to and which plan does the work.
 */
#ifndef BG_DAEMON_VM_VM_TABLE_H
#define BG_DAEMON_VM_VM_TABLE_H

#include "common/base.h"

struct op_plan;

enum vm_state {
	/*
	 * On the host: a row; perhaps a directory with half-made disks. May be touched by its
	 * create operation alone. Left by MADE or BOOT, or removed. After a crash: removed.
	 */
	VM_CREATING,
	/*
	 * A row and a directory with complete disks; no process, no slot, no run directory.
	 * Disks may be read and grown. Left by START or DELETE.
	 */
	VM_STOPPED,
	/*
	 * As stopped, plus some of: slot, initrd, process. Only the start operation touches it.
	 * After a crash: running when the process is found, else stopped.
	 */
	VM_STARTING,
	/*
	 * A process that has the disks open, a slot with its tap, a run directory with its sockets.
	 * The disks are the guest's alone. Left by a request, or DOWN when the process ends.
	 */
	VM_RUNNING,
	/* As running, and asked to end. After a crash: running when the process is found, else stopped. */
	VM_STOPPING,
	/* Anything of these, going away. After a crash: the removal goes on. */
	VM_DELETING,
	/*
	 * As running, and its user wants it to stand still: the VMM runs no processor of it. Left by a
	 * request, or DOWN. After a crash: paused again when the process is found, else stopped.
	 */
	VM_PAUSED,
	/*
	 * As paused, and its memory is being written into its folder. Until the row has `saved` the process is the VM, from then on
	 * the files are. After a crash: with `saved` the process is ended, and the VM is suspended; without it goes on to run, or is
	 * stopped when it is gone; the files are thrown away.
	 */
	VM_SUSPENDING,
	/*
	 * As stopped, and the row has `saved`: its guest's memory is in the folder, and the disks must stay as they are. Left by
	 * START or RESUME; by KILL, which throws the memory away; by DELETE.
	 */
	VM_SUSPENDED,
	/*
	 * From paused: a process that is to go on. From suspended: as starting; `saved` is taken out of the row before the guest
	 * runs. After a crash: with `saved` the process is ended and the VM is suspended, without it goes on to run, or is stopped
	 * when it is gone.
	 */
	VM_RESUMING,
	VM_STATE_MAX_
};

enum vm_event {
	/* what a client asks for */
	VM_EV_START,
	VM_EV_STOP,
	VM_EV_RESTART,
	VM_EV_KILL,
	VM_EV_DELETE,
	VM_EV_SET,
	VM_EV_PAUSE,
	VM_EV_RESUME,
	VM_EV_SUSPEND,
	VM_EV_ASKED_MAX_ = VM_EV_SUSPEND,
	/* what came of it */
	VM_EV_MADE,	    /* disks and identity are complete */
	VM_EV_BOOT,	    /* the start begins inside a longer operation (create, restart) */
	VM_EV_UP,	    /* the process runs */
	VM_EV_DOWN,	    /* the process is gone, or was never started */
	VM_EV_STILL_UP,	    /* it was asked to end and did not */
	VM_EV_STILL_PAUSED, /* the same, of one that stands still */
	VM_EV_SAVED,	    /* the process is gone, and its memory is on the disk */
	VM_EV_RESET,	    /* the guest rebooted, and its process ended with that */
	VM_EV_UNMAKE,	    /* a cancelled create takes everything back */
	VM_EVENT_MAX_
};

struct vm_transition {
	enum vm_state state;
	enum vm_event event;
	enum vm_state next;
	const struct op_plan *plan; /* requests: the work; &vm_plan_nothing when it is so already */
};

const char *vm_state_str(enum vm_state state);
const char *vm_event_str(enum vm_event event);
/* NULL: that event is not allowed in that state. */
const struct vm_transition *vm_transition_find(enum vm_state state, enum vm_event event);

#endif
