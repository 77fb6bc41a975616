/* SPDX-License-Identifier: ISC */
/*
 * doctor.h: `banger doctor`. One row per check (doctor.c), each a function that says in one line what there is, whether
 * it will do, and the command that mends it. doctor_parts.c asks the daemon, which knows what only running parts
 * know; doctor_host.c looks at the machine itself, so that something is told also when no daemon starts; doctor_build.c at what
 * image builds need. doctor_fix.c does what needs no root, when asked to.
 */
#ifndef BG_CLI_DOCTOR_H
#define BG_CLI_DOCTOR_H

#include "cli/cli.h"
#include "host/config.h"

enum finding_state {
	FINDING_OK,
	FINDING_WARN, /* something is slower, or one feature is missing */
	FINDING_FAIL  /* no VM can be run */
};

/* A remedy that needs no root, disturbs no VM and takes away nothing that cannot be had again: the table is in doctor_fix.c. */
enum finding_fix { FIX_NONE, FIX_RESTART, FIX_PRUNE, FIX_LINGER, FIX_MAX_ };

struct finding {
	const char *name; /* of its row */
	enum finding_state state;
	char *text, *hint; /* one line each; hint may be NULL */
	enum finding_fix fix;
};

/* What the checks look at. */
struct doctor {
	struct cli *cli;
	const struct config *config; /* the defaults when the file cannot be read */
	json_t *status;		     /* GET /v1/daemon; NULL: there is no daemon */
	struct bg_err *err;	     /* why not */
};

typedef void (*doctor_check_fn)(const struct doctor *d, struct finding *f);

/* The command. */
int doctor(struct cli *cli, const struct args *args, struct bg_err **err);

/* The command of a remedy, as a user types it; NULL for FIX_NONE. */
const char *doctor_fix_command(enum finding_fix fix);
/*
 * --fix: shows what banger would run and what only root can, asks (not with yes), runs the first. *ret, when not NULL, becomes the
 * list of what was run, the caller's. 1: something was run; 2: and one of them failed; 0: there is nothing to run; -errno.
 */
int doctor_fix(const struct cli *cli, const struct finding *found, size_t n, bool yes, json_t **ret,
	struct bg_err **err);

/* --remove WORD: the folder of that path or name. An exit status, or -errno. */
int doctor_remove(struct cli *cli, const char *word, bool force, struct bg_err **err);

/* Replaces what was said. */
void finding_set(struct finding *f, enum finding_state state, const char *fmt, ...) _printf_(3, 4);
void finding_hint(struct finding *f, const char *fmt, ...) _printf_(2, 3);
/* An error object of the API, as message and hint. */
void finding_error(struct finding *f, enum finding_state state, const json_t *error);

/* ---- doctor_parts.c ---- */

/* Starts the daemon if need be, and waits, bounded, until its own checks are done. What d had of an earlier call goes. */
void doctor_ask(struct doctor *d);
void check_daemon(const struct doctor *d, struct finding *f);
void check_vmm(const struct doctor *d, struct finding *f);
void check_kvm(const struct doctor *d, struct finding *f);
void check_helper(const struct doctor *d, struct finding *f);
void check_fence(const struct doctor *d, struct finding *f);
void check_disk_helper(const struct doctor *d, struct finding *f);
void check_store(const struct doctor *d, struct finding *f);
void check_storage(const struct doctor *d, struct finding *f);
void check_limits(const struct doctor *d, struct finding *f);
void check_names(const struct doctor *d, struct finding *f);

/* ---- doctor_host.c ---- */

/* What a VMM says to --version: "7.2.9"; false when it says none. */
bool doctor_ask_version(const char *path, char ret[32]);
void check_firecracker(const struct doctor *d, struct finding *f);
void check_qemu(const struct doctor *d, struct finding *f);
void check_tun(const struct doctor *d, struct finding *f);
void check_vsock(const struct doctor *d, struct finding *f);
void check_forward(const struct doctor *d, struct finding *f);
void check_clock(const struct doctor *d, struct finding *f);
void check_space(const struct doctor *d, struct finding *f);
void check_landlock(const struct doctor *d, struct finding *f);
void check_seccomp(const struct doctor *d, struct finding *f);
void check_ssh(const struct doctor *d, struct finding *f);
void check_logout(const struct doctor *d, struct finding *f);

/* ---- doctor_build.c ---- */

void check_build(const struct doctor *d, struct finding *f);

#endif
