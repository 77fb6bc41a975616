/* SPDX-License-Identifier: ISC */
/*
 * ssh_options.h: what ssh must do the same way whatever ~/.ssh/config says under `Host *`: of an option that is
 * given twice ssh takes the first, so all that decides how a VM is reached, and what of the user's it can reach, is
 * given. Used by `vm ssh` and in the text of `ssh-config`.
 */
#ifndef BG_CLI_SSH_OPTIONS_H
#define BG_CLI_SSH_OPTIONS_H

struct ssh_option {
	const char *key, *value;
};

/* Ends with a NULL key. The first must stay the first: older clients lack some of what follows. */
extern const struct ssh_option ssh_options[];

#endif
