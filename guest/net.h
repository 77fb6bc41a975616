/* SPDX-License-Identifier: ISC */
/* net.h: lo and eth0, by ioctl. The image's own network tools are not needed. */
#ifndef BG_GUEST_NET_H
#define BG_GUEST_NET_H

#include "common/err.h"
#include "guest/conf.h"

/* lo up; with an address: eth0 up, address/32, gateway as a neighbour, default route. */
int net_up(const struct conf *conf, struct bg_err **err);

#endif
