/* SPDX-License-Identifier: ISC */
/*
 * model.h: what the daemon has said so far: VMs, images, kernels, operations by key, what they use, and what happened.
 * Filled by the lines of GET /v1/events?state=1&usage=2 and by doctor's checks. Knows no screen and no connection;
 * reads no clock: model.now is set by who has one. A record stays with its key wherever it stands in its list.
 */
#ifndef BG_TUI_MODEL_H
#define BG_TUI_MODEL_H

#include <jansson.h>

#include "common/base.h"

enum kind { KIND_VM, KIND_IMAGE, KIND_KERNEL, KIND_OP, KIND_CHECK, KIND_MAX_ };

enum {
	KEY_TEXT = 72,
	SAMPLES = 120,
	NOTES_MAX = 64,
	NOTE_TEXT = 160,
	OPS_KEPT = 200,
	FOLDER_TEXT = 256
};

/* Of a VM that runs. Newest sample last, of at most SAMPLES. */
struct usage {
	double cpu;		   /* percent of one CPU; below 0: not known yet */
	int64_t host, guest, disk; /* bytes; guest 0: not known */
	int64_t guest_total;
	unsigned count;
	float cpu_samples[SAMPLES];    /* percent of its CPUs */
	float memory_samples[SAMPLES]; /* bytes of the host */
};

struct item {
	char key[KEY_TEXT]; /* a VM's id, the name of an image or kernel, an operation's id */
	json_t *record;
	struct usage *usage; /* VMs only; NULL until the first sample */
	bool marked, fresh;  /* fresh: heard of since the connection began */
	int64_t seen;	     /* of an operation: model.now when its record came */
};

struct list {
	struct item *items; /* sorted */
	size_t count, room;
};

struct note {
	int64_t at;
	char name[KEY_TEXT], text[NOTE_TEXT];
	bool bad;
};

enum link_state {
	LINK_CONNECTING, /* nothing was heard of yet */
	LINK_STARTING,	 /* the daemon is being started */
	LINK_UP,
	LINK_DOWN /* what the lists hold is old */
};

struct model {
	struct list lists[KIND_MAX_];
	struct note notes[NOTES_MAX]; /* newest first */
	unsigned n_notes;
	json_t *files; /* names in folder, those of folders with a slash; NULL: not known, or not yet */
	char folder[FOLDER_TEXT];
	bool folder_asked;
	json_t *daemon; /* GET /v1/daemon, or NULL */
	enum link_state link;
	bool synced;	     /* all of the state was heard */
	bool checks_running; /* doctor is at work */
	int64_t now, heard;  /* wall clock, milliseconds */
};

void model_done(struct model *m);
/* A new connection: what is not heard of until "sync" is gone. */
void model_begin(struct model *m);
/* A line of the stream. What makes no sense is passed over. */
void model_event(struct model *m, const json_t *line);
/* The guest's part of GET /v1/vms/{name}/usage. */
void model_guest(struct model *m, const char *name, const json_t *guest);
/* GET /v1/files of the folder that was asked for last; others are passed over. NULL: it cannot be listed. */
void model_files(struct model *m, const char *folder, const json_t *reply);
/* True: it is another than before, and is to be asked for. */
bool model_want_folder(struct model *m, const char *folder);
/* {"checks": [...]} of doctor --json. */
void model_checks(struct model *m, const json_t *report);

/* NULL when there is none. */
struct item *model_find(const struct model *m, enum kind kind, const char *key);
struct item *model_find_vm(const struct model *m, const char *name);
unsigned model_marked(const struct model *m, enum kind kind);

/* "" and 0 for what is missing or of another type. */
const char *item_text(const json_t *record, const char *key);
int64_t item_int(const json_t *record, const char *key);
bool item_bool(const json_t *record, const char *key);
/* What is shown as its name. */
const char *item_name(enum kind kind, const struct item *item);

/* How a VM is shown to be. */
enum face {
	FACE_RUNNING,
	FACE_BUSY,
	FACE_PAUSED,	/* in memory, standing still */
	FACE_SUSPENDED, /* on the disk */
	FACE_STOPPED,
	FACE_FAILED,
	FACE_MAX_
};
enum face vm_face(const struct item *item, const char **word);
/* Milliseconds since an RFC 3339 UTC time of the record; -1 when it has none. */
int64_t item_since(const struct model *m, const json_t *record, const char *key);

#endif
