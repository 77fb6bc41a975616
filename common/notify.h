/* SPDX-License-Identifier: ISC */
/* notify.h: tells a service manager how a service is, as sd_notify(3) does and without its library. */
#ifndef BG_COMMON_NOTIFY_H
#define BG_COMMON_NOTIFY_H

#include "common/base.h"

/* where: the value of NOTIFY_SOCKET; NULL: nobody. text: "READY=1" and its like, one a line. Never blocks; -errno. */
int bg_notify(const char *where, const char *text);

#endif
