/* SPDX-License-Identifier: ISC */
/*
 * bootstrap.h: `bangerd --bootstrap SUITE MIRROR full|minimal PACKAGE...`, a process of its own that runs one
 * mmdebstrap and sees to its end. Started by the monitor alone, which checked the words; stdout is
 * the tar, stderr the build's log. SIGTERM, or the monitor's death, cancels. It leaves neither
 * processes nor files behind: what mmdebstrap unshared belongs to other uids, so it needs doing
 * here.
 */
#ifndef BG_DAEMON_BOOTSTRAP_H
#define BG_DAEMON_BOOTSTRAP_H

/* Exit status: mmdebstrap's own; 127 when it cannot be started; 128 + signal when it was killed. */
int bootstrap_main(int argc, char **argv);

#endif
