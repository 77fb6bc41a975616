/* SPDX-License-Identifier: ISC */
/*
 * run-setup.c: the guest's first boot without a guest: `run-setup ssh|init` in a root directory
 * brings packages in as PID 1 does. Static, as the root may be of any distribution.
 */
#include <stdio.h>

#include "guest/setup.h"

int main(int argc, char **argv)
{
	const struct setup_family *family = setup_of_image();
	bool init = argc == 2 && bg_streq(argv[1], "init");

	if (!family) {
		fprintf(stderr, "run-setup: no package manager that fits\n");
		return 2;
	}
	printf("%s\n", setup_tool(family));
	fflush(stdout);
	return setup_run(family, init ? SETUP_INIT : SETUP_SSH) ? 0 : 1;
}
