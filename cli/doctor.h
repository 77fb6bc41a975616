/* SPDX-License-Identifier: ISC */
/*
 * doctor.h: `banger doctor`. One row per check (doctor.c), each a function that says in one line what there is, whether
 * it will do, and the command that mends it. doctor_parts.c asks the daemon, which knows what only running parts
 * know; doctor_host.c looks at the machine itself, so that something is told also when no daemon starts.
 */
#ifndef BG_CLI_DOCTOR_H
#define BG_CLI_DOCTOR_H

#include "cli/cli.h"
#include "daemon/config.h"

enum finding_state {
	FINDING_OK,
	FINDING_WARN, /* something is slower, or one feature is missing */
	FINDING_FAIL  /* no VM can be run */
};

struct finding {
	enum finding_state state;
	char *text, *hint; /* one line each; hint may be NULL */
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

/* --remove WORD: the folder of that path or name. An exit status, or -errno. */
int doctor_remove(struct cli *cli, const char *word, bool force, struct bg_err **err);

/* Replaces what was said. */
void finding_set(struct finding *f, enum finding_state state, const char *fmt, ...) _printf_(3, 4);
void finding_hint(struct finding *f, const char *fmt, ...) _printf_(2, 3);
/* An error object of the API, as message and hint. */
void finding_error(struct finding *f, enum finding_state state, const json_t *error);

/* ---- doctor_parts.c ---- */

/* Starts the daemon if need be, and waits, bounded, until its own checks are done. */
void doctor_ask(struct doctor *d);
void check_daemon(const struct doctor *d, struct finding *f);
void check_vmm(const struct doctor *d, struct finding *f);
void check_kvm(const struct doctor *d, struct finding *f);
void check_helper(const struct doctor *d, struct finding *f);
void check_fence(const struct doctor *d, struct finding *f);
void check_disk_helper(const struct doctor *d, struct finding *f);
void check_store(const struct doctor *d, struct finding *f);
void check_storage(const struct doctor *d, struct finding *f);
void check_names(const struct doctor *d, struct finding *f);

/* ---- doctor_host.c ---- */

/* What a VMM says to --version: "7.2.9"; false when it says none. */
bool doctor_ask_version(const char *path, char ret[32]);
void check_firecracker(const struct doctor *d, struct finding *f);
void check_qemu(const struct doctor *d, struct finding *f);
void check_tun(const struct doctor *d, struct finding *f);
void check_vsock(const struct doctor *d, struct finding *f);
void check_forward(const struct doctor *d, struct finding *f);
void check_space(const struct doctor *d, struct finding *f);
void check_landlock(const struct doctor *d, struct finding *f);
void check_seccomp(const struct doctor *d, struct finding *f);
void check_build(const struct doctor *d, struct finding *f);
void check_ssh(const struct doctor *d, struct finding *f);
void check_logout(const struct doctor *d, struct finding *f);

#endif
