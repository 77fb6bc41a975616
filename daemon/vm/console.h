/* SPDX-License-Identifier: ISC */
/*
 * console.h: the watch over what guests say on their consoles. It keeps the logs that a guest can fill
 * within bounds, and reads how a kernel ended: one that has halted does nothing any more, but its VMM
 * stays (Firecracker has no way to power off), and a reset ends Firecracker where a machine would boot
 * again. What a guest writes there can end or start that guest alone.
 */
#ifndef BG_DAEMON_VM_CONSOLE_H
#define BG_DAEMON_VM_CONSOLE_H

#include <stddef.h>

#include "common/err.h"

struct console;
struct engine;
struct vm;

enum console_end {
	CONSOLE_GOES_ON, /* nothing of the kind was said last */
	CONSOLE_HALTED,	 /* powered off or halted */
	CONSOLE_RESET,	 /* the machine shall boot again: `reboot`, or a panic */
};

/* What the last bytes of a console say. */
enum console_end console_end_of(const char *text, size_t len);
/* The same for the VM's log. */
enum console_end console_end_of_vm(const struct vm *vm);

/* Owned by the engine. Looks at VMs within a second after one of their logs grew; while all are silent it does nothing. */
int console_new(struct engine *engine, struct console **ret, struct bg_err **err);
void console_free(struct console *console);
BG_DEFINE_UNREF(console, struct console *, console_free)
/* A VMM begins, or was adopted: its logs are watched, as long as the files are there. NULL console is fine. */
void console_watch(struct console *console, const struct vm *vm);

#endif
