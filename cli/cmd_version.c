/* SPDX-License-Identifier: ISC */
/* See cmd_version.h. */
#include "cli/cmd_version.h"

#include "cli/doctor.h"
#include "common/commit.h"
#include "common/json.h"
#include "common/priv_proto.h"
#include "common/program.h"
#include "common/version.h"

/* {"name", "path", "version"} of a VMM that is here goes to out; version null: it says none. */
static void add_vmm(json_t *out, const char *name, const char *program)
{
	_free_ char *path = NULL;
	char is[32] = "";

	if (bg_program_find(program, &path) < 0)
		return;
	json_array_append_new(
		out, json_pack("{s:s, s:o, s:s?}", "name", name, "path", bg_json_str(path),
			     "version", doctor_ask_version(path, is) ? is : NULL));
}

static json_t *record_new(const struct config *config)
{
	char protocol[17];
	json_t *vmms = json_array();

	add_vmm(vmms, "qemu", config->qemu_bin);
	add_vmm(vmms, "firecracker", config->firecracker_bin);
	snprintf(protocol, sizeof(protocol), "%016llx", (unsigned long long)priv_table_hash());
	return json_pack("{s:s, s:s?, s:s, s:i, s:o}", "version", BG_VERSION, "commit",
		*BG_COMMIT ? BG_COMMIT : NULL, "helper_protocol", protocol, "state_format",
		BG_STATE_FORMAT, "vmms", vmms);
}

static void print_record(const struct term *t, const json_t *record)
{
	const json_t *vmms = json_object_get(record, "vmms"), *vmm;
	size_t i;

	fprintf(t->file, "banger %s\n", BG_VERSION);
	render_field(t, "commit", STYLE_PLAIN, "%s", *BG_COMMIT ? BG_COMMIT : "of a release");
	render_field(t, "protocol", STYLE_PLAIN, "%s, of the helper",
		render_text(record, "helper_protocol"));
	render_field(
		t, "format", STYLE_PLAIN, "%d, of the state folder's records", BG_STATE_FORMAT);
	json_array_foreach (vmms, i, vmm)
		render_field(t, render_text(vmm, "name"), STYLE_PLAIN, "%s, %s",
			*render_text(vmm, "version") ? render_text(vmm, "version")
						     : "says no version",
			render_text(vmm, "path"));
	if (json_array_size(vmms) == 0)
		render_field(t, "vmm", STYLE_YELLOW, "none found; `banger doctor` says more");
}

int version(struct cli *cli, const struct args *args, struct bg_err **err)
{
	_unref_(config) struct config *config = NULL;
	_json_ json_t *record = NULL;
	int r = cli->paths.config_file ? config_load(cli->paths.config_file, &config, NULL)
				       : -ENOENT; /* root has none */

	/* A broken configuration is for others to tell: the defaults will do. */
	if (r < 0)
		r = config_parse("", "", 0, &config, err);
	if (r < 0)
		return r;
	record = record_new(config);
	if (cli->json)
		render_json(&cli->out, record);
	else
		print_record(&cli->out, record);
	return BG_EXIT_OK;
}
