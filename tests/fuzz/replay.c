/* SPDX-License-Identifier: ISC */
/*
 * replay.c: main() of a fuzzer that is built as a plain test: each file of the
 * folder in argv[1] as it is, cut short at each length, and with each bit
 * flipped (of the first KIB, for big inputs). A violation aborts.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "tests/fuzz/fuzz.h"

enum { MUTATED_MAX = 1024, INPUT_MAX = 1 << 20 };

/* A copy of exactly len bytes: the sanitizers see the first byte read beyond it. */
static void one(const char *data, size_t len)
{
	_free_ uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	memcpy(exact, data, len);
	(void)LLVMFuzzerTestOneInput(exact, len);
}

static void mutated(char *data, size_t len)
{
	size_t n = BG_MIN(len, (size_t)MUTATED_MAX);

	one(data, len);
	for (size_t cut = 0; cut < n; cut++)
		one(data, cut);
	for (size_t bit = 0; bit < n * 8; bit++) {
		data[bit / 8] ^= (char)(1 << bit % 8);
		one(data, len);
		data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

int main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *de;
	int files = 0;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 2;
	}
	while ((de = readdir(dir))) {
		_free_ char *data = NULL;
		size_t len;

		if (de->d_name[0] == '.')
			continue;
		if (bg_read_file_at(dirfd(dir), de->d_name, INPUT_MAX, &data, &len) < 0)
			return 1;
		mutated(data, len);
		printf("ok %d - %s\n", ++files, de->d_name);
	}
	closedir(dir);
	printf("1..%d\n", files);
	return files == 0;
}
