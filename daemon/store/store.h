/* SPDX-License-Identifier: ISC */
/*
 * store.h: the sqlite database <state>/banger.db, WAL, numbered migrations. SQL lives in this folder
 * only. One short transaction per event. Rows are plain structs, strings owned by the row.
 * Errors are BG_ERR_STATE with the statement's name and sqlite's words.
 */
#ifndef STORE_H
#define STORE_H

#include "common/base.h"
#include "common/err.h"
#include "common/limits.h"

struct store;

/* Opens or makes the database and brings it to this build's version; a newer one is refused. */
int store_open(const char *path, struct store **ret, struct bg_err **err);
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
	int slot;	 /* network slot, -1 when none is held */
	char *vmm;	 /* NULL before the first start */
	char *accel;
	char *vmm_reason;
	char *storage;
	char *address;	 /* NULL when not attached */
	int64_t pid;	 /* 0: no VMM */
	uint64_t pid_start; /* start time of that process, clock ticks since boot (proc(5) field 22) */
	int64_t created_at; /* seconds since the epoch */
	int64_t started_at; /* 0: not started */
	char *error_json;   /* bg_err as JSON, or NULL */
	char *host_key_public; /* "ssh-ed25519 AAAA…" line without comment */
	bool has_sshd;
	char *labels;	      /* JSON object of strings, or NULL */
	char *publish;	      /* JSON list of {host, guest}, or NULL */
	uint64_t boot_serial; /* bytes that the logs had when it was last started */
	uint64_t boot_vmm;
	bool with_init; /* an image without an init is given one at its first boot */
	bool peers; /* it reaches this user's other VMs that have this too */
	int home_slot; /* of its last start, kept for it while it can be; -1: none yet */
};

struct image_row {
	char *name;
	bool managed;
	bool ready; /* false: the build's intent; such rows are removed at start */
	char *kernel;	/* NULL: none recorded */
	bool owns_kernel; /* it came with the image, and goes with it */
	char *source;	/* "build", "register", "import" */
	char *os;	/* PRETTY_NAME, or NULL */
	char *rootfs;	/* absolute paths; NULL when absent */
	char *work_seed;
	bool has_sshd;
	char *env; /* JSON list of "NAME=value" for commands, see common/image_env.h; NULL: none */
	uint64_t size_bytes;
	int64_t created_at;
};

struct kernel_row {
	char *name;
	bool ready;
	char *format;  /* "bzimage", "elf" */
	char *release; /* or NULL */
	char *path;	    /* boot image */
	char *elf;	    /* out of it, when it is a bzImage; NULL: none */
	char *modules_cpio; /* NULL: none */
	char *modules_disk; /* NULL: none */
	char *initrd;	    /* the user's own; NULL: none */
	unsigned n_modules;
	uint64_t size_bytes;
	int64_t created_at;
};

void vm_row_free(struct vm_row *row);
BG_DEFINE_UNREF(vm_row, struct vm_row *, vm_row_free)
void image_row_free(struct image_row *row);
BG_DEFINE_UNREF(image_row, struct image_row *, image_row_free)
void kernel_row_free(struct kernel_row *row);
BG_DEFINE_UNREF(kernel_row, struct kernel_row *, kernel_row_free)

/* insert: -EEXIST (with the noun's NAME_TAKEN error) when the name is there. save: the whole row, by id or name. */
int store_vm_insert(struct store *store, const struct vm_row *row, struct bg_err **err);
int store_vm_save(struct store *store, const struct vm_row *row, struct bg_err **err);
int store_vm_delete(struct store *store, const char *id, struct bg_err **err);
/* fn takes the row over; a negative return stops and is returned. Ordered by name. */
int store_vm_each(struct store *store, int (*fn)(struct vm_row *row, void *userdata), void *userdata, struct bg_err **err);

int store_image_insert(struct store *store, const struct image_row *row, struct bg_err **err);
int store_image_save(struct store *store, const struct image_row *row, struct bg_err **err);
int store_image_delete(struct store *store, const char *name, struct bg_err **err);
int store_image_each(struct store *store, int (*fn)(struct image_row *row, void *userdata), void *userdata, struct bg_err **err);

int store_kernel_insert(struct store *store, const struct kernel_row *row, struct bg_err **err);
int store_kernel_save(struct store *store, const struct kernel_row *row, struct bg_err **err);
int store_kernel_delete(struct store *store, const char *name, struct bg_err **err);
int store_kernel_each(struct store *store, int (*fn)(struct kernel_row *row, void *userdata), void *userdata, struct bg_err **err);

/* Operations: intent before the first side effect. Unfinished ones are found again after a crash. */
int store_op_begin(struct store *store, const char *kind, const char *target, int64_t *ret_id, struct bg_err **err);
/* state: "done", "failed", "cancelled"; error_json may be NULL. Keeps the last 200 ended operations. */
int store_op_end(struct store *store, int64_t id, const char *state, const char *error_json, struct bg_err **err);
int store_op_each_unfinished(struct store *store, int (*fn)(int64_t id, const char *kind, const char *target, void *userdata),
	void *userdata, struct bg_err **err);

#endif
