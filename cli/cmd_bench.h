/* SPDX-License-Identifier: ISC */
/* cmd_bench.h: `banger bench`; its row is in cmd_host.c. */
#ifndef BG_CLI_CMD_BENCH_H
#define BG_CLI_CMD_BENCH_H

#include "cli/cli.h"

int bench(struct cli *cli, const struct args *args, struct bg_err **err);

#endif
