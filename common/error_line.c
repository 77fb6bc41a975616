/* SPDX-License-Identifier: ISC */
/* See error_line.h. */
#include "common/error_line.h"

#include <fcntl.h>

#include "common/fd.h"

enum { TAIL = 64 * 1024 };

/* What follows the mark; NULL: this line is not marked. */
static const char *after_mark(const char *line)
{
	static const char *const marks[] = {"E: ", "ERROR: ", "Error: ", "error: "};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strncmp(line, marks[i], strlen(marks[i])) == 0)
			return line + strlen(marks[i]);
	return NULL;
}

char *bg_error_line(const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_free_ char *text = NULL;
	char *state = NULL;

	if (fd < 0)
		return NULL;
	if (lseek(fd, -TAIL, SEEK_END) < 0)
		(void)lseek(fd, 0, SEEK_SET);
	if (bg_read_fd(fd, TAIL, &text, NULL) < 0)
		return NULL;
	for (char *line = strtok_r(text, "\r\n", &state); line;
		line = strtok_r(NULL, "\r\n", &state)) {
		const char *words = after_mark(line);

		if (words)
			return strdup(words);
	}
	return NULL;
}
