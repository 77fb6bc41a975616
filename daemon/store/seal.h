/* SPDX-License-Identifier: ISC */
/* seal.h: what the store process may still do: files below the state folder, and its socket. */
#ifndef BG_DAEMON_STORE_SEAL_H
#define BG_DAEMON_STORE_SEAL_H

/* For good. What the kernel does not offer is left away: the engine's own seal is inherited as well. */
void store_seal(const char *dir);

#endif
