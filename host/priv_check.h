/* SPDX-License-Identifier: ISC */
/*
 * priv_check.h: where the helpers lie, and why the network helper cannot work: for the engine's errors, and for doctor. Makes
 * no process, asks no name service.
 */
#ifndef BG_HOST_PRIV_CHECK_H
#define BG_HOST_PRIV_CHECK_H

#include "common/err.h"

/* The helpers' paths: BANGER_PRIVHELPER and BANGER_PRIVHELPER_DISK for tests, else the compiled-in ones. */
const char *priv_helper_path(void);
const char *priv_disk_helper_path(void);
/*
 * Why a network helper at path cannot work for this user: missing, not a member, no capability. For
 * use after a failed spawn, or an end of the socket before HELLO's reply. 0 when nothing is
 * found. Does not ask the name service: that may wait for a server.
 */
int priv_helper_check(const char *path, struct bg_err **err);

/*
 * What reaches into the /24 of a gateway (dotted) and is not banger's, in words ("10.0.0.0/8 by eth0"): why an attach is
 * refused with ROUTE. False: nothing that this process can see. The second reads a text like /proc/net/route.
 */
#define PRIV_ROUTE_TEXT 80
bool priv_route_overlap(const char *gateway, char ret[PRIV_ROUTE_TEXT]);
bool priv_route_overlap_in(char *routes, const char *gateway, char ret[PRIV_ROUTE_TEXT]);

#endif
