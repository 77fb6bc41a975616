/* SPDX-License-Identifier: ISC */
/*
 * ui.h: the terminal UI without a terminal: what is open, where the cursor is, what a key does. Keys, the daemon's
 * lines and the clock come in; effects (a call of the API, a program in the terminal) go out by a table of functions,
 * and draw.h makes a grid of it. So all of it runs in a unit test. One thread; never blocks.
 */
#ifndef BG_TUI_UI_H
#define BG_TUI_UI_H

#include "tui/form.h"
#include "tui/keys.h"
#include "tui/model.h"
#include "tui/pager.h"

/* What the answer of a call is for. */
enum call_for { CALL_ACTION, CALL_FORM, CALL_GUEST, CALL_DAEMON, CALL_FILES };

struct effects {
	/* body is taken, may be NULL. The answer comes by ui_reply. what: "stop web", for messages. */
	void (*call)(void *u, enum call_for why, const char *method, const char *path, json_t *body,
		const char *what);
	/* banger with these arguments (ending with NULL) and the terminal; ui_child_ended follows. */
	void (*run)(void *u, const char *const *args);
	/* The same without the terminal: what it prints goes to the pager. */
	void (*capture)(void *u, const char *const *args);
	/* A raw stream of the API into the pager, NULL: end the one there is. */
	void (*follow)(void *u, const char *path);
	/* doctor --json; ui_checks follows. */
	void (*doctor)(void *u);
	void (*copy)(void *u, const char *text);
	void (*page)(void *u); /* the pager's text in $PAGER */
	void (*mouse)(void *u, bool on);
	void (*reread)(void *u);
	void (*repaint)(void *u);
	void (*suspend)(void *u);
	void (*quit)(void *u);
};

enum { TARGETS_MAX = 256, FILTER_ROOM = 64, MESSAGE_ROOM = 320 };

/* A list as it is looked at. */
struct view {
	char cursor[KEY_TEXT]; /* the key of the item under it; "": none */
	size_t row, top;       /* of what passes the filter; kept by ui_settle */
	char filter[FILTER_ROOM];
	char last_mark[KEY_TEXT];
	bool chosen; /* a key or the mouse was there: before, the cursor is on the first */
};

/* "Delete 2 VMs": its targets never change. */
struct dialog {
	bool open;
	enum act act;
	enum kind kind;
	char (*targets)[KEY_TEXT]; /* keys */
	size_t count;
	bool type_count; /* the number is to be typed; else y */
	char typed[8];
};

/* Help and the menu: rows of keys.def, narrowed by what is typed. */
struct palette {
	bool open, menu;
	char typed[32];
	size_t row, top;
};

enum sort { SORT_NAME, SORT_STATE, SORT_CPU, SORT_GUEST, SORT_HOST, SORT_DISK, SORT_UP, SORT_MAX_ };

struct ui {
	struct model model;
	enum kind view; /* the list in front */
	struct view views[KIND_MAX_];
	enum sort sort;
	bool invert;
	struct dialog dialog;
	struct form form;
	struct palette palette;
	struct pager pager;
	bool typing; /* into the filter, or the pager's search */
	bool mouse_off;
	int detail;	   /* rows or columns that the pane of details is larger by */
	int rows, columns; /* of the screen */
	int list_row, list_rows, list_columns; /* where the list was drawn: for the mouse */
	int head_row;
	char message[MESSAGE_ROOM];
	bool message_bad;
	char daemon_error[MESSAGE_ROOM]; /* why it does not start */
	const struct effects *effects;
	void *userdata;
};

void ui_init(struct ui *ui, const struct effects *effects, void *userdata);
void ui_done(struct ui *ui);

/* What happens. */
void ui_key(struct ui *ui, int key);
void ui_paste(struct ui *ui, const char *text);
enum mouse { MOUSE_CLICK, MOUSE_DOUBLE, MOUSE_RIGHT, MOUSE_WHEEL_UP, MOUSE_WHEEL_DOWN };
void ui_mouse(struct ui *ui, enum mouse what, int row, int column);
void ui_line(struct ui *ui, const json_t *line);
/* reply: the body, or NULL; error, hint: NULL when it went well. */
void ui_reply(struct ui *ui, enum call_for why, const char *what, const json_t *reply,
	const char *error, const char *hint);
void ui_checks(struct ui *ui, const json_t *report);
void ui_child_ended(struct ui *ui, const char *what, int status);
void ui_say(struct ui *ui, bool bad, const char *fmt, ...) _printf_(3, 4);

/* The items of the list in front that pass the filter, in order; *ret borrowed until the next call. */
size_t ui_visible(const struct ui *ui, struct item *const **ret);
/* The item under the cursor; NULL: none. */
struct item *ui_current(const struct ui *ui);
/* Keeps cursor and top where they belong after the lists changed. */
void ui_settle(struct ui *ui);
/* Where keys go: an ON_ bit. */
int ui_where(const struct ui *ui);
/* The running operation of what is under the cursor, or of its list; NULL: none. */
struct item *ui_operation(const struct ui *ui);
/* Why the action cannot be done now; NULL: it can. */
const char *ui_why_not(const struct ui *ui, enum act act);
/* The palette's rows as acts; returns how many. */
size_t ui_palette(const struct ui *ui, enum act out[ACT_MAX_]);
unsigned ui_running_ops(const struct ui *ui);

/* ui_act.c: does it, or asks. */
void ui_do(struct ui *ui, enum act act);
/* What the form for a command says. */
void ui_exec(struct ui *ui);
/* ui_dialog.c */
void ui_ask(struct ui *ui, enum act act, enum kind kind, char (*targets)[KEY_TEXT], size_t count);
void ui_dialog_key(struct ui *ui, int key);
void ui_dialog_close(struct ui *ui);
/* Of ui_act.c, for what the dialog said yes to. */
void ui_carry_out(
	struct ui *ui, enum act act, enum kind kind, char (*targets)[KEY_TEXT], size_t count);
/* ui_move.c: what moves, marks, sorts; false: not one of those. */
bool ui_move(struct ui *ui, enum act act);
bool ui_move_text(struct ui *ui, enum act act);
int ui_text_rows(const struct ui *ui);

#endif
