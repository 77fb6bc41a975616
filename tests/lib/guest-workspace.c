/* SPDX-License-Identifier: ISC */
/*
 * guest-workspace VERB PATH...: the agent's part of a checkout's copy (guest/workspace.c) as a program,
 * for the guest of tests/integration/workspace, which is a folder of this machine.
 */
#include "guest/workspace.h"

int main(int argc, char **argv)
{
	return argc < 1 ? 2 : workspace_run((const char *const *)argv + 1);
}
