/* SPDX-License-Identifier: ISC */
/*
 * args.h: commands are rows, and everything that reads a command line or tells
 * about one is derived from them: the parser here, help.c, shell completion.
 * Rows live in cmd_<noun>.c. The parser owns no strings: all point into argv.
 */
#ifndef BG_CLI_ARGS_H
#define BG_CLI_ARGS_H

#include <jansson.h>

#include "common/err.h"

struct cli;
struct args;

/* What a value is: its check by the parser, and what a shell completes it with. */
enum arg_kind {
	ARG_NONE, /* a switch, or no arguments at all */
	ARG_TEXT,
	ARG_NEW, /* a name that is to be given */
	ARG_VM,
	ARG_VMS, /* names of VMs, or patterns over them */
	ARG_IMAGE,
	ARG_KERNEL,
	ARG_OP, /* the id of an operation */
	ARG_FILE,
	ARG_VM_FILE, /* NAME:PATH, or a file of this machine */
	ARG_SIZE,
	ARG_NUMBER,
	ARG_SIGNAL,
	ARG_SHELL
};

struct flag {
	const char *name;  /* "--memory" */
	const char *value; /* "SIZE"; NULL for a switch */
	enum arg_kind kind;
	const char *help; /* NULL: taken for the sake of habit, said nowhere */
	char letter;	  /* 'f' for -f, 0 for none */
	const char *
		also; /* other tools' spellings, "--mem -m": taken, not shown by completion; or NULL */
};

#define FLAG_JSON                                                                                  \
	{                                                                                          \
		"--json", NULL, ARG_NONE, "print the API's record as JSON"                         \
	}
#define FLAG_TIMING                                                                                \
	{                                                                                          \
		"--timing", NULL, ARG_NONE, "say how long each stage took"                         \
	}
#define FLAG_END                                                                                   \
	{                                                                                          \
		NULL, NULL, ARG_NONE, NULL                                                         \
	}

enum { ARGS_MANY = 256 }; /* max_args of "NAME..." */

struct command {
	const char *path;   /* "vm create" */
	const char *alias;  /* "vm ls, ls": shorter or other tools' paths, or NULL */
	enum arg_kind kind; /* of the arguments */
	bool then_files;    /* only of the first: files follow */
	unsigned min_args, max_args;
	bool running;		  /* of use for running VMs only: completion offers those */
	bool hidden;		  /* called by other programs: no help or completion shows it */
	bool takes_rest;	  /* a command: what follows "--", or the arguments */
	const struct flag *flags; /* ends with FLAG_END */
	const char *usage;	  /* what follows the path: "NAME [-- CMD...]" */
	const char *summary;
	const char *details; /* a paragraph for --help, or NULL */
	const char *example;
	/* The exit status, or -errno with *err set. */
	int (*run)(struct cli *cli, const struct args *args, struct bg_err **err);
};

enum { ARGS_FLAGS_MAX = 24, ARGS_GIVEN_MAX = 64 };

struct args {
	const struct command *command;
	char *positional[ARGS_MANY];
	size_t count;
	char **rest; /* the command, ends with NULL; itself NULL when there is none */
	const char *values[ARGS_FLAGS_MAX]; /* by the row's flags; a switch holds its name */
	/* Every flag with a value, in the order of the command line: for those that may be repeated. */
	struct {
		size_t flag; /* index into the row's flags */
		const char *value;
	} given[ARGS_GIVEN_MAX];
	size_t given_count;
	bool help;
};

/* The row whose path or alias are the first words of argv; *used counts the words. NULL: none. */
const struct command *args_find(
	const struct command *const *rows, int argc, char **argv, int *used);
/* Fills args from what follows the path. USAGE errors name the nearest flag. */
int args_parse(const struct command *command, int argc, char **argv, struct args *args,
	struct bg_err **err);
/* USAGE for words that are not a command; its hint names the nearest one. */
int args_unknown(const struct command *const *rows, int argc, char **argv, struct bg_err **err);

/* The row's flag that the first len bytes of word spell: its name, "-f", another tool's. NULL: none. */
const struct flag *args_flag(const struct command *c, const char *word, size_t len);
/* The value of a flag of this row, NULL when it was not given. */
const char *args_value(const struct args *args, const char *flag);
/* The value of the nth (from 0) time that the flag was given; NULL beyond the last. */
const char *args_nth(const struct args *args, const char *flag, size_t nth);
bool args_has(const struct args *args, const char *flag);
/*
 * The flag's path becomes body[key], made absolute: the daemon runs elsewhere. The file must be there. Nothing
 * without the flag.
 */
int args_path(const struct args *args, const char *flag, json_t *body, const char *key,
	struct bg_err **err);
/* *ret stays as it is when the flag was not given. */
int args_size_mib(const struct args *args, const char *flag, uint64_t min, uint64_t max,
	uint64_t *ret, struct bg_err **err);
int args_number(const struct args *args, const char *flag, uint64_t min, uint64_t max,
	uint64_t *ret, struct bg_err **err);

/* Whether a word stands for names that match it ("web-*"), and is none itself. */
bool args_is_pattern(const char *word);

#endif
