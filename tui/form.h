/* SPDX-License-Identifier: ISC */
/*
 * form.h: forms as tables of fields: what they ask, what becomes of it in the API's body and on a command line. A form
 * is edited by keys and checked as it is typed; who submits takes form_body. Names of images, kernels and files are completed from
 * the model. No screen, no connection, no file.
 */
#ifndef BG_TUI_FORM_H
#define BG_TUI_FORM_H

#include "tui/keys.h"
#include "tui/model.h"

enum field_kind {
	FIELD_NAME, /* a new name */
	FIELD_TEXT,
	FIELD_NUMBER,
	FIELD_SIZE, /* "2G", in MiB in the body */
	FIELD_SWITCH,
	FIELD_IMAGE,
	FIELD_KERNEL,
	FIELD_FILE,   /* an absolute path, or one that begins with ~/ */
	FIELD_SOURCE, /* the same, or a URL */
	FIELD_LABELS, /* "a=b c=d" */
	FIELD_PORTS,  /* "8080:80 2222:22" */
	FIELD_WORDS   /* a list of words */
};

struct field_row {
	const char *label;
	enum field_kind kind;
	const char *json; /* the key of the body */
	const char *
		flag; /* "--memory"; "": the word itself; a switch has "--nat", and --no-nat for off */
	const char *hint;
	int64_t min, max;
	bool needed;  /* may not be empty */
	bool stopped; /* of a stopped VM only */
	bool on;      /* a switch that starts so */
};

enum form_id {
	FORM_CREATE,
	FORM_SET,
	FORM_PORTS,
	FORM_PULL,
	FORM_BUILD,
	FORM_KERNEL,
	FORM_RENAME,
	FORM_EXPORT,
	FORM_IMPORT,
	FORM_REGISTER,
	FORM_IMPORT_KERNEL,
	FORM_EXEC,
	FORM_MAX_
};

struct form_row {
	const char *title, *verb;
	const char *command; /* "banger vm create"; the target's name follows where there is one */
	const char *path;    /* POST; {} is the target's name. NULL: a command with the terminal */
	const struct field_row *fields;
	size_t count;
};

enum { FIELD_ROOM = 256, FORM_FIELDS = 12, FORM_CHOICES = 64 };

struct field {
	char text[FIELD_ROOM], first[FIELD_ROOM];
	size_t at; /* the cursor, in bytes */
	bool on, first_on;
	char error[96];
};

struct form {
	bool open, sent; /* sent: the daemon has not answered yet */
	enum form_id id;
	char target[KEY_TEXT]; /* the name of the VM or image */
	size_t focus;
	struct field fields[FORM_FIELDS];
	bool list; /* the list of choices was asked for */
	size_t choice;
	char error[256];
};

/* The folder that names of the field in focus are completed from, with its slash; "": those that may be listed. False: it takes no file. */
bool form_folder(const struct form *f, char out[FIELD_ROOM]);
/* What is typed, with the home in the place of ~. Returns out. */
const char *form_path(const char *text, char out[FIELD_ROOM]);

enum form_end { FORM_GOES_ON, FORM_LEAVE, FORM_SUBMIT };

const struct form_row *form_row(const struct form *f);
/* target: the record of a VM or image, whose present values it starts with; NULL for one that makes something. */
void form_begin(struct form *f, enum form_id id, const json_t *target, const json_t *daemon);
enum form_end form_key(struct form *f, const struct model *m, int key);
/* The pasted text at the cursor; line ends become blanks. */
void form_paste(struct form *f, const char *text);
/* What the field in focus could be: how many, borrowed from the model. */
size_t form_choices(const struct form *f, const struct model *m, const char *out[FORM_CHOICES]);
/* Checks every field; *ret is the body, a new reference. -EINVAL: a field has its error, and the focus. */
int form_body(struct form *f, const struct model *m, json_t **ret);
/* The same as a command line. Returns out. */
const char *form_command(const struct form *f, char *out, size_t room);

#endif
