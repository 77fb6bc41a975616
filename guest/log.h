/* SPDX-License-Identifier: ISC */
/*
 * log.h: lines on the console, which is what the host keeps as the serial log.
 * Each is "banger-init: [seconds since the kernel started] text". Used by every
 * part of banger-init; never fails, never allocates.
 */
#ifndef BG_GUEST_LOG_H
#define BG_GUEST_LOG_H

#include "common/base.h"

/* Opens /dev/console anew: at the start, and after the move to the image's root. */
void log_open(void);
/* Waits until the console has sent what was written: before the machine goes away. */
void log_drain(void);
void log_line(const char *fmt, ...) _printf_(1, 2);
/* Milliseconds since the kernel started; 64 bits, because 32 are over after 49 days, and VMs are persistent. */
uint64_t uptime_ms(void);

#endif
