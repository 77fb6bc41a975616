/* SPDX-License-Identifier: ISC */
/*
 * The main of a fuzzer in a build without libFuzzer: runs each file of the corpus named, every
 * prefix of it, and it with each byte changed once. TAP on stdout.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "common/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WHOLE_MAX                                                                                  \
	4096 /* larger inputs run as they are only: prefixes cost the square of the size */

/* A copy of exactly this size, so that the sanitizer sees a read beyond it. */
static void run_copy(const char *text, size_t size)
{
	char *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, text, size);
	LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
	free(copy);
}

static void run_variants(char *text, size_t size)
{
	static const char flips[] = {1, 0x20, (char)0x80, (char)0xff};

	run_copy(text, size);
	for (size_t n = 0; n < size && size <= WHOLE_MAX; n++) {
		run_copy(text, n);
		for (size_t i = 0; i < sizeof(flips); i++) {
			text[n] = (char)(text[n] ^ flips[i]);
			run_copy(text, size);
			text[n] = (char)(text[n] ^ flips[i]);
		}
	}
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *de;
	int number = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
		return 2;
	}
	while ((de = readdir(dir))) {
		char *text;
		size_t size;

		if (de->d_name[0] == '.' ||
			bg_read_file_at(dirfd(dir), de->d_name, 1 << 20, &text, &size) < 0)
			continue;
		run_variants(text, size);
		free(text);
		printf("ok %d - %s\n", ++number, de->d_name);
	}
	closedir(dir);
	if (number == 0)
		printf("not ok %d - the corpus is empty\n", ++number);
	printf("1..%d\n", number);
	return 0;
}
