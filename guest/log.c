/* SPDX-License-Identifier: ISC */
/* See log.h. */
#include "guest/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <termios.h>
#include <time.h>

#include "common/fd.h"

static int console = STDERR_FILENO;

void log_open(void)
{
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (console > STDERR_FILENO)
		bg_close(console);
	console = fd;
}

void log_drain(void)
{
	(void)tcdrain(console);
}

uint64_t uptime_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void log_line(const char *fmt, ...)
{
	unsigned long long now = uptime_ms();
	char line[512];
	size_t len;
	va_list ap;

	len = (size_t)snprintf(
		line, sizeof(line), "banger-init: [%llu.%03llu] ", now / 1000, now % 1000);
	va_start(ap, fmt);
	(void)vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	line[len++] = '\n';
	(void)bg_write_all(console, line, len);
}
