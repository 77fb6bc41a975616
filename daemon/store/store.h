/* SPDX-License-Identifier: ISC */
/*
 * store.h: the engine's end of the store. What clients read is the engine's memory; the store is its
 * log, written by a process of its own (process.h) that alone opens the files, so that the loop
 * never waits for a disk. A put changes nothing that the engine has: it posts the row as it is now. What was
 * posted in one turn of the loop is one transaction; store_commit says when all of it is on the disk, and
 * fails when a part of it is not. A row whose writing failed stays posted, and is tried again.
 *
 * Errors are NO_SPACE or STATE, with the file's name.
 */
#ifndef BG_DAEMON_STORE_STORE_H
#define BG_DAEMON_STORE_STORE_H

#include <jansson.h>

#include "common/base.h"
#include "common/err.h"
#include "common/limits.h"

struct loop;
struct store;
struct store_call;

/* What the store needs to know of a VM's states; vm_table.c asserts that they are its own. */
enum { STORE_VM_CREATING = 0, STORE_VM_STOPPED = 1, STORE_VM_DELETING = 5 };

/*
 * Starts the process for <state>/banger.N.db and reads all rows; blocks, bounded. What is missing or
 * damaged is made anew from the folders' records (see open.h): store_status says so. on_child: in the process, for its title; may be NULL.
 */
int store_open(struct loop *loop, const char *state_dir, void (*on_child)(void), struct store **ret,
	struct bg_err **err);
/* Waits, bounded, until what was posted is written. */
void store_close(struct store *store);
BG_DEFINE_UNREF(store, struct store *, store_close)

struct vm_row {
	char id[BG_ID_LEN + 1];
	char *name;
	int state; /* enum vm_state */
	char *image;
	char *kernel;
	unsigned vcpus;
	uint64_t memory_mib;
	uint64_t disk_mib;
	uint64_t work_mib;
	bool nat;
	int slot;  /* network slot, -1 when none is held */
	char *vmm; /* NULL before the first start */
	char *accel;
	char *vmm_reason;
	char *storage;
	char *address; /* NULL when not attached */
	int64_t pid;   /* 0: no VMM */
	/* start time of that process, clock ticks since boot (proc(5) field 22) */
	uint64_t pid_start;
	int64_t created_at;    /* seconds since the epoch */
	int64_t started_at;    /* 0: not started */
	char *error_json;      /* bg_err as JSON, or NULL */
	char *host_key_public; /* "ssh-ed25519 AAAA…" line without comment */
	bool has_sshd;
	char *labels;	      /* JSON object of strings, or NULL */
	char *publish;	      /* JSON list of {host, guest}, or NULL */
	char *expose;	      /* JSON list of ports, or NULL */
	uint64_t boot_serial; /* bytes that the logs had when it was last started */
	uint64_t boot_vmm;
	bool with_init; /* an image without an init is given one at its first boot */
	bool peers;	/* it reaches this user's other VMs that have this too */
	int home_slot;	/* of its last start, kept for it while it can be; -1: none yet */
	bool autostart; /* the daemon's start brings it up */
	int restart;	/* enum restart_policy */
	/* its user wanted it down: the host's boot id then; NULL: not so, or it was started since */
	char *stopped_boot;
	unsigned cow_chunk; /* bytes, of a root that the guest joins; 0: BG_COW_CHUNK_OLD */
	bool no_balloon;    /* keep what its guest frees */
	int balloon;	    /* enum vm_balloon, of its VMM */
	bool limited;	    /* its VMM is in a scope of its own: scope.h */
	unsigned
		code_cache_mib; /* most of translated code that its VMM keeps; 0: does not translate, or not known */
	char *machine; /* a digest of what its VMM was started with, see vmm_driver.machine; NULL: not known */
	char *saved;	   /* of a suspended one: what it goes on from, see vm_saved.h */
	char *resume_note; /* why it was booted instead of that, at its last start; NULL: it was not */
};

struct image_row {
	char *name;
	bool managed;
	bool ready;	  /* false: it is being made or removed; the next start removes such rows */
	char *kernel;	  /* NULL: none recorded */
	bool owns_kernel; /* it came with the image, and goes with it */
	char *source;	  /* "build", "register", "import" */
	char *os;	  /* PRETTY_NAME, or NULL */
	char *rootfs;	  /* absolute paths; NULL when absent */
	char *work_seed;
	bool has_sshd;
	char *env; /* JSON list of "NAME=value" for commands, see common/image_env.h; NULL: none */
	uint64_t size_bytes;
	int64_t created_at;
};

struct kernel_row {
	char *name;
	bool ready;
	char *format;	    /* "bzimage", "elf" */
	char *release;	    /* or NULL */
	char *path;	    /* boot image */
	char *elf;	    /* out of it, when it is a bzImage; NULL: none */
	char *modules_cpio; /* NULL: none */
	char *modules_disk; /* NULL: none */
	char *initrd;	    /* the user's own; NULL: none */
	unsigned n_modules;
	uint64_t size_bytes;
	int64_t created_at;
	bool cow; /* it can join a disk out of two: has dm-snapshot, and banger-init finds it */
};

/* An operation that has not ended. */
struct op_row {
	char *id;
	char *kind, *target;
};

struct meta_row {
	char *name;
	int64_t value;
};

void vm_row_free(struct vm_row *row);
BG_DEFINE_UNREF(vm_row, struct vm_row *, vm_row_free)
void image_row_free(struct image_row *row);
BG_DEFINE_UNREF(image_row, struct image_row *, image_row_free)
void kernel_row_free(struct kernel_row *row);
BG_DEFINE_UNREF(kernel_row, struct kernel_row *, kernel_row_free)

/* Posts the whole row, which stays the caller's. Out of memory shows at the next store_commit. */
void store_vm_put(struct store *store, const struct vm_row *row);
void store_image_put(struct store *store, const struct image_row *row);
void store_kernel_put(struct store *store, const struct kernel_row *row);
/* Posts that there is none any more. */
void store_vm_drop(struct store *store, const char *id);
void store_image_drop(struct store *store, const char *name);
void store_kernel_drop(struct store *store, const char *name);

/* Each row that was stored when the engine began, once: fn takes it over; a negative return stops and is returned. */
int store_vm_each(struct store *store, int (*fn)(struct vm_row *row, void *userdata),
	void *userdata, struct bg_err **err);
int store_image_each(struct store *store, int (*fn)(struct image_row *row, void *userdata),
	void *userdata, struct bg_err **err);
int store_kernel_each(struct store *store, int (*fn)(struct kernel_row *row, void *userdata),
	void *userdata, struct bg_err **err);

/* Operations: intent before the first side effect. Unfinished ones are found again after a crash. */
int64_t store_op_begin(struct store *store, const char *kind, const char *target);
void store_op_end(struct store *store, int64_t id);
/* Those of the last daemon; they end by being seen. */
void store_op_each_unfinished(struct store *store,
	void (*fn)(int64_t id, const char *kind, const char *target, void *userdata),
	void *userdata);

/*
 * done once, from the loop, when all that was posted up to now is on the disk, or a part of it failed; err is
 * borrowed. *ret is the caller's: freed from done on, or earlier to hear nothing of it.
 */
typedef void (*store_done_fn)(const struct bg_err *err, void *userdata);
int store_commit(struct store *store, store_done_fn done, void *userdata, struct store_call **ret,
	struct bg_err **err);
void store_call_free(struct store_call *call);
/*
 * Only what was posted in this turn of the loop counts: for who makes room. On a full disk rows that nobody waits for fail before
 * it, and are not its failure.
 */
void store_call_alone(struct store_call *call);
/* What a commit waits for that takes long, in words: a disk, or a process that does not answer. The caller's; NULL when out of memory. */
char *store_waits_for(const struct store *store);
/* The entries of <state>/FOLDER, by rename and unlink, are to be on the disk before what is posted next. */
void store_sync_folder(struct store *store, const char *folder);

/* {mode, error, notes, orphans, file, set_aside}; see docs/store.md. A new reference. */
json_t *store_status(const struct store *store);
/* Is that the path of one of its orphans? */
bool store_has_orphan(const struct store *store, const char *path);
/* It was removed: from now on it is in no list. */
void store_forget_orphan(struct store *store, const char *path);

#endif
