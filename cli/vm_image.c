/* SPDX-License-Identifier: ISC */
/* See vm_image.h. */
#include "cli/vm_image.h"

#include <stdio.h>

#include "cli/image_from.h"
#include "cli/jobs.h"
#include "common/json.h"
#include "host/config.h"

static bool none_there(struct cli *cli)
{
	_json_ json_t *reply = NULL;

	return client_call(cli, CLIENT_NO_START, ROUTE_IMAGE_LIST, NULL, NULL, &reply, NULL) >= 0 &&
	       json_array_size(json_object_get(reply, "images")) == 0;
}

static bool ask(struct cli *cli, const char *name)
{
	char answer[16];

	fprintf(cli->err.file,
		"No image exists yet. Build \"%s\", a Debian with tools to work with? It takes a "
		"minute or two. [Y/n] ",
		name);
	fflush(cli->err.file);
	return fgets(answer, sizeof(answer), stdin) &&
	       (answer[0] == '\n' || answer[0] == 'y' || answer[0] == 'Y');
}

static int build(struct cli *cli, const char *name)
{
	bool json = cli->json;
	int status;

	cli->json = false; /* what --json prints is the VM alone */
	status = job_run_one(cli, "build image", name, ROUTE_IMAGE_BUILD,
		json_pack("{s:s}", "name", name), image_report_made);
	cli->json = json;
	return status;
}

int vm_image_offer(struct cli *cli, const struct bg_err *why)
{
	_unref_(config) struct config *config = NULL;

	if (!why || why->code != BG_ERR_IMAGE_NOT_FOUND || !cli->err.tty || !cli->out.tty ||
		!isatty(STDIN_FILENO) || !none_there(cli))
		return -ENOENT;
	if (config_load(cli->paths.config_file, &config, NULL) < 0 ||
		!ask(cli, config->default_image_name))
		return -ECANCELED;
	return build(cli, config->default_image_name);
}
