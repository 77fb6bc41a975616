/* SPDX-License-Identifier: ISC */
/* keys.h: keys as numbers of our own (a character, or one of these), and what they do, by keys.def. */
#ifndef BG_TUI_KEYS_H
#define BG_TUI_KEYS_H

#include "common/base.h"

#define KEY_CTRL(c) ((c)&0x1f)

enum {
	KEY_TAB_ = '\t',
	KEY_ENTER_ = '\r',
	KEY_ESCAPE_ = 27,
	KEY_UP_ = 0x200000, /* beyond Unicode */
	KEY_DOWN_,
	KEY_LEFT_,
	KEY_RIGHT_,
	KEY_HOME_,
	KEY_END_,
	KEY_PAGE_UP_,
	KEY_PAGE_DOWN_,
	KEY_DELETE_,
	KEY_BACKSPACE_,
	KEY_BACK_TAB_,
	KEY_F1_,
	KEY_UNKNOWN_
};

enum {
	ON_VMS = 1,
	ON_IMAGES = 2,
	ON_KERNELS = 4,
	ON_OPS = 8,
	ON_CHECKS = 16,
	ON_LISTS = 31, /* all of the above, a bit for each kind of the model */
	ON_TEXT = 32
};

enum need {
	NEED_NOTHING,
	NEED_ITEM,    /* something under the cursor */
	NEED_VM,      /* a VM that is not going away */
	NEED_RUNNING, /* a VM that runs */
	NEED_DOWN,    /* a VM that is stopped, paused or suspended */
	NEED_UP,      /* a VM that runs, starts, stops or is paused */
	NEED_AWAKE,   /* the same, and its guest answers */
	NEED_LIFE,    /* a VM that is not stopped */
	NEED_STILL,   /* a VM that runs or is paused */
	NEED_SLEEP,   /* the same, or is suspended */
	NEED_OP	      /* an operation that runs: this one, or of what is under the cursor */
};

enum act {
	ACT_NONE,
#define X(act, key, key2, views, need, asks, rank, word, help) ACT_##act,
#include "tui/keys.def"
#undef X
	ACT_MAX_
};

struct act_row {
	int key, key2; /* key2: 0 for none */
	int views;
	enum need need;
	bool asks;
	int rank;
	const char *name, *word, *help;
};

/* By enum act; the row of ACT_NONE is empty. */
extern const struct act_row act_rows[ACT_MAX_];

/* What the key does where (one of ON_); ACT_NONE: nothing. */
enum act act_of_key(int key, int where);

#define KEY_NAME 16
/* "Enter", "^D", "j". Returns out. */
const char *key_label(int key, char out[KEY_NAME]);

#endif
