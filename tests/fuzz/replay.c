/* SPDX-License-Identifier: ISC */
/*
 * replay.c: main of a fuzzer that was built without libFuzzer: runs every file of
 * the corpus folder named on the command line once, and prints TAP. With libFuzzer
 * (meson -Dfuzz=true, clang) this file is left out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4 * 1024 * 1024 };

static int run_file(int dir, const char *name, int number)
{
	_free_ char *data = NULL;
	size_t len = 0;
	int r = bg_read_file_at(dir, name, INPUT_MAX, &data, &len);

	if (r < 0) {
		printf("not ok %d - %s: %s\n", number, name, strerror(-r));
		return 1;
	}
	(void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
	printf("ok %d - %s\n", number, name);
	return 0;
}

int main(int argc, char **argv)
{
	int number = 0, failed = 0;
	struct dirent *e;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

	if (!dir) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
		return 2;
	}
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			failed += run_file(dirfd(dir), e->d_name, ++number);
	(void)closedir(dir);
	if (number == 0) {
		printf("not ok 1 - the corpus is empty\n");
		failed = number = 1;
	}
	printf("1..%d\n", number);
	return failed ? 1 : 0;
}
